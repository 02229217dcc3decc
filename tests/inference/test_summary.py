"""What a fit prints and writes: standard errors where there are any, the reason where there are not."""

import json

import jax
import numpy as np
from inference.zoo import HASSELBLAD, fitted
from scipy import special

import latentem as lem


def test_summary_shows_estimates_errors_and_intervals() -> None:
    lines = fitted("hasselblad").summary().splitlines()
    weight = next(line.split() for line in lines if line.startswith("weight"))
    assert weight[:3] == ["weight", "0.3598854", "0.194684"]
    # On the scale of logits: expit(logit(p) -+ z se / (p (1 - p))).
    p, reach = 0.3598854, 1.959963984540054 * 0.194684 / (0.3598854 * 0.6401146)
    ends = special.expit(special.logit(p) + np.array([-reach, reach]))
    np.testing.assert_allclose([float(weight[3]), float(weight[5])], ends, rtol=1e-5)
    assert any("log-likelihood -1989.945860" in line and "AIC" in line and "BIC" in line for line in lines)


def test_summary_says_why_errors_are_missing() -> None:
    text = fitted("factors").summary()
    assert "do not identify them" in text
    assert next(line for line in text.splitlines() if line.startswith("loadings[0,0]")).split()[2:] == ["-", "-"]
    cut = HASSELBLAD.fit(max_iterations=2)
    assert "no standard errors away from a maximum" in cut.summary()
    assert cut.to_dict()["standard_errors"] is None


def test_dictionary_has_errors_shaped_like_parameters_and_no_nan() -> None:
    for name in ("hasselblad", "simplex, covariance, fixed", "factors"):
        written = fitted(name).to_dict()
        again = json.loads(json.dumps(written, allow_nan=False))
        shapes = [np.shape(a) for a in jax.tree.leaves(written["parameters"], is_leaf=lambda a: isinstance(a, list))]
        errors = jax.tree.leaves(again["standard_errors"], is_leaf=lambda a: isinstance(a, list))
        assert [np.shape(a) for a in errors] == shapes
    assert fitted("simplex, covariance, fixed").to_dict()["standard_errors"]["origin"] == [None, None]


def test_large_models_are_printed_as_arrays() -> None:
    x = np.random.default_rng(0).normal(size=(60, 9))
    fit = lem.fit(lem.GaussianMixture(1), x, key=jax.random.key(0))
    text = fit.summary()
    assert "standard errors:" in text and "components.mean:" in text
    np.testing.assert_allclose(fit.standard_errors()["components"]["mean"][0], x.std(axis=0) / np.sqrt(60), rtol=1e-6)
