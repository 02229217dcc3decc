"""Student t: EM climbs, and stops where numerical optimisation and SciPy do."""

import math

import jax
import jax.numpy as jnp
import numpy as np
from scipy import optimize, stats

from latentem.constraints import ParameterSpace
from latentem.families import StudentT


def em(x: np.ndarray, iterations: int, fixed=frozenset()):
    """The family after declaring x, its fit by plain EM and the log-likelihoods on the way."""
    family, x = StudentT().declare(x)
    weights = np.ones(len(x))
    context = jax.jit(family.context)(x, weights)

    def likelihood(params):
        return jnp.sum(jax.vmap(family.log_prob, in_axes=(None, 0))(params, x))

    def step(params, _):
        statistics = jax.vmap(family.statistics, in_axes=(None, 0, None))(params, x, context)
        several = jax.tree.map(lambda a: a[None], params)
        reference = family.statistics_context(several, context)
        new = family.maximize(jnp.sum(statistics, 0)[None], several, reference, fixed=fixed)
        return jax.tree.map(lambda a: a[0], new), likelihood(params)

    @jax.jit
    def run():
        return jax.lax.scan(step, family.default(x, weights, context), length=iterations)

    params, trace = run()
    return family, params, np.asarray(trace), likelihood


def test_em_never_falls_and_reaches_the_numerical_optimum(x64) -> None:
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(150, 2)) @ [[2, 1], [0, 0.5]]) / np.sqrt(rng.gamma(2, 0.5, (150, 1))) * [1, 1e3] + [
        5,
        -1e4,
    ]
    family, params, trace, likelihood = em(x, 2000)
    assert (np.diff(trace) > -1e-12 * abs(trace[0])).all()
    space = ParameterSpace.of(family.constraints())
    u = jax.jit(space.unconstrain)(params)
    objective = jax.jit(lambda u: likelihood(space.constrain(u)))
    # free coordinates in units of the data
    unit = np.array([1.0 if abs(value) < 20 else 1e3 for value in u])
    np.testing.assert_allclose(jax.jit(jax.grad(objective))(u) * unit, 0, atol=1e-5)
    for _ in range(20):
        assert objective(u + 1e-3 * unit * rng.normal(size=u.size)) < trace[-1]


def test_agrees_with_scipys_fit_in_one_dimension(x64) -> None:
    x = stats.t.rvs(3.5, loc=4.0, scale=0.5, size=400, random_state=1)
    _, params, trace, _ = em(x, 1500)

    def objective(u):
        return -stats.t.logpdf(x, np.exp(u[0]), u[1], np.exp(u[2])).sum()

    best = optimize.minimize(
        objective,
        [1.0, 4.0, -1.0],
        method="Nelder-Mead",
        options={"xatol": 1e-9, "fatol": 1e-11, "maxiter": 5000},
    )
    np.testing.assert_allclose(trace[-1], -best.fun, rtol=1e-11)
    np.testing.assert_allclose(params["df"], np.exp(best.x[0]), rtol=1e-4)
    np.testing.assert_allclose(params["location"][0], best.x[1], rtol=1e-6)
    np.testing.assert_allclose(np.sqrt(params["scale"][0, 0]), np.exp(best.x[2]), rtol=1e-5)


def test_gaussian_data_take_df_up_without_harm(x64) -> None:
    x = np.random.default_rng(2).uniform(-1, 1, (300, 2))
    _, params, trace, _ = em(x, 500)
    assert 100 < float(params["df"]) <= 1e6 and (np.diff(trace) > -1e-9).all()


def test_cauchy_data_do_not_reach_the_floor(x64) -> None:
    x = stats.cauchy.rvs(size=2000, random_state=3) * 1e-3 + 10
    _, params, _, _ = em(x, 300)
    np.testing.assert_allclose(params["df"], 1.0, atol=0.15)
    np.testing.assert_allclose(np.sqrt(params["scale"][0, 0]), 1e-3, rtol=0.1)


def test_a_large_df_is_the_normal_density(x64) -> None:
    score = jax.jit(lambda df: StudentT(1).log_prob({"location": jnp.zeros(1), "scale": jnp.eye(1), "df": df}, 1.3))
    np.testing.assert_allclose(score(1e8), stats.norm.logpdf(1.3), rtol=1e-7)
    # Gamma(n + 1/2) / Gamma(n) as a product; SciPy takes the difference of two large logarithms
    n = 5000
    ratio = 0.5 * math.log(math.pi) + math.fsum([math.log(0.5)] + [math.log1p(0.5 / i) for i in range(1, n)])
    exact = ratio - 0.5 * math.log(2 * n * math.pi) - (n + 0.5) * math.log1p(1.3**2 / (2 * n))
    np.testing.assert_allclose(score(2.0 * n), exact, rtol=1e-14)
