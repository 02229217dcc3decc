"""Prior densities of parameters, in natural coordinates: no Jacobian of a transformation enters.

Every prior is a frozen, hashable value. `log_prob(value)` is the normalised log density summed over the
entries (over the leading axes for vectors and matrices): -inf, never NaN, outside the support, with finite
derivatives inside. Arguments are numbers or arrays that broadcast to the parameter; they are kept as floats
or nested tuples.

What flows in: a dict of priors by name, a function of all params, or nothing.
What flows out: `Joint`, one log density of the tree of params, which the M-step and every derivative include.

`base` holds what a prior is; `univariate`, `vector` and `matrix` the densities; `joint` the prior of all parameters;
`neighbours` densities of images, up to a constant, for models that climb on the host.

To add one: a frozen dataclass below `Prior` in the file of its kind, with `_store` in `__post_init__` and `log_prob`;
its line in `__all__` and a row in `tests/test_priors.py`. A closed M-step that is to include it asks for its type.
"""

from latentem.priors.base import Prior
from latentem.priors.joint import Joint
from latentem.priors.matrix import InverseWishart
from latentem.priors.neighbours import Huber, Quadratic, RelativeDifference
from latentem.priors.univariate import Beta, Gamma, InverseGamma, LogNormal, Normal
from latentem.priors.vector import Dirichlet

__all__ = [
    "Beta",
    "Dirichlet",
    "Gamma",
    "Huber",
    "InverseGamma",
    "InverseWishart",
    "Joint",
    "LogNormal",
    "Normal",
    "Prior",
    "Quadratic",
    "RelativeDifference",
]
