"""Deterministic annealing: EM from responsibilities that are flattened at first and sharpen to those of the model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from latentem.ascent.mstep.step import MStep, em_iteration
from latentem.forms import Form, Prepared, RowForm, SeparableForm
from latentem.model import Model
from latentem.model.latents import Latent
from latentem.numerics.compiled import jit


@dataclass(frozen=True)
class Annealing:
    """A schedule of inverse temperatures: `iterations` EM iterations at each of `start`, `start * growth`, ... below 1.

    At inverse temperature b the E-step takes p(z | x) in proportion to p(x, z)^b. Small values even out the landscape:
    starts that would end in different optima are drawn together, mostly towards a good one. Ordinary EM follows at 1.

    Args:
        start: the first inverse temperature, above 0 and below 1. Too small a one lets components coincide for good.
        growth: factor between temperatures, above 1.
        iterations: EM iterations at each.

    >>> [round(b, 3) for b in lem.Annealing(0.5, 1.3).inverse_temperatures]
    [0.5, 0.65, 0.845]

    Source: Ueda and Nakano (1998), Deterministic annealing EM algorithm, Neural Networks 11, 271-282.
    """

    start: float = 0.4
    growth: float = 1.25
    iterations: int = 5

    def __post_init__(self) -> None:
        if not 0 < self.start < 1 or not self.growth > 1 or self.iterations < 1:
            raise ValueError(f"{self!r}: expected 0 < start < 1, growth > 1 and at least 1 iteration")

    @property
    def inverse_temperatures(self) -> tuple[float, ...]:
        """The schedule, ascending, without the final 1."""
        count = int(np.ceil(np.log(1 / self.start) / np.log(self.growth) - 1e-9))
        return tuple(self.start * self.growth**i for i in range(count))


def anneal(form: Form, m_step: MStep, annealing: Annealing, params: Any, prepared: Prepared) -> Any:
    """Params of every start after the schedule; a start that becomes non-finite on the way keeps its params.

    Args:
        form, prepared: how log p is computed.
        m_step: as in the fit.
        annealing: the schedule.
        params: starts, pytree with a leading axis.

    Raises:
        ValueError: the posterior is not a sum over nodes that the library weighs, so that it cannot be flattened.
    """
    if why := form.can("flatten"):
        raise ValueError(f"annealing: {why}")
    schedule = jnp.repeat(jnp.asarray(annealing.inverse_temperatures), annealing.iterations)
    return _anneal(form, m_step, params, prepared, schedule.astype(prepared.weights.dtype))


@partial(jit, static_argnums=(0, 1))
def _anneal(form: Form, m_step: MStep, params: Any, prepared: Prepared, schedule: Float[Array, " T"]) -> Any:
    flattened, at = tempered(form)

    def of_start(start: Any) -> Any:
        def body(current: Any, inverse: Array) -> tuple[Any, None]:
            return em_iteration(flattened, m_step, current, at(prepared, inverse))[0], None

        end, _ = lax.scan(body, start, schedule)
        finite = jnp.all(jnp.stack([jnp.all(jnp.isfinite(a)) for a in jax.tree.leaves(end)]))
        return jax.tree.map(lambda a, b: jnp.where(finite, a, b), end, start)

    return jax.vmap(of_start)(params)


def tempered(form: Form) -> tuple[Form, Callable[[Prepared, Array], Prepared]]:
    """(the form with flattened responsibilities, how its data carry the inverse temperature)."""
    if isinstance(form, SeparableForm):
        own = form.separable
        inner = replace(
            own,
            features=_WithoutTemperature(own.features),
            natural=_WithoutTemperature(own.natural),
            maximize=None if own.maximize is None else _WithoutTemperature(own.maximize),
            impossible=None if own.impossible is None else _WithoutTemperature(own.impossible),
        )
        return _TemperedSeparable(form.model, inner), lambda data, b: replace(data, context=(data.context, b))

    def pair(data: Prepared, b: Array) -> Prepared:
        return replace(data, rows=(data.rows, jnp.full_like(data.weights, b)))

    return RowForm(_paired(form.model)), pair


@dataclass(frozen=True)
class _WithoutTemperature:
    """A function of (..., context) of a separable form, given (context, inverse temperature)."""

    f: Callable[..., Any]

    def __call__(self, *args: Any) -> Any:
        return self.f(*args[:-1], args[-1][0])


@dataclass(frozen=True)
class _TemperedSeparable(SeparableForm):
    def log_joint(self, params: Any, context: Any, rows: Any, features: Float[Array, "n S"]) -> Float[Array, "K n"]:
        joint = super().log_joint(params, context, rows, features)
        if self._log_node_weights is None:
            return context[1] * joint
        # The weight of a node is the size of its cell; only the density is flattened.
        nodes = jnp.asarray(self._log_node_weights, joint.dtype)[:, None]
        return nodes + context[1] * (joint - nodes)


@dataclass(frozen=True)
class _OfRow:
    """A function of (params, x, z, ...), given x with its inverse temperature."""

    f: Callable[..., Any]

    def __call__(self, params: Any, x: Any, *rest: Any) -> Any:
        return self.f(params, x[0], *rest)


@dataclass(frozen=True)
class _Flattened(Latent):
    """A latent of (x, inverse temperature): its posterior is flattened, log p(x, z) is not."""

    inner: Latent

    def posterior(self, cll: Callable[[Any], Array], params: Any, x: Any) -> Any:
        return self.inner.posterior(lambda z: x[1] * cll(z), params, x[0])

    def nodes(self) -> tuple[np.ndarray, np.ndarray] | None:
        return self.inner.nodes()

    def example(self) -> np.ndarray:
        return self.inner.example()


def _paired(model: Model) -> Model:
    """The same of (x, inverse temperature)."""
    own = model.m_step
    return replace(
        model,
        complete_log_likelihood=_OfRow(model.complete_log_likelihood),
        latent=_Flattened(model.latent),
        m_step=None if own is None else replace(own, statistics=_OfRow(own.statistics)),
    )
