"""Contagious bovine pleuropneumonia: new cases in 15 herds over four periods."""

from latentem.datasets.dataset import Columns, published


@published(
    "Lesnoff, M. et al. (2004). Within-herd spread of contagious bovine pleuropneumonia in Ethiopian "
    "highlands. Preventive Veterinary Medicine 64, 27-40."
)
def cattle_pneumonia() -> Columns:
    """Contagious bovine pleuropneumonia: new cases in 15 herds over four periods.

    Returns:
        A Dataset of 56 rows with herd, period (1 to 4), incidence (new cases), size (animals in the herd at the
        start of the period).

    Example:
        >>> from latentem import datasets
        >>> int(datasets.cattle_pneumonia().incidence.sum())
        99
    """
    # fmt: off
    return {
        "herd": (
            1, 1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 6, 6, 6, 6, 7, 7, 7, 7, 8, 9, 9, 9, 9, 10,
            10, 10, 10, 11, 11, 11, 11, 12, 12, 12, 12, 13, 13, 13, 13, 14, 14, 14, 14, 15, 15, 15, 15,
        ),
        "period": (
            1, 2, 3, 4, 1, 2, 3, 1, 2, 3, 4, 1, 2, 3, 4, 1, 2, 3, 4, 1, 2, 3, 4, 1, 2, 3, 4, 1, 1, 2, 3, 4, 1,
            2, 3, 4, 1, 2, 3, 4, 1, 2, 3, 4, 1, 2, 3, 4, 1, 2, 3, 4, 1, 2, 3, 4,
        ),
        "incidence": (
            2, 3, 4, 0, 3, 1, 1, 8, 2, 0, 2, 2, 0, 2, 0, 5, 0, 0, 1, 3, 0, 0, 1, 8, 1, 3, 0, 12, 2, 0, 0, 0, 1,
            1, 0, 2, 0, 5, 3, 1, 2, 1, 0, 0, 1, 2, 0, 0, 11, 0, 0, 0, 1, 1, 1, 0,
        ),
        "size": (
            14, 12, 9, 5, 22, 18, 21, 22, 16, 16, 20, 10, 10, 9, 6, 18, 25, 24, 4, 17, 17, 18, 20, 16, 10, 9,
            5, 34, 9, 6, 8, 6, 22, 22, 18, 22, 25, 27, 22, 22, 10, 8, 6, 5, 21, 24, 19, 23, 19, 2, 3, 2, 19,
            15, 15, 15,
        ),
    }
    # fmt: on
