"""Automatic sufficiency: densities that separate run as two matrix products, from the declaration alone.

What flows in: a `Model` and distinct observations on the host.
What flows out: `Compression`: a few observations that stand for all, the coordinates of every row in them, and the
proof at fresh params; or the reason why not, in one line.

- `tabulate`: log p of many (params, z) pairs and rows.
- `basis`: the numerical rank of such a table, anchors, coordinates, the error of what they predict.
- `coordinates`: those of all rows, and the proof that they predict; `compression`: what is found.
- `search`: detect, validate, compress: `one_round(search) -> Compression | Search`; `ask`: `lem.sufficiency`.
- `form`: the separable form on anchors.

To add a way to look for statistics: return a `Compression` with its `basis`; `form` and the last proof at the params
reached need nothing else.
"""

from latentem.forms.anchors.ask import sufficiency
from latentem.forms.anchors.compression import Compression

__all__ = ["Compression", "sufficiency"]
