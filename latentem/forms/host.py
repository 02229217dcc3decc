"""Forms whose E-step runs on the host, on the data as a whole: NumPy and SciPy in place of a compiled sum over rows.

Counts through a sparse operator, candidates of words and labels of a lattice are such: their work is sparse products,
gathers and sweeps, which SciPy does faster than XLA on a CPU, and no row of theirs stands for itself.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float

Vector = Float[np.ndarray, " D"]


class HostForm(ABC):
    """An EM map on one vector theta, the raveled params and whatever else a step carries.

    To write one: `start`, `update`, `values`, `params` and `theta`. Drivers then climb, accelerate, stop and keep the
    best of several starts.
    """

    #: False: the objective is a bound or an approximation, and the status of every fit says so.
    exact: ClassVar[bool] = True
    #: Whether `lem.SQUAREM()` may extrapolate theta.
    extrapolates: ClassVar[bool] = True
    #: Whether it does so unless a method is asked for.
    accelerated: ClassVar[bool] = True
    #: Relative change of the objective below which nothing is gained, whatever `lem.fit` is asked for.
    tolerance: ClassVar[float] = 0.0
    #: False: an update need not raise the objective, so that convergence is not tested.
    ascends: bool = True
    #: Free parameters, and observations, of the criteria.
    n_parameters: int
    n_observations: float

    @abstractmethod
    def start(self, rng: np.random.Generator, first: bool) -> Vector:
        """Where to begin; the first start of a fit may need no chance."""

    @abstractmethod
    def update(self, theta: Vector) -> tuple[Vector, float]:
        """(the next theta, the objective at this one): an EM step."""

    @abstractmethod
    def values(self, theta: Vector) -> tuple[float, float]:
        """(log-likelihood, log prior) at theta."""

    def objective(self, theta: Vector) -> float:
        """What `update` reports of theta, without the step."""
        return float(sum(self.values(theta)))

    @abstractmethod
    def params(self, theta: Vector) -> Any:
        """The params as users see them: a dict of arrays."""

    @abstractmethod
    def theta(self, params: Any) -> Vector:
        """Theta of params that a user gives as a start.

        Raises:
            ValueError: in one line, params that do not fit the data.
        """

    def coordinates(self, theta: Vector) -> Vector:
        """Where extrapolation happens: square roots, in which counts and probabilities have errors of one size and
        nothing that is extrapolated becomes negative."""
        return np.sqrt(theta)

    def from_coordinates(self, u: Vector) -> Vector:
        """Theta of extrapolated coordinates, back in the set of the params."""
        return u * u

    def stop(self, theta: Vector, iterations: int) -> str | None:
        """Why to stop before the maximum, in one sentence; None to go on."""
        return None

    def remarks(self, theta: Vector) -> tuple[str, ...]:
        """Notes of the fit."""
        return ()
