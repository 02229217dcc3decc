"""How a fit ended: an enumeration whose text is advice."""

from __future__ import annotations

from enum import Enum


class Status(Enum):
    """How a fit ended.

    >>> lem.Status.converged.ok
    True
    >>> print(lem.Status.max_iterations.advice)
    stopped at max_iterations before converging: raise max_iterations, or start closer
    """

    converged = "converged"
    max_iterations = "stopped at max_iterations before converging: raise max_iterations, or start closer"
    passed = (
        "ran the passes asked for; online EM does not test convergence: compare the log-likelihood with that of more "
        "passes"
    )
    approximate = (
        "converged to a maximum of an approximation or a bound, not of the likelihood itself: standard errors and "
        "likelihood-ratio tests hold no better than it does"
    )
    subsets = (
        "ran the passes asked for; ordered subsets do not ascend and need not converge: pass the result as initial= to "
        "a fit without subsets"
    )
    stopped = (
        "stopped by the rule asked for, before the maximum: the estimate is regularised, and standard errors of a "
        "maximum do not hold"
    )
    interrupted = "interrupted: these are the best params so far; pass them as initial= to go on"
    decreased = (
        "the objective fell in an EM step: the M-step does not maximise what the E-step computes; run "
        "lem.check(model, ...)"
    )
    non_finite = (
        "the objective became NaN or infinite: these are the last finite params; check the density near them, or bound "
        "the params with a prior"
    )
    boundary = (
        "converged with a param at the edge of its constraint: standard errors do not hold there; use fewer "
        "components, "
        "or a prior that keeps params inside"
    )
    inaccurate = (
        "a maximum of the quadrature rule, whose nodes are too few to trust it: use more nodes, method='adaptive', or "
        "scale= the param that spreads the latent value"
    )
    degenerate = (
        "the data leave the likelihood without a bound, or say nothing of so many components (the notes say why): "
        "leave out constant and repeated columns, or ask for fewer components"
    )
    saddle = (
        "stopped at a saddle point or on a ridge where the objective is flat: try other starts, or fix params that the "
        "data do not identify"
    )

    @property
    def ok(self) -> bool:
        """Whether the params are a maximum of the objective (one at the boundary, or of a bound, included)."""
        return self in (Status.converged, Status.boundary, Status.approximate)

    @property
    def advice(self) -> str:
        """What happened and what to do, in one line."""
        return self.value
