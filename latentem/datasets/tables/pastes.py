"""Strength of a chemical paste from casks of ten deliveries."""

from latentem.datasets.dataset import Columns, published


@published(
    "Davies, O. L. and Goldsmith, P. L., eds (1972). Statistical Methods in Research and Production, 4th "
    "edition. Oliver and Boyd, Table 6.5."
)
def pastes() -> Columns:
    """Strength of a chemical paste from casks of ten deliveries.

    Three casks of each delivery, two assays of each cask: a nested design.

    Returns:
        A Dataset of 60 rows with batch, cask (letters; casks of two batches that share a letter are different),
        strength.

    Example:
        >>> from latentem import datasets
        >>> len(datasets.pastes().strength)
        60
    """
    # fmt: off
    return {
        "batch": [b for b in "ABCDEFGHIJ" for _ in range(6)],
        "cask": [c for c in "abc" for _ in range(2)] * 10,
        "strength": (
            62.8, 62.6, 60.1, 62.3, 62.7, 63.1, 60, 61.4, 57.5, 56.9, 61.1, 58.9, 58.7, 57.5, 63.9, 63.1, 65.4,
            63.7, 57.1, 56.4, 56.9, 58.6, 64.7, 64.5, 55.1, 55.1, 54.7, 54.2, 58.8, 57.5, 63.4, 64.9, 59.3,
            58.1, 60.5, 60, 62.5, 62.6, 61, 58.7, 56.9, 57.7, 59.2, 59.4, 65.2, 66, 64.8, 64.1, 54.8, 54.8, 64,
            64, 57.7, 56.8, 58.3, 59.3, 59.2, 59.2, 58.9, 56.6,
        ),
    }
    # fmt: on
