"""Mixed models: records that share random effects, from formulas.

What flows in: a formula, a table, what is known of the levels of its groupings.
What flows out: `Mixed`, which `lem.fit` asks to fit itself, and `MixedFit`, a Fit with the verbs of this field.

- `formula`: a formula taken apart; `declare`: the arrays it means on a table, and what is refused.
- `estimate`: the maximum and its curvature; `expectation`: EM all the way there.
- `effects`, `components`, `records`, `simulation`, `profile`, `summary`: what a fit is asked.
- `generalised`, `families`, `quadrature`: counts and proportions, by Laplace's approximation or quadrature;
  `responses`: verbs of theirs.
- `traits`, `traits_fit`: several responses.
- `drivers`, `vectors`: from a design to a fit; params and vectors of parameters.
- `fit`, `mixed`: the two values above.

To add a verb: a function of a fit in the file of its subject, and its line in `fit.MixedFit`. The sparse algebra is
`latentem.field`; a new way in which levels hang together is a structure there, not a model.
"""

from latentem.models.mixed.fit import GeneralisedFit, MixedFit
from latentem.models.mixed.mixed import Mixed
from latentem.models.mixed.traits_fit import TraitsFit

__all__ = ["GeneralisedFit", "Mixed", "MixedFit", "TraitsFit"]
