"""The packaged tables: their shapes, totals published with them, and that they load lazily."""

import subprocess
import sys

import numpy as np
import pytest

from latentem import datasets

NAMES = [name for name in datasets.__all__ if name != "Dataset"]
SHAPES = {
    "abo_blood": (4, 2),
    "airquality": (153, 6),
    "attitude": (30, 7),
    "cake": (270, 4),
    "carcinoma": (20, 8),
    "cattle_pneumonia": (56, 4),
    "cement": (13, 5),
    "diabetes": (145, 4),
    "dyestuff": (30, 2),
    "dyestuff_simulated": (30, 2),
    "earthquakes": (107, 2),
    "genetic_linkage": (4, 2),
    "hasselblad": (10, 2),
    "iris": (150, 5),
    "lsat6": (30, 6),
    "lsat7": (32, 6),
    "motorette": (40, 3),
    "mrode_calves": (5, 6),
    "murray": (12, 2),
    "nile": (100, 2),
    "old_faithful": (272, 2),
    "pastes": (60, 3),
    "penicillin": (144, 3),
    "widows": (7, 2),
}
TOTALS = {
    "abo_blood": 521,
    "carcinoma": 118,
    "genetic_linkage": 197,
    "hasselblad": 1096,
    "lsat6": 1000,
    "lsat7": 1000,
    "widows": 4075,
}


@pytest.mark.parametrize("name", NAMES)
def test_shape_and_source(name: str) -> None:
    table = getattr(datasets, name)()
    assert table.name == name
    assert (len(next(iter(table.columns.values()))), len(table.columns)) == SHAPES[name]
    assert len({len(column) for column in table.columns.values()}) == 1
    assert "(19" in table.source or "(20" in table.source
    assert table.source in getattr(datasets, name).__doc__


@pytest.mark.parametrize("name", TOTALS)
def test_frequencies_add_up(name: str) -> None:
    assert getattr(datasets, name)().frequency.sum() == TOTALS[name]


def test_means_of_old_faithful() -> None:
    # Old Faithful's column means as statistics packages print them.
    np.testing.assert_allclose(datasets.old_faithful().matrix().mean(axis=0), [3.487783, 70.897059], atol=5e-7)


def test_means_of_iris() -> None:
    # The means Fisher (1936, table 2) gives for Iris setosa.
    iris = datasets.iris()
    setosa = iris.matrix()[iris.species == "setosa"]
    np.testing.assert_allclose(setosa.mean(axis=0), [5.006, 3.428, 1.462, 0.246], atol=1e-12)


def test_missing_entries() -> None:
    airquality = datasets.airquality().matrix("ozone", "solar", "wind", "temperature")
    assert np.isnan(airquality).sum(axis=0).tolist() == [37, 7, 0, 0]
    assert np.isnan(datasets.cement().matrix()).sum(axis=0).tolist() == [4, 4, 0, 7, 0]
    assert np.isnan(datasets.murray().matrix()).sum(axis=0).tolist() == [4, 4]


def test_columns_are_attributes_and_new_at_each_call() -> None:
    nile = datasets.nile()
    nile.volume[0] = -1
    assert datasets.nile().volume[0] == 1120.0
    assert repr(nile) == "Dataset(nile: 100 rows of year, volume)"
    assert "volume" in dir(nile)
    with pytest.raises(AttributeError, match="'depth' is no column of this data set: choose one of year, volume"):
        _ = nile.depth


def test_matrix_names_what_is_wrong() -> None:
    with pytest.raises(ValueError, match="no column of numbers 'species': choose from sepal_length"):
        datasets.iris().matrix("species")
    with pytest.raises(ValueError, match="no column of real numbers"):
        datasets.widows().matrix()
    assert datasets.widows().matrix("children").dtype == np.float64


def test_unknown_data_set() -> None:
    with pytest.raises(AttributeError, match="no data set is called 'titanic': choose one of Dataset, abo_blood"):
        _ = datasets.titanic


def test_tables_load_when_asked_for() -> None:
    code = (
        "import sys; from latentem import datasets; "
        "assert not any(name.startswith('latentem.datasets.tables') for name in sys.modules); "
        "datasets.nile(); assert 'latentem.datasets.tables.iris' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
