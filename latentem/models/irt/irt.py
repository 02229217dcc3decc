"""Item response theory by marginal maximum likelihood (Bock and Aitkin 1981): the declaration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property, lru_cache, partial
from typing import Any

import numpy as np
from jaxtyping import Array

import latentem as lem
from latentem.models.irt.abilities.ability import Ability, Grid
from latentem.models.irt.abilities.seen import Seen
from latentem.models.irt.asked import simulate as simulation
from latentem.models.irt.declare import layout, options
from latentem.models.irt.declare import remarks as remarking
from latentem.models.irt.declare import responses as door
from latentem.models.irt.declare.groups import Groups
from latentem.models.irt.declare.identified import refuse_too_few_items
from latentem.models.irt.declare.levels import declared as declared_levels
from latentem.models.irt.declare.levels import of_items as levels_of_items
from latentem.models.irt.estep.bifactor import Bifactor
from latentem.models.irt.estep.blocks import Block
from latentem.models.irt.estep.statistics import Statistics
from latentem.models.irt.items.known import KNOWN
from latentem.models.irt.verbs import Verbs

Params = dict[str, Any]

#: Nodes per dimension: one, two or three abilities.
NODES = {1: 61, 2: 31, 3: 15}
#: Nodes per dimension that follow every person to where their ability is.
ADAPTIVE = {1: 21, 2: 9, 3: 7}


@dataclass(frozen=True)
class IRT(Statistics, Verbs):
    """Item response model: abilities of persons, parameters of items.

    Args:
        model: "rasch", "1pl", "2pl", "3pl", "3plu", "4pl", "graded", "gpcm", "pcm", "rsm", "nominal", "sequential", an
            `ItemModel`, or {item: one of these} for models that differ by item.
        items: columns of the data that are items; all that are not named otherwise by default.
        loadings: (J, D) booleans: which abilities each item loads on; one ability for all by default.
        dimensions: D abilities that every item loads on, uncorrelated (exploratory): the first item loads on the first
            ability only, the second on two, and so on, until `fit.rotate()` turns them.
        correlated: whether abilities of `loadings` correlate.
        specific: label of the specific ability of every item, None for none, beside a general ability that all items
            load on (bifactor): sums over any number of specific abilities take nodes for two.
        group: column that says which group a person belongs to; the first group (in sorted order) is the reference.
        invariance: of groups: "configural" (all item params by group), "metric" (slopes in common, variances free),
            "scalar" (all item params in common, means and variances free).
        free_items: names of items whose params differ between groups all the same.
        covariates: columns that the mean of ability depends on (latent regression); the residual variance is 1.
        mean: of ability: "fixed" at 0 or "free", which takes known items; by default, groups but the reference have
            theirs where `invariance` says so.
        variance: "fixed" at 1 or "free"; free by default where slopes are fixed (Rasch, partial credit, rating scale),
            and where `invariance` says so.
        shared: names of item params that all items of one model have in common, as the slope in "1pl".
        equal: {name of an item param: lists of items that have it in common}, such as
            {"slope": [["item_1", "item_2"], ["item_4", "item_5"]]}.
        fixed: {item: {name: value}} of items whose params are known (anchor items), or {name: value} for all items.
        prior: {name of an item param: prior of one item}, such as {"guessing": lem.priors.Beta(5, 17)} or
            {"guessing": lem.logit_normal(-1.5, 1.0)}.
        histogram: the weights of the nodes are free, with mean 0 and variance 1; unrestricted where items are known
            (`fixed`), which takes groups and several abilities.
        categories: of the answers, from low to high, beyond those that the data show: a list for all items, or
            {item: list}; numbers, or labels. A category that nobody chose keeps its place, and known items (`fixed`)
            score a single person. By default those in the data; labels need an order, as that of an ordered
            categorical, where they are more than two.
        nodes: per dimension; 61, 31 or 15 for one, two or three abilities by default.
        bounds: ends of the grid.
        quadrature: "grid", equally spaced nodes with normalised normal weights; "hermite"; "sobol",
            quasi-Monte-Carlo for four abilities and more; or "adaptive", Gauss-Hermite nodes around the ability of each
            person: few of them do for long tests, but the E-step costs far more.

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
    dimensions: int | None = None
    correlated: bool = True
    specific: tuple[Any, ...] | None = None
    group: str | None = None
    invariance: str = "scalar"
    free_items: tuple[str, ...] = ()
    covariates: tuple[str, ...] = ()
    mean: str | None = None
    variance: str | None = None
    shared: tuple[str, ...] = ()
    equal: Mapping[str, Sequence[Any]] = field(default_factory=dict, compare=False)
    fixed: Mapping[str, Any] = field(default_factory=dict, compare=False)
    prior: Mapping[str, Any] = field(default_factory=dict, compare=False)
    histogram: bool = False
    nodes: int | None = None
    bounds: tuple[float, float] = (-6.0, 6.0)
    quadrature: str = "grid"
    categories: Any = None
    seen: Seen = field(default=None, repr=False)  # pyright: ignore[reportAssignmentType]  # None before any data
    _key: Any = field(init=False, repr=False)

    def __post_init__(self) -> None:
        for name in ("items", "covariates", "shared", "free_items", "specific"):
            value = getattr(self, name)
            if isinstance(value, str):
                raise TypeError(f"{name}={value!r}: expected a list of names")
            if value is not None:
                object.__setattr__(self, name, tuple(value))
        object.__setattr__(self, "categories", declared_levels(self.categories))
        if isinstance(self.model, Mapping):
            object.__setattr__(self, "model", tuple(self.model.items()))
        options.check(self)
        mask = None if self.loadings is None else lem.fixed(np.asarray(self.loadings, dtype=float))
        equal = tuple((name, layout.equal_sets(name, value)) for name, value in sorted(self.equal.items()))
        key = (mask, _hashable(self.fixed), lem.priors.Joint.of(dict(self.prior)), equal)
        object.__setattr__(self, "_key", key)

    @property
    def models(self) -> list[Any]:
        """The item models that were named."""
        return [model for _, model in self.model] if isinstance(self.model, tuple) else [self.model]

    @property
    def name(self) -> str:
        """What summaries call it."""
        return f"item response model ({', '.join(sorted({layout.model_name(model) for model in self.models}))})"

    # --- declaration

    def declare(self, data: Any) -> tuple[lem.Model, Any]:
        """The model for these data (items, categories and groups as found, or as known from the data of a fit), and the
        answers as codes."""
        if isinstance(data, Mapping) and set(data) == {"answers", *self._columns} and self.seen is not None:
            return _model(self), data
        beside = tuple(name for name in (self.group, *self.covariates) if name is not None)
        seen, nominal = self.seen, all(model == "nominal" for model in self.models)
        if seen is not None:
            table = door.read(data, seen.names, beside, lambda names: seen.known(), nominal)
        else:
            table = door.read(data, self.items, beside, partial(levels_of_items, self.categories), nominal)
            groups = () if self.group is None else door.labels(self.group, table.others[self.group])
            known = {**levels_of_items(self.categories, table.names), **table.levels}
            labels = tuple(table.levels.get(name, ()) for name in table.names) if table.levels else ()
            seen = Seen(table.names, door.categories(table, known), groups, levels=labels)
        rows: dict[str, Any] = {"answers": door.codes(table, seen.categories)}
        seen = replace(seen, complete=bool(rows["answers"].min() >= 0))
        if self.group is not None:
            rows["group"] = door.groups(self.group, table.others[self.group], seen.groups)
        if self.covariates:
            rows["covariates"] = door.covariates(self.covariates, table.others)
            if self.seen is None:
                door.refuse_dependent(self.covariates, rows["covariates"])
        chosen = dict(self.model) if isinstance(self.model, tuple) else self.model
        model = _model(replace(self, model=chosen, seen=seen))
        if self.seen is None:
            refuse_too_few_items(model, rows)
        return model, rows

    def __reduce__(self) -> Any:
        """For pickle: what it was made of, without what follows from that."""
        return _made, ({f.name: getattr(self, f.name) for f in fields(self) if f.init},)

    def stated(self) -> lem.Model:
        """The model of data that have been seen, as a `Model`."""
        return _model(self)

    @property
    def groups(self) -> Groups:
        """What groups of persons have in common."""
        return Groups(self.group, self.invariance, self.free_items, self.mean, self.variance)

    @property
    def _columns(self) -> tuple[str, ...]:
        return (("group",) if self.group else ()) + (("covariates",) if self.covariates else ())

    @cached_property
    def mask(self) -> np.ndarray:
        """(J, D) booleans: the abilities of each item."""
        return layout.mask(self)

    @property
    def _seen(self) -> Seen:
        if self.seen is None:
            raise ValueError("this IRT has not seen data yet: fit it")
        return self.seen

    @cached_property
    def blocks(self) -> tuple[Block, ...]:
        """Items of one model, one number of categories, one loading pattern, known or not, side by side."""
        return layout.blocks(self)

    @cached_property
    def ability(self) -> Ability:
        """The distribution of ability."""
        d, count = self.mask.shape[1], max(1, len(self._seen.groups))
        unit = any(isinstance(model, str) and KNOWN[model].unit_slope for model in self.models)
        return Ability(
            dimensions=d,
            groups=count,
            means=self.groups.free_means(count),
            variances=self.groups.free_variances(count, unit),
            correlated=d > 1 and self.correlated and self.dimensions is None and self.specific is None,
            covariates=len(self.covariates),
            histogram=self.histogram,
            nodes=tuple(self.grid.values[:, 0].tolist()) if self.histogram and not self.fixed else (),
            exact=self.quadrature == "adaptive",
        )

    @cached_property
    def latent(self) -> lem.Continuous:
        """Abilities and how they are summed over."""
        d = 1 if self.specific is not None else self.mask.shape[1]
        if self.specific is not None:
            return lem.Continuous(1, self.quadrature, self.nodes or NODES[2], self.bounds)  # pyright: ignore
        usual = {"grid": NODES, "adaptive": ADAPTIVE}.get(self.quadrature, {})
        return lem.Continuous(d, self.quadrature, self.nodes or usual.get(d), self.bounds)  # pyright: ignore

    @cached_property
    def grid(self) -> Grid:
        """Nodes (K, D) and their log weights, for all persons alike.

        Raises:
            ValueError: for a bifactor model, which has no nodes of all abilities.
        """
        if self.specific is not None:
            raise ValueError(
                "a bifactor model sums over two abilities at a time, never over all: this takes loadings= and "
                "quadrature='sobol'"
            )
        latent = self.latent
        if self.quadrature == "adaptive":
            latent = lem.Continuous(latent.dim, "grid", NODES[latent.dim], self.bounds)
        values, log_weights = latent.nodes()  # pyright: ignore[reportGeneralTypeIssues]
        return Grid(values.reshape(len(values), -1), log_weights)

    def constraints(self) -> Params:
        """Constraints of the params."""
        tree = {block.name: block.constraints() for block in self.blocks}
        ability = {} if self.specific is not None else self.ability.constraints(len(self.grid.values))
        return {**tree, **({"ability": ability} if ability else {})}

    @property
    def has_prior(self) -> bool:
        """Whether any item param has a prior."""
        return any(block.prior for block in self.blocks)

    def sample_one(self, params: Params, key: Array) -> Any:
        """Answers of one person."""
        return simulation.one_person(self, params, key)

    def sample_like(self, params: Params, key: Array, x: Any) -> Any:
        """Answers of one person of the group and with the covariates of x."""
        return simulation.like_person(self, params, key, x)

    def remarks(self, params: Params, rows: Any, weights: Any) -> list[str]:
        """What a reader of the fit should know."""
        return [*remarking.of_answers(self, rows, weights), *remarking.remarks(self, params, rows)]


def _made(options: dict[str, Any]) -> IRT:
    return IRT(**options)


def _hashable(fixed: Mapping[str, Any]) -> Any:
    return tuple(
        (name, _hashable(value) if isinstance(value, Mapping) else lem.fixed(value))
        for name, value in sorted(fixed.items())
    )


@lru_cache(maxsize=128)
def _model(irt: IRT) -> lem.Model:
    """One Model per declaration, so that equal ones compile once."""
    if irt.specific is not None:
        return _bifactor(irt)
    separable = None
    if irt.quadrature != "adaptive":
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
        sample=None if irt.covariates else irt.sample_one,
        sample_like=irt.sample_like if irt.group or irt.covariates else None,
        name=irt.name,
        declaration=irt,
    )


def _bifactor(irt: IRT) -> lem.Model:
    whole = Bifactor(irt)
    return lem.Model(
        whole.complete_log_likelihood,
        latent=irt.latent,
        params=irt.constraints(),
        prior=irt.log_prior if irt.has_prior else None,
        separable=lem.Separable(
            whole.features, whole.natural, whole.maximize, includes_prior=True, e_step=whole.e_step
        ),
        start=irt.start,
        sample=None if irt.covariates else irt.sample_one,
        sample_like=irt.sample_like if irt.group or irt.covariates else None,
        name=irt.name,
        declaration=irt,
    )
