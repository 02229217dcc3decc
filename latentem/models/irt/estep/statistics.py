"""The separable form of an item response model: what an E-step sums over persons, and the M-step on those sums."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

import latentem as lem
from latentem.models.irt.abilities import rotation
from latentem.models.irt.abilities.seen import Seen
from latentem.models.irt.estep.blocks import Counts, Expected, Moments, maximize_all

Params = dict[str, Any]

#: One or two Newton steps for each M-step: EM climbs as surely as with the exact maximum, and each step costs less.
NEWTON = lem.Newton(steps=2)


if TYPE_CHECKING:
    from latentem.models.irt.declared import Declared as _Declared
else:
    _Declared = object


class Statistics(_Declared):
    """Densities of a declared item response model, person by person and as matrix products over all."""

    if TYPE_CHECKING:

        @property
        def _seen(self) -> Seen: ...

    # --- tables for verbs

    def table(self, params: Params, theta: Float[Array, "T D"]) -> Float[Array, "T G J C"]:
        """Log-probabilities of all items in the order of the data, C the largest number of categories; -inf for
        categories that an item does not have. G is 1 where groups do not differ in item params."""
        j, most = len(self._seen.names), max(block.categories for block in self.blocks)
        groups = self.ability.groups if any(block.own for block in self.blocks) else 1
        whole = jnp.full((len(theta), groups, j, most), -jnp.inf, jnp.result_type(theta))
        for block in self.blocks:
            part = block.log_probabilities(params[block.name], theta)
            whole = whole.at[:, :, np.asarray(block.items), : block.categories].set(part)
        return whole

    def log_weights(self, params: Params, rows: Any) -> Float[Array, "n K"]:
        """Log weight of every node for every person before any answer: log p(ability) of their group or covariates."""
        natural = self.ability.natural(params.get("ability", {}), self.grid)
        lead = self.ability.features(rows, natural.dtype)
        return lead @ natural.T + jnp.asarray(self.grid.log_weights, natural.dtype)

    # --- densities

    def complete_log_likelihood(self, params: Params, x: Any, z: Any) -> Float[Array, ""]:
        """log p(answers, ability) of ONE person."""
        ability = jnp.reshape(z, (-1,))
        value = self.ability.log_prob(params.get("ability", {}), self.grid, x, z)
        for block in self.blocks:
            value = value + block.one_log_prob(params[block.name], x["answers"], x.get("group", 0), ability)
        return value

    @cached_property
    def linear(self) -> bool:
        """Whether log-odds are linear in ability and no answer is missing: sums of answers weighted by the loadings are
        then all that an E-step needs of a person."""
        return self._seen.complete and all(block.model.linear for block in self.blocks)

    def basis(self) -> np.ndarray:
        """(1, ability) at every node, (K, 1 + D)."""
        return np.concatenate([np.ones((len(self.grid.values), 1)), self.grid.values], axis=1)

    def features(self, rows: Any, context: Any) -> Any:
        """What one person contributes: group or covariates, and indicators of the answers, block by block."""
        dtype = jnp.result_type(float)
        lead = self.ability.features(rows, dtype)
        parts = []
        for block in self.blocks:
            indicators = block.features(rows["answers"], self._seen.complete, dtype)
            if block.own:
                indicators = (lead[:, :, None] * indicators[:, None]).reshape(len(indicators), -1)
            parts.append(indicators)
        if self.linear:
            return lead, jnp.concatenate(parts, axis=1)
        return jnp.concatenate([lead, *parts], axis=1)

    def natural(self, params: Params, context: Any) -> Any:
        """Log-densities at the nodes, dual to `features`."""
        theta = jnp.asarray(self.grid.values, jnp.result_type(*jax.tree.leaves(params)))
        lead = self.ability.natural(params.get("ability", {}), self.grid).astype(theta.dtype)
        parts = []
        for block in self.blocks:
            table = block.log_probabilities(params[block.name], theta)
            if self._seen.complete:
                lead = lead.at[:, : self.ability.groups].add(jnp.sum(table[..., 0], axis=2))
                table = table[..., 1:] - table[..., :1]
            if self.linear:
                table = block.loadings(params[block.name], theta.shape[1], theta.dtype)
            parts.append(table.reshape(len(table), -1))
        if self.linear:
            return lead, jnp.concatenate(parts, axis=1)
        return jnp.concatenate([lead, *parts], axis=1)

    def expected(self, statistics: Any) -> tuple[Float[Array, "K L"], list[Expected]]:
        """(expected sums of the features of persons at every node, what was found of the items of every block)."""
        width, complete = self.ability.width(), self._seen.complete
        lead, rest = statistics if self.linear else (statistics[:, :width], statistics[:, width:])
        found, at = [], 0
        for block in self.blocks:
            groups = self.ability.groups if block.own else 1
            shape = (len(rest), groups, len(block.items), block.categories - complete)
            size = int(np.prod(shape[1:]))
            answers = rest[:, at : at + size].reshape(shape)
            at += size
            persons = lead[:, : self.ability.groups]
            persons = persons if block.own else jnp.sum(persons, axis=1, keepdims=True)
            if self.linear:
                found.append(Moments(answers, persons))
                continue
            if complete:
                first = jnp.maximum(persons[:, :, None] - jnp.sum(answers, axis=-1), 0.0)
                answers = jnp.concatenate([first[..., None], answers], axis=-1)
            found.append(Counts(answers))
        return lead, found

    def maximize(self, statistics: Any, params: Params, context: Any) -> Params:
        """M-step: every item by itself, and the distribution of ability."""
        lead, found = self.expected(statistics)
        theta = jnp.asarray(self.grid.values, lead.dtype)
        new = maximize_all(self.blocks, found, [theta] * len(found), params, NEWTON)
        if "ability" in params:
            new["ability"] = self.ability.maximize(lead, params["ability"], self.grid, NEWTON)
        return new

    def log_prior(self, params: Params) -> Float[Array, ""]:
        """Log prior density of the item params."""
        return sum((b.log_prior(params[b.name]) for b in self.blocks), jnp.zeros(()))  # pyright: ignore

    def start(self, rows: Any, weights: Float[Array, " N"]) -> Params:
        """Params from the proportions of the categories."""
        params = {block.name: block.start(rows["answers"], weights) for block in self.blocks}
        if self.dimensions is not None:
            params = rotation.start(self, params, rows["answers"], weights)
        if "ability" not in self.constraints():
            return params
        grid = None if self.specific is not None else self.grid
        return {**params, "ability": self.ability.start(grid, weights.dtype)}
