"""Normal mixtures of published tables against mclust 6.0.0 (R 4.2.2; tol 1e-13) and mixtools 2.0.0.

mclust's names of the covariance structures: VVV full, EEE tied, VVI diagonal, VII spherical. It starts from a
hierarchical clustering, so its figure can be a lower maximum than the best of several starts; `at_least` marks the
tables where it is.
"""

from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.scipy.stats import norm
from scipy.linalg import logm

import latentem as lem
from latentem import datasets


@cache
def table(name: str) -> np.ndarray:
    return getattr(datasets, name)().matrix()


def fit(x: np.ndarray, components: int, covariance: str, starts: int = 4) -> lem.Fit:
    model = lem.GaussianMixture(components, covariance)
    return lem.fit(model, x, key=jax.random.key(0), starts=starts, polish=False)


slow = pytest.mark.slow


@pytest.mark.parametrize(
    ("name", "components", "covariance", "log_likelihood", "parameters"),
    [
        ("old_faithful", 2, "full", -1130.26396018475, 11),
        ("old_faithful", 3, "tied", -1126.31592782384, 11),
        ("old_faithful", 2, "diagonal", -1147.80635253781, 9),
        ("old_faithful", 2, "spherical", -1709.52928217743, 7),
        ("iris", 3, "full", -180.185477131308, 44),
        ("diabetes", 3, "full", -2303.49184316061, 29),
        pytest.param("iris", 2, "full", -214.354704370512, 29, marks=slow),
        pytest.param("iris", 3, "tied", -256.354043125593, 24, marks=slow),
        pytest.param("iris", 3, "spherical", -384.314095060847, 17, marks=slow),
        pytest.param("diabetes", 3, "diagonal", -2364.13720249872, 20, marks=slow),
    ],
)
def test_mclust(name: str, components: int, covariance: str, log_likelihood: float, parameters: int) -> None:
    found = fit(table(name), components, covariance)
    assert found.status is lem.Status.converged
    assert found.n_parameters == parameters
    assert found.log_likelihood == pytest.approx(log_likelihood, abs=5e-7)


@slow
@pytest.mark.parametrize(
    ("name", "components", "covariance", "at_least"),
    [("iris", 3, "diagonal", -307.177571598011), ("diabetes", 2, "full", -2365.20930902154)],
)
def test_the_best_of_several_starts_is_above_a_lower_maximum_of_mclust(
    name: str, components: int, covariance: str, at_least: float
) -> None:
    assert fit(table(name), components, covariance).log_likelihood > at_least + 0.1


def test_parameters_of_old_faithful_are_mclusts() -> None:
    found = fit(table("old_faithful"), 3, "tied")
    order = np.argsort(found.params["weights"])
    expected = (0.168604339647309, 0.356378107425048, 0.475017552927643)
    np.testing.assert_allclose(found.params["weights"][order], expected, atol=2e-5)
    means = [
        [3.7977558138278, 77.4688390286446],
        [2.03761470903771, 54.4912847240345],
        [4.46573750877361, 80.872749265756],
    ]
    np.testing.assert_allclose(found.params["components"]["mean"][order], means, rtol=2e-5)


@slow
@pytest.mark.parametrize(
    # mixtools 2.0.0 normalmixEM; Benaglia et al. (2009), JSS 32(6), prints -1034.002.
    ("covariance", "log_likelihood", "deviations"),
    [
        ("tied", -1034.00176035783, (5.86909138075046,)),
        ("full", -1034.00174983161, (5.87121920756022, 5.86773457460705)),
    ],
)
def test_waiting_times(covariance: str, log_likelihood: float, deviations: tuple[float, ...]) -> None:
    found = fit(datasets.old_faithful().waiting, 2, covariance)
    assert found.log_likelihood == pytest.approx(log_likelihood, abs=1e-8)
    variances = found.params["components"]["covariance"].ravel()
    np.testing.assert_allclose(sorted(np.sqrt(variances)), sorted(deviations), rtol=2e-4)


# --- a structure that no family here offers, as a declared model

BELOW = np.array([(i, j) for i in range(4) for j in range(i)])


def rotation(turn: Any) -> Any:
    skew = jnp.zeros((4, 4)).at[BELOW[:, 0], BELOW[:, 1]].set(turn)
    return jax.scipy.linalg.expm(skew - skew.T)


def equal_shape(params: Any, x: Any, z: Any) -> Any:
    """mclust's VEV: ellipsoids of one shape, each with its own volume and orientation."""
    shape = jnp.append(params["shape"], -jnp.sum(params["shape"]))
    y = rotation(params["turn"][z]).T @ (x - params["mean"][z])
    spread = jnp.sqrt(params["volume"][z] * jnp.exp(shape))
    return jnp.log(params["weight"][z]) + jnp.sum(norm.logpdf(y, 0.0, spread))


@slow
def test_the_best_model_of_iris_is_declared() -> None:
    space = {
        "weight": lem.simplex(2),
        "mean": lem.real((2, 4)),
        "volume": lem.positive(2),
        "shape": lem.real(3),
        "turn": lem.real((2, 6)),
    }
    x = table("iris")
    groups = [x[:50], x[50:]]
    spectra = [np.linalg.eigh(np.cov(group.T)) for group in groups]
    upright = [vectors * [np.linalg.det(vectors), 1, 1, 1] for _, vectors in spectra]
    logs = np.array([np.log(values) for values, _ in spectra])
    start = {
        "weight": [1 / 3, 2 / 3],
        "mean": [group.mean(axis=0) for group in groups],
        "volume": np.exp(logs.mean(axis=1)),
        "shape": np.mean(logs - logs.mean(axis=1, keepdims=True), axis=0)[:3],
        "turn": [np.real(logm(vectors))[BELOW[:, 0], BELOW[:, 1]] for vectors in upright],
    }
    model = lem.Model(equal_shape, lem.Finite(2), space)
    found = lem.fit(model, x, initial=start, polish=False, tolerance=1e-13)
    assert found.n_parameters == 26
    # mclust 6.0.0, best model by BIC, refitted with tol 1e-13.
    assert found.log_likelihood == pytest.approx(-215.725972233918, abs=1e-7)
