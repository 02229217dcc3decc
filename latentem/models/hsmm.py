"""Hidden semi-Markov models: states with durations of their own (Ferguson 1980; Yu 2010).

A segment in state k that lasts d steps is a chain of pairs (k, remaining steps), of which (k, 1) leads to another
state: a hidden Markov chain of K * D states with structural zeros, on which the recursions for chains run as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

import latentem as lem
from latentem import chain, durations
from latentem.families import Family
from latentem.models.mixture import Mixture

Params = dict[str, Any]


class Step(NamedTuple):
    """What is observed at a step, and whether a segment has to end there."""

    observed: Any
    ends: Any


@dataclass(frozen=True)
class HSMM:
    """Segments of K states that last as long as a distribution of each state says; then another state follows.

    Args:
        states: number of states K, at least 2.
        emission: density of an observation in a state, from `latentem.families`.
        durations: `lem.durations.Free(D)`, `Poisson(D)` or `NegativeBinomial(D)`, D the longest duration. An E-step
            costs K * D states.
        first_censored: whether a sequence may begin inside a segment, with what remains of it in equilibrium: p(d
            remain) = P(duration >= d) / mean; else a segment begins with it.
        last_censored: whether a sequence may end inside a segment; else a segment ends with it.
        shared: names of the family's parameters that all states have in common.
        prior: MAP: {"emission": {name: prior}}.

    Params are {"initial": (K,), "transition": (K, K) with zeros on the diagonal, "duration": {name: (K, ...)},
    "emission": {name: (K, ...)}}. Data and verbs as for `HMM`; `lem.chain` sees states k * D + (remaining - 1).

    >>> x = np.repeat([0.0, 9.0, 1.0, 8.0], [4, 3, 5, 4])
    >>> fit = lem.fit(lem.HSMM(2, lem.families.Poisson(), lem.durations.Poisson(8)), x, key=jax.random.key(0))
    >>> fit.smooth().shape
    (16, 2)
    """

    states: int
    emission: Family
    durations: durations.Duration
    first_censored: bool = False
    last_censored: bool = True
    shared: tuple[str, ...] = ()
    prior: Mapping[str, Any] | None = field(default=None, compare=False)
    _key: Any = field(init=False, repr=False)

    verbs = ("filter", "smooth", "viterbi")

    def __post_init__(self) -> None:
        if not isinstance(self.states, int) or self.states < 2:
            raise ValueError(
                f"states={self.states!r}: expected an integer >= 2, since a segment is followed by another"
            )
        if not isinstance(self.emission, Family):
            raise TypeError(f"emission={self.emission!r}: expected a family such as lem.families.Poisson()")
        if not isinstance(self.durations, durations.Duration):
            raise TypeError(
                f"durations={self.durations!r}: expected lem.durations.Free(10), Poisson or NegativeBinomial"
            )
        if set(self.prior or {}) - {"emission"}:
            raise ValueError(f"prior for {sorted(set(self.prior or {}) - {'emission'})[0]!r}: expected 'emission'")
        object.__setattr__(self, "_key", lem.priors.Joint.of(self.prior))

    @property
    def name(self) -> str:
        """What summaries call it."""
        return f"hidden semi-Markov model of {self.states} {type(self.emission).__name__} states"

    @property
    def longest(self) -> int:
        """D."""
        return self.durations.longest

    @property
    def of_states(self) -> Mixture:
        """The states as components of a mixture."""
        prior = dict(self.prior or {}).get("emission")
        return Mixture(self.emission, self.states, self.shared, prior={"components": prior} if prior else None)

    def declare(self, observations: Any) -> tuple[HSMM, lem.Sequences]:
        """The model with what the data say about it, and the data as sequences."""
        series = lem.sequences(observations)
        if isinstance(series.steps, Step):
            return self, series
        if series.labels is not None:
            raise ValueError("labels with HSMM: expected sequences without known states")
        series = series.without_gaps()
        mixture, steps = replace(self.of_states, components=1, prior=None, shared=()).declare(series.steps)
        declared = replace(self, emission=mixture.family)
        if self.states > series.total:
            raise ValueError(f"states={self.states} > {series.total} steps: ask for fewer states")
        declared.of_states.declare(steps)
        ends = np.zeros(series.total, bool)
        ends[np.cumsum(series.lengths) - 1] = not self.last_censored
        return declared, replace(series, steps=Step(steps, ends))

    def constraints(self) -> Params:
        """Constraints of the params."""
        return {
            "initial": lem.simplex(self.states),
            "transition": lem.stochastic(~np.eye(self.states, dtype=bool)),
            "duration": self.durations.constraints(self.states),
            "emission": self.of_states.constraints()["components"],
        }

    def model(self) -> lem.Model:
        """The model of sequences as a `Model`; needs a declared family."""
        return _model(self)

    # --- factors of the chain of pairs (state, remaining)

    def remaining(self, duration: Params) -> Float[Array, "K D"]:
        """Log probability of what remains of the first segment."""
        logs = self.durations.log_prob(duration)
        if not self.first_censored:
            return logs
        at_least = jnp.cumsum(jnp.exp(logs)[:, ::-1], axis=1)[:, ::-1]
        return _log(at_least / jnp.sum(at_least, axis=1, keepdims=True))

    def first(self, params: Params) -> Float[Array, " KD"]:
        """Log distribution of the first pair."""
        return (_log(params["initial"])[:, None] + self.remaining(params["duration"])).ravel()

    def transition(self, params: Params) -> Float[Array, "KD KD"]:
        """Log transition probabilities between pairs."""
        k, d = self.states, self.longest
        enter = _log(params["transition"])[:, :, None] + self.durations.log_prob(params["duration"])[None]
        down = jnp.where(np.eye(d, k=-1, dtype=bool), 0.0, -jnp.inf)  # one step less remains
        same = jnp.where(np.eye(k, dtype=bool)[:, None, :, None], down[None, :, None, :], -jnp.inf)
        whole = same.astype(enter.dtype).at[:, 0].set(enter)
        return whole.reshape(k * d, k * d)

    def step_log_prob(self, params: Params, x: Any, z: Any, previous: Any) -> Float[Array, ""]:
        """log p(z | previous) + log p(x | z) of one step."""
        return self.transition(params)[previous, z] + self._emission(params, x)[z]

    def first_log_prob(self, params: Params, x: Any, z: Any) -> Float[Array, ""]:
        """log p(z) + log p(x | z) of the first step."""
        return self.first(params)[z] + self._emission(params, x)[z]

    def _emission(self, params: Params, x: Any) -> Float[Array, " KD"]:
        own = self.of_states.over_components(self.emission.log_prob, {"components": params["emission"]}, x.observed)
        goes_on = np.arange(self.states * self.longest) % self.longest > 0
        return jnp.where(x.ends & goes_on, -jnp.inf, jnp.repeat(own, self.longest))

    # --- M-step

    def maximize(self, expected: Any, params: Params, context: Any) -> Params:
        """M-step from expected counts: closed, but for durations that are not free, which take Newton steps."""
        k, d = self.states, self.longest
        begins = expected.first.reshape(k, d)
        enters = expected.transition.reshape(k, d, k, d)[:, 0]
        moves, lasted = jnp.sum(enters, axis=2), jnp.sum(enters, axis=0)
        if isinstance(self.durations, durations.Free) and not self.first_censored:
            duration = {"probabilities": _shares(lasted + begins, params["duration"]["probabilities"])}
        else:
            duration = self._durations(lasted, begins, params["duration"])
        family = self.emission
        reference = context if family.separable else family.statistics_context(params["emission"], context)
        emission = family.maximize(
            jnp.sum(expected.emission.reshape(k, d, -1), axis=1),
            params["emission"],
            reference,
            shared=frozenset(self.shared),
            prior=dict(dict(self.prior or {}).get("emission", {})),
        )
        return {
            "initial": _shares(jnp.sum(begins, axis=1), params["initial"]),
            "transition": _shares(moves, params["transition"]),
            "duration": duration,
            "emission": emission,
        }

    def _durations(self, lasted: Float[Array, "K D"], begins: Float[Array, "K D"], old: Params) -> Params:
        space = lem.ParameterSpace.of(self.durations.constraints(self.states))

        def q(u: Float[Array, " P"]) -> Float[Array, ""]:
            new = space.constrain(u)
            total = jnp.sum(jnp.where(lasted > 0, lasted * self.durations.log_prob(new), 0.0))
            return total + jnp.sum(jnp.where(begins > 0, begins * self.remaining(new), 0.0))

        return space.constrain(lem.Newton()(q, space.unconstrain(old)))

    # --- starts

    def start(self, key: Array, x: Any, weights: Float[Array, " T"]) -> Params:
        """Params from a mixture's start for the states."""
        seeds, moves, lasts = jax.random.split(key, 3)
        k = self.states
        jitter = 0.5 + jax.random.uniform(lasts, (k, self.longest), weights.dtype)
        matrix = jnp.where(np.eye(k, dtype=bool), 0.0, 0.5 + jax.random.uniform(moves, (k, k), weights.dtype))
        return {
            "initial": jnp.full(k, 1.0 / k, weights.dtype),
            "transition": matrix / jnp.sum(matrix, axis=1, keepdims=True),
            "duration": self.durations.start(jitter),
            "emission": replace(self.of_states, prior=None).initial(seeds, x.observed, weights)["components"],
        }

    # --- verbs

    def filter(self, fit: Any, x: Any = None) -> Any:
        """p(state | observations up to this step), (T, K)."""
        return self._by_state(chain.filtered, fit, x)

    def smooth(self, fit: Any, x: Any = None) -> Any:
        """p(state | all observations of the sequence), (T, K)."""
        return self._by_state(chain.smoothed, fit, x)

    def viterbi(self, fit: Any, x: Any = None) -> Any:
        """The states of the most probable segmentation, (T,)."""
        series = fit.sequences(x)
        return series.split(chain.viterbi(fit.model, fit.params, series)[0][:, 0] // self.longest)

    def _by_state(self, verb: Any, fit: Any, x: Any) -> Any:
        series = fit.sequences(x)
        pairs = verb(fit.model, fit.params, series)
        return series.split(pairs.reshape(len(pairs), self.states, self.longest).sum(axis=2))


def _shares(counts: Float[Array, "*K n"], old: Float[Array, "*K n"]) -> Float[Array, "*K n"]:
    """Counts as probabilities; a row without counts keeps the old ones."""
    total = jnp.sum(counts, axis=-1, keepdims=True)
    return jnp.where(total > 0, counts / jnp.where(total > 0, total, 1.0), old)


def _log(p: Any) -> Any:
    """log p with -inf at 0 and a gradient of 0 there."""
    return jnp.where(p > 0, jnp.log(jnp.where(p > 0, p, 1.0)), -jnp.inf)


@lru_cache(maxsize=64)
def _model(hsmm: HSMM) -> lem.Model:
    """One Model per value, so that equal models compile once."""
    mixture, family, longest = hsmm.of_states, hsmm.emission, hsmm.longest
    by_features = family.separable and hsmm.last_censored

    def emission(params: Params, rows: Any, context: Any) -> Float[Array, "n KD"]:
        return jax.vmap(lambda x: hsmm._emission(params, x))(rows)

    def features(rows: Any, context: Any) -> Float[Array, "n S"]:
        return family.features_batch(rows.observed, context)

    def natural(params: Params, context: Any) -> Float[Array, "KD S"]:
        own = mixture.over_components(family.natural, {"components": params["emission"]}, context)
        return jnp.repeat(own, longest, axis=0)

    def statistics(params: Params, rows: Any, context: Any) -> Float[Array, "n KD S"]:
        own = {"components": params["emission"]}
        each = jax.vmap(lambda x: mixture.over_components(family.statistics, own, x, context))(rows.observed)
        return jnp.repeat(each, longest, axis=1)

    factored = lem.Factored(
        hsmm.first,
        hsmm.transition,
        emission,
        features=features if by_features else None,
        natural=natural if by_features else None,
        statistics=statistics if mixture.closed and not by_features else None,
        maximize=hsmm.maximize if mixture.closed else None,
        context=lambda rows, weights: mixture.context(rows.observed, weights),
        includes_prior=mixture.closed,
    )
    return lem.Model(
        hsmm.step_log_prob,
        latent=lem.Chain(hsmm.states * longest, hsmm.first_log_prob),
        params=hsmm.constraints(),
        prior=hsmm.prior,
        factored=factored,
        initial=hsmm.start,
        name=hsmm.name,
    )
