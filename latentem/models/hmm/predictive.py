"""Forecasts of observations: the mixture of what the states emit, weighted by how probable they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

import latentem as lem
from latentem.building import is_tabular, jit, tables
from latentem.models.hmm.marginals import Marginals, marginals


@dataclass(frozen=True, eq=False)
class Predictive:
    """The distribution of the observation at each of h steps.

    Answers for a single number a step have shape (h,), for a vector (h, D), for named columns a dict of (h,).

    Args:
        states: (h, K) probabilities of the states.
        hmm: the model, with what its data said about it.
        params: of what the states emit.
        given: columns that observations depend on, {name: (h,)}.
    """

    states: Float[np.ndarray, "h K"]
    hmm: Any
    params: Any
    given: dict[str, np.ndarray]

    @classmethod
    def of(cls, hmm: Any, params: Any, states: Float[np.ndarray, "h K"], covariates: Any) -> Predictive:
        """From the states ahead and the columns that are given there.

        Raises:
            ValueError: a column that the family needs is not there, or has another length.
        """
        given: dict[str, np.ndarray] = {}
        if hmm.emission.conditional:
            names = needed(hmm.emission)
            table = tables.named_columns(covariates, "covariates", names) if is_tabular(covariates) else {}
            for name in names:
                if name not in table:
                    raise ValueError(f"covariates: no column is called {name!r}: expected {', '.join(names)}")
                given[name] = np.asarray(table[name], np.float64)
                if given[name].shape != (len(states),):
                    told = f"covariates: column {name!r} has shape {given[name].shape}"
                    raise ValueError(f"{told}: expected ({len(states)},), one number for each step")
        return cls(states, hmm, params, given)

    @cached_property
    def each(self) -> Marginals:
        """Distribution functions of each column in each state."""
        states = range(self.hmm.states)
        own = [self.hmm.of_states.component({"components": self.params}, k) for k in states]
        stacked = jax.tree.map(lambda *a: np.stack([np.asarray(b, np.float64) for b in a]), *own)
        return marginals(self.hmm.emission, stacked, self.given)

    @property
    def mean(self) -> Any:
        """Expected observation."""
        return self._shaped([self._moment(d.mean()) for d in self.each.of])

    @property
    def sd(self) -> Any:
        """Standard deviation of the observation."""
        found = []
        for d in self.each.of:
            mean = self._moment(d.mean())
            square = self._moment(d.var() + (d.mean() - mean[:, None]) ** 2)
            found.append(np.sqrt(square))
        return self._shaped(found)

    def quantile(self, p: Any) -> Any:
        """Quantiles of each column: the smallest value that is not exceeded with probability p; with a leading axis for
        several p, (q,)."""
        levels = np.asarray(p, np.float64)
        if levels.ndim > 1 or not ((levels > 0) & (levels < 1)).all():
            raise ValueError(f"quantile({p!r}): expected probabilities between 0 and 1")
        every = [
            self._shaped([_quantile(d, self.states, level) for d in self.each.of]) for level in np.atleast_1d(levels)
        ]
        return every[0] if levels.ndim == 0 else jax.tree.map(lambda *a: np.stack(a), *every)

    def log_density(self, x: Any) -> Float[np.ndarray, " h"]:
        """Log density (or probability) of an observation at each step.

        Args:
            x: (h,), (h, D), or columns by name.
        """
        columns = {name: np.asarray(a) for name, a in x.items()} if isinstance(x, Mapping) else np.asarray(x)
        rows = {**self.given, **columns} if isinstance(columns, dict) else columns
        with jax.enable_x64(True):
            rows, params, states = jax.tree.map(lambda a: jnp.asarray(a, jnp.float64), (rows, self.params, self.states))
            if any(len(a) != len(self.states) for a in jax.tree.leaves(rows)):
                raise ValueError(f"log_density: expected an observation for each of {len(self.states)} steps")
            return np.asarray(_log_density(self.hmm, params, states, rows))

    def _moment(self, values: np.ndarray) -> np.ndarray:
        return np.sum(self.states * values, axis=1)

    def _shaped(self, columns: list[np.ndarray]) -> Any:
        if self.each.names is not None:
            return dict(zip(self.each.names, columns, strict=True))
        return columns[0] if len(columns) == 1 else np.stack(columns, axis=1)


def needed(family: Any) -> tuple[str, ...]:
    """Columns that a family takes as given."""
    if hasattr(family, "parts"):
        return tuple(dict.fromkeys(name for part in family.parts.values() for name in needed(part)))
    return getattr(family, "covariates", ()) if family.conditional else ()


def _quantile(each: Any, states: Float[np.ndarray, "h K"], level: float) -> Float[np.ndarray, " h"]:
    """By bisection between the smallest and the largest quantile of the states."""
    ends = np.broadcast_to(each.ppf(level), states.shape)
    possible = states > 0
    low = np.min(np.where(possible, ends, np.inf), axis=1)
    high = np.max(np.where(possible, ends, -np.inf), axis=1)

    def at_most(x: np.ndarray) -> np.ndarray:
        return np.sum(states * each.cdf(x[:, None]), axis=1)

    whole = hasattr(each.dist, "pmf")
    for _ in range(64):
        middle = np.floor(0.5 * (low + high)) if whole else 0.5 * (low + high)
        enough = at_most(middle) >= level - 1e-14
        high, low = np.where(enough, middle, high), np.where(enough, low, middle + 1 if whole else middle)
        low = np.minimum(low, high)
    return high


@partial(jit, static_argnums=0)
def _log_density(hmm: Any, params: Any, states: Array, rows: Any) -> Array:
    each = jax.vmap(lambda x: hmm.emission_log_prob({"emission": params}, x))(rows)
    logs = jnp.where(states > 0, jnp.log(jnp.where(states > 0, states, 1.0)), -jnp.inf)
    return jax.vmap(lem.posterior.logsumexp)(logs + each)
