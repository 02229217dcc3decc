"""What a compressed fit does with masks, mixed dtypes, a user's posterior, float32 and duplicates, and what it says."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.scipy.special import gammaln
from jax.scipy.stats import norm, poisson
from jax.scipy.stats import t as student

import latentem as lem
from latentem.ascent import derivatives
from latentem.data import read
from latentem.data.duplicates import collapse
from latentem.forms import GivenSeparableForm
from latentem.forms.anchors.compression import latent_nodes
from latentem.forms.anchors.tabulate import table
from latentem.forms.choose import Wishes, choose

WEIGHT = {"weight": lem.simplex(2)}


def mixed_columns(p: Any, x: Any, z: Any) -> Any:
    flag = jnp.where(x["flag"], jnp.log(p["chance"][z]), jnp.log1p(-p["chance"][z]))
    share = jnp.log(p["share"][z, x["kind"]])
    return jnp.log(p["weight"][z]) + norm.logpdf(x["y"], p["mean"][z]) + flag + share


mixed = lem.Model(
    mixed_columns,
    lem.Finite(2),
    {**WEIGHT, "mean": lem.real(2), "chance": lem.unit(2), "share": lem.simplex(3, batch=2)},
)


def mixed_data(n: int = 700) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(2)
    z = rng.integers(0, 2, n)
    kind = np.where(z == 0, rng.choice(3, n, p=[0.6, 0.2, 0.2]), rng.choice(3, n, p=[0.1, 0.4, 0.5])).astype(np.int16)
    return {"y": rng.normal(2.0 * z, 1.0).astype(np.float32), "flag": rng.random(n) < 0.3 + 0.4 * z, "kind": kind}


MIXED_START = {
    "weight": [0.5, 0.5],
    "mean": [-0.5, 1.5],
    "chance": [0.4, 0.6],
    "share": [[0.4, 0.3, 0.3], [0.2, 0.4, 0.4]],
}


#: A few plain iterations: what is compared is the path, and they compile fast.
PLAIN = {"method": lem.Plain(), "m_step": "newton", "max_iterations": 6, "polish": False}


def both(model: lem.Model, data: Any, initial: Any) -> tuple[lem.Fit, lem.Fit]:
    """The fit on anchors and the fit on all rows."""
    on_anchors, on_rows = (lem.fit(model, data, initial=initial, compress=c, **PLAIN) for c in (True, False))
    return on_anchors, on_rows


def assert_same(a: lem.Fit, b: lem.Fit, rtol: float = 1e-9, atol: float = 1e-6) -> None:
    np.testing.assert_allclose(a.trace, b.trace, rtol=rtol)
    np.testing.assert_allclose(a.log_likelihood, b.log_likelihood, rtol=rtol)
    for x, y in zip(jax.tree.leaves(a.params), jax.tree.leaves(b.params), strict=True):
        np.testing.assert_allclose(x, y, atol=atol)


def test_integers_floats_and_flags() -> None:
    a, b = both(mixed, mixed_data(), MIXED_START)
    assert a.compression is not None and a.compression.rank == 6  # 1, y, y^2, flag, two of three kinds
    assert_same(a, b)
    dtypes = {name: array.dtype for name, array in a.compression.anchors.items()}
    assert dtypes == {"y": np.float64, "flag": np.bool_, "kind": np.int16}


# Structural zeros.


def cells(p: Any, x: Any, z: Any) -> Any:
    """Three classes; kind 0 comes from class 0 only, and nothing comes from class 2 with the flag set."""
    allowed = jnp.array([[0.3, 0.4, 0.3], [0.0, 0.5, 0.5], [0.0, 0.2, 0.8]])[z, x["kind"]]
    flag = jnp.where(x["flag"], jnp.where(z == 2, -jnp.inf, jnp.log(0.5)), jnp.where(z == 2, 0.0, jnp.log(0.5)))
    return jnp.log(p["weight"][z]) + jnp.log(allowed) + flag + norm.logpdf(x["y"], p["mean"][z])


masked = lem.Model(cells, lem.Finite(3), {"weight": lem.simplex(3), "mean": lem.real(3)})
MASKED_START = {"weight": [0.3, 0.3, 0.4], "mean": [-1.0, 1.0, 3.0]}


def test_impossible_latent_values_are_exact() -> None:
    data = mixed_data()
    a, b = both(masked, data, MASKED_START)
    assert a.compression is not None and a.compression.verdict
    assert_same(a, b)
    scores, hessians = [], []
    for fit in (a, b):
        assert fit.problem is not None
        with jax.enable_x64(True):
            u = jnp.asarray(masked.space.unconstrain(MASKED_START))
            score = jax.jit(partial(derivatives.score, fit.problem.form, fit.problem.prepared))
            scores.append(np.asarray(score(u)))
            hessians.append(np.asarray(jax.jit(jax.jacfwd(score))(u)))
    assert np.all(np.isfinite(scores[0])) and np.all(np.isfinite(hessians[0]))
    np.testing.assert_allclose(*scores, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(*hessians, rtol=1e-8, atol=1e-8)


def never(p: Any, x: Any, z: Any) -> Any:
    """Class 2 is impossible for all data, through a log whose derivative at 0 is infinite."""
    possible = jnp.where(z == 2, 0.0, 1.0)
    return jnp.log(possible * p["weight"][jnp.minimum(z, 1)]) + norm.logpdf(x, p["mean"][jnp.minimum(z, 1)])


def test_a_latent_value_that_no_row_allows_costs_no_gradient() -> None:
    model = lem.Model(never, lem.Finite(3), {**WEIGHT, "mean": lem.real(2)})
    x = np.concatenate([np.random.default_rng(0).normal(c, 1.0, 300) for c in (-1.0, 2.0)])
    fit = lem.fit(model, x, initial={"weight": [0.5, 0.5], "mean": [-0.5, 0.5]}, compress=True, **PLAIN)
    assert np.all(np.diff(fit.trace) > 0) and fit.trace[-1] > fit.trace[0] + 100
    assert np.all(np.isfinite(fit.params["mean"]))


def test_masks_that_the_sample_does_not_show() -> None:
    """One row of 3,000 makes a class impossible."""
    rng = np.random.default_rng(4)
    x = {"y": rng.standard_normal(3000), "flag": np.zeros(3000, bool), "kind": rng.integers(1, 3, 3000)}
    x["kind"][1234] = 0
    a, b = both(masked, x, MASKED_START)
    assert a.compression is not None and a.compression.verdict
    np.testing.assert_allclose(a.trace, b.trace, rtol=1e-9)


# A posterior of the user's own.


def trait(p: Any, x: Any, z: Any) -> Any:
    logit = p["slope"] * z + p["easiness"]
    return jnp.sum(x * logit - jax.nn.softplus(logit)) + norm.logpdf(z)


GRID = np.linspace(-4.0, 4.0, 17)


def as_weighted(p: Any, x: Any) -> lem.posterior.Weighted:
    nodes = jnp.asarray(GRID, dtype=p["slope"].dtype)
    return lem.posterior.Weighted.from_log_joint(nodes, jax.vmap(lambda z: trait(p, x, z))(nodes) + jnp.log(0.5))


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Table:
    nodes: Any
    log_table: Any

    def log_prob(self, z: Any) -> Any:
        return self.log_table[jnp.argmin(jnp.abs(self.nodes - z))]


def as_table(p: Any, x: Any) -> Table:
    nodes = jnp.asarray(GRID, dtype=p["slope"].dtype)
    return Table(nodes, jax.nn.log_softmax(jax.vmap(lambda z: trait(p, x, z))(nodes)))


TRAIT_SPACE = {"slope": lem.real(5), "easiness": lem.real(5)}


@pytest.mark.parametrize("posterior_of", [as_weighted, as_table])
def test_a_posterior_the_user_supplies_over_nodes(posterior_of: Any) -> None:
    rng = np.random.default_rng(8)
    ability = rng.standard_normal((400, 1))
    x = (rng.random((400, 5)) < 1 / (1 + np.exp(-ability - rng.normal(0, 1, 5)))).astype(float)
    x += 0.25 * rng.integers(0, 2, x.shape)  # partial credit, so that rows differ
    model = lem.Model(trait, lem.Given(posterior_of), TRAIT_SPACE)
    start = {"slope": np.ones(5), "easiness": np.zeros(5)}
    a, b = both(model, x, start)
    assert a.compression is not None and a.compression.rank == 6
    assert a.problem is not None and isinstance(a.problem.form, GivenSeparableForm)
    np.testing.assert_allclose(a.trace, b.trace, rtol=1e-9)
    assert_same(a, b)


def test_nodes_that_move_are_not_compressed() -> None:
    x = np.random.default_rng(0).standard_normal((40, 5))

    def with_params(p: Any, x: Any) -> lem.posterior.Weighted:
        nodes = jnp.asarray(GRID) * jnp.exp(p["slope"][0])
        return lem.posterior.Weighted.from_log_joint(nodes, jax.vmap(lambda z: trait(p, x, z))(nodes))

    def with_rows(p: Any, x: Any) -> lem.posterior.Weighted:
        nodes = jnp.asarray(GRID) + x[0]
        return lem.posterior.Weighted.from_log_joint(nodes, jax.vmap(lambda z: trait(p, x, z))(nodes))

    for moving in (with_params, with_rows):
        model = lem.Model(trait, lem.Given(moving), TRAIT_SPACE)
        assert latent_nodes(model, x) is None
        found = lem.sufficiency(model, x, jax.random.key(0))
        assert found.reason == "the latent does not sum over nodes that all observations share"
    assert latent_nodes(lem.Model(trait, lem.Given(as_weighted), TRAIT_SPACE), x) is not None


# Precision and duplicates.


def counts_mixture(p: Any, x: Any, z: Any) -> Any:
    return jnp.log(p["weight"][z]) + poisson.logpmf(x, p["rate"][z])


counts = lem.Model(counts_mixture, lem.Finite(2), {**WEIGHT, "rate": lem.positive(2)})
COUNTS_START = {"weight": [0.4, 0.6], "rate": [1.0, 5.0]}


def some_counts() -> np.ndarray:
    rng = np.random.default_rng(6)
    return np.concatenate([rng.poisson(1.5, 400), rng.poisson(7.0, 600)]).astype(float)


def test_float32_fits_on_anchors_found_in_float64() -> None:
    y = {**mixed_data(), "y": mixed_data()["y"].astype(float)}
    single, double = (
        lem.fit(mixed, y, initial=MIXED_START, compress=True, dtype=d, **PLAIN) for d in ("float32", "float64")
    )
    assert single.compression is not None and single.compression.error is not None
    assert single.compression.verdict and single.compression.error < 1e-12
    assert single.compression.coordinates.dtype == np.float64
    assert single.problem is not None and single.problem.prepared.rows["coordinates"].dtype == np.float32
    np.testing.assert_allclose(single.log_likelihood, double.log_likelihood, rtol=1e-5)
    np.testing.assert_allclose(single.params["mean"], double.params["mean"], atol=5e-3)


def test_equal_observations_are_collapsed_and_it_is_said() -> None:
    x = some_counts()
    fit = lem.fit(counts, x, initial=COUNTS_START, **PLAIN)
    distinct = len(np.unique(x))
    assert fit.compression is not None
    assert (fit.compression.observations, fit.compression.rows) == (1000, distinct)
    assert str(fit.compression).endswith(f"; 1000 observations are {distinct} distinct rows")
    assert fit.n_observations == 1000
    on_rows = lem.fit(counts, x, initial=COUNTS_START, compress=False, **PLAIN)
    assert on_rows.compression is not None and on_rows.compression.rows == 1000
    assert_same(fit, on_rows)


def negative_binomials(p: Any, x: Any, z: Any) -> Any:
    r, q = p["dispersion"][z], p["chance"][z]
    coefficient = gammaln(x + r) - gammaln(r) - gammaln(x + 1.0)
    return jnp.log(p["weight"][z]) + coefficient + r * jnp.log(q) + x * jnp.log1p(-q)


def test_collapse_serves_what_does_not_separate() -> None:
    model = lem.Model(
        negative_binomials, lem.Finite(2), {**WEIGHT, "dispersion": lem.positive(2), "chance": lem.unit(2)}
    )
    rng = np.random.default_rng(9)
    x = np.concatenate([rng.negative_binomial(3, 0.6, 2000), rng.negative_binomial(20, 0.5, 2000)]).astype(float)
    start = {"weight": [0.5, 0.5], "dispersion": [2.0, 10.0], "chance": [0.5, 0.5]}
    fit = lem.fit(model, x, initial=start, **PLAIN)
    assert fit.compression is not None and not fit.compression.verdict
    assert fit.compression.rows == len(np.unique(x)) < 60
    assert "4000 observations are" in str(fit.compression)
    np.testing.assert_allclose(fit.trace, lem.fit(model, x, initial=start, compress=False, **PLAIN).trace, rtol=1e-9)


def test_collapse_is_exact_and_keeps_the_order() -> None:
    rows = {"a": np.array([2.0, np.nan, 2.0, -0.0, np.nan, 0.0, 2.0, 2.0]), "b": np.array([1, 1, 1, 0, 1, 0, 1, 2])}
    found = collapse(rows, np.arange(1.0, 9.0))
    assert found is not None
    np.testing.assert_array_equal(found.observations["a"], [2.0, np.nan, 0.0, 2.0])
    np.testing.assert_array_equal(found.observations["b"], [1, 1, 0, 2])
    np.testing.assert_array_equal(found.weights, [1 + 3 + 7, 2 + 5, 4 + 6, 8])
    np.testing.assert_array_equal(found.group, [0, 1, 0, 2, 1, 2, 0, 3])
    assert collapse({"a": np.arange(8.0)}, np.ones(8)) is None


def test_table_is_the_density_one_by_one() -> None:
    x = np.arange(70.0)  # one more block than 64 rows fill
    u = np.random.default_rng(0).standard_normal((40, counts.space.size))
    z = np.arange(40, dtype=np.int32) % 2
    with jax.enable_x64(True):
        values = table(counts, u, z, x)
        for m in (0, 31, 32, 39):
            p = counts.space.constrain(jnp.asarray(u[m]))
            one = [counts_mixture(p, row, z[m]) for row in (x[0], x[63], x[69])]
            np.testing.assert_allclose(values[m, [0, 63, 69]], one, rtol=1e-13)


# What is said.


def heavy_tails(p: Any, x: Any, z: Any) -> Any:
    return jnp.log(p["weight"][z]) + student.logpdf(x, 4.0, p["mean"][z])


heavy = lem.Model(heavy_tails, lem.Finite(2), {**WEIGHT, "mean": lem.real(2)}, name="heavy")
HEAVY_START = {"weight": [0.5, 0.5], "mean": [-1.0, 1.0]}


def test_insisting_raises_the_reason() -> None:
    x = np.random.default_rng(0).standard_normal(3000)
    with pytest.raises(ValueError, match="compress=True: heavy cannot be compressed: .*does not separate"):
        lem.fit(heavy, x, initial=HEAVY_START, compress=True)


def test_auto_falls_back_and_tells_why() -> None:
    x = np.random.default_rng(0).standard_normal(3000)
    fit = lem.fit(heavy, x, initial=HEAVY_START, max_iterations=2, polish=False)
    assert fit.compression is not None and not fit.compression.verdict
    assert "does not separate" in fit.compression.reason and not fit.notes
    with jax.enable_x64(True):
        few = choose(heavy, read(x[:500]), Wishes())
    assert few.compression.reason == "small enough as it is"


def test_memory_budget_is_respected() -> None:
    x = np.random.default_rng(0).standard_normal(3000)
    model = lem.Model(
        lambda p, x, z: norm.logpdf(x, p["mean"][z]) + jnp.log(p["weight"][z]),
        lem.Finite(2),
        {**WEIGHT, "mean": lem.real(2)},
    )
    found = lem.sufficiency(model, x, jax.random.key(0), memory=3000 * 8 * 2)
    assert found.reason == "3 coordinates of 3000 rows exceed the memory budget"
