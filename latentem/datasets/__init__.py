"""Small published tables, typed in with their citation; each loads when it is first asked for.

What flows in: nothing.
What flows out: a `Dataset`: columns, and where they were printed.

`tomography` computes a phantom and a projector.

To add one: a file in `tables/`, named after it, from a publication, with its line in `__all__` and under
`TYPE_CHECKING`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from latentem.datasets.dataset import Dataset

if TYPE_CHECKING:
    from latentem.datasets.tables.abo_blood import abo_blood
    from latentem.datasets.tables.airquality import airquality
    from latentem.datasets.tables.attitude import attitude
    from latentem.datasets.tables.cake import cake
    from latentem.datasets.tables.carcinoma import carcinoma
    from latentem.datasets.tables.cattle_pneumonia import cattle_pneumonia
    from latentem.datasets.tables.cement import cement
    from latentem.datasets.tables.diabetes import diabetes
    from latentem.datasets.tables.dyestuff import dyestuff
    from latentem.datasets.tables.dyestuff_simulated import dyestuff_simulated
    from latentem.datasets.tables.earthquakes import earthquakes
    from latentem.datasets.tables.genetic_linkage import genetic_linkage
    from latentem.datasets.tables.hasselblad import hasselblad
    from latentem.datasets.tables.iris import iris
    from latentem.datasets.tables.lsat6 import lsat6
    from latentem.datasets.tables.lsat7 import lsat7
    from latentem.datasets.tables.motorette import motorette
    from latentem.datasets.tables.mrode_calves import mrode_calves
    from latentem.datasets.tables.murray import murray
    from latentem.datasets.tables.nile import nile
    from latentem.datasets.tables.old_faithful import old_faithful
    from latentem.datasets.tables.pastes import pastes
    from latentem.datasets.tables.penicillin import penicillin
    from latentem.datasets.tables.widows import widows

__all__ = [
    "Dataset",
    "abo_blood",
    "airquality",
    "attitude",
    "cake",
    "carcinoma",
    "cattle_pneumonia",
    "cement",
    "diabetes",
    "dyestuff",
    "dyestuff_simulated",
    "earthquakes",
    "genetic_linkage",
    "hasselblad",
    "iris",
    "lsat6",
    "lsat7",
    "motorette",
    "mrode_calves",
    "murray",
    "nile",
    "old_faithful",
    "pastes",
    "penicillin",
    "widows",
]


#: Modules of data that are computed, rather than published.
COMPUTED = ("tomography",)


def __getattr__(name: str) -> Any:
    if name in COMPUTED:
        return import_module(f"{__name__}.{name}")
    if name not in __all__:
        raise AttributeError(f"no data set is called {name!r}: choose one of {', '.join(__all__)}")
    return getattr(import_module(f"{__name__}.tables.{name}"), name)


def __dir__() -> list[str]:
    return sorted((*__all__, *COMPUTED))
