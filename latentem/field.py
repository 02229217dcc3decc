"""Gaussian fields: one latent vector that all observations share, with a sparse precision. Structures of fields, and
the linear algebra below them, for whoever writes a model.
"""

from latentem.forms.field.design import Effect, Gram, Moments, moments
from latentem.forms.field.factor import Factor, NotPositiveDefinite
from latentem.forms.field.levels import text_of
from latentem.forms.field.linear import Point, System
from latentem.forms.field.ordering import best as analyse
from latentem.forms.field.pedigree import Pedigree
from latentem.forms.field.precision import Layout, layout
from latentem.forms.field.records import FieldPoint, Records, records_of
from latentem.forms.field.structures import Bound, Exchangeable, Structure
from latentem.forms.field.symbolic import Symbolic

__all__ = [
    "Bound",
    "Effect",
    "Exchangeable",
    "Factor",
    "FieldPoint",
    "Gram",
    "Layout",
    "Moments",
    "NotPositiveDefinite",
    "Pedigree",
    "Point",
    "Records",
    "Structure",
    "Symbolic",
    "System",
    "analyse",
    "layout",
    "moments",
    "records_of",
    "text_of",
]
