"""Seven pathologists judge 118 slides: carcinoma of the uterine cervix or not."""

from latentem.datasets.dataset import Columns, patterns, published


@published(
    "Agresti, A. (2002). Categorical Data Analysis, 2nd edition. Wiley, table 13.1; Landis, J. R. and "
    "Koch, G. G. (1977). An application of hierarchical kappa-type statistics in the assessment of "
    "majority agreement among multiple observers. Biometrics 33, 363-374."
)
def carcinoma() -> Columns:
    """Seven pathologists judge 118 slides: carcinoma of the uterine cervix or not.

    Patterns of answers with their counts. Landis and Koch give the judgements on five grades; Agresti
    joins them to two and analyses them by latent classes.

    Returns:
        A Dataset of 20 rows with A, B, C, D, E, F, G (1 where that pathologist saw carcinoma, else 0),
        frequency (slides with that pattern).

    Example:
        >>> from latentem import datasets
        >>> int(datasets.carcinoma().frequency.sum())
        118
    """
    # fmt: off
    return patterns(["A", "B", "C", "D", "E", "F", "G"], {
        "0000000": 34, "0000100": 2, "0100000": 6, "0100001": 1, "0100100": 4, "0100101": 5, "1000000": 2,
        "1010101": 1, "1100000": 2, "1100001": 1, "1100100": 2, "1100101": 7, "1100111": 1, "1101001": 1,
        "1101101": 2, "1101111": 3, "1110101": 13, "1110111": 5, "1111101": 10, "1111111": 16,
    })
    # fmt: on
