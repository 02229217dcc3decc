"""What hidden Markov and semi-Markov models share: states that emit, and the recursions' view of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

import latentem as lem
from latentem.building import Axis, Layout
from latentem.families import Family
from latentem.models.hmm.declare import chain_model
from latentem.models.hmm.verbs import Verbs
from latentem.models.mixture import Mixture
from latentem.models.mixture import order as reordering

Params = dict[str, Any]

#: Steps that a start looks at for how states follow one another.
SEEDING_STEPS = 5000


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

    #: Params at an edge where one sequence, or a few, say so: its first state is certain.
    certain: tuple[str, ...] = ("initial",)

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
        own = getattr(self, "fixed", {})
        fixed = {name: own[name] for name in own if name != "transition" and not name.startswith("duration.")}
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

    def degenerate(self, series: lem.Sequences) -> str:
        """Why these steps leave what the states emit without a bound; empty where they do not."""
        rows = self.of_emission(series.steps)
        seen = series.observed
        return self.of_states.degenerate(rows if seen is None else jax.tree.map(lambda a: a[np.asarray(seen)], rows))

    def never_seen(self, series: lem.Sequences) -> dict[str, np.ndarray]:
        """Entries of the params of what states emit that stand for what the steps never show."""
        rows = self.of_emission(series.steps)
        return {f"emission.{name}": mask for name, mask in self.emission.never_seen(rows).items()}

    @property
    def measured(self) -> tuple[str, ...]:
        """Names of the parameters that `collapsed` looks at."""
        return tuple(f"emission.{name}" for name in self.emission.measured)

    def collapsed(self, params: Params, context: Any) -> tuple[str, ...]:
        """Names of the params of a state whose density has no bound there."""
        return tuple(f"emission.{name}" for name in self.emission.collapsed(params["emission"], context))

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

    def seeded_moves(self, emission: Params, x: Any, weights: Float[Array, " T"]) -> Float[Array, "K K"]:
        """How often each state follows each where steps, one after the other, belong to states by their density alone.
        The few moves from one sequence to the next do not matter to a start."""
        few = slice(0, SEEDING_STEPS)
        x, w = jax.tree.map(lambda a: a[few], x), weights[few]
        density = jax.vmap(lambda row: self.emission_log_prob({"emission": emission}, row))(self.of_emission(x))
        each = jax.nn.softmax(jnp.where(jnp.isfinite(density), density, -1e6), axis=1)
        return each[:-1].T @ (each[1:] * jnp.minimum(w[:-1], w[1:])[:, None])
