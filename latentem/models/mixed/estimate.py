"""The maximum of a linear mixed model on a design, and what follows from the curvature there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import scipy.linalg as la
from jaxtyping import Float

from latentem.building import Climb, climb, observed_information
from latentem.field import Effect, NotPositiveDefinite, Point, System, layout, moments
from latentem.models.mixed.declare import Design

#: A Cholesky root whose smallest singular value, scaled, is below this is tried as singular.
NEARLY_SINGULAR = 1e-3
#: Steps of parameter-expanded EM before Newton.
EM_STEPS = 3


@dataclass(frozen=True, eq=False)
class Solved:
    """A linear mixed model at parameters.

    Args:
        design: the data.
        system: what is left of them after adding up.
        theta: (P,) Cholesky rows of the effects, then the residual standard deviation.
        offset: (p,) ordinary least squares, taken off the response beforehand.
        known: (P, P) observed information, where a climb found it.
    """

    design: Design
    system: System
    theta: Float[np.ndarray, " P"]
    offset: Float[np.ndarray, " p"]
    known: Float[np.ndarray, "P P"] | None = None
    residual: ClassVar[bool] = True

    @cached_property
    def point(self) -> Point:
        """The E-step at the parameters."""
        return self.system.at(self.theta)

    @cached_property
    def roots(self) -> list[np.ndarray]:
        """Lambda of each effect."""
        return self.system.unpack(self.theta)[0]

    @property
    def sigma(self) -> float:
        """Residual standard deviation."""
        return float(self.theta[-1])

    @property
    def covariances(self) -> list[np.ndarray]:
        """Lambda Lambda' of each effect, (r, r)."""
        return [root @ root.T for root in self.roots]

    @cached_property
    def beta(self) -> Float[np.ndarray, " p"]:
        """Fixed effects."""
        return self.point.beta + self.offset

    @cached_property
    def random(self) -> list[np.ndarray]:
        """Predicted random effects (BLUP) of each effect, (r, q)."""
        return [root @ u for root, u in zip(self.roots, self.point.u, strict=True)]

    @property
    def parts(self) -> tuple[Effect, ...]:
        """What Cholesky rows there are of."""
        return self.design.effects

    @property
    def fixed_covariance(self) -> Float[np.ndarray, "p p"]:
        """Covariance of the estimates of the fixed effects."""
        return self.point.fixed_covariance

    def unpack(self, theta: Float[np.ndarray, " P"]) -> tuple[list[np.ndarray], float]:
        """(Lambda of each effect, residual standard deviation) of a vector of parameters."""
        return self.system.unpack(theta)

    def prediction_error(self, i: int) -> Float[np.ndarray, "q r r"]:
        """Covariance of what the prediction of each level of effect i misses."""
        root = self.roots[i]
        return root @ self.point.covariance(i, i, fixed=True) @ root.T

    @cached_property
    def scales(self) -> Float[np.ndarray, " P"]:
        """A typical size of each parameter."""
        return scales_of(self.system, self.sigma)

    @cached_property
    def singular(self) -> tuple[bool, ...]:
        """Of each effect, whether its covariance is singular: a variance of 0 or a correlation of 1 or -1."""
        units = self.system.unpack(self.scales)[0]
        pairs = zip(self.roots, units, strict=True)
        return tuple(bool(np.min(np.abs(np.diagonal(r)) / np.diagonal(unit)) < 1e-9) for r, unit in pairs)

    @cached_property
    def information(self) -> Float[np.ndarray, "P P"]:
        """Observed information of the parameters."""
        return observed_information(self.system.at, self.theta, self.scales) if self.known is None else self.known

    def covariance(self, kind: str = "observed") -> Float[np.ndarray, "P P"]:
        """Covariance of the parameters; NaN for those of effects with a singular covariance.

        Args:
            kind: "observed" or "average", the average of observed and expected information that AI-REML uses.
        """
        if kind not in ("observed", "average"):
            raise ValueError(f"kind={kind!r}: expected 'observed' or 'average'")
        information = self.information if kind == "observed" else self.point.average_information
        at_edge = [np.full((r, r), float(s)) for r, s in zip(self.system.shapes(), self.singular, strict=True)]
        inside = self.system.pack(at_edge, 0.0) == 0
        found = np.full(information.shape, np.nan)
        try:
            found[np.ix_(inside, inside)] = np.linalg.inv(information[np.ix_(inside, inside)])
        except np.linalg.LinAlgError:
            pass
        return found

    @cached_property
    def fixed_covariance_slopes(self) -> Float[np.ndarray, "P p p"]:
        """Derivative of the covariance of the fixed effects in each parameter, by central differences."""
        step, found = 1e-4, []
        for k, scale in enumerate(self.scales):
            h = np.zeros(len(self.theta))
            h[k] = step * scale
            up, down = (self.system.at(self.theta + s * h).fixed_covariance for s in (1, -1))
            found.append((up - down) / (2 * step * scale))
        return np.array(found)


def scales_of(system: System, sigma: float) -> Float[np.ndarray, " P"]:
    """A typical size of each parameter: the residual standard deviation per unit of the columns that vary."""
    parts = []
    for effect in system.layout.effects:
        unit = np.sqrt(np.mean(effect.z**2, axis=0))
        parts.append(np.repeat((sigma / np.where(unit > 0, unit, 1.0))[:, None], effect.r, axis=1))
    return system.pack(parts, sigma)


def build(design: Design, reml: bool) -> tuple[System, np.ndarray, float]:
    """(system, ordinary least squares, residual standard deviation of those)."""
    weights = design.precisions * design.frequencies
    offset, rest = ordinary(design.x, design.y[:, 0], weights)
    log_weights = float(design.frequencies @ np.log(design.precisions))
    found = moments(rest, design.x, design.effects, weights, design.n, log_weights)
    spread = float(np.sqrt(weights @ rest**2 / design.n))
    if not spread > 1e-10 * float(np.max(np.abs(design.y))):
        raise ValueError("the fixed effects explain the response entirely: nothing is left to be random")
    return System(layout(design.effects, found.grams), found, reml), offset, spread


def with_response(solved: Solved, y: np.ndarray) -> tuple[System, np.ndarray]:
    """(system, ordinary least squares) of another response of the same records: only sums with y are new."""
    design = solved.design
    weights = design.precisions * design.frequencies
    offset, rest = ordinary(design.x, y, weights)
    weighted = (weights * rest)[:, None]
    zy = tuple(effect.sums(weighted)[:, :, 0] for effect in design.effects)
    old = solved.system.moments
    new = replace(old, xy=design.x.T @ weighted[:, 0], yy=float(rest @ weighted[:, 0]), zy=zy)
    return replace(solved.system, moments=new), offset


def ordinary(x: np.ndarray, y: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(weighted least squares, what they leave)."""
    if not x.shape[1]:
        return np.zeros(0), y.copy()
    root = np.sqrt(weights)
    found: Any = la.lstsq(x * root[:, None], y * root)
    beta = found[0]
    return beta, y - x @ beta


def start_of(system: System, spread: float) -> Float[np.ndarray, " P"]:
    """Where a climb starts: half of the variance to the residual, the other half to each of the effects."""
    roots, _ = system.unpack(scales_of(system, spread) / np.sqrt(2))
    return system.pack([np.diag(np.diagonal(root)) for root in roots], spread / np.sqrt(2))


def maximum(
    design: Design,
    system: System,
    offset: np.ndarray,
    start: Float[np.ndarray, " P"],
    scales: Float[np.ndarray, " P"],
    max_iterations: int = 100,
    callback: Callable[[int, float], bool] | None = None,
    exact: bool = True,
    em_steps: int = EM_STEPS,
) -> tuple[Solved, Climb]:
    """The maximum of the (restricted) likelihood from a start; near the edge, the edge itself where it is no worse.

    Raises:
        ValueError: the likelihood has no value at the start.
    """
    options: Any = {"max_iterations": max_iterations, "callback": callback, "exact": exact, "em_steps": em_steps}
    try:
        climbed = climb(system.at, start, scales, **options)
    except NotPositiveDefinite:
        raise ValueError(
            "the likelihood has no value at the start: pass other standard deviations as initial="
        ) from None
    return reached(design, system, offset, scales, climbed, exact), climbed


def reached(
    design: Design, system: System, offset: np.ndarray, scales: np.ndarray, climbed: Climb, exact: bool
) -> Solved:
    """Where a climb ended, diagonals of Cholesky rows turned positive; near the edge, the edge where it is no worse.

    Args:
        exact: the climb found the observed information.
    """
    roots, sigma = system.unpack(climbed.theta)
    signs = [np.where(np.diagonal(root) < 0, -1.0, 1.0) for root in roots]
    theta = system.pack([root * sign for root, sign in zip(roots, signs, strict=True)], abs(sigma))
    on_edge = _snapped(system, theta, climbed.point.log_likelihood, scales)
    if on_edge is not None:
        return Solved(design, system, on_edge, offset)
    flips = system.pack([np.broadcast_to(sign, (len(sign),) * 2) for sign in signs], 1.0 if sigma > 0 else -1.0)
    information = climbed.information * np.outer(flips, flips) if exact else None
    return Solved(design, system, theta, offset, information)


def _snapped(system: System, theta: np.ndarray, value: float, scales: np.ndarray) -> np.ndarray | None:
    """Parameters with singular covariances where they are nearly so and the likelihood does not mind."""
    roots, sigma = system.unpack(theta)
    changed = False
    for i, unit in enumerate(system.unpack(scales)[0]):
        size = np.diagonal(unit)[:, None]
        left, singular, _ = np.linalg.svd(roots[i] / size)
        small = singular < NEARLY_SINGULAR
        if small.any():
            upper: Any = la.qr((left * np.where(small, 0.0, singular)).T, mode="r")[0]
            upper = upper * np.where(np.diagonal(upper) < 0, -1.0, 1.0)[:, None]
            upper[np.abs(upper) < 1e-9] = 0.0
            roots[i] = upper.T * size
            changed = True
    if not changed:
        return None
    snapped = system.pack(roots, sigma)
    try:
        there = system.at(snapped).log_likelihood
    except NotPositiveDefinite:
        return None
    return snapped if there >= value - 1e-7 else None
