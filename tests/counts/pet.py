"""The scan that the figures of `test_mlem.py` belong to, made anew: no file of data is needed.

Phantom: scikit-image's Shepp-Logan, resized to 64 x 64 with anti-aliasing, times 20. Projector: 60 angles, 91 bins,
linear interpolation. Poisson counts of NumPy's default_rng(20240601), background 0.5 per bin.
"""

from functools import cache

import numpy as np
import scipy.sparse as sp

import latentem as lem


@cache
def scan() -> tuple[sp.csr_array, np.ndarray, np.ndarray]:
    """(projector, phantom (64, 64), counts (60, 91))."""
    from skimage.data import shepp_logan_phantom
    from skimage.transform import resize

    phantom = resize(shepp_logan_phantom(), (64, 64), anti_aliasing=True) * 20
    projector = lem.datasets.tomography.parallel_beam(64, 60, 91)
    counts = np.random.default_rng(20240601).poisson(projector @ phantom.ravel() + 0.5).astype(float)
    return projector, phantom, counts.reshape(60, 91)
