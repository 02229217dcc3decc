"""x"""

from latentem.models.mixture.mixture import GaussianMixture, Mixture

__all__ = ["GaussianMixture", "Mixture"]
