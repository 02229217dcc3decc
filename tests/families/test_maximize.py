"""The M-step of every family: stationary, and better than its surroundings, however it is restricted."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from families.registry import QUICK, ROWS, Row
from jax.scipy.special import gammaln

from latentem import priors
from latentem.constraints import ParameterSpace, fixed
from latentem.families import Custom, Family, Gaussian, Independent, NegativeBinomial, StudentT, ZeroInflated
from latentem.families.gaussian.symmetric import unpack

K, N = 3, 150
CASES = [
    pytest.param(row, *map(frozenset, case[:2]), case[2], id=f"{row.name}-{i}")
    for row in ROWS
    for i, case in enumerate(row.closed)
]


def full_name(prefix: str, name: str) -> str:
    return f"{prefix}.{name}" if prefix else name


def listed(names: frozenset[str], path: str) -> bool:
    """Whether a dotted path, or a column it lies in, is named."""
    return any(path == name or path.startswith(name + ".") for name in names)


def over_components(tree, shared, path: str = ""):
    """vmap axes of a tree of parameters: None for those in common."""
    return {
        name: over_components(value, shared, full_name(path, name))
        if isinstance(value, dict)
        else (None if listed(shared, full_name(path, name)) else 0)
        for name, value in tree.items()
    }


def start(row: Row, rng, shared):
    components = [row.params(rng) for _ in range(K)]
    axes = over_components(components[0], shared)

    def join(axis, *values):
        return jnp.asarray(values[0]) if axis is None else jnp.stack([jnp.asarray(v) for v in values])

    return jax.tree.map(join, axes, *components, is_leaf=lambda leaf: leaf is None), axes


def expected_log_density(family: Family, expected, params, context):
    """Q of one component from its statistics, up to a constant; not by the families' own formulas."""
    if isinstance(family, Independent):
        total, at = 0.0, 1
        for (name, part), c in zip(family.parts.items(), context, strict=True):
            total += expected_log_density(part, expected[at : at + part.width], params[name], c)
            at += part.width
        return total
    if isinstance(family, NegativeBinomial):
        mean, size = params["mean"], params["dispersion"]
        return expected[1] * jnp.log(mean / (size + mean)) + expected[0] * size * jnp.log(size / (size + mean))
    if isinstance(family, ZeroInflated):
        own = expected[1] * jnp.log(params["zero"]) + (expected[0] - expected[1]) * jnp.log(1 - params["zero"])
        return own + expected_log_density(family.family, expected[2:], params["family"], context)
    if isinstance(family, Custom):
        return 0.0
    if family.separable:
        return expected @ family.natural(params, context)
    if isinstance(family, Gaussian):
        return normal_part(expected[0], expected, params["mean"], params["covariance"], context)
    assert isinstance(family, StudentT)
    # log density of (x, u): normal with covariance scale / u, and u ~ Gamma(df / 2, df / 2)
    half = 0.5 * params["df"]
    precisions = expected[0] * (half * jnp.log(half) - gammaln(half)) + half * (expected[-1] - expected[0])
    return precisions + normal_part(expected[0], expected[1:-1], params["location"], params["scale"], context)


def normal_part(count, moments, location, scale, context):
    """-1/2 (count log |scale| + trace(scale^-1 scatter about the location))."""
    dim = location.size
    mean = (location - context[0]) / context[1]
    matrix = scale / (context[1][:, None] * context[1])
    mass, first, second = moments[0], moments[1 : 1 + dim], unpack(moments[1 + dim :], dim)
    scatter = second - jnp.outer(first, mean) - jnp.outer(mean, first) + mass * jnp.outer(mean, mean)
    return -0.5 * (count * jnp.linalg.slogdet(matrix)[1] + jnp.trace(jnp.linalg.solve(matrix, scatter)))


@pytest.mark.parametrize(("row", "shared", "held", "prior"), CASES)
def test_reaches_the_maximum(row: Row, shared, held, prior, x64) -> None:
    rng = np.random.default_rng(0)
    family, x = row.family.declare(row.data(rng, N))
    assert family.has_closed_form(shared, held, prior)
    params, axes = start(row, rng, shared)
    responsibilities = rng.dirichlet(np.full(K, 0.5), N)

    space = space_of(family, axes, held, params)

    @partial(jax.jit, compiler_options=QUICK)
    def m_step(params):
        expected, reference = e_step(family, axes, params, x, responsibilities)
        new = family.maximize(expected, params, reference, shared=shared, fixed=held, prior=prior)
        return expected, reference, new, space.unconstrain(new)

    expected, reference, new, u = m_step(params)
    assert jax.tree.map(jnp.shape, new) == jax.tree.map(jnp.shape, params)
    for path, before, after in zip(space.names, jax.tree.leaves(params), jax.tree.leaves(new), strict=True):
        if listed(held, path):
            np.testing.assert_array_equal(before, after)
    if space.size == 0:
        return

    log_prior = priors.Joint.of(prior)
    each = jax.vmap(
        partial(expected_log_density, family),
        in_axes=(0, axes, component_axes(family, reference)),
        axis_size=K,
    )

    @partial(jax.jit, compiler_options=QUICK)
    def objective(u):
        def value(u):
            p = space.constrain(u)
            return jnp.sum(each(expected, p, reference)) + log_prior.log_prob(p)

        return jax.value_and_grad(value)(u)

    value, slope = objective(u)
    assert np.isfinite(value)
    np.testing.assert_allclose(slope, 0, atol=1e-8 * N)
    for size in (1e-3, 1e-1):
        for _ in range(10):
            assert objective(u + size * rng.normal(size=u.size))[0] <= value + 1e-9


def e_step(family: Family, axes, params, x, responsibilities):
    """Expected statistics (K, S) and the context they are to be maximised with."""
    context = family.context(x, jnp.ones(N))
    rows = jax.vmap(family.statistics, in_axes=(None, 0, None))
    statistics = jax.vmap(rows, in_axes=(axes, None, None), axis_size=K)(params, x, context)
    expected = jnp.einsum("nk,kns->ks", responsibilities, statistics)
    return expected, family.statistics_context(params, context)


def component_axes(family: Family, context):
    """vmap axes of a context: statistics about a component's own location have one reference each."""
    if isinstance(family, Independent):
        return tuple(component_axes(p, c) for p, c in zip(family.parts.values(), context, strict=True))
    if family.separable or isinstance(context, tuple) and context == () or isinstance(family, ZeroInflated):
        return None
    return (0 if context[0].ndim == 2 else None, *[None] * (len(context) - 1))


def space_of(family: Family, axes, held, params, path: str = ""):
    def build(constraints, axes, params, path):
        return {
            name: build(value, axes[name], params[name], full_name(path, name))
            if isinstance(value, dict)
            else fixed(np.asarray(params[name]))
            if listed(held, full_name(path, name))
            else (value if axes[name] is None else value.batched(K))
            for name, value in constraints.items()
        }

    return ParameterSpace.of(build(family.constraints(), axes, params, path))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_says_where_it_is_not_exact(row: Row) -> None:
    family, _ = row.family.declare(row.data(np.random.default_rng(0), N))
    for shared, held, prior in row.open:
        assert not family.has_closed_form(frozenset(shared), frozenset(held), prior)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_an_empty_component_keeps_its_parameters(row: Row, x64) -> None:
    rng = np.random.default_rng(0)
    family, x = row.family.declare(row.data(rng, N))
    params, axes = start(row, rng, frozenset())

    @partial(jax.jit, compiler_options=QUICK)
    def m_step(params, share):
        expected, reference = e_step(family, axes, params, x, jnp.ones((N, K)) * share)
        return family.maximize(expected, params, reference)

    for nothing in (0.0, 1e-14):
        new = m_step(params, np.array([1.0, nothing, 1.0]))
        jax.tree.map(lambda a, b: np.testing.assert_array_equal(a[1], b[1]), new, params)
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(new))
    jax.tree.map(np.testing.assert_array_equal, m_step(params, np.zeros(K)), params)
