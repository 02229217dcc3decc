"""The most probable labels of two classes on a lattice, exactly: a minimum cut (Greig, Porteous and Seheult 1989)."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import scipy.sparse as sp
from jaxtyping import Bool, Float
from scipy.sparse.csgraph import breadth_first_order, maximum_flow

from latentem.forms.lattice import LatticeForm, Vector
from latentem.numerics.lattice import pairs

#: Capacities are whole numbers below 2^31; so many steps stand for all the neighbours of a site.
STEPS = 2**28


def minimum_cut(gain: Float[np.ndarray, "*lattice"], neighbours: int, coupling: float) -> Bool[np.ndarray, "*lattice"]:
    """The labels z that maximise sum of z * gain - coupling * pairs of neighbours that differ.

    Args:
        gain: log density of class 1 minus that of class 0.
        neighbours: of a site.
        coupling: >= 0; costs are rounded to 4e-9 of the neighbours' sum.
    """
    if coupling == 0:
        return gain > 0
    shape, n = gain.shape, gain.size
    most = coupling * neighbours
    scale = STEPS / most
    # What outweighs all neighbours decides by itself, however much.
    whole = np.rint(np.clip(gain.ravel(), -1.01 * most, 1.01 * most) * scale).astype(np.int32)
    site = np.arange(n).reshape(shape)
    found = pairs(len(shape), neighbours)
    a = np.concatenate([site[p.first].ravel() for p in found])
    b = np.concatenate([site[p.second].ravel() for p in found])
    source, sink = n, n + 1
    up, down = np.flatnonzero(whole > 0), np.flatnonzero(whole < 0)
    rows = np.concatenate([a, b, np.full(len(up), source), down])
    columns = np.concatenate([b, a, up, np.full(len(down), sink)])
    edge = np.full(2 * len(a), int(round(coupling * scale)), np.int32)
    capacity = sp.csr_array(
        (np.concatenate([edge, whole[up], -whole[down]]).astype(np.int32), (rows, columns)), shape=(n + 2, n + 2)
    )
    left = capacity - maximum_flow(capacity, source, sink).flow
    left.eliminate_zeros()
    reached = breadth_first_order(left, source, return_predecessors=False)
    labels = np.zeros(n + 2, bool)
    labels[reached] = True
    return labels[:n].reshape(shape)


class CutForm(LatticeForm):
    """Two classes fitted to their most probable labels: hard EM, whose objective is log p(image, labels)."""

    exact: ClassVar[bool] = False

    def update(self, theta: Vector) -> tuple[Vector, float]:
        mean, covariance, _ = self.split(theta)
        density = self.log_density(mean, covariance)
        gain = density[1] - density[0]
        if self.fixed is not None:
            far = 2.0 * self.coupling * self.neighbours + 1.0 + np.abs(gain)
            gain = np.where(self.fixed == 1, far, np.where(self.fixed == 0, -far, gain))
        labels = minimum_cut(gain, self.neighbours, self.coupling)
        q = np.stack([~labels, labels]).astype(np.float64)
        return self.joined(*self.maximize(q), q), self.bound(q, density)

    def remarks(self, theta: Vector) -> tuple[str, ...]:
        told = "the objective is log p(image, labels) of the most probable labels, with a bound of log Z"
        told = f"{told}; classes fitted to labels are biased where they overlap"
        return (told, self.note) if self.note else (told,)
