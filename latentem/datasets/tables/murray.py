"""Twelve pairs from a bivariate normal with mean zero, eight of them with one entry missing."""

from math import nan

from latentem.datasets.dataset import Columns, published


@published(
    "Murray, G. D. (1977). Contribution to the discussion of the paper by Dempster, Laird and Rubin. "
    "Journal of the Royal Statistical Society B 39, 27-28."
)
def murray() -> Columns:
    """Twelve pairs from a bivariate normal with mean zero, eight of them with one entry missing.

    The likelihood has two maxima, at correlation 1/2 and -1/2, and a saddle point between them where an
    EM started without correlation stops.

    Returns:
        A Dataset of 12 rows with x1, x2.

    Example:
        >>> from latentem import datasets
        >>> int(np.isnan(datasets.murray().matrix()).sum())
        8
    """
    # fmt: off
    return {
        "x1": (
            1.0, 1.0, -1.0, -1.0, 2.0, 2.0, -2.0, -2.0, nan, nan, nan, nan,
        ),
        "x2": (
            1.0, -1.0, 1.0, -1.0, nan, nan, nan, nan, 2.0, 2.0, -2.0, -2.0,
        ),
    }
    # fmt: on
