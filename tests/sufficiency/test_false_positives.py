"""Ranks that too few draws or rows get wrong, and that validation on fresh params and on all data puts right."""

from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.scipy.stats import norm

import latentem as lem


@lru_cache
def item_response(items: int) -> lem.Model:
    """2PL; a missing answer is NaN and counts for nothing."""

    def cll(params: Any, x: Any, z: Any) -> Any:
        seen = ~jnp.isnan(x)
        logit = params["slope"] * z + params["easiness"]
        each = jnp.where(seen, x, 0.0) * logit - jax.nn.softplus(logit)
        return jnp.sum(jnp.where(seen, each, 0.0)) + norm.logpdf(z)

    space = {"slope": lem.real(items), "easiness": lem.real(items)}
    return lem.Model(cll, lem.Continuous(1, size=31), space)


def answers(items: int, people: int, missing: float = 0.0) -> np.ndarray:
    rng = np.random.default_rng(0)
    ability = rng.standard_normal((people, 1))
    x = (rng.random((people, items)) < 1 / (1 + np.exp(-1.2 * ability - rng.normal(0, 1, items)))).astype(float)
    x[rng.random(x.shape) < missing] = np.nan
    return x


# What 8 and 16 draws of the params show alone is a smaller rank (33 of 51 behind a gap of 4e12).
@pytest.mark.parametrize(("items", "draws"), [(20, 8), (50, 16)])
def test_few_draws_do_not_hide_statistics(items: int, draws: int) -> None:
    found = lem.sufficiency(item_response(items), answers(items, 2000), jax.random.key(0), draws=draws)
    assert found.verdict, found.reason
    assert found.rank == items + 1  # the answers and the constant: Bock and Aitkin (1981)
    assert found.error is not None and found.error < 1e-11


def test_missing_answers_are_statistics_too() -> None:
    found = lem.sufficiency(item_response(50), answers(50, 2000, missing=0.2), jax.random.key(0))
    assert found.verdict, found.reason
    assert found.rank == 101  # answered, and answered right, of each item; and the constant


def test_hasselblad_has_three_statistics() -> None:
    def cll(params: Any, x: Any, z: Any) -> Any:
        return jnp.log(params["weight"][z]) + jax.scipy.stats.poisson.logpmf(x, params["rate"][z])

    model = lem.Model(cll, lem.Finite(2), {"weight": lem.simplex(2), "rate": lem.positive(2)})
    times = lem.datasets.hasselblad()
    found = lem.sufficiency(model, times.deaths, jax.random.key(0), weights=times.frequency)
    assert found.verdict and found.rank == 3


def groups(params: Any, x: Any, z: Any) -> Any:
    return jnp.log(params["weight"][z]) + norm.logpdf(x["y"], params["mean"][z, x["group"]])


grouped = lem.Model(groups, lem.Finite(2), {"weight": lem.simplex(2), "mean": lem.real((2, 6))})


def test_rows_that_a_sample_misses_are_found_by_validation() -> None:
    """Groups 4 and 5 have one row each of 20,000: no random sample shows them."""
    rng = np.random.default_rng(3)
    x = {"y": rng.standard_normal(20_000), "group": rng.integers(0, 4, 20_000)}
    x["group"][[700, 19_000]] = 4, 5
    found = lem.sufficiency(grouped, x, jax.random.key(0))
    assert found.verdict, found.reason
    # y^2; y and 1 in each of four groups; two rows that are alone in theirs.
    assert found.rank == 11
    assert {4, 5} <= set(np.asarray(found.anchors["group"]).tolist())


def middle(params: Any, x: Any, z: Any) -> Any:
    return jnp.where(z == 1, norm.logpdf(x, params["mean"]), norm.logpdf(x))


def test_params_may_matter_at_one_latent_value_only() -> None:
    model = lem.Model(middle, lem.Finite(3), {"mean": lem.real()})
    found = lem.sufficiency(model, np.random.default_rng(0).standard_normal(400), jax.random.key(0))
    assert found.verdict and found.rank == 3
