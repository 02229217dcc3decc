"""What M-steps of Gaussian chains are made of: regressions and variances, under what is given or equal."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from latentem.constraints.entrywise import Diagonal, Entries
from latentem.forms.kalman.moments import Regression


def regress(found: Regression, constraint: Any, precision: Float[Array, "r r"] | None, old: Array) -> Array:
    """The coefficients (r, m) that maximise an expected log density, under what is given or equal among them.

    Args:
        found: sums; with a leading axis of r regressions of one variable each, or of r variables together.
        constraint: `Entries` of the coefficients, or None where all are free.
        precision: (r, r), inverse of the noise; (r,) for regressions of one variable each.
        old: returned where nothing is free.

    Source: Holmes (2013), arXiv:1302.3919, the EM algorithm of MARSS.
    """
    several = found.xx.ndim == 3
    if constraint is None:
        if several:
            return jax.vmap(jnp.linalg.solve)(found.xx, found.yx[:, 0])
        return jnp.linalg.solve(found.xx, found.yx.T).T
    assert isinstance(constraint, Entries) and precision is not None
    if not constraint.size:
        return old
    which = (constraint.groups == np.arange(constraint.size)[:, None, None]).astype(old.dtype)
    fixed = jnp.asarray(constraint.fixed, old.dtype)
    if several:
        weighed = jnp.einsum("gpi,p,pij->gpj", which, precision, found.xx)
        right = jnp.einsum("gpi,p,pi->g", which, precision, found.yx[:, 0]) - jnp.einsum("gpj,pj->g", weighed, fixed)
        left = jnp.einsum("gpj,hpj->gh", weighed, which)
    else:
        weighed = jnp.einsum("rk,gri,ij->gkj", precision, which, found.xx)
        right = jnp.einsum("gri,rk,ki->g", which, precision, found.yx) - jnp.einsum("gkj,kj->g", weighed, fixed)
        left = jnp.einsum("gkj,hkj->gh", weighed, which)
    return constraint.constrain(jnp.linalg.solve(left, right))


def variances(spread: Float[Array, " d"], n: Array, constraint: Diagonal, old: Array) -> Array:
    """Diagonal (d, d) of the variances that maximise an expected log density, under what is given or equal.

    Args:
        spread: sums of squares of each variable.
        n: terms in each, () or (d,).
        constraint: of the matrix.
        old: returned where nothing is free.
    """
    if not constraint.size:
        return old
    which = (constraint.groups == np.arange(constraint.size)[:, None]).astype(spread.dtype)
    free = (which @ spread) / (which @ jnp.broadcast_to(n, spread.shape))
    fixed = jnp.asarray(np.array(constraint.given), spread.dtype)
    return jnp.diag(jnp.where(constraint.groups >= 0, free[np.maximum(constraint.groups, 0)], fixed))
