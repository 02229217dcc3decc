"""One row per family: what the contract tests of this folder run over. A new family joins with one row."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jax.numpy as jnp
import numpy as np
from scipy import stats

from latentem import priors
from latentem.constraints import positive, real
from latentem.families import (
    Bernoulli,
    Beta,
    Binomial,
    Categorical,
    Censored,
    Custom,
    Exponential,
    Family,
    Gamma,
    Gaussian,
    Hurdle,
    Independent,
    LogNormal,
    Multinomial,
    NegativeBinomial,
    Ordinal,
    Poisson,
    StudentT,
    Truncated,
    VonMises,
    Weibull,
    ZeroInflated,
)

Rng = np.random.Generator

# Most of the time of these tests is compiling programs that run once.
QUICK = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}


@dataclass(frozen=True)
class Row:
    """A family, data for it, random parameters of one component, and SciPy's log density of one observation.

    `closed` and `open` are (shared, fixed, prior) for which the M-step is exact, and is not; `impossible` are
    observations of density 0; `recovers` says how near a fit to 20,000 samples comes.
    """

    name: str
    family: Family
    data: Callable[[Rng, int], Any]
    params: Callable[[Rng], dict[str, Any]]
    reference: Callable[[dict[str, Any], Any], float]
    closed: tuple[tuple[set[str], set[str], dict[str, Any]], ...] = ()
    open: tuple[tuple[set[str], set[str], dict[str, Any]], ...] = ()
    impossible: tuple[Any, ...] = ()
    recovers: dict[str, float] = field(default_factory=dict)


def matrix(rng: Rng, dim: int) -> np.ndarray:
    root = rng.normal(size=(dim, dim))
    return root @ root.T + 0.3 * np.eye(dim)


def correlated(rng: Rng, n: int) -> np.ndarray:
    return rng.normal(size=(n, 3)) @ np.array([[1.0, 0.5, 0], [0, 2.0, 0.3], [0, 0, 0.7]]) + [5.0, -3.0, 0.1]


def with_gaps(rng: Rng, n: int) -> np.ndarray:
    x = correlated(rng, n)
    x[rng.random(x.shape) < 0.25] = np.nan
    x[0] = [np.nan] * 3
    return x


def mixed(rng: Rng, n: int) -> dict[str, np.ndarray]:
    visits = rng.poisson(4.0, n).astype(float)
    visits[rng.random(n) < 0.2] = np.nan
    kind = rng.integers(0, 3, n).astype(float)
    kind[rng.random(n) < 0.1] = np.nan
    block = correlated(rng, n)
    return {"visits": visits, "kind": kind, "block": block}


def log_sum_observed(density: Callable[[Any], float], x: Any) -> float:
    return 0.0 if np.isnan(x).any() else float(density(x))


def normal_reference(params: dict[str, Any], x: np.ndarray) -> float:
    seen = ~np.isnan(x)
    if not seen.any():
        return 0.0
    variance = params["covariance"] if "covariance" in params else np.eye(x.size) * params["variance"]
    marginal = stats.multivariate_normal(params["mean"][seen], variance[np.ix_(seen, seen)])
    return float(marginal.logpdf(x[seen]))


def mixed_reference(params: dict[str, Any], x: dict[str, Any]) -> float:
    return (
        log_sum_observed(lambda v: stats.poisson.logpmf(v, params["visits"]["rate"]), x["visits"])
        + log_sum_observed(lambda v: np.log(params["kind"]["probabilities"][int(v)]), x["kind"])
        + normal_reference(params["block"], x["block"])
    )


def mean_and(**spread: Callable[[Rng], Any]) -> Callable[[Rng], dict[str, Any]]:
    return lambda rng: {
        "mean": rng.normal(size=3) * 2,
        **{name: draw(rng) for name, draw in spread.items()},
    }


WISHART = priors.InverseWishart(6.0, [[2.0, 0.1, 0.0], [0.1, 1.0, 0.2], [0.0, 0.2, 3.0]])
INVERSE_GAMMA = priors.InverseGamma(2.5, 1.5)
NORMAL = priors.Normal(0.0, 1.0)

FULL: dict[str, Any] = {
    "params": mean_and(covariance=lambda rng: matrix(rng, 3)),
    "reference": normal_reference,
    "closed": (
        (set(), set(), {}),
        (set(), {"mean"}, {}),
        (set(), {"covariance"}, {}),
        ({"covariance"}, set(), {}),
        ({"mean"}, {"covariance"}, {}),
        ({"mean", "covariance"}, set(), {}),
        (set(), set(), {"covariance": WISHART}),
        (set(), {"mean"}, {"covariance": WISHART}),
        ({"mean", "covariance"}, set(), {"covariance": WISHART}),
    ),
    "open": (({"mean"}, set(), {}), (set(), set(), {"mean": NORMAL}), (set(), set(), {"covariance": NORMAL})),
}


def variances(draw: Callable[[Rng], Any]) -> dict[str, Any]:
    return {
        "params": mean_and(variance=draw),
        "reference": normal_reference,
        "closed": (
            (set(), set(), {}),
            (set(), {"mean"}, {}),
            (set(), {"variance"}, {}),
            ({"variance"}, set(), {}),
            ({"mean"}, {"variance"}, {}),
            ({"mean", "variance"}, set(), {}),
            (set(), set(), {"variance": INVERSE_GAMMA}),
            ({"variance"}, {"mean"}, {"variance": INVERSE_GAMMA}),
        ),
        "open": (({"mean"}, set(), {}), (set(), set(), {"variance": priors.Gamma(1.0, 1.0)})),
    }


def with_closed(parts: dict[str, Any], *which: int) -> dict[str, Any]:
    """The same with some of the restrictions of the M-step only: those that meet other code here."""
    return {**parts, "closed": tuple(parts["closed"][i] for i in which)}


def one_parameter(name: str, conjugate: Any) -> dict[str, Any]:
    return {
        "closed": (
            (set(), set(), {}),
            ({name}, set(), {}),
            (set(), {name}, {}),
            (set(), set(), {name: conjugate}),
            ({name}, set(), {name: conjugate}),
        ),
        "open": ((set(), set(), {name: priors.LogNormal(0.0, 1.0)}),),
    }


def lifetimes(rng: Rng, n: int) -> dict[str, np.ndarray]:
    time, end = 8.0 * rng.weibull(1.7, n), rng.uniform(3.0, 15.0, n)
    return {"time": np.minimum(time, end), "event": (time <= end).astype(float)}


def lifetime_reference(p: dict[str, Any], x: dict[str, Any]) -> float:
    law = stats.weibull_min(p["shape"], scale=p["scale"])
    return law.logpdf(x["time"]) if x["event"] else law.logsf(x["time"])


def ordinal_reference(p: dict[str, Any], x: Any) -> float:
    at = np.r_[-np.inf, np.r_[0.0, np.cumsum(p["gaps"])] - p["location"], np.inf]
    return np.log(np.diff(stats.logistic.cdf(at))[int(x)])


def with_zeros(draw: Callable[[Rng, int], Any]) -> Callable[[Rng, int], Any]:
    return lambda rng, n: np.where(rng.random(n) < 0.3, 0.0, draw(rng, n))


def zero_and(p: dict[str, Any], x: Any, inside: float, at_zero: bool) -> float:
    """Log density of a zero with a probability of its own, or of what a family says."""
    own = p["zero"] * (x == 0)
    return np.log(own + (1 - p["zero"]) * (np.exp(inside) if at_zero or x > 0 else 0.0))


def between(p: dict[str, Any], x: dict[str, Any]) -> float:
    low, high = np.nan_to_num(x["from"], nan=0.0), np.nan_to_num(x["to"], nan=np.inf)
    law = stats.expon(scale=1 / p["rate"])
    return law.logpdf(low) if low == high else np.log(law.cdf(high) - law.cdf(low))


def bins(rng: Rng, n: int) -> dict[str, np.ndarray]:
    x = rng.exponential(5.0, n)
    low, high = np.floor(x), np.floor(x) + 1
    seen = rng.random(n) < 0.3
    low, high = np.where(seen, x, low), np.where(seen, x, high)
    high[-1], low[1] = np.nan, np.nan
    return {"from": low, "to": high}


def laplace(params: dict[str, Any], x: Any) -> Any:
    return -jnp.abs(x - params["centre"]) / params["width"] - jnp.log(2 * params["width"])


ROWS = (
    Row("gaussian full", Gaussian(), correlated, recovers={"mean": 0.05}, **FULL),
    Row("gaussian full with gaps", Gaussian(), with_gaps, **with_closed(FULL, 0, 1, 3, 6)),
    Row(
        "gaussian diagonal",
        Gaussian("diagonal"),
        correlated,
        recovers={"variance": 0.1},
        **variances(lambda rng: rng.gamma(3.0, 1.0, 3)),
    ),
    Row(
        "gaussian diagonal with gaps",
        Gaussian("diagonal"),
        with_gaps,
        **with_closed(variances(lambda rng: rng.gamma(3.0, 1.0, 3)), 0, 1, 5, 7),
    ),
    Row(
        "gaussian spherical",
        Gaussian("spherical"),
        correlated,
        **with_closed(variances(lambda rng: rng.gamma(3.0, 1.0)), 0, 1, 3, 6, 7),
    ),
    Row(
        "gaussian spherical with gaps",
        Gaussian("spherical"),
        with_gaps,
        **with_closed(variances(lambda rng: rng.gamma(3.0, 1.0)), 0, 1, 5, 7),
    ),
    Row(
        "poisson",
        Poisson(),
        lambda rng, n: rng.poisson(3.0, n),
        lambda rng: {"rate": rng.gamma(2.0, 2.0)},
        lambda p, x: stats.poisson.logpmf(x, p["rate"]),
        impossible=(-1.0, 0.5, np.nan),
        recovers={"rate": 0.05},
        **one_parameter("rate", priors.Gamma(2.0, 0.7)),
    ),
    Row(
        "bernoulli",
        Bernoulli(),
        lambda rng, n: rng.integers(0, 2, n),
        lambda rng: {"probability": rng.uniform(0.1, 0.9)},
        lambda p, x: stats.bernoulli.logpmf(x, p["probability"]),
        impossible=(-1.0, 0.5, 2.0, np.nan),
        recovers={"probability": 0.05},
        **one_parameter("probability", priors.Beta(2.0, 3.5)),
    ),
    Row(
        "categorical",
        Categorical(),
        lambda rng, n: rng.integers(0, 4, n),
        lambda rng: {"probabilities": rng.dirichlet(np.ones(4))},
        lambda p, x: np.log(p["probabilities"][int(x)]),
        impossible=(-1.0, 4.0, 1.5, np.nan),
        recovers={"probabilities": 0.1},
        **one_parameter("probabilities", priors.Dirichlet([1.5, 2.0, 3.0, 1.0])),
    ),
    Row(
        "multinomial",
        Multinomial(),
        lambda rng, n: rng.multinomial(9, [0.2, 0.3, 0.5], n),
        lambda rng: {"probabilities": rng.dirichlet(np.ones(3))},
        lambda p, x: stats.multinomial.logpmf(x, int(x.sum()), p["probabilities"]),
        impossible=(np.array([1.0, -1.0, 2.0]), np.array([0.5, 0.5, 1.0]), np.array([np.nan, 1.0, 1.0])),
        recovers={"probabilities": 0.05},
        **one_parameter("probabilities", priors.Dirichlet([1.5, 2.0, 3.0])),
    ),
    Row(
        "exponential",
        Exponential(),
        lambda rng, n: rng.exponential(20.0, n),
        lambda rng: {"rate": rng.gamma(2.0, 2.0)},
        lambda p, x: stats.expon.logpdf(x, scale=1 / p["rate"]),
        impossible=(-1.0, np.nan),
        recovers={"rate": 0.05},
        **one_parameter("rate", priors.Gamma(2.0, 0.7)),
    ),
    Row(
        "gamma",
        Gamma(),
        lambda rng, n: rng.gamma(2.5, 30.0, n),
        lambda rng: {"shape": rng.gamma(2.0, 2.0), "rate": rng.gamma(2.0, 0.2)},
        lambda p, x: stats.gamma.logpdf(x, p["shape"], scale=1 / p["rate"]),
        closed=(
            (set(), set(), {}),
            (set(), {"shape"}, {}),
            (set(), {"rate"}, {}),
            ({"shape"}, set(), {}),
            ({"shape", "rate"}, set(), {}),
            ({"rate"}, {"shape"}, {}),
            ({"shape"}, {"rate"}, {}),
            (set(), {"shape"}, {"rate": priors.Gamma(2.0, 0.7)}),
            ({"rate"}, {"shape"}, {"rate": priors.Gamma(2.0, 0.7)}),
        ),
        open=(
            ({"rate"}, set(), {}),
            (set(), set(), {"rate": priors.Gamma(2.0, 0.7)}),
            (set(), {"rate"}, {"shape": priors.Gamma(2.0, 0.7)}),
        ),
        impossible=(-1.0, 0.0, np.nan),
        recovers={"shape": 0.05, "rate": 0.05},
    ),
    Row(
        "negative binomial",
        NegativeBinomial(),
        lambda rng, n: rng.negative_binomial(3, 0.3, n),
        lambda rng: {"mean": rng.gamma(2.0, 4.0), "dispersion": rng.gamma(2.0, 4.0)},
        lambda p, x: stats.nbinom.logpmf(x, p["dispersion"], p["dispersion"] / (p["dispersion"] + p["mean"])),
        closed=((set(), {"dispersion"}, {}), (set(), {"mean", "dispersion"}, {})),
        open=((set(), set(), {}), (set(), {"mean"}, {}), ({"mean"}, {"dispersion"}, {})),
        impossible=(-1.0, 0.5, np.nan),
        recovers={"mean": 0.05, "dispersion": 0.2},
    ),
    Row(
        "student t",
        StudentT(),
        lambda rng, n: correlated(rng, n) / np.sqrt(rng.gamma(2.0, 0.5, (n, 1))),
        lambda rng: {"location": rng.normal(size=3), "scale": matrix(rng, 3), "df": rng.gamma(3.0, 2.0)},
        lambda p, x: stats.multivariate_t.logpdf(x, p["location"], p["scale"], p["df"]),
        closed=(
            (set(), set(), {}),
            ({"df", "scale"}, set(), {}),
            ({"location", "scale"}, set(), {}),
            (set(), {"df"}, {}),
            (set(), {"location"}, {}),
            ({"location"}, {"scale"}, {}),
            (set(), set(), {"scale": WISHART}),
        ),
        open=(({"location"}, set(), {}), (set(), set(), {"df": priors.Gamma(2.0, 0.1)})),
        recovers={"location": 0.1},
    ),
    Row(
        "von mises",
        VonMises(),
        lambda rng, n: rng.vonmises(2.0, 1.5, n),
        lambda rng: {"mean": rng.uniform(-3, 3), "concentration": rng.gamma(2.0, 3.0)},
        lambda p, x: stats.vonmises.logpdf(x, p["concentration"], p["mean"]),
        closed=(
            (set(), set(), {}),
            (set(), {"mean"}, {}),
            (set(), {"concentration"}, {}),
            ({"concentration"}, set(), {}),
            ({"mean", "concentration"}, set(), {}),
            ({"mean"}, {"concentration"}, {}),
        ),
        open=(({"mean"}, set(), {}), (set(), set(), {"concentration": priors.Gamma(1.0, 1.0)})),
        impossible=(np.nan,),
        recovers={"mean": 0.05, "concentration": 0.1},
    ),
    Row(
        "beta",
        Beta(),
        lambda rng, n: rng.beta(2.0, 5.0, n),
        lambda rng: {"a": rng.gamma(2.0, 2.0), "b": rng.gamma(2.0, 2.0)},
        lambda p, x: stats.beta.logpdf(x, p["a"], p["b"]),
        closed=((set(), set(), {}), (set(), {"a", "b"}, {})),
        open=(({"a"}, set(), {}), (set(), {"b"}, {})),
        impossible=(0.0, 1.0, -1.0, np.nan),
        recovers={"a": 0.1, "b": 0.1},
    ),
    Row(
        "log normal",
        LogNormal(),
        lambda rng, n: rng.lognormal(3.0, 0.7, n),
        lambda rng: {"mean": rng.normal(3.0, 1.0), "variance": rng.gamma(2.0, 0.5)},
        lambda p, x: stats.lognorm.logpdf(x, np.sqrt(p["variance"]), scale=np.exp(p["mean"])),
        closed=((set(), set(), {}), ({"variance"}, {"mean"}, {"variance": INVERSE_GAMMA})),
        open=(({"mean"}, set(), {}),),
        impossible=(0.0, -1.0, np.nan),
    ),
    Row(
        "weibull",
        Weibull("time", "event"),
        lifetimes,
        lambda rng: {"shape": rng.gamma(4.0, 0.5), "scale": rng.gamma(4.0, 2.0)},
        lifetime_reference,
        open=((set(), set(), {}),),
        impossible=({"time": 0.0, "event": 1.0},),
        recovers={"shape": 0.05, "scale": 0.05},
    ),
    Row(
        "binomial",
        Binomial(7),
        lambda rng, n: rng.binomial(7, 0.3, n),
        lambda rng: {"probability": rng.uniform(0.1, 0.9)},
        lambda p, x: stats.binom.logpmf(x, 7, p["probability"]),
        closed=((set(), set(), {"probability": priors.Beta(2.0, 3.5)}),),
        impossible=(-1.0, 0.5, 8.0, np.nan),
    ),
    Row(
        "ordinal",
        Ordinal(),
        lambda rng, n: rng.integers(0, 4, n),
        lambda rng: {"location": rng.normal(), "gaps": rng.gamma(2.0, 1.0, 2)},
        ordinal_reference,
        open=((set(), set(), {}),),
        impossible=(-1.0, 4.0, 1.5, np.nan),
        recovers={"location": 0.1, "gaps": 0.1},
    ),
    Row(
        "zero-inflated poisson",
        ZeroInflated(Poisson()),
        with_zeros(lambda rng, n: rng.poisson(3.0, n)),
        lambda rng: {"zero": rng.uniform(0.1, 0.6), "family": {"rate": rng.gamma(4.0, 1.0)}},
        lambda p, x: zero_and(p, x, stats.poisson.logpmf(x, p["family"]["rate"]), at_zero=True),
        closed=((set(), set(), {}), ({"zero"}, {"family.rate"}, {})),
        open=((set(), set(), {"zero": NORMAL}),),
        impossible=(-1.0, 0.5, np.nan),
    ),
    Row(
        "hurdle of gamma",
        Hurdle(Gamma()),
        with_zeros(lambda rng, n: rng.gamma(2.5, 30.0, n)),
        lambda rng: {"zero": rng.uniform(0.1, 0.6), "family": {"shape": rng.gamma(2.0), "rate": rng.gamma(2.0, 0.2)}},
        lambda p, x: zero_and(
            p, x, stats.gamma.logpdf(x, p["family"]["shape"], scale=1 / p["family"]["rate"]), at_zero=False
        ),
        closed=((set(), set(), {}),),
        open=(({"family.rate"}, set(), {}),),
        impossible=(-1.0, np.nan),
        recovers={"zero": 0.05},
    ),
    Row(
        "hurdle of poisson",
        Hurdle(Poisson()),
        with_zeros(lambda rng, n: rng.poisson(3.0, n)),
        lambda rng: {"zero": rng.uniform(0.1, 0.6), "family": {"rate": rng.gamma(4.0, 1.0)}},
        lambda p, x: zero_and(
            p,
            x,
            stats.poisson.logpmf(x, p["family"]["rate"]) - stats.poisson.logsf(0, p["family"]["rate"]),
            at_zero=False,
        ),
        open=((set(), set(), {}),),
        impossible=(-1.0, 0.5, np.nan),
    ),
    Row(
        "truncated normal",
        Truncated(Gaussian(), lower=-1.0, upper=3.0),
        lambda rng, n: stats.truncnorm.rvs(-2.0, 2.0, loc=1.0, scale=1.0, size=n, random_state=rng),
        lambda rng: {"mean": rng.normal(size=1), "covariance": rng.gamma(2.0, 1.0, (1, 1))},
        lambda p, x: (
            stats.norm.logpdf(x, p["mean"][0], np.sqrt(p["covariance"][0, 0]))
            - np.log(np.diff(stats.norm.cdf([-1, 3], p["mean"][0], np.sqrt(p["covariance"][0, 0])))[0])
        ),
        open=((set(), set(), {}),),
        impossible=(-1.5, 4.0, np.nan),
    ),
    Row(
        "censored exponential",
        Censored(Exponential(), "from", "to"),
        bins,
        lambda rng: {"rate": rng.gamma(2.0, 0.2)},
        between,
        open=((set(), set(), {}),),
    ),
    Row(
        "custom",
        Custom(laplace, {"centre": real(), "width": positive()}),
        lambda rng, n: rng.laplace(2.0, 1.5, n),
        lambda rng: {"centre": rng.normal(), "width": rng.gamma(2.0, 1.0)},
        lambda p, x: stats.laplace.logpdf(x, p["centre"], p["width"]),
        closed=((set(), {"centre", "width"}, {}),),
        open=((set(), set(), {}),),
    ),
    Row(
        "independent",
        Independent({"visits": Poisson(), "kind": Categorical(), "block": Gaussian()}),
        mixed,
        lambda rng: {
            "visits": {"rate": rng.gamma(2.0, 2.0)},
            "kind": {"probabilities": rng.dirichlet(np.ones(3))},
            "block": FULL["params"](rng),
        },
        mixed_reference,
        closed=(
            (set(), set(), {}),
            ({"block.covariance", "visits"}, set(), {}),
            (set(), {"visits.rate", "block.mean"}, {}),
            (set(), {"kind"}, {"visits": {"rate": priors.Gamma(2.0, 3.0)}, "block": {"covariance": WISHART}}),
        ),
        open=(({"block.mean"}, set(), {}),),
        impossible=({"visits": -1.0, "kind": 1.0, "block": np.zeros(3)},),
    ),
    Row(
        "independent columns of a matrix",
        Independent((Poisson(), Gaussian(), VonMises())),
        lambda rng, n: np.stack([rng.poisson(3.0, n), rng.normal(50, 3, n), rng.vonmises(1.0, 2.0, n)], axis=1),
        lambda rng: {
            "0": {"rate": rng.gamma(2.0, 2.0)},
            "1": {"mean": rng.normal(50, 1, 1), "covariance": rng.gamma(2.0, 2.0, (1, 1))},
            "2": {"mean": rng.uniform(-3, 3), "concentration": rng.gamma(2.0, 1.0)},
        },
        lambda p, x: (
            stats.poisson.logpmf(x[0], p["0"]["rate"])
            + stats.norm.logpdf(x[1], p["1"]["mean"][0], np.sqrt(p["1"]["covariance"][0, 0]))
            + stats.vonmises.logpdf(x[2], p["2"]["concentration"], p["2"]["mean"])
        ),
        closed=((set(), set(), {}), ({"0.rate", "1.covariance"}, {"2.mean"}, {})),
        impossible=(np.array([-1.0, 50.0, 0.0]),),
    ),
)

BY_NAME = {row.name: row for row in ROWS}
