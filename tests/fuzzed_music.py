"""Damages audio of every format, again and again, and takes it the whole way; run by test_fuzzed_music.py.

    python fuzzed_music.py FOLDER N_FILES SEED [FIRST]

A file goes through what 'solfa data prepare', 'solfa embed' and 'solfa index' do. A line of JSON for each
goes to FOLDER/cases.jsonl before it is tried, and one after: a crash, or a case that never ends, is last.
"""

import json
import random
import resource
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

import patience
import zoo
from conftest import save_tiny_run
from data.test_fuzzed_audio import WAYS, webm
from solfa.data.prepare import prepare_files
from solfa.data.refused import Refused
from solfa.embedding import EmbeddingStore, default_windows, describe_space, read_store
from solfa.models import AudioEncoder, load
from solfa.retrieval import Library

SECONDS = 30  # of work that a file may take
MEMORY = 8 * 2**30  # bytes of addresses: what asks for more is an error
GROWTH = 2**30  # bytes that the process may come to hold besides those of a good file
KINDS = ("wav", "flac", "ogg", "opus", "mp3", "vbr.mp3", "headerless.mp3", "m4a", "aiff", "webm")
RATE = 48_000


def make(folder: Path) -> dict[str, bytes]:
    """A good file of each kind."""
    folder.mkdir(parents=True)
    samples = zoo.music(2.0, RATE)
    for kind in KINDS:
        path = folder / f"a.{kind}"
        webm(path, samples) if kind == "webm" else zoo.write(path, samples, RATE)
    return {kind: (folder / f"a.{kind}").read_bytes() for kind in KINDS}


def wrong(path: Path, refused: Sequence[Refused], n_taken: int) -> str:
    """What is wrong, if a file was not taken, and not refused once by its name and with a reason either."""
    if n_taken + len(refused) != 1:
        return f"taken {n_taken} times and refused {len(refused)} times"
    if refused and (refused[0].path != path or not refused[0].reason.strip()):
        return f"refused as {refused[0]}"
    if refused and "Traceback" in refused[0].reason:
        return f"refused without a word: {refused[0].reason}"
    return ""


def whole_way(path: Path, encoder: AudioEncoder, out: Path) -> tuple[str, str]:
    """Prepare, embed and index one file: "taken" or "refused", and what is wrong if anything is."""
    prepared = prepare_files([path], min_seconds=0.0)  # the others have no such limit
    faults = [wrong(path, prepared.refused, len(prepared.tracks))]
    space = describe_space(encoder, "tiny", layer=1, pool="mean", windows=default_windows(encoder))
    with EmbeddingStore(out / "store", space) as store:
        done = store.extend([path], encoder)
    faults.append(wrong(path, done.refused, done.n_embedded))
    if done.n_embedded and not torch.isfinite(torch.as_tensor(read_store(out / "store")[1])).all():
        faults.append("a vector that is no numbers")
    with Library(out / "library.sqlite", space) as library:
        changes = library.update([path], encoder)
        faults.append(wrong(path, changes.refused, len(library)))
    if len({bool(prepared.refused), bool(done.refused), bool(changes.refused)}) > 1:
        said = [
            one[0].reason if one else "taken" for one in (prepared.refused, done.refused, changes.refused)
        ]
        if prepared.refused or bool(done.refused) != bool(changes.refused):  # a model may want longer clips
            faults.append(f"not the same everywhere: {said}")
    return "refused" if changes.refused else "taken", "; ".join(fault for fault in faults if fault)


def held() -> int:
    """Bytes that this process has held at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    root, n_files, seed = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    first = int(sys.argv[4]) if len(sys.argv) > 4 else 0
    torch.set_num_threads(1)
    good = make(root / "whole")
    encoder = load(save_tiny_run(root / "model"))
    assert isinstance(encoder, AudioEncoder)
    for kind in KINDS:
        outcome = whole_way(root / "whole" / f"a.{kind}", encoder, root / f"good {kind}")
        assert outcome == ("taken", ""), (kind, outcome)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    most = held() + GROWTH
    with (root / "cases.jsonl").open("w") as log:
        for number in range(first, n_files):
            kind = KINDS[number % len(KINDS)]
            rng = random.Random(f"{seed} {kind} {number}")
            data = bytearray(good[kind])
            ways = [rng.choice(WAYS) for _ in range(rng.choice((1, 1, 2)))]
            for way in ways:
                if len(data) > 200:
                    way(data, rng)
            path = root / f"{number}.{kind}"
            path.write_bytes(data)
            case = {"kind": kind, "ways": [way.__name__ for way in ways]}
            log.write(json.dumps({"begun": number, **case}) + "\n")
            log.flush()
            patience.wait_for(SECONDS)
            try:
                outcome, fault = whole_way(path, encoder, root / f"out{number}")
            except Exception as error:
                outcome, fault = "failed", f"{type(error).__name__}: {error}"
            patience.wait_for(0)
            if held() > most:
                fault, most = f"{fault}; held {held() / 2**20:.0f} MiB", held()
            log.write(json.dumps({"done": number, **case, "outcome": outcome, "fault": fault}) + "\n")
            if not fault:
                path.unlink()
                shutil.rmtree(root / f"out{number}")


if __name__ == "__main__":
    main()
