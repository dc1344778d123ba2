"""Small folders of every kind that weights lie in, how they are read, and ways in which files are damaged."""

import json
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

import solfa
from conftest import save_tiny_run
from golden_data import GOLDEN, MERT, MUQ
from solfa import checkpoint, runs
from solfa.config import override, save_config
from solfa.models import load_encoder
from solfa.objectives import build_objective
from solfa.recipes import recipe
from solfa.targets import KMeansCodes, load_codec, load_quantizer
from solfa.targets.labelling import load_target
from solfa.training import RunConfig

QUANTIZER = "objective.target.quantizer"
SMALL_QUANTIZER = {f"{QUANTIZER}.n_codebooks": 2, f"{QUANTIZER}.codebook_size": 16}


@dataclass(frozen=True)
class Kind:
    """A kind of folder."""

    make: Callable[[Path], Any]
    read: Callable[[Path], Any]


def saved(config: RunConfig, folder: Path, n_steps: int = 2) -> None:
    """A run folder with random weights, and some checkpoints that are whole."""
    torch.manual_seed(0)
    weights = build_objective(config.objective).state_dict()
    for step in range(1, n_steps + 1):
        checkpoint.save(folder, step, weights, {"step": step})
    save_config(config, folder / checkpoint.CONFIG)


def _clusters(folder: Path) -> None:
    targets = recipe("kmeans_75hz").objective.targets  # type: ignore[union-attr]
    config = override(recipe("kmeans_75hz"), {"objective.targets": [{"n_clusters": 8}]})
    assert len(targets) > 1  # one is left
    weights = {"targets.0.centres": torch.randn(8, 229), "targets.0.counts": torch.ones(8)}
    checkpoint.save(folder, 1, weights, {})
    save_config(config, folder / checkpoint.CONFIG)


def _started(folder: Path) -> KMeansCodes:
    clusters = {"n_clusters": 8, "fitted": str(folder)}
    config = override(recipe("kmeans_75hz"), {"objective.targets": [clusters]})
    target = KMeansCodes(config.objective.targets[0])  # type: ignore[union-attr]
    target.load_fitted()
    return target


def _best(folder: Path) -> None:
    save_tiny_run(folder)
    checkpoint.save_best(folder, 1, load_file(runs.weights_file(folder)))


KINDS = {
    "run": Kind(save_tiny_run, solfa.load),
    "run with a best step": Kind(_best, solfa.load),
    "bundle": Kind(lambda folder: solfa.load(GOLDEN / MUQ[0]).save_pretrained(folder), solfa.load),
    "bundle of music and text": Kind(
        lambda folder: solfa.load(GOLDEN / "muq_mulan").save_pretrained(folder), load_encoder
    ),
    "official MuQ": Kind(lambda folder: shutil.copytree(GOLDEN / MUQ[0], folder), solfa.load),
    "official MERT": Kind(lambda folder: shutil.copytree(GOLDEN / MERT[0], folder), solfa.load),
    "quantizer": Kind(lambda f: saved(override(recipe("mel_rvq"), SMALL_QUANTIZER), f), load_quantizer),
    "target": Kind(lambda f: saved(override(recipe("mel_rvq"), SMALL_QUANTIZER), f), load_target),
    "codec": Kind(lambda folder: saved(recipe("rvq_vae_tiny"), folder), load_codec),
    "clusters": Kind(_clusters, _started),
}


# --- damage -------------------------------------------------------------------------------------------------


def empty(path: Path, rng: random.Random) -> None:
    """Nothing is left."""
    path.write_bytes(b"")


def cut(path: Path, rng: random.Random) -> None:
    """The end is lost."""
    path.write_bytes(path.read_bytes()[: rng.randrange(path.stat().st_size)])


def flip(path: Path, rng: random.Random) -> None:
    """A few bits are others."""
    content = bytearray(path.read_bytes())
    for _ in range(rng.choice([1, 8, 100])):
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)


def zeros(path: Path, rng: random.Random) -> None:
    """A block was never written."""
    content = bytearray(path.read_bytes())
    start = rng.randrange(len(content))
    content[start : start + 512] = bytes(len(content[start : start + 512]))
    path.write_bytes(content)


def longer(path: Path, rng: random.Random) -> None:
    """Something was added."""
    path.write_bytes(path.read_bytes() + rng.randbytes(rng.choice([1, 1000])))


def noise(path: Path, rng: random.Random) -> None:
    """It is another file altogether."""
    path.write_bytes(rng.randbytes(rng.choice([10, 5_000])))


def gone(path: Path, rng: random.Random) -> None:
    """It is not there."""
    path.unlink()


BINARY = (empty, cut, flip, zeros, longer, noise, gone)
VALUES: tuple[Any, ...] = (
    *(None, True, "", "abc", "9" * 400, [], {}, [[]], 0, -1, 1.5, 3, 64, 999, 10**6, 10**9, 10**18, 10**400),
    *(-(10**9), float("nan"), float("inf"), {"kind": "muq"}, ["a"] * 50, "../../../etc/passwd"),
)
WHOLE = (b"null", b"[]", b"3", b'"text"', b"{}", b'{"objective": null}', b'{"model": 1, "known_answer": 2}')
ODD = (
    b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    b'{"a": ' + b"9" * 5_000 + b"}",
    '{"a": "\\u00e9"}'.encode("latin-1") + b"\xe9",
    '{"a": 1}'.encode("utf-16"),
)


def change_json(path: Path, rng: random.Random) -> None:
    """A value, a key or a whole group of a JSON file is another."""
    if rng.random() < 0.15:
        path.write_bytes(rng.choice(WHOLE + ODD))
        return
    values = json.loads(path.read_text())
    for _ in range(rng.choice([1, 1, 3])):
        change(values, rng)
    path.write_text(json.dumps(values))


def change(values: Any, rng: random.Random) -> None:
    """Change something in JSON values."""
    node, key = rng.choice(_places(values))
    old = node[key]
    match rng.randrange(5):
        case 0 if isinstance(node, dict):
            node[f"{key}x"] = node.pop(key)
        case 1:
            del node[key]
        case 2 if isinstance(old, int) and not isinstance(old, bool):
            node[key] = old + rng.choice([-1, 1, 100])
        case _:
            node[key] = rng.choice(VALUES)


def _places(values: Any) -> list[tuple[Any, Any]]:
    """Every place in JSON values: the group, and the key in it."""
    if not isinstance(values, dict | list):
        return []
    keys = list(values) if isinstance(values, dict) else range(len(values))
    found: list[tuple[Any, Any]] = [(values, key) for key in keys]
    return found + [place for key in keys for place in _places(values[key])] or [({"a": 1}, "a")]


def change_tensors(path: Path, rng: random.Random) -> None:
    """A tensor is lost, renamed, of another shape or type, or holds what is no number."""
    tensors = load_file(path)
    name = rng.choice(sorted(tensors))
    tensor = tensors.pop(name)
    match rng.randrange(6):
        case 0:
            tensors[f"{name}.x"] = tensor
        case 1:
            tensors[name] = tensor.flatten()[:-1].clone()
        case 2:
            tensors[name] = tensor.to(rng.choice([torch.float16, torch.float64, torch.int64, torch.bool]))
        case 3:
            tensors[name] = torch.full_like(tensor.float(), rng.choice([float("nan"), float("inf")]))
        case 4:
            tensors[name] = torch.zeros(())
    save_file(tensors, path)
