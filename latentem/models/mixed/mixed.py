"""Mixed: linear mixed models from a formula, with structures of relationship."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from latentem.field import Structure
from latentem.models.mixed import drivers, traits
from latentem.models.mixed.declare import Design, declare
from latentem.models.mixed.estimate import Solved, build
from latentem.models.mixed.families import FAMILIES, refuse_responses
from latentem.models.mixed.fit import GeneralisedFit, MixedFit
from latentem.models.mixed.formula import parse
from latentem.models.mixed.generalised import approximate
from latentem.models.mixed.traits_fit import TraitsFit
from latentem.models.mixed.vectors import theta_of, vector_of

#: Options of `lem.fit` that say something to a mixed model.
OPTIONS = ("weights", "initial", "max_iterations", "callback", "key", "progress", "tolerance", "method")


@dataclass(frozen=True)
class Mixed:
    """A linear mixed model: y = X beta + sum of Z b + e, fixed effects beta, random effects b of every level of some
    groupings.

    Args:
        formula: as in lme4, "milk ~ lact + log(dim) + (1 | id) + (1 | herd)": (1 | g), (x | g) with correlation, (x ||
            g) without, nested (1 | a/b), crossed, combinations (1 | a:b). Several responses, cbind(milk, fat) ~ ...,
            have correlated effects and residuals; NaN is one that a record lacks.
        relationship: grouping -> what is known of its levels: `lem.pedigree(...)`, `lem.relationship(matrix)`,
            `lem.random_walk()`, `lem.neighbours(graph)`; independent levels by default.
        reml: restricted maximum likelihood, fixed effects integrated out; else maximum likelihood.
        precision: name of a column of precision weights: the residual variance of a record is divided by its weight.
            (The `weights` of `lem.fit` are frequencies: they stand for repeated records.)

    The random effects are whitened, so a variance of zero is a point like any other; a few steps of EM are followed by
    Newton's method on the average information, then on the exact one (`method=lem.AverageInformation()`; `lem.PX()`,
    `lem.SQUAREM()` and `lem.Plain()` are EM all the way). Needs the library formulae, from the extra
    `mixed`.

    References:
        Bates, D., Maechler, M., Bolker, B. and Walker, S. (2015). Fitting linear mixed-effects models using lme4.
        Journal of Statistical Software 67(1).

    >>> dyes = lem.datasets.dyestuff()
    >>> fit = lem.fit(lem.Mixed("grams ~ 1 + (1 | batch)"), dyes)
    >>> np.round(fit.variance_components()["variance"], 2)
    array([1764.05, 2451.25])
    """

    formula: str
    relationship: Mapping[str, Structure] = field(default_factory=dict, compare=False)
    reml: bool = True
    precision: str | None = None
    family: str = "gaussian"
    nodes: int | None = None

    def __post_init__(self) -> None:
        parse(self.formula)
        if self.family != "gaussian" and self.family not in FAMILIES:
            raise ValueError(f"family={self.family!r}: expected 'gaussian', {', '.join(map(repr, FAMILIES))}")
        if self.nodes is not None and (self.family == "gaussian" or not 2 <= self.nodes <= 100):
            raise ValueError(f"nodes={self.nodes!r}: expected 2 to 100, with a family other than 'gaussian'")
        if self.precision is not None and self.family != "gaussian":
            raise ValueError(f"precision={self.precision!r}: only family='gaussian' has a residual variance to divide")
        for group, structure in self.relationship.items():
            if not isinstance(structure, Structure):
                told = f"relationship of {group!r} is a {type(structure).__name__}"
                raise TypeError(f"{told}: expected lem.pedigree(...), lem.relationship(matrix), ...")

    @property
    def name(self) -> str:
        """What summaries call it."""
        if self.family != "gaussian":
            how = "Laplace's approximation" if self.nodes is None else f"adaptive quadrature, {self.nodes} nodes"
            return f"Generalised linear mixed model ({self.family}) by {how}"
        return f"Linear mixed model by {'REML' if self.reml else 'maximum likelihood'}"

    def design(self, table: Any, weights: Any = None) -> Design:
        """The records as arrays."""
        parsed = parse(self.formula)
        several = self.family == "gaussian" and len(parsed.responses) > 1
        if several and self.precision is not None:
            raise ValueError(f"precision={self.precision!r}: of one response; leave it out, or fit each by itself")
        design = declare(parsed, table, self.relationship, weights, self.precision, several)
        if self.family != "gaussian":
            refuse_responses(self.family, design.y)
        return design

    def fit_whole(self, table: Any, **options: Any) -> Any:
        """What `lem.fit` calls: the records share one latent, so nothing is done row by row.

        Args:
            table: a table with the columns of the formula.
            options: those of `lem.fit` that were given.
        """
        began = time.perf_counter()
        for name in options:
            if name not in OPTIONS:
                raise ValueError(f"{name}: a mixed model knows {', '.join(OPTIONS)}; leave {name} out")
        design = self.design(table, options.get("weights"))
        limit = options.get("max_iterations", 100)
        if not isinstance(limit, int | np.integer) or limit < 1:
            raise ValueError(f"max_iterations={limit!r}: expected an integer >= 1")
        if self.family != "gaussian":
            if options.get("method") is not None:
                raise ValueError("method: a generalised mixed model climbs by Newton's method: leave it out")
            return drivers.generalised(self, table, design, options, int(limit), began)
        if len(design.responses) > 1:
            if options.get("method") is not None:
                raise ValueError("method: a mixed model of several responses climbs by Newton's method: leave it out")
            return drivers.several(self, table, design, options, int(limit), began)
        return drivers.linear(self, table, design, options, int(limit), began)

    def loaded(self, table: Any, **fields: Any) -> Any:
        """A fit that was saved, with its table or None."""
        several = len(parse(self.formula).responses) > 1
        linear = TraitsFit if several else MixedFit
        return (linear if self.family == "gaussian" else GeneralisedFit)(**fields, declaration=self, frame=table)

    def solved_at(self, table: Any, weights: Any, params: Any) -> Any:
        """The arrays behind given params; a generalised model settles there once more."""
        design = self.design(table, weights)
        if self.family != "gaussian":
            return approximate(design, self.family, self.nodes, vector_of(design, params), 100)[0]
        if len(design.responses) > 1:
            return traits.maximum(design, self.reml, traits.vector(design, self.reml, params), 100)[0]
        system, offset, _ = build(design, self.reml)
        return Solved(design, system, theta_of(system, params), offset)
