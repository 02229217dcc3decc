"""Children of 4,075 widows entitled to a pension."""

from latentem.datasets.dataset import Columns, published


@published(
    "Thisted, R. A. (1988). Elements of Statistical Computing: Numerical Computation. Chapman and Hall, page 178."
)
def widows() -> Columns:
    """Children of 4,075 widows entitled to a pension.

    More widows have no child than a Poisson distribution allows: a zero-inflated Poisson distribution is
    the usual model.

    Returns:
        A Dataset of 7 rows with children (a count), frequency (widows).

    Example:
        >>> from latentem import datasets
        >>> int(datasets.widows().frequency.sum())
        4075
    """
    # fmt: off
    return {
        "children": (0, 1, 2, 3, 4, 5, 6),
        "frequency": (3062, 587, 284, 103, 33, 4, 2),
    }
    # fmt: on
