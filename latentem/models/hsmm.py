"""Hidden semi-Markov models: states with durations of their own (Ferguson 1980; Yu 2010).

A segment in state k that lasts d steps is a chain of pairs (k, remaining steps), of which (k, 1) leads to another
state: a hidden Markov chain of K * D states with structural zeros, on which the recursions for chains run as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

import latentem as lem
from latentem import durations
from latentem.building import as_family
from latentem.families import Family
from latentem.models.hmm import overview
from latentem.models.hmm.declare import maximized_emission
from latentem.models.hmm.states import States
from latentem.models.hmm.transitions import known_moves, log, shares

Params = dict[str, Any]


class Step(NamedTuple):
    """What is observed at a step, and whether a segment has to end there."""

    observed: Any
    ends: Any


@dataclass(frozen=True)
class HSMM(States):
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
        prior: MAP: {"initial": Dirichlet, "transition": Dirichlet with 1 on the diagonal, "duration": {name: prior},
            "emission": {name: prior}}.

    Params are {"initial": (K,), "transition": (K, K) with zeros on the diagonal, "duration": {name: (K, ...)},
    "emission": {name: (K, ...)}}. Data and verbs as for `HMM`; `lem.chain` and the verb `step` see states
    k * D + (remaining - 1), of which there are K * D.

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

    def __post_init__(self) -> None:
        if not isinstance(self.states, int) or self.states < 2:
            raise ValueError(
                f"states={self.states!r}: expected an integer >= 2, since a segment is followed by another"
            )
        as_family("emission", self.emission)
        if not isinstance(self.durations, durations.Duration):
            raise TypeError(
                f"durations={self.durations!r}: expected lem.durations.Free(10), Poisson or NegativeBinomial"
            )
        unknown = set(self.prior or {}) - {"initial", "transition", "duration", "emission"}
        if unknown:
            told = "expected 'initial', 'transition', 'duration' or 'emission'"
            raise ValueError(f"prior for {sorted(unknown)[0]!r}: {told}")
        object.__setattr__(self, "_key", lem.priors.Joint.of(self.prior))

    @property
    def name(self) -> str:
        """What summaries call it."""
        return f"hidden semi-Markov model of {self.states} {type(self.emission).__name__} states"

    @property
    def stages(self) -> int:
        """D."""
        return self.durations.longest

    @property
    def labels(self) -> tuple[int, ...]:
        """The state of every pair."""
        return tuple(k for k in range(self.states) for _ in range(self.stages))

    @property
    def alike(self) -> bool:
        """Whether a step is the same thing however many remain: where none has to be the last."""
        return self.last_censored

    def declare(self, observations: Any) -> tuple[HSMM, lem.Sequences]:
        """The model with what the data say about it, and the data as sequences."""
        series = lem.sequences(observations)
        if isinstance(series.steps, Step):
            return self, series
        series = series.without_gaps()
        mixture, steps = replace(self.of_states, components=1, prior=None, shared=()).declare(series.steps)
        declared = replace(self, emission=mixture.family)
        if self.states > series.total:
            raise ValueError(f"states={self.states} > {series.total} steps: ask for fewer states")
        declared.of_states.declare(steps)
        return declared, declared._with_ends(series, steps)

    def read(self, series: lem.Sequences) -> tuple[HSMM, lem.Sequences]:
        """The model and the sequences of new data: of any length, and missing wherever they are."""
        series = series.without_gaps(new=True)
        family, steps = self.emission.read(series.steps)
        return replace(self, emission=family), self._with_ends(series, steps)

    def _with_ends(self, series: lem.Sequences, steps: Any) -> lem.Sequences:
        if self.last_censored:
            return replace(series, steps=steps)
        ends = np.zeros(series.total, bool)
        ends[np.cumsum(series.lengths) - 1] = True
        return replace(series, steps=Step(steps, ends))

    def constraints(self) -> Params:
        """Constraints of the params."""
        return {
            "initial": lem.simplex(self.states),
            "transition": lem.stochastic(~np.eye(self.states, dtype=bool)),
            "duration": self.durations.constraints(self.states),
            "emission": self.of_states.constraints()["components"],
        }

    def overview(self, fit: Any, errors: bool) -> list[str]:
        """The transition matrix, the share of steps in each state in the long run, how long states last."""
        dwell = overview.expected_durations(self.durations, fit.params["duration"])
        return overview.overview(fit.params["transition"], dwell)

    def relabelled(self, order: Any) -> HSMM:
        """The model with its states in another order."""
        return replace(self, prior=self.prior_in(order))

    # --- factors of the chain of pairs (state, remaining)

    def remaining(self, duration: Params) -> Float[Array, "K D"]:
        """Log probability of what remains of the first segment."""
        logs = self.durations.log_prob(duration)
        if not self.first_censored:
            return logs
        at_least = jnp.cumsum(jnp.exp(logs)[:, ::-1], axis=1)[:, ::-1]
        return log(at_least / jnp.sum(at_least, axis=1, keepdims=True))

    def first(self, params: Params) -> Float[Array, " KD"]:
        """Log distribution of the first pair."""
        return (log(params["initial"])[:, None] + self.remaining(params["duration"])).ravel()

    def transition(self, params: Params, rows: Any = None) -> Float[Array, "KD KD"]:
        """Log transition probabilities between pairs."""
        k, d = self.states, self.stages
        enter = log(params["transition"])[:, :, None] + self.durations.log_prob(params["duration"])[None]
        down = jnp.where(np.eye(d, k=-1, dtype=bool), 0.0, -jnp.inf)  # one step less remains
        same = jnp.where(np.eye(k, dtype=bool)[:, None, :, None], down[None, :, None, :], -jnp.inf)
        whole = same.astype(enter.dtype).at[:, 0].set(enter)
        return whole.reshape(k * d, k * d)

    def of_emission(self, rows: Any) -> Any:
        """What the family sees of steps."""
        return rows if self.last_censored else rows.observed

    def step_emission(self, params: Params, x: Any) -> Float[Array, " KD"]:
        """Log density of one step in each pair."""
        each = super().step_emission(params, x)
        if self.last_censored:
            return each
        goes_on = np.arange(self.states * self.stages) % self.stages > 0
        return jnp.where(x.ends & goes_on, -jnp.inf, each)

    # --- M-step

    @property
    def is_closed(self) -> bool:
        """Whether the M-step has a closed form, but for durations."""
        prior = dict(self.prior or {})
        chain = [prior[name] for name in ("initial", "transition") if name in prior]
        return all(isinstance(part, lem.priors.Dirichlet) for part in chain) and self.of_states.closed

    def maximize(self, expected: Any, params: Params, context: Any) -> Params:
        """M-step from expected counts: closed, but for durations that are not free, which take Newton steps."""
        prior = dict(self.prior or {})
        k, d = self.states, self.stages
        begins = expected.first.reshape(k, d)
        enters = expected.transition.reshape(k, d, k, d)[:, 0]
        moves, lasted = jnp.sum(enters, axis=2), jnp.sum(enters, axis=0)
        emission = jnp.sum(expected.emission.reshape(k, d, -1), axis=1)
        return {
            "initial": shares(jnp.sum(begins, axis=1), params["initial"], prior.get("initial")),
            "transition": shares(moves, params["transition"], prior.get("transition")),
            "duration": self._durations(lasted, begins, params["duration"]),
            "emission": maximized_emission(self, emission, params, context),
        }

    def _durations(self, lasted: Float[Array, "K D"], begins: Float[Array, "K D"], old: Params) -> Params:
        prior = dict(dict(self.prior or {}).get("duration", {}))
        counted = all(isinstance(part, lem.priors.Dirichlet) for part in prior.values())
        if isinstance(self.durations, durations.Free) and not self.first_censored and counted:
            own = old["probabilities"]
            return {"probabilities": shares(lasted + begins, own, prior.get("probabilities"))}
        space = lem.ParameterSpace.of(self.durations.constraints(self.states))
        joint = lem.priors.Joint.of(prior)

        def q(u: Float[Array, " P"]) -> Float[Array, ""]:
            new = space.constrain(u)
            total = jnp.sum(jnp.where(lasted > 0, lasted * self.durations.log_prob(new), 0.0))
            total = total + jnp.sum(jnp.where(begins > 0, begins * self.remaining(new), 0.0))
            return total + (joint.log_prob(new) if joint else 0.0)

        return space.constrain(lem.Newton()(q, space.unconstrain(old)))

    # --- starts

    def start(self, key: Array, x: Any, weights: Float[Array, " T"], label: Any = None, begins: Any = None) -> Params:
        """Params from a mixture's start for the states; of states that are known at some steps, from these."""
        seeds, moves, lasts = jax.random.split(key, 3)
        k = self.states
        begun, moved = known_moves(label, begins, weights, k)
        jitter = 0.5 + jax.random.uniform(lasts, (k, self.stages), weights.dtype)
        drawn = 0.5 + jax.random.uniform(moves, (k, k), weights.dtype)
        matrix = jnp.where(np.eye(k, dtype=bool), 0.0, drawn + moved)
        return {
            "initial": shares(1.0 + begun, jnp.ones(k, weights.dtype)),
            "transition": matrix / jnp.sum(matrix, axis=1, keepdims=True),
            "duration": self.durations.start(jitter),
            "emission": self.emission_start(seeds, x, weights, label),
        }

    # --- verbs

    def by_state(self, probabilities: np.ndarray) -> np.ndarray:
        """Probabilities of pairs, summed over what remains."""
        return probabilities.reshape(*probabilities.shape[:-1], self.states, self.stages).sum(axis=-1)

    def state_of(self, pairs: Any) -> Any:
        """The states of pairs."""
        return pairs // self.stages

    def viterbi_top(self, fit: Any, n: int, x: Any = None) -> Any:
        """Refused: paths of pairs may differ in nothing but when a segment would end after the data."""
        raise ValueError("viterbi_top of an HSMM: its best paths would be of equal states: use viterbi or sample_path")

    def sample(self, fit: Any, key: Any, n: int, covariates: Any = None) -> Any:
        """A simulated sequence of `n` steps, observations with leading axis n."""
        if not self.last_censored:
            raise ValueError(
                "sample: segments end with the sequence here, at no given step: expected last_censored=True"
            )
        return super().sample(fit, key, n, covariates)
