"""Hidden Markov models (Baum, Petrie, Soules and Weiss 1970; Zucchini, MacDonald and Langrock 2016) of any family."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

import latentem as lem
from latentem.building import as_family
from latentem.constraints import Constraint
from latentem.families import Family
from latentem.models.hmm import covariates as columns
from latentem.models.hmm import overview
from latentem.models.hmm.declare import maximized_emission
from latentem.models.hmm.states import States
from latentem.models.hmm.transitions import Transition, known_moves, reference, shares, sticky, transition
from latentem.models.hmm.verbs import matrices
from latentem.models.mixture import order as reordering

Params = dict[str, Any]


class Kinds(NamedTuple):
    """What a declaration comes to, hashable: equal models compile once.

    Args:
        first: the constraint of the first state's distribution, None where the transitions imply it.
        transition: the kind of transition.
        held: (name, constraint) of the family's parameters that stay put.
        prior: of all params.
    """

    first: Constraint | None
    transition: Transition
    held: tuple[tuple[str, Constraint], ...]
    prior: Any


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
    kinds: Kinds = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if isinstance(self.states, Family):
            raise TypeError("HMM(family, number): expected HMM(states, emission), the number of states first")
        if not isinstance(self.states, int) or self.states < 1:
            raise ValueError(f"states={self.states!r:.60}: expected an integer >= 1")
        as_family("emission", self.emission)
        first = self._first()
        if "initial" in self.fixed:
            raise ValueError("fixed={'initial': ...}: pass initial=... instead")
        allowed = None if self.allowed is None else lem.stochastic(self.allowed)
        if allowed is not None and allowed.shape != (self.states, self.states):
            raise ValueError(f"allowed has shape {allowed.shape}: expected ({self.states}, {self.states})")
        object.__setattr__(self, "covariates", columns.names(self.covariates))
        if self.covariate_at not in ("from", "to"):
            raise ValueError(f"covariate_at={self.covariate_at!r}: expected 'from' or 'to'")
        unknown = set(self.prior or {}) - {"initial", "transition", "emission"}
        if unknown:
            raise ValueError(f"prior for {sorted(unknown)[0]!r}: expected 'initial', 'transition' or 'emission'")
        held = {name: lem.fixed(value) for name, value in sorted(self.fixed.items()) if name != "transition"}
        kind = transition(self.states, allowed, self.fixed, self.tied, len(self.covariates), first is None)
        kinds = Kinds(first, kind, tuple(held.items()), lem.priors.Joint.of(self.prior))
        object.__setattr__(self, "kinds", kinds)

    def _first(self) -> Constraint | None:
        """The constraint of the first state's distribution; None where it is stationary."""
        initial = self.initial
        if isinstance(initial, str) and initial in ("free", "stationary"):
            return lem.simplex(self.states) if initial == "free" else None
        if isinstance(initial, str) or not bool(
            lem.simplex(self.states).contains(_vector("initial", initial, self.states))
        ):
            raise ValueError(f"initial={initial!r}: expected 'free', 'stationary' or {self.states} probabilities")
        return lem.fixed(initial)

    # --- declaration

    @property
    def name(self) -> str:
        """What summaries call it."""
        return f"hidden Markov model of {self.states} {type(self.emission).__name__} states"

    def declare(self, observations: Any) -> tuple[HMM, lem.Sequences]:
        """The model with what the data say about it, and the data as sequences."""
        series = lem.sequences(observations)
        if isinstance(series.steps, columns.Step):
            return self, series
        z = columns.moves(series, self.covariates, self.covariate_at) if self.covariates else None
        series = columns.observed(series, self.emission, self.covariates).without_gaps()
        mixture, steps = replace(self.of_states, components=1, fixed={}, prior=None, shared=()).declare(series.steps)
        declared = replace(self, emission=mixture.family)
        if self.states > series.total:
            raise ValueError(f"states={self.states} > {series.total} steps: ask for fewer states")
        declared.of_states.declare(steps)  # complains about unknown names to share or fix
        return declared, replace(series, steps=steps if z is None else columns.Step(steps, z))

    def read(self, series: lem.Sequences) -> tuple[HMM, lem.Sequences]:
        """The model and the sequences of new data: of any length, and missing wherever they are."""
        z = columns.moves(series, self.covariates, self.covariate_at) if self.covariates else None
        series = columns.observed(series, self.emission, self.covariates, new=True).without_gaps(new=True)
        family, steps = self.emission.read(series.steps)
        steps = steps if z is None else columns.Step(steps, z)
        return replace(self, emission=family), replace(series, steps=steps)

    def constraints(self) -> Params:
        """Constraints of the params."""
        emission = self.of_states.constraints()["components"]
        tree = {"transition": self.kinds.transition.constraint(), "emission": emission}
        return tree if self.kinds.first is None else {"initial": self.kinds.first, **tree}

    def overview(self, fit: Any, errors: bool) -> list[str]:
        """The transition matrix, its stationary distribution, how long states last."""
        if not self.covariates:
            return overview.overview(fit.params["transition"], None)
        zeros = np.zeros((1, len(self.covariates)))
        return overview.overview(matrices(fit, zeros, 1)[0], None, " where all covariates are 0")

    def relabelled(self, order: Any) -> HMM:
        """The model with its states in another order."""
        begin = self.initial if isinstance(self.initial, str) else reordering.values(self.initial, order)
        allowed = None if self.allowed is None else reordering.values(self.allowed, order, (0, 1))
        held = {
            name: value
            if self.of_states.is_shared(name)
            else reordering.values(value, order, (0, 1) if name == "transition" else (0,))
            for name, value in self.fixed.items()
        }
        place = np.argsort(order).tolist()
        groups = [[(place[i], place[j]) for i, j in group] for group in self.tied]
        new = replace(
            self,
            initial=begin,
            allowed=allowed,
            fixed=reordering.mapped(self.fixed, held),
            tied=groups or self.tied,
            prior=self.prior_in(order),
        )
        if self.covariates and (held.get("transition") is not None or "transition" in dict(self.prior or {})):
            if (order[reference(new.possible)] != reference(self.possible)[order]).any():
                told = "relabel: another state becomes the reference of transitions that are fixed or have a prior"
                raise ValueError(f"{told}: declare the model in the other order, and fit")
        return new

    def settled(self, params: Params) -> Params:
        """Params of states in another order: coefficients of transitions against the reference of each row."""
        if not self.covariates or "transition" in self.fixed:
            return params
        b, possible = np.asarray(params["transition"]), self.possible
        own = b[np.arange(self.states), reference(possible)]
        return {**params, "transition": np.where(possible[..., None], b - own[:, None], 0.0)}

    @property
    def begins_free(self) -> bool:
        """Whether the distribution of the first state is estimated."""
        return isinstance(self.initial, str) and self.initial == "free"

    @property
    def possible(self) -> np.ndarray:
        """(K, K) booleans, the transitions that are possible."""
        return self.kinds.transition.possible

    # --- factors

    def first(self, params: Params) -> Float[Array, " K"]:
        """Log distribution of the first state."""
        return self.kinds.transition.first(params)

    def transition(self, params: Params, rows: Any = None) -> Float[Array, "*n K K"]:
        """Log transition probabilities, row -> column; with covariates, into each of the rows."""
        return self.kinds.transition.log_matrix(params["transition"], rows.covariates if self.covariates else None)

    def of_emission(self, rows: Any) -> Any:
        """What the family sees of steps."""
        return rows.observed if self.covariates else rows

    # --- M-step

    def maximize(self, expected: Any, params: Params, context: Any, rows: Any = None) -> Params:
        """Closed-form M-step from expected counts."""
        prior, new = dict(self.prior or {}), dict(params)
        if self.begins_free:
            new["initial"] = shares(expected.first, params["initial"], prior.get("initial"))
        z = rows.covariates if self.covariates else None
        new["transition"] = self.kinds.transition.maximize(
            expected.transition, params["transition"], z, prior.get("transition")
        )
        new["emission"] = maximized_emission(self, expected.emission, params, context)
        return new

    @property
    def is_closed(self) -> bool:
        """Whether the M-step has a closed form."""
        prior = dict(self.prior or {})
        conjugate = isinstance(prior.get("initial"), lem.priors.Dirichlet | None)
        return conjugate and self.kinds.transition.takes(prior.get("transition")) and self.of_states.closed

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
        matrix = self.kinds.transition.start(sticky(moves, self.possible, moved, weights.dtype))
        params = {"transition": matrix, "emission": self.emission_start(seeds, x, weights, label)}
        if self.kinds.first is None:
            return params
        if not self.begins_free:
            return {"initial": jnp.asarray(self.initial, weights.dtype), **params}
        drawn = shares(1.0 + jax.random.exponential(first, (k,), weights.dtype), jnp.ones(k))
        return {"initial": shares(drawn + begun, drawn), **params}


def _vector(name: str, value: Any, size: int) -> np.ndarray:
    array = np.asarray(value, dtype=np.float64)
    if array.shape != (size,):
        raise ValueError(f"{name} has shape {array.shape}: expected ({size},)")
    return array
