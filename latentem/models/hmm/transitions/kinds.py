"""Which kind of transition a declaration asks for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import latentem as lem
from latentem.models.hmm.transitions.base import Transition
from latentem.models.hmm.transitions.free import Free
from latentem.models.hmm.transitions.logit import Logit
from latentem.models.hmm.transitions.restricted import Restricted
from latentem.models.hmm.transitions.stationary import Stationary


def transition(
    states: int, zeros: Any, fixed: Mapping[str, Any], groups: Any, covariates: int, stationary: bool
) -> Transition:
    """The kind of transition between K states.

    Args:
        states: K.
        zeros: the constraint that says which transitions are impossible, or None.
        fixed: may hold "transition".
        groups: lists of entries that are equal.
        covariates: how many transitions depend on.
        stationary: whether a sequence begins in equilibrium.

    Raises:
        ValueError: what is fixed, tied and impossible does not go together.
    """
    held = fixed.get("transition")
    if covariates:
        if len(groups):
            raise ValueError("tied=... with covariates: expected transitions without covariates")
        if stationary:
            raise ValueError("initial='stationary' with covariates: transitions that vary have no such distribution")
        return Logit(states, covariates, zeros, None if held is None else lem.fixed(held))
    restricted = held is not None or len(groups) > 0
    kind = Restricted.of(states, zeros, held, groups) if restricted else Free(states, zeros)
    return Stationary(kind) if stationary else kind
