"""The separable form on anchors: rows are coordinates, natural params are log p(anchor, z_k | params)."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from latentem.forms.anchors.basis import take
from latentem.forms.anchors.compression import Compression, latent_nodes
from latentem.forms.base import Prepared
from latentem.forms.hard import formula
from latentem.forms.separable import GivenSeparableForm, SeparableForm
from latentem.model import Model, Separable


def _features(rows: Any, context: Any) -> Float[Array, "n R"]:
    return rows["coordinates"]


def _impossible(rows: Any, context: Any) -> Array:
    """(n, K) bool of a chunk of rows, from the table of patterns."""
    return context["impossible"][rows["pattern"]]


@lru_cache(maxsize=256)
def anchored(model: Model, masked: bool) -> Separable:
    """The `Separable` of a model on anchors; equal models share it, so that they compile once."""

    def natural(params: Any, context: Any) -> Float[Array, "K R"]:
        cll = model.complete_log_likelihood

        def at(z: Any, index: Any) -> Float[Array, " R"]:
            x = context["anchors"] if index is None else jax.tree.map(lambda a: a[index], context["anchors"])
            return jax.vmap(lambda row: cll(params, row, z))(x)

        if not masked:
            return jax.vmap(lambda z: at(z, None))(context["nodes"])
        # Where z is impossible for an anchor, another observation for which it is possible takes its place in the
        # computation and the result is dropped: gradients never pass through -inf.
        values = jax.vmap(at)(context["nodes"], context["substitute"])
        return jnp.where(context["anchor_possible"], values, 0.0)

    return Separable(_features, natural, impossible=_impossible if masked else None)


def compressed_form(
    model: Model, compression: Compression, rows: Any, weights: Any, dtype: str
) -> tuple[SeparableForm, Prepared]:
    """The form and the data of a compressed fit.

    Args:
        model: the declaration.
        compression: with verdict True.
        rows: distinct observations, host arrays.
        weights: (n,) of the distinct rows.
        dtype: of the fit.
    """
    nodes = latent_nodes(model, rows)
    assert nodes is not None
    masked = compression.possible is not None
    context: dict[str, Any] = {
        "anchors": _cast(compression.anchors, dtype),
        "nodes": jnp.asarray(nodes if nodes.dtype.kind in "iub" else nodes.astype(dtype)),
    }
    prepared_rows: dict[str, Any] = {"coordinates": jnp.asarray(compression.coordinates, dtype=dtype)}
    if masked:
        patterns, group = np.unique(compression.possible, axis=0, return_inverse=True)
        prepared_rows["pattern"] = jnp.asarray(group.ravel().astype(np.int32))
        context["impossible"] = jnp.asarray(~patterns)
        anchor_possible = compression.anchor_possible
        if anchor_possible is None:
            anchor_possible = np.ones((len(compression.basis.anchors), len(nodes)), dtype=bool)
        context["anchor_possible"] = jnp.asarray(anchor_possible.T)
        context["substitute"], context["anchors"] = _substitutes(compression, rows, anchor_possible, dtype)
        # A z that no observation allows is computed as another one, and dropped.
        allowed = anchor_possible.any(axis=0) | compression.possible.any(axis=0)
        instead = np.where(allowed, np.arange(len(nodes)), np.argmax(allowed))
        context["nodes"] = context["nodes"][instead]
        context["substitute"] = context["substitute"][instead]
    if model.latent.nodes() is None:
        prepared_rows["x"] = _cast(rows, dtype)
        form: SeparableForm = GivenSeparableForm(model, anchored(model, masked))
    else:
        form = formula(model, anchored(model, masked))
    return form, Prepared(context, prepared_rows, jnp.asarray(weights, dtype=dtype))


def _substitutes(compression: Compression, rows: Any, anchor_possible: np.ndarray, dtype: str) -> tuple[Array, Any]:
    """((K, R) index of the observation computed in place of each anchor, the anchors and the observations added)."""
    rank, k = anchor_possible.shape
    index = np.tile(np.arange(rank), (k, 1))
    extra: list[int] = []
    for node in range(k):
        lacking = ~anchor_possible[:, node]
        if not lacking.any():
            continue
        able = np.flatnonzero(anchor_possible[:, node])
        if len(able) == 0:
            able_rows = np.flatnonzero(compression.possible[:, node])
            if len(able_rows) == 0:
                continue
            extra.append(int(able_rows[0]))
            index[node, lacking] = rank + len(extra) - 1
        else:
            index[node, lacking] = able[0]
    anchors = compression.anchors
    if extra:
        added = take(rows, np.array(extra))
        anchors = jax.tree.map(lambda a, b: np.concatenate([a, b]), anchors, added)
    return jnp.asarray(index), _cast(anchors, dtype)


def _cast(rows: Any, dtype: str) -> Any:
    return jax.tree.map(
        lambda a: jnp.asarray(a, dtype=dtype if np.issubdtype(np.asarray(a).dtype, np.floating) else None),
        rows,
    )
