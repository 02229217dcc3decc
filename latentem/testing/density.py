"""p(x | params) is a density: it sums or integrates to one over what x may be.

It is what a forgotten log weight, a forgotten log p(z), a density that was not logged or a missing scale spoil, while
EM climbs as if nothing were wrong. Where x has parts, the rest of an observation is held and each part is tried: a
model of a response given covariates is a density of the response. Several counts may add up to a number that is
given, so that their sum proves nothing against them. Where nothing of x can be summed over, a sampler
says whether the expected score is zero, and log p(x) > 0 of counts or categories is impossible in any case.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from latentem.forms import RowForm
from latentem.model import Model
from latentem.numerics.compiled import seldom
from latentem.testing.case import Case
from latentem.testing.report import Part

NAME = "density"
#: Most combinations of categories, and nodes of an integral, that are gone through.
MOST = 4096
#: How far from one the total may lie.
TOLERANCE = 1e-3
#: Simulated observations, and standard errors from zero beyond which their mean score is not.
DRAWS, BEYOND = 2000, 6.0


def density_part(case: Case) -> Part | None:
    """Whether p(x) sums or integrates to one, as far as that can be found out."""
    if case.model.latent.hard or case.form.unit != "row":
        return None  # the classification likelihood is no density; sequences have no one length to sum over
    rows = jax.tree.map(np.asarray, case.prepared.rows)
    names, leaves, structure = _parts(rows)
    values = np.asarray(_log_prob(case.model, case.point, rows))
    if all(_is_discrete(a) for a in leaves) and np.nanmax(values, initial=-np.inf) > 1e-9:
        told = f"log p(x) is {np.nanmax(values):.4g} for a row of counts or categories, whose probability is above 1"
        return Part(NAME, False, f"{told}: every term is to be a log-density")
    totals = [(name, _totals(case, structure, leaves, i)) for i, name in enumerate(names)]
    known = [(name, found) for name, found in totals if found is not None]
    whole = [name for name, found in known if any(abs(total - 1) < TOLERANCE for total in found)]
    if whole:
        of = f" over {whole[0]}" if len(leaves) > 1 else ""
        return Part(NAME, True, f"p(x){of} adds up to 1")
    if known and len(leaves) == 1 and np.prod(leaves[0].shape[1:]) <= (1 if _is_discrete(leaves[0]) else 2):
        total = min(known[0][1], key=lambda t: abs(t - 1))
        told = f"p(x) adds up to {total:.6g} over all x, not to 1"
        return Part(NAME, False, f"{told}: look for a log weight, log p(z), log or scale that was forgotten")
    return _sampler(case)


def _parts(rows: Any) -> tuple[list[str], list[np.ndarray], Any]:
    found, structure = jax.tree_util.tree_flatten_with_path(rows)
    return [jax.tree_util.keystr(path) or "x" for path, _ in found], [np.asarray(a) for _, a in found], structure


def _is_discrete(a: np.ndarray) -> bool:
    seen = a[~np.isnan(a)] if np.issubdtype(a.dtype, np.floating) else a
    return bool(np.all(seen == np.floor(seen)))


def _totals(case: Case, structure: Any, leaves: list[np.ndarray], part: int) -> tuple[float, ...] | None:
    """What p adds up to over one part of x, the rest held at the first row: as counts or categories and as a number,
    whichever may apply; None where it is too wide."""
    leaf = leaves[part]
    width = int(np.prod(leaf.shape[1:]))
    seen = leaf[~np.isnan(leaf)] if np.issubdtype(leaf.dtype, np.floating) else leaf
    if seen.size == 0 or width == 0:
        return None
    found = []
    if _is_discrete(leaf):
        low, high = int(seen.min()), int(seen.max())
        few = range(min(low, 0), high + 1)
        if len(few) ** width <= MOST:
            # Codes may end where the data do; counts go on.
            found.append(_sum(case, structure, leaves, part, np.array(list(product(few, repeat=width)), float)))
        if width == 1 and low >= 0:
            found.append(_sum(case, structure, leaves, part, np.arange(0.0, min(20 * high + 200, 10 * MOST))[:, None]))
    if width == 1:
        found.extend(_integrals(case, structure, leaves, part, seen))
    elif width == 2 and not _is_discrete(leaf):
        found.append(_plane(case, structure, leaves, part))
    return tuple(found) or None


def _sum(case: Case, structure: Any, leaves: list[np.ndarray], part: int, points: np.ndarray) -> float:
    """The sum of p over values (M, width) of one part of x."""
    return float(np.sum(_at(case, structure, leaves, part, points)))


def _at(case: Case, structure: Any, leaves: list[np.ndarray], part: int, points: np.ndarray) -> np.ndarray:
    """p at values (M, width) of one part of x; 0 where it is not defined."""
    count = len(points)
    shaped = points.reshape(count, *leaves[part].shape[1:]).astype(leaves[part].dtype)
    held = [np.broadcast_to(a[:1], (count, *a.shape[1:])) for a in leaves]
    rows = jax.tree.unflatten(structure, [*held[:part], shaped, *held[part + 1 :]])
    # Where it is huge, it is no density: that it is large is all that matters.
    return np.exp(np.minimum(np.nan_to_num(np.asarray(_log_prob(case.model, case.point, rows)), nan=-np.inf), 200.0))


def _integrals(case: Case, structure: Any, leaves: list[np.ndarray], part: int, seen: np.ndarray) -> list[float]:
    """Integrals of p over the line and over the half-line, by the tanh-sinh idea: equal steps of asinh and of log."""
    centre, spread = float(np.median(seen)), float(np.std(seen)) or 1.0
    t, step = np.linspace(-18.0, 18.0, MOST, retstep=True)
    line = centre + spread * np.sinh(t)
    found = [float(np.sum(_at(case, structure, leaves, part, line[:, None]) * spread * np.cosh(t)) * step)]
    if seen.min() >= 0:
        half = (abs(centre) or spread) * np.exp(2.5 * t)
        found.append(float(np.sum(_at(case, structure, leaves, part, half[:, None]) * half) * 2.5 * step))
    if np.abs(seen).max() <= 2 * np.pi:
        # An angle: its density repeats itself along the line.
        turn = np.linspace(-np.pi, np.pi, MOST, endpoint=False)
        found.append(float(np.sum(_at(case, structure, leaves, part, turn[:, None])) * 2 * np.pi / MOST))
    if seen.min() >= 0 and seen.max() <= 1:
        # The interval: points gather at both ends, where a density may be infinite.
        middle = 0.5 * (1 + np.tanh(t))
        weight = 0.5 / np.cosh(t) ** 2
        inside = (middle > 0) & (middle < 1)
        values = _at(case, structure, leaves, part, middle[inside][:, None])
        found.append(float(np.sum(values * weight[inside]) * step))
    return found


def _plane(case: Case, structure: Any, leaves: list[np.ndarray], part: int) -> float:
    """The integral of p over two numbers."""
    flat = leaves[part].reshape(len(leaves[part]), 2)
    centre, spread = np.nanmedian(flat, axis=0), np.where(np.nanstd(flat, axis=0) > 0, np.nanstd(flat, axis=0), 1.0)
    t, step = np.linspace(-5.0, 5.0, 401, retstep=True)
    a, b = (g.ravel() for g in np.meshgrid(t, t))
    points = centre + spread * np.sinh(np.column_stack([a, b]))
    weight = np.prod(spread) * np.cosh(a) * np.cosh(b) * step**2
    return float(np.sum(_at(case, structure, leaves, part, points) * weight))


def _sampler(case: Case) -> Part | None:
    """Whether the mean score of simulated observations is zero, as it is under a density."""
    model = case.model
    if model.sample is None or model.space.size == 0:
        return None
    key = jax.random.key(0)
    try:
        drawn = jax.eval_shape(model.sample, case.point, key)
    except Exception as error:
        told = (str(error).strip() or type(error).__name__).splitlines()[0]
        return Part(NAME, False, f"sample(params, key) fails: {told}")
    if _shapes(drawn) != _shapes(jax.tree.map(lambda a: a[0], case.prepared.rows)):
        return None  # it makes something else than one row of these data: the response alone, given covariates
    scores = np.asarray(_scores(model, case.point, jax.random.split(key, DRAWS)))
    error = np.std(scores, axis=0) / np.sqrt(len(scores))
    off = np.abs(np.mean(scores, axis=0)) / np.where(error > 0, error, np.inf)
    worst = int(np.argmax(off))
    if off[worst] <= BEYOND:
        return Part(NAME, True, f"the mean score of {DRAWS} simulated observations is zero to {off[worst]:.1f} errors")
    told = (
        f"the mean score of simulated observations in {model.space.free_names[worst]} is {off[worst]:.0f} errors off 0"
    )
    return Part(NAME, False, f"{told}: log p(x, z) and the sampler are not of one density")


def _shapes(row: Any) -> tuple[Any, list[tuple[int, ...]]]:
    leaves, structure = jax.tree.flatten(row)
    return structure, [tuple(leaf.shape) for leaf in leaves]


@seldom
def _log_prob(model: Model, params: Any, rows: Any) -> Float[Array, " M"]:
    return RowForm(model).row_log_prob(params, (), rows)


@seldom
def _scores(model: Model, params: Any, keys: Any) -> Float[Array, "M P"]:
    u = model.space.unconstrain(params)

    def of_one(key: Any) -> Array:
        x = model.sample(params, key)  # pyright: ignore[reportOptionalCall]
        return jax.grad(lambda v: model.log_evidence(model.space.constrain(v), x))(u)

    return jax.vmap(of_one)(jnp.asarray(keys))
