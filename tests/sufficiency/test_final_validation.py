"""Anchors are proved again at the params reached; what they cannot carry, the rows do, and the fit says so."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.stats import norm

import latentem as lem
from latentem.forms.anchors.coordinates import final_error


def gaussians(p: Any, x: Any, z: Any) -> Any:
    return jnp.log(p["weight"][z]) + norm.logpdf(x, p["mean"][z], p["sd"][z])


SPACE = {"weight": lem.simplex(2), "mean": lem.real(2), "sd": lem.positive(2)}


def near(key: Any, x: Any, weights: Any) -> Any:
    centre, spread = jnp.mean(x), jnp.std(x)
    return {
        "weight": jnp.full(2, 0.5),
        "mean": centre + spread * jnp.array([-1.0, 1.0]),
        "sd": jnp.full(2, spread),
    }


def two_clouds() -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.concatenate([rng.normal(-1, 1, 1500), rng.normal(2.5, 0.7, 1500)])


def test_data_far_from_the_origin_lose_nothing() -> None:
    """Params drawn around the origin see data at 1,000 through differences of numbers of size 10^6: anchors found there
    are good to a few digits, carry the fit to the data, and are chosen anew at the params reached."""
    model = lem.Model(gaussians, lem.Finite(2), SPACE, initial=near)
    x = two_clouds()
    origin = lem.sufficiency(model, x + 1000, jax.random.key(0))
    assert origin.provisional and not origin.verdict
    assert "the params drawn are far from the data; pass params (or initial=) near them" in origin.reason
    here = lem.fit(model, x, key=jax.random.key(0))
    far = lem.fit(model, x + 1000, key=jax.random.key(0))
    start = {"weight": [0.5, 0.5], "mean": [999.0, 1002.0], "sd": [1.0, 1.0]}
    told = lem.fit(model, x + 1000, initial=start)
    assert not here.notes and not told.notes
    assert far.notes == ("anchors lost digits at the params reached; new ones were chosen there",)
    for fit in (here, far, told):
        assert fit.status is lem.Status.converged
        assert fit.compression is not None and fit.compression.verdict and not fit.compression.provisional
        assert final_error(fit.problem, fit.params) < 1e-12
        np.testing.assert_allclose(fit.log_likelihood, here.log_likelihood, rtol=1e-9)
    for fit in (far, told):
        np.testing.assert_allclose(np.sort(fit.params["mean"]) - 1000, np.sort(here.params["mean"]), atol=1e-6)


def shifted(p: Any, x: Any, z: Any) -> Any:
    """Exponential waiting times from an unknown beginning: the support depends on it."""
    wait = x - p["beginning"]
    return jnp.log(p["weight"][z]) + jnp.where(wait >= 0, jnp.log(p["rate"][z]) - p["rate"][z] * wait, -jnp.inf)


def test_a_support_that_no_drawn_params_showed_is_seen_at_the_end() -> None:
    """Far from the data the density looks like 1 and x; on anchors its likelihood grows without bound."""
    model = lem.Model(
        shifted, lem.Finite(2), {"weight": lem.simplex(2), "rate": lem.positive(2), "beginning": lem.real()}
    )
    x = 10 + np.random.default_rng(0).exponential(1.0, 3000)
    start = {"weight": [0.4, 0.6], "rate": [0.5, 1.5], "beginning": 5.0}
    options = {"initial": start, "max_iterations": 60, "polish": False}
    assert lem.sufficiency(model, x, jax.random.key(0), params=start).verdict
    fit = lem.fit(model, x, **options)
    assert fit.notes == ("anchors lost digits at the params reached; the fit went on uncompressed",)
    assert fit.compression is not None and not fit.compression.verdict
    on_rows = lem.fit(model, x, compress=False, **options)
    np.testing.assert_allclose(fit.log_likelihood, on_rows.log_likelihood, rtol=1e-9)
    assert fit.params["beginning"] <= x.min()


def graded(p: Any, x: Any, z: Any) -> Any:
    """Differences of probabilities that round to 0 where slope * z is large."""
    at_least = jax.nn.sigmoid(p["slope"] * (z - p["step"]))
    edges = jnp.concatenate([jnp.ones(1), at_least, jnp.zeros(1)])
    chance = edges[x] - edges[x + 1]
    log_chance = jnp.where(chance > 0, jnp.log(jnp.where(chance > 0, chance, 1.0)), -jnp.inf)
    return jnp.sum(log_chance) + norm.logpdf(z)


def test_underflow_on_anchors_at_the_start_leaves_the_fit_to_the_rows() -> None:
    def steep(key: Any, x: Any, weights: Any) -> Any:
        return {"slope": jnp.asarray(12.0), "step": jnp.array([-1.0, 0.0, 1.0])}

    space = {"slope": lem.positive(), "step": lem.ordered(3)}
    model = lem.Model(graded, lem.Continuous(1, size=13), space, initial=steep)
    rng = np.random.default_rng(1)
    trait = rng.standard_normal((600, 1)) + 0.5 * rng.standard_normal((600, 5))
    x = (trait[..., None] > np.array([-1.0, 0.0, 1.0])).sum(-1)
    options = {
        "key": jax.random.key(0),
        "max_iterations": 3,
        "polish": False,
        "method": lem.Plain(),
        "m_step": "newton",
    }
    fit = lem.fit(model, x, compress=True, **options)
    # 13 nodes are too few for slopes so steep, and the fit says so too.
    uncompressed, coarse = fit.notes
    assert uncompressed == "log p was not finite on anchors at the start; the fit ran uncompressed"
    assert coarse.startswith("adaptive nodes moves the log-likelihood")
    assert fit.compression is not None and not fit.compression.verdict
    np.testing.assert_array_equal(fit.trace, lem.fit(model, x, compress=False, **options).trace)
    assert np.all(np.isfinite(fit.trace))
