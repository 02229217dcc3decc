"""Ready models: users of the public interface."""

from latentem.models.hmm import HMM
from latentem.models.kmeans import KMeans
from latentem.models.mixture import GaussianMixture, Mixture

__all__ = ["HMM", "GaussianMixture", "KMeans", "Mixture"]
