"""Align the words of two texts that translate each other, line by line (IBM models 1 and 2, HMM).

Each line of SOURCE is translated by the same line of TARGET; words are set apart by blanks. With --out DIR it writes
DIR/alignments.txt, a line of links i-j from 0 for each pair of sentences, DIR/translations.csv, the most probable
translations of every source word, and DIR/fit.json; without, it prints the links. Exit code 0; 2 for input that cannot
be used.

  latentem align english.txt german.txt --model hmm --out alignment
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from latentem.cli import arrays, common

MODELS = ("ibm1", "ibm2", "hmm")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `latentem align`."""
    add = parser.add_argument
    add("source", type=Path, metavar="SOURCE", help="text, one sentence a line")
    add("target", type=Path, metavar="TARGET", help="its translation, one sentence a line")
    add("--model", choices=MODELS, default="hmm", metavar="NAME", help=f"{', '.join(MODELS)} (default hmm)")
    add("--iterations", type=common.at_least_1, default=5, metavar="N", help="of EM (default 5)")
    add("--both", action="store_true", help="align in both directions and make one alignment of them")
    add("--out", type=Path, metavar="DIR", help="folder for alignments.txt, translations.csv and fit.json")


def run(options: argparse.Namespace) -> int:
    """Read, fit, print, write.

    Raises:
        InputError: data, options or folder that cannot be used.
    """
    import latentem as lem

    data = (arrays.read_lines(options.source), arrays.read_lines(options.target))
    model, more = lem.WordAlignment(options.model), {"max_iterations": options.iterations}
    fit = arrays.fitted("align", options, options.source, model, data, **more)
    links: list[Any] = fit.align()
    if options.both:
        links = fit.symmetrise(arrays.fitted("align", options, options.target, model, data[::-1], **more))
    lines = [" ".join(f"{i}-{j}" for i, j in sorted(pair)) for pair in links]
    if options.out is None:
        return arrays.finished("align", fit, lines, None, True)
    sources = fit.declaration.corpus.source_words
    rows = [(s or "NULL", t, p) for s in sources for t, p in fit.translations(s, 10)]
    results = common.Results(options.out)
    results.text("alignments.txt", lambda file: file.write("\n".join(lines) + "\n"))
    results.table("translations.csv", ["source", "target", "probability"], rows)
    results.fit(fit, {"sentences": len(lines)}, arrays.LARGE)
    return arrays.finished("align", fit, arrays.told(fit), results, True)
