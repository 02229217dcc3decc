"""What a fitted hidden Markov model is asked: verbs of its Fit. `x` is new data; that of the fit when left out."""

from __future__ import annotations

import warnings
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

import latentem as lem
from latentem import chain
from latentem.building import as_key, jit
from latentem.families import Family
from latentem.models.hmm import missing
from latentem.models.imputation import impute as impute_rows


class Verbs:
    """Verbs of a hidden Markov model. With one sequence they answer with an array, with several with a list of them."""

    covariates: tuple[str, ...]
    verbs = (
        "filter",
        "smooth",
        "viterbi",
        "viterbi_top",
        "sample_path",
        "sample",
        "forecast",
        "transition_expectations",
        "step",
        "pseudo_residuals",
        "impute",
    )

    def by_state(self, probabilities: np.ndarray) -> np.ndarray:
        """Probabilities (..., K) of what the recursions know as states, (..., M)."""
        return probabilities

    def state_of(self, which: Any) -> Any:
        """The state that each state of the recursions belongs to."""
        return which

    def filter(self, fit: Any, x: Any = None) -> Any:
        """p(state | observations up to this step), (T, K); NaN, and a warning, for a sequence that is impossible."""
        return _probabilities("filter", lambda *a: self.by_state(chain.filtered(*a)), fit, x)

    def smooth(self, fit: Any, x: Any = None) -> Any:
        """p(state | all observations of the sequence), (T, K); NaN, and a warning, for one that is impossible."""
        return _probabilities("smooth", lambda *a: self.by_state(chain.smoothed(*a)), fit, x)

    def viterbi(self, fit: Any, x: Any = None) -> Any:
        """The most probable path of states, (T,); -1, and a warning, for a sequence that is impossible."""

        def path(model: Any, params: Any, series: lem.Sequences) -> np.ndarray:
            states, score = chain.viterbi(model, params, series)
            lost = np.isneginf(score[:, 0])
            found = self.state_of(states[:, 0])
            return _marked("viterbi", model, params, series, lost, found, -1) if lost.any() else found

        return _answer(path, fit, x)

    def viterbi_top(self, fit: Any, n: int, x: Any = None) -> tuple[Any, np.ndarray]:
        """(the `n` most probable paths, (T, n); log p(x, path) of each, (N, n))."""
        if not isinstance(n, int) or n < 1:
            raise ValueError(f"viterbi_top({n!r}): expected how many paths, at least 1")
        series = fit.sequences(x)
        states, score = chain.viterbi(fit.model, fit.params, series, n)
        return series.split(states), score

    def sample_path(self, fit: Any, key: Any, draws: int = 1, x: Any = None) -> Any:
        """Paths of states drawn from their posterior given all observations, (T, draws)."""

        key = as_key(key, "sample_path")

        def drawn(model: Any, params: Any, series: lem.Sequences) -> np.ndarray:
            return self.state_of(chain.sample_paths(model, params, series, key, draws))

        return _answer(drawn, fit, x)

    def transition_expectations(self, fit: Any, x: Any = None) -> Any:
        """p(state before, state | all observations), (T - 1, K, K)."""
        series = fit.sequences(x)
        into = self.by_state(chain.pairs(fit.model, fit.params, series))
        parts = series.split(np.swapaxes(self.by_state(np.swapaxes(into, 1, 2)), 1, 2))
        return parts[1:] if series.single else [part[1:] for part in parts]

    def forecast(self, fit: Any, horizon: int, x: Any = None, covariates: Any = None) -> np.ndarray:
        """Distribution of the state 1, ..., `horizon` steps after the end, (horizon, K), or (N, horizon, K).

        Args:
            covariates: where transitions depend on them, those of the move into each step, (horizon, q).
        """
        if not isinstance(horizon, int) or horizon < 1:
            raise ValueError(f"forecast({horizon!r}): expected a number of steps of at least 1")
        model, data = fit.at(x)
        series = data.observations
        state = chain.filtered(model, fit.params, series)[np.cumsum(series.lengths) - 1]
        lost = ~(state.sum(axis=1) > 0.5)
        if lost.any():
            _marked("forecast", model, fit.params, series, lost, state, np.nan)
            state = np.where(lost[:, None], np.nan, state)
        found = []
        for matrix in matrices(fit, covariates, horizon):
            state = state @ matrix
            found.append(state)
        answer = self.by_state(np.stack(found, axis=1))
        return answer[0] if series.single else answer

    def step(self, fit: Any, state: Any, observation: Any, covariates: Any = None) -> tuple[np.ndarray, float]:
        """One step of online filtering: (p(state | all so far) (K,), log p(observation | those before)).

        Where states have durations, it goes on from pairs (state, what remains), (K * D,), and returns these.

        Args:
            fit: the fitted model.
            state: what the call before returned first; None at the first step of a sequence.
            observation: of one step; NaN where it is missing.
            covariates: where transitions depend on them, those of the move into this step, (q,).

        Raises:
            ValueError: the observation is impossible in every state that can be reached.
        """
        hmm = declared(fit)
        with jax.enable_x64(True):
            params = jax.tree.map(lambda a: jnp.asarray(a, jnp.float64), fit.params)
            x = jax.tree.map(jnp.asarray, observation)
            first, observed = jax.tree.map(np.asarray, _one_step(hmm, params, x))
        if state is None:
            prior = np.exp(first)
        else:
            given = None if covariates is None else np.reshape(covariates, (1, -1))
            prior = np.asarray(state) @ matrices(fit, given, 1)[0]
        missing = all(np.isnan(np.asarray(a, dtype=float)).all() for a in jax.tree.leaves(observation))
        with np.errstate(divide="ignore"):
            joint = np.log(prior) + (0.0 if missing else observed)
        top = np.max(joint)
        if not np.isfinite(top):
            raise ValueError(f"step: {observation!r} is impossible in every state that can be reached")
        evidence = float(top + np.log(np.sum(np.exp(joint - top))))
        return np.exp(joint - evidence), evidence

    def sample(self, fit: Any, key: Any, n: int, covariates: Any = None) -> Any:
        """A simulated sequence of `n` steps: observations with leading axis n.

        Args:
            covariates: where transitions depend on them, those of the move into each step, (n, q); the first is not
                looked at.
        """
        moves = matrices(fit, covariates, n)
        with jax.enable_x64(True):
            params = jax.tree.map(lambda a: jnp.asarray(a, jnp.float64), fit.params)
            with np.errstate(divide="ignore"):
                log_moves = jnp.asarray(np.log(moves if self.covariates else moves[0]))
            return jax.tree.map(np.asarray, _simulate(declared(fit), n, params, log_moves, key)[1])

    def impute(self, fit: Any, m: int | None = None, *, key: Any = None, x: Any = None, params: str = "normal") -> Any:
        return impute_rows(self, fit, m, key=key, x=x, params=params)

    impute.__doc__ = impute_rows.__doc__

    def holes(self, data: Any) -> np.ndarray:
        """Which entries of steps are missing."""
        return missing.holes(self, data.observations)

    def expected(self, model: Any, params: Any, data: Any) -> Any:
        """All steps with what is expected of their missing entries."""
        return missing.expected(model, params, data.observations)

    def drawn(self, model: Any, params: Any, data: Any, key: Any) -> Any:
        """All steps with their missing entries drawn."""
        return missing.drawn(model, params, data.observations, key)

    def as_given(self, given: Any, layout: Any, completed: Any) -> Any:
        """Completed steps in the type that the sequences were given in."""
        return missing.as_given(self, given, layout, completed)

    def pseudo_residuals(self, fit: Any, x: Any = None) -> Any:
        """Forecast pseudo-residuals, (T,): standard normal where the model is true.

        Normal quantiles of P(X_t <= x_t | observations before), for counts at the middle of their jump. NaN where the
        observation is missing. Source: Zucchini, MacDonald and Langrock (2016), section 6.2.
        """
        series = fit.sequences(x)
        states = self.by_state(chain.predicted(fit.model, fit.params, series))
        x = declared(fit).of_emission(series.steps)
        below, at_most = distribution(declared(fit).emission, fit.params["emission"], np.asarray(x))
        middle = np.sum(states * 0.5 * (below + at_most), axis=1)
        with jax.enable_x64(True):
            residuals = np.asarray(jax.scipy.special.ndtri(jnp.asarray(middle)))
        return series.split(residuals if series.observed is None else np.where(series.observed, residuals, np.nan))


def declared(fit: Any) -> Any:
    """The HMM with what the data of the fit said about its family."""
    return fit.model.declaration


def matrices(fit: Any, covariates: Any, n: int) -> np.ndarray:
    """Transition matrices of n moves, (n, K, K).

    Raises:
        ValueError: covariates of another shape, missing ones, or some for a model without.
    """
    hmm = declared(fit)
    q = len(hmm.covariates)
    if not q:
        if covariates is not None:
            raise ValueError("covariates: the transitions of this model depend on none; leave them out")
        with jax.enable_x64(True):
            params = jax.tree.map(lambda a: jnp.asarray(a, jnp.float64), fit.params)
            matrix = np.exp(np.asarray(hmm.transition(params)))
        return np.broadcast_to(matrix, (n, *matrix.shape))
    z = np.full((n, q), np.nan) if covariates is None else np.asarray(covariates, np.float64)
    if z.shape != (n, q) or np.isnan(z).any():
        told = "none" if covariates is None else f"shape {z.shape}" if z.shape != (n, q) else "NaN among them"
        raise ValueError(f"covariates: {told}: expected ({n}, {q}) numbers, of {', '.join(hmm.covariates)}")
    with jax.enable_x64(True):
        coefficients = jnp.asarray(fit.params["transition"], jnp.float64)
        return np.exp(np.asarray(hmm.kinds.transition.log_matrix(coefficients, jnp.asarray(z))))


def distribution(family: Family, params: Any, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(P(X < x), P(X <= x)) in every state, (T, K) each.

    Raises:
        ValueError: for a family whose distribution function is not known here.
    """
    column = x.reshape(len(x), -1)
    with jax.enable_x64(True):
        one = column[:, :1]
        if isinstance(family, lem.families.Poisson):
            cdf = jax.scipy.stats.poisson.cdf
            return np.asarray(cdf(one - 1, params["rate"])), np.asarray(cdf(one, params["rate"]))
        if isinstance(family, lem.families.Exponential):
            both = np.asarray(jax.scipy.stats.expon.cdf(one, 0.0, 1.0 / np.asarray(params["rate"])))
            return both, both
        if isinstance(family, lem.families.Gaussian) and column.shape[1] == 1:
            spread = np.asarray(params["covariance"] if "covariance" in params else params["variance"])
            scale = np.sqrt(spread.reshape(len(spread), -1)[:, 0])
            both = np.asarray(jax.scipy.stats.norm.cdf(one, np.asarray(params["mean"]).reshape(-1), scale))
            return both, both
    known = "Poisson, Exponential and one-dimensional Gaussian"
    raise ValueError(f"pseudo_residuals: no distribution function of {type(family).__name__} here: expected {known}")


@partial(jit, static_argnums=0)
def _one_step(hmm: Any, params: Any, x: Any) -> tuple[Array, Array]:
    return hmm.first(params), jnp.repeat(hmm.emission_log_prob(params, x), hmm.stages)


@partial(jit, static_argnums=(0, 1))
def _simulate(hmm: Any, n: int, params: Any, log_moves: Array, key: Array) -> tuple[Array, Any]:
    return simulate(hmm, params, log_moves, key, n)


def simulate(hmm: Any, params: Any, log_moves: Float[Array, "*n M M"], key: Array, n: int) -> tuple[Array, Any]:
    """(states (n,), observations) of a sequence drawn with this log transition matrix, or with these into each step."""
    first, moves, draws = jax.random.split(key, 3)
    begin = jax.random.categorical(first, hmm.first(params))
    # The move into a step is the one that leaves the step before it.
    onward = (jnp.roll(log_moves, -1, axis=0),) if log_moves.ndim == 3 else ()

    def move(state: Array, x: tuple[Array, ...]) -> tuple[Array, Array]:
        k, *rest = x
        return jax.random.categorical(k, (rest[0] if rest else log_moves)[state]), state

    _, which = jax.lax.scan(move, begin, (jax.random.split(moves, n), *onward))
    states = hmm.state_of(which)

    def observe(state: Array, k: Array) -> Any:
        return hmm.emission.sample(hmm.of_states.component({"components": params["emission"]}, state), k)

    return states, jax.vmap(observe)(states, jax.random.split(draws, n))


def _probabilities(what: str, verb: Any, fit: Any, x: Any) -> Any:
    """Probabilities of all steps, NaN for sequences that are impossible."""

    def known(model: Any, params: Any, series: lem.Sequences) -> np.ndarray:
        found = verb(model, params, series)
        bad = ~(found.sum(axis=1) > 0.5)
        if not bad.any():
            return found
        return _marked(what, model, params, series, np.logical_or.reduceat(bad, series.starts), found, np.nan)

    return _answer(known, fit, x)


def _marked(
    what: str, model: Any, params: Any, series: lem.Sequences, lost: np.ndarray, found: np.ndarray, mark: float
) -> np.ndarray:
    """`found` (T, ...) with `mark` in the place of all steps of the sequences that are `lost`, and a warning that names
    the first of them."""
    n = int(np.argmax(lost))
    step = int(chain.first_impossible(model, params, series)[n])
    told = f"{what}: sequence {n} is impossible from step {step} on (log p is -inf)"
    warnings.warn(f"{told}; its rows are {mark:g}", stacklevel=4)
    of_steps = np.repeat(lost, series.lengths)
    if len(found) != len(of_steps):
        return found
    return np.where(of_steps.reshape((-1,) + (1,) * (found.ndim - 1)), mark, found)


def _answer(verb: Any, fit: Any, x: Any) -> Any:
    model, data = fit.at(x)
    series = data.observations
    return series.split(verb(model, fit.params, series))
