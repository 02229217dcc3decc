"""Programs are compiled side by side, and make room for one another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from contracts.programs import programs

import latentem as lem
from latentem.numerics import compiled


def two_kinds(params: Any, x: Any, z: Any) -> Any:
    """Mixture of two normal densities of variance 1."""
    return jnp.log(params["weight"][z]) - 0.5 * (x - params["mean"][z]) ** 2


def test_newton_is_compiled_while_em_is() -> None:
    model = lem.Model(two_kinds, lem.Finite(2), {"weight": lem.simplex(2), "mean": lem.real(2)})
    x = np.array([-3.1, -2.9, -3.0, -2.5, -3.6, 4.0, 4.2, 3.7, 4.1, 5.0])
    with programs() as seen:  # of this thread
        fit = lem.fit(model, x, key=jax.random.key(0))
    assert fit.gradient is not None and fit.gradient < 1e-9
    compiled_here = " ".join(line for line in seen if line.startswith("Finished XLA compilation"))
    assert "jit(advance)" in compiled_here
    assert "jit(expansion)" not in compiled_here


def test_what_does_not_compile_ahead_says_so_when_it_is_called() -> None:
    def wrong(size: int, x: jax.Array) -> jax.Array:
        raise ValueError("no such program")

    program = jax.jit(wrong, static_argnums=0)
    with compiled.ahead(program, 3, jnp.ones(2)):
        pass
    with pytest.raises(ValueError, match="no such program"):
        program(3, jnp.ones(2))


def test_compiled_programs_make_room_before_the_process_runs_out_of_maps(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    limit = tmp_path / "max_map_count"
    limit.write_text("10\n")
    dropped: list[bool] = []
    monkeypatch.setattr(compiled, "_LIMIT", limit)
    monkeypatch.setattr(jax, "clear_caches", lambda: dropped.append(True))
    if not compiled._MAPS.exists():
        monkeypatch.setattr(compiled, "_MAPS", limit)
        limit.write_text("1\n")
    assert any([compiled.make_room() for _ in range(compiled.CALLS)]) and dropped
    limit.write_text("1000000000\n")
    assert not any([compiled.make_room() for _ in range(compiled.CALLS)])


def test_seldom_is_jit() -> None:
    program = compiled.seldom(lambda power, x: x**power)
    x = np.arange(4.0, dtype=np.float32)
    np.testing.assert_array_equal(program(3, x), x**3)
    np.testing.assert_array_equal(program.lower(2, x).compile()(x), x**2)


def test_a_derivative_of_a_program_is_a_program_of_its_own() -> None:
    cube = compiled.jit(lambda x: x**3)
    assert float(cube(2.0)) == 8.0
    assert float(compiled.jit(jax.grad(cube))(2.0)) == 12.0


def test_an_xla_that_does_not_know_the_options_is_asked_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert compiled._quick.__wrapped__() == compiled.QUICK
    monkeypatch.setattr(compiled, "QUICK", {"xla_cpu_of_another_age": False})
    assert compiled._quick.__wrapped__() is None
    monkeypatch.undo()
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert compiled._quick.__wrapped__() is None
