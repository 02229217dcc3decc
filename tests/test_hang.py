"""Programs end, whatever they ask of LAPACK, and on Ctrl-C. Each test runs in a process of its own with a time limit:
what hangs cannot be ended from inside."""

import os
import signal
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from latentem.numerics.lapack import PIECE, in_pieces

#: As users run it, whatever the other tests are compiled with.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
#: Seconds; each script takes a few on an idle machine.
LIMIT = 150

SMALLEST = """
import jax, jax.numpy as jnp, numpy as np
from jax.scipy.linalg import solve_triangular
from latentem.numerics.compiled import jit

def both(a, b):  # two calls that do not depend on each other, among more than eight operations
    solve = jax.vmap(lambda m, v: solve_triangular(m, v, lower=True))
    return [jnp.sum(jnp.tanh(solve(jnp.sin(a) + k * jnp.eye(4), jnp.cos(b))), 0) for k in (5.0, 6.0)]

compiled = jit(both)
rng = np.random.default_rng(0)
a, b = rng.normal(size=(10_000, 4, 4)), rng.normal(size=(10_000, 4, 2))
for _ in range(100):
    jax.block_until_ready(compiled(a, b))
"""

MISSING = """
import jax, numpy as np, latentem as lem

rng = np.random.default_rng(0)
x = rng.normal(size=(20_000, 4)) + 3 * rng.integers(0, 2, (20_000, 1))
x[rng.random(x.shape) < 0.1] = np.nan
print(lem.fit(lem.GaussianMixture(2), x, key=jax.random.key(1), max_iterations=20).status)
"""

OWN = """
import jax, jax.numpy as jnp, numpy as np, latentem as lem

def cll(params, x, z):  # a covariance of its own for every row: LAPACK for a batch of rows
    mean = jnp.where(z == 0, params["low"], params["high"])
    matrix = jnp.eye(3) + jnp.outer(x["scale"], x["scale"])
    y = x["y"] - mean
    return jnp.log(0.5) - 0.5 * y @ jnp.linalg.solve(matrix, y) - 0.5 * jnp.linalg.slogdet(matrix)[1]

rng = np.random.default_rng(0)
x = {"y": rng.normal(size=(20_000, 3)), "scale": rng.normal(size=(20_000, 3))}
model = lem.Model(cll, lem.Finite(2), {"low": lem.real(3), "high": lem.real(3)})
start = {"low": -np.ones(3), "high": np.ones(3)}
print(lem.fit(model, x, initial=start, max_iterations=5, compress=False).status)
"""


@pytest.mark.alone
@pytest.mark.parametrize("script", [SMALLEST, MISSING, OWN], ids=["smallest", "missing values", "own model"])
def test_ends(script: str) -> None:
    subprocess.run([sys.executable, "-c", script], check=True, timeout=LIMIT, capture_output=True, env=ENVIRONMENT)


ENDLESS = """
import jax, numpy as np, latentem as lem

rng = np.random.default_rng(0)
x = rng.normal(size=(3_000_000, 6))
print("begins", flush=True)
fit = lem.fit(lem.GaussianMixture(12), x, key=jax.random.key(1), tolerance=0.0, polish=False)
print(fit.status.name, np.isfinite(fit.log_likelihood), flush=True)
"""


def test_control_c_ends_a_fit_while_a_program_runs() -> None:
    process = subprocess.Popen([sys.executable, "-c", ENDLESS], stdout=subprocess.PIPE, text=True, env=ENVIRONMENT)
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "begins\n"
        time.sleep(20)  # what is compiled is compiled by then; a chunk of iterations takes seconds
        os.kill(process.pid, signal.SIGINT)
        out, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    assert out == "interrupted True\n"


MATRICES = np.random.default_rng(1).normal(size=(3, 700, 4, 4)) + 4 * np.eye(4)


@pytest.mark.parametrize(
    "f",
    [
        lambda a: jnp.linalg.cholesky(a @ a.mT),
        lambda a: jnp.linalg.eigh(a + a.mT),
        lambda a: jnp.linalg.solve(a, a[..., :2]),
        lambda a: jnp.linalg.slogdet(a),
        lambda a: jnp.linalg.qr(a),
        lambda a: jnp.linalg.svd(a),
        lambda a: jax.lax.fori_loop(0, 3, lambda i, c: jnp.linalg.inv(c + i), a),
        lambda a: jax.lax.map(lambda m: jax.lax.cond(m[0, 0, 0] > 4, jnp.linalg.inv, jnp.linalg.pinv, m), a),
        jax.grad(lambda a: jnp.sum(jnp.linalg.inv(a) ** 2) + jnp.sum(jax.checkpoint(jnp.linalg.eigvalsh)(a @ a.mT))),
    ],
)
def test_pieces_are_the_whole(f) -> None:  # noqa: ANN001
    with jax.enable_x64(True):
        whole, parts = jax.jit(f)(MATRICES), jax.jit(in_pieces(f))(MATRICES)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-11), whole, parts)


def _batches(jaxpr) -> list[int]:  # noqa: ANN001
    """Matrices of every LAPACK call of a program."""
    from latentem.numerics.lapack import COST, _jaxprs

    own = [int(np.prod(e.invars[0].aval.shape[:-2])) for e in jaxpr.eqns if e.primitive.name in COST]
    return own + [n for e in jaxpr.eqns for v in e.params.values() for j in _jaxprs(v) for n in _batches(j)]


def test_no_call_is_large_enough_for_the_pool() -> None:
    def f(a: jax.Array) -> jax.Array:
        inverse = jax.lax.fori_loop(0, 3, lambda i, c: jnp.linalg.inv(c), a)
        return jnp.sum(jnp.linalg.cholesky(inverse @ inverse.mT))

    def largest(g) -> int:  # noqa: ANN001
        return max(_batches(jax.make_jaxpr(jax.value_and_grad(g))(MATRICES).jaxpr))

    assert largest(f) == 2100
    jaxpr = jax.make_jaxpr(in_pieces(jax.value_and_grad(f)))(MATRICES).jaxpr
    assert 4**3 * max(_batches(jaxpr)) <= PIECE
