"""Alignments of both directions made one, and how far an alignment lies from one made by hand."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

Link = tuple[int, int]
#: Steps to the places around a link, those side by side first (Koehn, Och and Marcu 2003).
AROUND = ((-1, 0), (0, -1), (1, 0), (0, 1), (-1, -1), (-1, 1), (1, -1), (1, 1))
METHODS = ("intersection", "union", "grow-diag", "grow-diag-final-and")


def symmetrise(forward: Iterable[Link], backward: Iterable[Link], method: str = "grow-diag-final-and") -> set[Link]:
    """One alignment of a sentence pair from those of both directions.

    Args:
        forward, backward: links (source position, target position) from 0, of the model source -> target and of the
            model target -> source, the latter turned round to the same order.
        method: "intersection", "union", "grow-diag" or "grow-diag-final-and".

    Raises:
        ValueError: another method.

    >>> from latentem.models.alignment import symmetrise
    >>> sorted(symmetrise({(0, 0), (1, 1)}, {(0, 0), (1, 2), (2, 2)}, "grow-diag"))
    [(0, 0), (1, 1), (1, 2), (2, 2)]
    """
    if method not in METHODS:
        raise ValueError(f"method={method!r}: expected {', '.join(map(repr, METHODS))}")
    one, other = set(forward), set(backward)
    if method == "union":
        return one | other
    found = one & other
    if method == "intersection":
        return found
    grown = True
    while grown:
        grown = False
        for i, j in sorted(found):
            for down, right in AROUND:
                new = (i + down, j + right)
                if new in (one | other) - found and _alone(new, found):
                    found.add(new)
                    grown = True
    if method == "grow-diag-final-and":
        for direction in (one, other):
            for i, j in sorted(direction):
                if all(i != a for a, _ in found) and all(j != b for _, b in found):
                    found.add((i, j))
    return found


def _alone(new: Link, found: set[Link]) -> bool:
    """Whether the source or the target word of a link has none yet."""
    return all(new[0] != i for i, _ in found) or all(new[1] != j for _, j in found)


def alignment_error_rate(
    found: Sequence[Iterable[Link]], sure: Sequence[Iterable[Link]], possible: Sequence[Iterable[Link]] | None = None
) -> float:
    """1 - (|A & S| + |A & P|) / (|A| + |S|) over all sentence pairs (Och and Ney 2003).

    Args:
        found: links of each pair, A.
        sure, possible: links made by hand, S and P; P is S where there is none.

    >>> from latentem.models.alignment import alignment_error_rate
    >>> round(alignment_error_rate([{(0, 0), (1, 2)}], [{(0, 0), (1, 1)}]), 3)
    0.5
    """
    if not len(found) == len(sure) == len(sure if possible is None else possible):
        raise ValueError(f"{len(found)} alignments and {len(sure)} made by hand: expected as many of each")
    agree = size = 0
    for n, links in enumerate(found):
        a, s = set(links), set(sure[n])
        p = s if possible is None else s | set(possible[n])
        agree += len(a & s) + len(a & p)
        size += len(a) + len(s)
    if not size:
        raise ValueError("alignment_error_rate: neither side has a link")
    return 1 - agree / size
