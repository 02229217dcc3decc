"""A fit of a declaration whose latent is a field."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from latentem.ascent.newton_on_host import observed_information
from latentem.forms.field.records import FieldPoint, Records, is_quadratic, records_of
from latentem.model.advice import explained
from latentem.results.whole import WholeFit


@dataclass(frozen=True)
class FieldFit(WholeFit):
    """A fitted model whose latent is a `lem.Field`: `field(name)` has the predictions of its levels."""

    @cached_property
    def point(self) -> FieldPoint:
        """The E-step at the params.

        Raises:
            ValueError: it was loaded without its model or its data.
        """
        self.refuse_bare()
        with jax.enable_x64(True):
            u = np.asarray(self.model.space.unconstrain(self.params), dtype=np.float64)
            return read_records(self.model, self.frame, self.weights, u).at(u)

    def field(self, name: str) -> dict[str, np.ndarray]:
        """Predictions of the levels of a field, before the model scales them.

        Args:
            name: of the field.

        Returns:
            Columns level (q,), mean and sd, (q,) or (q, dim): of the posterior, by Laplace's approximation where log
            p(x | z) is not quadratic in z.
        """
        records = self.point.records
        if name not in records.bounds:
            raise ValueError(f"field({name!r}): expected one of {', '.join(records.bounds)}")
        latent: Any = records.model.latent
        bound = records.bounds[name]
        length, first = latent.lengths()[name], records.offsets[name]
        at = first + np.arange(length * bound.size)
        variance = self.point.factor.inverse[records.symbolic.entries(at, at)]
        shape = (length, bound.size)
        mean, sd = (a.reshape(shape).T for a in (self.point.mode[at], np.sqrt(variance)))
        return {
            "level": bound.names,
            **({"mean": mean, "sd": sd} if name in latent.dims else {"mean": mean[:, 0], "sd": sd[:, 0]}),
        }

    @cached_property
    def _errors(self) -> tuple[Any, tuple[str, ...]]:
        """For reports: standard errors, or why there are none."""
        if self.model is None or self.frame is None:
            return None, ()
        if not self.status.ok:
            return None, ("no standard errors away from a maximum",)
        return self.standard_errors(), self.error_notes()

    @cached_property
    def _information(self) -> np.ndarray:
        records = self.point.records
        with jax.enable_x64(True):
            return observed_information(records.at, self.point.u, np.ones(len(self.point.u)))

    def information(self, kind: Any = "observed", **_: Any) -> np.ndarray:
        """Observed information (P, P) of the free vector, by differences of the score."""
        if kind != "observed":
            raise ValueError(f"kind={kind!r}: the information of a field is 'observed'")
        return self._information

    def covariance(self, kind: str = "observed", *, coordinates: str = "natural") -> np.ndarray:
        """Covariance of the raveled params, or of the free vector with `coordinates="free"`."""
        if not self.status.ok:
            raise ValueError(f"covariance: this fit has status {self.status.name}: {self.status.advice}")
        free = np.linalg.pinv(self.information(kind), hermitian=True)
        if coordinates == "free":
            return free
        with jax.enable_x64(True):
            slopes = jax.jacobian(lambda u: ravel_pytree(self.model.space.constrain(u))[0])(jnp.asarray(self.point.u))
        return np.asarray(slopes) @ free @ np.asarray(slopes).T

    def standard_errors(self, kind: str = "observed") -> Any:
        """Standard errors, shaped like params, by the delta method."""
        flat = np.sqrt(np.maximum(np.diagonal(self.covariance(kind)), 0))
        leaves, tree = jax.tree.flatten(self.params)
        ends = np.cumsum([np.size(leaf) for leaf in leaves])[:-1]
        parts = zip(np.split(flat, ends), leaves, strict=True)
        return jax.tree.unflatten(tree, [part.reshape(np.shape(leaf)) for part, leaf in parts])

    def error_notes(self, kind: str = "observed") -> tuple[str, ...]:
        """None: what the data do not identify shows as a large standard error."""
        return ()


def read_records(model: Any, table: Any, weights: Any, u: np.ndarray) -> Records:
    """The model on a table, at the door: columns as arrays, and whether log p(x | z) is quadratic in z.

    Raises:
        ValueError, TypeError: in one line, what cannot be used.
    """
    from dataclasses import replace

    from latentem.data import tables

    if tables.is_table(table):
        table = tables.columns_of(table, "data", text=tuple(model.latent.structures))
    if hasattr(table, "columns") and hasattr(table, "source"):
        table = table.columns
    if not hasattr(table, "items"):
        raise TypeError(
            f"data of type {type(table).__name__}: expected a table or a dict of columns, fields among them"
        )
    columns = {name: np.asarray(column) for name, column in table.items()}
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) != 1 or not next(iter(lengths.values())):
        raise ValueError(f"columns of {lengths} records: expected one length, of at least 1")
    n = next(iter(lengths.values()))
    kept = {}
    for name, column in columns.items():
        if name in model.latent.structures or column.dtype.kind in "biuf":
            kept[name] = column
    frequencies = np.ones(n) if weights is None else np.asarray(weights, dtype=np.float64)
    if frequencies.shape != (n,) or not np.all(np.isfinite(frequencies)) or np.any(frequencies < 0):
        raise ValueError(f"weights: expected {n} finite numbers of at least 0, one for each record")
    found = records_of(model, kept, frequencies)
    _check(model, found.rows)
    return replace(found, quadratic=is_quadratic(found, u))


def _check(model: Any, rows: Any) -> None:
    """TypeError or ValueError in one line where log p(x | z) of one record is not one number."""
    x = {name: jax.ShapeDtypeStruct(a.shape[1:], a.dtype) for name, a in rows.items()}
    z = jax.tree.map(lambda a: jax.ShapeDtypeStruct(np.shape(a), np.float64), model.latent.example())
    params = jax.eval_shape(model.space.constrain, jax.ShapeDtypeStruct((model.space.size,), "float64"))
    try:
        out = jax.eval_shape(model.complete_log_likelihood, params, x, z)
    except Exception as error:
        told = f"complete_log_likelihood(params, x, z) failed for one record: {explained(error, params, x, z=z)}"
        raise TypeError(told) from error
    if getattr(out, "shape", None) != ():
        raise ValueError("complete_log_likelihood: expected a scalar for ONE record x and what it sees of the field, z")
