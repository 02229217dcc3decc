"""`lem.Field` declared by hand: equal to Mixed, to a dense twin, and to itself by other routes."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.scipy.stats import norm

import latentem as lem
from latentem.forms.field.records import FieldPoint

DRUG = lem.datasets.penicillin()
DATA = {"y": DRUG.diameter.astype(float), "plate": DRUG.plate, "sample": DRUG.sample}
CALVES = lem.datasets.mrode_calves()
PEDIGREE = lem.pedigree(CALVES.calf, CALVES.sire, CALVES.dam)


def by_ml(params: Any, x: Any, z: Any) -> Any:
    mean = params["mean"] + params["plate"] * z["plate"] + params["sample"] * z["sample"]
    return norm.logpdf(x["y"], mean, params["sigma"])


def by_reml(params: Any, x: Any, z: Any) -> Any:
    mean = z["mean"] + params["plate"] * z["plate"] + params["sample"] * z["sample"]
    return norm.logpdf(x["y"], mean, params["sigma"])


CROSSED = {"plate": lem.exchangeable(), "sample": lem.exchangeable()}
SPACE = {"plate": lem.real(), "sample": lem.real(), "sigma": lem.positive()}
ML = lem.Model(by_ml, lem.Field(CROSSED), {"mean": lem.real(), **SPACE})
REML = lem.Model(by_reml, lem.Field({**CROSSED, "mean": lem.flat()}), SPACE)
FORMULA = "diameter ~ 1 + (1 | plate) + (1 | sample)"


@pytest.fixture(scope="module")
def restricted() -> Any:
    return lem.fit(REML, DATA)


def test_a_field_by_hand_is_the_mixed_model_by_maximum_likelihood() -> None:
    hand, mixed = lem.fit(ML, DATA), lem.fit(lem.Mixed(FORMULA, reml=False), DRUG)
    assert hand.status is lem.Status.converged
    assert hand.log_likelihood == pytest.approx(mixed.log_likelihood, abs=1e-10)
    np.testing.assert_allclose(abs(hand.params["plate"]), mixed.params["effects"]["plate"][0, 0], rtol=1e-7)


def test_a_flat_field_makes_it_restricted(restricted: Any) -> None:
    mixed: Any = lem.fit(lem.Mixed(FORMULA), DRUG)
    assert restricted.log_likelihood == pytest.approx(mixed.log_likelihood, abs=1e-10)
    own, their = restricted.standard_errors(), mixed.standard_errors()
    table = restricted.table()
    assert table["name"].tolist() == ["plate", "sample", "sigma"]
    np.testing.assert_array_equal(table["standard_error"], list(own.values()))
    assert 0 < table["lower"][2] < restricted.params["sigma"] < table["upper"][2]
    np.testing.assert_allclose(own["sigma"], their["residual"], rtol=1e-4)
    np.testing.assert_allclose(own["sample"], their["effects"]["sample"][0, 0], rtol=1e-4)
    table, predicted = restricted.field("sample"), mixed.random_effects("sample")
    assert table["level"].tolist() == predicted["level"].tolist()
    np.testing.assert_allclose(restricted.params["sample"] * table["mean"], predicted["Intercept"], rtol=1e-6)
    np.testing.assert_allclose(abs(restricted.params["sample"]) * table["sd"], predicted["Intercept_se"], rtol=1e-6)


def test_it_is_saved_and_loaded(restricted: Any, tmp_path: Path) -> None:
    again: Any = lem.load(restricted.save(tmp_path / "fit"), REML, DATA)
    assert again.log_likelihood == restricted.log_likelihood
    np.testing.assert_allclose(again.field("plate")["mean"], restricted.field("plate")["mean"], atol=1e-9)
    bare: Any = lem.load(tmp_path / "fit.npz")
    with pytest.raises(AttributeError):
        bare.field("plate")


def of_calves(params: Any, x: Any, z: Any) -> Any:
    return norm.logpdf(x["y"], params["mean"] + params["animal"] * z["animal"], params["sigma"])


ANIMALS = lem.Model(
    of_calves,
    lem.Field({"animal": PEDIGREE}),
    {"mean": lem.real(), "animal": lem.real(), "sigma": lem.positive()},
)
RECORDS = {"y": CALVES.gain, "animal": CALVES.calf}


def counts(params: Any, x: Any, z: Any) -> Any:
    eta = params["mean"] + jnp.dot(params["root"], z["group"])
    return x["y"] * eta - jnp.exp(eta)


POISSON = lem.Model(
    counts, lem.Field({"group": lem.exchangeable()}, {"group": 2}), {"mean": lem.real(), "root": lem.real(2)}
)
COUNTS = {"y": np.random.default_rng(0).poisson(2, 40).astype(float), "group": np.arange(40) % 8}


@pytest.mark.parametrize(("model", "data"), [(ANIMALS, RECORDS), (REML, DATA), (POISSON, COUNTS)])
def test_check_holds_it_against_its_dense_twin(model: lem.Model, data: Any) -> None:
    report = lem.check(model, data, jax.random.key(0))
    assert report.passed, str(report)
    assert "dense twin" in [part.name for part in report.parts]


def test_check_notices_a_wrong_factor_and_a_wrong_score(monkeypatch: pytest.MonkeyPatch) -> None:
    right = FieldPoint.evidence.func  # pyright: ignore[reportAttributeAccessIssue]
    monkeypatch.setattr(FieldPoint, "evidence", property(lambda self: right(self) + 0.1 * float(self.u[0])))
    report = lem.check(ANIMALS, RECORDS, jax.random.key(0))
    assert {"dense twin", "score"} <= set(report.failed)


def test_bad_input() -> None:
    for data, told in (
        ({"y": np.ones(3)}, "field 'plate' has no column"),
        ({"y": np.ones(3), "plate": np.ones(2)}, "expected one length"),
        (np.ones(3), "expected a table or a dict"),
    ):
        with pytest.raises((ValueError, TypeError), match=told):
            lem.fit(ML, data)
    with pytest.raises(ValueError, match="starts: a model with a Field knows"):
        lem.fit(ML, DATA, starts=2)
    with pytest.raises(ValueError, match=r"'4'|not in the pedigree"):
        lem.fit(ANIMALS, {"y": np.ones(2), "animal": np.array([4, 99])})
    with pytest.raises(TypeError, match="failed for one record"):
        lem.fit(lem.Model(lambda p, x, z: x["none"] * z["plate"], lem.Field(CROSSED), {"a": lem.real()}), DATA)
    with pytest.raises(ValueError, match="expected a scalar"):
        lem.fit(lem.Model(lambda p, x, z: x["y"] * jnp.ones(2), lem.Field(CROSSED), {"a": lem.real()}), DATA)
    for arguments, told in (
        (({},), "at least one field"),
        ((CROSSED, {"none": 2}), "no field"),
        ((CROSSED, {"plate": 0}), "at least 1"),
    ):
        with pytest.raises(ValueError, match=told):
            lem.Field(*arguments)
    with pytest.raises(TypeError, match="expected lem.exchangeable"):
        lem.Field({"plate": 3})  # pyright: ignore[reportArgumentType]
