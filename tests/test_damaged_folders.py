"""What is damaged is refused by name, whichever folder it is in and whoever reads it."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from damaged_folders import KINDS
from solfa import checkpoint, runs
from solfa.checkpoint import CheckpointError

CONFIGS = {
    "null": b"null",
    "a list": b"[]",
    "cut": b'{"objective": {"kind"',
    "deep": b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "a long number": b'{"a": ' + b"9" * 5_000 + b"}",
    "Latin-1": b'{"a": "\xe9"}',
    "nothing": b"",
    "another": b"{}",
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of each kind."""
    root = tmp_path_factory.mktemp("folders")
    for name, kind in KINDS.items():
        kind.make(root / name)
    return root


def copied(made: Path, kind: str, to: Path) -> Path:
    return Path(shutil.copytree(made / kind, to / "folder"))


def refusal(kind: str, folder: Path) -> str:
    """What is said of a folder that cannot be read; the error is one that names it."""
    with pytest.raises(ValueError) as caught:
        KINDS[kind].read(folder)
    assert type(caught.value) is not ValueError
    assert str(folder) in str(caught.value)
    return str(caught.value)


def change_values(folder: Path, key: str, value: Any) -> None:
    """Set a dotted key of a config.json."""
    values = json.loads((folder / "config.json").read_text())
    node = values
    *parents, last = key.split(".")
    for part in parents:
        node = node[int(part) if isinstance(node, list) else part]
    node[int(last) if isinstance(node, list) else last] = value
    (folder / "config.json").write_text(json.dumps(values))


@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_that_is_whole_is_read(kind: str, made: Path) -> None:
    KINDS[kind].read(made / kind)


@pytest.mark.parametrize(
    "kind", ["run", "bundle", "official MuQ", "quantizer", "target", "codec", "clusters"]
)
@pytest.mark.parametrize("content", CONFIGS)
def test_a_config_that_is_none_is_refused_by_name(
    kind: str, content: str, made: Path, tmp_path: Path
) -> None:
    folder = copied(made, kind, tmp_path)
    (folder / "config.json").write_bytes(CONFIGS[content])
    said = refusal(kind, folder)
    assert content == "another" or "config.json" in said


@pytest.mark.parametrize("kind", KINDS)
def test_cut_weights_are_refused_by_name(kind: str, made: Path, tmp_path: Path) -> None:
    folder = copied(made, kind, tmp_path)
    path = runs.weights_file(folder)
    path.write_bytes(path.read_bytes()[:-100])
    assert "damaged" in refusal(kind, folder)


@pytest.mark.parametrize("kind", KINDS)
def test_weights_without_a_sum_are_looked_through_for_what_is_no_number(
    kind: str, made: Path, tmp_path: Path
) -> None:
    folder = copied(made, kind, tmp_path)
    path = runs.weights_file(folder)
    weights = load_file(path)
    name = next(name for name, tensor in sorted(weights.items()) if tensor.is_floating_point())
    weights[name].flatten()[-1] = torch.nan
    save_file(weights, path)
    (path.parent / "SHA256SUMS").unlink(missing_ok=True)
    values = json.loads((folder / "config.json").read_text())
    values.pop("weights_sha256", None)
    (folder / "config.json").write_text(json.dumps(values))
    assert f"hold NaN or infinity: {name}" in refusal(kind, folder)


@pytest.mark.parametrize("kind", ["run", "run with a best step", "quantizer", "target", "codec"])
def test_one_flipped_bit_is_found_and_another_checkpoint_named(kind: str, made: Path, tmp_path: Path) -> None:
    folder = copied(made, kind, tmp_path)
    path = runs.weights_file(folder)
    content = bytearray(path.read_bytes())
    content[-9] ^= 1
    path.write_bytes(content)
    said = refusal(kind, folder)
    assert "SHA-256" in said
    is_fitted = kind in ("quantizer", "target", "codec")  # with two checkpoints
    assert ("before it is whole" in said) == is_fitted
    assert ("newest checkpoint" in said) == (path.name == "best.safetensors")


@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_of_before_there_were_sums_is_read(kind: str, made: Path, tmp_path: Path) -> None:
    folder = copied(made, kind, tmp_path)
    for path in folder.rglob("SHA256SUMS"):
        path.unlink()
    KINDS[kind].read(folder)


SIZES = {
    "run": ("objective.encoder.conformer", "n_layers", "dim"),
    "bundle": ("model.conformer", "n_layers", "feed_forward_dim"),
    "official MuQ": ("", "encoder_depth", "encoder_dim"),
    "official MERT": ("", "num_hidden_layers", "hidden_size"),
    "quantizer": ("objective.target.quantizer", "n_projection_layers", "codebook_size"),
    "target": ("objective.target.quantizer", "n_projection_layers", "codebook_dim"),
    "codec": ("objective.codec.quantizer", "dim", "codebook_size"),
}


@pytest.mark.parametrize("kind", SIZES)
@pytest.mark.parametrize("size", [10**9, 60_000, 999])  # beyond all bounds; of these weights
def test_sizes_that_the_weights_do_not_bear_out_are_refused_before_anything_is_made(
    kind: str, size: int, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.nn.Module, "__init__", lambda *_: pytest.fail("something is made"))
    group, *names = SIZES[kind]
    if kind == "official MuQ" and size == 999:
        pytest.skip("these weights have an axis of 1,024")
    for number, name in enumerate(names):
        folder = copied(made, kind, tmp_path / str(number))
        change_values(folder, f"{group}.{name}" if group else name, size)
        said = refusal(kind, folder)
        assert str(size) in said
        assert group == "" or name in said


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("objective", value) for value in (None, [], 3, "encoder", {"encoder": None}, {"encoder": 3})),
        *(("objective.encoder", value) for value in ({}, {"kind": "none"}, [1], {"kind": ["muq"]})),
        *(("objective.encoder.conformer", value) for value in (None, {"n_layers": "two"}, {"dims": 3})),
        *(("objective.encoder.conformer.n_heads", value) for value in (0, 3, 1.5, "two", 10**400)),
    ],
)
def test_a_run_whose_config_says_nonsense_is_refused_by_name(
    key: str, value: Any, made: Path, tmp_path: Path
) -> None:
    folder = copied(made, "run", tmp_path)
    change_values(folder, key, value)
    refusal("run", folder)


def test_a_language_model_of_another_size_than_the_weights_is_refused(made: Path, tmp_path: Path) -> None:
    kind = "bundle of music and text"
    for number, name in enumerate(("num_hidden_layers", "vocab_size", "intermediate_size")):
        folder = copied(made, kind, tmp_path / str(number))
        change_values(folder / "text", name, 10**9)
        assert f"{name} is 1000000000" in refusal(kind, folder)


@pytest.mark.parametrize("name", ["tokenizer.json", "config.json"])
@pytest.mark.parametrize("content", [b"", b"{", b'{"hidden_size": NaN}', b'{"num_hidden_layers": -1}'])
def test_a_language_model_of_nothing_is_refused_by_name(
    name: str, content: bytes, made: Path, tmp_path: Path
) -> None:
    kind = "bundle of music and text"
    folder = copied(made, kind, tmp_path)
    (folder / "text" / name).write_bytes(content)
    refusal(kind, folder)


def _fewer_counts(weights: dict[str, torch.Tensor]) -> None:
    weights["targets.0.counts"] = torch.ones(3)


def test_clusters_of_another_shape_or_none_are_refused_by_name(made: Path, tmp_path: Path) -> None:
    for number, change in enumerate((lambda w: w.pop("targets.0.counts"), _fewer_counts)):
        folder = copied(made, "clusters", tmp_path / str(number))
        path = runs.weights_file(folder)
        weights = load_file(path)
        change(weights)
        save_file(weights, path)
        (path.parent / "SHA256SUMS").unlink()
        refusal("clusters", folder)


def test_a_run_without_a_config_is_refused_by_name(made: Path, tmp_path: Path) -> None:
    folder = copied(made, "run", tmp_path)
    (folder / "config.json").unlink()
    assert "There is no config.json" in refusal("run", folder)


def test_solfa_models_lists_what_is_damaged_and_all_else(made: Path, tmp_path: Path) -> None:
    from solfa.cli.models import _runs

    shutil.copytree(made / "run", tmp_path / "whole")
    for name, content in CONFIGS.items():
        (shutil.copytree(made / "run", tmp_path / name) / "config.json").write_bytes(content)
    change_values(Path(shutil.copytree(made / "run", tmp_path / "odd")), "objective", [1])
    rows = {Path(name).name: what for name, what, *_ in _runs(tmp_path)}
    assert rows.keys() == {"whole", "odd", *CONFIGS}
    assert "muq" in rows["whole"]
    assert "cannot be loaded" in rows["null"]


def test_shapes_are_read_without_the_tensors(made: Path) -> None:
    path = runs.weights_file(made / "run")
    assert checkpoint.read_shapes(path) == {name: tuple(t.shape) for name, t in load_file(path).items()}
    with pytest.raises(CheckpointError, match="damaged"):
        checkpoint.read_shapes(made / "run" / "config.json")
