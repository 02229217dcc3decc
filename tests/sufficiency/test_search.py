"""How a search for anchors goes on after a round, on values."""

from dataclasses import replace
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

import latentem as lem
from latentem.forms.anchors.basis import Basis
from latentem.forms.anchors.coordinates import Coordinates
from latentem.forms.anchors.search import LARGEST_SAMPLE, SAMPLE, Density, Search, enlarged, failed, tamed


def poisson(params: Any, x: Any, z: Any) -> Any:
    return jnp.log(params["weight"][z]) + x * jnp.log(params["rate"][z]) - params["rate"][z]


MODEL = lem.Model(poisson, lem.Finite(2), {"weight": lem.simplex(2), "rate": lem.positive(2)})


def search(n: int = 5000, **changes: Any) -> Search:
    density = Density(MODEL, np.arange(2), np.arange(float(n)), n, None, 0.0)
    begun = Search(density, np.random.default_rng(0), np.zeros(3), 22, min(n, SAMPLE), found={"rank": 4, "gap": 1e9})
    return replace(begun, **changes)


def going_on(found: Any) -> Search:
    assert isinstance(found, Search)
    return found


def ended(found: Any) -> lem.Compression:
    assert isinstance(found, lem.Compression)
    return found


def test_more_draws_and_more_rows_until_both_are_many() -> None:
    once = going_on(enlarged(search()))
    assert (once.draws, once.sample) == (2 * SAMPLE // 2 + 1, LARGEST_SAMPLE)
    assert (going_on(enlarged(once)).draws, going_on(enlarged(once)).sample) == (LARGEST_SAMPLE + 1, LARGEST_SAMPLE)
    many = search(draws=2000, sample=LARGEST_SAMPLE, reason="no gap")
    assert ended(enlarged(many)).reason == "no gap" and ended(enlarged(many)).rank == 4


def test_few_rows_are_named_as_the_reason() -> None:
    found = ended(enlarged(search(n=16, draws=2000, reason="no gap")))
    assert found.reason == "no gap (16 distinct rows are too few for 3 free parameters)"


def test_a_wild_centre_is_tamed_once() -> None:
    wild = search(centre=np.array([0.0, 700.0, -41.0]))
    tame = going_on(tamed(wild, "overflow"))
    np.testing.assert_array_equal(tame.centre, [0.0, 30.0, -30.0])
    assert ended(tamed(tame, "overflow")).reason == "overflow"


BASIS = Basis(4, 1e9, np.arange(4), np.zeros((4, 3)), np.zeros(4, int), np.eye(4), np.zeros((3, 3)))


def coordinates(error: float, failing: Any) -> Coordinates:
    return Coordinates(error, np.arange(4.0), np.zeros((5000, 4)), None, None, np.asarray(failing))


def test_rows_that_were_not_predicted_join_the_next_sample() -> None:
    rare = failed(search(sample=LARGEST_SAMPLE, hard=np.array([7])), BASIS, coordinates(0.1, [3, 9]), 1536)
    assert list(going_on(rare).hard) == [3, 7, 9] and going_on(rare).sample == LARGEST_SAMPLE
    assert going_on(rare).draws == 22 and "from 22 draws and 1536 rows" in going_on(rare).reason
    many = failed(search(), BASIS, coordinates(0.1, np.arange(64)), 384)
    assert going_on(many).sample == LARGEST_SAMPLE and len(going_on(many).hard) == 64


def test_anchors_that_nearly_hold_carry_a_fit_to_where_better_ones_are_chosen() -> None:
    found = ended(failed(search(), BASIS, coordinates(1e-7, [3]), 384))
    assert found.provisional and not found.verdict and found.basis is BASIS and found.coordinates.shape == (5000, 4)
    assert "holds to 1e-07 only" in found.reason
    # With few draws the next round may find more.
    assert isinstance(failed(search(draws=11), BASIS, coordinates(1e-7, [3]), 384), Search)


@pytest.mark.parametrize(("memory", "budget"), [(None, 256e6), (1e3, 1e3)])
def test_the_memory_of_coordinates(memory: float | None, budget: float) -> None:
    assert replace(search().density, memory=memory).budget == budget
