"""What ready models are built with, beside the names of `latentem`: for models of one's own that do more than declare.

- `jit`, `seldom`: compile a function as the package does, so that no program waits for the thread pool and Ctrl-C is
  heard; `seldom` for what runs a few times, compiled in two thirds of the time.
- `chunk_rows`, `chunked_map`, `chunked_sum`: over rows in cache-sized chunks.
- `climb`, `observed_information`: EM and Newton on the host, from scores alone.
- `newton_ascent`: damped Newton steps from value, gradient and Hessian.
- `chi_squared_tail`: P(chi-squared >= x).
- `WholeFit`: a Fit whose observations share one latent.
- `tables`: the numbers of data frames of other libraries.
- `as_key`: what a user passed as `key`, a seed or a key of `jax.random`, as a key.

>>> from latentem import building
>>> round(float(building.chi_squared_tail(3.841, 1)), 3)
0.05
"""

from latentem.ascent.host import Climb, climb, observed_information
from latentem.data import tables
from latentem.inference.intervals import chi_squared_tail
from latentem.numerics.chunks import chunk_rows, chunked_map, chunked_sum
from latentem.numerics.compiled import jit, seldom
from latentem.numerics.keys import as_key
from latentem.numerics.newton import newton_ascent
from latentem.results.whole import WholeFit

__all__ = [
    "Climb",
    "WholeFit",
    "as_key",
    "chi_squared_tail",
    "chunk_rows",
    "chunked_map",
    "chunked_sum",
    "climb",
    "jit",
    "newton_ascent",
    "observed_information",
    "seldom",
    "tables",
]
