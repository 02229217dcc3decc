"""Finite mixtures of any family; a mixture is itself a family.

What flows in: a family, the number of components, what they share, what is fixed.
What flows out: `Mixture`, a value that declares itself as a `lem.Model`; components for hidden Markov models as well.

`mixture`: the declaration and its M-step; `initial`: where a fit begins; `names`: dotted names of params.

To add a way to begin: a word of `Mixture.start` and its branch in `initial.initial`, which returns responsibilities.
"""

from latentem.models.mixture.mixture import GaussianMixture, Mixture

__all__ = ["GaussianMixture", "Mixture"]
