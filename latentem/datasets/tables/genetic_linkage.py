"""Phenotypes of 197 animals in a linkage study: the first example of the EM paper."""

from latentem.datasets.dataset import Columns, published


@published(
    "Rao, C. R. (1965). Linear Statistical Inference and its Applications. Wiley, pages 368-369; "
    "Dempster, A. P., Laird, N. M. and Rubin, D. B. (1977). Maximum likelihood from incomplete data "
    "via the EM algorithm. Journal of the Royal Statistical Society B 39, 1-38."
)
def genetic_linkage() -> Columns:
    """Phenotypes of 197 animals in a linkage study: the first example of the EM paper.

    The four cells have the probabilities (2 + t) / 4, (1 - t) / 4, (1 - t) / 4 and t / 4; the EM splits
    the first cell in two.

    Returns:
        A Dataset of 4 rows with cell (0 to 3), frequency (animals).

    Example:
        >>> from latentem import datasets
        >>> datasets.genetic_linkage().frequency.tolist()
        [125, 18, 20, 34]
    """
    # fmt: off
    return {
        "cell": (0, 1, 2, 3),
        "frequency": (125, 18, 20, 34),
    }
    # fmt: on
