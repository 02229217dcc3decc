"""Finite mixtures of any family (Pearson 1894; McLachlan and Peel 2000). A mixture is itself a family."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

import latentem as lem
from latentem.building import Axis, Layout, as_family
from latentem.families import Family, Gaussian, Restrictions
from latentem.models.mixture import initial as starts
from latentem.models.mixture import order as reordering
from latentem.models.mixture.names import covers, map_named, names

Params = dict[str, Any]


@dataclass(frozen=True)
class Mixture(Family):
    """sum_k weights[k] family(x | components[k]).

    Args:
        family: the density of a component, from `latentem.families`, or another `Mixture`.
        components: number of components K.
        shared: names of the family's parameters that all components have in common (a tied covariance); "column.name",
            or "column" for all of its parameters, where the family is `Independent`.
        fixed: values that stay put: {"weights": (K,) ...} or {name of the family's parameter: array with leading axis
            K}.
        prior: MAP: {"weights": Dirichlet, "components": {name: prior}}.
        start: how starts are drawn: "k-means++" seeds, or "random" responsibilities.

    Params are {"weights": (K,), "components": {name: (K, ...)}}; shared parameters have no axis K.

    >>> mixture = lem.Mixture(lem.families.Poisson(), 2)
    >>> fit = lem.fit(mixture, np.array([0, 1, 0, 2, 1, 9, 8, 11, 9, 10]), key=jax.random.key(0))
    >>> np.round(np.sort(fit.params["components"]["rate"]), 4)
    array([0.7936, 9.353 ])
    """

    family: Family
    components: int
    shared: tuple[str, ...] = ()
    fixed: Mapping[str, Any] = field(default_factory=dict, compare=False)
    prior: Mapping[str, Any] | None = field(default=None, compare=False)
    start: str = "k-means++"
    _key: tuple[Any, ...] = field(init=False, repr=False)

    accepts_missing = True

    def __post_init__(self) -> None:
        if isinstance(self.family, int) and not isinstance(self.components, int):
            raise TypeError("Mixture(number, family): expected Mixture(family, components), the family first")
        as_family("Mixture: family", self.family)
        if not isinstance(self.components, int) or self.components < 1:
            raise ValueError(f"components={self.components!r:.60}: expected an integer >= 1")
        if self.start not in ("k-means++", "random"):
            raise ValueError(f"start={self.start!r}: expected 'k-means++' or 'random'")
        fixed = tuple((name, lem.fixed(value)) for name, value in sorted(self.fixed.items()))
        object.__setattr__(self, "_key", (fixed, lem.priors.Joint.of(self.prior)))

    def declare(self, x: Any) -> tuple[Mixture, Any]:
        family, x = self.family.declare(x)
        rows = len(jax.tree.leaves(x)[0])
        if self.components > rows:
            raise ValueError(f"components={self.components} > {rows} observations: ask for fewer components")
        declared = replace(self, family=family)
        known = ["weights", *names(family.constraints())]
        for name in (*self.shared, *self.fixed):
            if not any(covers(name, other) for other in known):
                raise ValueError(f"Mixture: no parameter {name!r} to share or fix: expected one of {known}")
        return declared, x

    @property
    def columns(self) -> tuple[str, ...] | None:
        return self.family.columns

    def levels_of(self, column: Any) -> tuple[Any, ...] | None:
        return self.family.levels_of(column)

    def read(self, x: Any) -> tuple[Mixture, Any]:
        """The mixture and its observations, for new data: any number of rows."""
        family, x = self.family.read(x)
        return replace(self, family=family), x

    latent_name = "component"

    def axes(self, path: tuple[str, ...], layout: Layout) -> tuple[Axis, ...]:
        """What the axes of a parameter run over: components, then what they do in the family."""
        components = (Axis("component"),)
        if path == ("weights",):
            return components
        own = self.family.axes(path[1:], layout)
        return own if self.is_shared(".".join(path[1:])) else components + own

    def constraints(self) -> Params:
        components = map_named(
            lambda name, constraint: constraint if self.is_shared(name) else constraint.batched(self.components),
            self.family.constraints(),
        )
        held = {name: lem.fixed(value) for name, value in self.fixed.items()}
        weights = held.pop("weights", lem.simplex(self.components))
        components = map_named(lambda name, constraint: held.get(name, constraint), components)
        return {"weights": weights, "components": components}

    def model(self) -> lem.Model:
        """The mixture as a `Model`; needs a declared family (`declare(x)` fills in the dimension)."""
        return _model(self)

    def relabelled(self, order: Any) -> Mixture:
        """The mixture with its components in another order."""
        held = reordering.mapped(
            self.fixed,
            {
                name: value if self.is_shared(name) else reordering.values(value, order)
                for name, value in self.fixed.items()
            },
        )
        if self.prior is not None and not isinstance(self.prior, Mapping):
            raise ValueError(reordering.UNKNOWN)
        prior = reordering.priors(self.prior, self.unshared(), order)
        return self if held is self.fixed and prior is self.prior else replace(self, fixed=held, prior=prior)

    def unshared(self) -> Params:
        """Constraints of the params, of those that are shared without any axis."""
        whole = self.constraints()
        own = map_named(lambda name, c: lem.real() if self.is_shared(name) else c, whole["components"])
        return {**whole, "components": own}

    @property
    def name(self) -> str:
        """What summaries call it."""
        return f"mixture of {self.components} {type(self.family).__name__}"

    @property
    def restrictions(self) -> Restrictions:
        """What the M-step of the components may not do as it likes."""
        return Restrictions.of(self.shared, set(self.fixed) - {"weights"}, dict(self.prior or {}).get("components"))

    @property
    def closed(self) -> bool:
        """Whether the M-step, with this sharing, fixing and these priors, has a closed form."""
        if not isinstance(self.prior, Mapping | None):
            return False
        belief = dict(self.prior or {}).get("weights")
        conjugate = belief is None or isinstance(belief, lem.priors.Dirichlet)
        return conjugate and self.family.has_closed_form(**self.restrictions.keywords)

    # --- one observation

    def is_shared(self, name: str) -> bool:
        """Whether all components have this parameter in common."""
        return any(covers(shared, name) for shared in self.shared)

    def over_components(self, f: Callable[..., Any], params: Params, *rest: Any) -> Any:
        """`f(params of one component, *rest)` for all K components, stacked along a leading axis."""
        axes = map_named(lambda name, _: None if self.is_shared(name) else 0, self.family.constraints())
        return jax.vmap(lambda p: f(p, *rest), in_axes=(axes,), axis_size=self.components)(params["components"])

    def component(self, params: Params, k: Any) -> Params:
        """Parameters of component k."""
        return map_named(lambda name, value: value if self.is_shared(name) else value[k], params["components"])

    def component_log_prob(self, params: Params, x: Any) -> Float[Array, " K"]:
        """log weights[k] + log density of component k, of one observation."""
        return _log(params["weights"]) + self.over_components(self.family.log_prob, params, x)

    def log_prob(self, params: Params, x: Any) -> Float[Array, ""]:
        return lem.posterior.logsumexp(self.component_log_prob(params, x))

    def complete_log_likelihood(self, params: Params, x: Any, z: Any) -> Float[Array, ""]:
        """log p(x, z): one observation, one component."""
        return _log(params["weights"][z]) + self.family.log_prob(self.component(params, z), x)

    def sample(self, params: Params, key: Array) -> Any:
        which, draw = jax.random.split(key)
        k = jax.random.categorical(which, jnp.log(params["weights"]))
        return self.family.sample(self.component(params, k), draw)

    @property
    def conditional(self) -> bool:
        return self.family.conditional

    def sample_like(self, params: Params, key: Array, x: Any) -> Any:
        which, draw = jax.random.split(key)
        k = jax.random.categorical(which, jnp.log(params["weights"]))
        return self.family.sample_like(self.component(params, k), draw, x)

    # --- sufficient statistics

    @property
    def width(self) -> int:
        return 1 + self.components * self.family.width

    def context(self, x: Any, weights: Float[Array, " N"]) -> Any:
        return self.family.context(x, weights)

    def natural_parameters(self, params: Params, context: Any) -> Float[Array, "K S"]:
        """Coefficients of the family's features in each component; the count carries the log weight."""
        natural = self.over_components(self.family.natural, params, context)
        return natural.at[:, 0].add(_log(params["weights"]))

    def statistics(self, params: Params, x: Any, context: Any) -> Float[Array, " KS"]:
        """Expected statistics of one observation as seen from a mixture of mixtures: its count, then the statistics of
        each component weighted by its responsibility."""
        joint = self.component_log_prob(params, x)
        evidence = lem.posterior.logsumexp(joint)
        r = jnp.exp(joint - jnp.where(jnp.isfinite(evidence), evidence, 0.0))
        each = r[:, None] * self.over_components(self.family.statistics, params, x, context)
        return jnp.concatenate([jnp.ones(1, each.dtype), jnp.ravel(each)])

    def is_closed(self, given: Restrictions) -> bool:
        """As a component of another mixture: there, nothing is shared, fixed or believed."""
        return self.closed and given == Restrictions()

    def m_step(self, expected: Float[Array, "J KS"], params: Params, context: Any, given: Restrictions) -> Params:
        """M-step of a batch of mixtures (a mixture of mixtures)."""
        stacked = expected[:, 1:].reshape(expected.shape[0], self.components, -1)
        return jax.vmap(lambda e, p: self.maximize_components(e, p, self.statistics_context(p, context)))(
            stacked, params
        )

    def statistics_context(self, params: Params, context: Any) -> Any:
        return self.family.statistics_context(params["components"], context)

    def maximize_components(self, expected: Float[Array, "K S"], params: Params, context: Any) -> Params:
        """M-step of this mixture from the expected statistics of its components."""
        components = self.family.maximize(expected, params["components"], context, **self.restrictions.keywords)
        weights, belief = params["weights"], dict(self.prior or {}).get("weights")
        if "weights" not in self.fixed:
            count = expected[:, 0]
            if belief is not None:
                concentration = jnp.broadcast_to(jnp.asarray(belief.concentration, count.dtype), count.shape)
                count = jnp.maximum(count + concentration - 1.0, 0.0)
            total = jnp.sum(count)
            # A mixture inside a mixture can be empty: it keeps its weights.
            weights = jnp.where(total > 0, count / jnp.where(total > 0, total, 1), weights)
        return {"weights": weights, "components": components}

    # --- starts

    def initial(self, key: Array, x: Any, weights: Float[Array, " N"], label: Any = None) -> Params:
        """Params from k-means++ seeds or from random responsibilities; from the rows whose component is known, where
        `label` (N,) says which, -1 where it does not."""
        return starts.initial(self, key, x, weights, label)

    def alone(self, x: Any, weights: Float[Array, " N"]) -> Params:
        """The start of a mixture of one, where the draws of a start make no difference: no key is needed."""
        return self.initial(jax.random.key(0), x, weights)

    def default(self, x: Any, weights: Float[Array, " N"], context: Any) -> Params:
        return self.initial(jax.random.key(0), x, weights)


def GaussianMixture(
    components: int, covariance: str = "full", *, prior: Mapping[str, Any] | None = None, start: str = "k-means++"
) -> Mixture:
    """Mixture of normal distributions.

    Args:
        components: number of components K.
        covariance: "full", "tied" (one full covariance for all), "diagonal" or "spherical".
        prior: as in `Mixture`.
        start: as in `Mixture`.

    >>> x = np.concatenate([np.linspace(-1, 1, 20), np.linspace(9, 11, 20)])
    >>> fit = lem.fit(lem.GaussianMixture(2), x, key=jax.random.key(0))
    >>> np.round(fit.params["components"]["mean"].ravel(), 6)
    array([ 0., 10.])
    """
    structures = ("full", "tied", "diagonal", "spherical")
    if covariance not in structures:
        raise ValueError(f"covariance={covariance!r}: expected one of {structures}")
    tied = covariance == "tied"
    family = Gaussian("full" if tied else covariance)
    return Mixture(family, components, shared=("covariance",) if tied else (), prior=prior, start=start)


def _log(p: Any) -> Any:
    """log p with -inf at 0 and a gradient of 0 there."""
    return jnp.where(p > 0, jnp.log(jnp.where(p > 0, p, 1.0)), -jnp.inf)


@lru_cache(maxsize=128)
def _model(mixture: Mixture) -> lem.Model:
    """One Model per mixture value, so that equal mixtures compile once."""
    closed = mixture.closed
    separable, m_step = None, None
    if mixture.family.separable:
        separable = lem.Separable(
            features=mixture.family.features_batch,
            natural=mixture.natural_parameters,
            maximize=mixture.maximize_components if closed else None,
            context=mixture.context,
            includes_prior=closed,
        )
    elif closed:

        def statistics(params: Params, x: Any, z: Any, context: Any) -> Float[Array, " S"]:
            return mixture.family.statistics(mixture.component(params, z), x, context)

        def maximize(expected: Float[Array, "K S"], params: Params, context: Any) -> Params:
            reference = mixture.statistics_context(params, context)
            return mixture.maximize_components(expected, params, reference)

        m_step = lem.ClosedForm(statistics, maximize, per_value=True, includes_prior=True, context=mixture.context)
    return lem.Model(
        mixture.complete_log_likelihood,
        latent=lem.Finite(mixture.components),
        params=mixture.constraints(),
        prior=mixture.prior,
        m_step=m_step,
        separable=separable,
        initial=mixture.initial,
        start=mixture.alone if mixture.components == 1 and not isinstance(mixture.family, Mixture) else None,
        sample=None if mixture.conditional else mixture.sample,
        sample_like=mixture.sample_like if mixture.conditional else None,
        name=mixture.name,
    )
