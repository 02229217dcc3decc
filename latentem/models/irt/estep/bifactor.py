"""One general ability and specific ones, of which each item has one at most, by dimension reduction.

Given the general ability, items of different specific abilities are independent: the sum over all abilities is one over
the general ability of products of sums over the specific ones, whatever their number.

Sources: Gibbons and Hedeker (1992); Cai, Yang and Hansen (2011).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from latentem.building import chunk_rows
from latentem.models.irt.abilities.ability import Grid
from latentem.models.irt.declared import Declared
from latentem.models.irt.estep.blocks import Block, Counts, maximize_all
from latentem.models.irt.estep.statistics import NEWTON

Params = dict[str, Any]


@dataclass(frozen=True)
class Bifactor:
    """The densities of a bifactor model.

    Everything goes by part: first the items of the general ability alone, then those of each specific ability. Features
    of a part are the group of a person (1 where there is one), which carries the log weights of the nodes, and the
    indicators of its answers; its nodes are those of the general ability, or all pairs of a
    general and a specific one, in which the specific ability varies faster.

    Args:
        irt: the declaration.
    """

    irt: Declared

    @cached_property
    def _nodes(self) -> Grid:
        """Nodes (K, 1) of every ability, and their log weights divided by a standard normal density."""
        nodes = self.irt.latent.nodes()
        assert nodes is not None  # those of a grid or of hermite are the same for all persons
        return Grid(np.reshape(nodes[0], (-1, 1)), nodes[1])

    @property
    def _values(self) -> np.ndarray:
        return self._nodes.values[:, 0]

    @cached_property
    def _parts(self) -> tuple[tuple[Block, ...], ...]:
        """Blocks of items, part by part."""
        dimensions = self.irt.mask.shape[1]
        parts: list[list[Block]] = [[] for _ in range(dimensions)]
        for block in self.irt.blocks:
            parts[block.abilities[-1]].append(block)
        return tuple(tuple(part) for part in parts)

    def _theta(self, part: int, general: Any) -> Float[Array, "T D"]:
        """All abilities at the nodes of a part, for given general ones (T,)."""
        values = jnp.asarray(self._values, general.dtype)
        if part == 0:
            theta = jnp.zeros((len(general), self.irt.mask.shape[1]), general.dtype)
            return theta.at[:, 0].set(general)
        theta = jnp.zeros((len(general) * len(values), self.irt.mask.shape[1]), general.dtype)
        theta = theta.at[:, 0].set(jnp.repeat(general, len(values)))
        return theta.at[:, part].set(jnp.tile(values, len(general)))

    # --- densities

    def complete_log_likelihood(self, params: Params, x: Any, z: Any) -> Float[Array, ""]:
        """log p(answers, general ability) of ONE person, summed over the specific abilities."""
        ability, row = self.irt.ability, jax.tree.map(lambda a: a[None], x)
        mean, covariance = ability.moments(params.get("ability", {}))
        m, v = mean[:, 0], covariance[:, 0, 0]

        def density(value: Any) -> Float[Array, " G"]:
            return -0.5 * (value - m) ** 2 / v

        on_nodes = jax.vmap(density)(jnp.asarray(self._values, m.dtype))
        total = jax.nn.logsumexp(on_nodes + jnp.asarray(self._nodes.log_weights, m.dtype)[:, None], axis=0)
        natural = self._natural(params, jnp.reshape(z, (1,)), (density(z) - total)[None])
        return self._by_general(natural, self.features(row, ()))[0][0, 0]

    def features(self, rows: Any, context: Any) -> Any:
        """What one person contributes, (n, F) of every part."""
        dtype, complete = jnp.result_type(float), self.irt.seen.complete
        lead = self.irt.ability.features(rows, dtype)

        def of_block(block: Block) -> Float[Array, "n F"]:
            found = block.features(rows["answers"], complete, dtype)
            return (lead[:, :, None] * found[:, None]).reshape(len(found), -1) if block.own else found

        return tuple(jnp.concatenate([lead, *map(of_block, part)], axis=1) for part in self._parts)

    def natural(self, params: Params, context: Any) -> Any:
        """Log-densities at the nodes, (K, F) of every part, dual to `features`."""
        general = jnp.asarray(self._values, jnp.result_type(*jax.tree.leaves(params)))
        weights = self.irt.ability.each(params.get("ability", {}), self._nodes).astype(general.dtype)
        return self._natural(params, general, weights[0].T)

    def _natural(
        self, params: Params, general: Float[Array, " T"], of_general: Float[Array, "T G"]
    ) -> tuple[Float[Array, "K F"], ...]:
        complete, found = self.irt.seen.complete, []
        weights = self.irt.ability.each(params.get("ability", {}), self._nodes).astype(general.dtype)
        for part, blocks in enumerate(self._parts):
            theta = self._theta(part, general)
            first = of_general if part == 0 else jnp.tile(weights[part].T, (len(general), 1))
            rest = []
            for block in blocks:
                table = block.log_probabilities(params[block.name], theta)
                if complete:
                    first = first + jnp.sum(table[..., 0], axis=2)
                    table = table[..., 1:] - table[..., :1]
                rest.append(table.reshape(len(theta), -1))
            found.append(jnp.concatenate([first, *rest], axis=1))
        return tuple(found)

    def _by_general(self, natural: Any, features: Any) -> tuple[Float[Array, "T n"], list[Float[Array, "T K n"]]]:
        """(log p(answers, general ability), probabilities of every specific ability given answers and general one)."""
        joint, given = natural[0] @ features[0].T, []
        for table, mine in zip(natural[1:], features[1:], strict=True):
            log_p = (table @ mine.T).reshape(len(joint), len(self._values), -1)
            top = jnp.max(log_p, axis=1, keepdims=True)
            top = jnp.where(jnp.isfinite(top), top, 0.0)
            p = jnp.exp(log_p - top)
            total = jnp.sum(p, axis=1, keepdims=True)
            joint = joint + (jnp.log(total) + top)[:, 0]
            given.append(p / jnp.where(total > 0, total, 1.0))
        return joint, given

    def _posterior(
        self, natural: Any, features: Any
    ) -> tuple[Float[Array, " n"], Float[Array, "K n"], list[Float[Array, "K K n"]]]:
        """(log p(answers), posterior of the general ability, posteriors of general and each specific ability)."""
        joint, given = self._by_general(natural, features)
        evidence = jax.nn.logsumexp(joint, axis=0)
        general = jnp.exp(joint - jnp.where(jnp.isfinite(evidence), evidence, 0.0))
        return evidence, general, [general[:, None] * p for p in given]

    # --- EM

    def e_step(self, natural: Any, features: Any, weights: Float[Array, " n"]) -> tuple[Float[Array, " n"], Any]:
        """(log p(answers) of n persons, their expected features at the nodes of every part)."""
        evidence, general, pairs = self._posterior(natural, features)
        sums = [
            p.reshape(-1, p.shape[-1]) @ (mine * weights[:, None])
            for p, mine in zip([general, *pairs], features, strict=True)
        ]
        return evidence, tuple(sums)

    def maximize(self, statistics: Any, params: Params, context: Any) -> Params:
        """M-step: every item by itself, and the distribution of every ability."""
        complete, groups = self.irt.seen.complete, self.irt.ability.groups
        expected: list[tuple[Block, Counts, Any]] = []
        persons = []
        for part, (found, blocks) in enumerate(zip(statistics, self._parts, strict=True)):
            theta = self._theta(part, jnp.asarray(self._values, found.dtype))
            lead, at = found[:, :groups], groups
            persons.append(lead if part == 0 else jnp.sum(lead.reshape(-1, len(self._values), groups), axis=0))
            for block in blocks:
                own = groups if block.own else 1
                shape = (len(found), own, len(block.items), block.categories - complete)
                size = int(np.prod(shape[1:]))
                answers = found[:, at : at + size].reshape(shape)
                at += size
                if complete:
                    there = lead if block.own else jnp.sum(lead, axis=1, keepdims=True)
                    first = jnp.maximum(there[:, :, None] - jnp.sum(answers, axis=-1), 0.0)
                    answers = jnp.concatenate([first[..., None], answers], axis=-1)
                expected.append((block, Counts(answers), theta))
        new = maximize_all(*zip(*expected, strict=True), params, NEWTON)  # pyright: ignore
        if "ability" in params:
            each = jnp.stack([found.T for found in persons])
            new["ability"] = self.irt.ability.maximize_each(each, params["ability"], self._nodes, NEWTON)
        return new

    # --- scores

    def chunk(self) -> int:
        """How many persons at a time."""
        return chunk_rows(16 * len(self._values) * (1 + len(self._values) * len(self._parts)))

    def abilities(self, params: Params, rows: Any) -> tuple[Float[Array, "n D"], Float[Array, "n D"]]:
        """(posterior means, standard deviations) of all abilities of n persons."""
        natural, features = self.natural(params, ()), self.features(rows, ())
        _, general, pairs = self._posterior(natural, features)
        marginals = jnp.stack([general, *(jnp.sum(p, axis=0) for p in pairs)])
        values = jnp.asarray(self._values, general.dtype)
        mean = jnp.einsum("dkn,k->nd", marginals, values)
        square = jnp.einsum("dkn,k->nd", marginals, values**2)
        return mean, jnp.sqrt(square - mean**2)
