"""Heat of setting cement and its four ingredients, with entries deleted in a monotone pattern."""

from math import nan

from latentem.datasets.dataset import Columns, published


@published(
    "Little, R. J. A. and Rubin, D. B. (1987). Statistical Analysis with Missing Data. Wiley; "
    "complete data: Draper, N. R. and Smith, H. (1981). Applied Regression Analysis, 2nd edition. "
    "Wiley."
)
def cement() -> Columns:
    """Heat of setting cement and its four ingredients, with entries deleted in a monotone pattern.

    13 mixes, 15 of the 65 entries missing (NaN): x1 to x4 are percentages of tricalcium aluminate,
    tricalcium silicate, tetracalcium alumino ferrite and dicalcium silicate; x5 is the heat in calories
    per gram.

    Returns:
        A Dataset of 13 rows with x1, x2, x3, x4, x5.

    Example:
        >>> from latentem import datasets
        >>> int(np.isnan(datasets.cement().matrix()).sum())
        15
    """
    # fmt: off
    return {
        "x1": (
            7.0, 1.0, 11.0, 11.0, 7.0, 11.0, 3.0, 1.0, 2.0, nan, nan, nan, nan,
        ),
        "x2": (
            26.0, 29.0, 56.0, 31.0, 52.0, 55.0, 71.0, 31.0, 54.0, nan, nan, nan, nan,
        ),
        "x3": (
            6.0, 15.0, 8.0, 8.0, 6.0, 9.0, 17.0, 22.0, 18.0, 4.0, 23.0, 9.0, 8.0,
        ),
        "x4": (
            60.0, 52.0, 20.0, 47.0, 33.0, 22.0, nan, nan, nan, nan, nan, nan, nan,
        ),
        "x5": (
            78.5, 74.3, 104.3, 87.6, 95.9, 109.2, 102.7, 72.5, 93.1, 115.9, 83.8, 113.3, 109.4,
        ),
    }
    # fmt: on
