"""Indices are in range, params are used, and quadrature is fine enough."""

from __future__ import annotations

import jax
import numpy as np

from latentem.inference.accuracy import quadrature_error
from latentem.model.strict import index_fault, unused_params
from latentem.testing.case import Case
from latentem.testing.report import Part


def indices_part(case: Case) -> Part | None:
    """Whether log p(x, z) looks up only what is there, for every row and latent value."""
    if case.form.unit != "row":
        return None
    fault = index_fault(case.model, case.point, jax.tree.map(np.asarray, case.prepared.rows))
    if not fault:
        return Part("indices", True, "every index is in range")
    advice = "JAX would clamp or wrap it; count codes from 0 and mask missing ones"
    return Part("indices", False, f"log p(x, z) looks up an index that is out of range in {fault}: {advice}")


def unused_part(case: Case) -> Part | None:
    """Whether every param appears in log p(x, z)."""
    if case.form.unit != "row":
        return None
    unused = unused_params(case.model, case.prepared.rows)
    if not unused:
        return Part("unused", True, "every param appears in log p(x, z)")
    verb = "appears" if len(unused) == 1 else "appear"
    return Part("unused", False, f"{', '.join(unused)} {verb} in no log p(x, z): nothing can be learned about it")


#: Nats by which finer nodes may move the log-likelihood of the rows that are looked at, relative to their number.
FINE_ENOUGH = 1e-4


def quadrature_part(case: Case) -> Part | None:
    """Whether finer nodes leave log p(x) where it is, at a point near a start, for a model of a user's own."""
    if case.model.declaration is not None:
        return None  # a ready model looks after its nodes
    rows = jax.tree.map(np.asarray, case.prepared.rows)
    found = quadrature_error(case.model, case.point, rows, np.asarray(case.prepared.weights))
    if found is None:
        return None
    if found.difference <= FINE_ENOUGH * case.total:
        return Part("quadrature", True, str(found))
    advice = "use more nodes, method='adaptive', or scale= the param that spreads the latent value"
    return Part("quadrature", False, f"{found} near a start: {advice}")
