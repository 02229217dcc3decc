"""Sets that parameters live in, each with a bijection to R^n.

What flows in: a user's tree of constraints, `{"rate": lem.positive(3)}`; values, in natural coordinates.
What flows out: `ParameterSpace`, that tree as one free vector u and back: what is climbed on, and what information and
standard errors are matrices of.

`base` holds what a constraint is; `elementwise`, `vectors`, `matrices` and `stochastic_matrices` the sets;
`constants`, `patterns`, `repeats`, `in_part`, `links` and `ties` what is fixed, zero, repeated, given in part, borrowed
or equal; `standardised` a histogram of mean 0 and variance 1; `structures` covariances of several components whose
volumes, shapes and orientations are equal or vary; `space` the tree.

To add one: a frozen dataclass below `base.Constraint` in the file of its kind. Write `shape`, `size`, `kind`,
`free_indices`, `constrain(u)`, `unconstrain(value)` (always finite: edge values move inside by the smallest
representable step), `contains`, `boundary` and `log_det_jacobian`; you get `batched`, `describe`, a place in every
`ParameterSpace`, standard errors and intervals. Then a function of its name, its line in `__all__` and a row in
`tests/test_constraints.py`, which holds every constraint to its contract.
"""

from latentem.constraints.base import Constraint
from latentem.constraints.constants import fixed
from latentem.constraints.elementwise import interval, positive, real, unit
from latentem.constraints.entrywise import Diagonal, Entries, diagonal, entries
from latentem.constraints.in_part import held, one_of
from latentem.constraints.links import Linked
from latentem.constraints.matrices import correlation, covariance
from latentem.constraints.patterns import pattern
from latentem.constraints.repeats import repeated
from latentem.constraints.space import ParameterSpace
from latentem.constraints.standardised import Standardised
from latentem.constraints.stochastic_matrices import stochastic
from latentem.constraints.structures import Structured, structured
from latentem.constraints.ties import Tied, tied
from latentem.constraints.vectors import ordered, simplex

__all__ = [
    "Constraint",
    "Diagonal",
    "Entries",
    "Linked",
    "ParameterSpace",
    "Standardised",
    "Structured",
    "Tied",
    "correlation",
    "covariance",
    "diagonal",
    "entries",
    "fixed",
    "held",
    "interval",
    "one_of",
    "ordered",
    "pattern",
    "positive",
    "real",
    "repeated",
    "simplex",
    "stochastic",
    "structured",
    "tied",
    "unit",
]
