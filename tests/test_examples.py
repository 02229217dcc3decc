"""The examples run, and print what the docs show and what other software finds."""

import contextlib
import io
import re
import runpy
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parent.parent
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
SHOWN = re.compile(r"^```\{literalinclude\} \.\./examples/(\w+)\.py\n.*?^```\n+```text\n(.*?)^```$", re.M | re.S)

# Figures that each example must print, and where they come from.
FIGURES = {
    # Hasselblad (1969), JASA 64; Titterington, Smith and Makov (1985).
    "custom_model": ("-1989.945860", "0.3599 of all, 1.2561", "2.6634 deaths"),
    # R 4.2.2, factanal (maximum likelihood).
    "factor_analysis": ("-751.021055", "0.21  0.132 0.641 0.396 0.318 0.897 0.037"),
    # mclust 6.0.0, tol 1e-13.
    "gaussian_mixture": ("2 full: log-likelihood -1130.263960", "3 tied: log-likelihood -1126.315928"),
    # poLCA 1.6.0.2, best of many random starts.
    "latent_classes": ("2 classes: log-likelihood -317.256837", "3 classes: log-likelihood -293.704979"),
    # EM in plain R, cross-checked with mvnmle 0.1-11.2 and norm 1.0-11.
    "missing_values": ("-2326.697383",),
    # Simulated with slopes -0.5 and 1.5, in the example itself.
    "regression_mixture": ("converged",),
}


def output(path: Path) -> str:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        runpy.run_path(str(path), run_name="__main__")
    return printed.getvalue()


def shown() -> dict[str, str]:
    """What the page of examples says each one prints."""
    return dict(SHOWN.findall((ROOT / "docs" / "examples.md").read_text(encoding="utf-8")))


def test_every_example_is_checked_and_in_the_docs() -> None:
    names = {path.stem for path in EXAMPLES}
    assert names == set(FIGURES) == set(shown())


@pytest.mark.slow
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # what an example writes
    printed = output(path)
    for figure in FIGURES[path.stem]:
        assert figure in printed
    assert printed == shown()[path.stem]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples_are_short(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.startswith("# %% [markdown]\n# # ")
    assert len(text.splitlines()) < 45


def test_the_regression_recovers_what_was_simulated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with contextlib.redirect_stdout(io.StringIO()):
        names = runpy.run_path(str(ROOT / "examples" / "regression_mixture.py"))
    params = names["fit"].params
    order = np.argsort(params["weight"])
    np.testing.assert_allclose(params["slope"][order], [-0.5, 1.5], atol=0.1)
    np.testing.assert_allclose(params["intercept"][order], [8.0, 1.0], atol=0.5)
    np.testing.assert_allclose(params["deviation"][order], [0.5, 1.0], atol=0.15)
