"""How many digits a log-likelihood has: that of the form a fit ran on beside the declaration's, and that of its
quadrature rule beside finer ones.

A form may cancel where the declaration does not: squares expanded about one centre lose what lies far from it. And no
rule of nodes says by itself how far off its integral is; a rule of one node more does.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Float

from latentem.forms import Form, Prepared, RowForm, SeparableForm
from latentem.forms.hard import HardForm
from latentem.model import Model
from latentem.model.latents import Continuous
from latentem.numerics.compiled import seldom

#: Rows on which a form is compared with the declaration, and rules with each other.
ROWS, INTEGRALS = 2048, 200
#: Nodes, per dimension, of the adaptive rule that others are compared with, and of the one that it is compared with.
ADAPTIVE = (15, 21)
#: A grid is also compared with one that reaches so much further, at the same distance of nodes.
WIDER = 1.5


@dataclass(frozen=True)
class Accuracy:
    """A log-likelihood by the form of a fit and by the declaration, at one point.

    Args:
        form, declared: log-likelihood of the rows looked at, in nats.
        rounding: what rounding alone may make of their difference.
        complete: whether every row was looked at.
    """

    form: float
    declared: float
    rounding: float
    complete: bool

    @property
    def holds(self) -> bool:
        """Whether they differ by no more than rounding; also where the declaration itself is not finite."""
        return not abs(self.form - self.declared) > self.rounding


def accuracy(form: Form, params: Any, prepared: Prepared) -> Accuracy | None:
    """The log-likelihood of a formula on rows beside that of the declaration; None where the form is no formula whose
    rows are the observations, or one of indicators, which cannot cancel.

    Args:
        form, prepared: what a fit ran on.
        params: where, arrays of the fit's precision; call it inside that precision.
    """
    if type(form) not in (SeparableForm, HardForm):
        return None
    separable = form.separable  # pyright: ignore[reportAttributeAccessIssue]
    if separable.basis is not None or separable.e_step is not None:
        return None
    n = prepared.weights.shape[0]
    rows, weights = prepared.rows, np.asarray(prepared.weights, np.float64)
    if n > ROWS:
        chosen = np.linspace(0, n - 1, ROWS).astype(int)
        rows, weights = jax.tree.map(lambda a: np.asarray(a)[chosen], rows), weights[chosen]
    by_form, declared = (np.asarray(a, np.float64) for a in _both(form, params, prepared.context, rows))
    used = (weights > 0) & np.isfinite(declared)
    w, by_form, declared = weights[used], by_form[used], declared[used]
    eps = float(np.finfo(jax.tree.leaves(params)[0].dtype).eps)
    rounding = max(256 * eps, 1e-9) * float(np.sum(w * (1 + np.abs(declared))))
    return Accuracy(float(np.sum(w * by_form)), float(np.sum(w * declared)), rounding, n <= ROWS)


@seldom
def _both(form: Form, params: Any, context: Any, rows: Any) -> tuple[Array, Array]:
    return form.row_log_prob(params, context, rows), RowForm(form.model).row_log_prob(params, (), rows)


@dataclass(frozen=True)
class Quadrature:
    """How far finer rules move the log-likelihood at the params of a fit.

    Args:
        difference: in nats, of all rows; estimated from `rows` of them.
        rule: the rule that moves it most.
        rows: rows looked at.
    """

    difference: float
    rule: str
    rows: int

    def __str__(self) -> str:
        return f"{self.rule} moves the log-likelihood by {self.difference:.2g} nats"


def quadrature_error(model: Model, params: Any, observations: Any, weights: np.ndarray) -> Quadrature | None:
    """How far off the log-likelihood is for its nodes; None where the latent value is not integrated numerically.

    Args:
        model: the declaration, of independent observations.
        params: where, arrays; call it inside the precision of the fit.
        observations, weights: rows on the host, of which up to 200 are looked at, evenly spaced.
    """
    latent = model.latent
    if not isinstance(latent, Continuous) or latent.method == "hessian":
        return None
    used = np.flatnonzero(weights > 0)
    chosen = used[np.linspace(0, len(used) - 1, min(len(used), INTEGRALS)).astype(int)]
    rows = jax.tree.map(lambda a: np.asarray(a)[chosen], observations)
    w = weights[chosen] * (np.sum(weights) / np.sum(weights[chosen]))

    def total(rule: Continuous) -> float:
        values = np.asarray(_log_prob(replace(model, latent=rule), params, rows), np.float64)
        return float(np.sum(w * values))

    here = total(latent)
    finer = replace(latent, size=2 * latent.count if latent.method == "sobol" else latent.count + 1)
    found = [(abs(total(finer) - here), f"a rule of {finer.count} nodes")]
    if latent.method == "grid":
        low, high = latent.bounds
        reach = WIDER * (high - low) / 2
        middle = (low + high) / 2
        wider = replace(latent, bounds=(middle - reach, middle + reach), size=int(WIDER * latent.count))
        found.append((abs(total(wider) - here), "a wider grid"))
    if latent.dim <= 3 and latent.method != "adaptive":
        few, many = (total(replace(latent, method="adaptive", size=size, scale=None)) for size in ADAPTIVE)
        if abs(few - many) <= 0.1 * abs(many - here):
            # What adaptive nodes say counts only where more of them say the same.
            found.append((abs(many - here), "adaptive nodes"))
    difference, rule = max(found, key=lambda pair: pair[0] if np.isfinite(pair[0]) else np.inf)
    return Quadrature(difference, rule, len(chosen))


@seldom
def _log_prob(model: Model, params: Any, rows: Any) -> Float[Array, " n"]:
    return RowForm(model).row_log_prob(params, (), rows)
