"""Answers of 1,000 people to five questions of the Law School Admission Test, section 7."""

from latentem.datasets.dataset import Columns, patterns, published


@published(
    "Bock, R. D. and Lieberman, M. (1970). Fitting a response model for n dichotomously scored items. "
    "Psychometrika 35, 179-197; Bock, R. D. and Aitkin, M. (1981). Marginal maximum likelihood "
    "estimation of item parameters: application of an EM algorithm. Psychometrika 46, 443-459."
)
def lsat7() -> Columns:
    """Answers of 1,000 people to five questions of the Law School Admission Test, section 7.

    Patterns of answers with their counts.

    Returns:
        A Dataset of 32 rows with item_1 to item_5 (1 for a right answer, else 0), frequency (people).

    Example:
        >>> from latentem import datasets
        >>> int(datasets.lsat7().frequency.sum())
        1000
    """
    # fmt: off
    return patterns(["item_1", "item_2", "item_3", "item_4", "item_5"], {
        "00000": 12, "00001": 19, "00010": 1, "00011": 7, "00100": 3, "00101": 19, "00110": 3, "00111": 17,
        "01000": 10, "01001": 5, "01010": 3, "01011": 7, "01100": 7, "01101": 23, "01110": 8, "01111": 28,
        "10000": 7, "10001": 39, "10010": 11, "10011": 34, "10100": 14, "10101": 51, "10110": 15,
        "10111": 90, "11000": 6, "11001": 25, "11010": 7, "11011": 35, "11100": 18, "11101": 136,
        "11110": 32, "11111": 308,
    })
    # fmt: on
