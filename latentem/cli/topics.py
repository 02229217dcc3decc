"""Find topics in a table of word counts (probabilistic latent semantic analysis).

The table is a .npz file that scipy.sparse.save_npz wrote, or a .npy array: a row for each document, a column for each
word. Prints the first words of every topic. With --out DIR it writes DIR/topics.csv, DIR/documents.csv and
DIR/fit.json. Exit code 0; 2 for input that cannot be used; 3 when the fit did not converge.

  latentem topics counts.npz --topics 20 --vocabulary words.txt --out topics
"""

from __future__ import annotations

import argparse
import zipfile
from pathlib import Path
from typing import Any

from latentem.cli import arrays, common
from latentem.cli.errors import InputError, one_line


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `latentem topics`."""
    add = parser.add_argument
    add("counts", type=Path, metavar="COUNTS", help=".npz file of scipy.sparse.save_npz, or .npy: documents by words")
    add("--topics", type=common.at_least_1, required=True, metavar="K", help="number of topics")
    add("--vocabulary", type=Path, metavar="FILE", help="text with one word a line, in the order of the columns")
    add("--words", type=common.at_least_1, default=10, metavar="N", help="words of each topic to print (default 10)")
    add("--smoothing", type=float, default=0.0, metavar="C", help="added to every count: a Dirichlet(1 + C) prior (0)")
    add("--starts", type=common.at_least_1, default=1, metavar="N", help="random starts, the best is kept (default 1)")
    add("--seed", type=common.seed, default=0, metavar="N", help="seed of the random starts (default 0)")
    add("--max-iterations", type=common.at_least_1, default=10_000, metavar="N", help="of each start (default 10000)")
    add("--out", type=Path, metavar="DIR", help="folder for topics.csv, documents.csv and fit.json")


def run(options: argparse.Namespace) -> int:
    """Read, fit, print, write.

    Raises:
        InputError: data, options or folder that cannot be used.
    """
    import jax

    import latentem as lem

    counts = _read(options.counts)
    words = None if options.vocabulary is None else arrays.read_lines(options.vocabulary)
    dirichlet = lem.priors.Dirichlet
    smooth = None
    if options.smoothing:
        if not options.smoothing > 0:
            raise InputError(f"--smoothing {options.smoothing}: expected a number >= 0")
        smooth = {name: dirichlet(1.0 + options.smoothing) for name in ("documents", "topics")}
    model = lem.Topics(options.topics, prior=smooth, vocabulary=words)
    more = {"key": jax.random.key(options.seed), "starts": options.starts, "max_iterations": options.max_iterations}
    fit = arrays.fitted("topics", options, options.counts, model, counts, **more)
    lines, results = arrays.told(fit), None
    for k, found in enumerate(fit.top_words(options.words)):
        lines.append(f"topic {k}: {', '.join(str(word.word) for word in found)}")
    if options.out is not None:
        names = [f"topic_{k}" for k in range(options.topics)]
        columns = words or [f"word_{w}" for w in range(fit.params["topics"].shape[1])]
        rows = ([word, *p] for word, p in zip(columns, fit.params["topics"].T.tolist(), strict=True))
        results = common.Results(options.out)
        results.table("topics.csv", ["word", *names], rows)
        results.table("documents.csv", names, fit.params["documents"].tolist())
        results.fit(fit, {"topics": options.topics}, arrays.LARGE)
    return arrays.finished("topics", fit, lines, results)


def _read(path: Path) -> Any:
    import scipy.sparse as sp

    if path.suffix == ".npy":
        return arrays.read_array(path, "counts, documents by words")
    try:
        with open(path, "rb") as file:
            return sp.load_npz(file)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file: expected what scipy.sparse.save_npz writes") from None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} is no sparse matrix of scipy.sparse.save_npz ({one_line(error)})") from None
