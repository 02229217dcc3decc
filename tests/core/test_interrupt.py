"""Ctrl-C anywhere in a fit returns the best params so far, with status `interrupted`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest
from shapes import SHAPES, Shape, fitted

import latentem as lem
from latentem.ascent import polish
from latentem.fitting import attempt, batch, climb

FINITE, GRID = SHAPES[0], next(shape for shape in SHAPES if shape.name == "grid")


@pytest.fixture(autouse=True, scope="module")
def whole() -> None:
    """What the fits come to when nobody interrupts them."""
    for shape in (FINITE, GRID):
        fitted(shape)


def interrupted_at(monkeypatch: pytest.MonkeyPatch, module: Any, name: str, call: int = 1) -> list[int]:
    """Ctrl-C comes during the `call`-th call of a function; how often it was called since."""
    whole: Callable[..., Any] = getattr(module, name)
    calls: list[int] = []

    def cut(*args: Any, **options: Any) -> Any:
        calls.append(len(calls) + 1)
        if len(calls) == call:
            raise KeyboardInterrupt
        return whole(*args, **options)

    monkeypatch.setattr(module, name, cut)
    return calls


def is_kept(found: lem.Fit, shape: Shape = FINITE) -> None:
    assert found.status is lem.Status.interrupted
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(found.params))
    assert np.isfinite(found.log_likelihood) and str(found) and found.summary()
    assert found.log_likelihood <= fitted(shape).log_likelihood + 1e-9
    assert float(np.sum(found.log_prob())) == pytest.approx(found.log_likelihood, rel=1e-9)


@pytest.mark.parametrize("call", [1, 2, 3])
def test_while_em_runs(monkeypatch: pytest.MonkeyPatch, call: int) -> None:
    monkeypatch.setattr(climb, "CHUNK_ITERATIONS", 1)
    calls = interrupted_at(monkeypatch, climb, "advance", call)
    found = FINITE.fit()
    is_kept(found)
    assert len(calls) == call and found.iterations == len(found.trace) == call - 1


def test_before_em_has_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    interrupted_at(monkeypatch, climb, "begin")
    found = FINITE.fit()
    is_kept(found)
    np.testing.assert_array_equal(found.params["rate"], FINITE.start["rate"])


def test_while_starts_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    interrupted_at(monkeypatch, climb.optima, "spurious")
    found = FINITE.fit()
    is_kept(found)
    assert found.log_likelihood == pytest.approx(fitted(FINITE).log_likelihood, rel=1e-6)


@pytest.mark.parametrize("call", [1, 2])
def test_while_newton_runs(monkeypatch: pytest.MonkeyPatch, call: int) -> None:
    calls = interrupted_at(monkeypatch, polish, "_at", call)
    found = GRID.fit(tolerance=1e-3)
    is_kept(found, GRID)
    # What Newton had reached after the first evaluation is kept, with its gradient.
    assert len(calls) == call and (found.gradient is not None) == (call == 2)


def test_while_starts_are_annealed(monkeypatch: pytest.MonkeyPatch) -> None:
    interrupted_at(monkeypatch, batch, "anneal")
    found = FINITE.fit(annealing=lem.Annealing())
    is_kept(found)
    np.testing.assert_array_equal(found.params["rate"], FINITE.start["rate"])


def test_while_the_last_value_is_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = interrupted_at(monkeypatch, batch, "evaluate")
    found = FINITE.fit(polish=False)
    is_kept(found)
    assert len(calls) == 2


def test_while_a_remedy_looks_at_what_was_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = interrupted_at(monkeypatch, attempt, "final_error")
    x = np.tile(GRID.data, (40, 1)) + 0.25 * np.arange(40 * len(GRID.data))[:, None] % 1.0
    found = lem.fit(GRID.model(), x, initial=GRID.start, compress=True)
    assert found.status is lem.Status.interrupted and len(calls) == 2
    assert float(np.sum(found.log_prob())) == pytest.approx(found.log_likelihood, rel=1e-9)


def test_a_callback_that_ends_a_fit_ends_its_remedies() -> None:
    seen: list[int] = []
    found = FINITE.fit(callback=lambda snapshot: seen.append(snapshot.iterations) or True, max_iterations=200)
    assert found.status in (lem.Status.interrupted, lem.Status.converged) and len(seen) == 1


def test_a_second_interrupt_is_not_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def always(*args: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(climb, "advance", always)
    monkeypatch.setattr(batch, "evaluate", always)
    with pytest.raises(KeyboardInterrupt):
        FINITE.fit()
