"""Answers of 1,000 people to five questions of the Law School Admission Test, section 6."""

from latentem.datasets.dataset import Columns, patterns, published


@published(
    "Bock, R. D. and Lieberman, M. (1970). Fitting a response model for n dichotomously scored items. "
    "Psychometrika 35, 179-197; Bock, R. D. and Aitkin, M. (1981). Marginal maximum likelihood "
    "estimation of item parameters: application of an EM algorithm. Psychometrika 46, 443-459."
)
def lsat6() -> Columns:
    """Answers of 1,000 people to five questions of the Law School Admission Test, section 6.

    Patterns of answers with their counts; the two patterns that nobody gave are left out.

    Returns:
        A Dataset of 30 rows with item_1 to item_5 (1 for a right answer, else 0), frequency (people).

    Example:
        >>> from latentem import datasets
        >>> int(datasets.lsat6().frequency.sum())
        1000
    """
    # fmt: off
    return patterns(["item_1", "item_2", "item_3", "item_4", "item_5"], {
        "00000": 3, "00001": 6, "00010": 2, "00011": 11, "00100": 1, "00101": 1, "00110": 3, "00111": 4,
        "01000": 1, "01001": 8, "01011": 16, "01101": 3, "01110": 2, "01111": 15, "10000": 10, "10001": 29,
        "10010": 14, "10011": 81, "10100": 3, "10101": 28, "10110": 15, "10111": 80, "11000": 16,
        "11001": 56, "11010": 21, "11011": 173, "11100": 11, "11101": 61, "11110": 28, "11111": 298,
    })
    # fmt: on
