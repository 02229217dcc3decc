"""The general linear Gaussian state space model, every matrix with entries that are given, free or equal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

import latentem as lem
from latentem.constraints import Constraint, Diagonal, Entries
from latentem.kalman import Moments, System, regress, stationary, variances
from latentem.models.statespace.chained import Chained, Params, spread_of
from latentem.models.statespace.pattern import coefficients, covariance, frozen, noisy

STARTS = ("stationary", "diffuse", "constant", "free")


@dataclass(frozen=True)
class StateSpace(Chained):
    """States z_t = transition z_(t-1) + input_effect u_t + N(0, process), readings y_t = observation z_t +
    offset_effect v_t + N(0, noise).

    Args:
        state: dimension d of z.
        transition, observation: (d, d) and (p, d): "free", "diagonal", "identity", "equal", "zero", or nested lists in
            which a number is given, NaN is free, and entries of one name are equal; or a constraint from `lem`.
        process, noise: covariance matrices: "free", "diagonal", "equal" (one variance), "identity", or a list for the
            diagonal, or a given matrix. A variance of 0 is a state, or a reading, without noise.
        inputs, offsets: names of columns that are covariates of moves and of readings; "1" is a constant.
        input_effect, offset_effect: (d, k) and (p, l), their coefficients, as `transition`.
        initial: of the first state: "stationary" (that of a chain which has always run), "diffuse" (exact, flat),
            "constant" (an unknown one, estimated), "free" (mean and covariance are params), (mean, covariance) given,
            or {"mean": pattern, "covariance": pattern}.
        before: the first state is z_0, one step before the first reading.
        prior: MAP, {name of a parameter: prior}.

    Params are the matrices by these names, those that nothing is free in too. Readings are columns of an array or
    table; NaN is one that is missing.

    >>> y = lem.datasets.nile().volume
    >>> level = lem.StateSpace(1, transition="identity", observation=[[1.0]], initial="diffuse")
    >>> round(lem.fit(level, y).log_likelihood, 4)
    -632.5456
    """

    state: int
    transition: Any = "free"
    process: Any = "free"
    observation: Any = "free"
    noise: Any = "diagonal"
    inputs: tuple[str, ...] = ()
    offsets: tuple[str, ...] = ()
    input_effect: Any = "free"
    offset_effect: Any = "free"
    initial: Any = "stationary"
    before: bool = False
    prior: Mapping[str, Any] | None = field(default=None, compare=False)
    readings: int = 0
    _prior: Any = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.state, int) or self.state < 1:
            raise ValueError(f"state={self.state!r}: expected a dimension >= 1")
        for name in ("transition", "process", "observation", "noise", "input_effect", "offset_effect"):
            object.__setattr__(self, name, frozen(getattr(self, name)))
        for name in ("inputs", "offsets"):
            given = getattr(self, name)
            object.__setattr__(self, name, (given,) if isinstance(given, str) else tuple(given))
        object.__setattr__(self, "initial", _initial(self.initial))
        object.__setattr__(self, "_prior", lem.priors.Joint.of(self.prior))
        d = self.state
        coefficients("transition", self.transition, (d, d))
        process = covariance("process", self.process, d)
        if self.initial == "stationary" and not coefficients("transition", self.transition, (d, d)).size:
            largest = np.abs(np.linalg.eigvals(_value(coefficients("transition", self.transition, (d, d))))).max()
            if largest >= 1:
                told = f"the given transition does not settle (largest eigenvalue {largest:.4g})"
                raise ValueError(f"initial='stationary': {told}: use initial='diffuse' or 'constant'")
        if process.size == 0 and not noisy(process) and self.initial == "stationary":
            raise ValueError("process is zero and initial='stationary': no state would ever move; use 'diffuse'")

    # --- declaration

    @property
    def dim(self) -> int:
        return self.state

    @property
    def name(self) -> str:
        return f"state space model of {self.state} states"

    @cached_property
    def _parts(self) -> dict[str, Constraint]:
        d, p = self.state, self.readings
        found: dict[str, Constraint] = {
            "transition": coefficients("transition", self.transition, (d, d)),
            "process": covariance("process", self.process, d),
            "observation": coefficients("observation", self.observation, (p, d)),
            "noise": covariance("noise", self.noise, p),
        }
        if self.inputs:
            found["input_effect"] = coefficients("input_effect", self.input_effect, (d, len(self.inputs)))
        if self.offsets:
            found["offset_effect"] = coefficients("offset_effect", self.offset_effect, (p, len(self.offsets)))
        if isinstance(self.initial, tuple):
            found["initial_mean"] = coefficients("initial mean", self.initial[0], (d,))
            found["initial_covariance"] = covariance("initial covariance", self.initial[1], d)
        return found

    def constraints(self) -> Params:
        return dict(self._parts)

    @property
    def integrated(self) -> bool:
        """Whether an unknown start is integrated out."""
        return self.initial != "constant"

    @property
    def noisy(self) -> tuple[int, ...]:
        return noisy(self._parts["process"])

    @property
    def exact(self) -> tuple[int, ...]:
        return tuple(sorted(set(range(self.readings)) - set(noisy(self._parts["noise"]))))

    @property
    def opening(self) -> tuple[int, ...]:
        if isinstance(self.initial, tuple):
            return noisy(self._parts["initial_covariance"])
        return tuple(range(self.state)) if self.initial == "stationary" else ()

    def check(self, series: lem.Sequences) -> None:
        self._check_free()
        if self.initial in ("diffuse", "constant"):
            there = np.add.reduceat((~np.isnan(series.steps["y"])).sum(axis=1), series.starts)
            short = np.flatnonzero(there < self.state)
            if len(short):
                told = f"sequence {short[0]} has {there[short[0]]} readings"
                raise ValueError(
                    f"{told}, fewer than the {self.state} unknown states it begins with (initial={self.initial!r}): "
                    "leave it out, or use initial='stationary'"
                )

    def _check_free(self) -> None:
        parts = self._parts
        if not sum(c.size for c in parts.values()):
            raise ValueError("every entry of every matrix is given: leave something free, or ask lem.kalman.smoothed")
        for name in ("transition", "input_effect"):
            part = parts.get(name)
            if isinstance(part, Entries) and len(self.noisy) < self.state:
                still = [i for i in range(self.state) if i not in self.noisy]
                if (part.groups.reshape(self.state, -1)[still] >= 0).any():
                    raise ValueError(
                        f"{name} is free in row {still[0]}, a state without noise: give its entries, or noise to it"
                    )

    # --- matrices

    def system(self, params: Params) -> System:
        d, p = self.state, self.readings
        dtype = params["transition"].dtype
        diagonal = isinstance(self._parts["noise"], Diagonal)
        nothing = jnp.zeros((d, 0), dtype)
        mean, spread, directions = jnp.zeros(d, dtype), jnp.zeros((d, d), dtype), nothing
        if isinstance(self.initial, tuple):
            mean, spread = params["initial_mean"], params["initial_covariance"]
        elif self.initial == "stationary":
            spread = stationary(params["transition"], params["process"])
        else:
            directions = jnp.eye(d, dtype=dtype)
        return System(
            params["transition"],
            params.get("input_effect", nothing),
            params["process"],
            params["observation"],
            params.get("offset_effect", jnp.zeros((p, 0), dtype)),
            jnp.diagonal(params["noise"]) if diagonal else params["noise"],
            mean,
            spread,
            directions,
        )

    # --- M-step

    @property
    def closed(self) -> bool:
        """Whether the M-step has a closed form."""
        own = all(isinstance(c, Entries | Diagonal) or c.size == 0 or _is_full(c) for c in self._parts.values())
        return own and self.initial != "stationary"

    def maximize(self, found: Moments, params: Params) -> Params:
        parts, new = self._parts, dict(params)
        # The dynamics given the old noise, then the noise given the new dynamics (Meng and Rubin 1993).
        rows = np.array(self.noisy, np.int32)
        precision = jnp.zeros_like(params["process"])
        if len(rows):
            precision = precision.at[np.ix_(rows, rows)].set(jnp.linalg.inv(params["process"][rows][:, rows]))
        move = _together([(parts[n], params[n]) for n in ("transition", "input_effect") if n in parts])
        moved = regress(found.move, move[0], precision, move[1])
        new["transition"] = moved[:, : self.state]
        if self.inputs:
            new["input_effect"] = moved[:, self.state :]
        new["process"] = _noise(parts["process"], found.move.spread(moved), found.move.n, params["process"])

        read = _together([(parts[n], params[n]) for n in ("observation", "offset_effect") if n in parts])
        if isinstance(parts["noise"], Diagonal):
            variance = jnp.diagonal(params["noise"])
            weight = jnp.where(variance > 0, 1.0 / jnp.where(variance > 0, variance, 1.0), 0.0)
            seen = regress(found.reading, read[0], weight, read[1])
            left = jax.vmap(lambda part, c: part.spread(c[None])[0, 0])(found.reading, seen)
            new["noise"] = variances(left, found.reading.n, parts["noise"], params["noise"])
        else:
            seen = regress(found.reading, read[0], jnp.linalg.inv(params["noise"]), read[1])
            new["noise"] = _noise(parts["noise"], found.reading.spread(seen), found.reading.n, params["noise"])
        new["observation"] = seen[:, : self.state]
        if self.offsets:
            new["offset_effect"] = seen[:, self.state :]
        if isinstance(self.initial, tuple):
            self._first(found, params, new)
        return new

    def _first(self, found: Moments, params: Params, new: Params) -> None:
        mean, spread = self._parts["initial_mean"], self._parts["initial_covariance"]
        first, old = found.first, params["initial_covariance"]
        if isinstance(mean, Entries) and mean.size:
            column = Entries(mean.given, mean.group, (self.state, 1))
            free = None if mean.size == self.state else column
            precision = None if free is None else jnp.linalg.inv(old)
            new["initial_mean"] = regress(first, free, precision, params["initial_mean"][:, None])[:, 0]
        new["initial_covariance"] = _noise(spread, first.spread(new["initial_mean"][:, None]), first.n, old)

    # --- start

    @property
    def initial_params(self) -> Any:
        """A start by chance, where loadings are free; without it there is one start."""
        if not self.readings or not isinstance(self._parts["observation"], Entries) or self._parts["observation"].size:
            return self._drawn
        raise AttributeError("initial_params")

    def start(self, observations: Any, weights: Any) -> Params:
        return self._begin(observations, weights, None)

    def _drawn(self, key: Array, observations: Any, weights: Any) -> Params:
        return self._begin(observations, weights, jax.random.normal(key, (self.readings, self.state), weights.dtype))

    def _carried(self, mean: Array) -> Array:
        """The part of the mean of the readings that states carry: that of a reading whose constant is given as 0."""
        effect = self._parts.get("offset_effect")
        if self.initial == "stationary" or "1" not in self.offsets or not isinstance(effect, Entries):
            return jnp.zeros(())
        held = effect.groups[:, self.offsets.index("1")] < 0
        return jnp.mean(mean[np.flatnonzero(held)]) if held.any() else jnp.zeros(())

    def _begin(self, observations: Any, weights: Any, loadings: Array | None) -> Params:
        d, parts = self.state, self._parts
        mean, variance = spread_of(observations["y"], weights)
        scale = jnp.mean(variance)
        draws = jnp.ones((self.readings, d)) if loadings is None else loadings * jnp.sqrt(variance)[:, None]
        free_loadings = parts["observation"].size > 0
        centre = jnp.zeros(d) if free_loadings else jnp.full((d,), jnp.mean(mean) / d)
        rough = {
            "transition": 0.8 * jnp.eye(d) + 0.05 * jnp.eye(d, k=1),
            "process": jnp.eye(d) * (0.3 if free_loadings else 0.1 * scale),
            "observation": draws,
            "noise": jnp.diag(0.5 * variance),
            "input_effect": jnp.zeros((d, len(self.inputs))),
            "offset_effect": _constant(mean - self._carried(mean), self.offsets),
            "initial_mean": centre,
            "initial_covariance": jnp.eye(d) * (1.0 if free_loadings else scale),
        }
        return {name: _inside(part, rough[name]) for name, part in parts.items()}


def _initial(given: Any) -> Any:
    if isinstance(given, str):
        if given not in STARTS:
            words = ", ".join(map(repr, STARTS))
            raise ValueError(f"initial={given!r}: expected one of {words}, or (mean, covariance)")
        return ("free", "free") if given == "free" else given
    if isinstance(given, Mapping):
        if set(given) != {"mean", "covariance"}:
            raise ValueError(f"initial={given!r}: expected the entries 'mean' and 'covariance'")
        return (frozen(given["mean"]), frozen(given["covariance"]))
    if isinstance(given, tuple) and len(given) == 2:
        return tuple(frozen(part) for part in given)
    raise ValueError(f"initial={given!r}: expected a word, (mean, covariance) or {{'mean': ..., 'covariance': ...}}")


def _value(constraint: Constraint) -> np.ndarray:
    return np.asarray(constraint.constrain(np.zeros(0)))


def _is_full(constraint: Constraint) -> bool:
    d = constraint.shape[0]
    return constraint == lem.covariance(d)


def _together(parts: list[tuple[Constraint, Array]]) -> tuple[Entries | None, Array]:
    """(constraint of matrices side by side, None where all is free; the matrices)."""
    values = jnp.concatenate([value for _, value in parts], axis=1)
    own = [c if isinstance(c, Entries) else lem.constraints.entries(_value(c)) for c, _ in parts]
    if all(c.size == np.prod(c.shape) for c in own):
        return None, values
    groups, fixed, n = [], [], 0
    for c in own:
        groups.append(np.where(c.groups >= 0, c.groups + n, -1))
        fixed.append(c.fixed)
        n += c.size
    group = np.concatenate(groups, axis=1)
    both = Entries(tuple(np.concatenate(fixed, axis=1).ravel().tolist()), tuple(group.ravel().tolist()), group.shape)
    return both, values


def _noise(constraint: Constraint, spread: Array, n: Array, old: Array) -> Array:
    if isinstance(constraint, Diagonal):
        return variances(jnp.diagonal(spread), n, constraint, old)
    return 0.5 * (spread + spread.T) / n if constraint.size else old


def _constant(mean: Array, names: tuple[str, ...]) -> Array:
    columns = [mean if name == "1" else jnp.zeros_like(mean) for name in names]
    return jnp.stack(columns, axis=1) if columns else jnp.zeros((len(mean), 0))


def _inside(constraint: Constraint, rough: Array) -> Array:
    """The value of a constraint that is like this one where it is free."""
    return constraint.constrain(constraint.unconstrain(rough))
