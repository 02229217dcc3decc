"""Likelihood-ratio tests of nested models: Wilks' limit, and the bootstrap (McLachlan 1987)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from latentem.ascent.replicates import refit
from latentem.comparing.bootstrap import in_blocks, simulated
from latentem.forms import Form, Prepared
from latentem.numerics.compiled import jit
from latentem.numerics.keys import as_key
from latentem.results.fit import Fit


@dataclass(frozen=True)
class LikelihoodRatioTest:
    """A likelihood-ratio test.

    Args:
        statistic: 2 (log-likelihood of the large model - that of the small one).
        df: difference in free parameters.
        p_value: of the chi-squared distribution with `df`, or of the bootstrap.
        method: "chi2" or "bootstrap".
        replicates: the bootstrap statistics, (R,); None for chi2.
    """

    statistic: float
    df: int
    p_value: float
    method: str
    replicates: np.ndarray | None = None


def likelihood_ratio_test(
    small: Fit, large: Fit, *, method: str = "chi2", key: Any = None, replicates: int = 199, starts: int = 3
) -> LikelihoodRatioTest:
    """Test of a model against a larger one that contains it.

    Args:
        small, large: Fits to the same data; `small` is nested in `large`.
        method: "chi2", Wilks' limit, which needs regular nesting; "bootstrap" (McLachlan 1987), which the number of
            components of a mixture needs: data are simulated from `small` and both models refitted, all replicates in
            one program.
        key, replicates, starts: of the bootstrap; `starts` random starts of the large model per replicate, besides its
            fit.

    Raises:
        ValueError: other data, no more parameters than the small model, a large model that fits worse (it is not the
            larger one, or stopped at a local optimum), or a fit that is not a maximum.
    """
    _check_nested(small, large)
    statistic = max(0.0, 2 * (large.log_likelihood - small.log_likelihood))
    df = large.n_parameters - small.n_parameters
    if method == "chi2":
        with jax.enable_x64(True):
            p = float(jax.scipy.special.gammaincc(df / 2, statistic / 2))
        return LikelihoodRatioTest(statistic, df, p, method)
    if method != "bootstrap":
        raise ValueError(f"method={method!r}: expected 'chi2' or 'bootstrap'")
    ratios = replicated_ratios(small, large, key, replicates, starts)
    p = (1 + int(np.sum(ratios >= statistic))) / (1 + len(ratios))
    return LikelihoodRatioTest(statistic, df, p, method, ratios)


def _check_nested(small: Fit, large: Fit) -> None:
    for name, one in (("small", small), ("large", large)):
        if not one.status.ok:
            raise ValueError(f"likelihood_ratio_test: the {name} fit ended {one.status.name}: {one.status.advice}")
    if small.n_observations != large.n_observations:
        raise ValueError(
            f"likelihood_ratio_test: {small.n_observations:g} and {large.n_observations:g} observations: fit both to "
            f"the same data"
        )
    if large.n_parameters <= small.n_parameters:
        raise ValueError(
            f"likelihood_ratio_test: the large model has {large.n_parameters} parameters, the small one "
            f"{small.n_parameters}: pass the smaller model first"
        )
    gap = small.log_likelihood - large.log_likelihood
    if gap > 1e-6 * (1 + abs(small.log_likelihood)):
        raise ValueError(
            f"likelihood_ratio_test: the large model fits worse by {gap:.3g} nats: it does not contain the small "
            f"one, or more "
            "starts are needed"
        )


def replicated_ratios(small: Fit, large: Fit, key: Any, replicates: int, starts: int) -> Float[np.ndarray, " R"]:
    """Likelihood-ratio statistics of data simulated from the small model (McLachlan 1987), those that converged.

    Raises:
        ValueError: no key, no sampler, a large model without starts of its own, or no replicate converged.
    """
    if key is None:
        raise ValueError("method='bootstrap' simulates: pass key=jax.random.key(0)")
    if large.model is None or large.model.initial is None:
        raise ValueError(f"method='bootstrap': {large.name} draws no starts: give lem.Model(..., initial=...)")
    draw_key, start_key = jax.random.split(as_key(key, "the test"))
    with jax.enable_x64(True):
        of_null, of_large = (jax.tree.map(jnp.asarray, fit.params) for fit in (small, large))

        def of_block(keys: Any, start_keys: Any) -> Any:
            form, prepared = simulated(small, small.model, keys)
            null = refit(form, of_null, prepared, "rows")
            form, prepared = simulated(small, large.model, keys)
            best = refit(form, of_large, prepared, "rows").log_likelihood
            for s in range(starts):
                own = _starts(form, start_keys[:, s], prepared)
                again = refit(form, own, prepared, "rows", own_starts=True).log_likelihood
                best = jnp.fmax(best, again)
            return 2 * (best - null.log_likelihood)

        each = jax.random.split(start_key, (replicates, starts))
        ratios = in_blocks(of_block, small, jax.random.split(draw_key, replicates), each)
    ratios = np.maximum(ratios[np.isfinite(ratios)], 0.0)
    if len(ratios) == 0:
        raise ValueError(f"method='bootstrap': none of {replicates} replicates could be fitted")
    return ratios


@partial(jit, static_argnums=0)
def _starts(form: Form, keys: Any, prepared: Prepared) -> Any:
    """A start for each replicate, drawn from its data."""
    draw = form.model.initial
    assert draw is not None

    def one(key: Any, rows: Any) -> Any:
        return form.model.space.with_fixed(draw(key, *form.drawn_from(replace(prepared, rows=rows))))

    return jax.vmap(one)(keys, prepared.rows)
