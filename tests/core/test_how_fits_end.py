"""How fits end when something is wrong: with the reason, and never with lost work."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

import latentem as lem
from latentem.posterior import logsumexp


def test_logsumexp_shows_what_is_not_a_number() -> None:
    assert np.isnan(logsumexp(jnp.array([0.0, jnp.nan])))
    assert logsumexp(jnp.array([-jnp.inf, -jnp.inf])) == -jnp.inf
    assert logsumexp(jnp.array([-jnp.inf, 2.0])) == 2.0


def kinked(params: Any, x: Any, z: Any) -> Any:
    """Mixture of two Laplace densities: smooth nowhere that matters, as each location ends on an observation."""
    return jnp.log(params["weight"][z]) - jnp.abs(x - params["location"][z]) - jnp.log(2.0)


def test_a_kink_is_no_saddle() -> None:
    model = lem.Model(kinked, lem.Finite(2), {"weight": lem.simplex(2), "location": lem.real(2)})
    x = np.array([-3.1, -2.9, -3.0, -2.5, -3.6, 4.0, 4.2, 3.7, 4.1, 5.0])
    fit = lem.fit(model, x, initial={"weight": [0.5, 0.5], "location": [-2.0, 3.0]}, m_step="gradient")
    assert fit.status is not lem.Status.saddle
    # The likelihood is highest near the two medians, -3.0 and 4.1, which EM climbs to.
    np.testing.assert_allclose(fit.params["location"], [-3.0, 4.1], atol=1e-2)


def root(params: Any, x: Any, z: Any) -> Any:
    """A finite log-density whose derivative at the start is not."""
    return jnp.log(0.5) - 0.5 * (x - params["mean"][z]) ** 2 - jnp.sqrt(jnp.abs(params["mean"][z]))


def test_an_m_step_that_is_not_finite_is_named() -> None:
    model = lem.Model(root, lem.Finite(2), {"mean": lem.real(2)})
    with pytest.raises(ValueError, match="first M-step gave params that are not finite"):
        lem.fit(model, np.array([1.0, 2.0, -1.0]), initial={"mean": [0.0, 0.0]}, compress=False, m_step="gradient")
