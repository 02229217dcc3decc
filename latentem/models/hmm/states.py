"""What hidden Markov and semi-Markov models share: states that emit, and the recursions' view of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

import latentem as lem
from latentem.building import Axis, Layout
from latentem.families import Family
from latentem.models.hmm.declare import chain_model
from latentem.models.hmm.verbs import Verbs
from latentem.models.mixture import Mixture
from latentem.models.mixture import order as reordering

Params = dict[str, Any]


class States(Verbs):
    """K states, each with a density of its own. The recursions see `stages` for each, which emit alike."""

    states: int
    emission: Family
    shared: tuple[str, ...]
    prior: Mapping[str, Any] | None

    covariates: tuple[str, ...] = ()
    stages: int = 1
    #: Which state each stage belongs to, where they are not one and the same.
    labels: tuple[int, ...] | None = None
    #: Whether a step is the same thing to all stages of a state.
    alike: bool = True

    #: Observations are sequences.
    sequential: bool = True

    @property
    def columns(self) -> Any:
        """The columns it names; None where a step is one array, `...` where all columns are steps and covariates."""
        own = None if hasattr(self.emission, "of_sequences") else self.emission.columns
        if own is None or own is ...:
            return ... if self.covariates else own
        return tuple(dict.fromkeys((*own, *self.covariates)))

    def levels_of(self, column: Any) -> tuple[Any, ...] | None:
        """Labels that a column may hold."""
        if column in self.covariates:
            return None
        return self.emission.levels_of(column if self.emission.columns else None)

    latent_name = "state"

    def constraints(self) -> Params:
        """Constraints of the params."""
        raise TypeError(f"{type(self).__name__} does not say what its params are: define constraints()")

    def axes(self, path: tuple[str, ...], layout: Layout) -> tuple[Axis, ...]:
        """What the axes of a parameter run over: states, then what they do in the family."""
        first, *own = path
        if first == "emission":
            name, rest = ".".join(own), layout.of([n for n in layout.names if n not in self.covariates])
            inner = self.emission.axes(tuple(own), rest)
            return inner if self.of_states.is_shared(name) else (Axis("state"), *inner)
        terms = (Axis("term", ("intercept", *self.covariates)),) if self.covariates else ()
        return {"initial": (Axis("state"),), "transition": (Axis("state"), Axis("to"), *terms)}.get(
            first, (Axis("state"), Axis("step"))
        )

    @property
    def of_states(self) -> Mixture:
        """The states as components of a mixture: what all that concerns emissions is left to."""
        fixed = {name: value for name, value in getattr(self, "fixed", {}).items() if name != "transition"}
        prior = dict(self.prior or {}).get("emission")
        return Mixture(
            self.emission, self.states, self.shared, fixed=fixed, prior={"components": prior} if prior else None
        )

    def prior_in(self, order: Any) -> Any:
        """The prior of the params with the states in another order."""
        if self.prior is None:
            return None
        constraints: Any = {**self.constraints(), "emission": self.of_states.unshared()["components"]}
        new = {
            name: reordering.priors(part, constraints[name], order, (0, 1) if name == "transition" else (0,))
            for name, part in self.prior.items()
        }
        return reordering.mapped(self.prior, new)

    def model(self) -> lem.Model:
        """The model of sequences as a `Model`; needs a declared family."""
        return chain_model(self)

    def of_emission(self, rows: Any) -> Any:
        """What the family sees of steps."""
        return rows

    def first(self, params: Params) -> Float[Array, " M"]:
        """Log distribution of the first state."""
        raise TypeError(f"{type(self).__name__} does not say how a sequence begins: define first(params)")

    def transition(self, params: Params, rows: Any = None) -> Float[Array, "*n M M"]:
        """Log transition probabilities, row -> column."""
        raise TypeError(f"{type(self).__name__} does not say how states follow: define transition(params, rows)")

    def emission_log_prob(self, params: Params, x: Any) -> Float[Array, " K"]:
        """Log density of one observation in each state."""
        return self.of_states.over_components(self.emission.log_prob, {"components": params["emission"]}, x)

    def step_emission(self, params: Params, x: Any) -> Float[Array, " M"]:
        """Log density of one step in each stage."""
        return jnp.repeat(self.emission_log_prob(params, self.of_emission(x)), self.stages)

    def step_log_prob(self, params: Params, x: Any, z: Any, previous: Any) -> Float[Array, ""]:
        """log p(z | previous) + log p(x | z) of one step."""
        return self.transition(params, x)[previous, z] + self.step_emission(params, x)[z]

    def first_log_prob(self, params: Params, x: Any, z: Any) -> Float[Array, ""]:
        """log p(z) + log p(x | z) of the first step."""
        return self.first(params)[z] + self.step_emission(params, x)[z]

    def emission_start(self, key: Array, x: Any, weights: Float[Array, " T"], label: Any = None) -> Params:
        """A mixture's start for what the states emit: from the steps whose state is known, where it is."""
        mixture = replace(self.of_states, prior=None)
        return mixture.initial(key, self.of_emission(x), weights, label)["components"]
