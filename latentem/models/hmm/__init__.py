"""Hidden Markov models.

What flows in: the number of states, a family for what they emit, what is known of the transitions.
What flows out: `HMM`, a value that declares itself as a `lem.Model` with factors; verbs of its fits.

- `hmm`: the declaration, its M-step, its starts.
- `states`: what it shares with `HSMM`: states that emit.
- `transitions/`: kinds of transition: free, entries fixed or tied, stationary, depending on covariates.
- `covariates`: the columns they depend on.
- `declare`: the `lem.Model` of either.
- `verbs`: what a fit is asked: smoothing, paths, forecasts; `overview`: what its summary shows first.

To add a kind of transition: a file in `transitions/` (constraint, log matrix, M-step, start); `HMM` asks nothing else.
"""

from latentem.models.hmm.hmm import HMM

__all__ = ["HMM"]
