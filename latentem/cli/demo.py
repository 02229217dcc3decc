"""Fit four models to published data and one to simulated ones, say what the estimates mean, save pictures.

A mixture of Poisson distributions declared in ten lines, for the deaths of women over 80 announced in The
Times (Hasselblad 1969), a Gaussian mixture of the eruptions of Old Faithful (Azzalini and Bowman 1990), a hidden
Markov model of the major earthquakes of each year (Zucchini and MacDonald 2009), and a two-parameter logistic model of
five questions of the Law School Admission Test (Bock and Lieberman 1970); then a linear mixed model of simulated
reaction times of people who sleep too little.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from latentem.cli.errors import InputError

if TYPE_CHECKING:
    from latentem import Fit


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `latentem demo`."""
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("latentem-demo"),
        metavar="DIR",
        help="folder for the pictures (default ./latentem-demo)",
    )


def run(options: argparse.Namespace) -> int:
    """Fit, explain, draw.

    Returns:
        0, or 3 where a fit did not converge.

    Raises:
        InputError: the folder cannot be written.
    """
    began = time.perf_counter()
    try:
        options.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--out {options.out}: {error.strerror}: expected a folder, or a name for one") from None
    print("latentem: state a latent-variable model; get its EM.")
    # Most of a first run is compilation, which the second core can do for the later models meanwhile.
    with ThreadPoolExecutor(1) as meanwhile:
        earthquakes, test = meanwhile.submit(_fit_earthquakes), meanwhile.submit(_fit_test)
        fits = [_deaths(options.out), _geyser(options.out)]
        fits += [_earthquakes(earthquakes.result(), options.out), _test(test.result(), options.out)]
        fits += _sleep(options.out)
    print(f"\nAll in {time.perf_counter() - began:.1f} s; what was compiled is kept for the next time.")
    return 0 if all(fit.status.ok for fit in fits) else 3


def _deaths(folder: Path) -> Fit:
    import jax

    import latentem as lem
    from latentem.cli import declaration

    _heading("1. A model of your own: deaths of women over 80 in The Times, 1910-1912 (Hasselblad 1969)")
    print(_indented(_lines_of(declaration.__file__)))
    data = lem.datasets.hasselblad()
    fit = _fit(declaration.model, data.deaths, weights=data.frequency, key=jax.random.key(0))
    quiet, busy = np.argsort(fit.params["rate"])
    weight, rate = 100 * fit.params["weight"], fit.params["rate"]
    belongs = fit.responsibilities()[:, busy]
    print(f"The {fit.n_observations:.0f} days are of two kinds:")
    print(f"  {weight[quiet]:.1f} % quiet days, with {rate[quiet]:.3f} deaths a day on average")
    print(f"  {weight[busy]:.1f} % busy days, with {rate[busy]:.3f}; winter, most likely")
    print("The fit says of a single day how likely it was a busy one:")
    told = ", ".join(f"{100 * belongs[n]:.0f} % with {data.deaths[n]}" for n in (0, 2, 4, 6))
    print(f"  {told} deaths")
    label = "deaths of women over 80 in The Times, per day"
    _draw(lambda: lem.plot.mixture_density(fit, labels=label), folder / "deaths.png")
    return fit


def _geyser(folder: Path) -> Fit:
    import jax

    import latentem as lem

    _heading("2. A ready model: eruptions of the geyser Old Faithful, lem.GaussianMixture(2)")
    fit = _fit(lem.GaussianMixture(2), lem.datasets.old_faithful().matrix(), key=jax.random.key(0))
    mean, covariance = fit.params["components"]["mean"], fit.params["components"]["covariance"]
    print(f"The {fit.n_observations:.0f} eruptions are of two kinds:")
    for k, word in zip(np.argsort(mean[:, 0]), ("short", "long"), strict=True):
        share, (lasts, waits) = 100 * fit.params["weights"][k], mean[k]
        slope = covariance[k, 0, 1] / covariance[k, 0, 0]
        print(f"  {share:.1f} % {word} ones: {lasts:.2f} minutes, then {waits:.1f} minutes until the next;")
        print(f"    a minute longer than that, and the wait is {slope:.1f} minutes longer")
    doubtful = int(np.sum(fit.responsibilities().max(axis=1) < 0.95))
    print(f"All but {doubtful} of them belong to one kind with a probability above 95 %.")
    labels = ["eruption (minutes)", "wait until the next (minutes)"]
    _draw(lambda: lem.plot.mixture_density(fit, labels=labels), folder / "old_faithful.png")
    return fit


def _fit_earthquakes() -> Fit:
    import jax

    import latentem as lem

    # Newton's method has nothing to add here, and takes half of the time to compile.
    count = lem.datasets.earthquakes().count
    fit = lem.fit(lem.HMM(3, lem.families.Poisson()), count, key=jax.random.key(0), polish=False)
    for verb in (fit.viterbi, fit.smooth, lambda: fit.forecast(10)):
        verb()  # compiles; what it finds is asked for again below
    return fit


def _earthquakes(fit: Fit, folder: Path) -> Fit:
    import latentem as lem

    _heading("3. States that last: major earthquakes of each year, 1900-2006, lem.HMM(3, lem.families.Poisson())")
    _told(fit)
    data = lem.datasets.earthquakes()
    rate, stay, path = fit.params["emission"]["rate"], np.diag(fit.params["transition"]), fit.viterbi()
    print("The earth has been in one of three states:")
    for k, word in zip(np.argsort(rate), ("calm", "middling", "restless"), strict=True):
        lasts = f"lasts {1 / (1 - stay[k]):.1f} years on average"
        print(f"  {word}: {rate[k]:.2f} earthquakes a year; {lasts}; {np.sum(path == k)} of the {len(path)} years")
    calm = fit.forecast(10)[:, np.argmin(rate)]
    print(f"It is calm in 2007 with a probability of {100 * calm[0]:.0f} %, in 2016 with {100 * calm[-1]:.0f} %.")
    labels = ("year", "earthquakes, magnitude 7+")
    _draw(lambda: lem.plot.state_probabilities(fit, times=data.year, labels=labels), folder / "earthquakes.png")
    return fit


def _fit_test() -> Fit:
    import latentem as lem

    data = lem.datasets.lsat7()
    answers = {name: data.columns[name] for name in data.columns if name != "frequency"}
    fit = lem.fit(lem.IRT("2pl"), answers, weights=data.frequency, polish=False)
    fit.scores("eap")  # compiles, too
    return fit


def _test(fit: Fit, folder: Path) -> Fit:
    import latentem as lem

    _heading('4. A test: five questions of the Law School Admission Test, section 7, lem.IRT("2pl")')
    _told(fit)
    items = fit.item_parameters(errors=False)
    hard, sharp = int(np.argmax(items["difficulty"])), int(np.argmax(items["slope"]))
    name = items["item"]
    print(f"Hardest of the five is {name[hard]}: half of those of ability {items['difficulty'][hard]:.2f} know it")
    print(f"(0 is the mean of the {fit.n_observations:.0f} people, 1 their standard deviation).")
    print(f"Ability decides most about {name[sharp]}: its slope is {items['slope'][sharp]:.2f}.")
    answers = lem.datasets.lsat7().matrix(*name)
    scores, right = fit.scores("eap"), answers.sum(axis=1)
    for count in (0, len(name)):
        n = int(np.flatnonzero(right == count)[0])
        theta, error = scores["theta"][n], scores["se"][n]
        print(f"Who knows {count} of {len(name)} has an ability of {theta:.2f}, give or take {error:.2f}.")
    _draw(lambda: lem.plot.item_curves(fit), folder / "lsat7.png")
    return fit


def _people() -> dict[str, np.ndarray]:
    """Reaction times of 18 people, simulated: over ten days of short nights they grow, by person more or less."""
    rng = np.random.default_rng(18)
    days = np.tile(np.arange(10.0), 18)
    begin, grows = rng.normal(250.0, 25.0, 18), rng.normal(10.0, 6.0, 18)
    reaction = np.repeat(begin, 10) + np.repeat(grows, 10) * days + rng.normal(0.0, 25.0, 180)
    return {"person": np.repeat(np.arange(1, 19), 10), "days": days, "reaction": reaction}


def _sleep(folder: Path) -> list[Fit]:
    """The fit; none where the library that reads formulas is not installed."""
    import latentem as lem

    formula = "reaction ~ days + (days | person)"
    _heading(f'5. Records that share effects: simulated reaction times after short nights, lem.Mixed("{formula}")')
    try:
        fit: Any = lem.fit(lem.Mixed(formula), _people())
    except ImportError as error:
        print(f"No mixed model: {error}")
        return []
    _told(fit)
    fixed, parts = fit.fixed_effects(), fit.variance_components()
    told = f"{fixed['lower'][1]:.1f} to {fixed['upper'][1]:.1f}"
    print(f"Every short night costs {fixed['estimate'][1]:.1f} ms (95 %: {told}); simulated were 10.")
    print(f"People differ in that by a standard deviation of {parts['sd'][2]:.1f} ms; simulated were 6.")
    worst = fit.random_effects("person")
    most = int(np.argmax(worst["days"]))
    error = worst["days_se"][most]
    print(
        f"Person {worst['level'][most]} suffers most: {worst['days'][most]:+.1f} ms a night, give or take {error:.1f}."
    )
    _draw(lambda: lem.plot.random_effects(fit), folder / "sleep.png")
    return [fit]


def _fit(model: Any, data: Any, **options: Any) -> Fit:
    import latentem as lem

    # The progress line belongs to a terminal; a log would collect its control codes.
    fit = lem.fit(model, data, progress=sys.stderr.isatty(), **options)
    _told(fit)
    return fit


def _told(fit: Fit) -> None:
    print(
        f"{fit.status.name} after {fit.iterations} iterations in {fit.seconds:.1f} s: "
        f"log-likelihood {fit.log_likelihood:.6f}, {fit.n_parameters} parameters, BIC {fit.bic:.2f}\n"
    )
    if not fit.status.ok:
        print(f"latentem demo: {fit.status.name}: {fit.status.advice}", file=sys.stderr)


def _draw(draw: Callable[[], Any], path: Path) -> None:
    try:
        _saved(draw, path)
        print(f"\nPicture: {path}")
    except ImportError as error:
        print(f"\nNo picture: {error}")


def _saved(draw: Callable[[], Any], path: Path) -> None:
    figure = draw()
    try:
        figure.savefig(path)
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror}") from None


def _heading(text: str) -> None:
    print(f"\n{text}\n{'-' * len(text)}", flush=True)


def _lines_of(file: str | None) -> str:
    """The lines of a module from its first function on."""
    source = Path(str(file)).read_text(encoding="utf-8")
    return source[source.index("def ") :].strip()


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" if line else "" for line in text.splitlines() if line) + "\n"
