"""An E-step worked in groups of lanes, in stretches of time or in blocks side by side is the E-step in one piece."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest

import latentem as lem
from latentem.data import Data
from latentem.forms.chain import codebook, layout
from latentem.forms.chain import form as chain_form
from latentem.forms.chain.form import ChainForm
from latentem.forms.chain.lanes import pack

HMM = lem.HMM(3, lem.families.Gaussian("diagonal"))
PARAMS = {
    "initial": np.array([0.5, 0.3, 0.2]),
    "transition": np.array([[0.8, 0.15, 0.05], [0.1, 0.7, 0.2], [0.0, 0.3, 0.7]]),
    "emission": {"mean": np.array([[-1.0, 0.5], [0.3, 0.0], [2.0, -0.4]]), "variance": np.full((3, 2), 0.7)},
}


def e_step(form: ChainForm, series: lem.Sequences) -> tuple[np.ndarray, float, Any, tuple[int, ...]]:
    """(log p of each sequence, log-likelihood, expected statistics, layout)."""
    weights = np.linspace(0.5, 2.0, series.n)
    with jax.enable_x64(True):
        prepared = form.of_new(Data(series, weights), "float64")
        logs = np.asarray(form.log_prob(PARAMS, prepared))
        total, expected = jax.jit(form.expect)(PARAMS, prepared)
        return logs, float(total), jax.tree.map(np.asarray, expected), prepared.rows["sequence"].shape


@pytest.fixture(scope="module")
def series() -> lem.Sequences:
    rng = np.random.default_rng(4)
    lengths = rng.integers(1, 60, 31)
    return lem.sequences(rng.normal(size=(lengths.sum(), 2)), lengths=lengths)


@pytest.mark.parametrize(
    ("cells", "longest", "narrowest", "pieces"),
    [
        pytest.param(700, 1 << 18, 3, (True, False), id="groups"),
        pytest.param(500, 900, 64, (False, True), id="stretches"),
        pytest.param(400, 400, 4, (True, True), id="groups in stretches"),
    ],
)
def test_groups_and_stretches(
    monkeypatch: pytest.MonkeyPatch,
    series: lem.Sequences,
    cells: int,
    longest: int,
    narrowest: int,
    pieces: tuple[bool, bool],
) -> None:
    hmm, found = HMM.declare(series)
    form = ChainForm(hmm.model())
    whole = e_step(form, found)
    assert whole[3][:2] == (1, 1)
    monkeypatch.setattr(layout, "CELLS", cells)
    monkeypatch.setattr(layout, "LONGEST", longest)
    monkeypatch.setattr(layout, "NARROWEST", narrowest)
    parts = e_step(form, found)
    assert (parts[3][0] > 1, parts[3][1] > 1) == pieces
    same(parts, whole)


@pytest.mark.parametrize("length", [pytest.param(40 * 7, marks=pytest.mark.slow), 40 * 7 - 1, 40 * 7 - 39])
@pytest.mark.parametrize("block_cells", [pytest.param(1 << 18, marks=pytest.mark.slow), 150])
def test_blocks(monkeypatch: pytest.MonkeyPatch, length: int, block_cells: int) -> None:
    rng = np.random.default_rng(length)
    hmm, found = HMM.declare(lem.sequences([rng.normal(size=(length, 2)), rng.normal(size=(length - 7, 2))]))
    monkeypatch.setattr(layout, "BLOCK_CELLS", block_cells)
    monkeypatch.setattr(layout, "NARROWEST", 3)
    cut = ChainForm(hmm.model(), blocks=7)
    whole = e_step(ChainForm(hmm.model()), found)
    same(e_step(cut, found), whole)
    same(e_step(cut.careful() or cut, found), whole)


@pytest.mark.parametrize("blocks", [1, 7])
def test_steps_are_laid_out_one_by_one_as_in_pieces(monkeypatch: pytest.MonkeyPatch, blocks: int) -> None:
    rng = np.random.default_rng(1)
    lengths = np.concatenate([[900], rng.integers(1, 20, 300)])
    total = lengths.sum()
    labels, gone = rng.integers(-1, 3, total), (rng.uniform(size=total) < 0.2) & (np.arange(total) < 900)
    found = lem.sequences(np.where(gone, np.nan, np.arange(1.0, total + 1)), lengths=lengths, labels=labels)
    monkeypatch.setattr(layout, "CELLS", 4000)
    monkeypatch.setattr(layout, "LONGEST", 8000)
    monkeypatch.setattr(layout, "BLOCK_CELLS", 4000)

    def laid(long: int) -> dict[str, np.ndarray]:
        monkeypatch.setattr(layout, "LONG_PIECES", long)
        with jax.enable_x64(True):
            rows = layout.lay_out(found.without_gaps(), 3, blocks, "float64")
            return {name: np.asarray(layout.joined(a, blocks)) for name, a in rows.items()}

    one_by_one, in_pieces = laid(10**9), laid(0)
    for name, a in one_by_one.items():
        np.testing.assert_array_equal(a, in_pieces[name], err_msg=name)
    # And they lie where `places` says.
    step, lane = pack(found.lengths).places(found.lengths)
    np.testing.assert_array_equal(one_by_one["x"][step, lane][~gone], np.arange(1.0, total + 1)[~gone])
    sequence = one_by_one["sequence"][step, lane]
    np.testing.assert_array_equal(layout.owner(sequence), np.repeat(np.arange(301), lengths))
    np.testing.assert_array_equal(layout.begins(sequence), found.begins)
    np.testing.assert_array_equal(one_by_one["label"][step, lane], labels)


def same(parts: tuple[Any, ...], whole: tuple[Any, ...]) -> None:
    np.testing.assert_allclose(parts[0], whole[0], rtol=1e-12)
    assert parts[1] == pytest.approx(whole[1], rel=1e-12)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-10), parts[2], whole[2])


@pytest.mark.parametrize(
    "family", [lem.families.Categorical(9), pytest.param(lem.families.NegativeBinomial(), marks=pytest.mark.slow)]
)
def test_looking_up(monkeypatch: pytest.MonkeyPatch, family: Any) -> None:
    # Distinct observations are looked up; the same without, in one piece and in several.
    rng = np.random.default_rng(2)
    lengths = np.array([150, 1, 89, 200])
    x = np.where(rng.uniform(size=440) < 0.1, np.nan, rng.integers(0, 9, 440))
    hmm, found = lem.HMM(3, family).declare(lem.sequences(x, lengths=lengths))
    rates = {"probabilities": rng.dirichlet(np.ones(9), 3)}
    if isinstance(family, lem.families.NegativeBinomial):
        rates = {name: np.array([1.0, 3.0, 6.0]) for name in family.constraints()}
    params = {**PARAMS, "emission": rates}
    form = ChainForm(hmm.model())

    def answers() -> Any:
        with jax.enable_x64(True):
            prepared = form.of_new(Data(found, np.array([1.0, 0.5, 2.0, 1.0])), "float64")
            total, expected = form.expect(params, prepared)
            q = form.q(params, expected, prepared)
            coded = isinstance(prepared.context, chain_form.Coded)
            return coded, prepared.rows["sequence"].shape[1], (total, expected.first, expected.transition, q)

    monkeypatch.setattr(chain_form, "STEPS", 0)
    coded, _, looked_up = answers()
    assert coded
    monkeypatch.setattr(layout, "CELLS", 100)
    monkeypatch.setattr(layout, "LONGEST", 200)
    _, stretches, in_stretches = answers()
    assert stretches > 1
    monkeypatch.setattr(codebook, "SHARED_BY", 10**6)
    coded, _, plain = answers()
    assert not coded
    for other in (in_stretches, plain):
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-11), other, looked_up)


def test_a_very_long_sequence_needs_half_as_much_again_as_its_data() -> None:
    # A plain forward-backward would keep two arrays of (T, K): eight times the data.
    x = np.random.default_rng(5).normal(size=(1_000_000, 1))
    hmm, found = lem.HMM(4, lem.families.Gaussian("diagonal")).declare(lem.sequences(x))
    form = ChainForm.of(hmm.model(), found)
    params = {
        "initial": np.full(4, 0.25),
        "transition": np.full((4, 4), 0.25),
        "emission": {"mean": np.arange(4.0)[:, None], "variance": np.ones((4, 1))},
    }
    with jax.enable_x64(True):
        prepared = form.of_new(Data(found, np.ones(1)), "float64")
        used = jax.jit(form.statistics).lower(params, prepared).compile().memory_analysis()
    assert used.argument_size_in_bytes + used.temp_size_in_bytes < 1.5 * x.nbytes


def test_units_from_parts_of_a_sequence_change_no_estimate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout, "BLOCK", 40)
    monkeypatch.setattr(layout, "BLOCK_CELLS", 1)
    monkeypatch.setattr(layout, "NARROWEST", 2)
    # The level rises along the sequence, so that its parts have other means and deviations than the whole.
    x = np.linspace(-2.0, 3.0, 2000)[:, None] + np.random.default_rng(6).normal(size=(2000, 2))
    hmm, found = HMM.declare(lem.sequences(x))
    form = ChainForm.of(hmm.model(), found)
    steps, units = [], []
    for groups in (10**9, 2):
        monkeypatch.setattr(chain_form, "GROUPS", groups)
        chain_form._context.clear_cache()
        with jax.enable_x64(True):
            prepared = form.of_new(Data(found, np.ones(1)), "float64")
            total, expected = form.statistics(PARAMS, prepared)
            new = form.maximize(expected, PARAMS, prepared)
            units.append(np.concatenate([np.ravel(a) for a in jax.tree.leaves(prepared.context)]))
            steps.append(jax.tree.map(np.asarray, (total, new)))
    chain_form._context.clear_cache()
    assert prepared.rows["sequence"].shape[0] > 4 and np.max(np.abs(units[0] - units[1])) > 1e-3
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12), *steps)
