"""Do 95% intervals cover the truth 95% of the time? 500 replications of three models, refitted as one program."""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from inference.zoo import TOBIT, ZIP
from jax.scipy.stats import norm

import latentem as lem
from latentem.ascent.replicates import refit
from latentem.data import Data
from latentem.forms.choose import choose_form
from latentem.inference.estimate import Estimate
from latentem.inference.intervals import confidence_intervals

REPLICATES = 500


def zero_inflated(params: Any, key: Any) -> Any:
    is_zero, draw = jax.random.split(key)
    count = jax.random.poisson(draw, params["rate"]).astype(float)
    return jnp.where(jax.random.bernoulli(is_zero, params["none"]), 0.0, count)


def censored(params: Any, key: Any) -> Any:
    where, noise = jax.random.split(key)
    heat = jax.random.uniform(where, minval=2.0, maxval=2.4)
    life = params["intercept"] + params["slope"] * heat + params["sigma"] * jax.random.normal(noise)
    limit = 3.6
    return {"heat": heat, "log_hours": jnp.minimum(life, limit), "censored": life > limit}


def normals(params: Any, x: Any, z: Any) -> Any:
    return jnp.log(params["weight"][z]) + norm.logpdf(x, params["mean"][z], params["sd"])


def clustered(params: Any, key: Any) -> Any:
    which, draw = jax.random.split(key)
    z = jax.random.categorical(which, jnp.log(params["weight"]))
    return params["mean"][z] + params["sd"] * jax.random.normal(draw)


MIXTURE = lem.Model(
    normals, lem.Finite(2), {"weight": lem.simplex(2), "mean": lem.real(2), "sd": lem.positive()}, name="two normals"
)
CASES = {
    "zero-inflated": (ZIP.model, zero_inflated, {"none": 0.4, "rate": 2.0}, 400),
    "tobit": (TOBIT.model, censored, {"intercept": -6.0, "slope": 4.3, "sigma": 0.26}, 200),
    "two normals": (MIXTURE, clustered, {"weight": [0.4, 0.6], "mean": [0.0, 3.0], "sd": 1.0}, 400),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_intervals_cover_the_truth(name: str) -> None:
    model, sample, truth, n = CASES[name]
    with jax.enable_x64(True):
        params = jax.tree.map(jnp.asarray, model.space.check(truth))
        keys = jax.random.split(jax.random.key(2024), (REPLICATES, n))
        rows = jax.jit(jax.vmap(jax.vmap(lambda k: sample(params, k))))(keys)
        first = jax.tree.map(lambda a: np.asarray(a[0]), rows)
        form, prepared = choose_form(model, Data(first, np.ones(n)))
        fits = refit(form, params, replace(prepared, rows=rows), "rows")
    assert np.asarray(fits.converged).all()
    inside = []
    for r in range(REPLICATES):
        found, x = jax.tree.map(lambda a, r=r: np.asarray(a[r]), (fits.params, rows))
        lower, upper = confidence_intervals(Estimate(model, Data(x, np.ones(n)), found))
        covered = jax.tree.map(lambda a, t, b: (a <= t) & (t <= b), lower, model.space.check(truth), upper)
        inside.append(np.concatenate([np.ravel(c) for c in jax.tree.leaves(covered)]))
    coverage = dict(zip(model.space.natural_names, np.mean(inside, axis=0), strict=True))
    print(name, coverage)
    assert all(0.92 <= c <= 0.98 for c in coverage.values()), coverage
