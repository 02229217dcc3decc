"""Score of each observation: the gradient of log p(x_n | params) in the free vector u."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import jax
import numpy as np
from jaxtyping import Float

from latentem.forms.choose import choose_form
from latentem.inference.estimate import Estimate
from latentem.numerics.compiled import jit

scores_of_rows = jit(lambda form, u, prepared: form.scores(u, prepared), static_argnums=0)
"""Scores of all rows, computed in chunks; of all sequences of a chain."""

score_products = jit(lambda form, u, prepared: form.score_products(u, prepared), static_argnums=0)
"""sum_n w_n s_n s_n', without the (N, P) scores of rows ever being stored."""


#: Rows whose scores are held at once where only what is made of them is kept.
ROWS = 1 << 15


def scores_by_parts(estimate: Estimate) -> Iterator[tuple[slice, Float[np.ndarray, "n P"]]]:
    """(observations, their scores), part by part; all at once where they are no rows."""
    with jax.enable_x64(True):
        form, prepared = choose_form(estimate.model, estimate.data, by_formula=estimate.by_formula)
        n = prepared.weights.shape[0]
        few = form.unit != "row" or n <= ROWS
        every = np.asarray(scores_of_rows(form, estimate.u, prepared)) if few else None
        host = jax.tree.map(np.asarray, (prepared.rows, prepared.weights))
    if every is not None:
        yield slice(0, n), every
        return
    for start in range(0, n, ROWS):
        here = slice(min(start, n - ROWS), min(start, n - ROWS) + ROWS)  # of one length, for one program
        with jax.enable_x64(True):
            rows, weights = jax.tree.map(lambda a, here=here: a[here], host)
            found = np.asarray(scores_of_rows(form, estimate.u, replace(prepared, rows=rows, weights=weights)))
        yield slice(start, here.stop), found[start - here.start :]


def scores_per_observation(estimate: Estimate) -> Float[np.ndarray, "N P"]:
    """Gradient of log p(x_n | params) in the free vector, one row for each observation, weights not applied.

    At a maximum of the likelihood `weights @ scores` is zero.
    """
    return estimate.kept("scores", lambda: estimate.at_data(scores_of_rows, every_row=True))
