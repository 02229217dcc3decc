"""Score of each observation: the gradient of log p(x_n | params) in the free vector u."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from latentem.inference.estimate import Estimate
from latentem.numerics.compiled import jit

scores_of_rows = jit(lambda form, u, prepared: form.scores(u, prepared), static_argnums=0)
"""Scores of all rows, computed in chunks; of all sequences of a chain."""

score_products = jit(lambda form, u, prepared: form.score_products(u, prepared), static_argnums=0)
"""sum_n w_n s_n s_n', without the (N, P) scores of rows ever being stored."""


def scores_per_observation(estimate: Estimate) -> Float[np.ndarray, "N P"]:
    """Gradient of log p(x_n | params) in the free vector, one row for each observation, weights not applied.

    At a maximum of the likelihood `weights @ scores` is zero.
    """
    return estimate.kept("scores", lambda: estimate.at_data(scores_of_rows, every_row=True))
