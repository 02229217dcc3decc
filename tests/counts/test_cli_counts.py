"""The commands of counts, texts and images: what they write, and what they refuse in one line."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from PIL import Image

import latentem as lem

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def files(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    phantom = 20 * lem.datasets.tomography.shepp_logan(16)
    projector = lem.datasets.tomography.parallel_beam(16, 12)
    np.save(tmp_path / "scan.npy", rng.poisson(projector @ phantom.ravel() + 0.5).reshape(12, -1))
    np.save(tmp_path / "negative.npy", -np.ones((12, 23)))
    counts = sp.csr_array(np.kron(np.eye(2), rng.poisson(3.0, (10, 4))))
    sp.save_npz(tmp_path / "counts.npz", counts[np.asarray(counts.sum(axis=1)).ravel() > 0])
    (tmp_path / "words.txt").write_text("\n".join("abcdefgh"))
    (tmp_path / "en.txt").write_text("the house\nthe book\na book\n")
    (tmp_path / "de.txt").write_text("das haus\ndas buch\nein buch\n")
    (tmp_path / "hole.txt").write_text("das haus\n\nein buch\n")
    grey = np.clip(60 + 120 * (np.arange(24) > 11) + 20 * rng.normal(size=(24, 24)), 0, 255).astype(np.uint8)
    Image.fromarray(grey).save(tmp_path / "grey.png")
    Image.fromarray(np.stack([grey, 255 - grey, grey], axis=-1)).save(tmp_path / "colour.png")
    Image.fromarray(np.stack([grey] * 4, axis=-1)).save(tmp_path / "alpha.png")
    (tmp_path / "text.png").write_text("no image")
    return tmp_path


def facts(folder: str) -> dict[str, Any]:
    return json.loads(Path(folder, "fit.json").read_text())


def test_reconstruct(run: Run, files: Path) -> None:
    options = ("--angles", 12, "--size", 16, "--background", 0.5, "--iterations", 30, "--out", "scan")
    code, out, err = run("reconstruct", "scan.npy", *options)
    assert (code, err) == (0, "")
    assert "max_iterations after 30 iterations" in out
    image = np.load("scan/image.npy")
    assert image.shape == (16, 16)
    assert np.corrcoef(image.ravel(), lem.datasets.tomography.shepp_logan(16).ravel())[0, 1] > 0.8
    assert np.asarray(Image.open("scan/image.png")).max() == 255
    assert facts("scan")["status"] == "max_iterations"
    scan = ("scan.npy", "--size", 16, "--background", 0.5)
    assert run("reconstruct", *scan, "--subsets", 3, "--iterations", 2)[0] == 0
    assert run("reconstruct", *scan, "--prior", "huber")[0] == 0
    assert run("reconstruct", *scan, "--stop")[0] == 0


def test_topics(run: Run, files: Path) -> None:
    code, out, err = run("topics", "counts.npz", "--topics", 2, "--vocabulary", "words.txt", "--out", "t", "--words", 4)
    assert (code, err) == (0, "")
    found = {frozenset(line.partition(": ")[2].split(", ")) for line in out.splitlines() if line.startswith("topic ")}
    assert found == {frozenset("abcd"), frozenset("efgh")}
    with open("t/topics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["word"] for row in rows] == list("abcdefgh")
    assert sum(float(row["topic_0"]) for row in rows) == pytest.approx(1)
    assert run("topics", "counts.npz", "--topics", 2, "--smoothing", 0.1)[0] == 0


def test_align(run: Run, files: Path) -> None:
    code, out, err = run("align", "en.txt", "de.txt", "--model", "ibm1", "--out", "a")
    assert (code, err) == (0, "")
    assert Path("a/alignments.txt").read_text().splitlines() == ["0-0 1-1"] * 3
    with open("a/translations.csv", newline="") as file:
        first = {row["source"]: row["target"] for row in reversed(list(csv.DictReader(file)))}
    assert first["book"] == "buch"
    code, out, _ = run("align", "en.txt", "de.txt", "--both")
    assert (code, out.splitlines()[1]) == (0, "0-0 1-1")


def test_segment(run: Run, files: Path) -> None:
    code, out, err = run("segment", "grey.png", "--classes", 2, "--out", "s")
    assert (code, err) == (0, "")
    assert "class 1: mean 17" in out or "class 1: mean 18" in out
    labels = np.asarray(Image.open("s/labels.png"))
    assert (labels == (np.arange(24) > 11)).mean() > 0.99
    assert np.asarray(Image.open("s/overlay.png")).shape == (24, 24, 3)
    assert facts("s")["status"] == "approximate"
    assert run("segment", "colour.png", "--classes", 2, "--cut")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("reconstruct", "none.npy"), "none.npy: no such file"),
        (("reconstruct", "words.txt"), "is no .npy file"),
        (("reconstruct", "negative.npy"), "counts are finite and >= 0"),
        (("reconstruct", "scan.npy", "--angles", "60"), "has 12 rows: expected --angles 60"),
        (("reconstruct", "scan.npy", "--size", "99"), "do not hold an image of 99 x 99"),
        (("topics", "words.txt", "--topics", "2"), "is no sparse matrix"),
        (("topics", "counts.npz", "--topics", "2", "--vocabulary", "de.txt"), "vocabulary has 3 words: expected 8"),
        (("topics", "none.npz", "--topics", "2"), "no such file"),
        (("align", "en.txt", "hole.txt"), "target sentence 1 is empty"),
        (("align", "en.txt", "words.txt"), "3 source and 8 target sentences"),
        (("align", "en.txt", "grey.png"), "is not text in UTF-8"),
        (("segment", "text.png", "--classes", "2"), "is no image that Pillow can read"),
        (("segment", "alpha.png", "--classes", "2"), "transparency (alpha)"),
        (("segment", "none.png", "--classes", "2"), "no such file"),
        (("segment", "grey.png", "--classes", "3", "--cut"), "expected 2, background and foreground"),
        (("segment", "grey.png", "--classes", "1"), "expected an integer >= 2"),
    ],
)
def test_refusals_are_one_line(run: Run, files: Path, arguments: tuple[str, ...], told: str) -> None:
    code, _, err = run(*arguments)
    assert code == 2
    assert told in err
    assert len(err.splitlines()) == 1
