"""Maximum likelihood for a normal distribution with missing entries: a Gaussian mixture of one component.

EM in plain R 4.2.2 (tol 1e-13), agreeing with mvnmle 0.1-11.2 and norm 1.0-11. Cement: Little and Rubin (1987).
"""

import jax
import numpy as np
import pytest

import latentem as lem
from latentem import datasets

CEMENT = datasets.cement().matrix()
AIR = datasets.airquality().matrix("ozone", "solar", "wind", "temperature")


@pytest.mark.parametrize(
    ("x", "missing", "log_likelihood", "mean", "variances"),
    [
        (
            CEMENT,
            15,
            -132.92525044,
            (6.6551658459581, 49.9652591199301, 11.7692307692308, 27.0470890435572, 95.4230769230769),
            (21.8255680694695, 238.012439245926, 37.8698224852071, 294.183043778569, 208.904852071006),
        ),
        (
            AIR,
            44,
            -2326.69738280,
            (41.8711730195977, 184.846806249845, 9.95751633986928, 77.8823529411765),
            (1044.01864306447, 8090.7016612068, 12.3304173608442, 89.0057670126889),
        ),
    ],
    ids=["cement", "airquality"],
)
def test_normal_with_missing_entries(
    x: np.ndarray, missing: int, log_likelihood: float, mean: tuple[float, ...], variances: tuple[float, ...]
) -> None:
    assert int(np.isnan(x).sum()) == missing
    found = lem.fit(lem.GaussianMixture(1), x, key=jax.random.key(0), polish=False, tolerance=0.0, step_tolerance=1e-7)
    assert found.log_likelihood == pytest.approx(log_likelihood, abs=1e-8)
    np.testing.assert_allclose(found.params["components"]["mean"][0], mean, rtol=1e-7)
    np.testing.assert_allclose(np.diagonal(found.params["components"]["covariance"][0]), variances, rtol=1e-7)
