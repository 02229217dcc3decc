"""Fit: params, status, trace, and what a statistician asks of them next."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from functools import cached_property, wraps
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from latentem.ascent.optima import Ends, Optimum, optima
from latentem.ascent.status import Status
from latentem.data import Data
from latentem.forms.anchors.search import Compression
from latentem.forms.choose import Problem
from latentem.inference.accuracy import Accuracy, Quadrature
from latentem.inference.estimate import Estimate
from latentem.model import Model
from latentem.model.declared import read_new
from latentem.results import augmenting, estimates, inferring, relabelling, reporting, saving, scoring


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
        model: the `Model` that was fitted, with what its data said about it; None where it was loaded without.
        declaration: the model as the user stated it.
        data: observations and weights; None where it was loaded without.
        accuracy: the log-likelihood by the formula of the fit and as declared; None where they are one.
        by_formula: False where the formula of the model lost digits and the fit went on row by row.
        edges: (D,) raveled params that lie at an edge without being on it.
        quadrature: how far finer nodes move the log-likelihood; None where nothing is integrated numerically.
        given: the data as the user gave them.
        weighted: whether observations had weights.

    Verbs of a ready model are verbs of its fits: `fit.viterbi()`; `dir(fit)` lists them.
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
    notes: tuple[str, ...] = ()
    model: Any = field(default=None, repr=False)
    declaration: Any = field(default=None, repr=False)
    data: Data | None = field(default=None, repr=False)
    problem: Problem | None = field(default=None, repr=False)
    ends: Ends | None = field(default=None, repr=False)
    accuracy: Accuracy | None = None
    quadrature: Quadrature | None = None
    by_formula: bool = True
    edges: np.ndarray | None = field(default=None, repr=False)
    given: Any = field(default=None, repr=False, compare=False)
    weighted: bool = False

    # --- of observations
    log_prob = scoring.log_prob
    posterior = scoring.posterior
    expect = scoring.expect
    responsibilities = scoring.responsibilities
    predict = scoring.predict
    sample = scoring.sample
    sequences = scoring.sequences

    # --- of the estimates
    information = inferring.information
    standard_errors = inferring.standard_errors
    error_notes = inferring.error_notes
    covariance = inferring.covariance
    confidence_intervals = inferring.confidence_intervals
    wald_test = inferring.wald_test
    rate = inferring.rate
    scores_per_observation = inferring.scores_per_observation
    influence = inferring.influence
    sensitivity = inferring.sensitivity

    # --- the same in another order
    relabel = relabelling.relabel
    sorted = relabelling.sorted_by

    # --- to be read and kept
    table = estimates.table
    augment = augmenting.augment
    summary = reporting.summary
    to_dict = reporting.to_dict
    save = saving.save
    __deepcopy__ = saving.deepcopy

    def __reduce__(self) -> Any:
        return saving.reduce(self)

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

    @cached_property
    def optima(self) -> tuple[Optimum, ...]:
        """Distinct optima that the starts converged to, best first, each with the number of starts that reached it.

        Optima of equal objective (components renamed, signs flipped) count as one. Starts that were given up early or
        did not converge are in none.
        """
        if self.problem is None or self.ends is None:
            return (Optimum(self.objective, self.params, 1),)
        with self.computing():
            form, prepared = self.problem.form, self.problem.prepared
            return optima(form, prepared, self.ends, self.starts, self.gradient is not None)

    # --- what verbs compute with

    def _refuse_host(self) -> None:
        """One line for what takes a `Model`, where the fit climbed on the host."""
        if hasattr(self.declaration, "on_host"):
            verbs = ", ".join((*getattr(self.declaration, "figures", ()), *self.declaration.verbs))
            raise ValueError(f"{self.name} climbs on the host and has verbs of its own in place of this: {verbs}")

    def computing(self) -> Any:
        """The floating point of the fit, as a context.

        Raises:
            ValueError: the fit was loaded without its model.
        """
        self._refuse_host()
        if self.model is None:
            raise ValueError("this Fit was loaded without its model: pass lem.load(path, model=...) to compute with it")
        return jax.enable_x64(self.dtype == "float64")

    def at(self, x: Any = None) -> tuple[Model, Data]:
        """(the model, checked observations): those given, read as the data of the fit were, or those of the fit.

        The model is that of the fit, but where new data lack entries that its data had.
        """
        self._refuse_host()
        if x is None:
            if self.data is None:
                raise ValueError("this Fit holds no data: pass the observations, or lem.load(path, data=...)")
            return self.model, self.data
        self.computing()
        return read_new(self.model, x)

    def as_arrays(self) -> Any:
        """The params on the device."""
        return jax.tree.map(lambda a: jnp.asarray(a, dtype=self.dtype), self.params)

    @cached_property
    def _estimate(self) -> Estimate:
        self._refuse_host()
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

    @cached_property
    def _errors(self) -> tuple[Any, tuple[str, ...]]:
        """(standard errors or None, why they are not there or not all): for reports, which must not fail over them."""
        return reporting.errors_of(self)

    # --- verbs of ready models

    @property
    def _ready(self) -> Any:
        """The ready model that was fitted, with what its data said about it."""
        model = self.__dict__.get("model")
        return getattr(model, "declaration", None) or self.__dict__.get("declaration")

    def __getattr__(self, verb: str) -> Any:
        """Verbs of a ready model: `fit.verb(...)` is `declaration.verb(fit, ...)`; and its figures, computed when they
        are first asked for: `fit.figure` is `declaration.figure(fit)`."""
        if verb.startswith("__"):
            raise AttributeError(verb)
        ready = self._ready
        if verb in getattr(ready, "figures", ()):
            self.__dict__[verb] = getattr(ready, verb)(self)
            return self.__dict__[verb]
        if verb in getattr(ready, "verbs", ()):
            return _asked(getattr(ready, verb), self)
        near = _nearest(verb, dir(self))
        hint = f": did you mean {near}?" if near else "; dir(fit) lists what it has"
        raise AttributeError(f"Fit of {self.__dict__.get('name', 'a model')} has no {verb!r}{hint}")

    def __dir__(self) -> Iterable[str]:
        own = {f.name for f in fields(self)} | {name for name in dir(type(self)) if not name.startswith("_")}
        return sorted(own | {*getattr(self._ready, "verbs", ()), *getattr(self._ready, "figures", ())})


def _asked(verb: Any, fit: Fit) -> Any:
    """A verb of a ready model as a method of its fit."""

    @wraps(verb)
    def ask(*args: Any, **kwargs: Any) -> Any:
        return verb(fit, *args, **kwargs)

    signature = inspect.signature(verb)
    ask.__signature__ = signature.replace(parameters=list(signature.parameters.values())[1:])  # pyright: ignore
    return ask


def _nearest(name: str, names: Iterable[str]) -> str | None:
    """The name that was meant, if it is near."""
    lower = {known.lower(): known for known in names}
    close = difflib.get_close_matches(name.lower(), lower, n=1, cutoff=0.7)
    return lower[close[0]] if close else None
