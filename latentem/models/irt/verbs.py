"""What a fitted item response model is asked: verbs of its Fit."""

from __future__ import annotations


class Verbs:
    """Verbs of an item response model."""

    verbs: tuple[str, ...] = ()
