"""Mixed models beside mixedlm and statsmodels, warm, in turn; large animal models; how the cost grows with records.

    python -m pip install "latentem[mixed]" mixedlm statsmodels
    python benchmarks/mixed.py [--large]
    python benchmarks/mixed.py --csv milk.csv --pedigree cows.csv --formula "milk ~ lact + (1 | id) + (1 | herd)"

The figures are seconds from data frame to fit, standard errors of the variance components included on our side. mixedlm
has none of those; statsmodels takes crossed effects as variance components of one group.
"""

from __future__ import annotations

import argparse
import time
import warnings
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pandas as pd
from timing import Peak, alternate, machine

import latentem as lem


def ours(formula: str, table: Any, relationship: Any = None, reml: bool = True) -> Any:
    """Fit and standard errors."""
    fit = lem.fit(lem.Mixed(formula, relationship or {}, reml=reml), table)
    fit.standard_errors()
    return fit


def told(name: str, peer: str, a: list[float], b: list[float], difference: float) -> None:
    print(
        f"{name}: latentem {median(a):.3f} s, {peer} {median(b):.3f} s, ratio {median(b) / median(a):.1f}; "
        f"log-likelihoods differ by {difference:.1e}",
        flush=True,
    )


def small() -> None:
    """180 records of 18 subjects, simulated, and Penicillin."""
    import mixedlm
    import statsmodels.formula.api as smf

    rng = np.random.default_rng(18)
    subject, days = np.repeat(np.arange(300, 318), 10), np.tile(np.arange(10.0), 18)
    intercept, slope = rng.normal(250.0, 25.0, 18), rng.normal(10.0, 6.0, 18)
    reaction = np.repeat(intercept, 10) + np.repeat(slope, 10) * days + rng.normal(0.0, 25.0, 180)
    sleep = pd.DataFrame({"subject": subject, "days": days, "reaction": reaction})
    drug = pd.DataFrame(lem.datasets.penicillin().columns)
    drug["all"] = 1
    levels = {"plate": "0 + C(plate)", "sample": "0 + C(sample)"}
    cases = [
        (
            "18 subjects, intercepts and slopes",
            "reaction ~ days + (days | subject)",
            sleep,
            lambda: smf.mixedlm("reaction ~ days", sleep, groups=sleep.subject, re_formula="~days").fit(reml=True),
        ),
        (
            "Penicillin",
            "diameter ~ 1 + (1 | plate) + (1 | sample)",
            drug,
            lambda: smf.mixedlm("diameter ~ 1", drug, groups=drug["all"], vc_formula=levels).fit(reml=True),
        ),
    ]
    for name, formula, table, theirs in cases:
        value = ours(formula, table).log_likelihood
        a, b = alternate(lambda f=formula, t=table: ours(f, t), theirs)
        told(name, "statsmodels", a, b, value - theirs().llf)
        peer = lambda f=formula, t=table: mixedlm.lmer(f, t)  # noqa: E731
        a, b = alternate(lambda f=formula, t=table: ours(f, t), peer)
        told(name, "mixedlm", a, b, value - _value(peer()))


def crossed() -> None:
    """The size of InstEval: 73,421 ratings by 2,972 students of 1,128 lecturers."""
    import mixedlm

    rng = np.random.default_rng(1)
    n, students, lecturers = 73_421, 2_972, 1_128
    s, d = rng.integers(students, size=n), rng.zipf(1.3, size=n) % lecturers
    y = 3.2 + rng.normal(0, 0.33, students)[s] + rng.normal(0, 0.51, lecturers)[d] + rng.normal(0, 1.18, n)
    table = pd.DataFrame({"y": y, "x": rng.integers(2, size=n), "s": s, "d": d})
    formula = "y ~ x + (1 | s) + (1 | d)"
    value = ours(formula, table).log_likelihood
    a, b = alternate(lambda: ours(formula, table), lambda: mixedlm.lmer(formula, table), repeats=2)
    told("crossed, 73,421 records", "mixedlm", a, b, value - _value(mixedlm.lmer(formula, table)))


def _value(fit: Any) -> float:
    found = fit.logLik() if callable(fit.logLik) else fit.logLik
    return float(getattr(found, "value", found))


def animals(generations: int, each: int, sires: int, dams: int) -> tuple[Any, pd.DataFrame]:
    """A pedigree of generations, a few sires and more dams of each mated at random, and a record of every animal."""
    rng = np.random.default_rng(0)
    sire, dam = [np.zeros(each, int)], [np.zeros(each, int)]
    for g in range(1, generations):
        first = (g - 1) * each + 1
        sire.append(rng.choice(first + rng.choice(each, sires, replace=False), each))
        dam.append(rng.choice(first + rng.choice(each, dams, replace=False), each))
    identity = np.arange(1, generations * each + 1)
    pedigree = (identity, np.concatenate(sire), np.concatenate(dam))
    bound = lem.pedigree(*pedigree).bind(identity, "id")
    n, herds = len(identity), 200
    herd, x = rng.integers(herds, size=n), rng.normal(size=n)
    genetic = np.sqrt(0.3) * bound.draw(rng, 1)[:, 0]
    y = 1 + 0.5 * x + genetic + rng.normal(0, 0.4, herds)[herd] + rng.normal(0, np.sqrt(0.7), n)
    return pedigree, pd.DataFrame({"y": y, "x": x, "id": identity, "herd": herd})


def animal(name: str, generations: int, each: int, sires: int, dams: int) -> None:
    """An animal model, from the pedigree's columns to standard errors."""
    listed, table = animals(generations, each, sires, dams)
    peak = Peak()
    began = time.perf_counter()
    fit = ours("y ~ x + (1 | id) + (1 | herd)", table, {"id": lem.pedigree(*listed)})
    seconds = time.perf_counter() - began
    components = ", ".join(f"{v:.3f}" for v in fit.variance_components()["variance"])
    print(f"{name}: {seconds:.2f} s, {peak.grown():.0f} MB; components {components} (true 0.3, 0.16, 0.7)", flush=True)


def records() -> None:
    """One random effect of 1,000 levels: seconds as records grow."""
    rng = np.random.default_rng(0)
    for n in (100_000, 200_000, 400_000):
        g = rng.integers(1000, size=n)
        table = pd.DataFrame({"y": rng.normal(size=1000)[g] + rng.normal(size=n), "x": rng.normal(size=n), "g": g})
        times = []
        for _ in range(3):
            began = time.perf_counter()
            ours("y ~ x + (1 | g)", table)
            times.append(time.perf_counter() - began)
        print(f"{n:,} records: {median(times):.3f} s, {1e6 * median(times) / n:.2f} us each", flush=True)


def own_data(options: argparse.Namespace) -> None:
    """A table and a pedigree of one's own, from data frames to standard errors."""
    table, listed = pd.read_csv(options.csv), pd.read_csv(options.pedigree)
    columns = [listed.iloc[:, k] for k in range(3)]
    times, fit = [], None
    for _ in range(3):
        began = time.perf_counter()
        fit = ours(options.formula, table, {options.individual: lem.pedigree(*columns)})
        times.append(time.perf_counter() - began)
    shown = ", ".join(f"{t:.2f}" for t in times)
    print(f"{options.csv.name}: {shown} s; log-likelihood {fit.log_likelihood:.6f}")
    print(fit.variance_components(), fit.variance_components(kind="average")["se"])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--large", action="store_true", help="the animal model of 100,000 as well")
    parser.add_argument("--csv", type=Path)
    parser.add_argument("--pedigree", type=Path)
    parser.add_argument("--formula")
    parser.add_argument("--individual", default="id")
    chosen = parser.parse_args()
    warnings.simplefilter("ignore")
    print(machine())
    if chosen.csv:
        own_data(chosen)
    else:
        small()
        crossed()
        records()
        animal("20,000 animals", 10, 2_000, 40, 600)
        if chosen.large:
            animal("100,000 animals", 10, 10_000, 100, 3_000)
    print(machine())
