"""What a model may declare besides log p(x, z): an M-step in closed form, an exponential-family form, factors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Array, Float


@dataclass(frozen=True)
class ClosedForm:
    """An M-step in closed form: expected complete-data statistics in, maximiser out.

    Args:
        statistics: `(params, x, z) -> pytree` for one observation and one latent value; what is summed over
            observations is its posterior expectation at the current params.
        maximize: `(expected, params) -> params`, the maximiser of the expected complete-data log-likelihood given the
            expected statistics; `params` are the current ones, for steps that maximise one block after another.
        per_value: keep a leading axis over the K latent values instead of summing over it: `expected[k]` is then
            sum_n w_n p(z = k | x_n) statistics(params, x_n, k). For latents on nodes.
        includes_prior: `maximize` already maximises expected log-likelihood + log prior. Where a model has a prior and
            this is False, the M-step is derived instead.
        context: `(observations, weights) -> pytree`, what both need from the data as a whole, such as a scale; where it
            is given, both take it as one more argument.
    """

    statistics: Callable[..., Any]
    maximize: Callable[..., Any]
    per_value: bool = False
    includes_prior: bool = False
    context: Callable[[Any, Any], Any] | None = None


def _no_context(observations: Any, weights: Any) -> tuple[()]:
    return ()


@dataclass(frozen=True)
class Separable:
    """The exponential-family form of a model: log p(x, z_k | params) = features(x) . natural(params)[k].

    With it the E-step is one matrix product, `features @ natural.T`, the expected statistics are another,
    `responsibilities.T @ features`, and the M-step never sees the observations.

    Args:
        features: `(observations (n, ...), context) -> (n, S)`, of a chunk of observations.
        natural: `(params, context) -> (K, S)`, S coefficients for each of the K latent values.
        maximize: `(expected (K, S), params, context) -> params`, or None for Newton on `expected . natural(params)`.
        context: `(observations, weights) -> pytree`: what the features need from the data as a whole, such as a centre.
        applies: `(observations) -> bool`, on the host: whether the form holds for these data (no missing values, say).
        includes_prior: `maximize` already maximises expected log-likelihood + log prior.
        impossible: `(observations (n, ...), context) -> (n, K) bool`: latent values that are structurally impossible
            for an observation; their log p is -inf and their features . natural is not looked at.
        basis: `() -> (K, R)`, where coefficients are linear in R functions of the latent value, as the log-odds of a
            logistic item are in ability: `features` and `natural` then return pairs (lead (n, L), rest (n, S)) and
            (lead (K, L), loadings (R, S)), log p = lead . lead[k] + basis[k] . (loadings @ rest), and the statistics
            that `maximize` gets are a pair of these shapes. S columns cost R products instead of K.
        e_step: `(natural, features, weights (n,)) -> (log evidence (n,), expected features)` of n observations, where
            the sum over the latent value factors into smaller ones (bifactor models): `features` and `natural` then
            return any pytrees, and `maximize` gets one like `natural`.
    """

    features: Callable[[Any, Any], Float[Array, "n S"]]
    natural: Callable[[Any, Any], Float[Array, "K S"]]
    maximize: Callable[[Any, Any, Any], Any] | None = None
    context: Callable[[Any, Any], Any] = _no_context
    applies: Callable[[Any], bool] | None = None
    includes_prior: bool = False
    impossible: Callable[[Any, Any], Any] | None = None
    basis: Callable[[], np.ndarray] | None = None
    e_step: Callable[[Any, Any, Any], tuple[Any, Any]] | None = None

    @property
    def plain(self) -> bool:
        """Whether `features . natural` is one product of two matrices."""
        return self.basis is None and self.e_step is None


@dataclass(frozen=True)
class Factored:
    """The density of a chain model in its factors: what `Separable` is for observations without order.

    With it the recursions run on (K, K) transitions and (n, K) emissions instead of the declaration of every step, and
    the M-step sees expected counts. `rows` are n steps.

    Args:
        first: `(params) -> (K,)`, log probability of the first state; -inf where it is impossible.
        transition: `(params) -> (K, K)`, log p(column | row); or `(params, rows) -> (n, K, K)` into each step, where
            `varying`.
        emission: `(params, rows, context) -> (n, K)`, log p(x | state).
        varying: whether transitions differ between steps.
        features, natural: `(rows, context) -> (n, S)` and `(params, context) -> (K, S)` with emission = features .
            natural, where that holds.
        statistics: `(params, rows, context) -> (n, K, S)`: what a closed M-step sums where it does not.
        maximize: `(Expected, params, context) -> params`, the M-step, or None for a derived one; with the rows behind,
            where `varying`.
        context: `(rows, weights) -> pytree`, the units that features and statistics are computed in, such as a centre
            and a scale. Estimates must not hang on them: of a very long sequence they come from evenly spaced parts.
        includes_prior: `maximize` already maximises expected log-likelihood + log prior.
        initial: `(key, rows, weights, label, begins) -> params`, a start where states are known at some steps: `label`
            (n,), -1 where one is not, and `begins` (n,), whether a sequence does. Without it `Model.initial` is asked.
    """

    first: Callable[[Any], Float[Array, " K"]]
    transition: Callable[..., Float[Array, "*n K K"]]
    emission: Callable[[Any, Any, Any], Float[Array, "n K"]]
    varying: bool = False
    features: Callable[[Any, Any], Float[Array, "n S"]] | None = None
    natural: Callable[[Any, Any], Float[Array, "K S"]] | None = None
    statistics: Callable[[Any, Any, Any], Float[Array, "n K S"]] | None = None
    maximize: Callable[..., Any] | None = None
    context: Callable[[Any, Any], Any] = _no_context
    includes_prior: bool = False
    initial: Callable[[Array, Any, Any, Any, Any], Any] | None = None
