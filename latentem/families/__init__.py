"""What one component looks like: densities, their statistics, and what maximises them.

What flows in: one observation, or expected statistics (K, S) of K components.
What flows out: log densities, features and natural parameters, the params of K components; draws.

Mixtures, hidden Markov models and regressions are written once for any family here.

To add one: a frozen dataclass below `base.Family` in a file of its own (a folder, as `gaussian`, where it has several
structures). Write, for ONE observation, `declare(x)` (checks on the host, the dimension), `constraints()`, `log_prob`,
`sample` and `default(x, weights, context)`. With `features` and `natural` it is separable, and an E-step is one matrix
product; with `m_step(expected, params, context, given)` and `is_closed(given)` it has a closed M-step, where `given`
are the `Restrictions`: what components share, what stays put, what is believed; with `statistics` and
`statistics_context`, one of its own latent. `mean` and `cdf` of one number, `shares` of categories, let missing
entries be filled in and quantiles be asked. The first feature is the 1 that counts. Then its line in `__all__`, a row
in `tests/families/registry.py`, and a paragraph in `docs/mixtures.md`.
"""

from latentem.families.autoregressive import Autoregressive
from latentem.families.base import Family
from latentem.families.bernoulli import Bernoulli
from latentem.families.beta import Beta
from latentem.families.binomial import Binomial
from latentem.families.categorical import Categorical
from latentem.families.custom import Custom
from latentem.families.exponential import Exponential
from latentem.families.factor import FactorGaussian
from latentem.families.gamma import Gamma
from latentem.families.gaussian import Gaussian
from latentem.families.independent import Independent
from latentem.families.log_normal import LogNormal
from latentem.families.multinomial import Multinomial
from latentem.families.negative_binomial import NegativeBinomial
from latentem.families.observed import Censored, Truncated
from latentem.families.ordinal import Ordinal
from latentem.families.poisson import Poisson
from latentem.families.regression import (
    BernoulliRegression,
    CategoricalRegression,
    GammaRegression,
    GaussianRegression,
    NegativeBinomialRegression,
    OrdinalRegression,
    PoissonRegression,
)
from latentem.families.restrictions import Restrictions
from latentem.families.student_t import StudentT
from latentem.families.uniform import Uniform
from latentem.families.von_mises import VonMises
from latentem.families.weibull import Weibull
from latentem.families.zeros import Hurdle, ZeroInflated

__all__ = [
    "Autoregressive",
    "Bernoulli",
    "BernoulliRegression",
    "Beta",
    "Binomial",
    "Categorical",
    "CategoricalRegression",
    "Censored",
    "Custom",
    "Exponential",
    "FactorGaussian",
    "Family",
    "Gamma",
    "GammaRegression",
    "Gaussian",
    "GaussianRegression",
    "Hurdle",
    "Independent",
    "LogNormal",
    "Multinomial",
    "NegativeBinomial",
    "NegativeBinomialRegression",
    "Ordinal",
    "OrdinalRegression",
    "Poisson",
    "PoissonRegression",
    "Restrictions",
    "StudentT",
    "Truncated",
    "Uniform",
    "VonMises",
    "Weibull",
    "ZeroInflated",
]
