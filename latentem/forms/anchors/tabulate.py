"""Tables of log p(x, z | params) over many (params, z) pairs and many observations, in blocks of one compiled shape."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from latentem.model import Model
from latentem.numerics.compiled import jit

#: One compiled block: this many (params, z) pairs by one of these numbers of observations, so that samples, anchors
#: and all rows share two or three compiled programs.
PAIRS = 32
ROWS = (64, 512, 2048)


@partial(jit, static_argnums=0)
def _block(model: Model, u: Any, z: Any, rows: Any) -> Any:
    params = jax.vmap(model.space.constrain)(u)
    one = model.complete_log_likelihood
    return jax.vmap(lambda p, v: jax.vmap(lambda x: one(p, x, v))(rows))(params, z)


def _padded(array: np.ndarray, size: int) -> np.ndarray:
    """`size` rows: the array, its first row repeated behind it."""
    missing = size - array.shape[0]
    if missing == 0:
        return array
    return np.concatenate([array, np.broadcast_to(array[:1], (missing, *array.shape[1:]))])


def table(model: Model, u: np.ndarray, z: np.ndarray, rows: Any) -> np.ndarray:
    """log p(x_b, z_m | params_m): (M, B).

    Args:
        u: (M, P) free vectors.
        z: (M, ...) latent values, one for each.
        rows: pytree with leading axis B.
    """
    m, b = len(u), jax.tree.leaves(rows)[0].shape[0]
    width = next((rows for rows in ROWS if rows >= b), ROWS[-1])
    out = np.empty((m, b))
    for start in range(0, b, width):
        chunk = jax.tree.map(lambda a, s=start: _padded(np.asarray(a[s : s + width]), width), rows)
        device = jax.tree.map(jnp.asarray, chunk)
        for first in range(0, m, PAIRS):
            part = slice(first, first + PAIRS)
            block = _block(model, jnp.asarray(_padded(u[part], PAIRS)), jnp.asarray(_padded(z[part], PAIRS)), device)
            stop = min(first + PAIRS, m)
            out[first:stop, start : start + width] = np.asarray(block)[: stop - first, : b - start]
    return out
