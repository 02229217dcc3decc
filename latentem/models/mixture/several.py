"""Components of different families in one mixture: clusters and noise, a normal and a heavy tail, zeros and counts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

import latentem as lem
from latentem.building import Axis, Layout
from latentem.families import Family
from latentem.models.mixture import gate as gates
from latentem.models.mixture import initial as starts
from latentem.models.mixture.gate import Gated
from latentem.models.mixture.mixture import Mixture

Params = dict[str, Any]

#: Part of every row that a component without parameters begins with.
NOISE = 0.05


@dataclass(frozen=True)
class Several(Mixture):
    """A mixture of groups of components, each group of one family; `Mixture([...])` makes it.

    `family` is a tuple of mixtures, whose components are those of the whole; their own weights are not used.
    """

    # --- what a fit asks of its components: nothing is known of different families together

    def careful(self) -> None:
        """No form of its own keeps more digits."""
        return None

    def degenerate(self, x: Any) -> str:
        """Nothing is found."""
        return ""

    @property
    def measured(self) -> tuple[str, ...]:
        """No names."""
        return ()

    def collapsed(self, params: Params, context: Any) -> tuple[str, ...]:
        """No names."""
        return ()

    def never_seen(self, x: Any) -> dict[str, Any]:
        """No entries."""
        return {}

    def __post_init__(self) -> None:
        if not len(self.family):
            raise ValueError("Mixture([]): expected families, such as [Gaussian(), StudentT()]")
        groups = tuple(_group(entry) for entry in self.family)
        object.__setattr__(self, "family", groups)
        total = sum(group.components for group in groups)
        if self.components not in (None, total):
            raise ValueError(
                f"components={self.components}: expected {total}, as the list of families has; leave it out"
            )
        for name, told in (("shared", self.shared), ("structure", self.structure)):
            if told:
                raise ValueError(f"Mixture of families: {name}={told!r}: give it to one of the mixtures in the list")
        if set(self.fixed) - {"weights", "gate"} or set(self.prior or {}) - {"weights", "gate"}:
            raise ValueError(
                "Mixture of families: fixed= and prior= take weights; give others to a mixture in the list"
            )
        object.__setattr__(self, "components", total)
        super().__post_init__()

    def _check_families(self) -> None:
        """Every group has checked its own."""

    @property
    def groups(self) -> dict[str, Mixture]:
        """The groups by the names of their params."""
        return {str(i): group for i, group in enumerate(self.family)}

    def _of_groups(self, params: Params) -> list[tuple[Mixture, Params]]:
        return [(group, {"components": params["components"].get(name, {})}) for name, group in self.groups.items()]

    @property
    def name(self) -> str:
        told = [f"{group.components} {type(group.family).__name__}" for group in self.family]
        return f"mixture of {' and '.join(told)}"

    def axes(self, path: tuple[str, ...], layout: Layout) -> tuple[Axis, ...]:
        if len(path) < 3:
            return super().axes(path, layout)
        return self.groups[path[1]].axes(("components", *path[2:]), layout)

    def relabelled(self, order: Any) -> Mixture:
        raise ValueError("relabel: components of different families have an order of their own: expected one family")

    @property
    def conditional(self) -> bool:
        return bool(self.gate) or any(group.family.conditional for group in self.family)

    def sample_like(self, params: Params, key: Array, x: Any) -> Any:
        which, draw = jax.random.split(key)
        drawn = self._chosen(params, lambda family, p: family.sample_like(p, draw, self.of_family(x)))
        k = jax.random.categorical(which, self.log_weights(params, x))
        found = jax.tree.map(lambda a: a[k], drawn)
        return Gated(found, x.z) if self.gate else found

    def _declared(self, x: Any, own: list[str]) -> tuple[Mixture, Any]:
        return self._all(x, "declare")

    def _all(self, x: Any, how: str) -> tuple[Mixture, Any]:
        """Every family with what the data say about it; columns that one of them reads."""
        found, kept = [], []
        for group in self.family:
            family, rows = getattr(group.family, how)(x)
            found.append(replace(group, family=family))
            kept.append(rows)
        if isinstance(kept[0], dict):
            rows = {name: column for columns in kept for name, column in columns.items()}
        else:
            rows = max(kept, key=np.ndim)
        n = len(jax.tree.leaves(rows)[0])
        if self.components > n and how == "declare":
            raise ValueError(f"components={self.components} > {n} observations: ask for fewer components")
        return replace(self, family=tuple(found)), rows

    def read(self, x: Any) -> tuple[Mixture, Any]:
        if isinstance(x, Gated):
            return self, x
        z = gates.design(x, self.gate, new=True) if self.gate else None
        found, rows = self._all(self._inputs(x)[1] if self.gate else x, "read")
        return found, rows if z is None else Gated(rows, z)

    @property
    def columns(self) -> Any:
        own = [group.family.columns for group in self.family]
        if any(columns is None or columns is ... for columns in own):
            return own[0] if not self.gate else ...
        return tuple(dict.fromkeys([name for columns in own for name in columns] + list(self.gate)))

    def levels_of(self, column: Any) -> tuple[Any, ...] | None:
        return None if column in self.gate else self.family[0].family.levels_of(column)

    def _inputs(self, table: Any) -> tuple[tuple[str, ...], Any]:
        if self.columns is not ...:
            return (), table
        names = self.inputs or tuple(name for name in table if name not in self.gate)
        columns = [table[name] for name in names]
        return names, columns[0] if len(columns) == 1 else np.stack(columns, axis=1)

    def constraints(self) -> Params:
        name, free = self._weighing
        weights = lem.fixed(self.fixed[name]) if name in self.fixed else free
        # A group without parameters, noise say, has no place among the params.
        each = {i: group.constraints()["components"] for i, group in self.groups.items()}
        return {name: weights, "components": {i: held for i, held in each.items() if held}}

    @property
    def closed(self) -> bool:
        belief = dict(self.prior or {}).get("weights")
        conjugate = belief is None or isinstance(belief, lem.priors.Dirichlet)
        return conjugate and "gate" not in (self.prior or {}) and all(group.closed for group in self.family)

    @property
    def adds_up(self) -> bool:
        return False

    @property
    def one(self) -> bool:
        return False

    # --- one observation

    def each(self, what: str, params: Params, *rest: Any) -> Any:
        found = [group.each(what, p, *rest) for group, p in self._of_groups(params)]
        return jax.tree.map(lambda *a: jnp.concatenate(a, axis=0), *found)

    def complete_log_likelihood(self, params: Params, x: Any, z: Any) -> Float[Array, ""]:
        return self.component_log_prob(params, x)[z]

    def sample(self, params: Params, key: Array) -> Any:
        which, draw = jax.random.split(key)
        if self.gate:
            raise ValueError("Mixture: a gate says nothing about its covariates, so there is no way to sample them")
        drawn = self._chosen(params, lambda family, p: family.sample(p, draw))
        k = jax.random.categorical(which, jnp.log(params["weights"]))
        return jax.tree.map(lambda a: a[k], drawn)

    def _chosen(self, params: Params, of: Any) -> Any:
        """What `of(family, params of one component)` gives for every component, stacked."""
        found = []
        for group, p in self._of_groups(params):
            found.append(group.over_components(lambda one, f=group.family: of(f, one), p))
        return jax.tree.map(lambda *a: jnp.concatenate([jnp.asarray(b) for b in a], axis=0), *found)

    def settle(self, expected: Any, x: Any) -> Any:
        found = self.family[0].family.settle(expected, self.of_family(x))
        return Gated(found, x.z) if self.gate else found

    def draw_missing(self, params: Params, x: Any, key: Array) -> Any:
        which, draw = jax.random.split(key)
        drawn = self._chosen(params, lambda family, p: family.draw_missing(p, self.of_family(x), draw))
        k = jax.random.categorical(which, self.component_log_prob(params, x))
        found = jax.tree.map(lambda a: a[k], drawn)
        return Gated(found, x.z) if self.gate else found

    # --- sufficient statistics

    @property
    def _longest(self) -> int:
        return max(group.family.width for group in self.family)

    def context(self, x: Any, weights: Float[Array, " N"]) -> Any:
        return tuple(group.family.context(self.of_family(x), weights) for group in self.family)

    def _statistics_of(self, params: Params, x: Any, z: Any, context: Any) -> Float[Array, " S"]:
        rows = []
        for (group, p), c in zip(self._of_groups(params), context, strict=True):
            own = group.each("statistics", p, x, c)
            rows.append(jnp.pad(own, ((0, 0), (0, self._longest - own.shape[1]))))
        return jnp.concatenate(rows, axis=0)[z]

    def statistics_context(self, params: Params, context: Any) -> Any:
        return tuple(
            group.statistics_context(p, c) for (group, p), c in zip(self._of_groups(params), context, strict=True)
        )

    def _maximized(self, expected: Float[Array, "K S"], params: Params, context: Any) -> Params:
        new, at = {}, 0
        for (name, group), c in zip(self.groups.items(), context, strict=True):
            own = expected[at : at + group.components, : group.family.width]
            if name in params["components"]:
                new[name] = group._maximized(own, {"components": params["components"][name]}, c)
            at += group.components
        return new

    # --- starts

    def initial(self, key: Array, x: Any, weights: Float[Array, " N"], label: Any = None) -> Params:
        if label is not None:
            raise ValueError("Mixture of families: known components are for mixtures of one family")
        rows = self.of_family(x)
        rows, weights = starts.thin(rows, weights)
        noise = np.array([not group.family.constraints() for group in self.family for _ in range(group.components)])
        soft = starts.responsibilities(self.start, max(1, int(np.sum(~noise))), key, rows, weights)
        whole = jnp.zeros((len(weights), self.components), weights.dtype)
        whole = whole.at[:, np.flatnonzero(~noise)].set(soft[:, : int(np.sum(~noise))])
        whole = whole * (1 - NOISE * np.sum(noise)) + NOISE * jnp.asarray(noise, weights.dtype)
        whole = weights[:, None] * whole / jnp.sum(whole, axis=1, keepdims=True)
        params: Params = {"components": {}}
        at, context = 0, tuple(group.family.context(rows, weights) for group in self.family)
        for (name, group), c, k in zip(
            self.groups.items(), context, jax.random.split(key, len(self.family)), strict=True
        ):
            own = whole[:, at : at + group.components]
            if group.family.constraints():
                params["components"][name] = starts.from_responsibilities(group, k, rows, own, c)["components"]
            at += group.components
        share = jnp.sum(whole, axis=0) / jnp.sum(whole)
        if not self.gate:
            return {"weights": share, **params}
        logs = jnp.log(jnp.maximum(share, 1e-6))
        gate = jnp.zeros((self.components - 1, 1 + len(self.gate)), logs.dtype)
        return {"gate": gate.at[:, 0].set(logs[1:] - logs[0]), **params}

    def begin(self, observations: Any, weights: Any) -> None:
        return None

    def condition(self, fit: Any, x: Any, of: Any) -> Any:
        raise ValueError("condition: components of different families: expected a mixture of Gaussian components")


def _group(entry: Any) -> Mixture:
    """A family, a family with how many of it, or a mixture whose components are taken."""
    if isinstance(entry, Mixture) and not isinstance(entry, Several):
        if entry.gate or "weights" in entry.fixed or "weights" in (entry.prior or {}):
            raise ValueError("Mixture of families: one of the list has weights of its own: give them to the whole")
        return entry
    if isinstance(entry, list | tuple) and len(entry) == 2 and isinstance(entry[0], Family):
        return Mixture(entry[0], entry[1])
    if isinstance(entry, Family):
        return Mixture(entry, 1)
    raise TypeError(f"Mixture: {entry!r}: expected a family, (family, how many), or a mixture")
