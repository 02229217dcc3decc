"""What people write by mistake: one line that says what came and what to write, before anything is compiled."""

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.stats
from contracts.programs import programs
from jax.scipy.stats import poisson

import latentem as lem

F, P = lem.families, lem.priors
X = np.array([0.0, 1, 1, 2, 8, 9, 9, 7, 0, 1, 10, 8])
PLANE = np.stack([X, X[::-1] + 1], axis=1)
YES = np.array([[0, 1, 1], [1, 0, 0], [1, 1, 0], [0, 0, 1], [1, 0, 1], [0, 1, 0]] * 2)
SPACE = {"weight": lem.simplex(2), "rate": lem.positive(2)}
START = {"weight": [0.5, 0.5], "rate": [1.0, 3.0]}
TABLE = pd.DataFrame({"count": X, "z": np.linspace(-1, 1, 12), "who": list("abcdefghijkl")})


def good(params: Any, x: Any, z: Any) -> Any:
    return jnp.log(params["weight"][z]) + poisson.logpmf(x, params["rate"][z])


MODEL = lem.Model(good, lem.Finite(2), SPACE)
COUNTS = lem.Mixture(F.Poisson(), 2)
RATES = {0: 1.0, 1: 5.0}


def density(f: Callable[..., Any], data: Any = X) -> Callable[[], Any]:
    """A fit of a declaration with this density."""
    return lambda: lem.fit(lem.Model(f, lem.Finite(2), SPACE), data, initial=START)


def fit(model: Any = COUNTS, data: Any = X, **options: Any) -> Callable[[], Any]:
    return lambda: lem.fit(model, data, **{"key": 0, **options})


@cache
def fitted(name: str) -> lem.Fit:
    few = {"key": 0, "max_iterations": 2, "polish": False}
    if name == "mixture":
        return lem.fit(COUNTS, pd.DataFrame({"count": X}), **few)
    if name == "hmm":
        return lem.fit(lem.HMM(2, F.Poisson(), covariates=("z",)), TABLE[["count", "z"]], **few)
    return lem.fit(lem.IRT("rasch", nodes=5), YES, **few)


def ask(name: str, verb: str, *args: Any, **options: Any) -> Callable[[], Any]:
    """A question to a fit."""
    return lambda: getattr(fitted(name), verb)(*args, **options)


def if_z(params: Any, x: Any, z: Any) -> Any:
    return jnp.log(params["rate"][0]) if z == 0 else jnp.log(params["rate"][1])


def and_z(params: Any, x: Any, z: Any) -> Any:
    return jnp.where(x > 0 and z > 0, params["rate"][0], 0.0)


def of_scipy(params: Any, x: Any, z: Any) -> Any:
    return scipy.stats.poisson.logpmf(x, params["rate"][z])


def of_numpy(params: Any, x: Any, z: Any) -> Any:
    return np.log(params["rate"][z])


def of_math(params: Any, x: Any, z: Any) -> Any:
    return math.log(params["rate"][z])


def of_float(params: Any, x: Any, z: Any) -> Any:
    return float(params["rate"][z]) * x


def of_dict(params: Any, x: Any, z: Any) -> Any:
    return jnp.log(params["rate"][0]) * RATES[z]


def of_list(params: Any, x: Any, z: Any) -> Any:
    return jnp.log(params["rate"][0]) * [1.0, 5.0][z]


def of_mask(params: Any, x: Any, z: Any) -> Any:
    return jnp.sum(params["rate"][params["rate"] > 1])


def of_range(params: Any, x: Any, z: Any) -> Any:
    return sum(params["rate"][i] for i in range(z))


def misspelt(params: Any, x: Any, z: Any) -> Any:
    return jnp.log(params["weigth"][z])


def unknown_name(params: Any, x: Any, z: Any) -> Any:
    return jnp.log(params["sigma"][z])


def by_column(params: Any, x: Any, z: Any) -> Any:
    return poisson.logpmf(x["count"], params["rate"][z])


def misspelt_column(params: Any, x: Any, z: Any) -> Any:
    return poisson.logpmf(x["cuont"], params["rate"][z])


def by_place(params: Any, x: Any, z: Any) -> Any:
    return poisson.logpmf(x[0], params["rate"][z])


def as_array(params: Any, x: Any, z: Any) -> Any:
    return (x - params["rate"][z]) ** 2


def by_attribute(params: Any, x: Any, z: Any) -> Any:
    return jnp.log(params.rate[z])


def two_arguments(params: Any, x: Any) -> Any:
    return jnp.log(params["rate"][0])


def no_return(params: Any, x: Any, z: Any) -> Any:
    poisson.logpmf(x, params["rate"][z])


def wrong_shapes(params: Any, x: Any, z: Any) -> Any:
    return jnp.sum(params["rate"] * jnp.ones(3))


def prints(params: Any, x: Any, z: Any) -> Any:
    return jnp.log(params["rate"][z]) * len(str(int(x)))


DENSITIES: dict[str, tuple[Callable[[], Any], str]] = {
    "if z": (density(if_z), "Python's if, and, or, while cannot look at them: write jnp.where"),
    "and": (density(and_z), "write jnp.where.condition, a, b., & and |"),
    "scipy.stats": (density(of_scipy), "NumPy or SciPy cannot be traced: write .* jax.scipy.stats for scipy.stats"),
    "numpy": (density(of_numpy), "write jnp.log for np.log"),
    "math.log": (density(of_math), r"float\(\), int\(\), math.log\(\).*write jnp.log"),
    "float": (density(of_float), r"float\(\), int\(\), math.log\(\)"),
    "dict[z]": (density(of_dict), r"a dict takes no traced key: .*params\['rate'\]\[z\]"),
    "list[z]": (density(of_list), r"takes no traced index: make it an array, jnp.asarray\(values\)\[z\]"),
    "range(z)": (density(of_range), "takes no traced index"),
    "a mask": (density(of_mask), r"a mask as an index has no fixed size: write jnp.where\(mask, a, 0\)"),
    "misspelt": (density(misspelt), "KeyError: 'weigth': did you mean 'weight'. params are rate, weight"),
    "no such param": (density(unknown_name), "KeyError: 'sigma': params are rate, weight"),
    "an array for a table": (density(by_column), "x is an array: for x.'name'. pass a table, or a dict of columns"),
    "misspelt column": (
        density(misspelt_column, TABLE[["count", "z"]]),
        "did you mean 'count'.*x has columns count",
    ),
    "a table by place": (density(by_place, TABLE[["count"]]), r"x is a dict of columns count: write x\['count'\]"),
    "a table for an array": (
        density(as_array, TABLE[["count"]]),
        r"x is a dict of the columns count: write",
    ),
    "an attribute": (density(by_attribute), "params is a dict: write params.'name'."),
    "two arguments": (density(two_arguments), r"expected the arguments \(params, x, z\)"),
    "no return": (density(no_return), "returned None: expected one number; end the function with return"),
    "wrong shapes": (density(wrong_shapes), r"shapes of ONE observation and ONE latent value: .*rate'\] \(2,\)"),
    "int": (density(prints), r"float\(\), int\(\)"),
    "own family": (
        fit(lem.Mixture(F.Custom(lambda p, x: jnp.where(x > 0, p["a"], 0) if x > 0 else 0.0, {"a": lem.real()}), 2)),
        "the density of a mixture of 2 Custom failed for one observation: .*write jnp.where",
    ),
    "own family, misspelt": (
        fit(lem.Mixture(F.Custom(lambda p, x: p["b"] * x, {"rate": lem.real()}), 2)),
        "KeyError: 'b': params are",
    ),
}

DECLARATIONS: dict[str, tuple[Callable[[], Any], str]] = {
    "a family as a class": (
        lambda: lem.Mixture(F.Poisson, 2),
        "family=Poisson, a class: write lem.families.Poisson",
    ),
    "a family by name": (lambda: lem.Mixture("poisson", 2), r"family='poisson': write lem.families.Poisson\(\)"),
    "a family by a name of two words": (lambda: lem.Mixture("student_t", 2), r"write lem.families.StudentT\(\)"),
    "an unknown family": (lambda: lem.Mixture("??", 2), "family='..': write lem.families"),
    "a function as a family": (lambda: lem.Mixture(good, 2), r"write lem.families.Custom\(function, params\)"),
    "a model as a family": (lambda: lem.Mixture(lem.HMM(2, F.Poisson()), 2), "family is HMM, a model, not a density"),
    "a k-means as a family": (lambda: lem.Mixture(lem.KMeans(2), 2), "family is KMeans, a model"),
    "number and family": (
        lambda: lem.Mixture(2, F.Poisson()),
        "expected Mixture.family, components., the family",
    ),
    "components as text": (lambda: lem.Mixture(F.Poisson(), "2"), "components='2': expected an integer"),
    "components as a float": (lambda: lem.Mixture(F.Poisson(), 2.0), "components=2.0: expected an integer"),
    "no components": (lambda: lem.Mixture(F.Poisson(), 0), "components=0: expected an integer >= 1"),
    "an emission as a class": (
        lambda: lem.HMM(2, F.Gaussian),
        "emission=Gaussian, a class: write lem",
    ),
    "an emission by name": (lambda: lem.HMM(2, "gaussian"), r"emission='gaussian': write lem.families.Gaussian\(\)"),
    "an emission first": (
        lambda: lem.HMM(F.Poisson(), 2),
        "expected HMM.states, emission., the number",
    ),
    "states as text": (lambda: lem.HMM("3", F.Poisson()), "states='3': expected an integer"),
    "an HSMM without durations": (lambda: lem.HSMM(2, F.Poisson(), 10), "durations=10: expected lem.durations.Free"),
    "durations as a class": (
        lambda: lem.HSMM(2, F.Poisson(), lem.durations.Free),
        "expected lem.durations",
    ),
    "an emission of an HSMM by name": (
        lambda: lem.HSMM(2, "poisson", lem.durations.Free(4)),
        r"emission='poisson': write lem.families.Poisson\(\)",
    ),
    "a column's family as a class": (
        lambda: F.Independent({"a": F.Poisson}),
        r"column=Poisson, a class: write lem.families.Poisson\(\)",
    ),
    "a column's family by name": (lambda: F.Independent({"a": "poisson"}), r"write lem.families.Poisson\(\)"),
    "a covariance": (lambda: lem.GaussianMixture(2, "diag"), "covariance='diag': expected one of"),
    "a start": (lambda: lem.Mixture(F.Poisson(), 2, start="kmeans"), "start='kmeans': expected 'k-means"),
    "clusters": (lambda: lem.KMeans("2"), "clusters='2': expected an integer"),
    "initial of a chain": (lambda: lem.HMM(2, F.Poisson(), initial="equal"), "initial='equal': expected 'free'"),
    "initial that does not add up": (lambda: lem.HMM(2, F.Poisson(), initial=[0.5, 0.6]), "2 probabilities"),
    "initial of another length": (
        lambda: lem.HMM(2, F.Poisson(), initial=[1.0]),
        r"initial has shape \(1,\)",
    ),
    "allowed of another shape": (lambda: lem.HMM(2, F.Poisson(), allowed=np.ones((3, 3))), r"shape \(3, 3\)"),
    "fixed transition of another shape": (
        lambda: lem.HMM(2, F.Poisson(), fixed={"transition": np.eye(3)}),
        r"fixed transition has shape \(3, 3\): expected \(2, 2\)",
    ),
    "fixed transition that does not add up": (
        lambda: lem.HMM(2, F.Poisson(), fixed={"transition": [[0.5, 0.6], [0.5, 0.5]]}),
        "2 rows of 2 that add up to 1",
    ),
    "fixed initial": (lambda: lem.HMM(2, F.Poisson(), fixed={"initial": [0.5, 0.5]}), "pass initial=... instead"),
    "covariates that are no names": (lambda: lem.HMM(2, F.Poisson(), covariates=[1]), "expected names of columns"),
    "covariate_at": (lambda: lem.HMM(2, F.Poisson(), covariate_at="now"), "expected 'from' or 'to'"),
    "prior of what is none": (
        lambda: lem.HMM(2, F.Poisson(), prior={"rate": P.Gamma(1, 1)}),
        "prior for 'rate'",
    ),
    "a prior that is a number": (
        lambda: lem.Mixture(F.Poisson(), 2, prior={"weights": 2.0}),
        "expected a prior",
    ),
    "a prior as a class": (
        lambda: lem.Mixture(F.Poisson(), 2, prior={"weights": P.Dirichlet}),
        "expected a prior",
    ),
    "a negative concentration": (lambda: P.Dirichlet(-1.0), "expected positive numbers"),
    "no latent": (lambda: lem.Model(good, 2, SPACE), "expected lem.Finite"),
    "a latent as a class": (lambda: lem.Model(good, lem.Finite, SPACE), "expected lem.Finite"),
    "Finite of text": (lambda: lem.Finite("2"), "expected a number of values >= 1"),
    "Finite(0)": (lambda: lem.Finite(0), "expected a number of values >= 1"),
    "no function": (lambda: lem.Model("good", lem.Finite(2), SPACE), "expected a function .params, x, z."),
    "params that are numbers": (lambda: lem.Model(good, lem.Finite(2), {"rate": 1.0}), "expected a constraint such as"),
    "a constraint not called": (
        lambda: lem.Model(good, lem.Finite(2), {"rate": lem.positive}),
        "a constraint",
    ),
    "simplex of text": (lambda: lem.simplex("2"), "expected a whole number"),
    "an empty interval": (lambda: lem.interval(2.0, 1.0), "interval"),
    "fixed NaN": (lambda: lem.fixed([1.0, np.nan]), "the value holds NaN"),
    "categories twice": (lambda: F.Categorical(["a", "a"]), "expected different labels"),
    "categories as text": (lambda: F.Categorical("abc"), "expected a number or a list of labels"),
    "no covariates": (lambda: F.GaussianRegression("y", (), intercept=False), "no covariates and no intercept"),
    "covariates by number": (lambda: F.GaussianRegression("y", (1,)), "expected names of columns"),
    "an item model": (lambda: lem.IRT("5pl"), "model='5pl': expected one of"),
    "items as text": (lambda: lem.IRT("2pl", items="q1"), "items='q1': expected a list of names"),
    "a quadrature": (lambda: lem.IRT("2pl", quadrature="laplace"), "quadrature='laplace': expected one of"),
    "too few nodes": (lambda: lem.IRT("2pl", nodes=1), "nodes=1: expected at least 2"),
    "fixed text": (lambda: lem.IRT("2pl", fixed={"q1": {"slope": "1"}}), "expected a number"),
}

OPTIONS: dict[str, tuple[Callable[[], Any], str]] = {
    "no key": (lambda: lem.fit(COUNTS, X), "pass key=0, or any other seed"),
    "a key as text": (fit(key="0"), "key='0': expected a seed such as key=0"),
    "a key as a float": (fit(key=0.5), "expected a seed such as key=0"),
    "several keys": (fit(key=jax.random.split(jax.random.key(0), 3)), "key holds 3 keys: expected one"),
    "True as a key": (fit(key=True), "expected a seed such as key=0"),
    "a method as a class": (fit(method=lem.Plain), "method=Plain, a class: expected lem.SQUAREM"),
    "a method by name": (fit(method="squarem"), "method='squarem': expected 'online', lem.SQUAREM"),
    "a method that is none": (fit(method=3), "method=3: expected lem.SQUAREM"),
    "polish": (fit(polish="no"), "polish='no': expected True or False"),
    "progress": (fit(progress="yes"), "progress='yes': expected True or False"),
    "exclude_degenerate": (fit(exclude_degenerate=0.5), "exclude_degenerate=0.5: expected True or False"),
    "tolerance as text": (fit(tolerance="1e-8"), "tolerance='1e-8': expected a number >= 0"),
    "tolerance None": (fit(tolerance=None), "tolerance=None: expected a number"),
    "tolerance below 0": (fit(tolerance=-1e-8), "tolerance=-1e-08: expected a number >= 0"),
    "tolerance NaN": (fit(tolerance=math.nan), "tolerance=nan: expected a number >= 0"),
    "max_iterations as a float": (fit(max_iterations=1e4), "max_iterations=10000.0: expected an integer"),
    "starts as text": (fit(starts="10"), "starts='10': expected an integer"),
    "starts True": (fit(starts=True), "starts=True: expected an integer"),
    "annealing": (fit(annealing=True), "annealing=True: expected lem.Annealing"),
    "annealing as a class": (fit(annealing=lem.Annealing), "annealing=Annealing, a class: expected lem.Annealing"),
    "m_step": (fit(m_step="em"), "m_step='em'"),
    "m_step as a class": (fit(m_step=lem.Newton), "m_step=Newton, a class: expected lem.Newton"),
    "callback": (fit(callback=3), "callback=3: expected a function of a Snapshot"),
    "step_size": (fit(step_size=0.5), "step_size=0.5: expected a function"),
    "passes": (fit(passes="2"), "passes='2': expected an integer"),
    "dtype": (fit(dtype="double"), "dtype='double': expected 'float64' or 'float32'"),
    "compress": (fit(MODEL, initial=START, compress="yes"), "compress='yes'"),
    "weights as text": (fit(weights="count"), "weights"),
    "weights of another length": (fit(weights=np.ones(3)), r"weights have shape \(3,\): expected \(12,\)"),
    "negative weights": (fit(weights=-np.ones(12)), r"weights\[0\] = -1"),
    "NaN weights": (fit(weights=np.full(12, np.nan)), r"weights\[0\] = nan"),
    "initial that is a list": (fit(initial=[1.0, 2.0]), "expected a dict with the entries"),
    "initial misspelt": (fit(MODEL, initial={"weigth": [0.5, 0.5], "rate": [1.0, 3.0]}), "missing entry 'weight'"),
    "initial outside": (fit(MODEL, initial={**START, "weight": [0.5, 0.6]}), "expected"),
    "initial NaN": (fit(MODEL, initial={**START, "rate": [np.nan, 1.0]}), "rate"),
    "swapped": (lambda: lem.fit(X, COUNTS), "model and data have changed places"),
    "swapped, a table": (lambda: lem.fit(TABLE, MODEL), "model and data have changed places"),
    "a model as a class": (fit(lem.KMeans), r"model = KMeans, a class: expected a model; write lem.KMeans\(...\)"),
    "a family for a model": (fit(F.Poisson()), r"a family: expected .* lem.Mixture\(Poisson"),
    "a number for a model": (fit(3), "model = 3: expected lem.Model"),
    "em of a name": (lambda: lem.em("mixture"), "expected lem.Model"),
    "em of a class": (lambda: lem.em(lem.KMeans), "a class: expected a model"),
}

DATA: dict[str, tuple[Callable[[], Any], str]] = {
    "a scalar": (fit(data=3.0), "observations"),
    "None": (fit(data=None), "observations"),
    "text": (fit(data="counts.csv"), "observations"),
    "nothing": (fit(data=[]), "at least one row"),
    "labels for numbers": (fit(data=np.array(["a", "b"] * 6)), r"holds text \(a, b\): expected numbers"),
    "dates": (fit(data=np.arange(12).astype("M8[D]")), "holds dates"),
    "complex": (fit(data=X + 1j), "holds complex numbers"),
    "objects": (fit(data=np.array([object()] * 12)), "objects"),
    "ragged": (fit(data=[[1.0], [1.0, 2.0]]), "rows differ in length"),
    "infinite": (fit(data=np.append(X, np.inf)), "inf"),
    "negative counts": (fit(data=X - 1), "= -1: expected counts"),
    "counts and halves": (fit(data=X + 0.5), "expected counts"),
    "a matrix for a column": (fit(data=PLANE), r"shape \(12, 2\): expected \(N,\)"),
    "three axes": (fit(lem.GaussianMixture(2), PLANE[None]), r"shape \(1, 12, 2\): expected \(N, D\)"),
    "more components than rows": (fit(lem.GaussianMixture(20), PLANE), "components=20 > 12 observations"),
    "a lazy table": (fit(data=pl.LazyFrame({"count": X})), "collect a lazy one first"),
    "a column of text": (fit(data=TABLE[["who"]]), "column 'who' .*holds text"),
    "two columns of one name": (
        fit(lem.GaussianMixture(2), pd.DataFrame(PLANE, columns=["a", "a"])),
        "two columns called 'a'",
    ),
    "keys": (fit(data=jax.random.split(jax.random.key(0), 4)), "random keys"),
    "a column that is not there": (
        fit(lem.Mixture(F.GaussianRegression("y", ("z",)), 2), {"z": X}),
        "no column 'y'",
    ),
    "columns of two lengths": (
        fit(lem.Mixture(F.Independent({"a": F.Poisson(), "b": F.Poisson()}), 2), {"a": X, "b": X[:5]}),
        "a has 12, b has 5|a 12, b 5",
    ),
    "an array for columns": (
        fit(lem.Mixture(F.Independent({"a": F.Poisson(), "b": F.Poisson()}), 2), PLANE),
        "column",
    ),
    "NaN in k-means": (
        fit(lem.KMeans(2), np.append(PLANE, [[np.nan, 1]], axis=0)),
        "missing entries .NaN.",
    ),
    "NaN counts": (fit(data=np.append(X, np.nan)), "expected a number"),
    "bernoulli of 1 and 2": (fit(lem.Mixture(F.Bernoulli(), 2), YES[:, 0] + 1), "expected 0 or 1|0 or 1"),
    "negative gammas": (fit(lem.Mixture(F.Gamma(), 2), X - 1), "observations"),
    "a negative category": (fit(lem.Mixture(F.Categorical(), 2), X - 1), "expected integers 0, 1, 2"),
    "sequences of unlike steps": (fit(lem.HMM(2, F.Poisson()), [X, PLANE]), "sequences differ in what a step is"),
    "an empty sequence": (fit(lem.HMM(2, F.Poisson()), [X, []]), "sequence 1 is empty"),
    "lengths that do not add up": (lambda: lem.sequences(X, lengths=[3, 4]), "lengths add up to 7: expected 12"),
    "lengths and sequence": (lambda: lem.sequences(X, lengths=[12], sequence=X), "both say where sequences end"),
    "a sequence apart": (lambda: lem.sequences(X, sequence=[0, 1] * 6), "are not together"),
    "a sequence column that is not there": (lambda: lem.sequences(TABLE, sequence="id"), "no column is called 'id'"),
    "labels of states": (lambda: lem.sequences(X, labels=[0.5] * 12), "expected states 0, 1"),
    "items of text without order": (
        fit(lem.IRT("pcm"), {"a": list("xyz") * 4, "b": list("xyz") * 4}),
        "labels without an order",
    ),
    "items and halves": (fit(lem.IRT("rasch"), YES + 0.5), "expected whole numbers"),
    "an item of one category": (fit(lem.IRT("rasch"), np.ones((12, 3))), "has one category"),
    "an item that is not there": (fit(lem.IRT("rasch", items=("q9",)), {"q1": YES[:, 0]}), "no column 'q9'"),
}

VERBS: dict[str, tuple[Callable[[], Any], str]] = {
    "another column": (ask("mixture", "log_prob", {"n": X}), "no column is called 'count'"),
    "another width": (ask("irt", "scores", x=YES[:, :2]), "expected|columns"),
    "another category": (ask("irt", "scores", x=YES + 1), "expected one of"),
    "a misspelt verb": (ask("mixture", "responsibilites"), "did you mean responsibilities"),
    "capitals": (ask("mixture", "AIC"), "did you mean aic"),
    "a method of scoring": (ask("irt", "scores", "mean"), "method='mean': expected one of"),
    "level in percent": (ask("mixture", "table", 95), "level=95: expected a confidence"),
    "no key to sample": (ask("mixture", "sample", None, 3), "pass key=0"),
    "no number to sample": (ask("mixture", "sample", 0, 0), "n=0: expected how many"),
    "half a sample": (ask("mixture", "sample", 0, 2.5), "n=2.5: expected how many"),
    "viterbi of a mixture": (ask("mixture", "viterbi"), "has no 'viterbi'"),
    "predict of abilities": (ask("irt", "predict"), "latent of .* is not finite: use posterior"),
    "responsibilities of a chain": (ask("hmm", "responsibilities"), "responsibilities: "),
    "a horizon": (ask("hmm", "forecast", 0), "expected a number of steps of at least 1"),
    "a horizon without covariates": (ask("hmm", "forecast", 2), r"covariates: none: expected \(2, 1\) numbers, of z"),
    "covariates of another shape": (
        ask("hmm", "forecast", 2, covariates=[[1.0]]),
        r"expected \(2, 1\)",
    ),
    "transitions without covariates": (ask("hmm", "transition_at"), r"expected \(1, 1\) numbers, of z"),
    "no order": (ask("mixture", "relabel", [0, 0]), "expected each of 0, ..., 1 once"),
    "an order of items": (ask("irt", "relabel", [0, 1]), "has no components or states"),
    "sorted by nothing": (ask("mixture", "sorted", "mean"), "no parameter of each component is called 'mean'"),
    "a save into a folder": (ask("mixture", "save", "/"), "is a folder"),
    "errors away from a maximum": (ask("mixture", "standard_errors"), "has status max_iterations, so it is no maximum"),
    "a bootstrap away from a maximum": (lambda: lem.bootstrap(fitted("mixture"), 0, 3), "ended max_iterations"),
    "a bootstrap of one": (lambda: lem.bootstrap(fitted("mixture"), 0, 1), "replicates=1: expected at least 2"),
    "a model for a file": (lambda: lem.load(__file__), "expected a file written by Fit.save"),
}

ALL = {
    f"{group}: {name}": case
    for group, cases in (
        ("density", DENSITIES),
        ("declaration", DECLARATIONS),
        ("option", OPTIONS),
        ("data", DATA),
        ("verb", VERBS),
    )
    for name, case in cases.items()
}


def test_there_are_many() -> None:
    assert len(ALL) >= 120


@pytest.mark.parametrize("name", ALL)
def test_refused_in_one_line(name: str) -> None:
    call, told = ALL[name]
    if name.startswith("verb"):
        for which in ("mixture", "hmm", "irt"):
            fitted(which)
    with programs() as seen, pytest.raises((ValueError, TypeError, AttributeError), match=told) as error:
        call()
    message = str(error.value)
    assert "\n" not in message and len(message) < 500
    models = ("begin", "advance", "expansion", "_screened", "_drawn_by_model")
    assert not [line for line in seen if any(f"jit({name})" in line for name in models)]
