"""Linear operators: a matrix, or two functions, that carry x to A x and y to A'y; nothing of size P x P is formed.

Sparse products run on the host, by SciPy: on a CPU they are several times as fast as XLA's gathers and scatters.
Functions are JAX's, compiled once each.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import jax
import numpy as np
import scipy.sparse as sp
from jaxtyping import Float, Int

from latentem.numerics.compiled import jit

Vector = Float[np.ndarray, " n"]


class Operator(ABC):
    """A linear map from P numbers to M numbers.

    Operators compose: `A @ B` is the product, `A + B` the sum, `2.0 * A` a multiple, `A.T` the adjoint and
    `A.rows(index)` some of the rows; `A @ x` is A.forward(x).
    """

    #: (M, P)
    shape: tuple[int, int]

    @abstractmethod
    def forward(self, x: Vector) -> Vector:
        """A x; columns of a matrix (P, B) are carried one by one."""

    @abstractmethod
    def adjoint(self, y: Vector) -> Vector:
        """A'y, of a vector (M,) or of the columns of a matrix (M, B)."""

    def rows(self, index: Int[np.ndarray, " m"]) -> Operator:
        """The operator of some of the M numbers, such as the angles of an ordered subset."""
        return Rows(self, np.asarray(index))

    @cached_property
    def sensitivity(self) -> Vector:
        """A'1, (P,): how much of each x is seen in all."""
        return self.adjoint(np.ones(self.shape[0]))

    @property
    def T(self) -> Operator:
        """The adjoint."""
        return Transposed(self)

    def squared(self) -> Operator | None:
        """The operator of the squared entries, where they are known."""
        return None

    def __matmul__(self, other: Any) -> Any:
        if not isinstance(other, Operator):
            return self.forward(np.asarray(other, np.float64))
        if self.shape[1] != other.shape[0]:
            raise ValueError(
                f"operators of shapes {self.shape} and {other.shape} do not compose: {_inner(self, other)}"
            )
        return Product(self, other)

    def __add__(self, other: Operator) -> Operator:
        if not isinstance(other, Operator):
            return NotImplemented
        if self.shape != other.shape:
            raise ValueError(f"operators of shapes {self.shape} and {other.shape} do not add: expected equal shapes")
        return Sum(self, other)

    def __mul__(self, factor: float) -> Operator:
        if not isinstance(factor, int | float | np.number):
            return NotImplemented
        return Scaled(self, float(factor))

    __rmul__ = __mul__


def _inner(left: Operator, right: Operator) -> str:
    return f"the left one takes {left.shape[1]} numbers, the right one gives {right.shape[0]}"


class Matrix(Operator):
    """A sparse matrix and its transpose, each in rows (CSR), so that both products run along memory."""

    def __init__(self, matrix: Any, transposed: Any = None) -> None:
        self.matrix = matrix
        self.transposed = matrix.T.tocsr() if transposed is None else transposed
        self.shape = matrix.shape

    def forward(self, x: Vector) -> Vector:
        return self.matrix @ x

    def adjoint(self, y: Vector) -> Vector:
        return self.transposed @ y

    def rows(self, index: Int[np.ndarray, " m"]) -> Matrix:
        return Matrix(self.matrix[index])

    def squared(self) -> Operator | None:
        return Matrix(self.matrix.power(2))


class Dense(Operator):
    """A dense matrix."""

    def __init__(self, matrix: Float[np.ndarray, "M P"]) -> None:
        self.matrix, self.shape = matrix, matrix.shape

    def forward(self, x: Vector) -> Vector:
        return self.matrix @ x

    def adjoint(self, y: Vector) -> Vector:
        return self.matrix.T @ y

    def rows(self, index: Int[np.ndarray, " m"]) -> Dense:
        return Dense(self.matrix[index])

    def squared(self) -> Operator | None:
        return Dense(self.matrix**2)


class Diagonal(Operator):
    """Each number times a factor of its own."""

    def __init__(self, factors: Vector) -> None:
        self.factors, self.shape = factors, (len(factors), len(factors))

    def forward(self, x: Vector) -> Vector:
        return (self.factors * x.T).T

    def adjoint(self, y: Vector) -> Vector:
        return self.forward(y)

    def squared(self) -> Operator | None:
        return Diagonal(self.factors**2)


class Callables(Operator):
    """Two JAX functions, compiled in float64; the adjoint is derived where it is not given.

    Args:
        forward: array of shape `domain` -> array; linear.
        adjoint: array of the shape that `forward` gives -> array of shape `domain`.
        domain: shape of x.
    """

    def __init__(
        self, forward: Callable[..., Any], adjoint: Callable[..., Any] | None, domain: tuple[int, ...]
    ) -> None:
        with jax.enable_x64(True):
            example = jax.ShapeDtypeStruct(domain, np.float64)
            out = jax.eval_shape(forward, example)
            if adjoint is None:
                transpose = jax.linear_transpose(forward, example)
                adjoint = lambda y: transpose(y)[0]  # noqa: E731
            back = jax.eval_shape(adjoint, jax.ShapeDtypeStruct(out.shape, np.float64))
        if back.shape != domain:
            raise ValueError(f"adjoint gives an array of shape {back.shape}: expected {domain}, that of forward's x")
        self.domain, self.range = domain, out.shape
        self.shape = (int(np.prod(out.shape)), int(np.prod(domain)))
        self._forward, self._adjoint = jit(forward), jit(adjoint)

    def _apply(self, f: Any, x: Any, shape: tuple[int, ...]) -> Vector:
        if x.ndim == 2:
            return np.stack([self._apply(f, column, shape) for column in x.T], axis=1)
        with jax.enable_x64(True):
            return np.array(f(np.reshape(x, shape)), np.float64).ravel()  # JAX's own are read-only

    def forward(self, x: Vector) -> Vector:
        return self._apply(self._forward, x, self.domain)

    def adjoint(self, y: Vector) -> Vector:
        return self._apply(self._adjoint, y, self.range)


class Product(Operator):
    """A B, applied one after the other."""

    def __init__(self, left: Operator, right: Operator) -> None:
        self.left, self.right, self.shape = left, right, (left.shape[0], right.shape[1])

    def forward(self, x: Vector) -> Vector:
        return self.left.forward(self.right.forward(x))

    def adjoint(self, y: Vector) -> Vector:
        return self.right.adjoint(self.left.adjoint(y))

    def rows(self, index: Int[np.ndarray, " m"]) -> Operator:
        if isinstance(self.left, Diagonal):
            return Product(Diagonal(self.left.factors[index]), self.right.rows(index))
        return Product(self.left.rows(index), self.right)

    def squared(self) -> Operator | None:
        right = self.right.squared() if isinstance(self.left, Diagonal) else None
        return None if right is None else Product(Diagonal(self.left.factors**2), right)  # pyright: ignore


class Sum(Operator):
    """A + B."""

    def __init__(self, left: Operator, right: Operator) -> None:
        self.left, self.right, self.shape = left, right, left.shape

    def forward(self, x: Vector) -> Vector:
        return self.left.forward(x) + self.right.forward(x)

    def adjoint(self, y: Vector) -> Vector:
        return self.left.adjoint(y) + self.right.adjoint(y)

    def rows(self, index: Int[np.ndarray, " m"]) -> Operator:
        return Sum(self.left.rows(index), self.right.rows(index))


class Scaled(Operator):
    """A multiple of A."""

    def __init__(self, operator: Operator, factor: float) -> None:
        self.operator, self.factor, self.shape = operator, factor, operator.shape

    def forward(self, x: Vector) -> Vector:
        return self.factor * self.operator.forward(x)

    def adjoint(self, y: Vector) -> Vector:
        return self.factor * self.operator.adjoint(y)

    def rows(self, index: Int[np.ndarray, " m"]) -> Operator:
        return Scaled(self.operator.rows(index), self.factor)

    def squared(self) -> Operator | None:
        inner = self.operator.squared()
        return None if inner is None else Scaled(inner, self.factor**2)


class Transposed(Operator):
    """A'."""

    def __init__(self, operator: Operator) -> None:
        self.operator, self.shape = operator, (operator.shape[1], operator.shape[0])

    def forward(self, x: Vector) -> Vector:
        return self.operator.adjoint(x)

    def adjoint(self, y: Vector) -> Vector:
        return self.operator.forward(y)

    @property
    def T(self) -> Operator:
        return self.operator


class Rows(Operator):
    """Some rows of an operator that can only be applied as a whole: right, and no cheaper than the whole."""

    def __init__(self, operator: Operator, index: Int[np.ndarray, " m"]) -> None:
        self.operator, self.index, self.shape = operator, index, (len(index), operator.shape[1])

    def forward(self, x: Vector) -> Vector:
        return self.operator.forward(x)[self.index]

    def adjoint(self, y: Vector) -> Vector:
        whole = np.zeros((self.operator.shape[0], *y.shape[1:]))
        whole[self.index] = y
        return self.operator.adjoint(whole)


def operator(
    matrix: Any, adjoint: Callable[..., Any] | None = None, *, domain: int | Sequence[int] | None = None
) -> Operator:
    """A linear operator, for models of counts that are seen through one.

    Args:
        matrix: a SciPy sparse matrix or array, or a dense array, (M, P); a vector (P,), which stands for the diagonal
            matrix; or a linear JAX function of an array of shape `domain`.
        adjoint: of a function: its adjoint. Derived by JAX where it is left out.
        domain: of a function: the shape of what it takes.

    Returns:
        An `Operator`: `A.forward(x)`, `A.adjoint(y)`, `A.sensitivity`; `A @ B`, `A + B`, `2.0 * A`, `A.T`, `A.rows(i)`.

    Raises:
        ValueError: entries that are not finite numbers, a function without `domain`, an adjoint that is not one.

    >>> blur = lem.operator(np.array([[0.8, 0.2, 0.0], [0.2, 0.6, 0.2], [0.0, 0.2, 0.8]]))
    >>> (0.5 * blur @ blur).forward(np.array([0.0, 10.0, 0.0])).round(6).tolist()
    [1.4, 2.2, 1.4]
    """
    if isinstance(matrix, Operator):
        return matrix
    if callable(matrix):
        if domain is None:
            raise ValueError("operator(function): say the shape of what it takes, domain=(64, 64)")
        shape = (domain,) if isinstance(domain, int) else tuple(int(n) for n in domain)
        made = Callables(matrix, adjoint, shape)
        check_adjoint(made)
        return made
    if adjoint is not None or domain is not None:
        raise ValueError("operator(matrix): adjoint= and domain= go with a function, a matrix has both already")
    if sp.issparse(matrix):
        rows = sp.csr_array(matrix).astype(np.float64)
        _finite(rows.data)
        return Matrix(rows)
    try:
        array = np.asarray(matrix, np.float64)
    except (TypeError, ValueError):
        raise ValueError("operator: expected a matrix of numbers, a sparse matrix or a function") from None
    if array.ndim not in (1, 2) or not array.size:
        raise ValueError(f"operator of an array of shape {array.shape}: expected (M, P), or (P,) for a diagonal matrix")
    _finite(array)
    return Diagonal(array) if array.ndim == 1 else Dense(array)


def _finite(entries: np.ndarray) -> None:
    if not np.isfinite(entries).all():
        raise ValueError("operator: the matrix has entries that are NaN or infinite: expected finite numbers")


#: Relative disagreement of <Ax, y> and <x, A'y> that rounding in float32 does not explain.
ADJOINT_ERROR = 1e-4


def check_adjoint(made: Operator, draws: int = 2) -> None:
    """Raise unless <A x, y> = <x, A'y> for random x and y, and A is linear there.

    Raises:
        ValueError: in one line, with both numbers.
    """
    rng = np.random.default_rng(0)
    for _ in range(draws):
        x, y = rng.random(made.shape[1]) + 0.1, rng.random(made.shape[0]) + 0.1
        seen, back = made.forward(x), made.adjoint(y)
        left, right = float(seen @ y), float(x @ back)
        size = max(np.linalg.norm(seen) * np.linalg.norm(y), 1e-300)
        if not abs(left - right) <= ADJOINT_ERROR * size:
            told = f"<A x, y> = {left:.8g} and <x, A'y> = {right:.8g} for random x and y"
            raise ValueError(f"adjoint is not the adjoint of forward: {told}; leave it out, and JAX derives it")
        twice = made.forward(2.0 * x)
        if not np.linalg.norm(twice - 2 * seen) <= ADJOINT_ERROR * np.linalg.norm(seen):
            raise ValueError("operator(function) is not linear: f(2 x) is not 2 f(x); move constants to background=")
