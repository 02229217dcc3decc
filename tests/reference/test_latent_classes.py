"""Seven pathologists: latent classes as mixtures of independent categorical answers.

poLCA 1.6.0.2 (tol 1e-11, best of several starts); Linzer and Lewis (2011), JSS 42(10), print -317.2568 and -293.705.
"""

import jax
import numpy as np
import pytest

import latentem as lem
from latentem import datasets

RATERS = "ABCDEFG"
ANSWERS = lem.families.Independent({rater: lem.families.Categorical() for rater in RATERS})


def fit(classes: int) -> lem.Fit:
    table = datasets.carcinoma()
    answers = {rater: table.columns[rater] for rater in RATERS}
    return lem.fit(
        lem.Mixture(ANSWERS, classes),
        answers,
        weights=table.frequency,
        key=jax.random.key(0),
        starts=4,
        polish=False,
    )


@pytest.mark.parametrize(
    ("classes", "log_likelihood", "parameters", "sizes"),
    [
        (2, -317.2568372995, 15, (0.498787613452632, 0.501212386547368)),
        (3, -293.704978780729, 23, (0.181707888809807, 0.373564478068786, 0.444727633121408)),
    ],
)
def test_carcinoma(classes: int, log_likelihood: float, parameters: int, sizes: tuple[float, ...]) -> None:
    found = fit(classes)
    # Some answers are certain in some classes, so their probabilities are 0 or 1.
    assert found.status is lem.Status.boundary
    assert found.n_parameters == parameters
    assert found.log_likelihood == pytest.approx(log_likelihood, abs=5e-7)
    np.testing.assert_allclose(np.sort(found.params["weights"]), sizes, atol=1e-5)
    assert found.responsibilities().shape == (20, classes)
