"""Estimates as a table, and the user's own table with what a fit says of each row beside it."""

import pickle

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from scipy import special
from shapes import SHAPES
from shapes import fitted as shaped
from stays.fits import CHAINS, COLUMNS, COUNT, MODELS, F, N, every, fitted, table

import latentem as lem

WORDS = {"k-means": "cluster"}
LIBRARIES = {"pandas": pd.DataFrame, "polars": pl.DataFrame, "pyarrow": pa.table, "dict": dict}


def word(name: str) -> str:
    return WORDS.get(name, "state" if name in CHAINS else "component")


@every
def test_data_with_what_the_fit_says(name: str) -> None:
    fit, word_ = fitted(name), word(name)
    path, each = (fit.viterbi(), fit.smooth()) if name in CHAINS else (fit.predict(), fit.responsibilities())
    frame = pd.DataFrame(table([*MODELS[name][1], "who"]), index=[f"row {i}" for i in range(N)])
    found = fit.augment(frame)
    assert isinstance(found, pd.DataFrame) and list(found.index) == list(frame.index)
    pd.testing.assert_frame_equal(found[list(frame)], frame)
    assert found[word_].tolist() == path.tolist() and found[word_].dtype.kind == "i"
    if name != "k-means":
        np.testing.assert_allclose(found[[f"{word_}_0", f"{word_}_1"]], each, rtol=1e-12)
    assert list(fit.augment()) == [c for c in found if c != "who"]


@pytest.mark.parametrize("library", LIBRARIES)
def test_tables_come_in_the_library_of_the_data(library: str) -> None:
    make = LIBRARIES[library]
    fit = lem.fit(lem.Mixture(F.Poisson(), 2), make(table(["count"])), key=0)
    found, said = fit.table(), fit.augment()
    assert type(found) is type(said) is type(make({}))
    columns = {n: np.asarray(found[n]) for n in ("name", "index", "component", "estimate", "standard_error")}
    assert columns["name"].tolist() == ["components.rate"] * 2 + ["weights"] * 2
    assert columns["index"].tolist() == ["0", "1", "0", "1"] and columns["component"].tolist() == [0, 1, 0, 1]
    params, errors = fit.params, fit.standard_errors()
    np.testing.assert_array_equal(columns["estimate"], [*params["components"]["rate"], *params["weights"]])
    np.testing.assert_array_equal(columns["standard_error"], [*errors["components"]["rate"], *errors["weights"]])
    np.testing.assert_array_equal(np.asarray(said["component"]), fit.predict())


def test_intervals_stay_inside() -> None:
    x = np.array([0.0] * 15 + [1.0])
    fit = lem.fit(lem.Mixture(F.Bernoulli(), 1), x, key=0)
    found = fit.table(0.99)
    p, se = 1 / 16, np.sqrt(15) / 64  # sqrt(p (1 - p) / n)
    z = 2.5758293035489004
    assert p - z * se < 0
    ends = special.expit(special.logit(p) + np.array([-1, 1]) * z * se / (p * (1 - p)))
    np.testing.assert_allclose([found["lower"][0], found["upper"][0]], ends, rtol=1e-5)
    assert np.isnan(found["lower"][1]) and found["estimate"][1] == 1.0  # the only weight
    short = f"{ends[0]:.3f}"
    assert short not in fit.summary() and "0.00872" in f"{fit.table()['lower'][0]:.5f}" + fit.summary()
    with pytest.raises(ValueError, match="level=95: expected a confidence"):
        fit.table(95)


def test_names_of_columns_levels_and_terms() -> None:
    def labels(name: str) -> set[str]:
        return {f"{n}[{i}]" for n, i in zip(*(fitted(name).table()[c] for c in ("name", "index")), strict=True)}

    assert {"components.mean[0,a]", "components.covariance[1,b,a]"} <= labels("gaussian")
    assert "components.covariance[1,a,b]" not in labels("gaussian")
    assert "centers[1,b]" in labels("k-means")
    assert {"components.coefficients[0,intercept]", "components.coefficients[1,z]"} <= labels("regression")
    assert {"transition[0,1,z]", "transition[0,1,intercept]", "initial[1]"} <= labels("hmm with covariates")
    assert {"emission.mean[1,b]", "transition[0,1]"} <= labels("hmm")
    assert "components.count.rate[1]" in labels("independent")
    words = {"kind": np.array(["low", "middle", "high"])[COLUMNS["kind"].astype(int)]}
    fit = lem.fit(lem.Mixture(F.Categorical(), 1), words, key=0)
    assert fit.table()["index"].tolist()[:3] == ["0,high", "0,low", "0,middle"]
    assert "components.probabilities[0,middle]" in fit.summary()
    one, other = (fit.wald_test(f"components.probabilities[0,{i}]", 0.3) for i in ("middle", 2))
    assert one == other


def test_items_are_named() -> None:
    rng = np.random.default_rng(5)
    z = rng.normal(size=(200, 1))
    answers = (rng.random((200, 4)) < special.expit(z + [0.5, 0, -0.5, 0.2])).astype(int)
    frame = pd.DataFrame(answers, columns=["add", "subtract", "times", "over"], index=np.arange(200) + 7)
    fit = lem.fit(lem.IRT("rasch"), frame)
    found = fit.table()
    rows = found[found["name"] == "rasch.intercept"]
    assert rows["item"].tolist() == rows["index"].tolist() == list(frame)
    np.testing.assert_array_equal(rows["estimate"], fit.params["rasch"]["intercept"])
    assert found[found["name"].str.startswith("ability")]["item"].isna().all()
    said = fit.augment()
    assert list(said.index) == list(frame.index)
    np.testing.assert_allclose(said[["theta", "theta_se"]].to_numpy().T, list(fit.scores().values()), rtol=1e-12)
    one = fit.augment(frame.iloc[[5]])
    np.testing.assert_allclose(one["theta"], said["theta"].iloc[5], rtol=1e-9)


def test_sequences_keep_their_table() -> None:
    frame = pd.DataFrame({"id": np.repeat(["a", "b"], N // 2), "count": COUNT}, index=np.arange(N)[::-1])
    series = lem.sequences(frame, sequence="id", columns=["count"])
    fit = fitted("hsmm")
    found = fit.augment(series)
    assert list(found) == ["id", "count", "state", "state_0", "state_1"] and list(found.index) == list(frame.index)
    np.testing.assert_allclose(found[["state_0", "state_1"]], np.concatenate(fit.smooth(series)), rtol=1e-12)
    parts = fit.augment([frame.iloc[:12], frame.iloc[12:]])
    pd.testing.assert_frame_equal(pd.concat(parts), found)


def test_what_cannot_be_put_beside() -> None:
    fit = fitted("poisson")
    with pytest.raises(ValueError, match="have a column 'component' already: pass prefix="):
        fit.augment({"count": COUNT, "component": COUNT})
    assert "my_component" in fit.augment({"count": COUNT, "component": COUNT}, prefix="my_")
    assert list(fit.augment(COUNT)) == ["observations", "component", "component_0", "component_1"]
    structured = np.rec.fromarrays([COUNT], names=["count"]).view(np.ndarray)
    assert fit.augment(structured).dtype.names == ("count", "component", "component_0", "component_1")
    assert list(pickle.loads(pickle.dumps(fit)).augment()) == ["count", "component", "component_0", "component_1"]


def test_a_continuous_latent_has_means_and_deviations() -> None:
    fit = shaped(next(shape for shape in SHAPES if shape.name == "given"))
    found, posterior = fit.augment(), fit.posterior()
    assert [n for n in found if n.startswith("latent")] == ["latent_mean", "latent_sd"]
    np.testing.assert_allclose(found["latent_mean"], np.ravel(posterior.mean), rtol=1e-12)
    np.testing.assert_allclose(found["latent_sd"], np.ravel(posterior.sd), rtol=1e-12)
