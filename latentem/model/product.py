"""A latent value of several named parts: a class and a random effect, two classes, a class and a factor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from latentem import posterior as posteriors
from latentem.model.latents import Cll, Finite, Latent


@dataclass(frozen=True, init=False)
class Product(Latent):
    """A latent value with named parts; `z` arrives as a mapping, `z["kind"]`, `z["u"]`.

    Parts with nodes (finite ones, grids) are summed over together. One part may have none of its own: a `Continuous`
    of method "hessian", "adaptive" or with a scale is integrated for each value of the others, exactly where
    log p(x, z) is quadratic in it.

    Args:
        parts: a latent by the name of each part.

    Raises:
        ValueError: fewer than two parts, or two that have no common nodes.
        TypeError: a part that is no latent, or whose observations are sequences.

    >>> lem.Product(kind=lem.Finite(2), u=lem.Continuous(1)).nodes()[1].shape
    (122,)
    """

    parts: tuple[tuple[str, Latent], ...]

    def __init__(self, **parts: Latent) -> None:
        for name, latent in parts.items():
            if isinstance(latent, Product) or not isinstance(latent, Latent) or latent.sequential:
                told = f"Product({name}={latent!r:.80}): expected lem.Finite(k) or lem.Continuous(dim)"
                raise TypeError(f"{told}; parts of parts are parts too, and a chain is no part")
            if latent.hard:
                raise ValueError(f"Product({name}={latent!r}): no part is assigned hard; expected lem.Finite(k)")
        if len(parts) < 2:
            raise ValueError(f"Product of {len(parts)} part(s): expected two or more, by name")
        integrated = [name for name, latent in parts.items() if latent.nodes() is None]
        if len(integrated) > 1:
            told = " and ".join(map(repr, integrated))
            raise ValueError(f"Product: {told} have no common nodes; expected one such part, the others on a grid")
        object.__setattr__(self, "parts", tuple(parts.items()))

    @property
    def integrated(self) -> tuple[str, Latent] | None:
        """The part that is integrated for each value of the others, if there is one."""
        return next(((name, latent) for name, latent in self.parts if latent.nodes() is None), None)

    @property
    def choices(self) -> int | None:
        """Values of the finite part, where there is one; of two, none alone says what an observation is."""
        finite = self._finite
        return self._latent(finite[0]).nodes()[1].size if len(finite) == 1 else None  # pyright: ignore

    @property
    def _finite(self) -> list[str]:
        return [name for name, latent in self.parts if isinstance(latent, Finite)]

    def _latent(self, name: str) -> Latent:
        return dict(self.parts)[name]

    def nodes(self) -> tuple[dict[str, np.ndarray], np.ndarray] | None:  # pyright: ignore[reportIncompatibleMethodOverride]
        return None if self.integrated else self._nodes()

    def _nodes(self) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Values of the parts that have nodes, and the log weights of all their combinations."""
        values: dict[str, np.ndarray] = {}
        log_weights = np.zeros(1)
        for name, latent in self.parts:
            found = latent.nodes()
            if found is None:
                continue
            points, own = (np.asarray(a) for a in found)
            values = {other: np.repeat(a, len(own), axis=0) for other, a in values.items()}
            values[name] = np.tile(points, (len(log_weights),) + (1,) * (points.ndim - 1))
            log_weights = (log_weights[:, None] + own).ravel()
        return values, log_weights

    def example(self) -> Any:
        return {name: latent.example() for name, latent in self.parts}

    @property
    def _sizes(self) -> tuple[tuple[str, int], ...]:
        """How many nodes each part with nodes has."""
        return tuple((name, len(found[1])) for name, found in ((n, p.nodes()) for n, p in self.parts) if found)

    def posterior(self, cll: Cll, params: Any, x: Any) -> Any:
        values, log_weights = self._nodes()
        nodes = {name: jnp.asarray(a, jnp.int32 if a.dtype.kind == "i" else float) for name, a in values.items()}
        log_weights = jnp.asarray(log_weights, jnp.result_type(float))
        if self.integrated is None:
            found = posteriors.Weighted.from_log_joint(nodes, jax.vmap(cll)(nodes) + log_weights)
            return OnNodes(found.nodes, found.log_probabilities, found.log_evidence, self._sizes)
        name, latent = self.integrated

        def given(z: Mapping[str, Any]) -> Any:
            return latent.posterior(lambda v: cll({**z, name: v}), params, x)

        inner = jax.vmap(given)(nodes)
        found = posteriors.Weighted.from_log_joint(nodes, inner.log_evidence + log_weights)
        outer = OnNodes(found.nodes, found.log_probabilities, found.log_evidence, self._sizes)
        return Conditional(outer, inner, name)

    def told(self, posterior: Any) -> Float[Array, " K"]:
        """Log probabilities of the finite part."""
        if self.choices is None:
            several = "no finite part" if not self._finite else "several finite parts"
            raise ValueError(
                f"a Product with {several} has no responsibilities of one: use posterior(x).marginal(name)"
            )
        return jnp.log(posterior.marginal(self._finite[0])[1])


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class OnNodes(posteriors.Weighted):
    """The posterior of a latent value whose parts have nodes.

    Args:
        sizes: how many nodes each part has, in the order in which their combinations lie.
    """

    sizes: tuple[tuple[str, int], ...] = field(default=(), metadata={"static": True})

    def marginal(self, name: str) -> tuple[Array, Float[Array, " K"]]:
        """(values (K, ...), their probabilities (K,)) of a part.

        Raises:
            ValueError: no such part.
        """
        names, shape = [n for n, _ in self.sizes], tuple(size for _, size in self.sizes)
        if name not in names:
            raise ValueError(f"marginal({name!r}): parts with nodes are {', '.join(map(repr, names))}")
        axis = names.index(name)
        others = tuple(i for i in range(len(names)) if i != axis)
        mass = jnp.sum(self.probabilities.reshape(shape), axis=others)
        values = self.nodes[name]
        values = jnp.moveaxis(values.reshape(*shape, *values.shape[1:]), axis, 0)
        return values.reshape(shape[axis], -1, *self.nodes[name].shape[1:])[:, 0], mass


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Conditional:
    """The posterior of a latent value with one part that is integrated for each value of the others.

    Args:
        outer: over the parts that have nodes.
        inner: of the other part given each of those nodes; a posterior with leading axis K.
        name: of that part.
    """

    outer: OnNodes
    inner: Any
    name: str = field(metadata={"static": True})

    @property
    def log_evidence(self) -> Float[Array, ""]:
        """log p(x | params)."""
        return self.outer.log_evidence

    def expect(self, f: Any) -> Any:
        """E[f(z) | x] for a function of one latent value."""

        def given(z: Any, inner: Any) -> Any:
            return inner.expect(lambda v: f({**z, self.name: v}))

        return posteriors.expectation(self.outer.probabilities, jax.vmap(given)(self.outer.nodes, self.inner))

    @property
    def entropy(self) -> Float[Array, ""]:
        """Entropy, in nats."""
        inner = jax.vmap(lambda p: p.entropy)(self.inner)
        return self.outer.entropy + posteriors.expectation(self.outer.probabilities, inner)

    def sample(self, key: jax.Array) -> Any:
        """One latent value."""
        first, second = jax.random.split(key)
        k = jax.random.categorical(first, self.outer.log_probabilities)
        z, inner = jax.tree.map(lambda a: a[k], (self.outer.nodes, self.inner))
        return {**z, self.name: inner.sample(second)}

    def marginal(self, name: str) -> tuple[Array, Float[Array, " K"]]:
        """(values (K, ...), their probabilities (K,)) of a part with nodes."""
        return self.outer.marginal(name)
