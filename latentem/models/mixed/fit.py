"""A fitted mixed model: what every `lem.Fit` has, and the verbs of this field."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from latentem.models.mixed import components, effects, profile, records, responses, simulation, tables
from latentem.models.mixed.estimate import Solved, build, maximum, scales_of, start_of
from latentem.models.mixed.families import FAMILIES
from latentem.models.mixed.of_formula import OfFormula


@dataclass(frozen=True)
class GeneralisedFit(OfFormula):
    """A fitted generalised linear mixed model: its log-likelihood is an approximation, which `notes` name.

    `params` holds "fixed" (p,) and "effects" {grouping: Cholesky rows (r, r)}.
    """

    predict = records.predict  # pyright: ignore[reportAssignmentType]
    residuals = responses.residuals
    influence = responses.influence  # pyright: ignore[reportAssignmentType]
    simulate = responses.simulate
    sample = responses.simulate  # pyright: ignore[reportAssignmentType]
    bootstrap = responses.bootstrap
    profile = profile.profile
    augment = tables.augment  # pyright: ignore[reportAssignmentType]

    def inverse_link(self, value: np.ndarray) -> np.ndarray:
        """From the linear predictor to the mean of the response."""
        return FAMILIES[self.declaration.family].mean(value)

    def standard_errors(self, kind: str = "observed") -> Any:
        """Standard errors, shaped like params."""
        self.refuse_without_maximum("standard_errors")
        roots, _ = self.solved.unpack(np.sqrt(np.diagonal(self.solved.covariance(kind))))
        names = [e.name for e in self.solved.design.effects]
        fixed = np.sqrt(np.diagonal(self.fixed_covariance))
        return {"fixed": fixed, "effects": dict(zip(names, roots, strict=True))}

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and lists, ready for JSON."""
        return {
            **self.facts(),
            "formula": self.declaration.formula,
            "family": self.declaration.family,
            "fixed_effects": components.plain(self.fixed_effects()),
            "variance_components": components.plain(self.variance_components()),
            "notes": list(self.notes),
        }


@dataclass(frozen=True)
class MixedFit(OfFormula):
    """A fitted mixed model.

    `params` holds "fixed" (p,), "effects" {grouping: Cholesky rows (r, r) of the covariance of its effects} and
    "residual", a standard deviation.
    """

    degrees_of_freedom = effects.degrees_of_freedom
    heritability = components.heritability
    component_tests = components.component_tests
    predict = records.predict  # pyright: ignore[reportAssignmentType]
    residuals = records.residuals
    influence = records.influence  # pyright: ignore[reportAssignmentType]
    simulate = simulation.simulate
    sample = simulation.simulate  # pyright: ignore[reportAssignmentType]
    bootstrap = simulation.bootstrap
    profile = profile.profile
    augment = tables.augment  # pyright: ignore[reportAssignmentType]

    def inverse_link(self, value: np.ndarray) -> np.ndarray:
        """From the linear predictor to the expected response."""
        return value

    def without(self, i: int) -> float:
        """Log-likelihood of the fit without random effect i."""
        design = self.solved.design
        rest = tuple(e for k, e in enumerate(design.effects) if k != i)
        if not rest:
            return _without_any(self.solved)
        system, offset, spread = build(replace(design, effects=rest), self.solved.system.reml)
        solved, _ = maximum(design, system, offset, start_of(system, spread), scales_of(system, spread))
        return solved.point.log_likelihood

    def information(self, kind: Any = "observed", **_: Any) -> np.ndarray:
        """Information (P, P) of the Cholesky rows and the residual standard deviation: "observed" (differenced scores)
        or "average"."""
        if kind not in ("observed", "average"):
            raise ValueError(f"kind={kind!r}: expected 'observed' or 'average'")
        return self.solved.information if kind == "observed" else self.solved.point.average_information

    def covariance(self, kind: str = "observed", *, coordinates: str = "natural") -> np.ndarray:
        """Covariance of the estimates: fixed effects, Cholesky rows, residual standard deviation, in this order."""
        if coordinates != "natural":
            raise ValueError(f"coordinates={coordinates!r}: a mixed model has 'natural' ones only")
        self.refuse_without_maximum("covariance")
        p, rest = len(self.solved.beta), self.solved.covariance(kind)
        whole = np.zeros((p + len(rest), p + len(rest)))
        whole[:p, :p], whole[p:, p:] = self.fixed_covariance, rest
        return whole

    def standard_errors(self, kind: str = "observed") -> Any:
        """Standard errors, shaped like params.

        Args:
            kind: of those of the components: "observed", the exact curvature; "average", as AI-REML programs print it.
        """
        errors = np.sqrt(np.diagonal(self.covariance(kind)))
        p = len(self.solved.beta)
        roots, sigma = self.solved.system.unpack(errors[p:])
        names = [e.name for e in self.solved.design.effects]
        return {"fixed": errors[:p], "effects": dict(zip(names, roots, strict=True)), "residual": np.array(sigma)}

    def error_notes(self, kind: str = "observed") -> tuple[str, ...]:
        """Why standard errors are NaN, one sentence for each reason."""
        singular = zip(self.solved.design.effects, self.solved.singular, strict=True)
        return tuple(
            f"{e.name}: its covariance is singular, where standard errors do not hold" for e, s in singular if s
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and lists, ready for JSON."""
        facts = self.facts()
        fixed = self.fixed_effects()
        return {
            **facts,
            "formula": self.declaration.formula,
            "reml": self.declaration.reml,
            "fixed_effects": components.plain(fixed),
            "variance_components": components.plain(self.variance_components()),
            "notes": list(self.notes),
        }


def _without_any(solved: Solved) -> float:
    """Log-likelihood of ordinary regression."""
    moments, reml = solved.system.moments, solved.system.reml
    p = len(solved.beta)
    rss = moments.yy  # the ordinary regression has been taken off
    n = moments.n - p * reml
    value = n * np.log(2 * np.pi * rss / n) + n - moments.log_weights
    if reml and p:
        value += np.linalg.slogdet(moments.xx)[1]
    return -0.5 * float(value)
