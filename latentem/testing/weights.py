"""A row of weight 3 is three rows, and a row of weight 0 is none."""

from __future__ import annotations

import numpy as np

from latentem.testing.case import Case
from latentem.testing.objective import plain_steps
from latentem.testing.report import Part

NAME = "weights"


def weights_part(case: Case) -> Part:
    """Whether rows of weights 1, 2, 3 give the objective and the EM step that repeated rows give.

    Both data sets have as many rows as the data, so that nothing compiles anew: the weighted one is filled up
    with rows of weight 0, which must count for nothing.
    """
    n = len(case.prepared.weights)
    # Data often come sorted: the rows that are kept are spread over all of them.
    spread = np.argsort(np.arange(1, n + 1) * 0.618034 % 1.0)
    counts = np.arange(n) % 3 + 1
    counts = np.diff(np.minimum(np.cumsum(counts), n), prepend=0)
    objectives, once = _steps(case, spread, counts.astype(np.float64))
    objectives_of_copies, once_of_copies = _steps(case, np.repeat(spread, counts), np.ones(n))
    size = 1.0 + np.abs(objectives_of_copies)
    apart = np.nan_to_num(np.abs(objectives - objectives_of_copies) / size, nan=0.0) > 1e-9
    if np.any(apart[:, 0]):
        s = int(np.argmax(apart[:, 0]))
        both = f"{objectives[s, 0]:.9g} with weights and {objectives_of_copies[s, 0]:.9g} with repeated rows"
        return Part(NAME, False, f"the objective is {both}: something computed from all data ignores them")
    gap = np.abs(once - once_of_copies) / (1.0 + np.abs(once_of_copies))
    gap = np.where(np.isnan(once) & np.isnan(once_of_copies), 0.0, np.nan_to_num(gap, nan=np.inf))
    s, i = np.unravel_index(np.argmax(gap), gap.shape)
    if gap[s, i] <= 1e-6:
        return Part(NAME, True, f"weights and repeated rows give the same EM step, to {gap[s, i]:.1e}")
    if not np.any(apart):
        # A param that the data do not determine goes where rounding sends it.
        return Part(NAME, True, "an EM step leads to the same objective with weights and with repeated rows")
    label = case.model.space.natural_names[i]
    both = f"{once[s, i]:.6g} with weights and {once_of_copies[s, i]:.6g} with repeated rows"
    return Part(NAME, False, f"an EM step gives {label} = {both}: the M-step ignores the weights")


def _steps(case: Case, index: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(objective before and after an EM step from each start, raveled params after it)."""
    objectives, once = plain_steps(case, case.of_new(case.data.take(index, weights)))
    return objectives[:, :2], once
