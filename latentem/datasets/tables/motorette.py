"""Life of 40 motorettes on test at four temperatures; 23 had not failed when the test ended."""

from latentem.datasets.dataset import Columns, published


@published(
    "Schmee, J. and Hahn, G. J. (1979). A simple method for regression analysis with censored data. "
    "Technometrics 21, 417-432."
)
def motorette() -> Columns:
    """Life of 40 motorettes on test at four temperatures; 23 had not failed when the test ended.

    The usual model is a regression of log10(hours) on 1000 / (temperature + 273.2) with censored values.

    Returns:
        A Dataset of 40 rows with temperature (Celsius), hours (to failure, or on test), censored (true where
        the motor still ran).

    Example:
        >>> from latentem import datasets
        >>> int(datasets.motorette().censored.sum())
        23
    """
    # fmt: off
    return {
        "temperature": (150,) * 10 + (170,) * 10 + (190,) * 10 + (220,) * 10,
        "hours": (
            8064, 8064, 8064, 8064, 8064, 8064, 8064, 8064, 8064, 8064, 1764, 2772, 3444, 3542, 3780, 4860,
            5196, 5448, 5448, 5448, 408, 408, 1344, 1344, 1440, 1680, 1680, 1680, 1680, 1680, 408, 408, 504,
            504, 504, 528, 528, 528, 528, 528,
        ),
        "censored": (
            True, True, True, True, True, True, True, True, True, True, False, False, False, False, False,
            False, False, True, True, True, False, False, False, False, False, True, True, True, True, True,
            False, False, False, False, False, True, True, True, True, True,
        ),
    }
    # fmt: on
