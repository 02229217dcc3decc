"""What a Fit says of observations, row by row: Bayes' rule in SciPy, whatever chunk a row falls into."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import latentem as lem
from latentem.ascent.iteration import most_probable, responsibilities
from latentem.forms import Prepared, RowForm

#: More rows than a chunk holds, and no multiple of one.
N = 9001


@pytest.fixture(scope="module")
def fit() -> lem.Fit:
    x = np.random.default_rng(0).poisson(3.0, N)
    start = {"weights": [0.3, 0.5, 0.2], "components": {"rate": [1.0, 3.0, 6.0]}}
    return lem.fit(lem.Mixture(lem.families.Poisson(), 3), x, initial=start, max_iterations=3, polish=False)


def by_bayes(fit: lem.Fit, x: np.ndarray) -> np.ndarray:
    joint = fit.params["weights"] * stats.poisson.pmf(x[:, None], fit.params["components"]["rate"])
    return joint / joint.sum(axis=1, keepdims=True)


def test_responsibilities_are_bayes_rule(fit: lem.Fit) -> None:
    new = np.random.default_rng(1).poisson(4.0, N)
    np.testing.assert_allclose(fit.responsibilities(new), by_bayes(fit, new), rtol=1e-12)
    np.testing.assert_allclose(
        fit.responsibilities(), np.exp(fit.posterior().log_probabilities), rtol=1e-14, strict=True
    )


def test_predictions_are_the_most_probable_values(fit: lem.Fit) -> None:
    new = np.arange(12)
    np.testing.assert_array_equal(fit.predict(new), by_bayes(fit, new).argmax(axis=1))
    assert fit.predict().shape == (N,) and fit.predict().dtype.kind == "i"


def test_every_finite_latent_predicts() -> None:
    """Not only ready models."""

    def cll(params, x, z):
        return jnp.log(params["weight"][z]) + jax.scipy.stats.norm.logpdf(x, params["mean"][z])

    x = np.array([-2.0, -1.5, 1.0, 3.0, 2.5])
    model = lem.Model(cll, lem.Finite(2), {"weight": lem.simplex(2), "mean": lem.real(2)})
    start = {"weight": [0.5, 0.5], "mean": [-1.0, 2.0]}
    assert lem.fit(model, x, initial=start).predict().tolist() == [0, 0, 1, 1, 1]


def test_predict_says_what_to_use_instead() -> None:
    counts = lem.datasets.earthquakes().count
    chain = lem.fit(lem.HMM(2, lem.families.Poisson()), counts, key=jax.random.key(0), max_iterations=2, polish=False)
    with pytest.raises(ValueError, match=r"^predict: .* is a chain: use viterbi\(\)"):
        chain.predict()

    def cll(params, x, z):
        return jax.scipy.stats.norm.logpdf(z) + jax.scipy.stats.norm.logpdf(x, params["mean"] + z)

    model = lem.Model(cll, lem.Continuous(1), {"mean": lem.real()})
    continuous = lem.fit(model, np.array([1.0, 2.0, 4.0]), initial={"mean": 1.0}, max_iterations=2, polish=False)
    with pytest.raises(ValueError, match=r"^predict: the latent of .* is not finite: use posterior\(x\)"):
        continuous.predict()


def test_only_the_result_is_held() -> None:
    """The declared density of a normal mixture makes K vectors of each row: not of all rows at once."""
    n, dim, k = 400_000, 10, 10
    declared, _ = lem.GaussianMixture(k).declare(np.random.default_rng(0).normal(size=(k + 1, dim)))
    form = RowForm(declared.model())
    with jax.enable_x64(True):
        params = jax.eval_shape(form.model.space.constrain, jax.ShapeDtypeStruct((form.model.space.size,), "float64"))
        rows = Prepared((), jax.ShapeDtypeStruct((n, dim), "float64"), jax.ShapeDtypeStruct((n,), "float64"))
        held = [f.lower(form, params, rows).compile().memory_analysis() for f in (responsibilities, most_probable)]
    for memory in held:
        assert memory.temp_size_in_bytes < 2 * 8 * n * dim
