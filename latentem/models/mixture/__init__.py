"""Finite mixtures of any family; a mixture is itself a family.

What flows in: a family, the number of components, what they share, what is fixed.
What flows out: `Mixture`, a value that declares itself as a `lem.Model`; components for hidden Markov models as well.

`mixture`: the declaration and its M-step; `several`: components of different families; `gate`: weights by covariates;
`structures`: M-steps of covariances that share volume, shape or orientation; `gaussian`, `factors`: mixtures by their
plain names; `initial`: where a fit begins; `verbs`, `conditional`, `three_step`: what a fit is asked;
`names`: dotted names of params.

To add a way to begin: a word of `Mixture.start` and its branch in `initial.initial`, which returns responsibilities.
"""

from latentem.models.mixture.factors import FactorAnalysis
from latentem.models.mixture.gaussian import GaussianMixture, MultivariateNormal, select_mixture
from latentem.models.mixture.mixture import Mixture

__all__ = ["FactorAnalysis", "GaussianMixture", "Mixture", "MultivariateNormal", "select_mixture"]
