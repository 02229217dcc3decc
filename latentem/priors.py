"""Prior densities of parameters, in natural coordinates: no Jacobian of a transformation enters.

Every prior is a frozen, hashable value. `log_prob(value)` is the normalised log density summed over the
entries (over the leading axes for vectors and matrices): -inf, never NaN, outside the support, with finite
derivatives inside. Arguments are numbers or arrays that broadcast to the parameter; they are kept as floats
or nested tuples.
"""

from __future__ import annotations

import abc
import math
import reprlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import gammaln, multigammaln
from jax.typing import ArrayLike
from jaxtyping import Array, Float, PyTree

Path = tuple[Any, ...]


@dataclass(frozen=True)
class Prior(abc.ABC):
    """A density of one parameter."""

    @abc.abstractmethod
    def log_prob(self, value: ArrayLike) -> Float[Array, ""]:
        """Return the log density of a value, summed over its entries or batch axes."""

    def _store(self, **expected: str) -> None:
        """Turn the arguments into floats or nested tuples; a bad one raises a one-line ValueError."""
        shapes = []
        for field in fields(self):
            given, word = getattr(self, field.name), expected[field.name]
            label = f"{type(self).__name__}({field.name}={reprlib.repr(given)})"
            try:
                array = np.asarray(given, np.float64)
            except (TypeError, ValueError):
                raise ValueError(f"{label}: expected {word} numbers") from None
            if not (np.isfinite(array).all() and array.size) or (word == "positive" and (array <= 0).any()):
                raise ValueError(f"{label}: expected {word} numbers")
            object.__setattr__(self, field.name, _nested(array.tolist()))
            shapes.append(array.shape)
        try:
            np.broadcast_shapes(*shapes)
        except ValueError:
            names = ", ".join(field.name for field in fields(self))
            raise ValueError(f"{type(self).__name__}: shapes {shapes} of {names} do not broadcast") from None

    def _spread(self, value: ArrayLike) -> list[Array]:
        """Return the value, then every argument broadcast to its shape and dtype."""
        x = _as_float(value)
        arguments = [np.asarray(getattr(self, field.name)) for field in fields(self)]
        try:
            return [x, *(jnp.asarray(np.broadcast_to(a, x.shape), x.dtype) for a in arguments)]
        except ValueError:
            shape = np.broadcast_shapes(*(a.shape for a in arguments))
            raise ValueError(
                f"{self}: its shape {shape} does not broadcast to the parameter's shape {x.shape}"
            ) from None


@dataclass(frozen=True)
class Dirichlet(Prior):
    """Dirichlet density of probability vectors (..., K).

    Args:
        concentration: positive, (K,) or one number for the symmetric density.

    >>> round(float(Dirichlet(1.0).log_prob(np.array([0.2, 0.3, 0.5]))), 4)  # log 2!
    0.6931
    """

    concentration: Any

    def __post_init__(self) -> None:
        self._store(concentration="positive")

    def log_prob(self, value: ArrayLike) -> Float[Array, ""]:
        x, a = self._spread(value)
        rounding = 1e-9 if jnp.finfo(x.dtype).bits >= 64 else 1e-6
        inside = (x >= 0) & (jnp.abs(jnp.sum(x, -1, keepdims=True) - 1) <= rounding)
        constant = jnp.sum(gammaln(jnp.sum(a, -1))) - jnp.sum(gammaln(a))
        return _total(_power(x, a - 1), inside, constant)


@dataclass(frozen=True)
class Beta(Prior):
    """Beta density, proportional to x^(a - 1) (1 - x)^(b - 1) on [0, 1]; a and b positive.

    >>> round(float(Beta(2, 2).log_prob(0.5)), 4)  # log 1.5
    0.4055
    """

    a: Any
    b: Any

    def __post_init__(self) -> None:
        self._store(a="positive", b="positive")

    def log_prob(self, value: ArrayLike) -> Float[Array, ""]:
        x, a, b = self._spread(value)
        terms = _power(x, a - 1) + _power(1 - x, b - 1)
        return _total(terms, (x >= 0) & (x <= 1), jnp.sum(gammaln(a + b) - gammaln(a) - gammaln(b)))


@dataclass(frozen=True)
class Gamma(Prior):
    """Gamma density, proportional to x^(shape - 1) exp(-rate x); shape and rate positive, mean shape / rate.

    >>> round(float(Gamma(1, 1).log_prob(3.0)), 4)
    -3.0
    """

    shape: Any
    rate: Any

    def __post_init__(self) -> None:
        self._store(shape="positive", rate="positive")

    def log_prob(self, value: ArrayLike) -> Float[Array, ""]:
        x, a, b = self._spread(value)
        return _total(_power(x, a - 1) - b * x, x >= 0, jnp.sum(a * jnp.log(b) - gammaln(a)))


@dataclass(frozen=True)
class InverseGamma(Prior):
    """Inverse gamma density, proportional to x^(-shape - 1) exp(-scale / x); shape and scale positive.

    >>> round(float(InverseGamma(1, 1).log_prob(1.0)), 4)
    -1.0
    """

    shape: Any
    scale: Any

    def __post_init__(self) -> None:
        self._store(shape="positive", scale="positive")

    def log_prob(self, value: ArrayLike) -> Float[Array, ""]:
        x, a, b = self._spread(value)
        inside = x > 0
        safe = jnp.where(inside, x, 1.0)
        return _total(-(a + 1) * jnp.log(safe) - b / safe, inside, jnp.sum(a * jnp.log(b) - gammaln(a)))


@dataclass(frozen=True)
class Normal(Prior):
    """Normal density with the given mean and standard deviation; sd positive.

    >>> round(float(Normal(0, 1).log_prob(0.0)), 4)
    -0.9189
    """

    mean: Any
    sd: Any

    def __post_init__(self) -> None:
        self._store(mean="finite", sd="positive")

    def log_prob(self, value: ArrayLike) -> Float[Array, ""]:
        x, mean, sd = self._spread(value)
        inside = jnp.isfinite(x)
        return _total(_log_normal_density(jnp.where(inside, x, mean), mean, sd), inside, 0.0)


@dataclass(frozen=True)
class LogNormal(Prior):
    """Density of a positive number whose log is normal with that mean and standard deviation; sd positive.

    >>> round(float(LogNormal(0, 1).log_prob(1.0)), 4)
    -0.9189
    """

    mean: Any
    sd: Any

    def __post_init__(self) -> None:
        self._store(mean="finite", sd="positive")

    def log_prob(self, value: ArrayLike) -> Float[Array, ""]:
        x, mean, sd = self._spread(value)
        inside = (x > 0) & jnp.isfinite(x)
        logs = jnp.log(jnp.where(inside, x, 1.0))
        return _total(_log_normal_density(logs, mean, sd) - logs, inside, 0.0)


@dataclass(frozen=True)
class InverseWishart(Prior):
    """Inverse Wishart density of covariance matrices (..., d, d), proportional to
    |X|^(-(df + d + 1) / 2) exp(-trace(scale X^-1) / 2).

    Args:
        df: above d - 1.
        scale: a symmetric positive definite matrix (d, d), or a positive number times the identity.

    >>> round(float(InverseWishart(3, 1).log_prob(np.eye(2))), 4)
    -3.531
    """

    df: Any
    scale: Any

    def __post_init__(self) -> None:
        self._store(df="positive", scale="finite")
        scale = np.asarray(self.scale)
        label = f"InverseWishart(df={self.df!r}, scale={reprlib.repr(self.scale)})"
        if np.ndim(self.df):
            raise ValueError(f"{label}: expected one number as df")
        matrix = np.atleast_2d(scale) if scale.ndim in (0, 2) else np.zeros((0, 1))
        square = matrix.shape[0] == matrix.shape[1]
        if not (square and np.allclose(matrix, matrix.T, 1e-9, 0) and np.linalg.eigvalsh(matrix)[0] > 0):
            raise ValueError(f"{label}: expected a symmetric positive definite matrix, or a positive number, as scale")
        self._check_df(len(matrix))

    def log_prob(self, value: ArrayLike) -> Float[Array, ""]:
        x = _as_float(value)
        d, scale = x.shape[-1], np.asarray(self.scale)
        if x.ndim < 2 or x.shape[-2] != d or scale.shape not in ((), (d, d)):
            raise ValueError(f"{self}: expected square matrices of its size, got a parameter of shape {x.shape}")
        self._check_df(d)
        psi = jnp.asarray(scale if scale.ndim else scale * np.eye(d), x.dtype)
        eye = jnp.eye(d, dtype=x.dtype)

        def one(matrix: Array) -> tuple[Array, Array]:
            still = jax.lax.stop_gradient(matrix)
            symmetric = jnp.all(jnp.abs(still - still.T) <= 1e-6 * jnp.max(jnp.abs(still)))
            inside = symmetric & jnp.all(jnp.isfinite(jnp.linalg.cholesky(still)))
            factor = jnp.linalg.cholesky(jnp.where(inside, matrix, eye))
            half_log_det = jnp.sum(jnp.log(jnp.diagonal(factor)))
            trace = jnp.trace(jax.scipy.linalg.cho_solve((factor, True), psi))
            return -(self.df + d + 1) * half_log_det - 0.5 * trace, inside

        terms, inside = jax.vmap(one)(x.reshape(-1, d, d))
        half = jnp.asarray(0.5 * self.df, x.dtype)
        constant = half * jnp.linalg.slogdet(psi)[1] - half * d * math.log(2.0) - multigammaln(half, d)
        return _total(terms, inside, terms.shape[0] * constant)

    def _check_df(self, d: int) -> None:
        if self.df <= d - 1:
            raise ValueError(f"InverseWishart(df={self.df!r}) of {d} by {d} matrices: expected df above {d - 1}")


class Space(Protocol):
    """What `Joint.of` asks of a parameter space: its tree of declared parameters."""

    @property
    def tree(self) -> PyTree: ...


@dataclass(frozen=True)
class Joint:
    """The prior of all parameters: independent parts, each on the parameter (or subtree) at one path.

    `entries` holds (path, part); a part is a `Prior` or a function of the value there that returns a log
    density. The path () stands for all parameters together. A joint without entries is false.
    """

    entries: tuple[tuple[Path, Prior | Callable[[Any], Any]], ...] = ()

    @classmethod
    def of(cls, prior: Any, space: Space | None = None) -> Joint:
        """Return the joint prior that a user's declaration stands for.

        Args:
            prior: None; a dict, nested like the parameters, of name -> `Prior` or function of that
            parameter; a
                function of all parameters; or a `Joint`.
            space: a parameter space; when given, every path must be in it.

        Returns:
            A hashable value.

        Raises:
            TypeError: for an entry that is neither a prior nor a function.
            ValueError: for a name that `space` lacks, or a prior that does not fit the parameter's shape.

        >>> round(float(Joint.of({"rate": Gamma(1, 1)}).log_prob({"rate": 2.0, "weight": 0.5})), 4)
        -2.0
        """
        joint = prior if isinstance(prior, Joint) else cls(tuple(_walk(prior, ())))
        if space is not None:
            for path, part in joint.entries:
                _check_entry(path, part, space.tree)
        return joint

    def __bool__(self) -> bool:
        return bool(self.entries)

    def get(self, path: str | Path) -> Prior | Callable[[Any], Any] | None:
        """Return the part at a path, a tuple of keys or a dotted name; None if there is none."""
        wanted = path.split(".") if isinstance(path, str) else [str(key) for key in path]
        return next((part for own, part in self.entries if [str(key) for key in own] == wanted), None)

    def log_prob(self, params: PyTree) -> Float[Array, ""]:
        """Return the sum of the parts' log densities at the parameters; 0 without entries."""
        total = jnp.zeros(())
        for i, (path, part) in enumerate(self.entries):
            value = params
            for key in path:
                value = value[key]
            term = jnp.asarray(part.log_prob(value) if isinstance(part, Prior) else part(value))
            total = term if i == 0 else total + term
        return total


def _walk(prior: Any, path: Path) -> Iterator[tuple[Path, Prior | Callable[[Any], Any]]]:
    if isinstance(prior, Mapping):
        for key, inner in prior.items():
            yield from _walk(inner, (*path, key))
    elif isinstance(prior, Prior) or (callable(prior) and not isinstance(prior, type)):
        yield path, prior
    elif prior is not None:
        expected = "expected a prior such as priors.Gamma(2.0, 1.0), a function returning a log density, or a dict"
        raise TypeError(f"{_named(path)} = {reprlib.repr(prior)}: {expected}")


def _check_entry(path: Path, part: Prior | Callable[[Any], Any], tree: Any) -> None:
    for depth, key in enumerate(path):
        names: list[Any] = list(tree) if isinstance(tree, Mapping) else []
        if isinstance(tree, (list, tuple)):
            names = list(range(len(tree)))
        if key not in names:
            known = ", ".join(map(repr, names)) or "nothing below it"
            raise ValueError(f"{_named(path[: depth + 1])}: no such parameter; expected one of {known}")
        tree = tree[key]
    if isinstance(part, Prior):
        if not hasattr(tree, "describe"):
            raise ValueError(f"{_named(path)} = {part}: expected a dict of priors by name, or a function")
        try:
            jax.eval_shape(part.log_prob, jax.ShapeDtypeStruct(tree.shape, jnp.result_type(float)))
        except ValueError as error:
            raise ValueError(f"{_named(path)}: {error}") from None


def _named(path: Path) -> str:
    return "prior" + "".join(f"[{key!r}]" for key in path)


def _nested(value: Any) -> Any:
    return tuple(map(_nested, value)) if isinstance(value, list) else value


def _as_float(value: ArrayLike) -> Array:
    array = jnp.asarray(value)
    return array if jnp.issubdtype(array.dtype, jnp.floating) else array.astype(jnp.result_type(float))


def _power(x: Array, exponent: Array) -> Array:
    """Return log(x ** exponent) for x >= 0, with 0 ** 0 = 1; whatever is finite below 0."""
    positive = x > 0
    at_zero = jnp.where(exponent == 0, 0.0, -jnp.sign(exponent) * jnp.inf)
    return jnp.where(positive, exponent * jnp.log(jnp.where(positive, x, 1.0)), jnp.where(x == 0, at_zero, 0.0))


def _log_normal_density(x: Array, mean: Array, sd: Array) -> Array:
    return -0.5 * ((x - mean) / sd) ** 2 - jnp.log(sd) - 0.5 * math.log(2.0 * math.pi)


def _total(terms: Array, inside: Array, constant: Array | float) -> Array:
    """Return the sum of the terms plus a constant; -inf where an entry is outside or impossible, so that no
    infinity of the other sign makes it NaN."""
    possible = jnp.all(inside) & ~jnp.any(terms == -jnp.inf)
    return jnp.where(possible, jnp.sum(jnp.where(possible, terms, 0.0)) + constant, -jnp.inf)
