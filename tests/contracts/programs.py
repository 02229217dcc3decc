"""What JAX traces and compiles while something runs."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import jax


@contextmanager
def programs() -> Iterator[list[str]]:
    """A list that fills with one line for each program that is traced or compiled meanwhile."""
    seen: list[str] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            line = record.getMessage()
            if line.startswith(("Finished tracing", "Compiling", "Finished XLA")):
                seen.append(line)

    logger, handler = logging.getLogger("jax"), Handler()
    propagate, logger.propagate = logger.propagate, False
    logger.addHandler(handler)
    try:
        with jax.log_compiles():
            yield seen
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagate
