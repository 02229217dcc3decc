"""Files of fits: whole or not there; whatever is damaged or hostile ends in one ValueError, or says the same."""

import io
import json
import resource
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import latentem as lem
from latentem.results import archive, codec

X = np.array([0.0, 1, 1, 2, 8, 9, 9, 7, 0, 1, 10, 8])


@pytest.fixture(scope="module")
def saved(tmp_path_factory: Any) -> Path:
    fit = lem.fit(lem.Mixture(lem.families.Poisson(), 2), X, key=0, max_iterations=3, polish=False)
    return fit.save(tmp_path_factory.mktemp("fits") / "good")


def loads_or_refuses(path: Path, good: lem.Fit) -> None:
    try:
        found = lem.load(path)
    except ValueError as error:
        assert "expected a file written by Fit.save" in str(error) and "\n" not in str(error)
        return
    assert found.params["weights"].tolist() == good.params["weights"].tolist()
    assert found.log_likelihood == good.log_likelihood and found.model == good.model


def test_two_thousand_damaged_files(saved: Path, tmp_path: Path) -> None:
    good, content = lem.load(saved), saved.read_bytes()
    rng, path = np.random.default_rng(0), tmp_path / "damaged.npz"
    for _ in range(1800):
        damaged = bytearray(content)
        damaged[rng.integers(len(content))] ^= 1 << rng.integers(8)
        path.write_bytes(bytes(damaged))
        loads_or_refuses(path, good)
    for end in np.linspace(0, len(content) - 1, 200).astype(int):
        path.write_bytes(content[:end])
        with pytest.raises(ValueError, match="expected a file written by Fit.save"):
            lem.load(path)


def rewritten(saved: Path, path: Path, change: Any = None, compress: int = zipfile.ZIP_STORED, **arrays: Any) -> Path:
    """The file with another header, other arrays."""
    with np.load(saved) as found:
        parts = {name: found[name] for name in found.files}
    header = json.loads(parts["header"].tobytes())
    text = json.dumps(header) if change is None else change(header) or json.dumps(header)
    parts |= {"header": np.frombuffer(text.encode(), np.uint8), **arrays}
    with zipfile.ZipFile(path, "w", compress) as file:
        for name, array in parts.items():
            raw = io.BytesIO()
            np.lib.format.write_array(raw, np.asarray(array))
            file.writestr(f"{name}.npy", raw.getvalue())
    return path


def put(**fields: Any) -> Any:
    def change(header: dict[str, Any]) -> None:
        header.update(fields)

    return change


def declared(**fields: Any) -> Any:
    def change(header: dict[str, Any]) -> None:
        header["declaration"]["with"].update(fields)

    return change


HOSTILE: dict[str, Any] = {
    "another status": put(status="splendid"),
    "nodes of no latent": put(latent={"is": "families.Poisson", "with": {}}),
    "nodes without end": put(latent={"is": "Continuous", "with": {"dim": 1, "size": 2**40}}),
    "edges of other params": put(edges=[True]),
    "a status that is none": put(status=["converged"]),
    "text for a number": put(log_likelihood="many"),
    "a huge whole number": put(iterations=10**30),
    "notes that are no text": put(notes=[1]),
    "deep JSON": lambda header: "[" * 100_000 + "]" * 100_000,
    "a deep declaration": put(declaration=json.loads('{"tuple": [' * 60 + "1" + "]}" * 60)),
    "no JSON": lambda header: "{",
    "a list": lambda header: "[]",
    "an unknown class": put(declaration={"is": "os.system", "with": {}}),
    "a class that is no model": put(declaration={"is": "families.Poisson", "with": {}}),
    "an unknown field": declared(command="rm"),
    "many components": declared(components=10**9),
    "text for components": declared(components="two"),
    "no family": declared(family="Poisson"),
    "a number for a layout": put(layout=3),
    "errors of another shape": put(errors=[[{"array": [1.0], "shape": [1], "of": "float64"}], []]),
    "errors that are text": put(errors="none"),
    "a huge array": put(errors=[[{"array": [], "shape": [10**12], "of": "float64"}], []]),
    "no params": put(params=[]),
    "params at one place": put(params=[["weights"], ["weights"]]),
    "params that are numbers": put(params=3),
    "deep params": put(params=[["a"] * 1000, ["b"]]),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_headers_are_refused(name: str, saved: Path, tmp_path: Path) -> None:
    path = rewritten(saved, tmp_path / "hostile.npz", HOSTILE[name])
    with pytest.raises(ValueError, match="expected a file written by Fit.save") as error:
        lem.load(path)
    assert "\n" not in str(error.value) and len(str(error.value)) < 500


@pytest.mark.parametrize(
    "arrays",
    [
        {"param0": np.array(["a", "b"])},
        {"param0": np.zeros(3)},
        {"param1": np.zeros((2, 2))},
        {"param1": np.zeros(2, "M8[D]")},
        {"trace": np.array("text")},
    ],
)
def test_params_of_another_kind_are_refused(arrays: Any, saved: Path, tmp_path: Path) -> None:
    path = rewritten(saved, tmp_path / "hostile.npz", **arrays)
    with pytest.raises(ValueError, match="expected a file written by Fit.save"):
        lem.load(path)


def test_a_bomb_inflates_to_nothing(saved: Path, tmp_path: Path) -> None:
    path = tmp_path / "bomb.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        with file.open("header.npy", "w") as entry:
            for _ in range(1000):
                entry.write(bytes(1 << 20))
    assert path.stat().st_size < 2_000_000
    tracemalloc.start()
    with pytest.raises(ValueError, match="compressed entries"):
        lem.load(path)
    assert tracemalloc.get_traced_memory()[1] < 20_000_000
    tracemalloc.stop()


def test_an_array_that_claims_more_than_is_there(saved: Path, tmp_path: Path) -> None:
    path = tmp_path / "claims.npz"
    content = saved.read_bytes()
    path.write_bytes(content.replace(b"'shape': (2,)", b"'shape': (9,)"))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ValueError, match="expected a file written by Fit.save"):
        lem.load(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000


def test_files_of_the_first_format_are_read(saved: Path, tmp_path: Path) -> None:
    new = ("declaration", "layout", "code", "weighted", "fingerprint", "errors", "latent", "edges", "by_formula")

    def first(header: dict[str, Any]) -> None:
        for name in new:
            header.pop(name, None)
        header["format"] = "latentem fit 1"

    path, good = rewritten(saved, tmp_path / "old.npz", first), lem.load(saved)
    bare = lem.load(path)
    assert (
        bare.log_likelihood == good.log_likelihood
        and bare.params["weights"].tolist() == good.params["weights"].tolist()
    )
    with pytest.raises(ValueError, match="loaded without its model"):
        bare.log_prob([1.0])
    again = lem.load(path, model=lem.Mixture(lem.families.Poisson(), 2), data=X)
    np.testing.assert_array_equal(again.log_prob(), lem.load(saved, data=X).log_prob())
    with pytest.raises(ValueError, match="pass the data of the fit"):
        lem.load(path, model=lem.Mixture(lem.families.Poisson(), 2), data=X[:5])


def test_save_and_load_agree_on_names(saved: Path, tmp_path: Path) -> None:
    fit = lem.load(saved)
    assert fit.save(tmp_path / "g.zip").name == "g.zip.npz"
    assert lem.load(tmp_path / "g.zip").log_likelihood == fit.log_likelihood
    with pytest.raises(ValueError, match="is a folder: expected a name for the file"):
        fit.save(tmp_path)
    with pytest.raises(ValueError, match="is a folder"):
        lem.load(tmp_path)


def test_a_file_that_cannot_be_written_leaves_the_old_one(saved: Path, tmp_path: Path, monkeypatch: Any) -> None:
    fit = lem.load(saved)
    path = fit.save(tmp_path / "kept")
    before = path.read_bytes()

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(archive.np, "savez", full)
    with pytest.raises(OSError, match="No space left"):
        fit.save(path)
    assert path.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ["kept.npz"]


def test_a_declaration_is_data() -> None:
    prior = {"weights": lem.priors.Dirichlet(2.0), "components": {"rate": lem.priors.Gamma(2.0, 0.5)}}
    declaration = lem.Mixture(lem.families.Poisson(), 2, fixed={"rate": np.array([1.0, 7.0])}, prior=prior)
    again = codec.decode(json.loads(json.dumps(codec.encode(declaration))))
    assert again == declaration
    with pytest.raises(codec.NoData, match="lambda"):
        codec.encode(lem.Mixture(lem.families.Poisson(), 2, prior=lambda params: 0.0))  # type: ignore[arg-type]
