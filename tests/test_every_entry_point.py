"""Every entry point on every latent works, or refuses in one line, from the package, that is true."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from shapes import COUNTS, KEY, SHAPES, Shape, fitted

import latentem as lem
from latentem.numerics.compiled import jit

PACKAGE = str(Path(lem.__file__).parent)
Entry = Callable[[Shape, Path], Any]

FINITE_CHAINS = ("chain", "hmm", "hsmm")
GAUSSIAN_CHAINS = ("local level", "state space")
CHAINS = (*FINITE_CHAINS, *GAUSSIAN_CHAINS)
ROWS = tuple(shape.name for shape in SHAPES if shape.name not in CHAINS)
NO_NODES = ("adaptive", "hessian")
HARD = ("hard", "k-means")


def fit(shape: Shape, path: Path) -> None:
    found = fitted(shape)
    assert found.status.ok, found.status
    assert np.isfinite(found.log_likelihood) and str(found) and found.summary()


def em(shape: Shape, path: Path) -> None:
    found = fitted(shape)
    assert found.data is not None
    with jax.enable_x64(True):
        loop = lem.em(found.model)
        state = loop.init(found.params, found.data.observations)
        state, info = jit(loop.step)(state)
    assert float(info.log_likelihood) == pytest.approx(found.log_likelihood, rel=1e-9)
    assert float(info.step) < 1e-3


def solve(shape: Shape, path: Path) -> None:
    found = fitted(shape)
    assert found.data is not None
    with jax.enable_x64(True):
        params = lem.solve(found.model, found.data.observations, initial=found.params)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), params, found.params)


def online(shape: Shape, path: Path) -> None:
    found = shape.fit(data=[shape.data, shape.data], method="online")
    assert found.status is lem.Status.passed and np.isfinite(found.log_likelihood)


def check(shape: Shape, path: Path) -> None:
    # Nodes are few here, so that little is computed; that they are too few is what the check then says.
    assert set(lem.check(shape.model(), shape.data, KEY).failed) <= {"quadrature"}


def select(shape: Shape, path: Path) -> None:
    options = {"initial": shape.start, "criterion": "cv", "folds": 2, "key": KEY, "starts": 1}
    found = lem.select({"it": shape.model()}, shape.data, **options)
    assert found.winner == "it" and np.isfinite(found.ranked[0].cv)


def bootstrap(shape: Shape, path: Path) -> None:
    assert lem.bootstrap(fitted(shape), KEY, 3).replicates == 3


def load_with_data(shape: Shape, path: Path) -> None:
    found = fitted(shape)
    again = lem.load(found.save(path / "fit"), model=shape.model(), data=shape.data)
    np.testing.assert_allclose(again.log_prob(), found.log_prob(), rtol=1e-12, atol=1e-12)


def load_without_data(shape: Shape, path: Path) -> None:
    found = fitted(shape)
    again = lem.load(found.save(path / "fit"))
    jax.tree.map(np.testing.assert_array_equal, again.params, found.params)
    assert str(again) and again.log_likelihood == found.log_likelihood
    with pytest.raises(ValueError) as refused:
        again.log_prob()
    assert "\n" not in str(refused.value)


def log_prob(shape: Shape, path: Path) -> None:
    found = fitted(shape)
    values = found.log_prob(shape.data)
    np.testing.assert_allclose(values, found.log_prob(), rtol=1e-12, atol=1e-12)
    assert float(np.sum(values)) == pytest.approx(found.log_likelihood, rel=1e-8)


def posterior(shape: Shape, path: Path) -> None:
    found = fitted(shape)
    assert found.data is not None
    leaves = jax.tree.leaves(found.posterior().each)
    assert all(len(leaf) == found.data.n and not np.isnan(leaf).any() for leaf in leaves)


def predict(shape: Shape, path: Path) -> None:
    found = fitted(shape)
    assert found.data is not None
    labels = found.predict()
    assert labels.shape == (found.data.n,) and labels.dtype.kind == "i"


def sample(shape: Shape, path: Path) -> None:
    found = fitted(shape)
    assert found.data is not None
    drawn = found.sample(KEY, 5)
    assert all(len(leaf) == 5 for leaf in jax.tree.leaves(drawn))


def annealing(shape: Shape, path: Path) -> None:
    found = shape.fit(annealing=lem.Annealing(0.5, 1.9, 2), polish=False)
    assert found.objective == pytest.approx(fitted(shape).objective, rel=1e-6)


def sensitivity(shape: Shape, path: Path) -> None:
    found = fitted(shape)
    told = found.sensitivity(found.model)
    assert abs(told.log_likelihood) < 1e-6 * (1 + abs(found.log_likelihood))
    assert all(np.max(np.abs(change)) < 1e-3 for change in jax.tree.leaves(told.params))


ENTRIES: tuple[Entry, ...] = (
    fit,
    em,
    solve,
    online,
    check,
    select,
    bootstrap,
    load_with_data,
    load_without_data,
    log_prob,
    posterior,
    predict,
    sample,
    annealing,
    sensitivity,
)

#: What is refused, and by which words; everything else works.
REFUSED: dict[tuple[str, str], str] = {
    **{("solve", name): "is laid out on the host and cannot be differentiated" for name in CHAINS},
    **{("online", name): "is a chain, whose statistics are not averaged over batches" for name in CHAINS},
    **{("online", name): "has no sufficient statistics to average" for name in (*NO_NODES, "given")},
    **{("posterior", name): "is a chain: use smooth" for name in CHAINS},
    **{("predict", name): "is a chain: use viterbi" for name in FINITE_CHAINS},
    **{("predict", name): "is a chain of continuous states: use smooth" for name in GAUSSIAN_CHAINS},
    **{("predict", name): "is not finite: use posterior" for name in ROWS if name not in ("finite", *HARD)},
    **{("annealing", name): "cannot be flattened" for name in (*CHAINS, *NO_NODES, *HARD, "given", "bifactor")},
    **{("sensitivity", name): "hard assignments maximise no likelihood" for name in HARD},
    **{
        (entry, name): "declares no sampler"
        for entry in ("sample", "bootstrap")
        for name in ("sobol", "hessian", "given", "k-means")
    },
}
REFUSED |= {("bootstrap", name): "declares no sampler" for name in GAUSSIAN_CHAINS}
for name in ("mixture", "mixture of one"):
    del REFUSED["predict", name]


def refused(call: Callable[[], Any]) -> str:
    """The line by which a call is refused, once it is sure that it is one and comes from the package."""
    with pytest.raises((ValueError, TypeError)) as found:
        call()
    line = str(found.value)
    assert line.strip() and "\n" not in line, line
    last = traceback.extract_tb(found.value.__traceback__)[-1]
    assert last.filename.startswith(PACKAGE), f"{last.filename}:{last.lineno} says {line}"
    return line


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.__name__)
def test_works_or_refuses_in_one_true_line(entry: Entry, shape: Shape, tmp_path: Path) -> None:
    words = REFUSED.get((entry.__name__, shape.name))
    if words is None:
        entry(shape, tmp_path)
        return
    assert words in refused(lambda: entry(shape, tmp_path))


def test_what_chance_does_not_touch_needs_no_key() -> None:
    lem.fit(lem.Mixture(lem.families.Poisson(), 1), COUNTS)
    with pytest.raises(ValueError, match="starts at random: pass key"):
        lem.fit(lem.Mixture(lem.Mixture(lem.families.Poisson(), 2), 1), COUNTS)
    with pytest.raises(ValueError, match="starts at random: pass key"):
        lem.fit(lem.Mixture(lem.families.Poisson(), 1), COUNTS, starts=2)


def test_em_by_hand_of_a_ready_model() -> None:
    mixture = lem.Mixture(lem.families.Poisson(), 2)
    found = lem.fit(mixture, COUNTS, key=KEY)
    with jax.enable_x64(True):
        loop = lem.em(mixture)
        state, info = loop.step(loop.init(found.params, COUNTS))
    assert float(info.log_likelihood) == pytest.approx(found.log_likelihood, rel=1e-9)
    np.testing.assert_allclose(state.params["weights"], found.params["weights"], atol=1e-6)
    assert "expected lem.Model" in refused(lambda: lem.em("gaussian"))


def test_sequences_are_refused_by_a_latent_without_order() -> None:
    series = lem.sequences([COUNTS[:10], COUNTS[10:]])
    shape = SHAPES[0]
    assert "expected lem.Chain" in refused(lambda: lem.fit(shape.model(), series, initial=shape.start))
