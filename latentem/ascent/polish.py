"""Newton on the observed-data objective after EM: from a few digits to all of them in a few steps."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float

from latentem.ascent import derivatives
from latentem.forms import Form, Prepared
from latentem.numerics import compiled
from latentem.numerics.compiled import jit
from latentem.numerics.newton import LONGEST_STEP, ascent_direction

#: A Newton decrement below this, relative to 1 + |objective|, is that of a stationary point.
SETTLED = 1e-9
#: Times Newton is taken up again, 30 steps each: far from a maximum it may need more.
ROUNDS = 5
#: Newton ends when a step is predicted to gain less than this, relative to 1 + |objective|; most halvings of a step.
TOLERANCE, HALVINGS = 1e-17, 30


class Polished(NamedTuple):
    """What a polish returns, NumPy arrays.

    Args:
        u: the free vector reached.
        params: the params there.
        log_likelihood, log_prior: there.
        curvature: eigenvalues of the information (minus the Hessian of the objective in u), ascending.
        flattest: eigenvector of the smallest one, (P,).
        gradient: largest absolute entry of the gradient in u.
        decrement: gain that the last Newton step was predicted to bring.
        iterations: Newton steps.
        evaluations: evaluations of the objective.
        interrupted: Ctrl-C came; this is how far Newton had got.
    """

    u: Float[np.ndarray, " P"]
    params: Any
    log_likelihood: float
    log_prior: float
    curvature: Float[np.ndarray, " P"]
    flattest: Float[np.ndarray, " P"]
    gradient: float
    decrement: float
    iterations: int
    evaluations: int
    interrupted: bool = False

    @property
    def objective(self) -> float:
        """Log-likelihood + log prior."""
        return self.log_likelihood + self.log_prior

    @property
    def is_stationary(self) -> bool:
        """No step is left that would gain more than rounding."""
        # At the edge of a constraint the Hessian can overflow to NaN; then Newton has nothing to say against EM.
        return not self.decrement > SETTLED * (1 + abs(self.objective))

    @property
    def is_saddle(self) -> bool:
        """Stationary, yet the information is negative along some direction: EM can stop there, a maximum cannot lie
        there."""
        return self.is_stationary and bool(self.curvature[0] < -1e-8 * abs(self.curvature[-1]))


def _at(form: Form, u: Float[np.ndarray, " P"], prepared: Prepared) -> derivatives.Expansion:
    return jax.tree.map(np.asarray, derivatives.compiled_expansion(form, prepared, u))


def ahead(form: Form, params: Any, prepared: Prepared) -> AbstractContextManager[None]:
    """While it is entered, what a polish needs is compiled on another core; params have a leading axis of starts."""
    dtype = jax.tree.leaves(params)[0].dtype
    u = np.zeros(form.model.space.size, dtype)
    return compiled.ahead(derivatives.compiled_expansion, form, prepared, u)


def climb(form: Form, u: Any, prepared: Prepared, *, iterations: int = 30) -> Polished:
    """Damped Newton on the objective from u, to rounding level: the steps of `latentem.numerics.newton.newton_ascent`,
    taken one by one, so that what is compiled is one evaluation, which standard errors need as well."""
    u = np.asarray(u)
    eps = np.finfo(u.dtype).eps
    here, evaluations, decrement, taken = _at(form, u, prepared), 1, np.inf, 0
    interrupted = False
    try:
        while taken < iterations and decrement > TOLERANCE * (1 + abs(here.value)) and np.isfinite(here.value):
            taken += 1
            if not np.all(np.isfinite(here.hessian)) or not np.all(np.isfinite(here.gradient)):
                decrement = np.nan
                break
            with np.errstate(over="ignore", invalid="ignore"):
                direction, decrement = ascent_direction(here.gradient, here.hessian, np)
            direction = np.where(np.all(np.isfinite(direction)), direction, 0.0).astype(u.dtype)
            # Rounding of the value hides gains below it; there a full step is judged by the decrement alone.
            floor = here.value - 4 * eps * (1 + abs(here.value))
            length = min(1.0, LONGEST_STEP / max(float(np.max(np.abs(direction), initial=0.0)), 1e-30))
            there, evaluations = _at(form, u + length * direction, prepared), evaluations + 1
            for _ in range(HALVINGS):
                if there.value >= floor:
                    break
                length, evaluations = 0.5 * length, evaluations + 1
                if float(_objective(form, prepared, u + length * direction)) >= floor:
                    there = _at(form, u + length * direction, prepared)
            if not there.value >= floor:
                break
            u, here = u + length * direction, there
    except KeyboardInterrupt:  # what has been reached is worth keeping
        interrupted = True
    finite = np.all(np.isfinite(here.hessian))
    curvature, vectors = np.linalg.eigh(-here.hessian) if finite else (np.full(u.shape, np.nan), np.eye(len(u)))
    return Polished(
        u,
        here.params,
        float(here.log_likelihood),
        float(here.log_prior),
        curvature,
        vectors[:, 0],
        float(np.max(np.abs(here.gradient), initial=0.0)),
        float(decrement),
        taken,
        evaluations,
        interrupted,
    )


def polish(form: Form, params: Any, prepared: Prepared) -> Polished:
    """`climb` from params until nothing is left to gain; a saddle is left along its direction of ascent, and climbed
    from there. Ctrl-C ends it where it is, once the first evaluation is done."""
    reached = climb(form, form.model.space.locate(params)[0], prepared)
    for _ in range(ROUNDS):
        if reached.interrupted or reached.is_stationary or not reached.objective > -np.inf:
            break
        reached = _after(reached, climb(form, reached.u, prepared))
    for length in (1.0, -1.0, 0.1, -0.1):
        if reached.interrupted or not reached.is_saddle:
            break
        other = climb(form, reached.u + length * reached.flattest, prepared)
        if other.objective > reached.objective:
            reached = _after(reached, other)
        reached = reached._replace(interrupted=other.interrupted)
    return reached


def _after(first: Polished, then: Polished) -> Polished:
    return then._replace(
        iterations=first.iterations + then.iterations, evaluations=first.evaluations + then.evaluations
    )


_objective = jit(derivatives.objective, static_argnums=0)
