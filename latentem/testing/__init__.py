"""Coherence checks that users run on models of their own: `check` names the part that is wrong.

What flows in: a model and data, a key.
What flows out: `Report`: one `Part` for each claim, passed or not, with the numbers that say so.

`case` is what every part looks at; `certificate`, `score`, `objective`, `weights`, `closed_form`, `separable` and
`starts` hold one part each, a function `(case) -> Part | None`, None where it does not apply.

To add one: such a function in a file of its own and its place in `PARTS`; a test that breaks a model in just this way.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from latentem.ascent.mstep import resolve
from latentem.forms.choose import Wishes, choose
from latentem.model.checks import check_declaration
from latentem.model.declared import declare
from latentem.testing.case import Case, generic_point
from latentem.testing.certificate import posterior_part
from latentem.testing.closed_form import closed_form_part
from latentem.testing.density import density_part
from latentem.testing.field import check_field
from latentem.testing.lookups import indices_part, quadrature_part, unused_part
from latentem.testing.objective import objective_part
from latentem.testing.report import Part, Report
from latentem.testing.score import score_part
from latentem.testing.separable import factors_part, separable_part
from latentem.testing.starts import draw_starts
from latentem.testing.weights import weights_part

__all__ = ["Part", "Report", "check"]

#: Rows that are looked at; a larger data set is thinned evenly.
ROWS = 1000

PARTS: tuple[Callable[[Case], Part | None], ...] = (
    indices_part,
    unused_part,
    posterior_part,
    density_part,
    quadrature_part,
    score_part,
    objective_part,
    weights_part,
    closed_form_part,
    separable_part,
    factors_part,
)


def check(model: Any, data: Any, key: Any, *, weights: Any = None) -> Report:
    """Check that the parts of a model belong together, and name the one that does not.

    Args:
        model: a `Model`, or a ready model such as `GaussianMixture(3)`.
        data: observations as for `lem.fit`; at most 1,000 rows, or sequences, are looked at, evenly spaced.
        key: typed PRNG key, for three starts.
        weights: (N,) weights of the observations.

    Returns:
        A `Report` with one part for each of these that applies:

        - initial values: drawn starts lie inside their constraints;
        - indices: log p(x, z) looks up nothing that is out of range, for any row and latent value;
        - unused: every param appears in log p(x, z);
        - posterior: log p(x, z) - log p(z | x) does not depend on z and is log p(x);
        - density: p(x) sums or integrates to one, where x is counts, categories or one or two numbers; a sampler's
          mean score is zero;
        - quadrature: one node more, a wider grid and adaptive nodes move log p(x) by little;
        - score: Fisher's identity agrees with autodiff of the log-likelihood;
        - objective: it never falls in ten EM steps from three starts, by the closed M-step where there is one
          and by the derived one otherwise;
        - weights: they are equivalent to repeated rows;
        - closed M-step: it maximises Q + log prior, or settles where the objective is stationary;
        - separable form: features . natural is the declared log p(x, z); factors of a chain: log p of its sequences.

        Of a model with a `lem.Field`: score (against differences), objective, and a dense twin, the whole field written
        out as one vector where it has at most 200 entries.

    Raises:
        ValueError, TypeError: as `lem.fit`, for data or a declaration that cannot be used at all.

    >>> def cll(params, x, z):
    ...     rate = params["rate"][z]
    ...     return jnp.log(params["weight"][z]) + jax.scipy.stats.poisson.logpmf(x, rate)
    >>> model = lem.Model(cll, lem.Finite(2), {"weight": lem.simplex(2), "rate": lem.positive(2)})
    >>> lem.check(model, np.array([0.0, 1.0, 5.0, 2.0]), jax.random.key(0)).passed
    True
    """
    if getattr(getattr(model, "latent", None), "shared", False):
        return check_field(model, data, key, weights)
    with jax.enable_x64(True):
        case, initial = build_case(model, data, key, weights)
        parts = (initial, *(part(case) for part in PARTS))
    return Report(case.model.name, tuple(part for part in parts if part is not None))


def build_case(model: Any, data: Any, key: Any, weights: Any = None) -> tuple[Case, Part]:
    """What every part looks at, and the verdict on the starts; arguments as for `check`.

    Call it, and the parts, inside `jax.enable_x64(True)`.
    """
    declared, observations = declare(model, data)
    read = declared.latent.read(observations, weights)
    check_declaration(declared, read.observations)
    thin = read.take(np.arange(0, read.n, -(-read.n // ROWS)))
    problem = choose(declared, thin, Wishes(compress=False))
    form, prepared = problem.form, problem.prepared
    starts, initial = draw_starts(problem, key)
    point = generic_point(form, jax.tree.map(lambda a: a[0], starts), prepared)
    return Case(form, resolve("auto", form), thin, prepared, starts, point), initial
