"""What one component looks like: densities, their statistics, and what maximises them."""

from latentem.families.autoregressive import Autoregressive
from latentem.families.base import Family
from latentem.families.bernoulli import Bernoulli
from latentem.families.categorical import Categorical
from latentem.families.custom import Custom
from latentem.families.exponential import Exponential
from latentem.families.gamma import Gamma
from latentem.families.gaussian import Gaussian
from latentem.families.independent import Independent
from latentem.families.multinomial import Multinomial
from latentem.families.negative_binomial import NegativeBinomial
from latentem.families.poisson import Poisson
from latentem.families.regression import BernoulliRegression, GaussianRegression, PoissonRegression
from latentem.families.student_t import StudentT
from latentem.families.von_mises import VonMises

__all__ = [
    "Autoregressive",
    "Bernoulli",
    "BernoulliRegression",
    "Categorical",
    "Custom",
    "Exponential",
    "Family",
    "Gamma",
    "Gaussian",
    "GaussianRegression",
    "Independent",
    "Multinomial",
    "NegativeBinomial",
    "Poisson",
    "PoissonRegression",
    "StudentT",
    "VonMises",
]
