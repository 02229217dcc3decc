"""Regressions: the distribution of one column given others (generalised linear models, McCullagh and Nelder 1989).

What flows in: dicts (tables) of columns, of which a family names the response and the covariates.
What flows out: families like any other, whose components are lines.

`base`: columns, design, offset, weights; `gaussian`: least squares; `linked`: Poisson and logistic regression;
`positive`: gamma and negative binomial; `categories`: multinomial logit, proportional odds.

To add one: a frozen dataclass below `base.Regression`: `check`, `constraints`, `log_prob`, `mean`, `draw`, `default`.
"""

from latentem.families.regression.base import Regression
from latentem.families.regression.categories import CategoricalRegression, OrdinalRegression
from latentem.families.regression.gaussian import GaussianRegression
from latentem.families.regression.linked import BernoulliRegression, LinkedRegression, PoissonRegression
from latentem.families.regression.positive import GammaRegression, NegativeBinomialRegression

__all__ = [
    "BernoulliRegression",
    "CategoricalRegression",
    "GammaRegression",
    "GaussianRegression",
    "LinkedRegression",
    "NegativeBinomialRegression",
    "OrdinalRegression",
    "PoissonRegression",
    "Regression",
]
