"""The first examples of the EM literature: incomplete counts, structural zeros, several modes."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import pytest
from jax.scipy.special import gammaln, xlogy
from jax.scipy.stats import poisson
from scipy import optimize

import latentem as lem
from latentem import datasets

# --- genetic linkage: Rao (1965); Dempster, Laird and Rubin (1977), JRSS B 39, section 1; Louis (1982), JRSS B 44.
# The maximum is the root of 197 t^2 - 15 t - 68 = 0; the trace is printed in Dempster, Laird and Rubin to 4 digits.

MLE = (15 + np.sqrt(15**2 + 4 * 197 * 68)) / (2 * 197)
KERNEL = 67.38410209472016  # sum of counts log(cell probability * 4)
TRACE = (0.5, 0.6082474226804123, 0.6243210503692704, 0.6264888790796673, 0.6267773223473097)
RATE = 0.13277873374559884  # of convergence: missing / complete information


def by_animal(params: Any, cell: Any, z: Any) -> Any:
    """One animal; z says which half of the first cell it is in. The other cells have only one: structural zeros."""
    t = params["t"]
    impossible = jnp.zeros_like(t)
    table = jnp.array([[2.0 + impossible, t], [1 - t, impossible], [1 - t, impossible], [t, impossible]])
    p = table[cell, z]
    return jnp.where(p > 0, jnp.log(jnp.where(p > 0, p, 1.0)), -jnp.inf)


def by_table(params: Any, counts: Any, z: Any) -> Any:
    """The whole table as ONE observation; z animals of the first cell are in its second half."""
    t, rest = params["t"], counts[0] - z
    ways = gammaln(counts[0] + 1.0) - gammaln(z + 1.0) - gammaln(rest + 1.0)
    return ways + xlogy(rest, 2.0) + (z + counts[3]) * jnp.log(t) + (counts[1] + counts[2]) * jnp.log1p(-t)


class Split(NamedTuple):
    """Binomial posterior of z for a statistic linear in z: its expectation is that of the mean."""

    mean: Any
    log_evidence: Any

    def expect(self, f: Any) -> Any:
        return f(self.mean)


def split(params: Any, counts: Any) -> Split:
    t = params["t"]
    evidence = counts[0] * jnp.log(2.0 + t) + counts[3] * jnp.log(t) + (counts[1] + counts[2]) * jnp.log1p(-t)
    return Split(counts[0] * t / (2.0 + t), evidence)


def second_half(params: Any, counts: Any, z: Any) -> Any:
    return {"yes": z + counts[3], "no": counts[1] + counts[2]}


def fraction(expected: Any, params: Any) -> Any:
    return {"t": expected["yes"] / (expected["yes"] + expected["no"])}


def without_ways(params: Any, counts: Any, z: Any) -> Any:
    """`by_table` up to what does not depend on t, linear in z: enough for a posterior that takes expectations."""
    t = params["t"]
    return (counts[0] - z) * jnp.log(2.0) + (z + counts[3]) * jnp.log(t) + (counts[1] + counts[2]) * jnp.log1p(-t)


T = {"t": lem.unit()}
COUNTS = datasets.genetic_linkage().frequency.astype(float)
CELLS = datasets.genetic_linkage().cell
GENE_COUNTING = lem.ClosedForm(second_half, fraction)


@pytest.mark.parametrize(
    ("model", "x", "weights"),
    [
        (lem.Model(by_animal, lem.Finite(2), T), CELLS, COUNTS),
        (lem.Model(by_table, lem.Finite(126), T), COUNTS[None], None),
        (lem.Model(without_ways, lem.Given(split), T), COUNTS[None], None),
        (lem.Model(without_ways, lem.Given(split), T, m_step=GENE_COUNTING), COUNTS[None], None),
    ],
    ids=["animals", "table", "given", "closed"],
)
def test_genetic_linkage(model: lem.Model, x: Any, weights: Any) -> None:
    fit = lem.fit(model, x, weights=weights, initial={"t": 0.5})
    assert fit.status is lem.Status.converged
    assert fit.params["t"] == pytest.approx(0.6268214979, abs=5e-11)
    assert fit.params["t"] == pytest.approx(MLE, abs=1e-12)
    assert fit.log_likelihood == pytest.approx(KERNEL, abs=1e-9)


def test_genetic_linkage_climbs_as_printed(x64: None) -> None:
    em = lem.em(lem.Model(by_table, lem.Finite(126), T, m_step=GENE_COUNTING))
    state = em.init({"t": 0.5}, COUNTS[None])
    path = [float(state.params["t"])]
    for _ in range(8):
        state, _ = em.step(state)
        path.append(float(state.params["t"]))
    np.testing.assert_allclose(path[: len(TRACE)], TRACE, rtol=0, atol=1e-13)
    assert (path[8] - MLE) / (path[7] - MLE) == pytest.approx(RATE, abs=1e-5)


# --- ABO blood groups: Clarke et al. (1959), BMJ 1, 603-607; gene counting as in Lange (2002), Mathematical and
# Statistical Methods for Genetic Analysis. Maximum recomputed by gene counting in JAX.

GENOTYPES = np.array([[0, 0], [0, 2], [1, 1], [1, 2], [0, 1], [2, 2]])  # of A, B, O: AA AO BB BO AB OO
PHENOTYPE = np.array([0, 0, 1, 1, 2, 3])  # A B AB O


def abo(params: Any, phenotype: Any, z: Any) -> Any:
    first, second = jnp.asarray(GENOTYPES)[z]
    gene = jnp.log(params["gene"])
    chance = gene[first] + gene[second] + jnp.where(first == second, 0.0, jnp.log(2.0))
    return jnp.where(jnp.asarray(PHENOTYPE)[z] == phenotype, chance, -jnp.inf)


def test_abo_blood_groups() -> None:
    model = lem.Model(abo, lem.Finite(6), {"gene": lem.simplex(3)})
    fit = lem.fit(model, np.arange(4), weights=datasets.abo_blood().frequency, initial={"gene": [0.4, 0.3, 0.3]})
    assert fit.status is lem.Status.converged
    assert fit.log_likelihood == pytest.approx(-511.5714697162093, abs=1e-8)
    expected = (0.2135909454306698, 0.05014532604779794, 0.7362637285215322)
    np.testing.assert_allclose(fit.params["gene"], expected, atol=1e-8)


# --- children of widows: Thisted (1988), Elements of Statistical Computing, page 178, gives .6150567 and 1.0378391.
# The maximum in closed form: the mean of the families that have children is rate / (1 - exp(-rate)).


def zero_inflated(params: Any, children: Any, z: Any) -> Any:
    without = jnp.where(children == 0, jnp.log(params["none"]), -jnp.inf)
    return jnp.where(z == 0, without, jnp.log1p(-params["none"]) + poisson.logpmf(children, params["rate"]))


def test_zero_inflated_children_of_widows() -> None:
    model = lem.Model(zero_inflated, lem.Finite(2), {"none": lem.unit(), "rate": lem.positive()})
    table = datasets.widows()
    children, widows = table.children, table.frequency
    fit = lem.fit(model, children, weights=widows, initial={"none": 0.5, "rate": 1.0})
    assert fit.status is lem.Status.converged
    assert fit.params["none"] == pytest.approx(0.6150567, abs=5e-8)
    assert fit.params["rate"] == pytest.approx(1.0378391, abs=5e-8)
    assert fit.log_likelihood == pytest.approx(-3351.6520201491176, abs=1e-8)
    some = children @ widows / np.sum(widows[1:])
    rate = optimize.brentq(lambda r: r / -np.expm1(-r) - some, 0.5, 2.0, xtol=1e-15)
    assert fit.params["rate"] == pytest.approx(rate, abs=1e-10)
    none = (widows[0] / np.sum(widows) - np.exp(-rate)) / -np.expm1(-rate)
    assert fit.params["none"] == pytest.approx(none, abs=1e-10)


# --- Murray (1977), discussion of Dempster, Laird and Rubin; Wu (1983), Ann. Statist. 11: two maxima, one saddle.

CENTRED = lem.Mixture(lem.families.Gaussian("full"), 1, fixed={"mean": np.zeros((1, 2)), "weights": np.ones(1)})


def murray(correlation: float, **options: Any) -> lem.Fit:
    covariance = 2.0 * np.array([[[1.0, correlation], [correlation, 1.0]]])
    start = {"weights": [1.0], "components": {"mean": np.zeros((1, 2)), "covariance": covariance}}
    return lem.fit(CENTRED, datasets.murray().matrix(), initial=start, tolerance=1e-14, **options)


def covariance(fit: lem.Fit) -> np.ndarray:
    return fit.params["components"]["covariance"][0]


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_each_mode_of_murray_is_found_from_its_side(sign: float) -> None:
    fit = murray(0.2 * sign)
    assert fit.status is lem.Status.converged
    assert fit.log_likelihood == pytest.approx(-29.974286410464998, abs=1e-9)
    np.testing.assert_allclose(covariance(fit), 8 / 3 * np.array([[1, sign / 2], [sign / 2, 1]]), atol=1e-7)


def test_em_stops_at_the_saddle_of_murray_and_the_polish_leaves_it() -> None:
    stuck = murray(0.0, polish=False)
    assert stuck.log_likelihood == pytest.approx(-30.033342386267996, abs=1e-9)
    np.testing.assert_allclose(covariance(stuck), 2.5 * np.eye(2), atol=1e-6)
    left = murray(0.0)
    assert left.log_likelihood == pytest.approx(-29.974286410464998, abs=1e-9)
    assert abs(covariance(left)[0, 1]) == pytest.approx(4 / 3, abs=1e-6)
