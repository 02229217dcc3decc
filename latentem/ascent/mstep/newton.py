"""M-step by damped Newton on the expected complete-data log-likelihood of the free vector."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import jax
from jaxtyping import Array, Float

from latentem.numerics.newton import NewtonState, newton_ascent


@dataclass(frozen=True)
class Newton:
    """Damped Newton, for models with up to a few hundred parameters.

    Args:
        steps: most Newton steps per M-step; 1 is a generalised EM (Lange 1995) that climbs just as surely.
        tolerance: stop when the predicted gain is below this, relative to 1 + |Q|.
    """

    steps: int = 20
    tolerance: float = 1e-13

    def __call__(self, q: Callable[[Array], Array], u: Float[Array, " P"]) -> Float[Array, " P"]:
        """Maximise `q` from `u`."""
        return self.ascend(q, u).u

    def ascend(self, q: Callable[[Array], Array], u: Float[Array, " P"]) -> NewtonState:
        """The same, with what is known of the way there."""

        def slopes(v: Float[Array, " P"]) -> tuple[Array, Array]:
            gradient = jax.grad(q)
            hessian, at_v = jax.jacfwd(lambda t: (gradient(t),) * 2, has_aux=True)(v)
            return at_v, hessian

        return newton_ascent(q, slopes, u, iterations=self.steps, tolerance=self.tolerance, halvings=20)
