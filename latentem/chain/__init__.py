"""Markov chains of latent states: what is asked of a model with `lem.Chain` at given params.

Every function takes (model, params, sequences) and answers for all steps end to end; `sequences.split` parts them.
"""

from latentem.chain.verbs import (
    filtered,
    first_impossible,
    log_prob,
    pairs,
    predicted,
    sample_paths,
    smoothed,
    viterbi,
)

__all__ = [
    "filtered",
    "first_impossible",
    "log_prob",
    "pairs",
    "predicted",
    "sample_paths",
    "smoothed",
    "viterbi",
]
