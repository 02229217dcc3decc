"""Growth inhibition by six samples of penicillin on 24 plates."""

from latentem.datasets.dataset import Columns, published


@published(
    "Davies, O. L. and Goldsmith, P. L., eds (1972). Statistical Methods in Research and Production, 4th "
    "edition. Oliver and Boyd, Table 6.6."
)
def penicillin() -> Columns:
    """Growth inhibition by six samples of penicillin on 24 plates.

    Every sample was tried on every plate: a crossed design.

    Returns:
        A Dataset of 144 rows with plate, sample (letters), diameter (mm, of the zone without growth).

    Example:
        >>> from latentem import datasets
        >>> len(datasets.penicillin().diameter)
        144
    """
    # fmt: off
    return {
        "plate": [p for p in "abcdefghijklmnopqrstuvwx" for _ in range(6)],
        "sample": [*"ABCDEF"] * 24,
        "diameter": (
            27, 23, 26, 23, 23, 21, 27, 23, 26, 23, 23, 21, 25, 21, 25, 24, 24, 20, 26, 23, 25, 23, 23, 20, 25,
            22, 26, 22, 23, 20, 24, 22, 25, 23, 22, 19, 24, 20, 23, 21, 22, 19, 26, 22, 26, 24, 24, 21, 24, 21,
            24, 22, 22, 20, 24, 21, 24, 23, 22, 19, 26, 23, 26, 24, 24, 21, 25, 22, 26, 24, 24, 20, 26, 24, 26,
            24, 25, 22, 26, 23, 26, 23, 23, 20, 26, 23, 25, 24, 24, 22, 25, 22, 25, 23, 23, 20, 25, 21, 24, 23,
            23, 20, 25, 22, 24, 23, 23, 19, 24, 21, 23, 21, 21, 19, 26, 23, 26, 24, 24, 21, 25, 21, 24, 22, 22,
            18, 25, 22, 25, 22, 22, 20, 24, 21, 24, 22, 24, 19, 24, 21, 24, 22, 21, 18,
        ),
    }
    # fmt: on
