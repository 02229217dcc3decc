"""Seeds: what a user may pass as `key`."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def as_key(key: Any, what: str = "this") -> Any:
    """A typed PRNG key.

    Args:
        key: a key of `jax.random.key`, one of the older `jax.random.PRNGKey`, or any integer, which is a seed.
        what: what draws at random, for the message.

    Raises:
        ValueError, TypeError: None, several keys, or something else, in one line.

    >>> bool((jax.random.key_data(as_key(3)) == jax.random.key_data(jax.random.key(3))).all())
    True
    """
    if key is None:
        raise ValueError(f"{what} draws at random: pass key=0, or any other seed")
    if isinstance(key, jax.Array) and jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
        if key.shape != ():
            raise ValueError(f"key holds {key.size} keys: expected one; pass key[0]")
        return key
    if isinstance(key, int | np.integer) and not isinstance(key, bool):
        return jax.random.key(int(key) % 2**63)
    array = np.asarray(key) if isinstance(key, np.ndarray | jax.Array) else np.zeros(0)
    if array.dtype.kind in "iu" and array.shape == ():
        return as_key(int(array), what)
    if array.dtype == np.uint32 and array.shape == (2,):
        return jax.random.wrap_key_data(jnp.asarray(array, dtype=jnp.uint32))
    raise TypeError(f"key={key!r:.60}: expected a seed such as key=0, or jax.random.key(0)")
