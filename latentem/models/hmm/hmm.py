"""Hidden Markov models (Baum, Petrie, Soules and Weiss 1970; Zucchini, MacDonald and Langrock 2016) of any family."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

import latentem as lem
from latentem.constraints import Tied
from latentem.families import Family
from latentem.models.hmm import logit
from latentem.models.hmm.declare import maximized_emission
from latentem.models.hmm.states import States
from latentem.models.hmm.transitions import known_moves, log, restricted, shares, stationary, sticky, with_prior

Params = dict[str, Any]


@dataclass(frozen=True)
class HMM(States):
    """A Markov chain of K states, each with a density of its own for what is observed.

    Args:
        states: number of states K.
        emission: density of an observation in a state, from `latentem.families`, or a `Mixture`.
        initial: distribution of the first state: "free", "stationary" (that of the transition matrix), or (K,) fixed
            probabilities.
        allowed: (K, K) booleans, transitions that are possible; all of them by default. The others stay exactly zero.
        covariates: names of columns that transitions depend on, by a multinomial logit for each state.
        covariate_at: "from", the covariates at the step that a transition leaves (as in depmixS4), or "to", at the one
            it goes into (as in hmmTMB).
        shared: names of the family's parameters that all states have in common.
        fixed: values that stay put: {"transition": (K, K) ...}, NaN for entries that are free, or {name of the family's
            parameter: (K, ...)}.
        tied: groups of transitions with one probability, lists of (from, to): [[(0, 0), (1, 1)]].
        prior: MAP: {"initial": Dirichlet, "transition": Dirichlet, "emission": {name: prior}}; a `Dirichlet` of
            concentration 1 + kappa on the diagonal and 1 elsewhere makes states sticky.

    Params are {"initial": (K,), "transition": (K, K), "emission": {name: (K, ...)}}; there is no "initial" where it is
    stationary or fixed. Data are one array (one sequence) or `lem.sequences(...)`; a step that is all NaN is missing.
    N in BIC counts time steps, as in depmixS4 and in Zucchini and MacDonald.

    With covariates, steps are columns by name, `lem.sequences({"y": ..., "z": ...})`; the family takes its columns by
    name (`Independent`, regressions) or the one column that is no covariate. Params then hold "transition" (K, K, 1 +
    covariates), the intercept first: row i is the log odds of every state against staying in i (against the first state
    that `allowed` permits, where staying is not possible), which are zero. A start gives them no slope.

    >>> x = np.array([0, 1, 0, 1, 9, 8, 11, 10, 9, 1, 0, 0, 2, 12, 9, 8])
    >>> fit = lem.fit(lem.HMM(2, lem.families.Poisson()), x, key=jax.random.key(0))
    >>> np.round(np.sort(fit.params["emission"]["rate"]), 3)
    array([0.618, 9.46 ])
    """

    states: int
    emission: Family
    initial: Any = field(default="free", compare=False)
    allowed: Any = field(default=None, compare=False)
    covariates: tuple[str, ...] = ()
    covariate_at: str = "from"
    shared: tuple[str, ...] = ()
    fixed: Mapping[str, Any] = field(default_factory=dict, compare=False)
    tied: Any = field(default=(), compare=False)
    prior: Mapping[str, Any] | None = field(default=None, compare=False)
    _key: tuple[Any, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.states, int) or self.states < 1:
            raise ValueError(f"states={self.states!r}: expected an integer >= 1")
        if not isinstance(self.emission, Family):
            raise TypeError(f"emission={self.emission!r}: expected a family such as lem.families.Poisson()")
        initial = self.initial
        if isinstance(initial, str):
            if initial not in ("free", "stationary"):
                raise ValueError(f"initial={initial!r}: expected 'free', 'stationary' or {self.states} probabilities")
        elif not bool(lem.simplex(self.states).contains(_vector("initial", initial, self.states))):
            raise ValueError(f"initial={initial!r}: expected 'free', 'stationary' or {self.states} probabilities")
        else:
            initial = lem.fixed(initial)
        if "initial" in self.fixed:
            raise ValueError("fixed={'initial': ...}: pass initial=... instead")
        allowed = None if self.allowed is None else lem.stochastic(self.allowed)
        if allowed is not None and allowed.shape != (self.states, self.states):
            raise ValueError(f"allowed has shape {allowed.shape}: expected ({self.states}, {self.states})")
        object.__setattr__(self, "covariates", logit.names(self.covariates))
        if self.covariate_at not in ("from", "to"):
            raise ValueError(f"covariate_at={self.covariate_at!r}: expected 'from' or 'to'")
        if self.covariates and self.initial == "stationary":
            raise ValueError("initial='stationary' with covariates: transitions that vary have no such distribution")
        unknown = set(self.prior or {}) - {"initial", "transition", "emission"}
        if unknown:
            raise ValueError(f"prior for {sorted(unknown)[0]!r}: expected 'initial', 'transition' or 'emission'")
        held = {name: lem.fixed(value) for name, value in sorted(self.fixed.items()) if name != "transition"}
        if "transition" in self.fixed or len(self.tied):
            held["transition"] = restricted(self.states, self.fixed, self.tied, allowed, self.covariates)
        object.__setattr__(self, "_key", (initial, allowed, tuple(held.items()), lem.priors.Joint.of(self.prior)))

    # --- declaration

    @property
    def name(self) -> str:
        """What summaries call it."""
        return f"hidden Markov model of {self.states} {type(self.emission).__name__} states"

    def declare(self, observations: Any) -> tuple[HMM, lem.Sequences]:
        """The model with what the data say about it, and the data as sequences."""
        series = lem.sequences(observations)
        if isinstance(series.steps, logit.Step):
            return self, series
        z = logit.moves(series, self.covariates, self.covariate_at) if self.covariates else None
        series = logit.observed(series, self.emission, self.covariates).without_gaps()
        mixture, steps = replace(self.of_states, components=1, fixed={}, prior=None, shared=()).declare(series.steps)
        declared = replace(self, emission=mixture.family)
        if self.states > series.total:
            raise ValueError(f"states={self.states} > {series.total} steps: ask for fewer states")
        declared.of_states.declare(steps)  # complains about unknown names to share or fix
        return declared, replace(series, steps=steps if z is None else logit.Step(steps, z))

    def constraints(self) -> Params:
        """Constraints of the params."""
        initial, allowed, held, _ = self._key
        transition = dict(held).get("transition")
        if transition is None and self.covariates:
            transition = logit.coefficients(self.possible, len(self.covariates))
        elif transition is None:
            transition = allowed or lem.simplex(self.states).batched(self.states)
        components = self.of_states.constraints()["components"]
        tree = {"transition": transition, "emission": components}
        if isinstance(initial, str):
            return tree if initial == "stationary" else {"initial": lem.simplex(self.states), **tree}
        return {"initial": initial, **tree}

    @property
    def possible(self) -> np.ndarray:
        """(K, K) booleans, the transitions that are possible."""
        every = np.ones((self.states, self.states), bool)
        return every if self._key[1] is None else np.array(self._key[1].allowed)

    # --- factors

    def first(self, params: Params) -> Float[Array, " K"]:
        """Log distribution of the first state."""
        return log(stationary(params["transition"]) if self._key[0] == "stationary" else params["initial"])

    def transition(self, params: Params, rows: Any = None) -> Float[Array, "*n K K"]:
        """Log transition probabilities, row -> column; with covariates, into each of the rows."""
        if self.covariates:
            return logit.log_matrices(params["transition"], rows.covariates, self.possible)
        return log(params["transition"])

    def of_emission(self, rows: Any) -> Any:
        """What the family sees of steps."""
        return rows.observed if self.covariates else rows

    # --- M-step

    def maximize(self, expected: Any, params: Params, context: Any, rows: Any = None) -> Params:
        """Closed-form M-step from expected counts."""
        prior, new = dict(self.prior or {}), dict(params)
        if "initial" in params and self._key[0] == "free":
            new["initial"] = shares(expected.first, params["initial"], prior.get("initial"))
        constraint = dict(self._key[2]).get("transition")
        if constraint is None and self.covariates:
            new["transition"] = logit.maximize(
                expected.transition, params["transition"], rows.covariates, self.possible, prior.get("transition")
            )
        elif isinstance(constraint, Tied):
            counts = with_prior(expected.transition, params["transition"], prior.get("transition"))
            new["transition"] = constraint.estimate(counts, params["transition"])
        elif constraint is None:
            new["transition"] = shares(expected.transition, params["transition"], prior.get("transition"))
        new["emission"] = maximized_emission(self, expected.emission, params, context)
        return new

    @property
    def is_closed(self) -> bool:
        """Whether the M-step has a closed form."""
        prior = dict(self.prior or {})
        chain = [prior[name] for name in ("initial", *(() if self.covariates else ("transition",))) if name in prior]
        conjugate = all(isinstance(part, lem.priors.Dirichlet) for part in chain)
        return conjugate and self._key[0] != "stationary" and self.of_states.closed

    # --- starts

    def start(self, key: Array, x: Any, weights: Float[Array, " T"], label: Any = None, begins: Any = None) -> Params:
        """Params from a mixture's start for the states, and sticky transitions; of states that are known at some steps,
        from these.

        Args:
            key: typed PRNG key.
            x, weights: steps, and the weight of each.
            label: (T,) known states, -1 where one is not known.
            begins: (T,) whether a sequence begins there.
        """
        seeds, first, moves = jax.random.split(key, 3)
        k = self.states
        begun, moved = known_moves(label, begins, weights, k)
        matrix = sticky(moves, self.possible, moved, weights.dtype)
        constraint = dict(self._key[2]).get("transition")
        if isinstance(constraint, Tied):
            matrix = constraint.estimate(matrix, matrix)
        if self.covariates:
            matrix = logit.without_slopes(matrix, self.possible, len(self.covariates))
        params = {"transition": matrix, "emission": self.emission_start(seeds, x, weights, label)}
        if self._key[0] == "stationary":
            return params
        if self._key[0] != "free":
            return {"initial": jnp.asarray(self._key[0].value, weights.dtype), **params}
        drawn = shares(1.0 + jax.random.exponential(first, (k,), weights.dtype), jnp.ones(k))
        return {"initial": shares(drawn + begun, drawn), **params}


def _vector(name: str, value: Any, size: int) -> np.ndarray:
    array = np.asarray(value, dtype=np.float64)
    if array.shape != (size,):
        raise ValueError(f"{name} has shape {array.shape}: expected ({size},)")
    return array
