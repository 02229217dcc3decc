"""Ready models: declarations written against the public interface.

What flows in: what a user says of a model in its field's own words.
What flows out: a `lem.Model`, and verbs of its fits.

A ready model is a frozen dataclass with `declare(observations) -> (self with what the data fix, observations)` and
`model() -> lem.Model`, cached, so that equal values compile once. `verbs` names methods `verb(fit, ...)` that a Fit
offers as `fit.verb(...)`; `figures` those without arguments that it computes once. `remarks(params, data)` are notes
of every fit, `report(fit)` lines of its summary.

To add one: a file, or a folder where it has rooms, that imports public names only (a test reads the imports); its line
in `__all__` here and in `latentem`; a row in `tests/contracts/registry.py`; a page in `docs/`.
"""

from latentem.models.alignment import WordAlignment
from latentem.models.emission import Emission
from latentem.models.hmm import HMM
from latentem.models.hsmm import HSMM
from latentem.models.irt import IRT, ItemModel, logit_normal, responses
from latentem.models.kmeans import KMeans
from latentem.models.mixed import Mixed
from latentem.models.mixture import FactorAnalysis, GaussianMixture, Mixture, MultivariateNormal, select_mixture
from latentem.models.modal import Modal
from latentem.models.segmentation import Segmentation
from latentem.models.statespace import AR, DynamicFactor, LocalLevel, LocalTrend, StateSpace, Structural
from latentem.models.topics import Topics

__all__ = [
    "AR",
    "HMM",
    "HSMM",
    "IRT",
    "DynamicFactor",
    "Emission",
    "FactorAnalysis",
    "GaussianMixture",
    "ItemModel",
    "KMeans",
    "LocalLevel",
    "LocalTrend",
    "Mixed",
    "Mixture",
    "Modal",
    "MultivariateNormal",
    "Segmentation",
    "StateSpace",
    "Structural",
    "Topics",
    "WordAlignment",
    "logit_normal",
    "responses",
    "select_mixture",
]
