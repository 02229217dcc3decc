"""Fit: params, status, trace, and what a statistician asks of them next."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from latentem.ascent.optima import Ends, Optimum, optima
from latentem.ascent.status import Status
from latentem.data import Data
from latentem.data.sequences import Sequences
from latentem.forms import Form, Prepared
from latentem.forms.anchors.search import Compression
from latentem.forms.choose import Problem, as_declared, choose_form
from latentem.inference.accuracy import Accuracy, Quadrature
from latentem.inference.errors import errors, standard_errors
from latentem.inference.estimate import Estimate
from latentem.inference.influence import Influence, influence
from latentem.inference.information import information
from latentem.inference.intervals import Bounds, WaldTest, confidence_intervals, wald_test
from latentem.inference.rate import Rate, rate
from latentem.inference.scores import scores_per_observation
from latentem.inference.sensitivity import Sensitivity, sensitivity
from latentem.numerics.compiled import jit
from latentem.results import archive

#: Reports leave standard errors out above this many parameters, or this many cells (rows, latent values, parameters^2).
LARGEST_REPORTED = 500
REPORT_BUDGET = 2e9


@dataclass(frozen=True)
class Fit:
    """A fitted model. Every array is a NumPy array, so that nothing depends on a JAX session.

    Args:
        params: pytree of NumPy arrays, shaped like the model's params.
        log_likelihood: observed-data log-likelihood, in nats.
        log_prior: log prior density at `params`, natural coordinates; 0.0 without a prior.
        status: how the fit ended; `status.advice` says what to do.
        iterations, evaluations: of the best start: accelerated iterations, EM maps (or objectives) evaluated.
        seconds: wall time, compilation included.
        n_observations: sum of the weights.
        n_parameters: free parameters P.
        trace: objective of the best start, iteration by iteration, at the points it accepted; it falls by
            no more than the `slack` of its method, 0 by default.
        starts: objective reached by each start.
        accuracy: the log-likelihood by the formula of the fit and as declared; None where they are one.
        by_formula: False where the formula of the model lost digits and the fit went on row by row.
        edges: (D,) raveled params that lie at an edge without being on it.
        quadrature: how far finer nodes move the log-likelihood; None where nothing is integrated numerically.
    """

    params: Any
    log_likelihood: float
    log_prior: float
    status: Status
    iterations: int
    evaluations: int
    seconds: float
    n_observations: float
    n_parameters: int
    trace: np.ndarray
    starts: np.ndarray
    dtype: str = "float64"
    name: str = "model"
    gradient: float | None = None
    compression: Compression | None = None
    accuracy: Accuracy | None = None
    quadrature: Quadrature | None = None
    by_formula: bool = True
    edges: np.ndarray | None = field(default=None, repr=False)
    notes: tuple[str, ...] = ()
    model: Any = field(default=None, repr=False)
    declaration: Any = field(default=None, repr=False)
    data: Data | None = field(default=None, repr=False)
    problem: Problem | None = field(default=None, repr=False)
    ends: Ends | None = field(default=None, repr=False)

    @property
    def objective(self) -> float:
        """Log-likelihood + log prior: what was maximised."""
        return self.log_likelihood + self.log_prior

    @property
    def aic(self) -> float:
        """Akaike's criterion, -2 log-likelihood + 2 P."""
        return -2 * self.log_likelihood + 2 * self.n_parameters

    @property
    def bic(self) -> float:
        """Schwarz's criterion, -2 log-likelihood + P log N."""
        return -2 * self.log_likelihood + self.n_parameters * float(np.log(self.n_observations))

    def _computing(self) -> Any:
        if self.model is None:
            raise ValueError("this Fit was loaded without its model: pass lem.load(path, model=...) to compute with it")
        return jax.enable_x64(self.dtype == "float64")

    def _read(self, x: Any) -> Data:
        """Checked observations: those given, or those of the fit."""
        from latentem.model.checks import read

        if x is None:
            if self.data is None:
                raise ValueError("this Fit holds no data: pass the observations")
            return self.data
        return read(self.model.declaration or self.declaration or self.model, x)[1]

    def sequences(self, x: Any = None) -> Sequences:
        """Observations of a chain model as sequences: those given, or those of the fit."""
        found = self._read(x).observations
        if not isinstance(found, Sequences):
            raise ValueError(f"{self.name} is no chain: its observations have no order")
        return found

    def _declared(self, x: Any, what: str = "") -> tuple[Form, Prepared]:
        """The declaration as it stands and these observations, or those of the fit; refused where it cannot `what`."""
        data = self._read(x)
        form = as_declared(self.model, data.observations)
        if why := form.can(what):
            raise ValueError(f"{what}: {why}")
        return form, form.of_new(data, self.dtype)

    def log_prob(self, x: Any = None) -> np.ndarray:
        """log p(x_n | params) of each observation, (N,); of the data fitted when `x` is None."""
        from latentem.ascent.iteration import row_log_prob

        with self._computing():
            form, prepared = self._declared(x)
            return np.asarray(row_log_prob(form, self._params(), prepared))

    def posterior(self, x: Any = None) -> Any:
        """Posterior of the latent value of each observation: a posterior whose arrays have a leading axis N."""
        with self._computing():
            _, prepared = self._declared(x, "posterior")
            return jax.tree.map(np.asarray, _posterior(self.model, self._params(), prepared.rows))

    def responsibilities(self, x: Any = None) -> np.ndarray:
        """p(z = k | x_n), (N, K), for latents on nodes; chunk by chunk, so that only the result is held."""
        from latentem.ascent.iteration import responsibilities

        with self._computing():
            form, prepared = self._declared(x, "responsibilities")
            return np.asarray(responsibilities(form, self._params(), prepared))

    def predict(self, x: Any = None) -> np.ndarray:
        """The most probable latent value of each observation, (N,) integers, for a `Finite` latent.

        Raises:
            ValueError: the latent is not finite, or of a chain.
        """
        from latentem.ascent.iteration import most_probable

        with self._computing():
            if why := as_declared(self.model).can("predict"):
                raise ValueError(f"predict: {why}")
            form, prepared = choose_form(self.model, self._read(x), self.dtype)
            return np.asarray(most_probable(form, self._params(), prepared))

    def sample(self, key: Any, n: int, **of_model: Any) -> Any:
        """`n` observations simulated from the fitted model, or one sequence of `n` steps; `of_model` is what its own
        sampler asks for besides.

        Raises:
            ValueError: when the model declares no sampler.
        """
        if "sample" in getattr(self.declaration, "verbs", ()):
            return self.declaration.sample(self, key, n, **of_model)
        if self.model is None or self.model.sample is None:
            raise ValueError(
                f"{self.name} declares no sampler: give lem.Model(..., sample=function (params, key) -> x)"
            )
        with self._computing():
            return jax.tree.map(np.asarray, as_declared(self.model).draws(self._params(), key, n))

    # --- inference: thin delegations to latentem.inference, whose docstrings say what is computed

    @cached_property
    def _estimate(self) -> Estimate:
        if self.model is None or self.data is None:
            missing = "model" if self.model is None else "data"
            raise ValueError(
                f"this Fit was loaded without its {missing}: pass lem.load(path, model=..., data=...) for these"
            )
        problem = self.problem
        if problem is None:
            return Estimate(self.model, self.data, self.params)
        distinct = Data(problem.distinct, np.asarray(problem.distinct_weights))
        on_anchors = problem.compression.basis is not None and self.dtype == "float64"
        anchored = (problem.form, problem.prepared) if on_anchors else None
        return Estimate(self.model, self.data, self.params, distinct, anchored, self.by_formula, self.edges)

    def _maximum(self, what: str) -> Estimate:
        status = self.status
        if not status.ok:
            raise ValueError(f"{what}: this fit has status {status.name}, so it is no maximum: {status.advice}")
        return self._estimate

    def information(
        self, kind: Any = "observed", *, coordinates: str = "free", key: Any = None, draws: int = 10_000
    ) -> np.ndarray:
        """Information matrix (P, P) at the params: see `latentem.inference.information.information`.

        Args:
            kind: "observed" (Oakes' identity), "complete", "score" or "expected" (by simulation). Abilities, of an item
                response model: information about ability there, its `test_information`.
            coordinates: "free" (the vector of `model.space`) or "natural" (the params that `free_names` names).
            key, draws: of the simulation for "expected".
        """
        if not isinstance(kind, str) and "test_information" in getattr(self.declaration, "verbs", ()):
            return self.test_information(kind)
        return information(self._estimate, kind, coordinates, key, draws)

    def standard_errors(self, kind: str = "observed") -> Any:
        """Standard errors, a pytree shaped like params, by the delta method.

        Args:
            kind: "observed", "score" or "sandwich".

        Returns:
            NaN for fixed params, for params at the edge of their set and for those that the data do not identify;
            `error_notes` says which and why.

        Raises:
            ValueError: the fit has not converged, or the information cannot be computed.

        >>> x = np.array([0.0, 1.0, 1.0, 2.0, 3.0, 2.0])
        >>> fit = lem.fit(lem.Mixture(lem.families.Poisson(), 1), x, key=jax.random.key(0))
        >>> np.round(fit.standard_errors()["components"]["rate"], 6)
        array([0.5])
        """
        return standard_errors(self._maximum("standard_errors"), kind)

    def error_notes(self, kind: str = "observed") -> tuple[str, ...]:
        """Why standard errors are NaN, one sentence for each reason; empty where all are there."""
        return errors(self._maximum("error_notes"), kind).notes

    def covariance(self, kind: str = "observed", *, coordinates: str = "natural") -> np.ndarray:
        """Covariance matrix of the estimates: of the raveled params (D, D), in the order of
        `model.space.natural_names`, or of the free vector (P, P) with `coordinates="free"`; NaN where there is no
        standard error."""
        if coordinates not in ("free", "natural"):
            raise ValueError(f"coordinates={coordinates!r}: expected 'free' or 'natural'")
        both = errors(self._maximum("covariance"), kind)
        return both.natural if coordinates == "natural" else both.free

    def confidence_intervals(self, level: float = 0.95, *, kind: str = "observed", scale: str = "natural") -> Bounds:
        """(lower, upper) of Wald intervals, two pytrees shaped like params.

        Args:
            level: confidence.
            kind: of standard error.
            scale: "natural": estimate -+ z standard errors; "free": the same on the log or logit scale and carried
                back, so that no interval leaves the set of the parameter.
        """
        return confidence_intervals(self._maximum("confidence_intervals"), level, kind, scale)

    def wald_test(self, hypothesis: Any, value: Any = 0.0, *, kind: str = "observed") -> WaldTest:
        """Wald test that params have given values: names, {name: value}, a matrix of contrasts, or a function of params
        (which equals `value` under the hypothesis)."""
        return wald_test(self._maximum("wald_test"), hypothesis, value, kind)

    def rate(self) -> Rate:
        """Linear rate of plain EM at the params, with the fractions of missing information it comes from."""
        return rate(self._maximum("rate"))

    def scores_per_observation(self) -> np.ndarray:
        """Gradient of log p(x_n | params) in the free vector, (N, P); weights are not applied."""
        return scores_per_observation(self._estimate)

    def influence(self) -> Influence:
        """Change of the params when each observation is dropped, to first order, without refitting."""
        return influence(self._maximum("influence"))

    def sensitivity(self, model: Any) -> Sensitivity:
        """What another declaration of the same params would change: the log-likelihood at the params, and the params by
        one Newton step, without refitting.

        Args:
            model: a `Model`, such as this one with another prior or other nodes; or the declaration of a ready model
                that has seen data, `fit.model.declaration`, with something replaced.

        Raises:
            ValueError: this fit is no maximum, or the other model has other params.
        """
        from latentem.model.checks import declare

        estimate = self._maximum("sensitivity")
        declared, _ = declare(model, estimate.data.observations)
        return sensitivity(estimate, declared, self.log_likelihood if self.dtype == "float64" else None)

    @cached_property
    def _errors(self) -> tuple[Any, tuple[str, ...]]:
        """(standard errors or None, why they are not there or not all): for reports, which must not fail over them."""
        if self.model is None or self.data is None:
            return None, ()
        if not self.status.ok:
            return None, ("no standard errors away from a maximum",)
        cells = self._cost() * float(self.n_parameters) ** 2
        if self.n_parameters > LARGEST_REPORTED or cells > REPORT_BUDGET:
            return None, ("standard errors are not computed unasked for a problem of this size: fit.standard_errors()",)
        try:
            return self.standard_errors(), self.error_notes()
        except Exception as error:
            reason = str(error).strip().splitlines()
            return None, (reason[0] if reason else type(error).__name__,)

    def _cost(self) -> int:
        """(observation, latent value) pairs of an E-step."""
        if self.problem is not None:
            return self.problem.form.cost(self.problem.prepared)
        assert self.data is not None
        with self._computing():
            form, prepared = choose_form(self.model, self.data, self.dtype)
            return form.cost(prepared)

    @cached_property
    def optima(self) -> tuple[Optimum, ...]:
        """Distinct optima that the starts converged to, best first, each with the number of starts that reached it.

        Optima of equal objective (components renamed, signs flipped) count as one. Starts that were given up early or
        did not converge are in none.
        """
        if self.problem is None or self.ends is None:
            return (Optimum(self.objective, self.params, 1),)
        with self._computing():
            form, prepared = self.problem.form, self.problem.prepared
            return optima(form, prepared, self.ends, self.starts, self.gradient is not None)

    def _params(self) -> Any:
        return jax.tree.map(lambda a: jnp.asarray(a, dtype=self.dtype), self.params)

    def summary(self) -> str:
        """Estimates with standard errors and intervals, log-likelihood, criteria and status as text."""
        from latentem.results.summary import summary

        return summary(self)

    def to_dict(self) -> dict[str, Any]:
        """Plain Python numbers and lists, ready for JSON. `standard_errors` is shaped like `parameters`, with None for
        those that are not there; None where there are none at all."""
        errors = self._errors[0]
        return {
            **self._facts(),
            "parameters": jax.tree.map(lambda a: np.asarray(a).tolist(), self.params),
            "standard_errors": None if errors is None else jax.tree.map(_without_nan, errors),
        }

    def _facts(self) -> dict[str, Any]:
        return {
            "model": self.name,
            "n_observations": _number(self.n_observations),
            "n_parameters": self.n_parameters,
            "log_likelihood": self.log_likelihood,
            "log_prior": self.log_prior,
            "aic": self.aic,
            "bic": self.bic,
            "status": self.status.name,
            "iterations": self.iterations,
            "evaluations": self.evaluations,
            "seconds": self.seconds,
            **({} if self.quadrature is None else {"quadrature": self.quadrature.difference}),
        }

    def save(self, path: str | Path) -> Path:
        """Write one file: a NumPy archive with a JSON header, no pickle. The model itself is code and is not saved.

        Returns:
            The path written, ending in .npz.
        """
        header = {
            **{k: v for k, v in self._facts().items() if k != "model"},
            "name": self.name,
            "dtype": self.dtype,
            "gradient": self.gradient,
            "notes": list(self.notes),
        }
        return archive.write(Path(path), header, self.params, {"trace": self.trace, "starts": self.starts})

    def __getattr__(self, verb: str) -> Any:
        """Verbs of a ready model: `fit.verb(...)` is `declaration.verb(fit, ...)`; and its figures, computed when they
        are first asked for: `fit.figure` is `declaration.figure(fit)`."""
        declaration = self.__dict__.get("declaration")
        if verb in getattr(declaration, "figures", ()):
            self.__dict__[verb] = getattr(declaration, verb)(self)
            return self.__dict__[verb]
        if verb in getattr(declaration, "verbs", ()):
            method = getattr(declaration, verb)
            return lambda *args, **kwargs: method(self, *args, **kwargs)
        raise AttributeError(f"Fit of {self.__dict__.get('name', 'a model')} has no {verb!r}")


@jit
def _identity(x: Any) -> Any:
    return x


def _posterior(model: Any, params: Any, rows: Any) -> Any:
    return _compiled_posterior(model, params, rows)


_compiled_posterior = jit(
    lambda model, params, rows: jax.vmap(lambda x: model.posterior(params, x))(rows), static_argnums=0
)


def _without_nan(a: Any) -> Any:
    """Nested lists with None in place of NaN."""
    return [_without_nan(b) for b in a] if np.ndim(a) else (float(a) if np.isfinite(a) else None)


def _number(x: float) -> int | float:
    return int(x) if float(x).is_integer() else float(x)
