"""Forms."""

from latentem.forms.base import Form, Prepared
from latentem.forms.rows import RowForm
from latentem.forms.separable import GivenSeparableForm, SeparableForm

__all__ = ["Form", "GivenSeparableForm", "Prepared", "RowForm", "SeparableForm"]
