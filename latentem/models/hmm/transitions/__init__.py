"""How states follow one another: kinds of transition, each a strategy.

What flows in: what a declaration says of transitions; expected counts of moves.
What flows out: the constraint of params["transition"], the log transition matrix, its M-step, where it begins.

- `base`: `Transition`, what a kind is; `kinds`: which one a declaration asks for.
- `free`: every entry free, or zero; `restricted`: entries fixed or tied; `stationary`: begins in equilibrium; `logit`:
  depends on covariates.
- `counts`: from counts to probabilities; moves between known states.

To add a kind: a file with a frozen `Transition`, its line here, and its branch in `kinds.transition`.
"""

from latentem.models.hmm.transitions.base import Transition
from latentem.models.hmm.transitions.counts import known_moves, log, shares, sticky, with_prior
from latentem.models.hmm.transitions.free import Free
from latentem.models.hmm.transitions.kinds import transition
from latentem.models.hmm.transitions.logit import Logit, reference
from latentem.models.hmm.transitions.restricted import Restricted
from latentem.models.hmm.transitions.stationary import Stationary

__all__ = [
    "Free",
    "Logit",
    "Restricted",
    "Stationary",
    "Transition",
    "known_moves",
    "log",
    "reference",
    "shares",
    "sticky",
    "transition",
    "with_prior",
]
