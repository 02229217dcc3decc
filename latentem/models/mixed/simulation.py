"""Draws from a fitted mixed model, and the parametric bootstrap: the pattern of the precision is that of the fit, so a
refit costs a few factors."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float

from latentem.models.mixed.components import entries_of
from latentem.models.mixed.estimate import Solved, maximum, with_response


class Replicates(NamedTuple):
    """Refits of simulated data.

    Args:
        fixed: (R, p) fixed effects.
        components: (R, k) in the rows of `fit.variance_components()`.
        theta: (R, P) Cholesky rows and the residual standard deviation.
        log_likelihood: (R,).
        converged: (R,) whether each refit did.
    """

    fixed: Float[np.ndarray, "R p"]
    components: Float[np.ndarray, "R k"]
    theta: Float[np.ndarray, "R P"]
    log_likelihood: Float[np.ndarray, " R"]
    converged: np.ndarray

    def standard_errors(self) -> dict[str, np.ndarray]:
        """Standard deviations over the replicates that converged."""
        return {n: np.std(getattr(self, n)[self.converged], axis=0, ddof=1) for n in ("fixed", "components", "theta")}

    def confidence_intervals(self, level: float = 0.95) -> dict[str, np.ndarray]:
        """Percentile intervals, (2, ...) each."""
        tails = [(1 - level) / 2, (1 + level) / 2]
        return {
            n: np.quantile(getattr(self, n)[self.converged], tails, axis=0) for n in ("fixed", "components", "theta")
        }


def generator(key: Any) -> np.random.Generator:
    """NumPy's generator, seeded by a JAX key or a whole number."""
    if isinstance(key, int | np.integer):
        return np.random.default_rng(int(key))
    return np.random.default_rng(np.asarray(jax.random.key_data(key)).ravel())


def simulate(fit: Any, key: Any, n: int = 1, *, random: bool = True) -> Float[np.ndarray, "n N"]:
    """Responses simulated from the fitted model, for the records of the fit.

    Args:
        key: typed PRNG key, or a whole number.
        n: how many sets of responses.
        random: draw random effects anew; else keep those predicted.
    """
    return np.array(list(_responses(fit.solved, generator(key), n, random)))


def _responses(solved: Solved, draws: np.random.Generator, n: int, random: bool) -> Any:
    design = solved.design
    fixed = design.x @ solved.beta
    for _ in range(n):
        value = fixed + solved.sigma / np.sqrt(design.precisions) * draws.normal(size=len(fixed))
        for effect, root, b in zip(design.effects, solved.roots, solved.random, strict=True):
            value = value + effect.of_records(root @ effect.bound.draw(draws, effect.r).T if random else b)
        yield value


def bootstrap(fit: Any, key: Any, replicates: int = 200) -> Replicates:
    """Parametric bootstrap: simulate responses, refit each from the fitted parameters.

    Args:
        key: typed PRNG key, or a whole number.
        replicates: how many.

    Raises:
        ValueError: fewer than two replicates, or a fit that is no maximum.
    """
    if replicates < 2:
        raise ValueError(f"replicates={replicates!r}: expected at least 2")
    fit.refuse_without_maximum("bootstrap")
    solved: Solved = fit.solved
    start = solved.system.pack(
        [
            root + 0.05 * np.diag(np.diagonal(unit))
            for root, unit in zip(solved.roots, solved.system.unpack(solved.scales)[0], strict=True)
        ],
        solved.sigma,
    )
    rows = []
    for y in _responses(solved, generator(key), replicates, True):
        system, offset = with_response(solved, y)
        again, climbed = maximum(solved.design, system, offset, start, solved.scales, exact=False)
        components = entries_of(again, again.theta)
        rows.append((again.beta, components, again.theta, again.point.log_likelihood, climbed.converged))
    return Replicates(*(np.array([row[k] for row in rows]) for k in range(5)))
