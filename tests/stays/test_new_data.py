"""What a fit learned of its data stays with it: new data are read against it, for every family and ready model.

The fits share one shape of data and few iterations, so that little is compiled; right values are those of the same rows
within the data of the fit, marginal densities by SciPy, or another declaration of the same model.
"""

import copy
import pickle
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from scipy import stats
from stays.fits import ABILITIES, ALL, CHAINS, COUNT, FEW, KIND, ROWS, F, N, every, fitted, of_all, of_chains, table

import latentem as lem


def answers(fit: lem.Fit, x: Any) -> list[np.ndarray]:
    """What a fit says of observations."""
    if "scores" in dir(fit):
        return [fit.log_prob(x), *fit.scores(x=x).values()]
    if "smooth" in dir(fit):
        return [np.asarray(a) for a in (fit.log_prob(x), fit.smooth(x), fit.filter(x), fit.viterbi(x))]
    return [fit.log_prob(x), fit.responsibilities(x), fit.predict(x)]


def same(one: list[np.ndarray], other: list[np.ndarray]) -> None:
    for a, b in zip(one, other, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)


@of_all
def test_columns_are_taken_by_name(name: str) -> None:
    _, names = ALL[name]
    fit = fitted(name)
    turned = pd.DataFrame(table(["when", *reversed(names), "who"]))
    same(answers(fit, turned), answers(fit, None))
    with pytest.raises(ValueError, match=f"no column (is called )?{names[-1]!r}") as told:
        fit.log_prob(turned.drop(columns=names[-1]))
    assert "\n" not in str(told.value)


@of_all
def test_all_libraries_say_the_same(name: str) -> None:
    fit, columns = fitted(name), table(ALL[name][1])
    fields = np.rec.fromarrays(list(columns.values()), names=list(columns)).view(np.ndarray)
    first = answers(fit, None)
    for x in (columns, pl.DataFrame(columns), pa.table(columns), fields):
        same(answers(fit, x), first)


@pytest.mark.parametrize("name", [*ROWS, *ABILITIES])
def test_some_rows_are_enough(name: str) -> None:
    fit = fitted(name)
    for rows in (slice(0, 1), slice(3, 6)):
        part = answers(fit, table(ALL[name][1], rows))
        same(part, [a[rows] for a in answers(fit, None)])


@of_chains
def test_one_step_is_enough(name: str) -> None:
    fit = fitted(name)
    part = fit.filter(table(ALL[name][1], slice(0, 1)))
    np.testing.assert_allclose(part, fit.filter()[:1], rtol=1e-12)


@every
def test_a_row_of_which_nothing_is_known_counts_for_nothing(name: str) -> None:
    names = ALL[name][1]
    fit, whole = fitted(name), table(names, slice(0, 3))
    gone = {n: np.where(np.arange(3) == 1, np.nan, a) if n != "z" else a for n, a in whole.items()}
    if name == "k-means":
        with pytest.raises(ValueError, match=r"KMeans: observations\[1, 0\] is missing"):
            fit.log_prob(gone)
        return
    masked = {n: np.ma.masked_invalid(a) for n, a in gone.items()}
    same(answers(fit, masked), answers(fit, gone))
    if name in CHAINS:
        assert np.isfinite(fit.log_prob(gone)).all()
        assert fit.smooth({n: np.full(3, np.nan) if n != "z" else a for n, a in whole.items()}).shape == (3, 2)
        return
    found = fit.log_prob(gone)
    assert found[1] == pytest.approx(0.0, abs=1e-12)
    np.testing.assert_allclose(found[[0, 2]], fit.log_prob(whole)[[0, 2]], rtol=1e-12)
    np.testing.assert_allclose(fit.responsibilities(gone)[1], fit.params["weights"], rtol=1e-12)
    assert fit.predict(gone)[1] == np.argmax(fit.params["weights"])


def test_items_that_were_not_answered_count_for_nothing() -> None:
    fit, names = fitted("item response"), ALL["item response"][1]
    whole = table(names, slice(0, 4))
    gaps = {name: np.where(np.arange(4) == j, np.nan, a) for j, (name, a) in enumerate(whole.items())}
    same(answers(fit, {name: np.ma.masked_invalid(a) for name, a in gaps.items()}), answers(fit, gaps))
    same(answers(fit, pl.DataFrame(gaps, nan_to_null=True)), answers(fit, gaps))
    # The marginal: the sum over both answers that were not given.
    both = [fit.log_prob({**gaps, "q0": np.where(np.arange(4) == 0, answer, gaps["q0"])})[0] for answer in (0, 1)]
    assert fit.log_prob(gaps)[0] == pytest.approx(np.logaddexp(*both), rel=1e-12)
    assert fit.log_prob({name: [np.nan] for name in names})[0] == pytest.approx(0.0, abs=1e-12)


def counted(params: Any, x: Any, z: Any) -> Any:
    """A count whose log mean is normal: nodes of a grid are too few for a large spread."""
    rate = jnp.exp(params["mean"] + z)
    prior = -0.5 * (z / params["sigma"]) ** 2 - jnp.log(params["sigma"]) - 0.918938533204672742
    return x * jnp.log(rate) - rate - jax.scipy.special.gammaln(x + 1) + prior


def test_nodes_that_a_fit_went_on_with_stay(tmp_path: Any) -> None:
    x = np.array([3.0, 160, 12, 41, 77, 7, 250, 18, 5, 33, 96, 22])
    model = lem.Model(counted, lem.Continuous(1, size=7), {"mean": lem.real(), "sigma": lem.positive()})
    fit = lem.fit(model, x, initial={"mean": 3.0, "sigma": 1.0})
    assert fit.model.latent.method == "adaptive" and any("adaptive" in note for note in fit.notes)
    path = fit.save(tmp_path / "fit")
    for again in (lem.load(path, model=model), lem.load(path, model=model, data=x), pickle.loads(pickle.dumps(fit))):
        assert again.model.latent == fit.model.latent
        np.testing.assert_allclose(again.log_prob([4.0, 100.0]), fit.log_prob([4.0, 100.0]), rtol=1e-12)
    assert np.sum(fit.log_prob()) == pytest.approx(fit.log_likelihood, rel=1e-10)
    with pytest.raises(ValueError, match="is a fit of another model"):
        lem.load(path, model=lem.Model(counted, lem.Finite(2), model.params))


def test_functions_that_pickle_cannot_name(tmp_path: Any) -> None:
    density = lambda params, x: -0.5 * (x - params["at"]) ** 2  # noqa: E731
    mixture = lem.Mixture(F.Custom(density, {"at": lem.real()}), 2)
    fit = lem.fit(mixture, COUNT, **FEW)
    with pytest.raises(TypeError, match="which pickle cannot name: define it with def at the top") as told:
        pickle.dumps(fit)
    assert "\n" not in str(told.value) and "lambda" in str(told.value)
    again = lem.load(fit.save(tmp_path / "own"), model=mixture, data=COUNT)
    np.testing.assert_allclose(again.log_prob(), fit.log_prob(), rtol=1e-12)
    assert copy.deepcopy(fit).model is fit.model


@pytest.mark.parametrize("name", ["gaussian", "diagonal", "student"])
def test_a_vector_is_scored_by_the_entries_that_are_there(name: str) -> None:
    fit, x = fitted(name), np.array([[0.3, np.nan], [np.nan, 4.0]])
    p = fit.params["components"]
    expected = []
    for row, j in ((0, 0), (1, 1)):
        densities = []
        for k in range(2):
            if name == "student":
                scale = np.sqrt(p["scale"][k][j, j])
                densities.append(stats.t.pdf(x[row, j], p["df"][k], p["location"][k][j], scale))
            else:
                variance = p["covariance"][k][j, j] if name == "gaussian" else p["variance"][k][j]
                densities.append(stats.norm.pdf(x[row, j], p["mean"][k][j], np.sqrt(variance)))
        expected.append(fit.params["weights"] * densities)
    np.testing.assert_allclose(fit.log_prob(x), np.log(np.sum(expected, axis=1)), rtol=1e-10)
    expected = np.array(expected)
    np.testing.assert_allclose(fit.responsibilities(x), expected / expected.sum(axis=1, keepdims=True), rtol=1e-9)


@of_all
def test_what_is_saved_and_pickled_says_the_same(name: str, tmp_path: Any) -> None:
    fit = fitted(name)
    x = pd.DataFrame(table(["who", *reversed(ALL[name][1])], slice(0, 3)))
    expected = answers(fit, x)
    path = fit.save(tmp_path / "fit")
    same(answers(lem.load(path), x), expected)
    same(answers(pickle.loads(pickle.dumps(fit)), x), expected)
    same(answers(copy.deepcopy(fit), None), answers(fit, None))
    again = lem.load(path, data=pl.DataFrame(table(ALL[name][1])))
    same(answers(again, None), answers(fit, None))
    assert again.summary() == again.summary() and again.n_parameters == fit.n_parameters
    other = table(ALL[name][1], slice(None, None, -1))
    with pytest.raises(ValueError, match="these are other data than those of the fit"):
        lem.load(path, data=other)


@pytest.mark.parametrize("name", ["categorical", "hmm of symbols"])
def test_a_code_or_label_never_seen_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"observations\[1\] = 3: expected integers 0, ..., 2"):
        fitted(name).log_prob({"kind": [0, 3]})
    words = np.array(["low", "middle", "high"])[KIND.astype(int)]
    ordered = pd.Series(pd.Categorical(words, ["low", "middle", "high"], ordered=True))
    model = ALL[name][0]
    fit = lem.fit(model, pd.DataFrame({"kind": ordered}), **FEW)
    # In the order of the categories, so that the codes are those of the numbers.
    assert fit.log_likelihood == pytest.approx(fitted(name).log_likelihood, rel=1e-12)
    same(answers(fit, pl.DataFrame({"kind": words})), answers(fit, None))
    with pytest.raises(
        ValueError, match="column 'kind' holds 'huge' in row 1, which is no known category: expected one"
    ):
        fit.log_prob({"kind": ["low", "huge"]})
    with pytest.raises(TypeError, match="column 'kind' holds numbers: expected labels, low, middle, high"):
        fit.log_prob({"kind": [0, 1]})


def test_categories_may_be_declared_beyond_the_data() -> None:
    family = F.Categorical(["low", "never", "high"])
    fit = lem.fit(lem.Mixture(family, 1), np.array(["low", "high", "low", "low"]), **FEW)
    np.testing.assert_allclose(fit.params["components"]["probabilities"], [[0.75, 0, 0.25]], atol=1e-12)
    with pytest.warns(UserWarning, match="log p of row 0 is -inf: impossible"):
        assert fit.predict(["never", "low"]).tolist() == [-1, 0]


def test_weights_are_asked_for_again(tmp_path: Any) -> None:
    weights = 1.0 + np.arange(N) % 3
    fit = lem.fit(lem.Mixture(F.Poisson(), 2), COUNT, weights=weights, key=0)
    path = fit.save(tmp_path / "weighted")
    with pytest.raises(ValueError, match="this fit had weights: pass weights="):
        lem.load(path, data=COUNT)
    with pytest.raises(ValueError, match="these are other data or weights"):
        lem.load(path, data=COUNT, weights=weights + 1)
    again = lem.load(path, data=COUNT, weights=weights)
    for one, other in zip(
        again.standard_errors()["components"].values(), fit.standard_errors()["components"].values(), strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=1e-9)


def test_weighted_answers_say_the_same_when_loaded(tmp_path: Any) -> None:
    data = lem.datasets.lsat7()
    items = data.matrix(*(f"item_{j}" for j in range(1, 6)))
    fit = lem.fit(lem.IRT("2pl", nodes=21), items, weights=data.frequency)
    path = fit.save(tmp_path / "lsat")
    with pytest.raises(ValueError, match="this fit had weights: pass weights="):
        lem.load(path, data=items)
    again = lem.load(path, data=items, weights=data.frequency)
    for verb in ("sum_scores", "model_fit", "item_parameters", "scores"):
        for name, value in getattr(fit, verb)().items():
            found = getattr(again, verb)()[name]
            if np.asarray(value).dtype.kind == "f":
                np.testing.assert_allclose(found, value, rtol=1e-12)
    np.testing.assert_allclose(again.item_fit()["S_X2"], fit.item_fit()["S_X2"], rtol=1e-12)


def test_posteriors_of_many_rows() -> None:
    fit = fitted("poisson")
    r, posterior = fit.responsibilities(), fit.posterior()
    np.testing.assert_allclose(posterior.probabilities, r, rtol=1e-12)
    np.testing.assert_allclose(posterior.mean, r[:, 1], rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(posterior.sd, np.sqrt(r[:, 0] * r[:, 1]), rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(posterior.entropy, stats.entropy(r, axis=1), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(fit.expect(lambda z: 1.0 + 2.0 * z), 1 + 2 * r[:, 1], rtol=1e-12)
    draws = posterior.sample(0, 4000)
    assert draws.shape == (4000, N) and posterior.sample(0).shape == (N,)
    np.testing.assert_allclose(draws.mean(axis=0), r[:, 1], atol=0.05)
    with pytest.raises(ValueError, match="is a chain"):
        fitted("hmm").posterior()


def test_an_integer_is_a_seed_and_verbs_are_listed() -> None:
    import jax

    fit = fitted("hmm")
    np.testing.assert_array_equal(fit.sample(3, 5), fit.sample(jax.random.key(3), 5))
    assert {"viterbi", "forecast", "log_prob"} <= set(dir(fit)) and "most probable path" in fit.viterbi.__doc__
    with pytest.raises(AttributeError, match="did you mean bic"):
        fit.BIC  # noqa: B018
