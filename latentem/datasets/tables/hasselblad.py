"""Deaths of women over 80 announced in The Times of London, 1910-1912."""

from latentem.datasets.dataset import Columns, published


@published(
    "Hasselblad, V. (1969). Estimation of finite mixtures of distributions from the exponential "
    "family. Journal of the American Statistical Association 64, 1459-1471."
)
def hasselblad() -> Columns:
    """Deaths of women over 80 announced in The Times of London, 1910-1912.

    Each row says on how many days (frequency) the newspaper announced that many deaths. A mixture of two
    Poisson distributions, summer and winter, is the usual model.

    Returns:
        A Dataset of 10 rows with deaths (a count), frequency (days with that count).

    Example:
        >>> from latentem import datasets
        >>> int(datasets.hasselblad().frequency.sum())
        1096
    """
    # fmt: off
    return {
        "deaths": (0, 1, 2, 3, 4, 5, 6, 7, 8, 9),
        "frequency": (162, 267, 271, 185, 111, 61, 27, 8, 3, 1),
    }
    # fmt: on
