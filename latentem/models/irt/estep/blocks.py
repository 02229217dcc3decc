"""Blocks of items that share an item model: layout of their params and answers, tables on nodes, their M-step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

import latentem as lem
from latentem.building import chunk_rows, chunked_sum
from latentem.constraints import Linked
from latentem.models.irt.items import ItemModel

Params = dict[str, Any]


class Counts(NamedTuple):
    """Expected number of answers at every node.

    Args:
        answers: (K, G, J, C), G being 1 where groups do not differ; (K, G, C) of one item.
    """

    answers: Float[Array, "K G *J C"]

    def axes(self) -> Counts:
        """Where the items are."""
        return Counts(2)  # pyright: ignore[reportArgumentType]

    def value(self, block: Block, params: Params, theta: Any) -> Float[Array, ""]:
        """Expected log-likelihood of the block."""
        table = block.log_probabilities(params, theta)
        return jnp.sum(_product(self.answers.reshape(table.shape), table))


class Moments(NamedTuple):
    """The same where log-odds are linear in ability: sums over nodes are all that is needed of the answers.

    Args:
        answers: (R, G, J, C - 1), expected sum of (1, ability) over answers in each category but the first.
        persons: (K, G), expected number of persons at every node.
    """

    answers: Float[Array, "R G *J c"]
    persons: Float[Array, "K G"]

    def axes(self) -> Moments:
        """Where the items are."""
        return Moments(2, None)  # pyright: ignore[reportArgumentType]

    def value(self, block: Block, params: Params, theta: Any) -> Float[Array, ""]:
        """Expected log-likelihood of the block."""
        loadings = block.loadings(params, theta.shape[1], theta.dtype)
        first = block.log_probabilities(params, theta)[..., 0]
        return jnp.sum(self.answers.reshape(loadings.shape) * loadings) + jnp.sum(self.persons[:, :, None] * first)


Expected = Counts | Moments


@dataclass(frozen=True)
class Block:
    """Items of one model with one number of categories.

    Args:
        name: of its entry in params.
        model: of one item.
        items: columns of the answers.
        categories: C.
        abilities: columns of ability that the items load on.
        groups: G, where params may differ between groups.
        own: names of params that each group has its own of; they have an axis over groups.
        shared: names of params that all items of the block have in common; they have no axis over items.
        fixed: {name: values with that leading axis}.
        prior: (name, prior of one item) pairs.
        equal: (name, number of its value for every item) pairs of params that some items have in common.
        links: (name, `Linked` constraint) pairs of params that items have in common with those of other blocks.
    """

    name: str
    model: ItemModel
    items: tuple[int, ...]
    categories: int
    abilities: tuple[int, ...] = (0,)
    groups: int = 1
    own: frozenset[str] = frozenset()
    shared: frozenset[str] = frozenset()
    fixed: tuple[tuple[str, Any], ...] = ()
    prior: tuple[tuple[str, Any], ...] = ()
    equal: tuple[tuple[str, tuple[int, ...]], ...] = ()
    links: tuple[tuple[str, Linked], ...] = ()

    @cached_property
    def _one(self) -> Params:
        """Constraints of one item that are not fixed, over groups where they differ."""
        held = dict(self.fixed)
        return {
            name: constraint.batched(self.groups) if name in self.own else constraint
            for name, constraint in dict(self.model.params).items()
            if name not in held
        }

    def constraints(self) -> Params:
        """Constraints of all items."""
        equal, links = dict(self.equal), dict(self.links)

        def of_items(name: str, constraint: Any) -> Any:
            if name in links:
                return links[name]
            if name in equal:
                return lem.repeated(constraint, equal[name])
            return constraint if name in self.shared else constraint.batched(len(self.items))

        return {**{name: of_items(name, c) for name, c in self._one.items()}, **dict(self.fixed)}

    def _axes(self, params: Params) -> Params:
        return {name: None if name in self.shared else 0 for name in params}

    def log_probabilities(self, params: Params, theta: Float[Array, "T D"]) -> Float[Array, "T G J C"]:
        """Log-probabilities of every category of every item at every ability; G is 1 where groups do not differ."""
        ability = theta[:, list(self.abilities)]
        ability = ability[:, 0] if len(self.abilities) == 1 else ability

        def of_item(item: Params) -> Float[Array, "G T C"]:
            def of_group(own: Params) -> Float[Array, "T C"]:
                return jax.vmap(lambda z: self.model.log_probabilities({**item, **own}, z))(ability)

            own = {name: item[name] for name in self.own if name in item}
            return jax.vmap(of_group)(own) if own else of_group({})[None]

        table = jax.vmap(of_item, in_axes=(self._axes(params),))(params)  # (J, G, T, C)
        return jnp.moveaxis(table, (0, 1), (2, 1))

    def loadings(self, params: Params, dimensions: int, dtype: Any) -> Float[Array, "R G J c"]:
        """Coefficients on (1, ability) of the log-odds of every category against the first, where they are linear."""
        points = jnp.concatenate([jnp.zeros((1, dimensions), dtype), jnp.eye(dimensions, dtype=dtype)])
        table = self.log_probabilities(params, points)
        odds = table[..., 1:] - table[..., :1]
        return jnp.concatenate([odds[:1], odds[1:] - odds[:1]])

    def one_log_prob(self, params: Params, answers: Any, group: Any, ability: Any) -> Float[Array, ""]:
        """Log-probability of the answers of ONE person, -1 for none."""
        table = self.log_probabilities(params, ability[None])[0]
        table = table[group] if table.shape[0] > 1 else table[0]
        mine = answers[np.asarray(self.items)].astype(jnp.int32)
        picked = jnp.take_along_axis(table, jnp.maximum(mine, 0)[:, None], axis=1)[:, 0]
        return jnp.sum(jnp.where(mine >= 0, picked, 0.0))

    # --- answers as features

    def features(self, answers: Any, complete: bool, dtype: Any) -> Float[Array, "n F"]:
        """Indicators of the categories, without the first one where nobody's answer is missing."""
        first = 1 if complete else 0
        mine = answers[:, self._slice]
        if self.categories == 2 and complete:
            return mine.astype(jnp.float32).astype(dtype)  # XLA widens int8 to float64 several times slower in one step
        indicators = mine[:, :, None] == jnp.arange(first, self.categories, dtype=mine.dtype)
        return indicators.reshape(len(mine), -1).astype(dtype)

    @property
    def _slice(self) -> Any:
        first, last = self.items[0], self.items[-1]
        contiguous = self.items == tuple(range(first, last + 1))
        return slice(first, last + 1) if contiguous else np.asarray(self.items)

    # --- M-step

    def free(self, params: Params) -> Params:
        """The params that are not held."""
        return {name: params[name] for name in self._one}

    def maximize(self, expected: Expected, params: Params, theta: Any, newton: Any) -> Params:
        """The params that maximise the expected log-likelihood + log prior: item by item, or all together where they
        share params.

        Args:
            expected: what an E-step found of these items.
            params: current ones.
            theta: nodes (K, D).
            newton: the maximiser, such as `lem.Newton()`.
        """
        held = {name: params[name] for name, _ in self.fixed}
        free = {name: params[name] for name in self._one}
        if not free:
            return params
        if self.equal or self.shared & set(self._one):
            space = lem.ParameterSpace.of({k: v for k, v in self.constraints().items() if k in free})

            def whole(u: Float[Array, " P"]) -> Float[Array, ""]:
                tried = space.constrain(u)
                return expected.value(self, {**tried, **held}, theta) + self.log_prior(tried)

            return {**space.constrain(newton(whole, space.unconstrain(free))), **held}
        one, single = lem.ParameterSpace.of(self._one), self._single()

        def of_item(item: Params, own: Params, n: Expected) -> Params:
            def q(u: Float[Array, " P"]) -> Float[Array, ""]:
                tried = jax.tree.map(lambda a: a[None], one.constrain(u))
                known = {name: a if name in self.shared else a[None] for name, a in own.items()}
                return n.value(single, {**tried, **known}, theta) + single.log_prior(tried)

            return one.constrain(newton(q, one.unconstrain(item)))

        return {**jax.vmap(of_item, in_axes=(0, self._axes(held), expected.axes()))(free, held, expected), **held}

    def _single(self) -> Block:
        return replace(self, items=(0,), fixed=(), equal=(), links=())

    def log_prior(self, params: Params) -> Float[Array, ""]:
        """Sum of the log prior densities of all items."""
        total = jnp.zeros((), jnp.result_type(*jax.tree.leaves(params), jnp.float32))
        for name, prior in self.prior:
            if name in params:
                density = getattr(prior, "log_prob", prior)
                value, link = params[name], dict(self.links).get(name)
                if link is not None:  # what is borrowed counts where it comes from
                    if link.single or link.size == 0:
                        continue
                    value = value[link.own_places]
                elif name in dict(self.equal):  # a value that items have in common counts once
                    value = value[np.unique(dict(self.equal)[name], return_index=True)[1].astype(np.int32)]
                total = total + (density(value) if name in self.shared else jnp.sum(jax.vmap(density)(value)))
        return total

    # --- start

    def _counts(self, answers: Any, weights: Any) -> Float[Array, "J C"]:
        mine = answers[:, self._slice]
        each = [jnp.where(mine == c, weights[:, None], 0) for c in range(self.categories)]
        return jnp.stack([jnp.sum(a, axis=0) for a in each], axis=1)

    def start(self, answers: Any, weights: Any) -> Params:
        """Params from the proportions of the categories."""
        # XLA would write indicators of all rows at once to memory, 8 bytes for each category of each answer.
        counts = chunked_sum(self._counts, answers, weights, chunk_rows(8 * self.categories * len(self.items))) + 0.5
        shares = counts / jnp.sum(counts, axis=1, keepdims=True)
        made = jax.vmap(lambda p: self.model.starting(p, len(self.abilities)))(shares)
        tree: Params = {}
        for name, value in made.items():
            held = dict(self.fixed).get(name)
            if held is not None:
                tree[name] = jnp.asarray(held.value, weights.dtype)
                continue
            value = jnp.mean(value, axis=0) if name in self.shared else value
            link = dict(self.links).get(name)
            if link is not None and not link.single:
                number = np.array(link.which, np.int32)
                value = jnp.stack([jnp.mean(value[number == number[j]], axis=0) for j in range(len(number))])
            elif name in dict(self.equal):
                which = np.array(dict(self.equal)[name], np.int32)
                value = jnp.stack([jnp.mean(value[which == i], axis=0) for i in range(max(which) + 1)])[which]
            if name in self.own:
                axis = 0 if name in self.shared else 1
                value = jnp.repeat(jnp.expand_dims(value, axis), self.groups, axis=axis)
            tree[name] = value
        return tree


def maximize_all(
    blocks: Sequence[Block], expected: Sequence[Expected], theta: Sequence[Any], params: Params, newton: Any
) -> Params:
    """{block: params that maximise its expected log-likelihood + log prior}; blocks that borrow from one another,
    together.

    Args:
        blocks: of the model, or of a part of it that borrows from no other.
        expected, theta: of every block: what an E-step found, its nodes.
        params: current ones, by block.
        newton: the maximiser.
    """
    new: Params = {}
    found = dict(zip((block.name for block in blocks), zip(blocks, expected, theta, strict=True), strict=True))
    for names in linked(blocks):
        if len(names) == 1:
            block, own, nodes = found[names[0]]
            new[block.name] = block.maximize(own, params[block.name], nodes, newton)
            continue
        some = [found[name] for name in names]
        free = {block.name: block.free(params[block.name]) for block, _, _ in some}
        held = {block.name: {n: params[block.name][n] for n, _ in block.fixed} for block, _, _ in some}
        every = {block.name: block.constraints() for block, _, _ in some}
        space = lem.ParameterSpace.of({b: {n: every[b][n] for n in own} for b, own in free.items()})

        def whole(u: Float[Array, " P"], some: Any = some, held: Any = held, space: Any = space) -> Float[Array, ""]:
            tried = space.constrain(u)
            total = jnp.zeros((), u.dtype)
            for block, own, nodes in some:
                mine = tried[block.name]
                total = total + own.value(block, {**mine, **held[block.name]}, nodes) + block.log_prior(mine)
            return total

        best = space.constrain(newton(whole, space.unconstrain(free)))
        new |= {name: {**best[name], **held[name]} for name in names}
    return new


def linked(blocks: Sequence[Block]) -> list[list[str]]:
    """Names of the blocks, those that borrow from one another side by side."""
    sets: list[set[str]] = [{block.name} for block in blocks]
    for block in blocks:
        for _, link in block.links:
            near = {block.name, *(name.rsplit(".", 1)[0] for _, name, _ in link.sources)}
            joined = set().union(*(s for s in sets if s & near))
            sets = [s for s in sets if not s & near] + [joined]
    order = [block.name for block in blocks]
    return [sorted(s, key=order.index) for s in sets]


def _product(counts: Array, table: Array) -> Array:
    """counts * table, 0 where nothing was counted: a category may be impossible there."""
    return jnp.where(counts > 0, counts * jnp.where(counts > 0, table, 0.0), 0.0)
