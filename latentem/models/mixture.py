"""Finite mixtures of any family (Pearson 1894; McLachlan and Peel 2000). A mixture is itself a family."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

import latentem as lem
from latentem.families import Family, Gaussian
from latentem.models.seeding import assigned, plus_plus, standardised, thin

Params = dict[str, Any]


@dataclass(frozen=True)
class Mixture(Family):
    """sum_k weights[k] family(x | components[k]).

    Args:
        family: the density of a component, from `latentem.families`, or another `Mixture`.
        components: number of components K.
        shared: names of the family's parameters that all components have in common (a tied covariance).
        fixed: values that stay put: {"weights": (K,) ...} or {name of the family's parameter: array with leading axis K}.
        prior: MAP: {"weights": Dirichlet, "components": {name: prior}}.
        start: how starts are drawn: "k-means++" seeds, or "random" responsibilities.

    Params are {"weights": (K,), "components": {name: (K, ...)}}; shared parameters have no axis K.

    >>> mixture = lem.Mixture(lem.families.Poisson(), 2)
    >>> fit = lem.fit(mixture, np.array([0, 1, 0, 2, 1, 9, 8, 11, 9, 10]), key=jax.random.key(0))
    >>> fit.predict()
    array([0, 0, 0, 0, 0, 1, 1, 1, 1, 1])
    """

    family: Family
    components: int
    shared: tuple[str, ...] = ()
    fixed: Mapping[str, Any] = field(default_factory=dict, compare=False)
    prior: Mapping[str, Any] | None = field(default=None, compare=False)
    start: str = "k-means++"
    _key: tuple[Any, ...] = field(init=False, repr=False)

    verbs = ("predict",)
    accepts_missing = True

    def __post_init__(self) -> None:
        if not isinstance(self.components, int) or self.components < 1:
            raise ValueError(f"components={self.components!r}: expected an integer >= 1")
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
        known = {"weights", *family.constraints()}
        for name in (*self.shared, *self.fixed):
            if name not in known:
                raise ValueError(f"Mixture: no parameter {name!r} to share or fix: expected one of {sorted(known)}")
        return declared, x

    def constraints(self) -> Params:
        components = {
            name: constraint if name in self.shared else _batched(constraint, self.components)
            for name, constraint in self.family.constraints().items()
        }
        held = {name: lem.fixed(value) for name, value in self.fixed.items()}
        weights = held.pop("weights", lem.simplex(self.components))
        return {"weights": weights, "components": {**components, **held}}

    def model(self) -> lem.Model:
        """The mixture as a `Model`; needs a declared family (`declare(x)` fills in the dimension)."""
        return _model(self)

    @property
    def name(self) -> str:
        """What summaries call it."""
        return f"mixture of {self.components} {type(self.family).__name__}"

    # --- one observation

    def _axes(self) -> Params:
        return {name: None if name in self.shared else 0 for name in self.family.constraints()}

    def component(self, params: Params, k: Any) -> Params:
        """Parameters of component k."""
        return {
            name: value if name in self.shared else jax.tree.map(lambda a: a[k], value)
            for name, value in params["components"].items()
        }

    def component_log_prob(self, params: Params, x: Any) -> Float[Array, " K"]:
        """log weights[k] + log density of component k, of one observation."""
        each = jax.vmap(self.family.log_prob, in_axes=(self._axes(), None))
        return _log(params["weights"]) + each(params["components"], x)

    def log_prob(self, params: Params, x: Any) -> Float[Array, ""]:
        return lem.posterior.logsumexp(self.component_log_prob(params, x))

    def complete_log_likelihood(self, params: Params, x: Any, z: Any) -> Float[Array, ""]:
        """log p(x, z): one observation, one component."""
        return _log(params["weights"][z]) + self.family.log_prob(self.component(params, z), x)

    def sample(self, params: Params, key: Array) -> Any:
        which, draw = jax.random.split(key)
        k = jax.random.categorical(which, jnp.log(params["weights"]))
        return self.family.sample(self.component(params, k), draw)

    # --- sufficient statistics

    @property
    def width(self) -> int:
        return self.components * self.family.width

    def context(self, x: Any, weights: Float[Array, " N"]) -> Any:
        return self.family.context(x, weights)

    def natural_parameters(self, params: Params, context: Any) -> Float[Array, "K S"]:
        """Coefficients of the family's features in each component; the count carries the log weight."""
        each = jax.vmap(self.family.natural, in_axes=(self._axes(), None))
        return each(params["components"], context).at[:, 0].add(_log(params["weights"]))

    def statistics(self, params: Params, x: Any, context: Any) -> Float[Array, " KS"]:
        """Expected statistics of one observation as seen from a mixture of mixtures: those of each component, weighted by
        its responsibility."""
        joint = self.component_log_prob(params, x)
        evidence = lem.posterior.logsumexp(joint)
        r = jnp.exp(joint - jnp.where(jnp.isfinite(evidence), evidence, 0.0))
        each = jax.vmap(self.family.statistics, in_axes=(self._axes(), None, None))
        return jnp.ravel(r[:, None] * each(params["components"], x, context))

    def has_closed_form(self, shared: Any = frozenset(), fixed: Any = frozenset(), prior: Any = None) -> bool:
        if shared or fixed:
            return False
        return _closed(self) and not prior

    def maximize(
        self, expected: Any, params: Params, context: Any, *, shared: Any = (), fixed: Any = (), prior: Any = None
    ) -> Params:
        """M-step of a batch of mixtures (a mixture of mixtures): `expected` (J, K * S)."""
        stacked = expected.reshape(expected.shape[0], self.components, -1)
        return jax.vmap(lambda e, p: self.maximize_components(e, p, self.statistics_context(p, context)))(
            stacked, params
        )

    def statistics_context(self, params: Params, context: Any) -> Any:
        return self.family.statistics_context(params["components"], context)

    def maximize_components(self, expected: Float[Array, "K S"], params: Params, context: Any) -> Params:
        """M-step of this mixture from the expected statistics of its components."""
        prior = dict(self.prior or {})
        fixed = frozenset(self.fixed)
        components = self.family.maximize(
            expected,
            params["components"],
            context,
            shared=frozenset(self.shared),
            fixed=fixed - {"weights"},
            prior=dict(prior.get("components", {})),
        )
        weights = params["weights"]
        if "weights" not in fixed:
            count = expected[:, 0]
            if "weights" in prior:
                concentration = jnp.broadcast_to(jnp.asarray(prior["weights"].concentration, count.dtype), count.shape)
                count = jnp.maximum(count + concentration - 1.0, 0.0)
            weights = count / jnp.sum(count)
        return {"weights": weights, "components": components}

    # --- starts

    def initial(self, key: Array, x: Any, weights: Float[Array, " N"]) -> Params:
        """Params from k-means++ seeds or from random responsibilities."""
        context = self.context(x, weights)
        x, weights = thin(x, weights)
        context_params = self.family.default(x, weights, context)
        n = weights.shape[0]
        if self.start == "random":
            draws = jax.random.exponential(key, (n, self.components), weights.dtype)
            responsibilities = draws / jnp.sum(draws, axis=1, keepdims=True)
        else:
            rows = standardised(_coordinates(x), weights)
            responsibilities = assigned(rows, plus_plus(key, rows, weights, self.components))
        params = {
            "weights": jnp.full(self.components, 1.0 / self.components, weights.dtype),
            "components": {
                name: value
                if name in self.shared
                else jax.tree.map(lambda a: jnp.broadcast_to(a, (self.components, *a.shape)), value)
                for name, value in context_params.items()
            },
        }
        return self._softly_maximized(params, x, responsibilities * weights[:, None], context)

    def _softly_maximized(self, params: Params, x: Any, r: Float[Array, "n K"], context: Any) -> Params:
        """M-step from given responsibilities, with a little of every row in every component so that none is empty or flat."""
        each = jax.vmap(
            jax.vmap(self.family.statistics, in_axes=(self._axes(), None, None)), in_axes=(None, 0, None)
        )
        values = each(params["components"], x, context)
        soft = r + 0.02 * jnp.sum(r, axis=1, keepdims=True) / self.components
        expected = jnp.einsum("nk,nks->ks", soft, values)
        unprior = replace(self, prior=None)
        return unprior.maximize_components(expected, params, self.statistics_context(params, context))

    def default(self, x: Any, weights: Float[Array, " N"], context: Any) -> Params:
        return self.initial(jax.random.key(0), x, weights)

    # --- verbs

    def predict(self, fit: Any, x: Any = None) -> np.ndarray:
        """The most probable component of each observation, (N,)."""
        return np.argmax(fit.responsibilities(x), axis=1)


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


def _batched(constraint: Any, k: int) -> Any:
    if isinstance(constraint, dict):
        return {name: _batched(inner, k) for name, inner in constraint.items()}
    return constraint.batched(k)


def _coordinates(x: Any) -> Float[Array, "N d"]:
    """Observations as columns of numbers, for seeding only."""
    columns = [jnp.reshape(a, (a.shape[0], -1)).astype(jnp.result_type(float)) for a in jax.tree.leaves(x)]
    return jnp.concatenate(columns, axis=1)


def _closed(mixture: Mixture) -> bool:
    """Whether the M-step of this mixture, with its sharing, fixing and priors, has a closed form."""
    prior = dict(mixture.prior or {}) if isinstance(mixture.prior, Mapping | None) else None
    if prior is None:
        return False
    weights_prior = prior.get("weights")
    conjugate = weights_prior is None or isinstance(weights_prior, lem.priors.Dirichlet)
    fixed = frozenset(mixture.fixed) - {"weights"}
    components = dict(prior.get("components", {}))
    return conjugate and mixture.family.has_closed_form(frozenset(mixture.shared), fixed, components)


@lru_cache(maxsize=128)
def _model(mixture: Mixture) -> lem.Model:
    """One Model per mixture value, so that equal mixtures compile once."""
    closed = _closed(mixture)
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
        sample=mixture.sample,
        name=mixture.name,
    )
