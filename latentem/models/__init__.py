"""Ready models: declarations written against the public interface."""

from latentem.models.hmm import HMM
from latentem.models.hsmm import HSMM
from latentem.models.irt import IRT, ItemModel, logit_normal, responses
from latentem.models.kmeans import KMeans
from latentem.models.mixture import GaussianMixture, Mixture

__all__ = ["HMM", "HSMM", "IRT", "GaussianMixture", "ItemModel", "KMeans", "Mixture", "logit_normal", "responses"]
