"""Simulated yields of six batches that differ less than chance alone would make them."""

from latentem.datasets.dataset import Columns, published


@published(
    "Box, G. E. P. and Tiao, G. C. (1973). Bayesian Inference in Statistical Analysis. Addison-Wesley, Table 5.1.4."
)
def dyestuff_simulated() -> Columns:
    """Simulated yields of six batches that differ less than chance alone would make them.

    The estimate of the variance between batches is exactly 0.

    Returns:
        A Dataset of 30 rows with batch (a letter), amount.

    Example:
        >>> from latentem import datasets
        >>> len(datasets.dyestuff_simulated().amount)
        30
    """
    # fmt: off
    return {
        "batch": [b for b in "ABCDEF" for _ in range(5)],
        "amount": (
            7.298, 3.846, 2.434, 9.566, 7.99, 5.22, 6.556, 0.608, 11.788, -0.892, 0.11, 10.386, 13.434, 5.51,
            8.166, 2.212, 4.852, 7.092, 9.288, 4.98, 0.282, 9.014, 4.458, 9.446, 7.198, 1.722, 4.782, 8.106,
            0.758, 3.758,
        ),
    }
    # fmt: on
