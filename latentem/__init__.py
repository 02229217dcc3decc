"""State a latent-variable model; get its EM.

>>> def complete_log_likelihood(params, x, z):
...     rate = params["rate"][z]
...     return jnp.log(params["weight"][z]) + x * jnp.log(rate) - rate - jax.lax.lgamma(x + 1.0)
>>> model = lem.Model(
...     complete_log_likelihood,
...     latent=lem.Finite(2),
...     params={"weight": lem.simplex(2), "rate": lem.positive(2)},
... )
>>> fit = lem.fit(model, np.array([0.0, 1.0, 1.0, 2.0, 7.0, 8.0, 9.0, 7.0]), key=jax.random.key(0))
>>> fit.status.name
'converged'
"""

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from latentem.numerics.interrupt import end_in_one_line, is_command

if is_command(sys.argv, sys.orig_argv):  # before what takes seconds to import
    sys.excepthook = end_in_one_line(sys.excepthook)

from latentem import building, chain, durations, families, field, kalman, posterior, priors
from latentem.ascent.acceleration import PX, SQUAREM, Anderson, AverageInformation, Plain
from latentem.ascent.annealing import Annealing
from latentem.ascent.fixed_point import accelerate
from latentem.ascent.iteration import em
from latentem.ascent.mstep import Gradient, Newton
from latentem.ascent.status import Status
from latentem.ascent.stream import polynomial_decay
from latentem.comparing.bootstrap import Bootstrap, bootstrap
from latentem.comparing.ratio_test import likelihood_ratio_test
from latentem.comparing.selection import Selection, select
from latentem.constraints import (
    ParameterSpace,
    correlation,
    covariance,
    diagonal,
    fixed,
    interval,
    ordered,
    positive,
    real,
    repeated,
    simplex,
    stochastic,
    unit,
)
from latentem.data.sequences import Sequences, sequences
from latentem.fitting.batch import fit
from latentem.fitting.climb import Snapshot
from latentem.fitting.cores import use_cores
from latentem.fitting.implicit import solve
from latentem.forms.anchors import Compression, sufficiency
from latentem.forms.field.constructors import exchangeable, flat, neighbours, pedigree, random_walk, relationship
from latentem.forms.field.latent import Field
from latentem.inference.pooling import Pooled, pool
from latentem.model import ClosedForm, Factored, Model, Separable
from latentem.model.gaussian_chain import GaussianChain, LinearGaussian
from latentem.model.latents import Chain, Continuous, Finite, Given
from latentem.model.product import Product
from latentem.numerics.operators import operator
from latentem.results.fit import Fit
from latentem.results.load import load
from latentem.testing import Report, check

# Ready models are written against the names above, so they come last.
from latentem.models import (  # isort: skip
    HMM,
    HSMM,
    IRT,
    Emission,
    FactorAnalysis,
    GaussianMixture,
    ItemModel,
    KMeans,
    Segmentation,
    Topics,
    WordAlignment,
    AR,
    DynamicFactor,
    LocalLevel,
    LocalTrend,
    Mixed,
    Mixture,
    Modal,
    MultivariateNormal,
    StateSpace,
    Structural,
    logit_normal,
    responses,
    select_mixture,
)

if TYPE_CHECKING:
    from latentem import datasets, plot

__version__ = "0.1.0"

__all__ = [
    "AR",
    "PX",
    "SQUAREM",
    "Anderson",
    "AverageInformation",
    "Annealing",
    "Bootstrap",
    "Chain",
    "ClosedForm",
    "Compression",
    "Continuous",
    "Emission",
    "DynamicFactor",
    "FactorAnalysis",
    "Factored",
    "Field",
    "Finite",
    "Fit",
    "Given",
    "GaussianChain",
    "GaussianMixture",
    "Gradient",
    "HMM",
    "HSMM",
    "IRT",
    "ItemModel",
    "KMeans",
    "LinearGaussian",
    "LocalLevel",
    "LocalTrend",
    "Mixed",
    "Mixture",
    "Modal",
    "Model",
    "MultivariateNormal",
    "Newton",
    "ParameterSpace",
    "Plain",
    "Pooled",
    "Product",
    "Report",
    "Segmentation",
    "Selection",
    "Separable",
    "Sequences",
    "Snapshot",
    "StateSpace",
    "Status",
    "Topics",
    "WordAlignment",
    "Structural",
    "accelerate",
    "check",
    "bootstrap",
    "building",
    "chain",
    "correlation",
    "covariance",
    "diagonal",
    "datasets",
    "durations",
    "em",
    "exchangeable",
    "families",
    "field",
    "fit",
    "fixed",
    "flat",
    "interval",
    "kalman",
    "likelihood_ratio_test",
    "load",
    "logit_normal",
    "operator",
    "neighbours",
    "ordered",
    "pedigree",
    "plot",
    "polynomial_decay",
    "pool",
    "positive",
    "posterior",
    "priors",
    "random_walk",
    "real",
    "relationship",
    "repeated",
    "responses",
    "select",
    "select_mixture",
    "sequences",
    "simplex",
    "solve",
    "stochastic",
    "sufficiency",
    "unit",
    "use_cores",
]


def __getattr__(name: str) -> Any:
    # What a fit does not need is imported when it is first asked for.
    if name in ("datasets", "plot"):
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"latentem has no {name!r}: see latentem.__all__")
