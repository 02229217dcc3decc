"""What a fitted structure is asked: its modes with their errors, how alike shapes are, how many modes there are."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Complex, Float

import latentem as lem
from latentem.models.statespace.verbs import Verbs


class Mode(NamedTuple):
    """One mode.

    Args:
        frequency, frequency_error, frequency_interval: natural frequency in Hz, standard error, (low, high).
        damping, damping_error, damping_interval: share of critical damping, the same.
        shape: (p,), complex, 1 at the reference sensor.
        shape_error: (p,), complex: standard errors of its real and imaginary part.
    """

    frequency: float
    frequency_error: float
    frequency_interval: tuple[float, float]
    damping: float
    damping_error: float
    damping_interval: tuple[float, float]
    shape: Complex[np.ndarray, " p"]
    shape_error: Complex[np.ndarray, " p"]


class Order(NamedTuple):
    """A model of one order in a stabilisation diagram.

    Args:
        modes: how many.
        log_likelihood, bic: of the fit.
        frequency, damping: (m,).
        stable: (m,), whether the order below has this mode too.
        fit: the Fit.
    """

    modes: int
    log_likelihood: float
    bic: float
    frequency: Float[np.ndarray, " m"]
    damping: Float[np.ndarray, " m"]
    stable: np.ndarray
    fit: Any


#: Within which a mode of the order below counts as the same: relative frequency, relative damping, 1 - MAC.
SAME = (0.01, 0.3, 0.05)


class ModalVerbs(Verbs):
    """Verbs of `lem.Modal`, beside those of state space models."""

    verbs = (*Verbs.verbs, "modes", "mac", "stabilisation")

    def modes(self, fit: Any, level: float = 0.95) -> tuple[Mode, ...]:
        """The modes by frequency, each with standard errors and intervals (on the logarithmic scale)."""
        if not 0 < level < 1:
            raise ValueError(f"level={level!r}: expected a number between 0 and 1")
        errors, params = fit.standard_errors(), fit.params
        z = float(jax.scipy.special.ndtri(0.5 + level / 2))

        def with_error(name: str, k: int) -> tuple[float, float, tuple[float, float]]:
            value, error = float(params[name][k]), float(errors[name][k])
            return value, error, (value * np.exp(-z * error / value), value * np.exp(z * error / value))

        found = []
        for k in np.argsort(params["frequency"]):
            own = errors["shape"][:, 2 * k] + 1j * errors["shape"][:, 2 * k + 1]
            own[fit.model.declaration.reference] = 0.0  # given, and no estimate
            found.append(Mode(*with_error("frequency", k), *with_error("damping", k), shapes(fit)[:, k], own))
        return tuple(found)

    def mac(self, fit: Any, other: Any) -> Float[np.ndarray, "m n"]:
        """Modal assurance criterion of each mode of this fit with each of another fit, or of shapes (p, n); by
        frequency."""
        own = shapes(fit)[:, np.argsort(fit.params["frequency"])]
        theirs = other if isinstance(other, np.ndarray) else shapes(other)[:, np.argsort(other.params["frequency"])]
        return assurance(own, theirs)

    def stabilisation(self, fit: Any, orders: Any) -> tuple[Order, ...]:
        """Fits with other numbers of modes to the same data: BIC, and which modes stay from one order to the next."""
        data = fit.at()[1]
        found: list[Order] = []
        for m in sorted(set(orders)):
            wanted = lem.Modal(int(m), rate=fit.model.declaration.rate, reference=fit.model.declaration.reference)
            own = lem.fit(wanted, data.observations, weights=data.weights)
            order = np.argsort(own.params["frequency"])
            f, zeta = own.params["frequency"][order], own.params["damping"][order]
            stable = np.zeros(len(f), bool)
            if found:
                below = found[-1]
                alike = 1 - assurance(shapes(own)[:, order], _sorted(below.fit)) < SAME[2]
                near = np.abs(f[:, None] / below.frequency - 1) < SAME[0]
                damped = np.abs(zeta[:, None] / below.damping - 1) < SAME[1]
                stable = (alike & near & damped).any(axis=1)
            found.append(Order(int(m), own.log_likelihood, own.bic, f, zeta, stable, own))
        return tuple(found)


def shapes(fit: Any) -> Complex[np.ndarray, "p m"]:
    """Complex shapes, in the order of the params."""
    pairs = fit.params["shape"]
    return pairs[:, 0::2] - 1j * pairs[:, 1::2]


def _sorted(fit: Any) -> Complex[np.ndarray, "p m"]:
    return shapes(fit)[:, np.argsort(fit.params["frequency"])]


def assurance(a: Complex[np.ndarray, "p m"], b: Complex[np.ndarray, "p n"]) -> Float[np.ndarray, "m n"]:
    """|a' b|^2 / (|a|^2 |b|^2) of every pair of shapes.

    Source: Allemang and Brown (1982): the modal assurance criterion.
    """
    return np.abs(a.conj().T @ b) ** 2 / np.outer((np.abs(a) ** 2).sum(axis=0), (np.abs(b) ** 2).sum(axis=0))
