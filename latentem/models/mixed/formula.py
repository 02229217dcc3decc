"""Formulas of mixed models: what stands in parentheses with a bar is read here, the rest by the library `formulae`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

INSTALL = 'formulas need the library formulae: python -m pip install "latentem[mixed]"'
#: Functions that a formula may call by these names, as in R.
FUNCTIONS = {name: getattr(np, name) for name in ("log", "log2", "log10", "log1p", "exp", "sqrt", "abs", "sin", "cos")}
NAME = re.compile(r"[A-Za-z_][\w.]*|`[^`]+`")


@dataclass(frozen=True)
class Random:
    """One term (expression | grouping): `factors` are the columns whose combinations are its levels."""

    expression: str
    factors: tuple[str, ...]

    @property
    def name(self) -> str:
        """As summaries call the grouping, "batch:cask"."""
        return ":".join(self.factors)


@dataclass(frozen=True)
class Formula:
    """A formula, taken apart.

    Args:
        text: as the user wrote it.
        responses: left-hand sides.
        fixed: the right-hand side without the random terms.
        random: those terms, nested ones written out, (x || g) as independent ones.
    """

    text: str
    responses: tuple[str, ...]
    fixed: str
    random: tuple[Random, ...]


def parse(text: str) -> Formula:
    """Take a formula apart.

    Raises:
        ValueError: it has no response, no random term, or parentheses that do not match.
    """
    left, tilde, right = text.partition("~")
    if not tilde or not left.strip():
        raise ValueError(f"formula {text!r}: expected 'response ~ fixed + (1 | group)'")
    random: list[Random] = []
    fixed = right
    for whole, inside in _bars(right, text):
        fixed = fixed.replace(whole, " ", 1)
        correlated = "||" not in inside
        expression, _, grouping = inside.partition("|" if correlated else "||")
        if not expression.strip() or not grouping.strip():
            raise ValueError(f"formula {text!r}: {whole!r} is no random term: expected (1 | group) or (x | group)")
        for factors in _nested(grouping):
            random.extend(Random(e, factors) for e in _uncorrelated(expression.strip(), correlated))
    if not random:
        raise ValueError(f"formula {text!r} has no random term: expected one like (1 | group); lem.fit needs a latent")
    terms = [term.strip() for term in _split(fixed, "+")]
    fixed = " + ".join(term for term in terms if term)
    return Formula(text, _responses(left.strip()), fixed or "1", tuple(random))


def variables(formula: Formula, columns: list[str]) -> list[str]:
    """The columns that a formula names.

    Raises:
        ValueError: it names none of the columns, or a grouping or response that is no column.
    """
    text = " ".join(
        [*formula.responses, formula.fixed, *(f"{r.expression} {' '.join(r.factors)}" for r in formula.random)]
    )
    found = []
    for match in NAME.finditer(text):
        name = match[0].strip("`")
        called = text[match.end() :].lstrip().startswith("(")
        if name in columns:
            found.append(name)
        elif not called and name not in ("I", "True", "False", "np"):
            raise ValueError(
                f"formula {formula.text!r} names {name!r}, which is no column: there are {', '.join(columns)}"
            )
    return list(dict.fromkeys(found))


class Columns:
    """Columns of a right-hand side, to be computed on other data with the same coding."""

    def __init__(self, expression: str, frame: Any, whole: str) -> None:
        self.empty = expression.replace(" ", "") in ("0", "-1")
        self.names: tuple[str, ...] = ()
        if self.empty:
            self.values = np.zeros((len(frame), 0))
            return
        self._plain = _plain(expression, frame)
        self.values: Float[np.ndarray, "n p"]
        if self._plain is not None:
            self.names, self.values = self._plain, _stack(self._plain, frame)
            return
        self._matrix = _matrices(expression, frame, whole).common
        self.values = np.asarray(self._matrix.design_matrix, dtype=np.float64)
        self.names = tuple(str(name) for name in self._matrix.as_dataframe().columns)

    def of(self, frame: Any) -> Float[np.ndarray, "n p"]:
        """The same columns of other rows.

        Raises:
            ValueError: a category that the fit has not seen.
        """
        if self.empty:
            return np.zeros((len(frame), 0))
        try:
            if self._plain is not None:
                return _stack(self._plain, frame)
            return np.asarray(self._matrix.evaluate_new_data(frame).design_matrix, dtype=np.float64)
        except (ValueError, KeyError) as error:
            raise ValueError(f"new data do not fit the formula: {_line(error)}") from None


def response(expression: str, frame: Any, whole: str) -> Float[np.ndarray, " n"]:
    """Values of a left-hand side."""
    plain = expression in frame.columns
    values = (
        frame[expression].to_numpy() if plain else _matrices(f"0 + I({expression})", frame, whole).common.design_matrix
    )
    array = np.asarray(values)
    if array.dtype.kind not in "biuf" or array.size != len(frame):
        raise ValueError(f"response {expression!r} holds no numbers: expected one number for each record")
    return array.astype(np.float64).reshape(-1)


def frame_of(data: Any) -> Any:
    """A pandas frame of columns of a table of any library, or of a dict of arrays.

    Raises:
        ValueError, TypeError: it is none.
        ImportError: pandas, which formulae needs, is not installed.
    """
    try:
        import pandas as pd
    except ImportError:
        raise ImportError(INSTALL) from None
    if isinstance(data, pd.DataFrame):
        return data.reset_index(drop=True)
    if hasattr(data, "columns") and hasattr(data, "source"):  # one of latentem.datasets
        data = data.columns
    if isinstance(data, Mapping):
        lengths = {name: len(np.atleast_1d(column)) for name, column in data.items()}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"columns differ in length ({lengths}): give each the same number of records")
        return pd.DataFrame({name: np.asarray(column) for name, column in data.items()})
    if hasattr(data, "to_pandas"):
        return data.to_pandas().reset_index(drop=True)
    raise TypeError(
        f"data of type {type(data).__name__}: expected a table or a dict of columns, for a formula names them"
    )


def _plain(expression: str, frame: Any) -> tuple[str, ...] | None:
    """Names of the columns of a sum of plain columns of numbers, which needs no library; None of anything else."""
    terms = [term.strip() for term in expression.split("+")]
    names = [term for term in terms if term not in ("0", "1")]
    numbers = all(name in frame.columns and frame[name].dtype.kind in "iuf" for name in names)
    if not numbers or len(set(names)) < len(names) or ("0" in terms and "1" in terms):
        return None
    return tuple(names) if "0" in terms else ("Intercept", *names)


def _stack(names: tuple[str, ...], frame: Any) -> np.ndarray:
    ones = np.ones(len(frame))
    return np.column_stack([ones if name == "Intercept" else frame[name].to_numpy(np.float64) for name in names])


def _matrices(expression: str, frame: Any, whole: str) -> Any:
    try:
        from formulae import design_matrices
    except ImportError:
        raise ImportError(INSTALL) from None
    try:
        return design_matrices(expression, frame, na_action="pass", extra_namespace=FUNCTIONS)
    except Exception as error:  # formulae has many of its own; each becomes one line here
        raise ValueError(f"formula {whole!r}: {expression!r} cannot be computed: {_line(error)}") from None


def _line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].strip("'\"")


def _bars(right: str, text: str) -> list[tuple[str, str]]:
    """(with parentheses, inside) of every parenthesis that holds a bar."""
    found, depth, start = [], 0, 0
    for place, character in enumerate(right):
        if character == "(":
            start = place if depth == 0 else start
            depth += 1
        elif character == ")":
            depth -= 1
            if depth < 0:
                break
            if depth == 0 and "|" in right[start:place]:
                found.append((right[start : place + 1], right[start + 1 : place]))
    if depth != 0:
        raise ValueError(f"formula {text!r}: its parentheses do not match")
    return found


def _split(text: str, mark: str) -> list[str]:
    """Parts of a text at a mark outside parentheses."""
    parts, depth, current = [], 0, ""
    for character in text:
        depth += (character == "(") - (character == ")")
        if character == mark and depth == 0:
            parts.append(current)
            current = ""
        else:
            current += character
    return [*parts, current]


def _nested(grouping: str) -> list[tuple[str, ...]]:
    """a/b is a and a:b."""
    steps = [tuple(name.strip().strip("`") for name in part.split(":")) for part in grouping.split("/")]
    return [tuple(name for step in steps[: k + 1] for name in step) for k in range(len(steps))]


def _uncorrelated(expression: str, correlated: bool) -> list[str]:
    if correlated:
        return [expression]
    terms = [term.strip() for term in _split(expression, "+") if term.strip()]
    slopes = [term for term in terms if term not in ("0", "1", "-1")]
    return [*([] if "0" in terms else ["1"]), *(f"0 + {term}" for term in slopes)]


def _responses(left: str) -> tuple[str, ...]:
    inside = re.fullmatch(r"cbind\((.*)\)", left)
    return tuple(part.strip() for part in _split(inside[1], ",")) if inside else (left,)
