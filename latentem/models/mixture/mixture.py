"""Finite mixtures of any family (Pearson 1894; McLachlan and Peel 2000). A mixture is itself a family."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

import latentem as lem
from latentem.building import Axis, Layout, as_family, fewer_than
from latentem.constraints import structured
from latentem.families import Family, Gaussian, Restrictions
from latentem.models.mixture import gate as gates
from latentem.models.mixture import initial as starts
from latentem.models.mixture import order as reordering
from latentem.models.mixture import structures
from latentem.models.mixture.gate import Gated
from latentem.models.mixture.held import Partly, by_component, can_be_closed, given, maximized, of_held
from latentem.models.mixture.names import covers, map_named, names
from latentem.models.mixture.verbs import Verbs

Params = dict[str, Any]


@dataclass(frozen=True)
class Mixture(Verbs, Family):
    """sum_k weights[k] family(x | components[k]).

    Args:
        family: the density of a component, from `latentem.families`, or another `Mixture`.
        components: number of components K.
        shared: names of the family's parameters that all components have in common (a tied covariance); "column.name",
            or "column" for all of its parameters, where the family is `Independent`.
        fixed: values that stay put: {"weights": (K,) ...} or {name of the family's parameter: array with leading axis
            K}, NaN for what is free.
        prior: MAP: {"weights": Dirichlet, "components": {name: prior}}.
        start: how starts are drawn: "k-means++" seeds, or "random" responsibilities.
        gate: names of columns that the weights depend on, by a multinomial logit; observations are then tables, and the
            family takes its columns by name, or all that are not in the gate.
        structure: of the covariances of `Gaussian` components, three letters for volume, shape and orientation, as
            `GaussianMixture` explains them.

    Params are {"weights": (K,), "components": {name: (K, ...)}}; shared parameters have no axis K. With a gate,
    {"gate": (K - 1, 1 + covariates)} is in place of the weights: log odds against the first component.

    A list of families, `Mixture([Gaussian(), StudentT()])` or `Mixture([(Gaussian(), 3), Uniform()])` with how many of
    each, is a mixture of different ones; its params of components are a dict for each place in the list.

    >>> mixture = lem.Mixture(lem.families.Poisson(), 2)
    >>> fit = lem.fit(mixture, np.array([0, 1, 0, 2, 1, 9, 8, 11, 9, 10]), key=jax.random.key(0))
    >>> np.round(np.sort(fit.params["components"]["rate"]), 4)
    array([0.7936, 9.353 ])
    """

    family: Any
    components: Any = None
    shared: tuple[str, ...] = ()
    fixed: Mapping[str, Any] = field(default_factory=dict, compare=False)
    prior: Mapping[str, Any] | None = field(default=None, compare=False)
    start: str = "k-means++"
    gate: tuple[str, ...] = ()
    structure: str | None = None
    inputs: tuple[str, ...] = field(default=(), repr=False)
    _key: tuple[Any, ...] = field(init=False, repr=False)

    accepts_missing = True

    def __new__(cls, family: Any = None, *rest: Any, **options: Any) -> Mixture:
        if cls is Mixture and isinstance(family, list | tuple):
            from latentem.models.mixture.several import Several

            return object.__new__(Several)
        return object.__new__(cls)

    def __post_init__(self) -> None:
        object.__setattr__(self, "gate", gates.names(self.gate))
        self._check_families()
        if not isinstance(self.components, int) or self.components < 1:
            raise ValueError(f"components={self.components!r:.60}: expected an integer >= 1")
        self._check_structure()
        if self.start not in ("k-means++", "random"):
            raise ValueError(f"start={self.start!r}: expected 'k-means++' or 'random'")
        fixed = tuple((name, given(value)) for name, value in sorted(self.fixed.items()))
        if isinstance(dict(fixed).get("weights"), Partly):
            raise ValueError("fixed={'weights': ...} holds NaN: expected all weights, or none")
        object.__setattr__(self, "_key", (fixed, lem.priors.Joint.of(self.prior)))

    def _check_families(self) -> None:
        if isinstance(self.family, int) and not isinstance(self.components, int):
            raise TypeError("Mixture(number, family): expected Mixture(family, components), the family first")
        as_family("Mixture: family", self.family)

    def _check_structure(self) -> None:
        if self.structure is None:
            return
        told = f"Mixture: structure={self.structure!r}"
        if self.structure not in structures.STRUCTURED:
            raise ValueError(f"{told}: expected one of {', '.join(structures.STRUCTURED)}")
        want = "diagonal" if self.structure.endswith("I") else "full"
        if not isinstance(self.family, Gaussian) or self.family.covariance != want:
            raise ValueError(f"{told}: expected the family Gaussian({want!r}), as lem.GaussianMixture makes it")
        if {"covariance", "variance"} & {*self.shared, *self.fixed}:
            raise ValueError(f"{told}: a structure says what covariances share: share or fix other parameters only")

    def declare(self, x: Any) -> tuple[Mixture, Any]:
        if isinstance(x, Gated):
            return self, x
        if self.gate:
            z = gates.design(x, self.gate)
            inputs, x = self._inputs(x)
            declared, x = replace(self, gate=())._declared(x, ["gate"])
            return replace(declared, gate=self.gate, inputs=inputs), Gated(x, z)
        return self._declared(x, ["weights"])

    def _declared(self, x: Any, own: list[str]) -> tuple[Mixture, Any]:
        family, x = self.family.declare(x)
        rows = len(jax.tree.leaves(x)[0])
        if self.components > rows:
            raise ValueError(f"components={self.components} > {rows} observations: ask for fewer components")
        declared = replace(self, family=family)
        known = [*own, *names(family.constraints())]
        for name in (*self.shared, *self.fixed):
            if not any(covers(name, other) for other in known):
                raise ValueError(f"Mixture: no parameter {name!r} to share or fix: expected one of {known}")
        return declared, x

    def _inputs(self, table: Any) -> tuple[tuple[str, ...], Any]:
        """(columns of a table that the family takes, in order; what it takes)."""
        if self.family.columns not in (None, ...):
            return (), table
        names_ = self.inputs or tuple(name for name in table if name not in self.gate)
        if not names_:
            raise ValueError(f"Mixture: no columns beside the gate {', '.join(self.gate)}: expected some to describe")
        if self.family.columns is ...:
            return names_, {name: table[name] for name in names_}
        columns = [table[name] for name in names_]
        return names_, columns[0] if len(columns) == 1 else np.stack(columns, axis=1)

    @property
    def columns(self) -> Any:
        own = self.family.columns
        if not self.gate or own is ...:
            return own
        return ... if own is None else tuple(dict.fromkeys((*own, *self.gate)))

    def levels_of(self, column: Any) -> tuple[Any, ...] | None:
        if column in self.gate:
            return None
        return self.family.levels_of(column if self.family.columns else None)

    def read(self, x: Any) -> tuple[Mixture, Any]:
        """The mixture and its observations, for new data: any number of rows."""
        if isinstance(x, Gated):
            return self, x
        z = gates.design(x, self.gate, new=True) if self.gate else None
        family, x = self.family.read(self._inputs(x)[1] if self.gate else x)
        return replace(self, family=family), x if z is None else Gated(x, z)

    latent_name = "component"

    def axes(self, path: tuple[str, ...], layout: Layout) -> tuple[Axis, ...]:
        """What the axes of a parameter run over: components, then what they do in the family."""
        components = (Axis("component"),)
        if path == ("weights",):
            return components
        if path == ("gate",):
            return Axis("against component 0"), Axis("term", ("intercept", *self.gate))
        own = self.family.axes(path[1:], layout)
        return own if self.is_shared(".".join(path[1:])) else components + own

    def constraints(self) -> Params:
        components = map_named(
            lambda name, constraint: constraint if self.is_shared(name) else constraint.batched(self.components),
            self.family.constraints(),
        )
        held = dict(self._key[0])
        name, free = self._weighing
        weights = held.get(name, free)
        one: dict[str, Any] = {}
        map_named(one.setdefault, self.family.constraints())

        def of_name(name: str, constraint: Any) -> Any:
            value = held.get(name)
            if value is None or isinstance(value, lem.constraints.Constraint):
                return constraint if value is None else value
            return of_held(one[name], value, name, self.is_shared(name))

        components = map_named(of_name, components)
        if self.structure is not None:
            components[self._matrix] = structured(self.structure, self.components, self.family.dim or 0)
        return {name: weights, "components": components}

    @property
    def _matrix(self) -> str:
        """What the family calls the covariances that have a structure."""
        return "covariance" if self.family.full else "variance"

    @property
    def _weighing(self) -> tuple[str, Any]:
        """What the params of the weights are called, and their constraint."""
        if self.gate:
            return "gate", lem.real((self.components - 1, 1 + len(self.gate)))
        return "weights", lem.simplex(self.components)

    def model(self) -> lem.Model:
        """The mixture as a `Model`; needs a declared family (`declare(x)` fills in the dimension)."""
        return _model(self)

    def relabelled(self, order: Any) -> Mixture:
        """The mixture with its components in another order."""
        if self.gate:
            raise ValueError("relabel: a gate holds odds against the first component: fit again from another start")
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
        if self.components == 1 and isinstance(self.family, Gaussian) and self.family.full:
            return "multivariate normal"
        return f"mixture of {self.components} {type(self.family).__name__}"

    @property
    def restrictions(self) -> Restrictions:
        """What the M-step of the components may not do as it likes; what is held of single components apart."""
        whole = {name for name, value in self._key[0] if not isinstance(value, Partly)}
        return Restrictions.of(self.shared, whole - {"weights", "gate"}, dict(self.prior or {}).get("components"))

    @property
    def partly(self) -> tuple[tuple[str, Partly], ...]:
        """The family's parameters that are held in some components only."""
        return tuple((name, value) for name, value in self._key[0] if isinstance(value, Partly))

    @property
    def closed(self) -> bool:
        """Whether the M-step, with this sharing, fixing and these priors, has a closed form."""
        if not isinstance(self.prior, Mapping | None):
            return False
        belief = dict(self.prior or {}).get("weights")
        conjugate = belief is None or isinstance(belief, lem.priors.Dirichlet)
        closed = [self.family.has_closed_form(**own.keywords) for own, _ in by_component(self)]
        conjugate = conjugate and "gate" not in (self.prior or {})
        if self.structure is not None and (dict(self.prior or {}).get("components") or self.partly):
            return False
        return conjugate and can_be_closed(self) and all(closed)

    @property
    def one(self) -> bool:
        """Whether there is one component, of no mixture itself, so that its start is no matter of chance."""
        return self.components == 1 and not isinstance(self.family, Mixture)

    @property
    def adds_up(self) -> bool:
        """Whether log densities are features . natural parameters, of one family and weights that all rows share."""
        return self.family.separable and not self.gate

    # --- one observation

    def is_shared(self, name: str) -> bool:
        """Whether all components have this parameter in common."""
        return any(covers(shared, name) for shared in self.shared)

    def over_components(self, f: Callable[..., Any], params: Params, *rest: Any) -> Any:
        """`f(params of one component, *rest)` for all K components, stacked along a leading axis."""
        axes = map_named(lambda name, _: None if self.is_shared(name) else 0, self.family.constraints())
        return jax.vmap(lambda p: f(p, *rest), in_axes=(axes,), axis_size=self.components)(params["components"])

    def each(self, what: str, params: Params, *rest: Any) -> Any:
        """What the method `what` of the family says with the params of each component, stacked along a leading axis."""
        return self.over_components(getattr(self.family, what), params, *rest)

    def component(self, params: Params, k: Any) -> Params:
        """Parameters of component k."""
        return map_named(lambda name, value: value if self.is_shared(name) else value[k], params["components"])

    def of_family(self, x: Any) -> Any:
        """An observation as the family of the components takes it."""
        return x.x if self.gate else x

    def log_weights(self, params: Params, x: Any) -> Float[Array, " K"]:
        """Log weights of the components, at the covariates of x where there is a gate."""
        return gates.log_weights(params["gate"], x.z) if self.gate else _log(params["weights"])

    def component_log_prob(self, params: Params, x: Any) -> Float[Array, " K"]:
        """log weights[k] + log density of component k, of one observation."""
        each = self.each("log_prob", params, self.of_family(x))
        return self.log_weights(params, x) + each

    def log_prob(self, params: Params, x: Any) -> Float[Array, ""]:
        return lem.posterior.logsumexp(self.component_log_prob(params, x))

    def complete_log_likelihood(self, params: Params, x: Any, z: Any) -> Float[Array, ""]:
        """log p(x, z): one observation, one component."""
        weight = self.log_weights(params, x)[z] if self.gate else _log(params["weights"][z])
        return weight + self.family.log_prob(self.component(params, z), self.of_family(x))

    # --- missing entries

    def expect_given(self, r: Float[Array, " K"], params: Params, x: Any) -> Any:
        """What missing entries are expected to be, with these probabilities of the components."""
        each = self.each("expect_missing", params, self.of_family(x))
        return jax.tree.map(lambda a: jnp.tensordot(r, a, axes=1), each)

    def expect_missing(self, params: Params, x: Any) -> Any:
        return self.expect_given(jax.nn.softmax(self.component_log_prob(params, x)), params, x)

    def settle(self, expected: Any, x: Any) -> Any:
        found = self.family.settle(expected, self.of_family(x))
        return Gated(found, x.z) if self.gate else found

    def draw_missing(self, params: Params, x: Any, key: Array) -> Any:
        which, draw = jax.random.split(key)
        k = jax.random.categorical(which, self.component_log_prob(params, x))
        found = self.family.draw_missing(self.component(params, k), self.of_family(x), draw)
        return Gated(found, x.z) if self.gate else found

    def cdf(self, params: Params, x: Any) -> Float[Array, ""]:
        return params["weights"] @ self.each("cdf", params, x)

    def survival(self, params: Params, x: Any) -> Float[Array, ""]:
        return params["weights"] @ self.each("survival", params, x)

    @property
    def support(self) -> tuple[float, float]:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.family.support

    @property
    def discrete(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.family.discrete

    def sample(self, params: Params, key: Array) -> Any:
        which, draw = jax.random.split(key)
        if self.gate:
            raise ValueError("Mixture: a gate says nothing about its covariates, so there is no way to sample them")
        k = jax.random.categorical(which, jnp.log(params["weights"]))
        return self.family.sample(self.component(params, k), draw)

    @property
    def conditional(self) -> bool:
        return bool(self.gate) or self.family.conditional

    def sample_like(self, params: Params, key: Array, x: Any) -> Any:
        which, draw = jax.random.split(key)
        k = jax.random.categorical(which, self.log_weights(params, x))
        drawn = self.family.sample_like(self.component(params, k), draw, self.of_family(x))
        return Gated(drawn, x.z) if self.gate else drawn

    # --- sufficient statistics

    @property
    def width(self) -> int:
        return 1 + self.components * self.family.width

    def context(self, x: Any, weights: Float[Array, " N"]) -> Any:
        return self.family.context(self.of_family(x), weights)

    def natural_parameters(self, params: Params, context: Any) -> Float[Array, "K S"]:
        """Coefficients of the family's features in each component; the count carries the log weight."""
        natural = self.each("natural", params, context)
        return natural.at[:, 0].add(_log(params["weights"]))

    def statistics(self, params: Params, x: Any, context: Any) -> Float[Array, " KS"]:
        """Expected statistics of one observation as seen from a mixture of mixtures: its count, then the statistics of
        each component weighted by its responsibility."""
        joint = self.component_log_prob(params, x)
        evidence = lem.posterior.logsumexp(joint)
        r = jnp.exp(joint - jnp.where(jnp.isfinite(evidence), evidence, 0.0))
        each = r[:, None] * self.each("statistics", params, x, context)
        return jnp.concatenate([jnp.ones(1, each.dtype), jnp.ravel(each)])

    def careful(self) -> Mixture | None:
        family = self.family.careful()
        # One mean of all components is pooled over statistics about one centre.
        return (
            None if family is None or self.shared or self.structure or not self.closed else replace(self, family=family)
        )

    def degenerate(self, x: Any) -> str:
        x = self.of_family(x)
        return fewer_than(self.components, jax.tree.leaves(x)) or self.family.degenerate(x)

    @property
    def measured(self) -> tuple[str, ...]:
        """Names of the parameters that `collapsed` looks at."""
        return tuple(f"components.{name}" for name in self.family.measured)

    def collapsed(self, params: Params, context: Any) -> tuple[str, ...]:
        return tuple(f"components.{name}" for name in self.family.collapsed(params["components"], context))

    def never_seen(self, x: Any) -> dict[str, np.ndarray]:
        return {f"components.{name}": mask for name, mask in self.family.never_seen(self.of_family(x)).items()}

    def statistics_of(self, params: Params, x: Any, z: Any, context: Any) -> Float[Array, " S"]:
        """Statistics of one observation that belongs to component z, with those of the gate behind them."""
        found = self._statistics_of(params, self.of_family(x), z, context)
        return jnp.concatenate([found, gates.statistics(params["gate"], x.z, z)]) if self.gate else found

    def _statistics_of(self, params: Params, x: Any, z: Any, context: Any) -> Float[Array, " S"]:
        return self.family.statistics(self.component(params, z), x, context)

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
        if self.gate:
            at = expected.shape[1] - gates.width(self.components, 1 + len(self.gate))
            components = self._maximized(expected[:, :at], params, context)
            slopes = jnp.sum(expected[:, at:], axis=0)
            gate = params["gate"] if "gate" in self.fixed else gates.maximize(slopes, params["gate"])
            return {"gate": gate, "components": components}
        components = self._maximized(expected, params, context)
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

    def _maximized(self, expected: Float[Array, "K S"], params: Params, context: Any) -> Params:
        """M-step of the components alone."""
        new = maximized(self, expected, params["components"], context)
        if self.structure is None:
            return new
        now = params["components"][self._matrix]
        return {**new, self._matrix: structures.maximize(self.structure, expected[:, 0], new[self._matrix], now)}

    # --- starts

    def initial(self, key: Array, x: Any, weights: Float[Array, " N"], label: Any = None) -> Params:
        """Params from k-means++ seeds or from random responsibilities; from the rows whose component is known, where
        `label` (N,) says which, -1 where it does not."""
        if not self.gate:
            return starts.initial(self, key, x, weights, label)
        whole = replace(self, gate=(), fixed={k: v for k, v in self.fixed.items() if k != "gate"}, prior=None)
        found = starts.initial(whole, key, x.x, weights, label)
        logs = jnp.log(jnp.maximum(found["weights"], 1e-6))
        gate = jnp.zeros((self.components - 1, 1 + len(self.gate)), logs.dtype)
        return {"gate": gate.at[:, 0].set(logs[1:] - logs[0]), "components": found["components"]}

    def begin(self, observations: Any, weights: Any) -> Params | None:
        """Params of one component, where its family computes them on the host; None of other mixtures."""
        if self.components != 1 or self.gate or self.fixed or self.prior or self.shared:
            return None
        found = self.family.begin(observations, np.asarray(weights))
        if found is None:
            return None
        return {"weights": np.ones(1), "components": jax.tree.map(lambda a: np.asarray(a)[None], found)}

    def alone(self, x: Any, weights: Float[Array, " N"]) -> Params:
        """The start of a mixture of one, where the draws of a start make no difference: no key is needed."""
        return self.initial(jax.random.key(0), x, weights)

    def default(self, x: Any, weights: Float[Array, " N"], context: Any) -> Params:
        return self.initial(jax.random.key(0), x, weights)


def _log(p: Any) -> Any:
    """log p with -inf at 0 and a gradient of 0 there."""
    return jnp.where(p > 0, jnp.log(jnp.where(p > 0, p, 1.0)), -jnp.inf)


@lru_cache(maxsize=128)
def _model(mixture: Mixture) -> lem.Model:
    """One Model per mixture value, so that equal mixtures compile once."""
    closed = mixture.closed
    separable, m_step = None, None
    if mixture.adds_up:
        separable = lem.Separable(
            features=mixture.family.features_batch,
            natural=mixture.natural_parameters,
            maximize=mixture.maximize_components if closed else None,
            context=mixture.context,
            includes_prior=closed,
        )
    elif closed:

        def statistics(params: Params, x: Any, z: Any, context: Any) -> Float[Array, " S"]:
            return mixture.statistics_of(params, x, z, context)

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
        start=mixture.alone if mixture.one else None,
        sample=None if mixture.conditional else mixture.sample,
        sample_like=mixture.sample_like if mixture.conditional else None,
        name=mixture.name,
    )
