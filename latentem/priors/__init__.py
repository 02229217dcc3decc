"""Prior densities of parameters, in natural coordinates: no Jacobian of a transformation enters.

Every prior is a frozen, hashable value. `log_prob(value)` is the normalised log density summed over the
entries (over the leading axes for vectors and matrices): -inf, never NaN, outside the support, with finite
derivatives inside. Arguments are numbers or arrays that broadcast to the parameter; they are kept as floats
or nested tuples.
"""

from latentem.priors.base import Prior
from latentem.priors.joint import Joint
from latentem.priors.matrix import InverseWishart
from latentem.priors.univariate import Beta, Gamma, InverseGamma, LogNormal, Normal
from latentem.priors.vector import Dirichlet

__all__ = ["Beta", "Dirichlet", "Gamma", "InverseGamma", "InverseWishart", "Joint", "LogNormal", "Normal", "Prior"]
