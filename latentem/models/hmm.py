"""Hidden Markov models (Baum, Petrie, Soules and Weiss 1970; Zucchini, MacDonald and Langrock 2016) of any family."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

import latentem as lem
import latentem.models.hmm_covariates as logit
from latentem.constraints import Tied, tied
from latentem.families import Family
from latentem.models.hmm_verbs import Verbs, simulate
from latentem.models.mixture import Mixture

Params = dict[str, Any]

#: What starts give to staying in a state.
STICKINESS = 0.8


@dataclass(frozen=True)
class HMM(Verbs):
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
            held["transition"] = self._restricted(allowed)
        object.__setattr__(self, "_key", (initial, allowed, tuple(held.items()), lem.priors.Joint.of(self.prior)))

    def _restricted(self, allowed: Any) -> Any:
        """The constraint of transitions that are fixed or tied."""
        if self.covariates:
            if len(self.tied):
                raise ValueError("tied=... with covariates: expected transitions without covariates")
            return lem.fixed(self.fixed["transition"])
        shape = (self.states, self.states)
        matrix = np.asarray(self.fixed.get("transition", np.full(shape, np.nan)), dtype=np.float64)
        if matrix.shape != shape:
            raise ValueError(f"fixed transition has shape {matrix.shape}: expected {shape}, NaN where it is free")
        if not np.isnan(matrix).any():
            if len(self.tied):
                raise ValueError("tied=... with a transition matrix that is fixed: expected NaN for free entries")
            if not bool(lem.stochastic(self.states).contains(matrix)):
                raise ValueError(f"fixed transition: expected {self.states} rows of {self.states} that add up to 1")
            return lem.fixed(matrix)
        if allowed is not None:
            impossible = ~np.array(allowed.allowed)
            if np.any(impossible & (np.nan_to_num(matrix) > 0)):
                raise ValueError("fixed transition holds a probability where allowed is False: expected 0 or NaN")
            matrix = np.where(impossible, 0.0, matrix)
        return tied(matrix, self.tied)

    # --- declaration

    @property
    def name(self) -> str:
        """What summaries call it."""
        return f"hidden Markov model of {self.states} {type(self.emission).__name__} states"

    @property
    def of_states(self) -> Mixture:
        """The states as components of a mixture: what all that concerns emissions is left to."""
        own = {name: value for name, value in self.fixed.items() if name != "transition"}
        prior = dict(self.prior or {}).get("emission")
        return Mixture(
            self.emission, self.states, self.shared, fixed=own, prior={"components": prior} if prior else None
        )

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

    def model(self) -> lem.Model:
        """The model of sequences as a `Model`; needs a declared family."""
        return _model(self)

    # --- factors

    def first(self, params: Params) -> Float[Array, " K"]:
        """Log distribution of the first state."""
        return _log(stationary(params["transition"]) if self._key[0] == "stationary" else params["initial"])

    def transition(self, params: Params, rows: Any = None) -> Float[Array, "*n K K"]:
        """Log transition probabilities, row -> column; with covariates, into each of the rows."""
        if self.covariates:
            return logit.log_matrices(params["transition"], rows.covariates, self.possible)
        return _log(params["transition"])

    def of_emission(self, rows: Any) -> Any:
        """What the family sees of steps."""
        return rows.observed if self.covariates else rows

    def emission_log_prob(self, params: Params, x: Any) -> Float[Array, " K"]:
        """Log density of one observation in each state."""
        return self.of_states.over_components(self.emission.log_prob, {"components": params["emission"]}, x)

    def step_log_prob(self, params: Params, x: Any, z: Any, previous: Any) -> Float[Array, ""]:
        """log p(z | previous) + log p(x | z) of one step."""
        own = self.of_states.component({"components": params["emission"]}, z)
        return self.transition(params, x)[previous, z] + self.emission.log_prob(own, self.of_emission(x))

    def first_log_prob(self, params: Params, x: Any, z: Any) -> Float[Array, ""]:
        """log p(z) + log p(x | z) of the first step."""
        own = self.of_states.component({"components": params["emission"]}, z)
        return self.first(params)[z] + self.emission.log_prob(own, self.of_emission(x))

    # --- M-step

    def maximize(self, expected: Any, params: Params, context: Any, rows: Any = None) -> Params:
        """Closed-form M-step from expected counts."""
        prior, new = dict(self.prior or {}), dict(params)
        if "initial" in params and self._key[0] == "free":
            new["initial"] = _shares(expected.first, params["initial"], prior.get("initial"))
        restricted = dict(self._key[2]).get("transition")
        if restricted is None and self.covariates:
            new["transition"] = logit.maximize(
                expected.transition, params["transition"], rows.covariates, self.possible, prior.get("transition")
            )
        elif isinstance(restricted, Tied):
            counts = _with_prior(expected.transition, params["transition"], prior.get("transition"))
            new["transition"] = restricted.estimate(counts, params["transition"])
        elif restricted is None:
            new["transition"] = _shares(expected.transition, params["transition"], prior.get("transition"))
        mixture = self.of_states
        reference = (
            context if self.emission.separable else mixture.family.statistics_context(params["emission"], context)
        )
        new["emission"] = mixture.family.maximize(
            expected.emission,
            params["emission"],
            reference,
            shared=frozenset(self.shared),
            fixed=frozenset(self.fixed) - {"transition"},
            prior=dict(prior.get("emission", {})),
        )
        return new

    @property
    def is_closed(self) -> bool:
        """Whether the M-step has a closed form."""
        prior = dict(self.prior or {})
        chain = [prior[name] for name in ("initial", *(() if self.covariates else ("transition",))) if name in prior]
        conjugate = all(isinstance(part, lem.priors.Dirichlet) for part in chain)
        return conjugate and self._key[0] != "stationary" and self.of_states.closed

    # --- starts

    def start(self, key: Array, x: Any, weights: Float[Array, " T"]) -> Params:
        """Params from a mixture's start for the states, and sticky transitions."""
        seeds, first, moves = jax.random.split(key, 3)
        k = self.states
        mixture = replace(self.of_states, prior=None)
        draws = _shares(jax.random.exponential(moves, (k, k), weights.dtype), jnp.ones((k, k)), None)
        matrix = STICKINESS * jnp.eye(k, dtype=weights.dtype) + (1 - STICKINESS) * draws
        if self._key[1] is not None:
            matrix = jnp.where(jnp.asarray(np.asarray(self._key[1].allowed)), matrix, 0)
        matrix = matrix / jnp.sum(matrix, axis=1, keepdims=True)
        x, restricted = self.of_emission(x), dict(self._key[2]).get("transition")
        if isinstance(restricted, Tied):
            matrix = restricted.estimate(matrix, matrix)
        if self.covariates:
            matrix = logit.without_slopes(matrix, self.possible, len(self.covariates))
        params = {"transition": matrix, "emission": mixture.initial(seeds, x, weights)["components"]}
        if self._key[0] == "stationary":
            return params
        if self._key[0] != "free":
            return {"initial": jnp.asarray(self._key[0].value, weights.dtype), **params}
        return {
            "initial": _shares(1.0 + jax.random.exponential(first, (k,), weights.dtype), jnp.ones(k), None),
            **params,
        }


def stationary(transition: Float[Array, "K K"]) -> Float[Array, " K"]:
    """Stationary distribution of a transition matrix: delta (I - A + U) = 1, U all ones (Zucchini et al. 2016, 1.3)."""
    k = transition.shape[0]
    return jnp.linalg.solve((jnp.eye(k, dtype=transition.dtype) - transition + 1.0).T, jnp.ones(k, transition.dtype))


def _shares(counts: Float[Array, "*K K"], old: Float[Array, "*K K"], prior: Any) -> Float[Array, "*K K"]:
    """Counts as probabilities; a row without counts keeps the old ones."""
    counts = _with_prior(counts, old, prior)
    total = jnp.sum(counts, axis=-1, keepdims=True)
    return jnp.where(total > 0, counts / jnp.where(total > 0, total, 1.0), old)


def _with_prior(counts: Float[Array, "*K K"], old: Float[Array, "*K K"], prior: Any) -> Float[Array, "*K K"]:
    """Counts and those that a Dirichlet prior stands for."""
    if prior is None:
        return counts
    concentration = jnp.broadcast_to(jnp.asarray(prior.concentration, counts.dtype), counts.shape)
    return jnp.maximum(counts + jnp.where(old > 0, concentration - 1.0, 0.0), 0.0)


def _log(p: Any) -> Any:
    """log p with -inf at 0 and a gradient of 0 there."""
    return jnp.where(p > 0, jnp.log(jnp.where(p > 0, p, 1.0)), -jnp.inf)


def _vector(name: str, value: Any, size: int) -> np.ndarray:
    array = np.asarray(value, dtype=np.float64)
    if array.shape != (size,):
        raise ValueError(f"{name} has shape {array.shape}: expected ({size},)")
    return array


@lru_cache(maxsize=128)
def _model(hmm: HMM) -> lem.Model:
    """One Model per value, so that equal models compile once."""
    mixture, family = hmm.of_states, hmm.emission
    closed = hmm.is_closed

    def emission(params: Params, rows: Any, context: Any) -> Float[Array, "n K"]:
        return jax.vmap(lambda x: hmm.emission_log_prob(params, x))(hmm.of_emission(rows))

    def features(rows: Any, context: Any) -> Float[Array, "n S"]:
        return family.features_batch(hmm.of_emission(rows), context)

    def context(rows: Any, weights: Any) -> Any:
        return mixture.context(hmm.of_emission(rows), weights)

    def natural(params: Params, context: Any) -> Float[Array, "K S"]:
        return mixture.over_components(family.natural, {"components": params["emission"]}, context)

    def statistics(params: Params, rows: Any, context: Any) -> Float[Array, "n K S"]:
        own = {"components": params["emission"]}
        of_row = partial(mixture.over_components, family.statistics, own)
        return jax.vmap(lambda x: of_row(x, context))(hmm.of_emission(rows))

    def sample(params: Params, key: Array, n: int) -> Any:
        log_moves = hmm.transition(params)
        return simulate(hmm, params, jnp.broadcast_to(log_moves, (n, *log_moves.shape)), key)[1]

    factored = lem.Factored(
        hmm.first,
        hmm.transition,
        emission,
        varying=bool(hmm.covariates),
        features=features if family.separable else None,
        natural=natural if family.separable else None,
        statistics=statistics if closed and not family.separable else None,
        maximize=hmm.maximize if closed else None,
        context=context,
        includes_prior=closed,
    )
    return lem.Model(
        hmm.step_log_prob,
        latent=lem.Chain(hmm.states, hmm.first_log_prob),
        params=hmm.constraints(),
        prior=hmm.prior,
        factored=factored,
        initial=hmm.start,
        sample=None if hmm.covariates else sample,
        name=hmm.name,
    )
