"""What a fitted hidden Markov model is asked: verbs of its Fit. `x` is new data; that of the fit when left out."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

import latentem as lem
from latentem import chain
from latentem.building import as_key, is_tabular, jit, tables
from latentem.models.hmm import predictive


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
        "predictive",
        "transition_at",
        "step",
        "pseudo_residuals",
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

    def predictive(self, fit: Any, horizon: int, x: Any = None, covariates: Any = None) -> Any:
        """Distribution of the observation 1, ..., `horizon` steps after the end, a `Predictive`: `mean`, `sd`,
        `quantile(p)`, `log_density(x)`, and the `states` it comes from; a list of them for several sequences.

        Args:
            covariates: where transitions or observations depend on some, those of each step, columns by name; where
                only transitions do, (horizon, q) too.
        """
        given = declared(fit).emission.conditional and not is_tabular(covariates)
        if given:
            names = ", ".join(dict.fromkeys((*declared(fit).emission.covariates, *self.covariates)))
            raise ValueError(f"predictive: what is observed depends on {names}: pass covariates= with these columns")
        states = self.forecast(fit, horizon, x, covariates if self.covariates else None)
        several = [states] if states.ndim == 2 else list(states)
        found = [predictive.Predictive.of(declared(fit), fit.params["emission"], each, covariates) for each in several]
        return found[0] if states.ndim == 2 else found

    def transition_at(self, fit: Any, covariates: Any = None) -> np.ndarray:
        """The transition matrix, (K, K), row -> column: at given covariates, where it depends on some; (n, K, K) at
        several.

        Args:
            covariates: (q,) or (n, q) numbers, or {name: number or (n,)}.
        """
        if not self.covariates:
            return matrices(fit, covariates, 1)[0]
        one = False
        if isinstance(covariates, Mapping):
            one = all(np.ndim(a) == 0 for a in covariates.values())
            covariates = {name: np.atleast_1d(a) for name, a in covariates.items()} if one else covariates
            n = len(next(iter(covariates.values()), ()))
        elif is_tabular(covariates):
            n = tables.length_of(covariates)
        else:
            one = np.ndim(covariates) < 2
            covariates = None if covariates is None else np.reshape(covariates, (1, -1)) if one else covariates
            n = 1 if covariates is None else len(covariates)
        found = matrices(fit, covariates, n)
        return found[0] if one else found

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
            covariates: where transitions depend on them, those of the move into each step, (n, q), or columns by name;
                the first is not looked at. Those of the first sequence of the data by default, and so are those of
                regressions.
        """
        hmm = declared(fit)
        if hmm.emission.conditional or (hmm.covariates and covariates is None):
            return _sample_like(fit, key, n, covariates)
        moves = matrices(fit, covariates, n)
        with jax.enable_x64(True):
            params = jax.tree.map(lambda a: jnp.asarray(a, jnp.float64), fit.params)
            with np.errstate(divide="ignore"):
                log_moves = jnp.asarray(np.log(moves if self.covariates else moves[0]))
            return jax.tree.map(np.asarray, _simulate(declared(fit), n, params, log_moves, key)[1])

    def pseudo_residuals(self, fit: Any, x: Any = None) -> Any:
        """Forecast pseudo-residuals, (T,): standard normal where the model is true.

        Normal quantiles of P(X_t <= x_t | observations before), for counts at the middle of their jump. NaN where the
        observation is missing. Source: Zucchini, MacDonald and Langrock (2016), section 6.2.
        """
        series = fit.sequences(x)
        states = self.by_state(chain.predicted(fit.model, fit.params, series))
        x = declared(fit).of_emission(series.steps)
        below, at_most = distribution(declared(fit), fit.params["emission"], np.asarray(x))
        middle = np.sum(states * 0.5 * (below + at_most), axis=1)
        with jax.enable_x64(True):
            residuals = np.asarray(jax.scipy.special.ndtri(jnp.asarray(middle)))
        return series.split(residuals if series.observed is None else np.where(series.observed, residuals, np.nan))


def _sample_like(fit: Any, key: Array, n: int, covariates: Any) -> Any:
    """A sequence with the covariates of the first one of the data."""
    hmm = declared(fit)
    if fit.model.sample_like is None:
        raise ValueError(
            f"sample: {type(hmm.emission).__name__} needs the observations before: there is no way to draw"
        )
    if fit.data is None or fit.data.observations.lengths[0] < n:
        there = "no data" if fit.data is None else f"{fit.data.observations.lengths[0]} steps in its first sequence"
        raise ValueError(f"sample: n={n} takes the covariates of the data, and there are {there}: pass covariates=")
    steps = jax.tree.map(lambda a: np.asarray(a)[:n], fit.data.observations.steps)
    if covariates is not None:
        steps = steps._replace(covariates=future(hmm, covariates, n))
    with jax.enable_x64(True):
        params, steps = jax.tree.map(lambda a: jnp.asarray(a, jnp.float64), (fit.params, steps))
        drawn = jax.tree.map(np.asarray, _simulate_like(hmm, params, key, steps, jnp.arange(n) == 0)[1])
    return drawn.observed if hmm.covariates else drawn


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
    z = future(hmm, covariates, n)
    with jax.enable_x64(True):
        coefficients = jnp.asarray(fit.params["transition"], jnp.float64)
        return np.exp(np.asarray(hmm.kinds.transition.log_matrix(coefficients, jnp.asarray(z))))


def future(hmm: Any, covariates: Any, n: int) -> Float[np.ndarray, "n q"]:
    """Covariates of n moves: an array (n, q), or columns by name.

    Raises:
        ValueError: none, another shape, a column that is not there, or missing ones.
    """
    names = hmm.covariates
    if is_tabular(covariates):
        table = tables.named_columns(covariates, "covariates", names)
        for name in names:
            if name not in table:
                raise ValueError(f"covariates: no column is called {name!r}: expected {', '.join(names)}")
        covariates = np.stack([np.asarray(table[name], np.float64) for name in names], axis=1)
    z = np.full((n, len(names)), np.nan) if covariates is None else np.asarray(covariates, np.float64)
    if z.shape != (n, len(names)) or np.isnan(z).any():
        told = "none" if covariates is None else f"shape {z.shape}" if z.shape != (n, len(names)) else "NaN among them"
        raise ValueError(f"covariates: {told}: expected ({n}, {len(names)}) numbers, of {', '.join(names)}")
    return z


def distribution(hmm: Any, params: Any, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(P(X < x), P(X <= x)) in every state, (T, K) each.

    Raises:
        ValueError: for a family whose distribution function is not known here, or of several columns.
    """
    column = x.reshape(len(x), -1)
    each = predictive.Predictive(np.ones((1, hmm.states)), hmm, params, {}).each.of
    if len(each) > 1 or hmm.emission.conditional:
        raise ValueError("pseudo_residuals: expected one number a step, which depends on nothing but the state")
    at_most = each[0].cdf(column)
    return at_most - each[0].pmf(column) if hasattr(each[0].dist, "pmf") else at_most, at_most


@partial(jit, static_argnums=0)
def _one_step(hmm: Any, params: Any, x: Any) -> tuple[Array, Array]:
    return hmm.first(params), jnp.repeat(hmm.emission_log_prob(params, x), hmm.stages)


@partial(jit, static_argnums=0)
def _simulate_like(hmm: Any, params: Any, key: Array, steps: Any, begins: Array) -> tuple[Array, Any]:
    return simulate_like(hmm, params, key, steps, begins)


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


def simulate_like(hmm: Any, params: Any, key: Array, steps: Any, begins: Any) -> tuple[Array, Any]:
    """(states (T,), steps) of sequences end to end, drawn with the covariates of these steps."""
    first, moves, draws = jax.random.split(key, 3)
    n = len(begins)
    log_moves = hmm.transition(params, steps)
    varying = log_moves.ndim == 3
    starts = jax.random.categorical(first, hmm.first(params), shape=(n,))

    def move(state: Array, x: tuple[Array, ...]) -> tuple[Array, Array]:
        k, begin, start, *own = x
        new = jnp.where(begin, start, jax.random.categorical(k, (own[0] if own else log_moves)[state]))
        return new, new

    every = (jax.random.split(moves, n), begins, starts, *((log_moves,) if varying else ()))
    _, which = jax.lax.scan(move, starts[0], every)
    states = hmm.state_of(which)

    def observe(state: Array, k: Array, x: Any) -> Any:
        return hmm.emission.sample_like(hmm.of_states.component({"components": params["emission"]}, state), k, x)

    drawn = jax.vmap(observe)(states, jax.random.split(draws, n), hmm.of_emission(steps))
    return states, steps._replace(observed=drawn) if hmm.covariates else drawn


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
