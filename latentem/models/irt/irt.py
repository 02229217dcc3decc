"""Item response theory by marginal maximum likelihood (Bock and Aitkin 1981): the declaration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

import latentem as lem
from latentem.models.irt import responses as door
from latentem.models.irt.ability import Ability, Grid
from latentem.models.irt.blocks import Block, Counts, Expected, Moments
from latentem.models.irt.items import ItemModel
from latentem.models.irt.known import KNOWN, Known
from latentem.models.irt.verbs import Verbs

Params = dict[str, Any]

#: Nodes per dimension: one, two or three abilities.
NODES = {1: 61, 2: 31, 3: 15}
INVARIANCE = ("configural", "metric", "scalar")
#: One or two Newton steps for each M-step: EM climbs as surely as with the exact maximum, and each step costs less.
NEWTON = lem.Newton(steps=2)


@dataclass(frozen=True)
class Seen:
    """What the data say.

    Args:
        names: of the items.
        categories: of every item, as they stand in the data.
        groups: labels, the reference first.
        complete: no answer is missing.
    """

    names: tuple[str, ...]
    categories: tuple[tuple[int, ...], ...]
    groups: tuple[Any, ...] = ()
    complete: bool = True


@dataclass(frozen=True)
class IRT(Verbs):
    """Item response model: abilities of persons, parameters of items.

    Args:
        model: "rasch", "1pl", "2pl", "3pl", "3plu", "4pl", "graded", "gpcm", "pcm", "rsm", "nominal", "sequential", an
            `ItemModel`, or {item: one of these} for models that differ by item.
        items: columns of the data that are items; all that are not named otherwise by default.
        loadings: (J, D) booleans: which abilities each item loads on; one ability for all by default.
        group: column that says which group a person belongs to; the first group (in sorted order) is the reference.
        invariance: of groups: "configural" (all item params by group), "metric" (slopes in common, variances free),
            "scalar" (all item params in common, means and variances free).
        free_items: names of items whose params differ between groups all the same.
        covariates: columns that the mean of ability depends on (latent regression); the residual variance is 1.
        variance: "fixed" at 1 or "free"; free by default where slopes are fixed (Rasch, partial credit, rating scale).
        shared: names of item params that all items of one model have in common, as the slope in "1pl".
        fixed: {item: {name: value}} of items whose params are known (anchor items), or {name: value} for all items.
        prior: {name of an item param: prior of one item}, such as {"guessing": lem.priors.Beta(5, 17)} or
            {"guessing": lem.logit_normal(-1.5, 1.0)}.
        histogram: the weights of the nodes are free; known item params have to fix the scale.
        nodes: per dimension; 61, 31 or 15 for one, two or three abilities by default.
        bounds: ends of the grid.
        quadrature: "grid", equally spaced nodes with normalised normal weights; "hermite"; or "sobol",
            quasi-Monte-Carlo for four abilities and more.

    Params are {model: {name: (J, ...)}, "ability": {...}}, items in the order of the data. Binary models are in
    slope-intercept form, logit = slope ability + intercept; `fit.item_parameters()` gives difficulties too.

    >>> from latentem import datasets
    >>> data = datasets.lsat7()
    >>> fit = lem.fit(lem.IRT("2pl"), data.matrix("item_1", "item_2", "item_3"), weights=data.frequency)
    >>> fit.params["2pl"]["slope"].shape
    (3,)
    """

    model: Any = "2pl"
    items: tuple[str, ...] | None = None
    loadings: Any = field(default=None, compare=False)
    group: str | None = None
    invariance: str = "scalar"
    free_items: tuple[str, ...] = ()
    covariates: tuple[str, ...] = ()
    variance: str | None = None
    shared: tuple[str, ...] = ()
    fixed: Mapping[str, Any] = field(default_factory=dict, compare=False)
    prior: Mapping[str, Any] = field(default_factory=dict, compare=False)
    histogram: bool = False
    nodes: int | None = None
    bounds: tuple[float, float] = (-6.0, 6.0)
    quadrature: str = "grid"
    seen: Seen | None = field(default=None, repr=False)
    _key: Any = field(init=False, repr=False)

    def __post_init__(self) -> None:
        for name in ("items", "covariates", "shared", "free_items"):
            value = getattr(self, name)
            if isinstance(value, str):
                raise TypeError(f"{name}={value!r}: expected a list of names")
            if value is not None:
                object.__setattr__(self, name, tuple(value))
        if self.invariance not in INVARIANCE:
            raise ValueError(f"invariance={self.invariance!r}: expected one of {', '.join(map(repr, INVARIANCE))}")
        if self.variance not in (None, "fixed", "free"):
            raise ValueError(f"variance={self.variance!r}: expected 'fixed' or 'free'")
        if isinstance(self.model, Mapping):
            object.__setattr__(self, "model", tuple(self.model.items()))
        for model in self._models:
            if not isinstance(model, ItemModel) and model not in KNOWN:
                raise ValueError(f"model={model!r}: expected one of {', '.join(KNOWN)}, or a lem.ItemModel")
        mask = None if self.loadings is None else lem.fixed(np.asarray(self.loadings, dtype=float))
        key = (mask, _hashable(self.fixed), lem.priors.Joint.of(dict(self.prior)))
        object.__setattr__(self, "_key", key)

    @property
    def _models(self) -> list[Any]:
        return [model for _, model in self.model] if isinstance(self.model, tuple) else [self.model]

    @property
    def name(self) -> str:
        """What summaries call it."""
        return f"item response model ({', '.join(sorted({_name(model) for model in self._models}))})"

    # --- declaration

    def declare(self, data: Any) -> tuple[lem.Model, Any]:
        """The model for these data (items, categories and groups as found, or as known from the data of a fit), and the
        answers as codes."""
        if isinstance(data, Mapping) and set(data) == {"answers", *self._columns} and self.seen is not None:
            return _model(self), data
        beside = tuple(name for name in (self.group, *self.covariates) if name is not None)
        table = door.read(data, self.items if self.seen is None else self.seen.names, beside)
        groups: tuple[Any, ...] = ()
        if self.group is not None:
            groups = tuple(np.unique(table.others[self.group]).tolist())
        seen = self.seen or Seen(table.names, door.categories(table), groups)
        rows: dict[str, Any] = {"answers": door.codes(table, seen.categories)}
        seen = replace(seen, complete=bool((rows["answers"] >= 0).all()))
        if self.group is not None:
            rows["group"] = door.groups(self.group, table.others[self.group], seen.groups)
        if self.covariates:
            rows["covariates"] = door.covariates(self.covariates, table.others)
        chosen = dict(self.model) if isinstance(self.model, tuple) else self.model
        return _model(replace(self, model=chosen, seen=seen)), rows

    @property
    def _columns(self) -> tuple[str, ...]:
        return (("group",) if self.group else ()) + (("covariates",) if self.covariates else ())

    @cached_property
    def mask(self) -> np.ndarray:
        """(J, D) booleans: the abilities of each item."""
        j = len(self._seen.names)
        if self.loadings is None:
            return np.ones((j, 1), bool)
        mask = np.asarray(self.loadings, dtype=bool)
        if mask.ndim != 2 or len(mask) != j:
            raise ValueError(f"loadings have shape {mask.shape}: expected ({j}, D), a row for each item")
        if mask.shape[1] > 3 and self.quadrature != "sobol":
            raise ValueError(
                f"loadings name {mask.shape[1]} abilities: a product grid takes 3; use quadrature='sobol' for more"
            )
        if not mask.any(axis=1).all():
            raise ValueError(f"item {self._seen.names[int(np.argmin(mask.any(axis=1)))]!r} loads on no ability")
        return mask

    @property
    def _seen(self) -> Seen:
        if self.seen is None:
            raise ValueError("this IRT has not seen data yet: fit it")
        return self.seen

    @cached_property
    def blocks(self) -> tuple[Block, ...]:
        """Items of one model, one number of categories, one loading pattern, known or not, side by side."""
        seen, mask = self._seen, self.mask
        chosen = dict(self.model) if isinstance(self.model, tuple) else dict.fromkeys(seen.names, self.model)
        absent = [name for name in seen.names if name not in chosen]
        if absent:
            raise ValueError(f"model names no item model for item {absent[0]!r}")
        held = {name: value for name, value in self.fixed.items() if isinstance(value, Mapping)}
        common = {name: value for name, value in self.fixed.items() if not isinstance(value, Mapping)}
        unknown = [name for name in held if name not in seen.names]
        if unknown:
            raise ValueError(f"fixed names item {unknown[0]!r}: expected one of {', '.join(seen.names)}")
        unknown = [name for name in self.free_items if name not in seen.names]
        if unknown:
            raise ValueError(f"free_items names item {unknown[0]!r}: expected one of {', '.join(seen.names)}")
        sets: dict[Any, list[int]] = {}
        for j, name in enumerate(seen.names):
            free = name in self.free_items and len(seen.groups) > 1
            key = (chosen[name], len(seen.categories[j]), tuple(mask[j]), tuple(sorted(held.get(name, {}))), free)
            sets.setdefault(key, []).append(j)
        names = [_name(key[0]) for key in sets]
        blocks = []
        for (model, categories, pattern, anchored, free), items in sets.items():
            label = _name(model)
            if names.count(label) > 1:
                parts = [f"{categories} categories"] if len({k[1] for k in sets if k[0] == model}) > 1 else []
                if len({k[2] for k in sets if k[0] == model}) > 1:
                    parts.append("ability " + " and ".join(str(d + 1) for d in np.flatnonzero(pattern)))
                parts += ["known " + ", ".join(anchored)] if anchored else []
                parts += ["by group"] if free else []
                label = f"{label} ({', '.join(parts)})" if parts else label
            of_items = {n: np.stack([np.asarray(held[seen.names[j]][n], float) for j in items]) for n in anchored}
            blocks.append(self._block(label, model, items, categories, pattern, common, of_items, free))
        return tuple(blocks)

    def _block(
        self,
        label: str,
        chosen: Any,
        items: list[int],
        categories: int,
        pattern: tuple[bool, ...],
        common: Mapping[str, Any],
        held: Mapping[str, Any],
        free: bool,
    ) -> Block:
        seen = self._seen
        abilities = tuple(int(d) for d in np.flatnonzero(pattern))
        row = KNOWN[chosen] if not isinstance(chosen, ItemModel) else Known(lambda c, d: chosen)
        first = seen.names[items[0]]
        if row.binary and categories != 2:
            values = ", ".join(map(str, seen.categories[items[0]]))
            raise ValueError(
                f"item {first!r} has {categories} categories ({values}): item model {chosen!r} takes 2; use 'graded', "
                "'gpcm' or 'nominal'"
            )
        model = row.make(categories, len(abilities))
        if isinstance(chosen, ItemModel) and model.categories != categories:
            raise ValueError(
                f"item {first!r} has {categories} categories, item model {model.name!r} {model.categories}: expected "
                "the same number"
            )
        tree = dict(model.params)
        fixed = {**({"slope": 1.0} if row.unit_slope else {}), **common, **held}
        shared = frozenset(name for name in {*row.shared, *self.shared} if name in tree)
        for name in {*fixed, *self.shared, *self.prior}:
            if name not in tree and not self._elsewhere(name):
                raise ValueError(f"item params are {', '.join(tree)}: {name!r} is not among them")
        values = []
        for name, value in sorted(fixed.items()):
            if name in tree:
                lead = () if name in shared else (len(items),)
                full = np.broadcast_to(np.asarray(value, float), (*lead, *tree[name].shape))
                values.append((name, lem.fixed(full)))
        groups = max(1, len(seen.groups))
        own: frozenset[str] = frozenset()
        if free and shared - dict(values).keys():
            raise ValueError(
                f"free_items names item {first!r}, which shares {min(shared)!r} with others: expected an item model "
                "without common params"
            )
        if groups > 1 and (free or self.invariance != "scalar"):
            common_slope = not free and self.invariance == "metric"
            own = frozenset(tree) - dict(values).keys() - ({"slope"} if common_slope else set())
        prior = {**dict(model.prior or {}), **self.prior}
        return Block(
            label,
            model,
            tuple(items),
            categories,
            abilities,
            groups,
            own,
            shared,
            tuple(values),
            tuple((name, p) for name, p in sorted(prior.items()) if name in tree),
        )

    def _elsewhere(self, name: str) -> bool:
        """Whether another of several item models has this param."""
        models = [m if isinstance(m, ItemModel) else KNOWN[m].make(3, 1) for m in self._models]
        return any(name in dict(m.params) for m in models)

    @cached_property
    def ability(self) -> Ability:
        """The distribution of ability."""
        d, groups = self.mask.shape[1], max(1, len(self._seen.groups))
        unit = any("slope" in dict(b.fixed) for b in self.blocks)
        free = self.variance == "free" or (self.variance is None and unit and not self.fixed)
        across = groups > 1 and self.invariance != "configural"
        return Ability(
            dimensions=d,
            groups=groups,
            mean=groups > 1 and self.invariance == "scalar",
            variance=across if groups > 1 else free,
            correlated=d > 1,
            covariates=len(self.covariates),
            histogram=self.histogram,
        )

    @cached_property
    def latent(self) -> lem.Continuous:
        """The grid of abilities."""
        d = self.mask.shape[1]
        nodes = self.nodes or (NODES[d] if self.quadrature == "grid" else None)
        return lem.Continuous(d, self.quadrature, nodes, self.bounds)  # pyright: ignore[reportArgumentType]

    @cached_property
    def grid(self) -> Grid:
        """Nodes (K, D) and their log weights."""
        values, log_weights = self.latent.nodes()  # pyright: ignore[reportGeneralTypeIssues]
        return Grid(values.reshape(len(values), -1), log_weights)

    def constraints(self) -> Params:
        """Constraints of the params."""
        tree = {block.name: block.constraints() for block in self.blocks}
        ability = self.ability.constraints(len(self.grid.values))
        return {**tree, **({"ability": ability} if ability else {})}

    @property
    def has_prior(self) -> bool:
        """Whether any item param has a prior."""
        return any(block.prior for block in self.blocks)

    def sample_one(self, params: Params, key: Array) -> Any:
        """Answers of one person of the reference group.

        Raises:
            ValueError: for latent regression, whose persons have covariates.
        """
        if self.covariates:
            raise ValueError("simulation of a latent regression needs the persons' covariates")
        draw, answer, which = jax.random.split(key, 3)
        row: dict[str, Any] = {}
        group: Any = 0
        if self.ability.groups > 1:
            group = jax.random.randint(which, (), 0, self.ability.groups)
            row["group"] = group
        if self.histogram:
            node = jax.random.categorical(draw, jnp.log(params["ability"]["weights"][group]))
            theta = jnp.asarray(self.grid.values)[node]
        else:
            mean, covariance = self.ability.moments(params.get("ability", {}))
            theta = jax.random.multivariate_normal(draw, mean[group], covariance[group])
        row["answers"] = self.answer(params, theta, group, answer)
        return row

    def answer(self, params: Params, theta: Float[Array, " D"], group: Any, key: Array) -> Any:
        """Answers (J,) drawn at one ability."""
        answers = jnp.zeros(len(self._seen.names), jnp.int8)
        for block, own in zip(self.blocks, jax.random.split(key, len(self.blocks)), strict=True):
            table = block.log_probabilities(params[block.name], theta[None])[0]
            table = table[group] if block.own else table[0]
            drawn = jax.random.categorical(own, table, axis=-1).astype(jnp.int8)
            answers = answers.at[np.asarray(block.items)].set(drawn)
        return answers

    def remarks(self, params: Params, rows: Any) -> list[str]:
        """What a reader of the fit should know: persons without answers, items whose key may be reversed."""
        told, names = [], self._seen.names
        empty = int(np.sum((np.asarray(rows["answers"]) < 0).all(axis=1)))
        if empty:
            told.append(f"{empty} of {len(rows['answers'])} persons answered no item: they say nothing of the items")
        for block in self.blocks:
            slope = np.asarray(params[block.name].get("slope", 1.0))
            if block.model.linear and slope.ndim == 1 and len(slope) == len(block.items):
                told += [
                    f"item {names[j]!r} has slope {value:.3g}, against the others: is its key reversed?"
                    for j, value in zip(block.items, slope, strict=True)
                    if value < 0 < np.median(slope)
                ]
        return told

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
        new = {
            block.name: block.maximize(expected, params[block.name], theta, NEWTON)
            for block, expected in zip(self.blocks, found, strict=True)
        }
        if "ability" in params:
            new["ability"] = self.ability.maximize(lead, params["ability"], self.grid, NEWTON)
        return new

    def log_prior(self, params: Params) -> Float[Array, ""]:
        """Log prior density of the item params."""
        return sum((b.log_prior(params[b.name]) for b in self.blocks), jnp.zeros(()))  # pyright: ignore

    def start(self, rows: Any, weights: Float[Array, " N"]) -> Params:
        """Params from the proportions of the categories."""
        params = {block.name: block.start(rows["answers"], weights) for block in self.blocks}
        ability = self.ability.start(self.grid, weights.dtype)
        return {**params, **({"ability": ability} if ability else {})}


def _name(model: Any) -> str:
    return model.name if isinstance(model, ItemModel) else str(model)


def _hashable(fixed: Mapping[str, Any]) -> Any:
    return tuple(
        (name, _hashable(value) if isinstance(value, Mapping) else lem.fixed(value))
        for name, value in sorted(fixed.items())
    )


@lru_cache(maxsize=128)
def _model(irt: IRT) -> lem.Model:
    """One Model per declaration, so that equal ones compile once."""
    separable = lem.Separable(
        irt.features, irt.natural, irt.maximize, includes_prior=True, basis=irt.basis if irt.linear else None
    )
    return lem.Model(
        irt.complete_log_likelihood,
        latent=irt.latent,
        params=irt.constraints(),
        prior=irt.log_prior if irt.has_prior else None,
        separable=separable,
        start=irt.start,
        sample=irt.sample_one,
        name=irt.name,
        declaration=irt,
    )


def logit_normal(mean: float, scale: float) -> LogitNormal:
    """Normal density of the logit of a probability, for guessing and upper asymptotes: as mirt's "norm" prior on
    logit(g), it is maximised in the logit and carries no Jacobian.

    >>> prior = lem.logit_normal(-1.5, 1.0)
    >>> float(prior(0.5)) < float(prior(0.2))
    True
    """
    if not scale > 0:
        raise ValueError(f"logit_normal(scale={scale!r}): expected a positive number")
    return LogitNormal(float(mean), float(scale))


@dataclass(frozen=True)
class LogitNormal:
    """See `logit_normal`."""

    mean: float
    scale: float

    def __call__(self, p: Any) -> Float[Array, ""]:
        """Sum over the entries of p."""
        logit = jnp.log(p) - jnp.log1p(-jnp.asarray(p))
        z = (logit - self.mean) / self.scale
        return jnp.sum(-0.5 * z**2 - np.log(self.scale) - 0.5 * np.log(2 * np.pi))
