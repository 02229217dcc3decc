"""Sets that parameters live in, each with a bijection to R^n."""

from latentem.constraints.base import Constraint
from latentem.constraints.elementwise import interval, positive, real, unit
from latentem.constraints.fixed import fixed
from latentem.constraints.matrices import correlation, covariance
from latentem.constraints.pattern import pattern
from latentem.constraints.repeated import repeated
from latentem.constraints.space import ParameterSpace
from latentem.constraints.standardised import Standardised
from latentem.constraints.stochastic import stochastic
from latentem.constraints.tied import Tied, tied
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
