"""Damages small folders of every kind, again and again, and reads them; run by test_fuzzed_folders.py.

    python fuzzed_folders.py FOLDER N_CASES SEED [FIRST]

A line of JSON for each case goes to FOLDER/cases.jsonl before it is tried, and one after: a crash, or a case
that never ends, is the last line there.
"""

import hashlib
import json
import random
import resource
import shutil
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from torch import nn

import patience
from conftest import TINY
from damaged_folders import BINARY, KINDS, Kind, change_json, change_tensors
from solfa import checkpoint
from solfa.cli.train import _config
from solfa.config import override, save_config
from solfa.data.manifest import read_manifest, write_manifest
from solfa.data.prepare import prepare_files
from solfa.data.stored_frames import CodesDescription, StoredCodeFrames
from solfa.embedding import EmbeddingStore, default_windows, describe_space, read_store
from solfa.models import load
from solfa.recipes import recipe
from solfa.retrieval import Library, Searcher
from solfa.training import Interrupted, Placement, RunConfig, Trainer, draw_curves

SECONDS = 60  # of work that a case may take
MEMORY = 8 * 2**30  # bytes of addresses: what asks for more is an error
CODES = CodesDescription(
    n_codebooks=2, codebook_size=16, sample_rate=24_000, hop_length=960, target="run", target_id="0",
    source="audio",
)  # fmt: skip


def _music(folder: Path) -> list[Path]:
    paths = [folder / f"{number}.wav" for number in range(2)]
    folder.mkdir(parents=True)
    for number, path in enumerate(paths):
        wave = 0.1 * np.random.default_rng(number).standard_normal(48_000)
        soundfile.write(path, wave.astype(np.float32), 24_000)
    return paths


def _train(run: Path, config: RunConfig, resume: bool) -> Trainer:
    """Train for a step."""

    def stop(*_: Any) -> None:
        trainer.stop_requested = True

    place = Placement(run=run, device=torch.device("cpu"), clips_per_device=2, n_workers=0)
    trainer = Trainer(config, place, stop)
    with suppress(Interrupted):
        trainer.train(resume)
    return trainer


def kinds_of(root: Path) -> dict[str, Kind]:
    """All kinds of folders: those that weights lie in, and others."""
    paths = _music(root / "music")
    write_manifest(prepare_files(paths).tracks, root / "music" / "tracks.jsonl")
    config = override(
        recipe("muq_tiny"),
        {**TINY, "data.manifest": str(root / "music" / "tracks.jsonl"), "data.clip_seconds": 1.0,
         "data.clips_per_step": 2, "objective.predictions.0.target.kind": "mel_random_projection",
         "objective.predictions.0.target": {"kind": "mel_random_projection"}, "n_steps": 9, "log_every": 1},
    )  # fmt: skip

    def resumed(run: Path) -> nn.Module | None:
        asked = _config("muq_tiny", run, resume=True)
        draw_curves(run)
        if asked.data.clips_per_step > 64:  # as asked, and no error, but not to be waited for
            return None
        _train(run, asked, resume=True)
        return None

    def begun(run: Path) -> None:
        for _ in range(2):
            _train(run, config, resume=True)
        save_config(config, run / checkpoint.CONFIG)

    encoder = load(_tiny(root / "encoder"))
    windows = default_windows(encoder)
    space = describe_space(encoder, "tiny", layer=1, pool="mean", windows=windows)

    def embedded(folder: Path) -> None:
        with EmbeddingStore(folder, space, (1,)) as store:
            store.extend(paths, encoder)

    def opened(folder: Path) -> None:
        read_store(folder)
        with EmbeddingStore(folder, space, (1,)):
            pass

    def coded(folder: Path) -> None:
        stored = StoredCodeFrames.begin(folder, CODES)
        stored.write("track", np.arange(100).reshape(50, 2) % 16)

    def indexed(folder: Path) -> None:
        folder.mkdir(parents=True)
        with Library(folder / "library.sqlite", space) as library:
            library.update(paths, encoder)

    def searched(folder: Path) -> None:
        with Searcher(folder / "library.sqlite") as searcher:
            tracks = searcher.tracks()
            for track in tracks[:1]:
                searcher.similar(track.id, n=2)

    def codes(folder: Path) -> None:
        StoredCodeFrames(folder).rows("track", 0, 50)

    def listed(folder: Path) -> None:
        shutil.copytree(root / "music", folder)

    return KINDS | {
        "a run that goes on": Kind(begun, resumed),
        "store": Kind(embedded, opened),
        "stored codes": Kind(coded, codes),
        "library": Kind(indexed, searched),
        "manifest": Kind(listed, lambda folder: read_manifest(folder / "tracks.jsonl")),
    }


def _tiny(folder: Path) -> Path:
    KINDS["run"].make(folder)
    return folder


def damage(folder: Path, rng: random.Random) -> tuple[Path, str]:
    """Damage one file of a folder; which, and how."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.stat().st_size)
    path = rng.choice([path for path in files if path.suffix != ".wav" and "tensorboard" not in path.parts])
    ways: list[Callable[[Path, random.Random], None]] = [*BINARY]
    if path.suffix == ".json":
        ways += [change_json] * 14
    if path.suffix == ".safetensors":
        ways += [change_tensors] * 7
    way = rng.choice(ways)
    way(path, rng)
    if rng.random() < 0.5:  # as of before there were sums
        for sums in folder.rglob("SHA256SUMS"):
            sums.unlink()
    return path, way.__name__


def is_named(error: BaseException, folder: Path) -> bool:
    """Whether an error is one of ours, or of the system, and says where."""
    is_ours = type(error).__module__.startswith("solfa") or isinstance(error, OSError)
    return is_ours and folder.name in str(error)


def answer(read: Any) -> str:
    """What tells one that was read from another."""
    if not isinstance(read, nn.Module):
        return ""
    digest = hashlib.sha256()
    for name, tensor in sorted(read.state_dict().items()):
        digest.update(name.encode() + tensor.contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def attempt(kind: Kind, folder: Path, whole: str, rng: random.Random) -> dict[str, Any]:
    """Damage a folder and read it; what came of it."""
    path, way = damage(folder, rng)
    has_sums = (path.parent / "SHA256SUMS").exists()
    case = {"file": path.relative_to(folder).as_posix(), "way": way}
    try:
        now = answer(kind.read(folder))
    except Exception as error:
        said = f"{type(error).__name__}: {error}"
        return case | {
            "outcome": "refused" if is_named(error, folder) else "without a name",
            "said": said[:400],
        }
    is_weights = path.suffix == ".safetensors"
    is_wrong = is_weights and has_sums and now != whole
    return case | {"outcome": "wrong" if is_wrong else "read"}


def main() -> None:
    root, n_cases, seed = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    first = int(sys.argv[4]) if len(sys.argv) > 4 else 0
    torch.set_num_threads(1)
    kinds = kinds_of(root)
    whole = {}
    for name, kind in kinds.items():
        kind.make(root / "whole" / name)
        shutil.copytree(root / "whole" / name, root / "copy")
        whole[name] = answer(kind.read(root / "copy"))
        shutil.rmtree(root / "copy")
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    with (root / "cases.jsonl").open("w") as log:
        for number in range(first, n_cases):
            rng, name = random.Random(f"{seed} {number}"), list(kinds)[number % len(kinds)]
            folder = Path(shutil.copytree(root / "whole" / name, root / f"case{number}"))
            log.write(json.dumps({"begun": number, "kind": name}) + "\n")
            log.flush()
            patience.wait_for(SECONDS)
            found = attempt(kinds[name], folder, whole[name], rng)
            patience.wait_for(0)
            log.write(json.dumps({"done": number, "kind": name, **found}) + "\n")
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
