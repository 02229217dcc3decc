"""What is no density is told by `lem.check`, whatever x is; what is one passes."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.scipy.stats import beta, multivariate_normal, norm, poisson

import latentem as lem
from latentem.testing import build_case
from latentem.testing.density import density_part

RNG = np.random.default_rng(0)
COUNTS = RNG.poisson(3.0, 40).astype(float)
NUMBERS = RNG.normal(5.0, 2.0, 40)
SHARES = RNG.beta(2.0, 5.0, 40)
PLANE = RNG.normal(size=(40, 2))
ANSWERS = RNG.integers(0, 2, (40, 5)).astype(float)
PAIRS = {"y": RNG.poisson(2.0, 40).astype(float), "dose": RNG.normal(size=40)}
WEIGHT = lem.simplex(2)


def density(f: Any, params: dict[str, Any], x: Any, **options: Any) -> Any:
    def cll(p: Any, x: Any, z: Any) -> Any:
        return f(p, x, z)

    model = lem.Model(cll, lem.Finite(2), {"weight": WEIGHT, **params}, **options)
    with jax.enable_x64(True):
        return density_part(build_case(model, x, jax.random.key(0))[0])


def counts(p: Any, x: Any, z: Any) -> Any:
    return jnp.log(p["weight"][z]) + poisson.logpmf(x, p["rate"][z])


def numbers(p: Any, x: Any, z: Any) -> Any:
    return jnp.log(p["weight"][z]) + norm.logpdf(x, p["mean"][z], p["sd"][z])


def shares(p: Any, x: Any, z: Any) -> Any:
    return jnp.log(p["weight"][z]) + beta.logpdf(x, p["a"][z], p["b"][z])


def plane(p: Any, x: Any, z: Any) -> Any:
    return jnp.log(p["weight"][z]) + multivariate_normal.logpdf(x, p["mean"][z], jnp.eye(2))


def answers(p: Any, x: Any, z: Any) -> Any:
    q = p["yes"][z]
    return jnp.log(p["weight"][z]) + jnp.sum(x * jnp.log(q) + (1 - x) * jnp.log1p(-q))


def regression(p: Any, x: Any, z: Any) -> Any:
    return jnp.log(p["weight"][z]) + poisson.logpmf(x["y"], jnp.exp(p["a"][z] + 0.1 * x["dose"]))


NUMBER = {"mean": lem.real(2), "sd": lem.positive(2)}
RIGHT = {
    "counts": (counts, {"rate": lem.positive(2)}, COUNTS),
    "numbers": (numbers, NUMBER, NUMBERS),
    "shares": (shares, {"a": lem.positive(2), "b": lem.positive(2)}, SHARES),
    "plane": (plane, {"mean": lem.real((2, 2))}, PLANE),
    "answers": (answers, {"yes": lem.interval(0.0, 1.0, (2, 5))}, ANSWERS),
    "regression": (regression, {"a": lem.real(2)}, PAIRS),
}


@pytest.mark.parametrize("name", RIGHT)
def test_a_density_passes(name: str) -> None:
    part = density(*RIGHT[name])
    assert part is not None and part.passed, part


def without_weight(p: Any, x: Any, z: Any) -> Any:
    return poisson.logpmf(x, p["rate"][z]) + 0.0 * p["weight"][z]


def not_logged(p: Any, x: Any, z: Any) -> Any:
    return jnp.log(p["weight"][z]) + norm.pdf(x, p["mean"][z], p["sd"][z])


def without_scale(p: Any, x: Any, z: Any) -> Any:
    return jnp.log(p["weight"][z]) - 0.5 * ((x - p["mean"][z]) / p["sd"][z]) ** 2 - 0.5 * jnp.log(2 * jnp.pi)


def probability_above_one(p: Any, x: Any, z: Any) -> Any:
    return answers(p, x, z) + 5.0


WRONG = {
    "a forgotten log weight": (without_weight, {"rate": lem.positive(2)}, COUNTS),
    "a density that is not logged": (not_logged, NUMBER, NUMBERS),
    "a forgotten scale": (without_scale, NUMBER, NUMBERS),
    "a probability above one": (probability_above_one, RIGHT["answers"][1], ANSWERS),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_no_density_is_told(name: str) -> None:
    part = density(*WRONG[name])
    assert part is not None and not part.passed and "\n" not in part.message


def test_a_latent_density_that_was_forgotten_is_told() -> None:
    def cll(p: Any, x: Any, z: Any) -> Any:
        return norm.logpdf(x, p["mean"] + z, 1.0)

    model = lem.Model(cll, lem.Continuous(1), {"mean": lem.real()})
    with jax.enable_x64(True):
        part = density_part(build_case(model, NUMBERS, jax.random.key(0))[0])
    assert part is not None and not part.passed and "log p(z)" in part.message


def test_where_x_has_many_numbers_a_sampler_tells() -> None:
    def wide(p: Any, x: Any, z: Any) -> Any:
        return jnp.log(p["weight"][z]) + jnp.sum(norm.logpdf(x, p["mean"][z], 1.0))

    def sample(p: Any, key: Any) -> Any:
        a, b = jax.random.split(key)
        return p["mean"][jax.random.categorical(a, jnp.log(p["weight"]))] + jax.random.normal(b, (4,))

    def shifted(p: Any, key: Any) -> Any:
        return sample(p, key) + 1.0

    x = RNG.normal(size=(40, 4))
    for sampler, right in ((sample, True), (shifted, False)):
        part = density(wide, {"mean": lem.real((2, 4))}, x, sample=sampler)
        assert part is not None and part.passed is right
