"""Rows spread over several devices give what one device gives, whatever their number."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from shapes import SHAPES, Shape, fitted

import latentem as lem

#: Those whose E-steps add in different ways; the others in the nightly run.
OFTEN = {"mixture", "hmm", "2pl", "finite", "k-means"}


@pytest.mark.parametrize(
    "shape",
    [pytest.param(s, id=s.name, marks=() if s.name in OFTEN else pytest.mark.slow) for s in SHAPES],
)
def test_same_fit(shape: Shape) -> None:
    one, three = fitted(shape), shape.fit(devices=3)
    assert three.status == one.status
    assert three.log_likelihood == pytest.approx(one.log_likelihood, rel=1e-10)
    for a, b in zip(jax.tree.leaves(one.params), jax.tree.leaves(three.params), strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-6, atol=1e-8)  # the maximum is flat: square roots of rounding


def test_ragged_sequences_and_weights() -> None:
    rng = np.random.default_rng(4)
    lengths = rng.integers(150, 400, 300)
    sequences = [rng.poisson(np.where(np.arange(t) // 20 % 2, 1.0, 6.0)).astype(float) for t in lengths]
    sequences[3][5:9] = np.nan
    options = {"weights": rng.integers(0, 3, 300), "initial": None, "key": 0, "max_iterations": 4, "polish": False}
    model, data = lem.HMM(2, lem.families.Poisson()), lem.sequences(sequences)
    one, two = (lem.fit(model, data, devices=n, **options) for n in (1, 2))
    np.testing.assert_allclose(two.trace, one.trace, rtol=1e-12)


def test_derivatives_pass_through() -> None:
    from latentem.numerics.chunks import chunked_sum
    from latentem.numerics.compiled import jit
    from latentem.numerics.devices import mesh_of, split

    mesh = mesh_of(tuple(jax.devices()[:3]))
    assert mesh is not None
    with jax.enable_x64(True):
        rows, weights = np.random.default_rng(0).normal(size=(3000, 4, 4)), np.ones(3000)

        def total(a: jax.Array, rows: jax.Array, weights: jax.Array, mesh: object) -> jax.Array:
            def part(m: jax.Array, w: jax.Array) -> jax.Array:
                matrices = m @ jnp.swapaxes(m, 1, 2) + a * jnp.eye(4)
                return jnp.sum(w * jnp.linalg.slogdet(matrices)[1])

            return chunked_sum(part, rows, weights, 256, mesh)  # pyright: ignore

        f = jit(lambda a, r, w, m: jnp.stack([total(a, r, w, m), *_derivatives(total, a, r, w, m)]), static_argnums=3)
        whole = np.asarray(f(2.0, rows, weights, None))
        spread = np.asarray(f(2.0, split(rows, mesh), split(weights, mesh), mesh))
    np.testing.assert_allclose(spread, whole, rtol=1e-12)


def _derivatives(f: object, *args: object) -> list[jax.Array]:
    """First and second derivative, backward and forward."""
    backward, forward = jax.grad(f), jax.jacfwd(f)  # pyright: ignore
    return [backward(*args), forward(*args), jax.jacfwd(backward)(*args)]


def test_refused() -> None:
    model = lem.GaussianMixture(1)
    x = np.random.default_rng(0).normal(size=(20, 2))
    for devices, kind, told in (
        (99, ValueError, "devices=99: JAX sees 3"),
        (0, ValueError, "devices=0"),
        ("two", TypeError, "devices='two'"),
    ):
        with pytest.raises(kind, match=told):
            lem.fit(model, x, devices=devices)
    with pytest.raises(RuntimeError, match=r"use_cores\(9\): JAX already computes on 3"):
        lem.use_cores(9)
    with pytest.raises(ValueError, match="use_cores"):
        lem.use_cores(0)
