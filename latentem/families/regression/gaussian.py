"""Normal regression: least squares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from latentem.constraints import positive, real
from latentem.families.base import Params, inside_positive, occupied, ratio
from latentem.families.gaussian.context import grain
from latentem.families.gaussian.diagonal import LOG_TWO_PI
from latentem.families.gaussian.location_scatter import smallest
from latentem.families.regression.base import Regression, least_squares
from latentem.families.restrictions import Restrictions


@dataclass(frozen=True)
class GaussianRegression(Regression):
    """Normal regression: mean `coefficients` (p,) . (1, covariates), `variance` (). Closed form: least squares.

    >>> family = GaussianRegression("y", ("z",))
    >>> {name: constraint.shape for name, constraint in family.constraints().items()}
    {'coefficients': (2,), 'variance': ()}
    """

    def check(self, y: np.ndarray, n: np.ndarray) -> None:
        pass

    def constraints(self) -> Params:
        return {"coefficients": real(self.size), "variance": positive()}

    def log_prob(self, params: Params, x: Any) -> Float[Array, ""]:
        error = x[self.response] - self.predictor(params, x)
        variance = params["variance"] / self.count(x)
        return -0.5 * (LOG_TWO_PI + jnp.log(variance) + error**2 / variance)

    def mean(self, params: Params, x: Any = None) -> Float[Array, ""]:
        return self.predictor(params, x)

    def draw(self, params: Params, key: Array, x: Any) -> Array:
        """A response given the covariates of x."""
        mean = self.predictor(params, x)
        return mean + jnp.sqrt(params["variance"] / self.count(x)) * jax.random.normal(key, mean.shape, mean.dtype)

    @property
    def width(self) -> int:
        return 2 + self.size + self.size**2

    def context(self, x: Any, weights: Float[Array, " N"]) -> Float[Array, ""]:
        """Variance of the responses: a unit for the least variance."""
        y, total = x[self.response], jnp.sum(weights)
        mean = jnp.sum(jnp.where(weights > 0, weights * y, 0)) / total
        variance = jnp.sum(jnp.where(weights > 0, weights * (y - mean) ** 2, 0)) / total
        fine = grain(y[:, None], weights, mean[None], jnp.sqrt(variance)[None])[0]
        return jnp.where(variance > 0, variance * fine**2, 1.0)

    @property
    def measured(self) -> tuple[str, ...]:
        """Names of the parameters that `collapsed` looks at."""
        return ("variance",)

    def collapsed(self, params: Params, context: Any) -> tuple[str, ...]:
        least = 2 * smallest(np.asarray(params["variance"]).dtype) * np.asarray(context)
        return ("variance",) if np.any(np.asarray(params["variance"]) <= least) else ()

    def statistics(self, params: Params, x: Any, context: Any) -> Float[Array, " S"]:
        # About the current line: the errors, so that nothing cancels.
        z, n = self.design(x), self.count(x)
        error = x[self.response] - self.predictor(params, x)
        return jnp.concatenate(
            [jnp.stack([jnp.ones_like(error), n * error**2]), n * error * z, n * jnp.ravel(jnp.outer(z, z))]
        )

    def is_closed(self, given: Restrictions) -> bool:
        return not given.common("coefficients") and not given.prior

    def m_step(self, expected: Float[Array, "K S"], params: Params, context: Any, given: Restrictions) -> Params:
        p = self.size
        count, square, slope = expected[:, 0], expected[:, 1], expected[:, 2 : 2 + p]
        matrix = expected[:, 2 + p :].reshape(-1, p, p)
        used = occupied(count)
        step = jnp.zeros_like(slope)
        if given.free("coefficients"):
            step = jnp.where(used[:, None], least_squares(matrix, slope), 0.0)
        coefficients = params["coefficients"] + step
        rest = square - 2 * jnp.sum(step * slope, axis=1) + jnp.einsum("kp,kpq,kq->k", step, matrix, step)
        if given.common("variance"):
            rest, count = jnp.sum(jnp.where(used, rest, 0)), jnp.sum(jnp.where(used, count, 0))
            used = count > 0
        variance = inside_positive(jnp.maximum(ratio(rest, count), smallest(rest.dtype) * context))
        return {"coefficients": coefficients, "variance": jnp.where(used, variance, params["variance"])}

    def default(self, x: Any, weights: Float[Array, " N"], context: Any) -> Params:
        z, y = self.design(x), x[self.response] - self.shift(x)
        w = jnp.where(weights > 0, weights, 0)
        v = w * self.count(x)
        coefficients = least_squares((z * v) @ z.T, (z * v) @ y)
        error = y - coefficients @ z
        variance = jnp.maximum(ratio(jnp.sum(v * error**2), jnp.sum(w)), smallest(error.dtype) * context)
        return {"coefficients": coefficients, "variance": inside_positive(variance)}
