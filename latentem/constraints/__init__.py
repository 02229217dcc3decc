"""Sets that parameters live in, each with a bijection to R^n."""

from latentem.constraints.base import Constraint
from latentem.constraints.constants import fixed
from latentem.constraints.elementwise import interval, positive, real, unit
from latentem.constraints.matrices import correlation, covariance
from latentem.constraints.patterns import pattern
from latentem.constraints.repeats import repeated
from latentem.constraints.space import ParameterSpace
from latentem.constraints.standardised import Standardised
from latentem.constraints.stochastic_matrices import stochastic
from latentem.constraints.ties import Tied, tied
from latentem.constraints.vectors import ordered, simplex

__all__ = [
    "Constraint",
    "ParameterSpace",
    "Standardised",
    "Tied",
    "correlation",
    "covariance",
    "fixed",
    "interval",
    "ordered",
    "pattern",
    "positive",
    "real",
    "repeated",
    "simplex",
    "stochastic",
    "tied",
    "unit",
]
