"""Yield of a dyestuff from six batches of an intermediate product."""

from latentem.datasets.dataset import Columns, published


@published(
    "Davies, O. L. and Goldsmith, P. L., eds (1972). Statistical Methods in Research and Production, 4th "
    "edition. Oliver and Boyd, Table 6.3."
)
def dyestuff() -> Columns:
    """Yield of a dyestuff from six batches of an intermediate product.

    The between-batch variance of a chemical process: five preparations from each batch.

    Returns:
        A Dataset of 30 rows with batch (a letter), grams (of standard colour).

    Example:
        >>> from latentem import datasets
        >>> float(datasets.dyestuff().grams.mean())
        1527.5
    """
    # fmt: off
    return {
        "batch": [b for b in "ABCDEF" for _ in range(5)],
        "grams": (
            1545, 1440, 1440, 1520, 1580, 1540, 1555, 1490, 1560, 1495, 1595, 1550, 1605, 1510, 1560, 1445,
            1440, 1595, 1465, 1545, 1595, 1630, 1515, 1635, 1625, 1520, 1455, 1450, 1480, 1445,
        ),
    }
    # fmt: on
