"""Detect, validate, compress: from a declaration and data to a separable form on anchors, or to the reason why not."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from latentem.data import door
from latentem.data.duplicates import collapse
from latentem.forms.anchors import basis as finding
from latentem.forms.anchors.basis import NoGap, Refused
from latentem.model import Model

#: Rows of the first sample; it grows when the rank comes close to it.
SAMPLE = 384
LARGEST_SAMPLE = 1536
#: Rows per block of the pass over all data.
BLOCK = 65_536
#: Rows that anchors failed to predict join the next sample, at most this many per search.
HARD = 64


@dataclass(frozen=True)
class Compression:
    """What was found about a density's sufficient statistics.

    Args:
        verdict: whether the density separates and is represented by anchors.
        reason: why, in one line.
        rank: R, the number of sufficient statistics (the constant included); None where none was found.
        gap: ratio of the last singular value kept to the first one dropped.
        error: largest relative error of log p predicted at fresh params, over ALL observations.
        anchors: the R observations that stand for all, pytree with leading axis R.
        rows: distinct observations the fit runs on.
        observations: observations given.
        seconds: wall time of the search, compilation included.
    """

    verdict: bool
    reason: str
    rank: int | None = None
    gap: float | None = None
    error: float | None = None
    anchors: Any = None
    rows: int = 0
    observations: int = 0
    seconds: float = 0.0
    provisional: bool = field(default=False, repr=False, compare=False)
    coordinates: Any = field(default=None, repr=False, compare=False)
    possible: Any = field(default=None, repr=False, compare=False)
    anchor_possible: Any = field(default=None, repr=False, compare=False)
    basis: Any = field(default=None, repr=False, compare=False)

    def __str__(self) -> str:
        duplicates = f"; {self.observations} observations are {self.rows} distinct rows" if self._collapsed else ""
        if not self.verdict:
            return f"not compressed: {self.reason}{duplicates}"
        if self.rank is None:
            return f"{self.reason}{duplicates}"
        return f"{self.rank} anchors for {self.rows} rows, error {self.error:.0e} at fresh params{duplicates}"

    @property
    def _collapsed(self) -> bool:
        return self.rows < self.observations


class UnseenMask(Exception):
    """Some observations outside the sample, `rows`, have impossible latent values; the sample showed none."""

    def __init__(self, rows: np.ndarray) -> None:
        super().__init__()
        self.rows = rows


def latent_nodes(model: Model, observations: Any) -> np.ndarray | None:
    """(K, ...) latent values that all observations share, also of a `Given` posterior on common nodes; None without."""
    nodes = model.latent.nodes()
    if nodes is not None:
        return np.asarray(nodes[0])
    x = jax.tree.map(lambda a: jnp.asarray(a[:1]), observations)
    u = jnp.zeros((1, model.space.size))

    def of(v: Any, row: Any) -> Any:
        return getattr(model.posterior(model.space.constrain(v), row), "nodes", None)

    try:
        # vmap refuses out_axes=None for what depends on a mapped argument: nodes that move with x or the params.
        shared = jax.vmap(of, out_axes=None)(u, x)
    except (TypeError, ValueError):
        return None
    return None if shared is None or isinstance(shared, dict | tuple | list) else np.asarray(shared)


def _count(rows: Any) -> int:
    return jax.tree.leaves(rows)[0].shape[0]


def sufficiency(
    model: Any,
    data: Any,
    key: Any,
    *,
    weights: Any = None,
    params: Any = None,
    draws: int | None = None,
    memory: float | None = None,
) -> Compression:
    """Find whether log p(x, z | params) separates into coordinates of x and functions of (params, z), and prove it.

    Args:
        model: the declaration.
        data: observations, N rows.
        key: typed PRNG key for the params drawn.
        weights: (N,), summed over equal rows.
        params: the value around which params are drawn; the origin of the free coordinates by default.
        draws: params drawn for the first search, 2 P + 16 by default; a search that fails validation draws more.
        memory: bytes the coordinates may take; four times the data, and at least 256 MB, by default.

    Returns:
        A `Compression`; `verdict` is False, with the reason, where the density does not separate. Nothing raises for a
        density that merely does not compress.

    Raises:
        ValueError, TypeError: data that no fit could use.

    >>> def cll(params, x, z):
    ...     rate = params["rate"][z]
    ...     return jnp.log(params["weight"][z]) + x * jnp.log(rate) - rate - jax.lax.lgamma(x + 1.0)
    >>> model = lem.Model(cll, lem.Finite(2), {"weight": lem.simplex(2), "rate": lem.positive(2)})
    >>> lem.sufficiency(model, np.arange(40.0), jax.random.key(0)).rank
    3
    """
    declared, observations = model.declare(data)
    declared = declared if isinstance(declared, Model) else declared.model()
    read = door.read(observations, weights)
    seed = int(np.asarray(jax.random.key_data(key)).ravel()[-1])
    with jax.enable_x64(True):
        host = door.cast(read.observations, "float64")
        host = jax.tree.map(np.asarray, host)
        distinct = collapse(host, np.asarray(read.weights))
        rows = host if distinct is None else distinct.observations
        centre = None if params is None else np.asarray(declared.space.unconstrain(declared.space.check(params)))
        return compress(declared, rows, _count(host), centre=centre, draws=draws, memory=memory, seed=seed)


def compress(
    model: Model,
    rows: Any,
    observations: int,
    *,
    centre: np.ndarray | None = None,
    draws: int | None = None,
    memory: float | None = None,
    seed: int = 0,
) -> Compression:
    """`sufficiency` of checked float64 rows, under x64."""
    began = time.perf_counter()
    n = _count(rows)

    def done(verdict: bool, reason: str, **found: Any) -> Compression:
        spent = time.perf_counter() - began
        return Compression(verdict, reason, rows=n, observations=observations, seconds=spent, **found)

    nodes = latent_nodes(model, rows)
    if nodes is None:
        return done(False, "the latent does not sum over nodes that all observations share")
    size = model.space.size
    if size == 0:
        return done(False, "no parameter is free")
    rng = np.random.default_rng(seed)
    centre = np.zeros(size) if centre is None else centre
    # A param at the edge of its set has a free coordinate of hundreds, around which log p may overflow; so may
    # a mean be, around which it does not.
    tame = np.clip(centre, -30, 30)
    count = max(2, draws if draws is not None else 2 * size + 16)
    sample_size = min(n, SAMPLE)
    found: dict[str, Any] = {}
    reason, masked = "", False
    hard = np.zeros(0, dtype=int)
    for _ in range(6):
        index = np.union1d(rng.choice(n, sample_size, replace=False), hard)
        sample = finding.take(rows, index)
        u = finding.draws(rng, centre, count)
        try:
            possible = finding.structural(model, nodes, sample, u)
            if masked and possible is None:
                possible = np.ones((len(index), len(nodes)), dtype=bool)
            basis = finding.find_basis(model, nodes, sample, possible, u, rng)
            found = {"rank": basis.rank, "gap": basis.gap}
            if basis.rank > n / 2:
                return done(False, f"rank {basis.rank} of {n} distinct rows: anchors would save nothing", **found)
            if basis.rank * n * 8 > _budget(rows, memory):
                return done(False, f"{basis.rank} coordinates of {n} rows exceed the memory budget", **found)
            result = _coordinates_of_all(model, nodes, rows, sample, basis, possible, centre, rng)
            found["error"] = result["error"]
            if result["error"] <= finding.REQUIRED_ERROR:
                if not _depends_on_params(model, nodes, sample, u):
                    return done(False, "log p(x, z) depends on x and z only: there is nothing to estimate", **found)
                return done(True, "log p(x, z) separates", basis=basis, **{**found, **_kept(result)})
            if result["error"] <= finding.PROVISIONAL_ERROR and count > size + 8:
                reason = (
                    f"rank {basis.rank} holds to {result['error']:.0e} only: the params drawn are far from the data; "
                    "pass params (or initial=) near them"
                )
                return done(False, reason, provisional=True, basis=basis, **{**found, **_kept(result)})
            reason = (
                f"rank {basis.rank} found from {count} draws and {len(index)} rows fails on fresh params: "
                f"relative error {result['error']:.1e}"
            )
            hard = np.union1d(hard, result["failing"])
            if len(result["failing"]) < HARD and sample_size >= min(n, LARGEST_SAMPLE):
                continue  # a few rare rows: with them in the sample the same effort may do
        except UnseenMask as unseen:
            masked, hard = True, np.union1d(hard, unseen.rows)
            continue
        except NoGap as refusal:
            reason = str(refusal)
        except Refused as refusal:
            if np.array_equal(centre, tame):
                return done(False, str(refusal), **found)
            centre = tame
            continue
        if sample_size >= min(n, LARGEST_SAMPLE) and count * len(nodes) > 2 * sample_size and count > size + 8:
            break
        count, sample_size = (
            max(2 * count, 2 * sample_size // len(nodes) + 1),
            min(n, 4 * sample_size, LARGEST_SAMPLE),
        )
    if n <= 4 * (size + 1):
        reason += f" ({n} distinct rows are too few for {size} free parameters)"
    return done(False, reason, **found)


def _budget(rows: Any, memory: float | None) -> float:
    data = sum(a.nbytes for a in jax.tree.leaves(rows))
    return max(256e6, 4.0 * data) if memory is None else memory


def _depends_on_params(model: Model, nodes: np.ndarray, sample: Any, u: np.ndarray) -> bool:
    k, few = len(nodes), u[: finding.MODERATE]
    values = finding.table(model, np.repeat(few, k, axis=0), nodes[np.tile(np.arange(k), len(few))], sample)
    values = np.where(np.isfinite(values), values, 0.0).reshape(len(few), k, -1)
    return bool(np.ptp(values, axis=0).any())


def _coordinates_of_all(
    model: Model,
    nodes: np.ndarray,
    rows: Any,
    sample: Any,
    basis: Any,
    possible: Any,
    centre: np.ndarray,
    rng: Any,
) -> dict[str, Any]:
    """Coordinates of every row and the largest error at fresh params, in one pass over blocks of rows.

    Raises:
        Refused: a row whose impossible values are not structural.
    """
    n = _count(rows)
    anchor_rows = finding.take(sample, basis.anchors)
    fresh = np.concatenate([finding.draws(rng, centre, finding.FRESH_DRAWS), centre[None]])
    anchor_possible = None if possible is None else possible[basis.anchors]
    u_all = np.empty((n, basis.rank))
    possible_all = None if possible is None else np.ones((n, len(nodes)), dtype=bool)
    error, failing = 0.0, np.zeros(0, dtype=int)
    for start in range(0, n, BLOCK):
        index = np.arange(start, min(start + BLOCK, n))
        block = finding.take(rows, index)
        here = None
        if possible is not None:
            here = finding.structural(model, nodes, block, basis.moderate)
            here = np.ones((len(index), len(nodes)), dtype=bool) if here is None else here
            assert possible_all is not None
            possible_all[index] = here
        coordinate = finding.coordinates(basis, model, nodes, block, here)
        if not np.all(np.isfinite(coordinate)):
            if possible is None:  # impossible values that the sample did not show: look again with masks
                raise UnseenMask(_some(index[~np.all(np.isfinite(coordinate), axis=1)], rng))
            raise Refused("log p(x, z) is not finite for some rows")
        u_all[index] = coordinate
        each = finding.prediction_error(model, nodes, block, here, fresh, coordinate, anchor_rows, anchor_possible, rng)
        error = max(error, float(np.max(each)))
        if not error <= finding.REQUIRED_ERROR:
            failing = _some(index[~(each <= finding.REQUIRED_ERROR)], rng)
            break
    return {
        "error": error, "anchors": anchor_rows, "coordinates": u_all, "possible": possible_all,
        "anchor_possible": anchor_possible, "failing": failing,
    }  # fmt: skip


def _kept(result: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in result.items() if name != "failing"}


def _some(index: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return index if len(index) <= HARD else rng.choice(index, HARD, replace=False)


def final_error(problem: Any, params: Any) -> float:
    """Largest relative error of log p on the anchors at the params a fit reached and next to them, over all rows."""
    found: Compression = problem.compression
    model = problem.form.model
    rng = np.random.default_rng(2)
    with jax.enable_x64(True):
        host = jax.tree.map(np.asarray, door.cast(problem.distinct, "float64"))
        nodes = latent_nodes(model, host)
        assert nodes is not None
        exact = jax.tree.map(lambda a: np.asarray(a, dtype=np.float64), params)
        u = np.asarray(model.space.unconstrain(exact))
        fresh = np.stack([u, u + 0.05 * rng.standard_normal(u.shape)])
        error = 0.0
        for start in range(0, _count(host), BLOCK):
            index = np.arange(start, min(start + BLOCK, _count(host)))
            here = None if found.possible is None else found.possible[index]
            each = finding.prediction_error(
                model,
                nodes,
                finding.take(host, index),
                here,
                fresh,
                found.coordinates[index],
                found.anchors,
                found.anchor_possible,
                rng,
                strict=True,
            )
            error = max(error, float(np.max(each)))
    return error
