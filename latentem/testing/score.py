"""The score by Fisher's identity is the gradient of the log-likelihood (Louis 1982, JRSS B 44)."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Float

from latentem.ascent import derivatives
from latentem.forms import Form, Prepared
from latentem.numerics.compiled import seldom
from latentem.testing.case import Case
from latentem.testing.report import Part

NAME = "score"
TOLERANCE = 1e-7


@seldom
def _scores(form: Form, params: Any, prepared: Prepared) -> tuple[Float[Array, " P"], Float[Array, " P"]]:
    space = form.model.space
    u = space.unconstrain(params)
    by_autodiff = jax.grad(lambda v: form.log_likelihood(space.constrain(v), prepared))
    return derivatives.likelihood_score(form, prepared, u), by_autodiff(u)


def score_part(case: Case) -> Part | None:
    """Whether the expected complete-data score is the derivative of the log-likelihood."""
    labels = case.model.space.free_names
    if not labels:
        return None
    identity, gradient = (np.asarray(a) for a in _scores(case.form, case.point, case.prepared))
    for source, values in (("log p(x, z)", identity), ("log p(x)", gradient)):
        bad = np.flatnonzero(~np.isfinite(values))
        if len(bad):
            told = f"the derivative of {source} in {labels[bad[0]]} is {values[bad[0]]}"
            return Part(NAME, False, f"{told}: mask the arguments of log, sqrt and division, not only their results")
    gap = np.abs(identity - gradient)
    i, size = int(np.argmax(gap)), 1.0 + float(np.max(np.abs(gradient)))
    if gap[i] <= TOLERANCE * size:
        return Part(NAME, True, f"Fisher's identity agrees with autodiff to {gap[i] / size:.1e}")
    told = f"in {labels[i]} Fisher's identity gives {identity[i]:.6g} and autodiff of log p(x) {gradient[i]:.6g}"
    return Part(NAME, False, f"{told}: the posterior and its log_evidence do not both belong to this log p(x, z)")
