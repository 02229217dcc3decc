"""The command `latentem`: one subcommand for each kind of model; `latentem --help` lists them.

Exit codes: 0, done; 1, results cannot be written, and none of them is; 2, the input or the options cannot be used, with
one line on stderr; 3, a fit did not converge, its files are written all the same.

What flows in: a file of columns and options. What flows out: text, and files in the folder of `--out`.

- `demo`, `mixture`, `hmm`, `irt`, `mixed`, `statespace`, `modes`, `reconstruct`, `topics`, `align`, `segment`,
  `predict`, `impute`: one command each.
- `reading`: columns of CSV and Parquet files, with their places for complaints.
- `common`: what the commands that fit share; `arrays`: those of arrays, texts and images.
- `errors`: what is told in one line.
- `environment`: what is set before JAX is imported.

To add a command: a file with `add_arguments(parser)` and `run(options) -> exit code`, whose docstring is its help, and
its line in `parser`.
"""

from __future__ import annotations

import argparse
import difflib
import io
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from latentem.cli import (
    align,
    demo,
    environment,
    hmm,
    impute,
    irt,
    mixed,
    mixture,
    modes,
    predict,
    reconstruct,
    segment,
    statespace,
    topics,
)
from latentem.cli.errors import InputError, OutputError, shown


class _Parser(argparse.ArgumentParser):
    """One line per error, where argparse prints its usage too."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


def parser() -> argparse.ArgumentParser:
    """The options of the command and of its subcommands."""
    from latentem import __version__

    top = _Parser(
        prog="latentem",
        description="Fit latent-variable models by EM from the command line.",
        allow_abbrev=False,
    )
    top.add_argument("--version", action="version", version=f"latentem {__version__}")
    own = {"demo": demo, "mixture": mixture, "hmm": hmm, "irt": irt, "mixed": mixed, "statespace": statespace}
    own |= {"modes": modes, "reconstruct": reconstruct, "topics": topics, "align": align, "segment": segment}
    own |= {"predict": predict, "impute": impute}
    commands = top.add_subparsers(dest="command", required=True, metavar="{" + ",".join(own) + "}")
    for name, module in own.items():
        told = (module.__doc__ or "").strip()
        command = commands.add_parser(
            name,
            help=told.partition("\n")[0],
            description=told,
            allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(command)
        command.set_defaults(run=module.run, parser=command)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: what follows `latentem` on the command line; that of this process by default.

    Returns:
        The exit code.

    Raises:
        SystemExit: wrong options (code 2), or `--help` or `--version` (code 0).
    """
    options, unknown = parser().parse_known_args(arguments)
    if unknown:
        options.parser.error(_unknown(unknown[0], options.parser))
    environment.settle()
    for stream in (sys.stdout, sys.stderr):  # what a terminal cannot show is escaped, and no reason to fail
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        code = options.run(options)
        sys.stdout.flush()
        return code
    except InputError as error:
        print(shown(f"latentem {options.command}: {error}"), file=sys.stderr)
        return 2
    except OutputError as error:
        print(shown(f"latentem {options.command}: {error}"), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"latentem {options.command}: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output, `head` say, has what it wanted
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:  # of standard output: files answer for themselves
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        print(f"latentem {options.command}: standard output: {error.strerror or error}", file=sys.stderr)
        return 1


def _unknown(argument: str, command: argparse.ArgumentParser) -> str:
    if not argument.startswith("-"):
        return f"unexpected argument {argument!r}"
    known = [option for option in command._option_string_actions if option.startswith("--")]
    close = difflib.get_close_matches(argument.partition("=")[0], known, n=1)
    return f"no option {argument}" + (f": did you mean {close[0]}?" if close else "")
