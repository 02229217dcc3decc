"""The one door for what a user passes in, on the host, before anything is compiled.

What flows in: arrays, nested dicts and tuples of them, tables of pandas, polars or pyarrow, lists of sequences;
weights.
What flows out: `Data`, checked: a pytree of arrays with one leading axis of N observations and weights (N,). Whatever
cannot be used is refused here in one line: what came, what was expected, what to do. NaN is a missing entry.

- `door`: `read` and `cast`, checks of entries and weights.
- `tables`, `trees`: columns of a table of another library; names of the leaves of a pytree.
- `sequences`: observations in order, ragged, end to end as one value, `Sequences`; one observation is one sequence.
- `duplicates`: equal rows become one row with the sum of their weights.

To add a kind of data (ragged units, images): a frozen value that is a pytree, with `read(weights) -> Data`, in a file
of its own; `door.read` asks it. It knows nothing of latents and forms: how steps or pixels lie in memory is said by
the form that computes on them.
"""

from latentem.data.door import Data, all_finite, arrays, as_matrix, cast, has_nan, read
from latentem.data.sequences import Sequences

__all__ = ["Data", "Sequences", "all_finite", "arrays", "as_matrix", "cast", "has_nan", "read"]
