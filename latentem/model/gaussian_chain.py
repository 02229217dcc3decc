"""The latent of state space models: a Gaussian vector that moves from step to step, and the matrices it moves by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Array, Float

from latentem.data import Data, door
from latentem.data.sequences import sequences
from latentem.model.latents import Cll, Latent


class System(NamedTuple):
    """The matrices of a linear Gaussian model of d states and p readings, with k and l covariates.

    z_t = transition z_(t-1) + inputs u_t + N(0, process), y_t = observation z_t + offset v_t + N(0, noise), and
    z_1 = mean + directions delta + N(0, covariance), where delta (q,) is unknown.

    Args:
        transition: (d, d).
        inputs: (d, k).
        process: (d, d), may be singular.
        observation: (p, d).
        offset: (p, l).
        noise: (p,), variances of independent noise; or (p, p), a covariance matrix.
        mean, covariance: (d,) and (d, d), of the first state.
        directions: (d, q), numbers of the model, not parameters.
    """

    transition: Float[Array, "d d"]
    inputs: Float[Array, "d k"]
    process: Float[Array, "d d"]
    observation: Float[Array, "p d"]
    offset: Float[Array, "p l"]
    noise: Float[Array, " p"] | Float[Array, "p p"]
    mean: Float[Array, " d"]
    covariance: Float[Array, "d d"]
    directions: Float[Array, "d q"]


@dataclass(frozen=True)
class LinearGaussian:
    """A Gaussian chain given by its matrices: what `Factored` is for a `Chain`.

    Args:
        system: `params -> System`; `(params, x) -> System` where it is `varying`.
        noisy: states that have process noise of their own; the other rows of `process` are zero.
        exact: readings without noise; params move them through the states only.
        opening: states whose first value has a distribution that depends on params; the others are known, or
            unknown along `directions`.
        integrated: what is unknown of the first state, delta, has a flat prior and is integrated out (an exact diffuse
            start); False: it is a constant, estimated by least squares.
        before: the first state is that before the first observation, z_0.
        maximize: `(Moments, params) -> params`, the M-step in closed form; None for a derived one.
        includes_prior: `maximize` already maximises expected log-likelihood + log prior.
        varying: matrices change from step to step with covariates: x is {"u": (k,), of the move into the step after
            it, "v": (l,), of its readings}. Noise is independent then, `noise` is (p,); `directions` stay what they
            are; the M-step is derived.
    """

    system: Callable[..., System]
    noisy: tuple[int, ...]
    exact: tuple[int, ...] = ()
    opening: tuple[int, ...] = ()
    integrated: bool = True
    before: bool = False
    maximize: Callable[[Any, Any], Any] | None = None
    includes_prior: bool = False
    varying: bool = False

    def __post_init__(self) -> None:
        if self.varying and self.maximize is not None:
            raise TypeError(
                "LinearGaussian(varying=True): matrices that vary leave no sums for maximize=: leave it out"
            )


@dataclass(frozen=True)
class GaussianChain(Latent):
    """A Gaussian Markov chain of vectors along each sequence of observations: state space models.

    Either the matrices are given, or the model declares one step: its complete-data log-likelihood is then `(params, x,
    z, previous) -> log p(z | previous) + log p(x | z)` and has to be quadratic in z and previous, each (dim,).

    Args:
        dim: dimension of the state.
        factors: the matrices, `lem.LinearGaussian(...)`.
        first: in their place, the first step of a sequence, `(params, x, z) -> log p(z) + log p(x | z)`; it has to have
            a maximum in z. Steps are what the data are, and what is missing in them is the declaration's to leave out.
    """

    dim: int
    factors: LinearGaussian | None = None
    first: Callable[[Any, Any, Any], Array] | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.dim, int) or self.dim < 1:
            raise ValueError(f"GaussianChain({self.dim!r}): expected a dimension >= 1")
        if (self.factors is None) == (self.first is None):
            raise TypeError("GaussianChain: expected factors=, the matrices, or first=, a function (params, x, z)")
        if self.factors is not None and not isinstance(self.factors, LinearGaussian):
            raise TypeError(f"GaussianChain(factors={self.factors!r}): expected lem.LinearGaussian(system, ...)")

    def read(self, observations: Any, weights: Any = None) -> Data:
        """Checked data: one sequence is one observation; its steps are {"y": (T, p)}, NaN where a reading is missing,
        and covariates "u" (T, k) of the moves into steps and "v" (T, l) of readings.

        Raises:
            ValueError: a reading that is never there, a sequence without any, covariates that are missing.
        """
        series = sequences(observations)
        if self.factors is None:
            checked = door.read(series.steps)
            own = replace(series, steps=checked.observations)
            return Data(own, door.read(series.lengths, weights).weights, series.lengths)
        steps = series.steps if isinstance(series.steps, dict) else {"y": np.asarray(series.steps)}
        steps = {name: np.asarray(a, np.float64) for name, a in steps.items()}
        steps["y"] = steps["y"].reshape(series.total, -1)
        door.read(steps)
        for name in set(steps) - {"y"}:
            if np.isnan(steps[name]).any():
                row = int(np.argwhere(np.isnan(steps[name]))[0, 0])
                raise ValueError(f"covariate {name!r} is missing in row {row}: expected a number in every row")
        there = ~np.isnan(steps["y"])
        if not there.any(axis=0).all():
            column = int(np.argmin(there.any(axis=0)))
            raise ValueError(f"column {column} of the readings is missing in every step: leave it out")
        silent = np.flatnonzero(~np.logical_or.reduceat(there.any(axis=1), series.starts))
        if len(silent):
            raise ValueError(f"every reading of sequence {silent[0]} is missing: leave the sequence out")
        return Data(replace(series, steps=steps), door.read(series.lengths, weights).weights, series.lengths)

    def posterior(self, cll: Cll, params: Any, x: Any) -> Any:
        raise TypeError("the states of a chain have no posterior step by step: use fit.smooth()")

    def example(self) -> np.ndarray:
        return np.zeros(self.dim)

    def arguments(self) -> tuple[np.ndarray, ...]:
        """An example of what log p(x, z) takes behind params and x: a state and the one before."""
        return self.example(), self.example()
