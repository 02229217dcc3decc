"""Indices are in range, params are used, and quadrature is fine enough."""

from __future__ import annotations

import jax
import numpy as np

from latentem.model.strict import index_fault, unused_params
from latentem.testing.case import Case
from latentem.testing.report import Part


def indices_part(case: Case) -> Part:
    """Whether log p(x, z) looks up only what is there, for every row and latent value."""
    fault = index_fault(case.model, case.point, jax.tree.map(np.asarray, case.prepared.rows))
    if not fault:
        return Part("indices", True, "every index is in range")
    advice = "JAX would clamp or wrap it; count codes from 0 and mask missing ones"
    return Part("indices", False, f"log p(x, z) looks up an index that is out of range in {fault}: {advice}")


def unused_part(case: Case) -> Part:
    """Whether every param appears in log p(x, z)."""
    unused = unused_params(case.model, case.prepared.rows)
    if not unused:
        return Part("unused", True, "every param appears in log p(x, z)")
    verb = "appears" if len(unused) == 1 else "appear"
    return Part("unused", False, f"{', '.join(unused)} {verb} in no log p(x, z): nothing can be learned about it")
