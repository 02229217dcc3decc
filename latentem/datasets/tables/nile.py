"""Annual flow of the Nile at Aswan, 1871-1970."""

from latentem.datasets.dataset import Columns, published


@published(
    "Cobb, G. W. (1978). The problem of the Nile: conditional solution to a changepoint problem. "
    "Biometrika 65, 243-251; Durbin, J. and Koopman, S. J. (2001). Time Series Analysis by State "
    "Space Methods. Oxford University Press."
)
def nile() -> Columns:
    """Annual flow of the Nile at Aswan, 1871-1970.

    The level falls about 1898, when the first dam at Aswan was built.

    Returns:
        A Dataset of 100 rows with year, volume (1e8 cubic metres).

    Example:
        >>> from latentem import datasets
        >>> len(datasets.nile().volume)
        100
    """
    # fmt: off
    return {
        "year": range(1871, 1971),
        "volume": (
            1120.0, 1160.0, 963.0, 1210.0, 1160.0, 1160.0, 813.0, 1230.0, 1370.0, 1140.0, 995.0, 935.0,
            1110.0, 994.0, 1020.0, 960.0, 1180.0, 799.0, 958.0, 1140.0, 1100.0, 1210.0, 1150.0, 1250.0,
            1260.0, 1220.0, 1030.0, 1100.0, 774.0, 840.0, 874.0, 694.0, 940.0, 833.0, 701.0, 916.0, 692.0,
            1020.0, 1050.0, 969.0, 831.0, 726.0, 456.0, 824.0, 702.0, 1120.0, 1100.0, 832.0, 764.0, 821.0,
            768.0, 845.0, 864.0, 862.0, 698.0, 845.0, 744.0, 796.0, 1040.0, 759.0, 781.0, 865.0, 845.0,
            944.0, 984.0, 897.0, 822.0, 1010.0, 771.0, 676.0, 649.0, 846.0, 812.0, 742.0, 801.0, 1040.0,
            860.0, 874.0, 848.0, 890.0, 744.0, 749.0, 838.0, 1050.0, 918.0, 986.0, 797.0, 923.0, 975.0,
            815.0, 1020.0, 906.0, 901.0, 1170.0, 912.0, 746.0, 919.0, 718.0, 714.0, 740.0,
        ),
    }
    # fmt: on
