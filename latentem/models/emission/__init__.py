"""Counts through a linear operator: emission tomography, Richardson-Lucy deconvolution, unfolding of histograms.

- `emission`: `Emission`, the declaration and its verbs; `measured`: what it finds out about the data.
- `regions`: sums over regions of an image, with standard errors by conjugate gradients.
- `paths`: bias and standard deviation of a region along the iterations; `stopping`: rules that end them early.
"""

from latentem.models.emission.emission import Emission

__all__ = ["Emission"]
