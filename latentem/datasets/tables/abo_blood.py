"""ABO blood groups of 521 patients with duodenal ulcer."""

from latentem.datasets.dataset import Columns, published


@published(
    "Clarke, C. A., Price Evans, D. A., McConnell, R. B. and Sheppard, P. M. (1959). Secretion of "
    "blood group antigens and peptic ulcer. British Medical Journal 1, 603-607; Lange, K. (2002). "
    "Mathematical and Statistical Methods for Genetic Analysis, 2nd edition. Springer."
)
def abo_blood() -> Columns:
    """ABO blood groups of 521 patients with duodenal ulcer.

    Phenotypes are seen, genotypes are not: A is AA or AO, B is BB or BO. Gene counting is the EM.

    Returns:
        A Dataset of 4 rows with phenotype (A, B, AB, O), frequency (patients).

    Example:
        >>> from latentem import datasets
        >>> int(datasets.abo_blood().frequency.sum())
        521
    """
    # fmt: off
    return {
        "phenotype": ("A", "B", "AB", "O"),
        "frequency": (186, 38, 13, 284),
    }
    # fmt: on
