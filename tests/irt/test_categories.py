"""Categories of items: declared beyond the data, labels, what looks like none; a known item bank scores one person."""

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import special, stats

import latentem as lem

RNG = np.random.default_rng(11)
THETA = RNG.normal(size=300)
BINARY = (RNG.random((300, 4)) < special.expit(THETA[:, None] - [-1, -0.3, 0.3, 1])).astype(int)
STEPS = [(RNG.random((300, 4)) < special.expit(THETA[:, None] - b)).astype(int) for b in (-1.0, 0.8)]
LIKERT = STEPS[0] + STEPS[0] * STEPS[1]  # 0, 1, 2
ITEMS = [f"q{j}" for j in range(4)]
NODES = {"nodes": 9}
FEW = {"max_iterations": 3, "polish": False}
BANK = {"q0": {"slope": 1.2, "intercept": 0.5}, "q1": {"slope": 0.8, "intercept": -0.4}}


def table(answers: np.ndarray, names: Any = ITEMS) -> dict[str, np.ndarray]:
    return dict(zip(names, answers.T, strict=True))


def test_a_known_item_bank_scores_one_person() -> None:
    fit = lem.fit(lem.IRT("2pl", fixed=BANK, categories=[0, 1]), {"q0": [1], "q1": [1]})
    z = np.linspace(-6, 6, 2001)
    p = special.expit(1.2 * z + 0.5) * special.expit(0.8 * z - 0.4) * stats.norm.pdf(z)
    mean = (p @ z) / p.sum()
    found = fit.scores()
    np.testing.assert_allclose(found["theta"], mean, rtol=1e-6)
    np.testing.assert_allclose(found["se"], np.sqrt((p @ (z - mean) ** 2) / p.sum()), rtol=1e-5)
    assert fit.scores(x={"q1": [0.0, 1.0], "q0": [np.nan, 0.0]})["theta"].shape == (2,)


def test_labels_are_categories() -> None:
    fit = lem.fit(lem.IRT("rasch", **NODES), table(BINARY), **FEW)
    words = np.array(["no", "yes"])[BINARY]
    for data in (table(words), pd.DataFrame(words, columns=ITEMS), pl.DataFrame(table(words)), table(BINARY > 0)):
        again = lem.fit(lem.IRT("rasch", **NODES), data, **FEW)
        assert again.log_likelihood == pytest.approx(fit.log_likelihood, rel=1e-12)
    again = lem.fit(lem.IRT("rasch", items=tuple(ITEMS), **NODES), words, **FEW)
    np.testing.assert_allclose(again.scores(x=words[:3])["theta"], fit.scores()["theta"][:3], rtol=1e-9)
    assert any("'no' = 0, 'yes' = 1: pass categories=" in note for note in again.notes)
    assert set(again.simulate(0, 5)["q0"]) <= {"no", "yes"}
    with pytest.raises(ValueError, match=r"item 'q1' holds 'maybe' for person 1: expected one of \['no', 'yes'\]"):
        again.scores(x=table(np.array([["no"] * 4, ["yes", "maybe", "no", "no"]])))
    with pytest.raises(TypeError, match=r"item 'q0' holds numbers: expected labels, \['no', 'yes'\]"):
        again.scores(x=table(BINARY[:2]))


def test_labels_have_an_order() -> None:
    order = ["low", "middle", "high"]
    fit = lem.fit(lem.IRT("pcm", **NODES), table(LIKERT), **FEW)
    words = np.array(order)[LIKERT]
    frame = pd.DataFrame(words, columns=ITEMS).astype(pd.CategoricalDtype(order, ordered=True))
    enum = pl.DataFrame(table(words), schema=dict.fromkeys(ITEMS, pl.Enum(order)))
    for data, options in ((frame, {}), (enum, {}), (table(words), {"categories": order})):
        again = lem.fit(lem.IRT("pcm", **options, **NODES), data, **FEW)
        assert again.log_likelihood == pytest.approx(fit.log_likelihood, rel=1e-12)
    with pytest.raises(ValueError, match=r"labels without an order \(high, low, middle, ...\): pass categories="):
        lem.fit(lem.IRT("pcm"), table(words))
    text = lem.fit(lem.IRT("pcm", **NODES), table(LIKERT.astype(str)), **FEW)
    assert text.log_likelihood == pytest.approx(fit.log_likelihood, rel=1e-12)


def test_labels_stay_with_a_fit(tmp_path: Any) -> None:
    words = np.array(["no", "yes"])[BINARY]
    fit = lem.fit(
        lem.IRT("rasch", categories={"q0": ["yes", "no"]}, **NODES), pd.DataFrame(words, columns=ITEMS), **FEW
    )
    again = lem.load(fit.save(tmp_path / "fit"))
    np.testing.assert_allclose(again.scores(x=table(words[:4]))["theta"], fit.scores()["theta"][:4], rtol=1e-12)
    plain = lem.fit(lem.IRT("rasch", **NODES), table(np.column_stack([1 - BINARY[:, 0], BINARY[:, 1:]])), **FEW)
    assert fit.log_likelihood == pytest.approx(plain.log_likelihood, rel=1e-12)


def test_a_category_that_nobody_chose_keeps_its_place() -> None:
    seldom = np.where(LIKERT == 1, 0, LIKERT)
    seldom[:, 1:] = LIKERT[:, 1:]
    closed = lem.fit(lem.IRT("pcm", **NODES), table(seldom), **FEW)
    assert closed.model.declaration.seen.categories[0] == (0, 2)
    assert any("item 'q0' has categories 0, 2: nobody chose 1" in note for note in closed.notes)
    whole = lem.IRT("pcm", categories=range(3), fixed={"q0": {"intercept": [0.3, -0.2]}}, **NODES)
    kept = lem.fit(whole, table(seldom), **FEW)
    assert kept.model.declaration.seen.categories[0] == (0, 1, 2) and not any("q0" in note for note in kept.notes)
    assert np.isfinite(kept.scores(x=table(np.ones((1, 4))))["theta"]).all()
    with pytest.raises(ValueError, match="item 'q0' holds 1.0 for person 0: expected one of"):
        closed.scores(x=table(np.ones((1, 4))))
    with pytest.raises(ValueError, match=r"item 'q2' holds 2 for person \d+: expected one of \[0, 1\]"):
        lem.fit(lem.IRT("pcm", categories={"q2": [0, 1]}), table(LIKERT))


def test_sums_are_those_of_the_data() -> None:
    answers = np.where(LIKERT == 2, 3, LIKERT)  # 0, 1, 3
    fit = lem.fit(lem.IRT("pcm", **NODES), table(answers), **FEW)
    found = fit.sum_scores()
    raw = answers.sum(axis=1)
    assert found["sum_score"].tolist() == [s for s in range(13) if s != 11]
    assert found["observed"].tolist() == [np.sum(raw == s) for s in found["sum_score"]]
    # By enumeration of all answers at each node.
    irt = fit.model.declaration
    p = np.exp(np.asarray(irt.table(fit.params, irt.grid.values)))[:, 0]
    z, weight = irt.grid.values[:, 0], np.asarray(irt.ability.moments(fit.params["ability"])[1])
    assert weight.shape[-1] == 1
    codes = np.stack(np.meshgrid(*[range(3)] * 4, indexing="ij"), -1).reshape(-1, 4)
    sums = np.array([0, 1, 3])[codes].sum(axis=1)
    each = np.prod(p[:, np.arange(4), codes], axis=2)
    prior = stats.norm.pdf(z, 0, np.sqrt(float(weight.ravel()[0])))
    for s in (3, 7, 12):
        posterior = each[:, sums == s].sum(axis=1) * prior
        mean = posterior @ z / posterior.sum()
        assert found["theta"][found["sum_score"] == s] == pytest.approx(mean, rel=1e-4, abs=1e-4)
    scored = fit.scores("eapsum")["theta"]
    place = {s: t for s, t in zip(found["sum_score"].tolist(), found["theta"].tolist(), strict=True)}
    np.testing.assert_allclose(scored, [place[s] for s in raw.tolist()], rtol=1e-8)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda a: np.where(np.arange(300) < 3, -9, a), r"item 'q0' holds -9 \(3 times\).*write nan if it stands for"),
        (lambda a: np.where(np.arange(300) < 2, 99, a), r"item 'q0' holds 99 \(2 times\)"),
        (lambda a: np.where(np.arange(300) < 1, 3, a), "item 'q0': one person chose 3, so that its params hang"),
    ],
)
def test_what_looks_like_no_category_is_noted(change: Any, told: str) -> None:
    data = table(LIKERT) | {"q0": change(LIKERT[:, 0])}
    fit = lem.fit(lem.IRT("pcm", nodes=9), data, max_iterations=2, polish=False)
    import re

    assert any(re.search(told, note) for note in fit.notes), fit.notes


def test_an_id_column_is_noted() -> None:
    data = {"id": np.arange(30), **table(LIKERT[:30])}
    fit = lem.fit(lem.IRT("nominal", nodes=5), data, max_iterations=1, polish=False)
    assert any("item 'id' has another value for every person: is it an item?" in note for note in fit.notes)


@pytest.mark.parametrize(
    ("categories", "told"),
    [
        ("01", "categories='01': expected a list"),
        ([0], "expected different categories, at least two"),
        ([0, 0], "expected different categories, at least two"),
        ([1, 0], "expected numbers in ascending order"),
        ([0.5, 1], "expected whole numbers, or text"),
        ([0, "one"], "expected whole numbers, or text"),
        ({"q9": [0, 1]}, "categories of 'q9', which is no item: expected some of q0, q1"),
        ({"q0": 2}, r"categories\['q0'\]=2: expected a list"),
    ],
)
def test_categories_that_are_none(categories: Any, told: str) -> None:
    with pytest.raises((TypeError, ValueError), match=told) as error:
        lem.fit(lem.IRT("rasch", categories=categories), table(BINARY))
    assert "\n" not in str(error.value)
