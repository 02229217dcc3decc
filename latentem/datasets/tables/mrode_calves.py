"""Weight gain of five calves of a small pedigree, an example of animal models."""

from latentem.datasets.dataset import Columns, published


@published(
    "Mrode, R. A. (2005). Linear Models for the Prediction of Animal Breeding Values, 2nd edition. CABI, "
    "examples 3.1 and 11.6."
)
def mrode_calves() -> Columns:
    """Weight gain of five calves of a small pedigree, an example of animal models.

    Returns:
        A Dataset of 5 rows with calf, sire, dam (0: not known), sex, gain (kg, before weaning, of example 3.1) and
        gain_11 (of the example of estimation).

    Example:
        >>> from latentem import datasets
        >>> datasets.mrode_calves().gain.tolist()
        [4.5, 2.9, 3.9, 3.5, 5.0]
    """
    return {
        "calf": (4, 5, 6, 7, 8),
        "sire": (1, 3, 1, 4, 3),
        "dam": (0, 2, 2, 5, 6),
        "sex": ("male", "female", "female", "male", "male"),
        "gain": (4.5, 2.9, 3.9, 3.5, 5.0),
        "gain_11": (2.6, 0.1, 1.0, 3.0, 1.0),
    }
