"""Data: the only door for what a user passes in."""

from latentem.data.door import Data, all_finite, arrays, as_matrix, cast, has_nan, read
from latentem.data.sequences import Sequences

__all__ = ["Data", "Sequences", "all_finite", "arrays", "as_matrix", "cast", "has_nan", "read"]
