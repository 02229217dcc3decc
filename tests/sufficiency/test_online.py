"""Online EM: one pass comes close to the batch fit, anchors widen when a batch needs it, and misuse is named."""

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.scipy.stats import multivariate_normal, norm, poisson
from jax.scipy.stats import t as student

import latentem as lem
from latentem.ascent.stream import Stream, StreamState
from latentem.data import Data
from latentem.forms.anchors.compression import latent_nodes
from latentem.forms.anchors.tabulate import table

WEIGHT = {"weight": lem.simplex(2)}


def gaussians(p: Any, x: Any, z: Any) -> Any:
    return jnp.log(p["weight"][z]) + multivariate_normal.logpdf(x, p["mean"][z], p["covariance"][z])


three_gaussians = lem.Model(
    gaussians,
    lem.Finite(3),
    {"weight": lem.simplex(3), "mean": lem.real((3, 2)), "covariance": lem.covariance(2, batch=3)},
)
CENTRES = np.array([[0.0, 0.0], [4.0, 0.0], [0.0, 4.0]])
THREE_START = {
    "weight": np.full(3, 1 / 3),
    "mean": np.array([[0.5, 0.5], [3.0, 0.5], [0.5, 3.0]]),
    "covariance": np.broadcast_to(2 * np.eye(2), (3, 2, 2)).copy(),
}


def cloud(n: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    return CENTRES[rng.integers(3, size=n)] + rng.standard_normal((n, 2))


def test_one_pass_of_200_batches_is_close_to_the_batch_fit() -> None:
    x = cloud(100_000)
    names = {"weights": THREE_START["weight"], "components": {k: THREE_START[k] for k in ("mean", "covariance")}}
    by_formula = lem.GaussianMixture(3)
    best = lem.fit(by_formula, x, initial=names, polish=False)
    batches = np.split(x, 200)
    for model, start in ((by_formula, names), (three_gaussians, THREE_START)):
        fit = lem.fit(model, batches, method="online", step_size=lem.polynomial_decay(0.6), initial=start)
        assert fit.status is lem.Status.passed
        assert fit.iterations == len(fit.trace) == 200
        assert fit.n_observations == 100_000
        assert 0 <= (best.log_likelihood - fit.log_likelihood) / 100_000 < 1e-3
    assert fit.compression is not None and fit.compression.rank == 6


def by_kind(p: Any, x: Any, z: Any) -> Any:
    return jnp.log(p["weight"][z]) + jnp.log(p["share"][z, x["kind"]]) + norm.logpdf(x["y"], p["mean"][z])


# The prior keeps the share of a kind that has not come yet off zero, where the M-step would have no maximum.
kinds = lem.Model(
    by_kind,
    lem.Finite(2),
    {**WEIGHT, "share": lem.simplex(4, batch=2), "mean": lem.real(2)},
    prior={"share": lem.priors.Dirichlet(2.0)},
)
KINDS_START = {
    "weight": [0.5, 0.5],
    "share": [[0.4, 0.3, 0.2, 0.1], [0.1, 0.2, 0.3, 0.4]],
    "mean": [-1.0, 1.0],
}


def batches_with_a_late_kind() -> list[dict[str, np.ndarray]]:
    """Kinds 2 and 3 come late; the last batch has one row of kind 3 only."""
    rng = np.random.default_rng(1)
    made = []
    for highest in (2, 2, 3, 3, 2):
        made.append({"y": rng.standard_normal(500), "kind": rng.integers(0, highest, 500)})
    made[-1]["kind"][77] = 3
    return made


def test_a_batch_that_needs_new_anchors_widens_exactly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("latentem.fitting.online.FIRST_ROWS", 600)
    batches = batches_with_a_late_kind()
    widened = lem.fit(kinds, batches, method="online", initial=KINDS_START)
    assert widened.compression is not None and widened.compression.rank == 6  # 1, y, y^2, three of four kinds
    monkeypatch.setattr("latentem.fitting.online.FIRST_ROWS", 2500)
    at_once = lem.fit(kinds, batches, method="online", initial=KINDS_START)
    assert at_once.compression is not None and at_once.compression.rank == 6
    np.testing.assert_allclose(widened.trace, at_once.trace, rtol=1e-9)
    for name in at_once.params:
        np.testing.assert_allclose(widened.params[name], at_once.params[name], rtol=1e-6, atol=1e-9)


def test_running_statistics_mean_the_same_in_new_anchors() -> None:
    """sum_a S[k, a] log p(anchor_a, z_k) is the running average whatever the anchors are."""
    batches = batches_with_a_late_kind()
    together = {name: np.concatenate([b[name] for b in batches[:2]]) for name in batches[0]}
    start = {name: np.asarray(value) for name, value in KINDS_START.items()}
    with jax.enable_x64(True):
        stream = Stream(kinds, Data(together, np.ones(1000)), "float64", lem.polynomial_decay(0.6))
        state = StreamState(stream.problem(start), start)
    nodes = latent_nodes(kinds, together)
    assert nodes is not None
    u = np.random.default_rng(0).standard_normal((1, kinds.space.size))

    def meaning(state: StreamState) -> float:
        anchors = state.problem.compression.anchors
        with jax.enable_x64(True):
            at_anchors = [table(kinds, u, nodes[k : k + 1], anchors)[0] for k in range(len(nodes))]
        return float(np.sum(np.asarray(state.average) * np.array(at_anchors)))

    assert state.problem.compression.rank == 4
    with jax.enable_x64(True):
        state = state._replace(average=jnp.asarray(np.random.default_rng(1).standard_normal((2, 4))))
        later, _ = stream.take_in(state, Data(batches[-1], np.ones(500)))
    assert later.problem.compression.rank == 5
    np.testing.assert_allclose(meaning(later), meaning(state), rtol=1e-10)


def counts_mixture(p: Any, x: Any, z: Any) -> Any:
    return jnp.log(p["weight"][z]) + poisson.logpmf(x, p["rate"][z])


counts = lem.Model(counts_mixture, lem.Finite(2), {**WEIGHT, "rate": lem.positive(2)})
COUNTS_START = {"weight": [0.4, 0.6], "rate": [1.0, 5.0]}


def count_batches() -> list[np.ndarray]:
    rng = np.random.default_rng(6)
    x = rng.permutation(np.concatenate([rng.poisson(1.5, 4000), rng.poisson(7.0, 6000)])).astype(float)
    return np.split(x, 20)


def test_many_passes_approach_the_batch_fit() -> None:
    batches = count_batches()
    best = lem.fit(counts, np.concatenate(batches), initial=COUNTS_START)
    gaps = []
    for passes in (1, 8):
        fit = lem.fit(counts, batches, method="online", passes=passes, initial=COUNTS_START)
        assert fit.iterations == 20 * passes and fit.n_observations == 10_000
        gaps.append((best.log_likelihood - fit.log_likelihood) / 10_000)
    assert 0 <= gaps[1] < gaps[0] < 5e-3
    assert gaps[1] < 1e-4


def test_batches_may_come_from_a_generator() -> None:
    batches = count_batches()

    def read() -> Iterator[np.ndarray]:
        yield from batches

    once = lem.fit(counts, read(), method="online", initial=COUNTS_START)
    listed = lem.fit(counts, batches, method="online", initial=COUNTS_START)
    again = lem.fit(counts, read, method="online", initial=COUNTS_START, passes=1)
    for name in ("weight", "rate"):
        np.testing.assert_array_equal(once.params[name], listed.params[name])
        np.testing.assert_array_equal(again.params[name], listed.params[name])
    # What can be read once scores each batch before it is learnt from.
    np.testing.assert_allclose(once.log_likelihood, 500 * once.trace.sum(), rtol=1e-9)
    assert listed.log_likelihood == again.log_likelihood > once.log_likelihood


def test_impossible_latent_values_stream_too() -> None:
    def zero_inflated(p: Any, x: Any, z: Any) -> Any:
        structural = jnp.where(x == 0, jnp.log(p["zero"]), -jnp.inf)
        return jnp.where(z == 0, structural, jnp.log1p(-p["zero"]) + poisson.logpmf(x, p["rate"]))

    model = lem.Model(zero_inflated, lem.Finite(2), {"zero": lem.unit(), "rate": lem.positive()})
    rng = np.random.default_rng(0)
    x = np.where(rng.random(10_000) < 0.3, 0, rng.poisson(3.0, 10_000)).astype(float)
    start = {"zero": 0.5, "rate": 1.0}
    best = lem.fit(model, x, initial=start)
    fit = lem.fit(model, np.split(x, 20), method="online", passes=4, initial=start)
    assert 0 <= (best.log_likelihood - fit.log_likelihood) / 10_000 < 1e-4


def heavy_tails(p: Any, x: Any, z: Any) -> Any:
    return jnp.log(p["weight"][z]) + student.logpdf(x, 4.0, p["mean"][z])


heavy = lem.Model(heavy_tails, lem.Finite(2), {**WEIGHT, "mean": lem.real(2)}, name="heavy")


@pytest.mark.parametrize(
    ("batches", "options", "error", "message"),
    [
        (np.arange(10.0), {}, TypeError, "expected an iterable of batches; split the data"),
        ({"x": np.arange(10.0)}, {}, TypeError, "expected an iterable of batches; split the data"),
        ([np.arange(10.0)], {"weights": np.ones(10)}, ValueError, "weights are not taken"),
        (iter([np.arange(10.0)]), {"passes": 2}, ValueError, "these batches can be read once"),
        ([np.arange(10.0)], {"passes": 0}, ValueError, "passes=0: expected an integer >= 1"),
        ([], {}, ValueError, "no batches"),
    ],
)
def test_misuse_is_named(batches: Any, options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        lem.fit(counts, batches, method="online", initial=COUNTS_START, **options)


def test_a_model_without_statistics_is_refused() -> None:
    x = np.random.default_rng(0).standard_normal((5, 600))
    with pytest.raises(ValueError, match="heavy has no sufficient statistics to average .*does not separate"):
        lem.fit(heavy, list(x), method="online", initial={"weight": [0.5, 0.5], "mean": [-1.0, 1.0]})


def test_options_of_online_em_alone() -> None:
    with pytest.raises(ValueError, match="belong to online EM"):
        lem.fit(counts, count_batches()[0], initial=COUNTS_START, passes=2)
    for power in (0.5, 1.1):
        with pytest.raises(ValueError, match="expected a power in"):
            lem.polynomial_decay(power)
    assert lem.polynomial_decay(1.0)(3) == 0.25
