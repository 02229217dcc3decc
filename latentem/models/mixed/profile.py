"""Profile likelihood of one parameter of a mixed model: the others maximised over at each of its values."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float
from scipy.special import ndtri

from latentem.building import climb
from latentem.field import Effect, Point, System, layout
from latentem.models.mixed.estimate import Solved, scales_of, with_response
from latentem.models.mixed.generalised import climbed_on


class Profile(NamedTuple):
    """A profile.

    Args:
        name: of the parameter.
        value: (k,) where it was held.
        log_likelihood: (k,) the largest there.
        zeta: (k,) signed root of twice what is lost.
        lower, upper: where zeta crosses the quantiles; an end of a standard deviation may be 0.
    """

    name: str
    value: Float[np.ndarray, " k"]
    log_likelihood: Float[np.ndarray, " k"]
    zeta: Float[np.ndarray, " k"]
    lower: float
    upper: float


class _Held:
    """A point of the model whose parameter k is held."""

    def __init__(self, point: Point, free: np.ndarray) -> None:
        self._point, self._free = point, free
        self.log_likelihood = point.log_likelihood

    @property
    def score(self) -> np.ndarray:
        return self._point.score[self._free]

    @property
    def average_information(self) -> np.ndarray:
        return self._point.average_information[np.ix_(self._free, self._free)]


def profile(fit: Any, name: str, *, level: float = 0.95, points: int = 6) -> Profile:
    """Profile of a standard deviation or of a fixed effect.

    Args:
        name: a fixed effect; "Subject", the standard deviation of a grouping of one coordinate; "Subject.Days", of one
            coordinate of several; "residual".
        level: of the interval.
        points: on each side, out to where zeta passes the quantile.

    Raises:
        ValueError: no such parameter; a fixed effect under REML, whose likelihoods do not compare.
    """
    solved: Solved = fit.solved
    at_value, estimate, scale, bound = _held(fit, solved, name)
    best, reach = fit.log_likelihood, float(ndtri(0.5 + level / 2))
    found = {estimate: best}
    ends = []
    for sign in (-1.0, 1.0):
        width, value = scale, estimate
        for _ in range(60):
            value = max(bound, value + sign * width / 2)
            found[value] = at_value(value)
            if np.sqrt(max(0.0, 2 * (best - found[value]))) > reach or (value == bound and sign < 0):
                break
        ends.append(_cross(at_value, found, best, estimate, value, sign, reach, bound))
        for share in np.linspace(0, 1, points + 1)[1:]:
            point = estimate + share * (ends[-1] - estimate)
            if point not in found:
                found[point] = at_value(point)
    values = np.array(sorted(v for v in found if ends[0] - 1e-9 * scale <= v <= ends[1] + 1e-9 * scale))
    likelihood = np.array([found[v] for v in values])
    zeta = np.sign(values - estimate) * np.sqrt(np.maximum(0.0, 2 * (best - likelihood)))
    return Profile(name, values, likelihood, zeta, ends[0], ends[1])


def _cross(
    f: Any, found: Any, best: float, inside: float, outside: float, sign: float, reach: float, bound: float
) -> float:
    """Where zeta passes `reach`, by regula falsi on zeta (nearly a line)."""

    def zeta(value: float) -> float:
        if value not in found:
            found[value] = f(value)
        return float(np.sqrt(max(0.0, 2 * (best - found[value]))))

    low, high = inside, outside
    if zeta(high) <= reach:
        return high  # the edge of the parameter comes first
    low_z, high_z = 0.0, zeta(high)
    for _ in range(40):
        middle = low + (high - low) * (reach - low_z) / (high_z - low_z)
        here = zeta(middle)
        if abs(here - reach) < 1e-7:
            return middle
        if here < reach:
            low, low_z = middle, here
        else:
            high, high_z = middle, here
    return low


def _held(fit: Any, solved: Solved, name: str) -> tuple[Any, float, float, float]:
    """(value -> largest log-likelihood, estimate, scale, least value) of a parameter."""
    names = [*solved.design.names]
    if not solved.residual:
        return _of_generalised(fit, solved, name)
    if name in names:
        if solved.system.reml:
            raise ValueError(
                f"profile({name!r}): restricted likelihoods of fixed effects do not compare; fit with reml=False"
            )
        return _fixed(fit, solved, names.index(name))
    if name == "residual":
        system, theta, k = solved.system, solved.theta, len(solved.theta) - 1
    else:
        system, theta, k = _first(solved, name)
    scales = scales_of(system, solved.sigma)
    free = np.delete(np.arange(len(theta)), k)

    def at_value(value: float) -> float:
        def at(rest: np.ndarray) -> _Held:
            return _Held(system.at(np.insert(rest, k, value)), free)

        start = theta[free].copy()
        return float(climb(at, start, scales[free], em_steps=0, exact=False).point.log_likelihood)

    spread = solved.covariance()[-1, -1] if name == "residual" else np.nan
    scale = float(np.sqrt(spread)) if np.isfinite(spread) else 0.25 * max(theta[k], 0.5 * scales[k])
    return at_value, float(theta[k]), scale, 1e-6 * scales[k] if name == "residual" else 0.0


def _of_generalised(fit: Any, solved: Any, name: str) -> tuple[Any, float, float, float]:
    """The same of a generalised model, whose standard deviations are those of first coordinates."""
    theta, p = np.concatenate([solved.beta, solved.theta]), len(solved.beta)
    places, at = {known: k for k, known in enumerate(solved.design.names)}, p
    for effect in solved.design.effects:
        places[effect.name if effect.r == 1 else f"{effect.name}.{effect.coordinates[0]}"] = at
        at += effect.r * (effect.r + 1) // 2
    if name not in places:
        raise ValueError(f"profile({name!r}): expected one of {', '.join(places)}")
    k, at_theta = places[name], climbed_on(solved.records, fit.declaration.nodes)
    free = np.delete(np.arange(len(theta)), k)

    def at_value(value: float) -> float:
        def held(rest: np.ndarray) -> _Held:
            return _Held(at_theta(np.insert(rest, k, value)), free)

        with jax.enable_x64(True):
            found = climb(held, theta[free].copy(), np.ones(len(free)), em_steps=0)
        return float(found.point.log_likelihood)

    spread = np.diagonal(np.linalg.pinv(solved.joint, hermitian=True))[k]
    scale = float(np.sqrt(spread)) if spread > 0 else 0.25
    return at_value, float(theta[k]), scale, -np.inf if k < p else 0.0


def _first(solved: Solved, name: str) -> tuple[System, np.ndarray, int]:
    """(system whose effect has the coordinate first, so that its standard deviation is a parameter; parameters;
    which)."""
    group, _, coordinate = name.partition(".")
    effects = list(solved.design.effects)
    known = [e.name if e.r == 1 else f"{e.name}.{c}" for e in effects for c in e.coordinates]
    for i, effect in enumerate(effects):
        if name == effect.name and effect.r == 1:
            coordinate, group = effect.coordinates[0], effect.name
        if group == effect.name and coordinate in effect.coordinates:
            a = effect.coordinates.index(coordinate)
            order = [a, *(b for b in range(effect.r) if b != a)]
            return _permuted(solved, i, effect, order)
    raise ValueError(f"profile({name!r}): expected one of {', '.join([*solved.design.names, *known, 'residual'])}")


def _permuted(solved: Solved, i: int, effect: Effect, order: list[int]) -> tuple[System, np.ndarray, int]:
    moments, old = solved.system.moments, solved.system.layout
    effects = list(old.effects)
    effects[i] = replace(effect, coordinates=tuple(effect.coordinates[a] for a in order), z=effect.z[:, order])
    grams = {}
    for (a, b), gram in moments.grams.items():
        blocks = gram.blocks
        blocks = blocks[:, order, :] if a == i else blocks
        grams[a, b] = gram._replace(blocks=blocks[:, :, order] if b == i else blocks)
    zx = tuple(z[order] if k == i else z for k, z in enumerate(moments.zx))
    zy = tuple(z[order] if k == i else z for k, z in enumerate(moments.zy))
    system = System(layout(effects, grams), replace(moments, grams=grams, zx=zx, zy=zy), solved.system.reml)
    roots = list(solved.roots)
    covariance = solved.covariances[i][np.ix_(order, order)]
    roots[i] = np.linalg.cholesky(covariance + 1e-12 * np.trace(covariance) * np.eye(len(order)))
    before = sum(e.r * (e.r + 1) // 2 for e in effects[:i])
    return system, system.pack(roots, solved.sigma), before


def _fixed(fit: Any, solved: Solved, k: int) -> tuple[Any, float, float, float]:
    design = solved.design
    keep = np.delete(np.arange(design.x.shape[1]), k)
    smaller = replace(design, x=design.x[:, keep], names=tuple(design.names[j] for j in keep))
    moments = solved.system.moments
    fewer = replace(
        moments, xx=moments.xx[np.ix_(keep, keep)], xy=moments.xy[keep], zx=tuple(z[:, :, keep] for z in moments.zx)
    )
    without = Solved(smaller, replace(solved.system, moments=fewer), solved.theta, solved.offset[keep])

    def at_value(value: float) -> float:
        system, _ = with_response(without, design.y[:, 0] - value * design.x[:, k])
        return float(climb(system.at, solved.theta, solved.scales, em_steps=0, exact=False).point.log_likelihood)

    scale = float(np.sqrt(solved.point.fixed_covariance[k, k]))
    return at_value, float(solved.beta[k]), scale, -np.inf
