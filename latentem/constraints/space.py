"""A tree of constraints, and its parameters as one free vector."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import accumulate
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import KeyPath, keystr, tree_flatten_with_path
from jaxtyping import Array, Bool, Float, PyTree

from latentem.constraints.base import Constraint, Index, Mask, Value, as_float
from latentem.constraints.constants import Fixed
from latentem.constraints.elementwise import Real
from latentem.constraints.in_part import Held
from latentem.constraints.links import Linked
from latentem.numerics.compiled import jit

_ROOT = "params"
#: Rounding of numbers that were computed in float32, relative to the largest of an array.
FEW_DIGITS = 2e-6


@dataclass(frozen=True)
class ParameterSpace:
    """All parameters of a model: a tree of constraints on one side, one free vector u of length `size` on
    the other.

    Made by `ParameterSpace.of`. `params` are a tree like the declared one with an array in place of each
    constraint.

    >>> from latentem.constraints import positive, simplex
    >>> ParameterSpace.of({"weight": simplex(2), "rate": positive(2)}).free_names
    ('rate[0]', 'rate[1]', 'weight[0]')
    """

    treedef: Any
    constraints: tuple[Constraint, ...]

    @classmethod
    def of(cls, tree: PyTree[Constraint]) -> ParameterSpace:
        """Return the space of a tree (dicts, lists, tuples) of constraints.

        Args:
            tree: the declaration, for example `{"weight": simplex(2), "rate": positive(2)}`.

        Returns:
            A hashable value. Its order is JAX's: dict keys sorted.

        Raises:
            TypeError: for a leaf that is not a constraint.
        """
        if isinstance(tree, ParameterSpace):
            return tree
        leaves, treedef = tree_flatten_with_path(tree, is_leaf=lambda leaf: leaf is None)
        for path, leaf in leaves:
            if not isinstance(leaf, Constraint):
                expected = "expected a constraint such as positive(3) or fixed(value)"
                raise TypeError(f"{_ROOT}{keystr(path)} = {reprlib.repr(leaf)}: {expected}")
        return cls(treedef, tuple(leaf for _, leaf in leaves))

    @property
    def tree(self) -> PyTree[Constraint]:
        """The declaration: the tree of constraints."""
        return self.treedef.unflatten(self.constraints)

    @cached_property
    def size(self) -> int:
        """The number of free parameters."""
        return sum(constraint.size for constraint in self.constraints)

    @cached_property
    def unbounded(self) -> np.ndarray:
        """(size,) booleans of the free coordinates that are numbers of any size themselves, no logarithms or logits."""
        parts = [np.full(c.size, isinstance(getattr(c, "inner", c), Real)) for c in self.constraints]
        return np.concatenate(parts) if parts else np.zeros(0, bool)

    @cached_property
    def paths(self) -> tuple[tuple[str, ...], ...]:
        """The names that lead to each constraint, from the outside in."""
        return tuple(tuple(_step(key) for key in path) for path in self._paths)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The dotted path of each constraint, such as `components.mean`."""
        return tuple(".".join(path) or _ROOT for path in self.paths)

    @cached_property
    def free_names(self) -> tuple[str, ...]:
        """A label for each entry of u: the entry of the parameters that it stands for, such as `rate[0]`."""
        return tuple(
            _label(name, index)
            for name, constraint in zip(self.names, self.constraints, strict=True)
            for index in constraint.free_indices
        )

    @cached_property
    def natural_names(self) -> tuple[str, ...]:
        """A label for each entry of the parameters, raveled one array after the other."""
        return tuple(
            _label(name, index)
            for name, constraint in zip(self.names, self.constraints, strict=True)
            for index in np.ndindex(*constraint.shape)
        )

    def constrain(self, u: Float[Array, " size"]) -> PyTree[Value]:
        """Return the parameters at the free vector u (size,)."""
        return self.treedef.unflatten(self._filled([c.constrain(part) for c, part in self._split(u)]))

    def unconstrain(self, params: PyTree) -> Float[Array, " size"]:
        """Return the free vector (size,) of the parameters."""
        parts = [c.unconstrain(leaf) for c, leaf in self._pairs(params)]
        return jnp.concatenate(parts) if parts else jnp.zeros(0)

    def contains(self, params: PyTree) -> Bool[Array, ""]:
        """Say whether every parameter is in its set."""
        return jnp.all(self._contains_each(params))

    def boundary(self, params: PyTree) -> PyTree[Mask]:
        """Say for each entry of the parameters whether it lies on the edge of its set."""
        return self.treedef.unflatten([c.boundary(leaf) for c, leaf in self._pairs(params)])

    def locate(self, params: PyTree) -> tuple[Float[Array, " size"], Bool[Array, " D"]]:
        """Return the free vector, and which of the raveled parameters lie on the edge of their set, by one compiled
        program."""
        return _locate(self, params)

    def log_det_jacobian(self, u: Float[Array, " size"]) -> Float[Array, ""]:
        """Return log |det| of the map from u to the entries that `free_names` labels."""
        return sum((c.log_det_jacobian(part) for c, part in self._split(u)), jnp.zeros((), as_float(u).dtype))

    def with_fixed(self, params: PyTree) -> PyTree:
        """Return the parameters with every fixed one put back at its value; its dtype stays."""
        return self.treedef.unflatten(self._filled([_put_back(c, leaf) for c, leaf in self._pairs(params)]))

    def check(self, params: PyTree) -> PyTree[np.ndarray]:
        """Return the parameters as float64 NumPy arrays, if they are what the space declares.

        Args:
            params: a tree like the declaration, of numbers, lists or arrays. Not for use inside jit.

        Returns:
            The same tree of new arrays.

        Raises:
            ValueError: one line naming the parameter, for one that is missing, unknown, of another shape, not
                a number, or outside its set.
        """
        _check_structure(self.tree, params, _ROOT)
        try:
            leaves = self.treedef.flatten_up_to(params)
        except (ValueError, TypeError):
            raise ValueError(f"{_ROOT} = {reprlib.repr(params)}: expected a tree like {self.tree}") from None
        labels = [_ROOT + keystr(path) for path in self._paths]
        arrays = [_as_numbers(*row) for row in zip(labels, self.constraints, leaves, strict=True)]
        with jax.enable_x64(True):
            inside = np.asarray(_contains_each(self, self.treedef.unflatten(arrays)))
            for i, (label, constraint, good) in enumerate(zip(labels, self.constraints, inside, strict=True)):
                near = arrays[i] if good else _of_few_digits(constraint, arrays[i])
                if near is None:
                    raise ValueError(f"{label} = {_show(arrays[i])}: expected {constraint.describe()}")
                arrays[i] = near
        return self.treedef.unflatten(self._filled(arrays))

    @cached_property
    def _paths(self) -> tuple[KeyPath, ...]:
        return tuple(path for path, _ in tree_flatten_with_path(self.tree)[0])

    def _pairs(self, params: PyTree) -> list[tuple[Constraint, Any]]:
        return list(zip(self.constraints, self.treedef.flatten_up_to(params), strict=True))

    def _filled(self, leaves: list[Any]) -> list[Any]:
        """The leaves with what some of them borrow from others."""
        if not any(isinstance(c, Linked) for c in self.constraints):
            return leaves
        others = dict(zip(self.names, leaves, strict=True))
        both = zip(self.constraints, leaves, strict=True)
        return [c.filled(leaf, others) if isinstance(c, Linked) else leaf for c, leaf in both]

    def _split(self, u: Array) -> list[tuple[Constraint, Array]]:
        u = as_float(u)
        if u.shape != (self.size,):
            raise ValueError(f"u of shape {u.shape}: expected the {self.size} free parameters, shape ({self.size},)")
        ends = list(accumulate(c.size for c in self.constraints))
        return [(c, u[end - c.size : end]) for c, end in zip(self.constraints, ends, strict=True)]

    def _contains_each(self, params: PyTree) -> Bool[Array, " leaves"]:
        answers = [c.contains(leaf) for c, leaf in self._pairs(params)]
        return jnp.stack(answers) if answers else jnp.ones(0, bool)


@partial(jit, static_argnums=0)
def _contains_each(space: ParameterSpace, params: PyTree) -> Array:
    # One compiled program for the whole space: op by op, each constraint would cost milliseconds on every
    # call.
    return space._contains_each(params)


@partial(jit, static_argnums=0)
def _locate(space: ParameterSpace, params: PyTree) -> tuple[Array, Array]:
    masks = [jnp.ravel(c.boundary(leaf)) for c, leaf in space._pairs(params)]
    return space.unconstrain(params), jnp.concatenate(masks) if masks else jnp.zeros(0, bool)


def _of_few_digits(constraint: Constraint, array: np.ndarray) -> np.ndarray | None:
    """What a value outside its set is inside it, where it lies outside by no more than the rounding of float32."""
    if not np.all(np.isfinite(array)):
        return None
    near = np.asarray(constraint.constrain(constraint.unconstrain(array)), np.float64)
    near = np.where(array == 0, 0.0, near)
    close = np.abs(near - array) <= FEW_DIGITS * np.maximum(np.abs(array), np.max(np.abs(array), initial=0.0))
    return near if np.all(close) and bool(constraint.contains(near)) else None


def _put_back(constraint: Constraint, leaf: Any) -> Any:
    if isinstance(constraint, Held):
        return constraint.put_back(leaf)
    if not isinstance(constraint, Fixed):
        return leaf
    # A NumPy leaf stays NumPy: outside an x64 context a JAX array would lose half its digits.
    return jnp.asarray(constraint.value, leaf.dtype) if isinstance(leaf, jax.Array) else constraint.value


def _check_structure(template: Any, params: Any, label: str) -> None:
    """Raise a one-line ValueError at the first place where `params` lacks the entries of `template`."""
    if isinstance(template, Mapping):
        if not isinstance(params, Mapping):
            raise ValueError(f"{label} = {reprlib.repr(params)}: expected a dict with the entries {_listed(template)}")
        for word, names in (
            ("missing", template.keys() - params.keys()),
            ("unknown", params.keys() - template.keys()),
        ):
            if names:
                raise ValueError(f"{label}: {word} entry {_listed(names)}; expected the entries {_listed(template)}")
        children = [(key, template[key], params[key]) for key in template]
    elif isinstance(template, (list, tuple)):
        if not isinstance(params, type(template)) or len(params) != len(template):
            kind = "list" if isinstance(template, list) else "tuple"
            raise ValueError(f"{label} = {reprlib.repr(params)}: expected a {kind} of length {len(template)}")
        children = [(i, template[i], params[i]) for i in range(len(template))]
    else:
        children = []
    for key, inner, value in children:
        _check_structure(inner, value, f"{label}[{key!r}]")


def _as_numbers(label: str, constraint: Constraint, leaf: Any) -> np.ndarray:
    try:
        array = np.asarray(leaf)
    except ValueError:
        array = np.asarray(None)
    if not (jnp.issubdtype(array.dtype, np.integer) or jnp.issubdtype(array.dtype, np.floating)):
        raise ValueError(f"{label} = {reprlib.repr(leaf)}: expected {constraint.describe()}")
    if array.shape != constraint.shape:
        raise ValueError(f"{label} has shape {array.shape}: expected {constraint.describe()}")
    return np.array(array, np.float64)


def _show(array: np.ndarray) -> str:
    text = str(array.tolist())
    return text if len(text) <= 80 else text[:77] + "..."


def _listed(names: Any) -> str:
    return ", ".join(sorted(repr(name) for name in names))


def _step(key: Any) -> str:
    for attribute in ("key", "idx", "name"):
        if hasattr(key, attribute):
            return str(getattr(key, attribute))
    return str(key)


def _label(name: str, index: Index) -> str:
    return f"{name}[{','.join(map(str, index))}]" if index else name
