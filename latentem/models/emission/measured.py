"""Counts, background and sensitivity of an `Emission`, checked at the door."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float

from latentem.building import Dense, Diagonal, Matrix, Measured, Operator, log_factorials, operator

Vector = Float[np.ndarray, " M"]
#: Negative entries up to this share of the largest sum of a row are zeros that a transform rounded.
ROUNDING = 1e-9


def measured(emission: Any, counts: Any, weights: Any) -> tuple[Measured, np.ndarray]:
    """(what the form climbs on, the counts as an array). Bins that are NaN, or weigh 0, count as not measured.

    Args:
        emission: an `Emission`.
        counts: any shape, M numbers in all.
        weights: the same shape, or None.

    Raises:
        ValueError: in one line: counts, background, attenuation or sensitivity that cannot be.
    """
    system = operator(emission.operator)
    y = numbers("counts", counts)
    shape = y.shape
    if y.size != system.shape[0]:
        raise ValueError(f"counts have shape {shape}, {y.size} in all: expected {system.shape[0]}, the operator's rows")
    there = ~np.isnan(y)
    refuse(y, (y < 0) | np.isinf(y), "counts", "counts are finite and >= 0; subtracted background goes to background=")
    w = there.astype(np.float64)
    if weights is not None:
        given = numbers("weights", weights)
        if given.shape != shape:
            raise ValueError(f"weights have shape {given.shape}: expected {shape}, one for each bin")
        refuse(given, ~(given >= 0) | np.isinf(given), "weights", "expected finite numbers >= 0")
        w = w * given
    y = np.where(w > 0, y, 0.0)
    background = spread("background", emission.background, shape)
    factor = None if emission.attenuation is None else spread("attenuation", emission.attenuation, shape)
    if factor is not None and (factor > 1).any():
        refuse(factor, factor > 1, "attenuation", "expected the fraction that comes through, 0 to 1")
    scale = w if factor is None else w * factor
    whole = system if (scale == 1).all() else operator(scale.ravel()) @ system
    reach = nonnegative(system, whole)
    constant = float(np.sum(w * y * np.log(np.where(w > 0, w, 1.0))))
    y, b = (w * y).ravel(), (w * background).ravel()
    dark = (y > 0) & (reach <= 0) & (b <= 0)
    if dark.any():
        told = "its row of the operator and its background are 0; give a background=, or leave the bin out as nan"
        refuse(y.reshape(shape), dark.reshape(shape), "counts", f"nothing can be counted there: {told}")
    if not y.any():
        raise ValueError("counts are all 0: expected some counts")
    constant += float(np.sum(w * _log_factorial(y.reshape(shape), w))) if weights is not None else log_factorials(y)
    return _finished(emission, whole, y, b, constant), np.asarray(counts, np.float64)


def _log_factorial(weighted: np.ndarray, w: np.ndarray) -> np.ndarray:
    from scipy.special import gammaln

    return gammaln(np.divide(weighted, w, out=np.zeros_like(w), where=w > 0) + 1)


def _finished(emission: Any, whole: Operator, y: Vector, b: Vector, constant: float) -> Measured:
    if emission.sensitivity is None:
        return Measured(whole, y, b, np.asarray(whole.sensitivity), float(b.sum()), constant)
    sensitivity = numbers("sensitivity", emission.sensitivity).ravel()
    if sensitivity.size != whole.shape[1]:
        raise ValueError(f"sensitivity has {sensitivity.size} entries: expected {whole.shape[1]}, one for each pixel")
    refuse(sensitivity, ~(sensitivity >= 0) | np.isinf(sensitivity), "sensitivity", "expected finite numbers >= 0")
    hidden = (sensitivity <= 0) & (np.asarray(whole.sensitivity) > 0)
    refuse(sensitivity, hidden, "sensitivity", "events of the list come from there: expected a number > 0")
    return Measured(whole, y, b, sensitivity, 0.0, constant)


def nonnegative(system: Operator, whole: Operator) -> Vector:
    """What every bin sees of an image of ones, once the operator is known to have no negative entries.

    Raises:
        ValueError: it has some.
    """
    reach = np.asarray(whole.forward(np.ones(whole.shape[1])))
    if isinstance(system, Matrix):
        least = float(system.matrix.data.min(initial=0.0))
    elif isinstance(system, Dense | Diagonal):
        least = float((system.matrix if isinstance(system, Dense) else system.factors).min())
    else:
        least = float(whole.forward(np.random.default_rng(1).exponential(size=whole.shape[1]) ** 4).min())
    if least < -ROUNDING * float(reach.max()):
        raise ValueError(f"operator has negative entries (the least seen is {least:.4g}): counts need a_ij >= 0")
    return reach


def numbers(name: str, value: Any) -> np.ndarray:
    """An array of real numbers.

    Raises:
        ValueError: it is none.
    """
    try:
        array = np.asarray(value)
        if array.dtype.kind not in "biuf" or array.ndim == 0:
            raise TypeError
        return array.astype(np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"{name}: expected an array of numbers") from None


def spread(name: str, value: Any, shape: tuple[int, ...]) -> np.ndarray:
    """A number or an array of the shape of the counts, >= 0.

    Raises:
        ValueError: it is none.
    """
    try:
        array = np.asarray(value, np.float64)
        flat = array.size == np.prod(shape) and array.ndim == 1
        array = array.reshape(shape) if flat else np.broadcast_to(array, shape)
    except (TypeError, ValueError):
        told = f"{name} has shape {np.shape(value)}"
        raise ValueError(f"{told}: expected a number, or {shape}, one for each bin") from None
    refuse(array, ~(array >= 0) | np.isinf(array), name, "expected finite numbers >= 0")
    return array


def refuse(array: np.ndarray, wrong: np.ndarray, name: str, why: str) -> None:
    """Raise where something is wrong, naming the first place."""
    if wrong.any():
        place = tuple(int(i) for i in np.argwhere(wrong)[0])
        told = f"{name}[{', '.join(map(str, place))}] = {float(array[place]):g}"
        raise ValueError(f"{told}, one of {int(wrong.sum())}: {why}")
