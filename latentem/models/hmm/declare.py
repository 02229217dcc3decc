"""From a hidden Markov or semi-Markov model to the `Model` that a fit runs on: its factors."""

from __future__ import annotations

from functools import lru_cache, partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

import latentem as lem
from latentem.models.hmm.verbs import simulate, simulate_like

Params = dict[str, Any]


@lru_cache(maxsize=128)
def chain_model(hmm: Any) -> lem.Model:
    """One Model per value of an `HMM` or `HSMM`, so that equal models compile once."""
    mixture, family, closed = hmm.of_states, hmm.emission, hmm.is_closed
    by_features = family.separable and hmm.alike

    def emission(params: Params, rows: Any, context: Any) -> Float[Array, "n M"]:
        return jax.vmap(lambda x: hmm.step_emission(params, x))(rows)

    def features(rows: Any, context: Any) -> Float[Array, "n S"]:
        return family.features_batch(hmm.of_emission(rows), context)

    def context(rows: Any, weights: Any) -> Any:
        return mixture.context(hmm.of_emission(rows), weights)

    def natural(params: Params, context: Any) -> Float[Array, "M S"]:
        own = mixture.over_components(family.natural, {"components": params["emission"]}, context)
        return jnp.repeat(own, hmm.stages, axis=0)

    def statistics(params: Params, rows: Any, context: Any) -> Float[Array, "n M S"]:
        of_row = partial(mixture.over_components, family.statistics, {"components": params["emission"]})
        each = jax.vmap(lambda x: of_row(x, context))(hmm.of_emission(rows))
        return jnp.repeat(each, hmm.stages, axis=1)

    def sample(params: Params, key: Array, n: int) -> Any:
        return simulate(hmm, params, hmm.transition(params), key, n)[1]

    def sample_like(params: Params, key: Array, steps: Any, begins: Any) -> Any:
        return simulate_like(hmm, params, key, steps, begins)[1]

    given = hmm.alike and bool(hmm.covariates or family.conditional) and not hasattr(family, "of_sequences")
    factored = lem.Factored(
        hmm.first,
        hmm.transition,
        emission,
        varying=bool(hmm.covariates),
        features=features if by_features else None,
        natural=natural if by_features else None,
        statistics=statistics if closed and not by_features else None,
        maximize=hmm.maximize if closed else None,
        context=context,
        includes_prior=closed,
        initial=hmm.start,
    )
    return lem.Model(
        hmm.step_log_prob,
        latent=lem.Chain(hmm.states * hmm.stages, hmm.first_log_prob, labels=hmm.labels),
        params=hmm.constraints(),
        prior=hmm.prior,
        factored=factored,
        initial=hmm.start,
        sample=sample if hmm.alike and not hmm.covariates and not family.conditional else None,
        sample_like=sample_like if given else None,
        name=hmm.name,
    )


def maximized_emission(hmm: Any, expected: Float[Array, "K S"], params: Params, context: Any) -> Params:
    """Closed-form M-step of what the states emit."""
    states, family = hmm.of_states, hmm.emission
    reference = context if family.separable else family.statistics_context(params["emission"], context)
    return family.maximize(expected, params["emission"], reference, **states.restrictions.keywords)
