"""How strongly neighbours agree: the coupling of a Potts field, from simulated fields.

Labels are drawn site by site given the image and the current params, and the coupling is what makes the drawn field
most probable site by site (pseudo-likelihood, Besag 1975; simulated fields, Celeux, Forbes and Peyrard 2003). Under the
mean field itself pseudo-likelihood runs away: it takes certain labels for certain agreement.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int
from scipy.special import logsumexp

from latentem.building import LatticeForm, colours, every_second, neighbour_sum, pairs

#: A field of larger coupling is of one colour.
LARGEST = 4.0


def estimate_coupling(form: LatticeForm, rounds: int, seed: int) -> float:
    """The mean coupling of the second half of the rounds, after couplings that rise from 0 to what the fields say.

    Args:
        form: image, classes and neighbours; its own coupling is not used.
        rounds: of one draw of all labels, an M-step of the classes, and one of the coupling.
        seed: of the draws.
    """
    rng = np.random.default_rng(seed)
    q = form.first.copy()
    label = q.argmax(axis=0)
    coupling, kept = 0.0, []
    for done in range(rounds):
        density = form.log_density(*form.maximize(q))
        label, q = draw(label, density, form.neighbours, coupling, rng)
        found = most_plausible(label, form.classes, form.neighbours)
        coupling = found if done >= 5 else min(found, 0.2 * (done + 1))  # rises slowly, so that no class is lost
        if done >= rounds // 2:
            kept.append(found)
    return float(np.mean(kept))


def draw(
    label: Int[np.ndarray, "*lattice"],
    density: Float[np.ndarray, " K *lattice"],
    neighbours: int,
    coupling: float,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """(labels drawn once each given their neighbours, probabilities that they were drawn with)."""
    classes, dims = len(density), label.ndim
    padded = np.pad(label, 1, constant_values=-1)
    probabilities = np.empty_like(density)
    offsets = [o for p in pairs(dims, neighbours) for o in (p.offset, tuple(-i for i in p.offset))]
    for corner, sites in colours(label.shape):
        here = tuple(slice(c, None, 2) for c in corner)
        logit = density[(slice(None), *here)].copy()
        for offset in offsets:
            near = padded[every_second(corner, sites, offset)]
            for k in range(classes):
                logit[k] += coupling * (near == k)
        logit -= logit.max(axis=0)
        p = np.exp(logit)
        p /= p.sum(axis=0)
        probabilities[(slice(None), *here)] = p
        below = np.cumsum(p, axis=0)
        drawn = np.minimum((rng.random(sites) > below).sum(axis=0), classes - 1)
        padded[every_second(corner, sites, (0,) * dims)] = drawn
    return padded[tuple(slice(1, -1) for _ in label.shape)].copy(), probabilities


def most_plausible(label: Int[np.ndarray, "*lattice"], classes: int, neighbours: int) -> float:
    """The coupling of the largest pseudo-likelihood of a field, 0 to `LARGEST`: Newton in one number, concave."""
    same = np.stack([neighbour_sum((label == k).astype(np.float64), neighbours) for k in range(classes)])
    seen = float(np.take_along_axis(same, label[None], 0).sum())
    coupling = 0.5
    for _ in range(50):
        logit = coupling * same
        p = np.exp(logit - logsumexp(logit, axis=0))
        mean = (p * same).sum(axis=0)
        slope = seen - float(mean.sum())
        bend = float(((p * same**2).sum(axis=0) - mean**2).sum())
        new = float(np.clip(coupling + slope / max(bend, 1e-12), 0.0, LARGEST))
        if abs(new - coupling) < 1e-10:
            break
        coupling = new
    return coupling
