"""Newton on the host, for likelihoods whose E-step is not a compiled sum over rows: a few EM steps, Newton with the
average information where a model has one, then Newton with the exact information, which is that of differenced scores
and also gives the standard errors.

Where standard deviations and Cholesky rows are the parameters, a variance of zero is an interior point: the score is
zero there and the exact curvature is not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import scipy.linalg as la
from jaxtyping import Float

from latentem.forms.field.factor import NotPositiveDefinite

#: Half the squared Newton decrement, in nats, at which a maximum has been reached.
DECREMENT = 1e-13
#: Decrement down to which steps with the last information go on: they cost one evaluation each.
TARGET = 1e-20
#: Relative step of the differences of scores.
STEP = 1e-4
#: Longest step of Newton with the exact information, in the sizes of the parameters.
LONGEST = 5.0
#: EM steps before Newton.
EM_STEPS = 3


@dataclass(frozen=True)
class Climb:
    """Where a climb ended.

    Args:
        point: the model there (with `log_likelihood` and `score`).
        theta: its parameters.
        information: (P, P) observed information.
        trace: log-likelihood at each accepted step.
        evaluations: of the likelihood.
        converged: the decrement is small and the information has no negative eigenvalue.
        decrement: half the squared Newton decrement.
    """

    point: Any
    theta: Float[np.ndarray, " P"]
    information: Float[np.ndarray, "P P"]
    trace: np.ndarray
    evaluations: int
    converged: bool
    decrement: float


@dataclass
class _Walk:
    at: Callable[[np.ndarray], Any]
    theta: np.ndarray
    point: Any
    trace: list[float] = field(default_factory=list)
    evaluations: int = 1

    def try_step(self, step: np.ndarray, noise: float) -> bool:
        """Take the step where the log-likelihood does not fall."""
        self.evaluations += 1
        try:
            point = self.at(self.theta + step)
            value = point.log_likelihood
        except (NotPositiveDefinite, FloatingPointError):
            return False
        if not value >= self.point.log_likelihood - noise:
            return False
        self.theta, self.point = self.theta + step, point
        self.trace.append(value)
        return True


def climb(
    at: Callable[[np.ndarray], Any],
    theta: Float[np.ndarray, " P"],
    scales: Float[np.ndarray, " P"],
    *,
    max_iterations: int = 100,
    em_steps: int = EM_STEPS,
    exact: bool = True,
    callback: Callable[[int, float], bool] | None = None,
) -> Climb:
    """Climb to a maximum.

    Args:
        at: parameters -> the model there, with `log_likelihood`, `score`, `px_em()` where there are EM steps, and
            `average_information` where it has one.
        theta: the start.
        scales: (P,) a typical size of each parameter, in its unit.
        max_iterations: of each of the two Newton methods.
        em_steps: steps of EM before them.
        exact: compute the exact information even where the average one has led to the maximum.
        callback: called with (iterations so far, log-likelihood); True stops the climb.
    """
    walk = _Walk(at, np.asarray(theta, dtype=np.float64), at(theta))
    walk.trace.append(walk.point.log_likelihood)
    for _ in range(min(em_steps, 2) if getattr(walk.point, "costly", False) else em_steps):
        if not walk.try_step(walk.point.px_em() - walk.theta, 1e-8):
            break
    if max_iterations and not hasattr(walk.point, "average_information"):
        ended = "stopped" if callback is not None and callback(len(walk.trace), walk.trace[-1]) else "stuck"
    else:
        ended = _average_information(walk, scales, max_iterations, callback)
    stopped = ended == "stopped"
    if ended == "converged" and not exact:
        nothing = np.full((len(walk.theta),) * 2, np.nan)
        return Climb(walk.point, walk.theta, nothing, np.array(walk.trace), walk.evaluations, True, 0.0)
    information, decrement, converged = _exact(walk, scales, max_iterations if not stopped else 0)
    return Climb(
        walk.point,
        walk.theta,
        information,
        np.array(walk.trace),
        walk.evaluations,
        converged and not stopped,
        decrement,
    )


def _noise(value: float) -> float:
    """What rounding may take off a log-likelihood."""
    return 1e-12 * (1 + abs(value))


def _average_information(walk: _Walk, scales: np.ndarray, limit: int, callback: Any) -> str:
    """Newton with the average information: how it ended, "converged", "stuck" or "stopped" (by the callback)."""
    damping, before = 0.0, np.inf
    for iteration in range(limit):
        if callback is not None and callback(len(walk.trace), walk.point.log_likelihood):
            return "stopped"
        score, information = walk.point.score * scales, walk.point.average_information * np.outer(scales, scales)
        size = np.maximum(np.diagonal(information), 1e-8 * np.max(np.diagonal(information)))
        if np.linalg.eigvalsh(information / np.sqrt(np.outer(size, size)))[0] < 1e-7:
            return "stuck"  # at an edge: the average information sees no curvature there
        step = la.solve(information + damping * np.diag(size), score, assume_a="pos")
        decrement = float(score @ step) / 2
        # Average information is not the curvature: where steps gain little by little, the exact one is called; its
        # differences are taken where the climb all but ends, so that they also serve as those of the maximum.
        if decrement < 1e-10:
            return "converged"
        if iteration > 12 and decrement > 0.5 * before:
            return "stuck"
        before = decrement
        if walk.try_step(scales * step, _noise(walk.point.log_likelihood)):
            damping = damping / 8 if damping > 1e-3 else 0.0
        else:
            damping = max(8 * damping, 1e-2)
            if damping > 1e6:
                return "stuck"
    return "stuck"


def observed_information(
    at: Callable[[np.ndarray], Any], theta: np.ndarray, scales: np.ndarray, step: float = STEP, centre: Any = None
) -> Float[np.ndarray, "P P"]:
    """Minus the derivative of the score: by central differences, or by forward ones from `centre`, the score at
    `theta`, which take half as long and hold to about five digits."""
    rows = []
    if centre is not None:
        step = step / 10
        for k, scale in enumerate(scales):
            h = np.zeros(len(theta))
            h[k] = step * scale
            rows.append((centre - at(theta + h).score) / (step * scale))
        found = np.array(rows)
        return (found + found.T) / 2
    for k, scale in enumerate(scales):
        h = np.zeros(len(theta))
        h[k] = step * scale
        rows.append((at(theta - h).score - at(theta + h).score) / (2 * step * scale))
    found = np.array(rows)
    return (found + found.T) / 2


def _exact(walk: _Walk, scales: np.ndarray, limit: int) -> tuple[np.ndarray, float, bool]:
    """Newton with the exact information: (that information, decrement, whether it converged)."""
    information, decrement = np.full((len(scales), len(scales)), np.nan), np.inf
    for _ in range(max(limit, 1)):
        costly = getattr(walk.point, "costly", False)
        information = observed_information(walk.at, walk.theta, scales, centre=walk.point.score if costly else None)
        walk.evaluations += (1 if costly else 2) * len(scales)
        values, vectors = la.eigh(information * np.outer(scales, scales))
        score = vectors.T @ (walk.point.score * scales)
        size = np.maximum(np.abs(values), 1e-9 * np.max(np.abs(values)))
        decrement = float(np.sum(score**2 / size)) / 2
        saddle = values[0] < -1e-6 * np.max(np.abs(values))
        for _ in range(4):  # with the same information: differences of scores are the dear part
            if decrement <= TARGET or limit == 0:
                break
            step = vectors @ (score / size)
            step *= min(1.0, LONGEST / np.max(np.abs(step)))
            if not any(
                walk.try_step(scales * step * 0.25**halving, _noise(walk.point.log_likelihood)) for halving in range(8)
            ):
                break
            score = vectors.T @ (walk.point.score * scales)
            before, decrement = decrement, float(np.sum(score**2 / size)) / 2
            if saddle or decrement > 1e-3 * before:
                break
        if decrement <= DECREMENT and not saddle:
            return information, decrement, True
        if decrement <= DECREMENT and saddle:
            push = vectors[:, 0] * (0.05 if vectors[:, 0] @ (walk.point.score * scales) >= 0 else -0.05)
            if not walk.try_step(scales * push, 0.0) and not walk.try_step(-scales * push, 0.0):
                return information, decrement, False
    return information, decrement, decrement <= 1e-8
