"""What a fitted state space model is asked, and how bad input is refused."""

from __future__ import annotations

from pathlib import Path

import jax
import numpy as np
import pytest

import latentem as lem

NILE = lem.datasets.nile().volume
KEY = jax.random.key(0)


@pytest.fixture(scope="module", name="fit")
def _fit() -> lem.Fit:
    y = NILE.astype(float).copy()
    y[20:40] = np.nan
    return lem.fit(lem.LocalLevel(), y, initial={"level": 1469.1, "noise": 15099.0}, max_iterations=1, polish=False)


def test_gaps_are_bridged_as_statsmodels_does(fit: lem.Fit) -> None:
    from statsmodels.tsa.statespace import structural as statespace

    y = fit.data.observations.steps["y"]
    params = fit.params
    peer = statespace.UnobservedComponents(y, "llevel", use_exact_diffuse=True)
    found = peer.smooth([params["noise"], params["level"]])
    paths = fit.smooth()
    np.testing.assert_allclose(paths.mean[:, 0], found.smoothed_state[0], rtol=1e-8)
    np.testing.assert_allclose(paths.covariance[:, 0, 0], found.smoothed_state_cov[0, 0], rtol=1e-8)
    # statsmodels leaves out the constant of the reading that the start costs.
    assert fit.log_prob()[0] == pytest.approx(found.llf + 0.5 * np.log(2 * np.pi), abs=1e-8)
    said = fit.augment()
    np.testing.assert_array_equal(said["latent_mean"], paths.mean[:, 0])
    np.testing.assert_allclose(said["latent_sd"] ** 2, found.smoothed_state_cov[0, 0], rtol=1e-8)
    filtered = fit.filter()
    np.testing.assert_allclose(filtered.mean[:, 0], found.filtered_state[0], rtol=1e-8)
    ahead = fit.forecast(5)
    np.testing.assert_allclose(ahead.mean[:, 0], found.forecast(5), rtol=1e-8)
    interval = found.get_forecast(5).conf_int(alpha=0.05)
    np.testing.assert_allclose(np.stack([ahead.lower[:, 0], ahead.upper[:, 0]], axis=1), interval, rtol=1e-6)


def test_verbs_agree_with_one_another(fit: lem.Fit) -> None:
    y = fit.data.observations.steps["y"]
    paths, filled = fit.smooth(), fit.impute()
    gone = np.isnan(y)
    np.testing.assert_array_equal(filled[~gone], y[~gone])
    np.testing.assert_allclose(filled[gone], paths.mean[gone[:, 0], 0])
    parts = fit.decompose()
    np.testing.assert_allclose((parts["level"][0] + parts["noise"][0])[~gone[:, 0]], y[~gone], rtol=1e-12)
    draws = fit.sample_path(KEY, 40)
    assert draws.shape == (40, 100, 1)
    away = (draws - paths.mean).std(axis=0)[:, 0] / np.sqrt(paths.covariance[:, 0, 0])
    assert 0.85 < away.mean() < 1.15
    assert fit.sample(KEY, 7).shape == (7, 1)
    assert fit.impute(3, KEY).shape == (3, 100, 1)
    residuals = fit.residuals()
    assert np.isnan(residuals[gone]).all() and np.isnan(residuals[0]).all()
    assert 0.7 < np.nanstd(residuals) < 1.3
    statistic, p_value = fit.ljung_box(5)
    assert statistic[0] > 0 and 0.01 < p_value[0] < 1
    np.testing.assert_allclose(fit.impulse_responses(2)[:, 0, 0], np.sqrt(fit.params["level"]))
    ahead = fit.forecast(1)
    state, log_prob = fit.step(None, [ahead.mean[0, 0]])
    assert log_prob == pytest.approx(-0.5 * np.log(2 * np.pi * ahead.covariance[0, 0, 0]))
    np.testing.assert_allclose(state[0], ahead.state[0])


def test_a_file_alone_goes_on_where_the_fit_ended(fit: lem.Fit, tmp_path: Path) -> None:
    again = lem.load(fit.save(tmp_path / "level"))
    assert again.declaration == fit.model.declaration
    np.testing.assert_allclose(again.forecast(3, NILE).mean, fit.forecast(3, NILE).mean, rtol=1e-12)
    tied = lem.StateSpace(
        2,
        transition=[["a", 0.0], [0.0, "a"]],
        process=lem.diagonal(2),
        observation=[[1.0, 0.0]],
        offsets="1",
        initial={"mean": [0.0, 0.0], "covariance": "identity"},
    )
    own = lem.fit(tied, NILE, max_iterations=1, polish=False)
    loaded = lem.load(own.save(tmp_path / "tied"))
    assert loaded.declaration == own.model.declaration and loaded.params["transition"][0, 1] == 0.0
    np.testing.assert_allclose(loaded.log_prob(NILE), own.log_prob(), rtol=1e-12)


def test_new_data_are_read_by_name() -> None:
    table = {"low": NILE[:30] - 50.0, "high": NILE[:30]}
    model = lem.StateSpace(1, transition="identity", observation=[[1.0], [1.0]], offsets="1", initial="constant")
    known = lem.fit(model, table, max_iterations=1, polish=False)
    turned = {name: table[name] for name in ("high", "low")}
    np.testing.assert_array_equal(known.smooth(turned).mean, known.smooth().mean)
    with pytest.raises(ValueError, match="no column is called 'low': choose from high, other"):
        known.smooth({"high": NILE, "other": NILE})


def test_pictures_show_what_the_verbs_say(fit: lem.Fit) -> None:
    left, right = lem.plot.innovations(fit, lags=6).axes
    np.testing.assert_array_equal(left.lines[0].get_ydata(), fit.residuals()[:, 0])
    bars = right.collections[-1].get_segments()
    np.testing.assert_allclose([bar[1, 1] for bar in bars], fit.autocorrelations(6)[:, 0])
    residuals = fit.residuals()[:, 0]
    kept = residuals[~np.isnan(residuals)] - np.nanmean(residuals)
    # Where nothing is missing between them, the textbook's autocorrelation of lag 1.
    both = np.nansum((residuals[1:] - np.nanmean(residuals)) * (residuals[:-1] - np.nanmean(residuals)))
    assert fit.autocorrelations(1)[0, 0] == pytest.approx(both / (kept**2).sum())
    (panel,) = lem.plot.impulse_responses(fit, 5).axes
    np.testing.assert_allclose(panel.lines[0].get_ydata(), fit.impulse_responses(5)[:, 0, 0])
    readings = lem.plot.smoothed_readings(fit, horizon=3).axes[0]
    np.testing.assert_allclose(readings.lines[1].get_ydata(), fit.smooth().mean[:, 0])
    np.testing.assert_allclose(readings.lines[2].get_ydata(), fit.forecast(3).mean[:, 0])
    level, noise = lem.plot.components(fit).axes
    np.testing.assert_allclose(level.lines[1].get_ydata(), fit.decompose()["level"][0])
    assert noise.get_ylabel() == "noise"
    with pytest.raises(ValueError, match="expected a fit of a structure, lem.Modal"):
        lem.plot.mode_shapes(fit)


@pytest.mark.parametrize(
    ("model", "data", "told"),
    [
        (lem.LocalLevel(), [1.0, np.inf, 2.0], "expected finite numbers"),
        (
            lem.StateSpace(1),
            np.stack([NILE, NILE * np.nan], axis=1),
            "column 1 of the readings is missing in every step",
        ),
        (lem.LocalLevel(), [[1.0]], "expected more than the 1 unknown states"),
        (lem.LocalLevel(), np.ones((5, 2)), "2 columns of readings: a structural model has one"),
        (lem.StateSpace(2, initial="diffuse"), [[1.0, 2.0], [3.0]], "sequence 1 has 1 readings, fewer than"),
        (
            lem.StateSpace(
                1, transition="identity", process=[[1.0]], observation=[[1.0]], noise=[[1.0]], initial="diffuse"
            ),
            NILE,
            "every entry of every matrix is given",
        ),  # fmt: skip
        (
            lem.StateSpace(2, process=[1.0, 0.0], initial="diffuse"),
            NILE,
            "transition is free in row 1, a state without",
        ),
        (lem.StateSpace(1, noise=[0.0]), NILE, "observation is free in row 0, a reading without"),
        (lem.StateSpace(2, observation=[[1.0]]), NILE, "observation has shape (1, 1): expected (1, 2)"),
        (lem.StateSpace(1, inputs="rain"), NILE, "no column is called 'rain'"),
        (lem.DynamicFactor(2), np.ones((9, 2)), "2 columns for 2 factors"),
    ],
)
def test_bad_input_is_refused_in_one_line(model: object, data: object, told: str) -> None:
    with pytest.raises(ValueError, match="^[^\n]*$") as error:
        lem.fit(model, data, key=KEY)
    assert told in str(error.value)


@pytest.mark.parametrize(
    ("declare", "told"),
    [
        (lambda: lem.StateSpace(1, transition=[[1.1]]), "does not settle"),
        (lambda: lem.StateSpace(1, transition="nice"), "transition='nice': expected"),
        (lambda: lem.StateSpace(2, process=[[1.0, np.nan], [np.nan, 1.0]]), "covariances beside 0"),
        (lambda: lem.StateSpace(0), "state=0: expected"),
        (lambda: lem.Structural(seasonal=1), "expected a period of at least 2"),
        (lambda: lem.Structural(regressors="x", noise=False), "regressors of readings without noise"),
        (lambda: lem.AR(0), "order=0"),
        (lambda: lem.Modal(3, rate=0.0), "rate=0.0: expected readings per second, above 0"),
        (lambda: lem.Modal(0, rate=1.0), "modes=0"),
        (lambda: lem.Modal(9, rate=1.0).declare(np.ones((300, 2)) * np.arange(300)[:, None]), "hold at most 7 modes"),
    ],
)
def test_bad_declarations_are_refused_in_one_line(declare: object, told: str) -> None:
    with pytest.raises(ValueError, match="^[^\n]*$") as error:
        declare()  # type: ignore[operator]
    assert told in str(error.value)
