"""Operational modal analysis by likelihood: frequencies, damping and shapes of a structure that vibrates by itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

import latentem as lem
from latentem.kalman import System, stationary
from latentem.models.modal.subspace import BLOCKS, identify, strengths
from latentem.models.modal.verbs import ModalVerbs
from latentem.models.statespace.chained import Chained, Params, spread_of

#: Readings that a mode needs at least, of the reference sensor.
STEPS_OF_A_MODE = 40
#: A damping above this is no vibration.
NO_VIBRATION = 0.3


@dataclass(frozen=True)
class Structure(ModalVerbs, Chained):
    """What `Modal` returns, with what the data say about it.

    Args:
        modes_wanted, rate, reference, prior: as in `Modal`.
        readings: sensors p.
        references: sensors read together with every other one, the reference first.
    """

    modes_wanted: int
    rate: float = 1.0
    reference: int = 0
    prior: Mapping[str, Any] | None = field(default=None, compare=False)
    readings: int = 0
    names: tuple[str, ...] = ()
    references: tuple[int, ...] = ()
    _prior: Any = field(init=False, repr=False)

    def __post_init__(self) -> None:
        m = self.modes_wanted
        if not isinstance(m, int) or m < 1:
            raise ValueError(f"modes={m!r}: expected a whole number of at least 1")
        if not np.isfinite(self.rate) or not self.rate > 0:
            raise ValueError(f"rate={self.rate!r}: expected readings per second, above 0")
        object.__setattr__(self, "rate", float(self.rate))
        object.__setattr__(self, "_prior", lem.priors.Joint.of(self.prior))

    @property
    def name(self) -> str:
        return f"structure with {self.modes_wanted} modes"

    @property
    def dim(self) -> int:
        return 2 * self.modes_wanted

    @property
    def opening(self) -> tuple[int, ...]:
        return tuple(range(self.dim))

    def declare(self, observations: Any) -> tuple[Any, lem.Sequences]:
        """The model with what the data say about it, and the readings, each less its mean in the sequence."""
        declared, series = super().declare(observations)
        y = series.steps["y"].copy()
        for begin, length in zip(series.starts, series.lengths, strict=True):
            own = y[begin : begin + length]
            there = ~np.isnan(own)
            own -= np.where(there, own, 0.0).sum(axis=0) / np.maximum(there.sum(axis=0), 1)
        there = ~np.isnan(y)
        if not 0 <= self.reference < y.shape[1]:
            raise ValueError(f"reference={self.reference}: expected a sensor from 0 to {y.shape[1] - 1}")
        together = there.T.astype(float) @ there
        enough = together >= min(STEPS_OF_A_MODE, 0.05 * len(y))
        if not enough[self.reference].all():
            sensor = int(np.argmin(enough[self.reference]))
            told = f"sensor {sensor} is never read together with the reference, sensor {self.reference}"
            raise ValueError(f"{told}: choose another reference=, or leave the sensor out")
        others = tuple(i for i in range(y.shape[1]) if i != self.reference and enough[i].all())
        most = int(there[:, self.reference].sum()) // STEPS_OF_A_MODE
        if self.modes_wanted > most:
            told = f"modes={self.modes_wanted}: {int(there[:, self.reference].sum())} readings of the reference"
            raise ValueError(f"{told} hold at most {most} modes: ask for fewer, or measure longer")
        held = (BLOCKS - 1) * (1 + len(others))
        if self.dim > held:
            raise ValueError(f"modes={self.modes_wanted}: expected at most {held // 2} with these sensors")
        declared = replace(declared, references=(self.reference, *others))
        return declared, replace(series, steps={**series.steps, "y": y})

    def constraints(self) -> Params:
        pattern = np.full((self.readings, self.dim), np.nan)
        pattern[self.reference] = np.tile([1.0, 0.0], self.modes_wanted)
        return {
            "frequency": lem.positive(self.modes_wanted),
            "damping": lem.positive(self.modes_wanted),
            "shape": lem.constraints.entries(pattern),
            "process": lem.covariance(self.dim),
            "noise": lem.positive(self.readings),
        }

    def system(self, params: Params) -> System:
        d, p, dtype = self.dim, self.readings, params["shape"].dtype
        transition = rotations(params["frequency"], params["damping"], self.rate)
        return System(
            transition,
            jnp.zeros((d, 0), dtype),
            params["process"],
            params["shape"],
            jnp.zeros((p, 0), dtype),
            params["noise"],
            jnp.zeros(d, dtype),
            stationary(transition, params["process"]),
            jnp.zeros((d, 0), dtype),
        )

    def start(self, observations: Any, weights: Any) -> Params:
        y = observations["y"]
        poles = identify(y, self.modes_wanted, self.rate, self.references)
        order = jnp.argsort(poles.frequency)
        _, variance = spread_of(y, weights)
        power = strengths(poles, self.rate)
        decay = jnp.exp(-4 * np.pi * poles.damping * poles.frequency / self.rate)
        load = jnp.repeat((power * (1 - decay))[order], 2)
        shape = jnp.stack([jnp.real(poles.shape[:, order]), -jnp.imag(poles.shape[:, order])], axis=2)
        free = self.constraints()["shape"]
        return {
            "frequency": poles.frequency[order],
            "damping": poles.damping[order],
            "shape": free.constrain(free.unconstrain(shape.reshape(self.readings, self.dim))),
            "process": jnp.diag(load),
            "noise": 0.05 * variance,
        }

    def remarks(self, params: Params, data: Any, weights: Any) -> tuple[str, ...]:
        """What to know of a mode before it is believed."""
        found = []
        for k in np.argsort(params["frequency"]):
            f, zeta = float(params["frequency"][k]), float(params["damping"][k])
            if zeta > NO_VIBRATION:
                told = f"the mode at {f:.4g} Hz has damping {zeta:.2f}, which is no vibration"
                found.append(f"{told}: ask for fewer modes")
            if f > self.rate / 2:
                found.append(f"the mode at {f:.4g} Hz lies above half the rate, {self.rate / 2:.4g} Hz: read faster")
        least = np.linalg.eigvalsh(params["process"])
        if least[0] < 1e-6 * least[-1]:
            found.append(
                "the load on the modes is estimated as singular; frequencies and damping are not touched by it"
            )
        return tuple(found)


def Modal(modes: int, rate: float, reference: int = 0, prior: Mapping[str, Any] | None = None) -> Structure:
    """A structure with lightly damped modes under random load, read by p sensors with noise.

    Args:
        modes: m; the state has 2 m numbers.
        rate: readings per second.
        reference: the sensor at which shapes are 1; it is read in every set-up.
        prior: MAP, {name of a parameter: prior}.

    Params are {"frequency": (m,) in Hz, "damping": (m,), share of critical, "shape": (p, 2 m), real part and minus
    imaginary part of each mode, 1 and 0 at the reference, "process": (2 m, 2 m), load on the modes, "noise": (p,)}: all
    are identified, so that each has a standard error. Data are (T, p), NaN where a reading is lost; several set-ups are
    a list of such arrays, NaN for the sensors that a set-up does not have. Readings are centred by their mean.

    Fits begin at stochastic subspace identification. Verbs: `modes()`, `mac(other)`, `stabilisation(orders)`.

    Raises:
        ValueError: modes below 1, or a rate that is not above 0.

    >>> lem.Modal(modes=3, rate=100.0).name
    'structure with 3 modes'
    """
    return Structure(modes, rate, reference, prior)


def rotations(frequency: Float[Array, " m"], damping: Float[Array, " m"], rate: float) -> Float[Array, "d d"]:
    """The transition of decaying vibrations, a 2 x 2 block for each."""
    omega = 2 * np.pi * frequency / rate
    decay = jnp.exp(-damping * omega)
    angle = omega * jnp.sqrt(jnp.maximum(1 - damping**2, 1e-12))
    a, b = decay * jnp.cos(angle), decay * jnp.sin(angle)
    d = 2 * len(frequency)
    even = np.arange(0, d, 2)
    found = jnp.zeros((d, d), a.dtype)
    found = found.at[even, even].set(a).at[even + 1, even + 1].set(a)
    return found.at[even, even + 1].set(-b).at[even + 1, even].set(b)
