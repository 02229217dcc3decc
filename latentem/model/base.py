"""The declaration: a latent-variable model as a frozen, hashable value, and what follows from it directly."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from latentem.constraints import ParameterSpace
from latentem.data.layout import Layout
from latentem.model.latents import Latent
from latentem.model.shortcuts import ClosedForm, Factored, Separable
from latentem.priors import Joint


@dataclass(frozen=True)
class Model:
    """A latent-variable model.

    Args:
        complete_log_likelihood: `(params, x, z) -> scalar`, log p(x, z | params) of ONE observation and ONE latent
            value; of a `Chain`, `(params, x, z, previous) -> scalar`, of one step.
        latent: what z is: `Finite`, `Continuous`, `Chain` or `Given`.
        params: pytree of constraints, one for each parameter.
        prior: log density added to the log-likelihood (MAP): a dict of priors by parameter name, or a function
            `params -> log density`. The mode is sought in the natural coordinates given here; no Jacobian enters.
        m_step: the M-step in closed form, where there is one.
        separable: the exponential-family form, where it is known (it is looked for numerically otherwise).
        factored: of a `Chain`: its factors, where they are known.
        initial: `(key, observations, weights) -> params`, a start for EM drawn from the data.
        start: `(observations, weights) -> params`, in its place, where one start needs no chance; more are drawn around
            it.
        sample: `(params, key) -> x`, one simulated observation, for bootstrap and simulation; of a `Chain`,
            `(params, key, n) -> x`, one sequence of n steps.
        sample_like: `(params, key, x) -> x`, one simulated observation with what is given of x, its covariates, of
            models that say nothing of these; of a `Chain`, `(params, key, steps, begins) -> steps`, of all steps of all
            sequences end to end, and where these begin.
        name: what summaries and files call the model.
        declaration: the ready model that states it, with what the data said about it: it reads new data.
        layout: how the columns of the data of a fit lay, by which new data are read.

    Two models are equal when all of these are; a fit compiles once per equal model, so define functions once, at
    module level, rather than anew for every call.

    >>> def cll(params, x, z):
    ...     rate = params["rate"][z]
    ...     return jnp.log(params["weight"][z]) + x * jnp.log(rate) - rate
    >>> model = lem.Model(cll, lem.Finite(2), {"weight": lem.simplex(2), "rate": lem.positive(2)})
    >>> model.space.names
    ('rate', 'weight')
    """

    complete_log_likelihood: Callable[..., Array]
    latent: Latent
    params: Any = field(compare=False)
    prior: Mapping[str, Any] | Callable[[Any], Array] | None = field(default=None, compare=False)
    m_step: ClosedForm | None = None
    separable: Separable | None = None
    factored: Factored | None = None
    initial: Callable[[Array, Any, Any], Any] | None = None
    start: Callable[[Any, Any], Any] | None = None
    sample: Callable[..., Any] | None = None
    sample_like: Callable[..., Any] | None = None
    name: str = "model"
    declaration: Any = field(default=None, compare=False, repr=False)
    layout: Layout | None = field(default=None, compare=False, repr=False)
    space: ParameterSpace = field(init=False, repr=False)
    joint_prior: Joint = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not callable(self.complete_log_likelihood):
            raise TypeError(
                f"complete_log_likelihood = {self.complete_log_likelihood!r}: expected a function (params, x, z) -> "
                f"scalar"
            )
        if not isinstance(self.latent, Latent):
            raise TypeError(
                f"latent = {self.latent!r}: expected lem.Finite(k), lem.Continuous(dim), lem.Chain(k, first) or "
                "lem.Given(posterior)"
            )
        object.__setattr__(self, "space", ParameterSpace.of(self.params))
        object.__setattr__(self, "joint_prior", Joint.of(self.prior, self.space))

    def declare(self, observations: Any) -> tuple[Model, Any]:
        """The model for these observations: a `Model` is complete as it stands (ready models fill in dimensions)."""
        return self, observations

    def posterior(self, params: Any, x: Any) -> Any:
        """Posterior of the latent value of ONE observation."""
        return self.latent.posterior(lambda z: self.complete_log_likelihood(params, x, z), params, x)

    def log_evidence(self, params: Any, x: Any) -> Float[Array, ""]:
        """log p(x | params) of ONE observation."""
        return self.posterior(params, x).log_evidence

    def log_prior(self, params: Any) -> Float[Array, ""]:
        """Log prior density in natural coordinates; 0 without a prior."""
        return jnp.asarray(self.joint_prior.log_prob(params), dtype=jnp.result_type(float))

    def log_likelihood(self, params: Any, observations: Any, weights: Any = None) -> Float[Array, ""]:
        """Observed-data log-likelihood: the weighted sum over observations of log p(x_n | params)."""
        evidence = jax.vmap(lambda x: self.log_evidence(params, x))(observations)
        return jnp.sum(evidence if weights is None else evidence * weights)

    def score(self, params: Any, observations: Any, weights: Any = None) -> Float[Array, " P"]:
        """Gradient of the observed-data log-likelihood in the free vector u of `space`."""
        return jax.grad(lambda u: self.log_likelihood(self.space.constrain(u), observations, weights))(
            self.space.unconstrain(params)
        )
