"""What ready models are built with, beside the names of `latentem`: for models of one's own that do more than declare.

- `jit`, `seldom`: compile a function as the package does, so that no program waits for the thread pool and Ctrl-C is
  heard; `seldom` for what runs a few times, compiled in two thirds of the time.
- `chunk_rows`, `chunked_map`, `chunked_sum`: over rows in cache-sized chunks.
- `climb`, `observed_information`: EM and Newton on the host, from scores alone; `climb_on_host`: EM and SQUAREM there.
- `newton_ascent`: damped Newton steps from value, gradient and Hessian.
- `plus_plus`, `assigned`, `beside_known`, `standardised`, `coordinates`, `near`, `thin`, `thin_known`: k-means++ seeds.
- `fewer_than`: what is said of fewer distinct rows than components.
- `refuse_beyond_memory`: one line in place of a size that this machine does not hold.
- `chi_squared_tail`: P(chi-squared >= x).
- `WholeFit`: a Fit whose observations share one latent.
- `is_tabular`: whether data are columns by name.
- `aligned`: rows of text in columns of equal width.
- `tables`: the numbers of data frames of other libraries; `sparse_counts`, `read_image`: tables of counts, images;
  `filled`: a user's table with its missing entries filled in.
- `Axis`, `Layout`: what an axis of a parameter runs over, of models with `axes(path, layout)`; the columns of the data.
- `HostForm`: an EM map in NumPy, of models with `on_host(data, weights) -> (declared, data, form)`;
  `CountsForm`, `ProductsForm`, `CandidatesForm`, `LatticeForm` and `CutForm` are those of the package.
- `Operator`, `operator` and its kinds; `pairs`, `colours`, `neighbour_sum`: linear operators; neighbours on a lattice.
- `as_family`: a family, or one line that says what to write for what came.
- `as_key`: what a user passed as `key`, a seed or a key of `jax.random`, as a key.

>>> from latentem import building
>>> round(float(building.chi_squared_tail(3.841, 1)), 3)
0.05
"""

from latentem.ascent.host import HostEnd
from latentem.ascent.host import climb as climb_on_host
from latentem.ascent.newton_on_host import Climb, climb, observed_information
from latentem.data import tables
from latentem.data.counts import sparse_counts
from latentem.data.filling import filled
from latentem.data.lattice import read_image
from latentem.data.layout import Axis, Layout, is_tabular
from latentem.families.base import as_family
from latentem.families.degenerate import fewer_than
from latentem.forms.candidates import CandidatesForm, Links, given, shares
from latentem.forms.counts import CountsForm, Measured, log_factorials
from latentem.forms.cut import CutForm
from latentem.forms.host import HostForm
from latentem.forms.lattice import LatticeForm
from latentem.forms.products import ProductsForm, products
from latentem.inference.intervals import chi_squared_tail
from latentem.numerics.chunks import chunk_rows, chunked_map, chunked_sum
from latentem.numerics.compiled import jit, seldom
from latentem.numerics.keys import as_key
from latentem.numerics.lattice import colours, every_second, neighbour_sum, pairs
from latentem.numerics.limits import refuse_beyond_memory
from latentem.numerics.newton import newton_ascent
from latentem.numerics.operators import Callables, Dense, Diagonal, Matrix, Operator, operator
from latentem.numerics.seeding import (
    assigned,
    beside_known,
    coordinates,
    near,
    plus_plus,
    standardised,
    thin,
    thin_known,
)
from latentem.results.text import aligned
from latentem.results.whole import WholeFit

__all__ = [
    "Axis",
    "aligned",
    "Climb",
    "HostEnd",
    "climb_on_host",
    "Layout",
    "WholeFit",
    "sparse_counts",
    "filled",
    "read_image",
    "CandidatesForm",
    "Links",
    "given",
    "shares",
    "CountsForm",
    "Measured",
    "log_factorials",
    "CutForm",
    "HostForm",
    "LatticeForm",
    "ProductsForm",
    "products",
    "colours",
    "every_second",
    "neighbour_sum",
    "pairs",
    "Callables",
    "Dense",
    "Diagonal",
    "Matrix",
    "Operator",
    "operator",
    "as_family",
    "as_key",
    "assigned",
    "beside_known",
    "coordinates",
    "fewer_than",
    "near",
    "plus_plus",
    "standardised",
    "thin",
    "thin_known",
    "chi_squared_tail",
    "chunk_rows",
    "chunked_map",
    "chunked_sum",
    "climb",
    "is_tabular",
    "jit",
    "newton_ascent",
    "observed_information",
    "refuse_beyond_memory",
    "seldom",
    "tables",
]
