"""EM of a linear mixed model as a way to climb by itself: plain, parameter-expanded, or accelerated by SQUAREM."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

import latentem as lem
from latentem.building import Climb, HostForm, climb_on_host
from latentem.field import NotPositiveDefinite, System
from latentem.models.mixed.declare import Design
from latentem.models.mixed.estimate import Solved, reached

Vector = Float[np.ndarray, " P"]
#: Iterations, and the tolerance of the log-likelihood, unless `lem.fit` is asked for others.
ITERATIONS, TOLERANCE = 10_000, 1e-10


@dataclass(eq=False)
class CovariancesForm(HostForm):
    """Theta is Cholesky rows of the effects and the residual standard deviation, in which SQUAREM extrapolates too.

    Args:
        system: the model on data.
        begin: the start.
        expanded: by parameter-expanded EM.
    """

    system: System
    begin: Vector
    expanded: bool

    def __post_init__(self) -> None:
        self.n_parameters = len(self.begin)
        self.n_observations = self.system.moments.n

    def start(self, rng: np.random.Generator, first: bool) -> Vector:
        return self.begin

    def update(self, theta: Vector) -> tuple[Vector, float]:
        try:
            point = self.system.at(theta)
            return point.px_em() if self.expanded else point.em(), point.log_likelihood
        except (NotPositiveDefinite, FloatingPointError):
            return theta, -np.inf

    def values(self, theta: Vector) -> tuple[float, float]:
        return self.system.at(theta).log_likelihood, 0.0

    def params(self, theta: Vector) -> Any:
        roots, sigma = self.system.unpack(theta)
        names = [effect.name for effect in self.system.layout.effects]
        return {"effects": dict(zip(names, roots, strict=True)), "residual": np.array(sigma)}

    def theta(self, params: Any) -> Vector:
        roots = [params["effects"][effect.name] for effect in self.system.layout.effects]
        return self.system.pack(roots, float(params["residual"]))

    def coordinates(self, theta: Vector) -> Vector:
        return theta

    def from_coordinates(self, u: Vector) -> Vector:
        return u


def by_em(
    design: Design,
    system: System,
    offset: np.ndarray,
    start: Vector,
    scales: Vector,
    method: Any,
    options: dict[str, Any],
    watch: Callable[[int, float], bool],
) -> tuple[Solved, Climb]:
    """Where EM by this method ends, and how; the observed information is computed when it is asked for."""
    form = CovariancesForm(system, start, isinstance(method, lem.PX))
    chosen = lem.Plain() if isinstance(method, lem.PX) else method
    limit, tolerance = options.get("max_iterations", ITERATIONS), options.get("tolerance", TOLERANCE)
    end = climb_on_host(form, start, chosen, tolerance, int(limit), lambda done, value, theta: watch(done, value))
    if not np.isfinite(end.objective):
        raise ValueError("the likelihood has no value at the start: pass other standard deviations as initial=")
    point, nothing = system.at(end.theta), np.full((len(start),) * 2, np.nan)
    converged = end.status is lem.Status.converged
    trace = np.concatenate([[system.at(start).log_likelihood], end.trace])
    climbed = Climb(point, end.theta, nothing, trace, end.evaluations, converged, np.nan)
    return reached(design, system, offset, scales, climbed, exact=False), climbed
