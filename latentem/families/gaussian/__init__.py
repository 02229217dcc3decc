"""The normal distribution of vectors: one family, whose structures of covariance differ in what they sum.

What flows in: rows of numbers (N, D), with entries missing or not.
What flows out: `Gaussian`, which asks `full`, `diagonal` (spherical too) or `missing` for its densities and
statistics.

`context` holds the centre and scale that features are computed in, so that nothing cancels; `location_scatter` the
M-step of a mean and a covariance, which `StudentT` shares; `symmetric` packed symmetric matrices.

To add a structure: a file of functions like `diagonal`, and its branch in `gaussian.Gaussian`.
"""

from latentem.families.gaussian.gaussian import Gaussian

__all__ = ["Gaussian"]
