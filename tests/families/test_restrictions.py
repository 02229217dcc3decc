"""What is shared, fixed and believed is read once, for all families; what is fixed comes back as it was."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from latentem import priors
from latentem.families import Gamma, Independent, Poisson, Restrictions


def test_a_prior_of_what_stays_put_does_not_matter() -> None:
    given = Restrictions.of(["rate"], ["shape"], {"shape": priors.Gamma(2.0, 1.0), "rate": None})
    assert given.prior == {} and given.conjugate()
    assert given.held("shape") and given.free("rate") and given.common("rate") and not given.common("shape")
    assert given.alike("shape") and given.alike("rate") and not given.alike("mean")


def test_only_conjugate_priors_are_beliefs() -> None:
    gamma, normal = priors.Gamma(2.0, 1.0), priors.Normal(0.0, 1.0)
    given = Restrictions.of(prior={"rate": gamma, "mean": normal})
    assert given.belief("rate", priors.Gamma) is gamma and given.belief("mean", priors.Gamma) is None
    assert given.conjugate(rate=priors.Gamma, mean=priors.Normal)
    assert not given.conjugate(rate=priors.Gamma) and not given.conjugate(rate=priors.Gamma, mean=priors.Gamma)


def test_of_one_column() -> None:
    gamma = priors.Gamma(2.0, 1.0)
    given = Restrictions.of(["a.rate", "b"], ["a.shape"], {"a": {"rate": gamma}, "b": {"rate": gamma}})
    assert given.within("a", ["shape", "rate"]) == Restrictions.of(["rate"], ["shape"], {"rate": gamma})
    assert given.within("b", ["rate"]) == Restrictions.of(["rate"], [], {"rate": gamma})


def test_pooled_where_it_is_common() -> None:
    expected = np.array([[1.0, 2.0], [3.0, 4.0]])
    given = Restrictions.of(["rate"])
    np.testing.assert_array_equal(given.pool(expected, "rate"), [4.0, 6.0])
    assert given.pool(expected, "shape") is expected


@dataclass(frozen=True)
class Careless(Gamma):
    """A family whose M-step asks for nothing."""

    def m_step(self, expected: Any, params: Any, context: Any, given: Restrictions) -> Any:
        return {name: value + 1.0 for name, value in params.items()}


@pytest.mark.parametrize("fixed", [[], ["rate"], ["shape"], ["rate", "shape"]])
def test_what_is_fixed_comes_back_whatever_a_family_does(fixed: list[str]) -> None:
    params = {"shape": np.ones(2), "rate": np.full(2, 3.0)}
    new = Careless().maximize(np.ones((2, 3)), params, 1.0, fixed=frozenset(fixed))
    for name, value in params.items():
        np.testing.assert_array_equal(new[name], value + (name not in fixed))


def test_nothing_left_to_estimate_is_a_closed_form() -> None:
    family = Independent({"a": Careless(), "b": Poisson()})
    odd = {"a": {"shape": priors.Normal(0.0, 1.0)}}
    assert not family.has_closed_form(prior=odd)
    assert family.has_closed_form(fixed=frozenset({"a"}), prior=odd)
    assert family.has_closed_form(fixed=frozenset({"a.shape"}), prior=odd)
