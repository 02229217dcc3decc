"""Models."""

from latentem.model.base import Model
from latentem.model.shortcuts import ClosedForm, Factored, Separable

__all__ = ["ClosedForm", "Factored", "Model", "Separable"]
