"""Differential item functioning: likelihood-ratio tests of every item, against anchors that are found on the way.

Sources: Thissen, Steinberg and Wainer (1993) for the tests; Candell and Drasgow (1988) for the iterations.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np

import latentem as lem
from latentem.building import chi_squared_tail
from latentem.models.irt.declare import responses as door
from latentem.models.irt.declared import Declared

Params = dict[str, Any]

#: Stopping rule of the fits: statistics are good to about 1e-5.
TOLERANCE = 1e-12


def dif(fit: Any, group: Any = None, alpha: float = 0.05, purify: bool = True) -> dict[str, np.ndarray]:
    """Differential item functioning: for every item, the likelihood-ratio test that its params are the same in all
    groups, while abilities of the groups differ in mean and variance.

    The first tests take all other items as anchors; with `purify`, the item that differs most leaves the anchors
    and all are tested again, until none of the anchors differs.

    Args:
        fit: the fit, with groups or without.
        group: label of the group of every person (N,); the groups of the fit by default.
        alpha: level at which an item leaves the anchors.
        purify: whether to repeat the tests.

    Returns:
        {"item", "chi2", "df", "p", "anchor"}, (J,) each; p is of each item by itself, not adjusted for their
        number; df 0 and p NaN for items whose params are fixed.

    Raises:
        ValueError: no groups, labels that are not one per person, latent regression, a histogram, item models that
            share params between items.
    """
    if not 0 < alpha < 1:
        raise ValueError(f"alpha={alpha!r}: expected a level between 0 and 1, such as 0.05")
    study = Study.of(fit, group)
    items = range(len(study.irt.seen.names))
    start, free = study.known(fit.params, study.declared_items(fit)), frozenset[int]()
    tried: set[frozenset[int]] = set()
    while True:
        tried.add(free)
        base, start = study.fit(free, start)
        # One after the other, by one program: E-steps are nearly all of it. Side by side (vmap), every fit goes on
        # until the slowest ends, and both ways of a condition: 1.05 s against 0.60 s for 20 items and 4,000 persons.
        tests = [_test(base, study.fit(free ^ {j}, start)[0]) for j in items]
        chi2, df, p = (np.array(column) for column in zip(*tests, strict=True))
        found = _anchors_but(free, p, alpha)
        if not purify or found in tried:
            break
        free = found
    anchor = np.array([j not in free for j in items])
    return {"item": np.array(study.irt.seen.names), "chi2": chi2, "df": df, "p": p, "anchor": anchor}


def _anchors_but(free: frozenset[int], p: np.ndarray, alpha: float) -> frozenset[int]:
    """The items that are no anchors next: one more, the worst, or one less. One at a time, for an item that differs
    makes its anchors look as if they differed the other way."""
    back = [j for j in free if p[j] >= alpha]
    if back:
        return free - {max(back, key=lambda j: p[j])}
    worse = [j for j in range(len(p)) if j not in free and p[j] < alpha]
    if not worse or len(free) == len(p) - 2:  # two anchors are left to compare with one another
        return free
    return free | {min(worse, key=lambda j: p[j])}


def _test(base: lem.Fit, other: lem.Fit) -> tuple[float, int, float]:
    """(statistic, degrees of freedom, p); one of the two contains the other."""
    df = other.n_parameters - base.n_parameters
    statistic = max(0.0, 2 * float(np.sign(df)) * (other.log_likelihood - base.log_likelihood))
    return statistic, abs(df), chi_squared_tail(statistic, abs(df))


@dataclass(frozen=True)
class Known:
    """Params as they start a fit.

    Args:
        items: of every item, {name: (G, ...)}.
        ability: of the distribution of ability, or None for standard normal.
    """

    items: tuple[Params, ...]
    ability: Params | None


@dataclass(frozen=True)
class Study:
    """Data of several groups and the model whose items are tested; groups go by number, so that labels do not matter to
    what is compiled.

    Args:
        irt: all items in common, means and variances of the groups free.
        rows: codes and groups of the persons.
        weights: (N,).
    """

    irt: Declared
    rows: dict[str, np.ndarray]
    weights: np.ndarray

    @classmethod
    def of(cls, fit: Any, group: Any) -> Study:
        """The persons of the fit in their groups.

        Raises:
            ValueError: no groups, labels that are not one per person, latent regression, a histogram, too few items.
        """
        irt, answers = fit.model.declaration, fit.data.observations["answers"]
        if irt.covariates or irt.histogram:
            raise ValueError("dif: groups have normal abilities of their own: fit without covariates and histogram")
        if len(irt.seen.names) < 2:
            raise ValueError("dif: the other items are the anchors: expected at least 2 items")
        if group is None:
            if irt.group is None:
                raise ValueError("dif: this fit has no groups: pass group=, a label for every person")
            groups, codes = len(irt.seen.groups), fit.data.observations["group"]
        else:
            column = door.beside("group", group)
            if column.shape != (len(answers),):
                raise ValueError(
                    f"group has shape {column.shape}: expected ({len(answers)},), a label for every person"
                )
            labels = door.labels("group", column)
            groups, codes = len(labels), door.groups("group", column, labels)
        if groups < 2:
            raise ValueError("dif: all persons are in one group: expected at least 2 groups")
        irt = replace(
            irt, group="group", invariance="scalar", free_items=(), seen=replace(irt.seen, groups=tuple(range(groups)))
        )
        return cls(irt, {"answers": answers, "group": codes}, fit.data.weights)

    def order(self, free: frozenset[int]) -> list[int]:
        """Items, those of `free` first, then by model: fits that free as many items of a model are one program."""
        irt = self.irt
        models = list(dict.fromkeys(self._model(name) for name in irt.seen.names))

        def kind(j: int) -> tuple[Any, ...]:
            name = irt.seen.names[j]
            known = sorted(irt.fixed[name]) if name in irt.fixed else []
            return (j not in free, models.index(self._model(name)), len(irt.seen.categories[j]), known, j)

        return sorted(range(len(irt.seen.names)), key=kind)

    def _model(self, name: str) -> Any:
        return dict(self.irt.model)[name] if isinstance(self.irt.model, tuple) else self.irt.model

    def declared(self, free: frozenset[int]) -> Any:
        """The model with params by group for the items of `free`; items are renamed by their place."""
        irt, order = self.irt, self.order(free)
        names = tuple(f"item_{i + 1}" for i in range(len(order)))
        renamed = {irt.seen.names[j]: name for name, j in zip(names, order, strict=True)}
        fixed = {renamed.get(n, n) if isinstance(v, Mapping) else n: v for n, v in irt.fixed.items()}
        several = isinstance(irt.model, tuple)
        categories = tuple(tuple(range(len(irt.seen.categories[j]))) for j in order)
        return replace(
            irt,
            model={renamed[irt.seen.names[j]]: self._model(irt.seen.names[j]) for j in order} if several else irt.model,
            items=None,
            loadings=None if irt.loadings is None else np.asarray(irt.loadings)[order],
            fixed=fixed,
            free_items=names[: len(free)],
            seen=replace(irt.seen, names=names, categories=categories, levels=()),
        )

    def fit(self, free: frozenset[int], start: Known) -> tuple[lem.Fit, Known]:
        """(fit, its params as a start) with params by group for the items of `free`."""
        irt, order = self.declared(free), self.order(free)
        found = lem.fit(
            irt,
            {**self.rows, "answers": self.rows["answers"][:, order]},
            weights=self.weights,
            initial=self._initial(irt, order, start),
            tolerance=TOLERANCE,
            polish=False,
        )
        return found, self.known(found.params, (irt, order))

    def declared_items(self, fit: Any) -> tuple[Any, list[int]]:
        """The model of the fit to begin with, and its items as they are numbered here."""
        return fit.model.declaration, list(range(len(self.irt.seen.names)))

    def known(self, params: Params, declared: tuple[Any, Sequence[int]]) -> Known:
        """Params of a fit, item by item."""
        irt, order = declared
        groups = len(self.irt.seen.groups)
        items: list[Params] = [{} for _ in order]
        for block in irt.blocks:
            for i, place in enumerate(block.items):
                for name, value in params[block.name].items():
                    one = np.asarray(value if name in block.shared else value[i])
                    items[order[place]][name] = one if name in block.own else np.stack([one] * groups)
        same = irt.ability.groups == groups and irt.groups.invariance == "scalar"
        return Known(tuple(items), params.get("ability") if same else None)

    def _initial(self, irt: Declared, order: list[int], start: Known) -> Params:
        params: Params = {}
        for block in irt.blocks:
            mine = [start.items[order[place]] for place in block.items]
            params[block.name] = {}
            for name in mine[0]:
                by_item = [one[name] if name in block.own else one[name].mean(axis=0) for one in mine]
                params[block.name][name] = by_item[0] if name in block.shared else np.stack(by_item)
        with jax.enable_x64(True):
            standard = jax.tree.map(np.asarray, irt.ability.start(irt.grid, np.float64))
        return {**params, "ability": standard if start.ability is None else start.ability}
