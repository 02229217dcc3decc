"""Latents: what the unobserved value is, and how its posterior follows from the complete-data log-likelihood."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from latentem import posterior as posteriors
from latentem.data import Data, door
from latentem.data.sequences import sequences
from latentem.model import quadrature

Cll = Callable[[Any], Array]

#: Ways to integrate over a continuous latent value.
METHODS = ("grid", "hermite", "adaptive", "sobol", "hessian")


class Latent(ABC):
    """What z is, never how it is computed on data: a frozen, hashable value.

    To add one: `posterior` and `example`; `nodes` where all observations sum over the same values; `read` where an
    observation is no row of arrays; `arguments` where log p(x, z) takes more than z.
    """

    #: Each observation goes wholly to its most probable value (classification EM).
    hard: bool = False
    #: An observation is a sequence.
    sequential: bool = False

    @property
    def choices(self) -> int | None:
        """How many values one of which is the most probable of an observation; None where there are none to choose."""
        return None

    def told(self, posterior: Any) -> Array:
        """Log probabilities of the values that an observation is told to have, (K,)."""
        return posterior.log_probabilities

    def read(self, observations: Any, weights: Any = None) -> Data:
        """Checked data: one row of arrays is one observation.

        Raises:
            ValueError, TypeError: in one line, what cannot be used.
        """
        data = door.read(observations, weights)
        if data.sizes is not None:
            raise ValueError(f"observations are sequences, but {self!r} has no order: expected lem.Chain(k, first)")
        return data

    def arguments(self) -> tuple[np.ndarray, ...]:
        """An example of what log p(x, z) takes behind params and x: z; of a chain, z and the one before."""
        return (self.example(),)

    @abstractmethod
    def posterior(self, cll: Cll, params: Any, x: Any) -> Any:
        """Posterior of z for one observation, from `cll(z) = log p(x, z | params)`."""

    def nodes(self) -> tuple[np.ndarray, np.ndarray] | None:
        """(values (K, ...), log weights (K,)) when every observation sums over the same nodes, else None."""
        return None

    @abstractmethod
    def example(self) -> np.ndarray:
        """A latent value of the right shape and dtype, for checks before any computation."""


class _OnNodes(Latent):
    """A latent whose posterior is a sum over nodes that all observations share."""

    @abstractmethod
    def nodes(self) -> tuple[np.ndarray, np.ndarray]: ...

    def posterior(self, cll: Cll, params: Any, x: Any) -> posteriors.Weighted:
        values, log_weights = self.nodes()
        nodes = jnp.asarray(values)
        return self.normalise(nodes, jax.vmap(cll)(nodes) + jnp.asarray(log_weights, jnp.result_type(float)))

    def normalise(self, nodes: Any, log_joint: Array) -> posteriors.Weighted:
        """From log joint (K,) to posterior."""
        return posteriors.Weighted.from_log_joint(nodes, log_joint)

    def example(self) -> np.ndarray:
        return self.nodes()[0][0]


@dataclass(frozen=True)
class Finite(_OnNodes):
    """A latent with the values 0, 1, ..., size - 1; `z` arrives as an integer scalar.

    Args:
        size: number of values.
        hard: classification EM (Celeux and Govaert 1992): each observation goes wholly to its most probable value,
            and the objective is the classification likelihood sum_n max_z log p(x_n, z). k-means is such an EM.
    """

    size: int
    hard: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.size, int) or self.size < 1:
            raise ValueError(f"Finite({self.size!r}): expected a number of values >= 1")

    def nodes(self) -> tuple[np.ndarray, np.ndarray]:
        return np.arange(self.size, dtype=np.int32), np.zeros(self.size)

    @property
    def choices(self) -> int:
        return self.size

    def normalise(self, nodes: Any, log_joint: Array) -> posteriors.Weighted:
        if not self.hard:
            return super().normalise(nodes, log_joint)
        best = jnp.argmax(log_joint)
        return posteriors.Weighted(nodes, jnp.where(jnp.arange(self.size) == best, 0.0, -jnp.inf), log_joint[best])


@dataclass(frozen=True)
class Continuous(Latent):
    """A continuous latent of dimension 1, 2 or 3 on a grid or on nodes around the mode of each observation, of more by
    quasi-Monte-Carlo, or of any dimension where log p(x, z) is quadratic in z.

    The complete-data log-likelihood includes log p(z); `z` arrives as a scalar when `dim` is 1, else as (dim,).

    Args:
        dim: dimension of z.
        method: "grid", equally spaced nodes; "hermite", Gauss-Hermite nodes; "sobol", normal quantiles of a scrambled
            Sobol sequence (quasi-Monte-Carlo: the same nodes every time); "hessian", exact normal posterior from the
            Hessian of a log-density that is quadratic in z (factor analysis); "adaptive", Gauss-Hermite nodes around
            the mode of log p(x, z) for each observation, spread as its curvature there.
        size: nodes per dimension, 61 for "grid", 31 for "hermite" and 9 for "adaptive"; nodes in all, a power of two,
            2048 for "sobol".
        bounds: ends of the grid in each dimension, in units of z (of `scale` where there is one, of log z where z is
            positive).
        scale: name of the positive param, of one entry or of `dim`, that nodes are multiplied by: a latent value
            z ~ N(0, sigma) is integrated as well for every sigma with `scale="sigma"`.
        support: "real", or "positive", where nodes are those of log z.

    Weights of the nodes are those of a standard normal, normalised to sum to one, divided by its density: a
    standard-normal latent gets exactly the normalised weights of Bock and Aitkin (1981), any other density is
    integrated by the same rule.
    """

    dim: int = 1
    method: Literal["grid", "hermite", "sobol", "hessian", "adaptive"] = "grid"
    size: int | None = None
    bounds: tuple[float, float] = (-6.0, 6.0)
    scale: str | None = None
    support: Literal["real", "positive"] = "real"

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ValueError(f"Continuous(method={self.method!r}): expected one of {', '.join(map(repr, METHODS))}")
        if not isinstance(self.dim, int) or self.dim < 1:
            raise ValueError(f"Continuous({self.dim!r}): expected a dimension >= 1")
        if self.method in ("grid", "hermite", "adaptive") and self.dim > 3:
            raise ValueError(
                f"Continuous({self.dim}): product grids go up to 3 dimensions; use method='sobol', method='hessian' "
                "where the log-density is quadratic in z, or lem.Given(posterior)"
            )
        if self.size is not None and self.size < 2:
            raise ValueError(f"Continuous(size={self.size!r}): expected at least 2 nodes per dimension")
        if self.method == "sobol" and self.size is not None and self.size & (self.size - 1):
            raise ValueError(f"Continuous(size={self.size!r}): a Sobol sequence has a power of two nodes, such as 2048")
        if not self.bounds[0] < self.bounds[1]:
            raise ValueError(f"Continuous(bounds={self.bounds!r}): expected (low, high) with low < high")
        if self.support not in ("real", "positive"):
            raise ValueError(f"Continuous(support={self.support!r}): expected 'real' or 'positive'")
        if self.scale is not None and self.method in ("hessian", "adaptive"):
            raise ValueError(
                f"Continuous(scale={self.scale!r}, method={self.method!r}): nodes of this method find their own scale; "
                "leave scale out"
            )
        if self.support == "positive" and (self.method == "hessian" or self.scale is not None):
            raise ValueError(
                "Continuous(support='positive'): expected method 'grid', 'hermite', 'sobol' or 'adaptive', and no scale"
            )

    @property
    def count(self) -> int:
        """Nodes per dimension; in all, of a Sobol sequence; 0 of method "hessian", which has none."""
        return self.size or {"grid": 61, "hermite": 31, "adaptive": 9, "sobol": 2048, "hessian": 0}[self.method]

    def nodes(self) -> tuple[np.ndarray, np.ndarray] | None:
        return None if self.scale is not None else self._rule()

    def _rule(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Nodes before they are multiplied by a scale, with their log weights."""
        if self.method in ("hessian", "adaptive"):
            return None
        if self.method == "sobol":
            points, log_weights = quadrature.sobol(self.dim, self.count)
        else:
            points, log_weights = quadrature.grid(self.dim, self.method, self.count, self.bounds)
        if self.support == "positive":
            return np.exp(points), log_weights + points.reshape(len(points), -1).sum(axis=1)
        return points, log_weights

    def example(self) -> np.ndarray:
        middle = np.ones if self.support == "positive" else np.zeros
        return middle(()) if self.dim == 1 else middle(self.dim)

    def posterior(self, cll: Cll, params: Any, x: Any) -> Any:
        if self.method == "adaptive":
            if self.support == "real":
                return quadrature.adaptive(cll, self.dim, self.count)
            found = quadrature.adaptive(lambda t: cll(jnp.exp(t)) + jnp.sum(t), self.dim, self.count)
            return posteriors.Weighted(jnp.exp(found.nodes), found.log_probabilities, found.log_evidence)
        grid = self._rule()
        if grid is None:
            return quadrature.laplace(cll, self.dim)
        # JAX remembers a NumPy constant by its identity: one that a float64 fit has seen cannot enter a float32 fit.
        nodes, log_weights = (jnp.asarray(a, dtype=jnp.result_type(float)) for a in grid)
        if self.scale is not None:
            scale = self._scale(params)
            nodes, log_weights = nodes * scale, log_weights + jnp.sum(jnp.log(jnp.broadcast_to(scale, (self.dim,))))
        return posteriors.Weighted.from_log_joint(nodes, jax.vmap(cll)(nodes) + log_weights)

    def _scale(self, params: Any) -> Array:
        found = params
        for name in str(self.scale).split("."):
            if not isinstance(found, dict) or name not in found:
                raise ValueError(
                    f"Continuous(scale={self.scale!r}): params have no {name!r}; expected a positive param"
                )
            found = found[name]
        return jnp.asarray(found)


@dataclass(frozen=True)
class Given(Latent):
    """A latent whose posterior the user supplies.

    Args:
        posterior_of: function (params, x) of ONE observation that returns a posterior: `lem.posterior.Weighted`,
            `lem.posterior.Gaussian`, or any object with `expect` and `log_evidence`, or with `log_prob` and `nodes`.
        value: an example of a latent value, used to check shapes at the door and by `lem.check`.
    """

    posterior_of: Callable[[Any, Any], Any]
    value: float | tuple[float, ...] = 0.0

    def posterior(self, cll: Cll, params: Any, x: Any) -> Any:
        return posteriors.complete(self.posterior_of(params, x), cll)

    def example(self) -> np.ndarray:
        return np.asarray(self.value)


@dataclass(frozen=True)
class Chain(Latent):
    """A Markov chain of latent states 0, 1, ..., size - 1 along each sequence of observations.

    The complete-data log-likelihood of the model is that of ONE step: `(params, x, z, previous) -> log p(z | previous)
    + log p(x | z)`. Data are `lem.sequences(...)`.

    Args:
        size: number of states.
        first: of the first step of a sequence, `(params, x, z) -> log p(z) + log p(x | z)`.
        labels: the label by which each state is known where the data have labels, `size` of them, several states with
            one label, say; its own number by default.
    """

    size: int
    first: Callable[[Any, Any, Any], Array]
    labels: tuple[int, ...] | None = None

    sequential: ClassVar[bool] = True  # pyright: ignore[reportIncompatibleVariableOverride]

    def __post_init__(self) -> None:
        if not isinstance(self.size, int) or self.size < 1:
            raise ValueError(f"Chain({self.size!r}): expected a number of states >= 1")
        if not callable(self.first):
            raise TypeError(f"Chain(first={self.first!r}): expected a function (params, x, z) of the first step")
        if self.labels is not None and len(self.labels) != self.size:
            raise ValueError(f"Chain({self.size}) with {len(self.labels)} labels: expected one for each state")

    def read(self, observations: Any, weights: Any = None) -> Data:
        """Checked data: one sequence is one observation."""
        return sequences(observations).read(weights)

    def arguments(self) -> tuple[np.ndarray, ...]:
        return self.example(), self.example()

    @property
    def known_as(self) -> tuple[int, ...]:
        """The label of each state."""
        return tuple(range(self.size)) if self.labels is None else self.labels

    def posterior(self, cll: Cll, params: Any, x: Any) -> Any:
        raise TypeError("the states of a chain have no posterior step by step: use fit.smooth() or lem.chain.smoothed")

    def example(self) -> np.ndarray:
        return np.zeros((), np.int32)
