"""Makes folders of good and broken files as people have them, and lets the commands at them.

    python made_folders.py FOLDER N_FOLDERS SEED [FIRST]

Run by end_to_end/test_made_folders.py. A line of JSON goes to FOLDER/cases.jsonl before a folder is tried,
and one after, with all that was not as it should be: a crash, or a folder that never ends, is the last line.
Every file is made once, and linked or copied into the folders.
"""

import io
import json
import os
import random
import shutil
import socket
import struct
import sys
from collections.abc import Callable, Iterable
from contextlib import redirect_stdout, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import numpy as np
import soundfile

import zoo
from conftest import save_tiny_run
from solfa.cli import main
from solfa.data.folders import PassedOver
from solfa.embedding import WindowConfig, describe_space
from solfa.models import AudioEncoder, load
from solfa.retrieval import Library
from synth import melody

EVERY = 10  # of so many folders one is given to the command, too
SECONDS = 1.2  # of a good file: a little more than the least
STEMS = (
    *(
        "01 Intro",
        "a",
        "...And Justice for All",
        ".38 Special",
        "Ünïcödé 日本語",
        "emoji 🎵",
        "new\nline",
        "tab\t",
    ),
    *(
        " blanks ",
        "-rf",
        "%s%d{}",
        "a#b?c&d=e",
        'it\'s "quoted"',
        "semi;colon",
        "x" * 200,
        "dots.in.name",
        "~0",
    ),
    *("caf\udce9", "[brackets]", "$HOME", "back\\slash", "CON", "#1", "@home", "100%", "*", "Ω≈ç√∫"),
)
FOLDERS = (
    "CD1",
    "CD 2",
    "...And Justice for All",
    ".hidden album",
    "日本語",
    "a.mp3",
    "new\nfolder",
    "x" * 100,
)
OTHERS = ("cover.jpg", "album.cue", "list.m3u", ".DS_Store", "._01.mp3", "Thumbs.db", "notes.txt", "noext")


@dataclass(frozen=True)
class Kind:
    """A kind of file: what is in it, and what it is called."""

    suffix: str
    is_good: bool
    is_short: bool = False  # for a manifest, and good enough for a library


@dataclass
class Made:
    """A folder, and what there is in it."""

    root: Path
    good: set[str] = field(default_factory=set)
    short: set[str] = field(default_factory=set)
    bad: set[str] = field(default_factory=set)
    n_others: int = 0


# --- files --------------------------------------------------------------------------------------------------


def tune(seed: int, seconds: float = SECONDS, n_channels: int = 2, sample_rate: int = 48_000) -> np.ndarray:
    """Samples by channels."""
    tunes = [melody(seconds, seed=seed + n, sample_rate=sample_rate) for n in range(n_channels)]
    return np.stack(tunes, 1)


def with_header(samples: np.ndarray, path: Path, **changes: int) -> None:
    """A WAV whose header says something else."""
    zoo.write(path, samples, kind="wav")
    data = bytearray(path.read_bytes())
    for name, value in changes.items():
        offset, code = {"codec": (20, "<H"), "rate": (24, "<I"), "channels": (22, "<H"), "data": (40, "<I")}[
            name
        ]
        struct.pack_into(code, data, offset, value)
    path.write_bytes(data)


def matroska(path: Path, samples: np.ndarray) -> None:
    """FLAC in Matroska, with its length."""
    whole = zoo.write(path.with_suffix(".flac"), samples)
    with av.open(whole) as given, av.open(path, "w", format="matroska") as out:
        stream = out.add_stream_from_template(given.streams.audio[0])
        for packet in given.demux(given.streams.audio[0]):
            if packet.dts is not None:
                packet.stream = stream
                out.mux(packet)
    whole.unlink()


def make_good(pool: Path) -> None:
    """Files that everybody can use."""
    for seed, kind in enumerate(zoo.FORMATS):
        zoo.write(pool / f"good {seed}.{kind}", tune(seed), kind=kind)
    for seed, subtype in enumerate(("PCM_U8", "PCM_24", "FLOAT", "ALAW", "IMA_ADPCM"), start=20):
        soundfile.write(pool / f"good {subtype}.wav", tune(seed), 48_000, subtype=subtype, format="WAV")
    for seed, rate in enumerate((8_000, 44_100, 192_000), start=30):
        soundfile.write(pool / f"good {rate}.flac", tune(seed, sample_rate=rate), rate)
    for seed, n_channels in enumerate((1, 3, 6), start=40):
        soundfile.write(pool / f"good {n_channels} channels.wav", tune(seed, n_channels=n_channels), 48_000)
    soundfile.write(pool / "good big.aiff", tune(50), 48_000)
    soundfile.write(pool / "good core.caf", tune(51), 48_000)
    matroska(pool / "good box.mka", tune(52))
    zoo.write_tagged(pool / "good tags.flac", [("ARTIST", "A"), ("ARTIST", "B"), ("DATE", "1999")])
    shutil.copy(zoo.write(pool / "t.mp3", tune(53)), pool / "good mp3 called.wav")
    shutil.copy(zoo.write(pool / "t.m4a", tune(54)), pool / "good m4a called.mp3")
    mp3 = zoo.write(pool / "t.mp3", tune(55)).read_bytes()
    (pool / "good joined.mp3").write_bytes(mp3 + mp3)
    (pool / "good with a tag behind.mp3").write_bytes(mp3 + b"TAG" + bytes(125))
    with_header(tune(56), pool / "good from a pipe.wav", data=0xFFFFFFFF)
    zoo.write(pool / "short words.ogg", tune(57, seconds=0.6))
    for leftover in pool.glob("t.*"):
        leftover.unlink()


def make_broken(pool: Path) -> None:
    """Files that nobody can use, or not all of."""
    for name, (make, _, _) in zoo.BAD.items():
        if name not in ("short.ogg", "one sample.wav"):
            make(pool / f"bad {name}")
    long = tune(60, seconds=4.0)
    data = bytearray(zoo.write(pool / "bad spoilt.flac", zoo.music(6.0)).read_bytes())
    data[len(data) // 2 : len(data) // 2 + 40] = np.random.default_rng(2).bytes(40)
    (pool / "bad spoilt.flac").write_bytes(data)
    with_header(long, pool / "bad zero rate.wav", rate=0)
    with_header(long, pool / "bad low rate.wav", rate=1)
    with_header(long, pool / "bad high rate.wav", rate=10_000_000)
    with_header(long, pool / "bad codec.wav", codec=0x3412)
    with_header(long, pool / "bad no channels.wav", channels=0)
    with_header(long, pool / "bad short promise.wav", data=48_000 * 4)
    matroska(pool / "bad box.mka", long)
    zoo.truncate(pool / "bad box.mka")
    soundfile.write(pool / "bad scale.wav", long * 20_000, 48_000, subtype="FLOAT", format="WAV")
    soundfile.write(pool / "bad opposite.wav", np.stack([long[:, 0], -long[:, 0]], 1), 48_000)
    soundfile.write(pool / "bad constant.wav", np.full((96_000, 1), 0.5), 48_000)
    for suffix in (".flac", ".ogg", ".m4a", ".aiff", ".opus"):
        (pool / f"bad empty{suffix}").touch()
        (pool / f"bad noise{suffix}").write_bytes(b"\0" + np.random.default_rng(1).bytes(5_000))
    (pool / "bad page.mp3").write_text("<html>404 not found</html>")
    (pool / "bad zeros.mp3").write_bytes(bytes(20_000))


def kind_of(path: Path) -> Kind:
    """What a file of the pool is; its suffix may say something else."""
    return Kind(path.suffix, not path.name.startswith("bad"), path.name.startswith("short"))


# --- folders ------------------------------------------------------------------------------------------------


def make_folder(root: Path, pool: list[Path], rng: random.Random) -> Made:
    """A folder of some of the files, and of what else there is."""
    made = Made(root)
    root.mkdir()
    places = [root]
    for _ in range(rng.randrange(4)):
        place = rng.choice(places) / rng.choice(FOLDERS)
        place.mkdir(exist_ok=True)
        places.append(place)
    for _ in range(rng.choice((0, 1, 4, 8, 14))):
        _put(rng.choice(pool), _free_name(places, rng), made, rng)
    for make in rng.sample(SPECIAL, rng.choice((0, 0, 1, 3))):
        path = _free_name(places, rng, ".mp3")
        with suppress(OSError):  # names of sockets are short
            make(path)
            made.bad.add(str(path))
    for name in rng.sample(OTHERS, rng.choice((0, 1, 4))):
        (rng.choice(places) / name).write_bytes(b"something else")
        made.n_others += 1
    return made


def _put(source: Path, path: Path, made: Made, rng: random.Random) -> None:
    """Put a file somewhere: as itself, as a copy or as a link."""
    kind = kind_of(source)
    path = path.with_name(path.name + (kind.suffix.upper() if rng.random() < 0.2 else kind.suffix))
    if path.exists() or len(os.fsencode(path.name)) > 255:
        return
    rng.choice((os.link, os.symlink, shutil.copyfile))(source, path)
    (made.short if kind.is_short else made.good if kind.is_good else made.bad).add(str(path))


def _free_name(places: list[Path], rng: random.Random, suffix: str = "") -> Path:
    number = rng.randrange(10**6)  # the stems are few
    return rng.choice(places) / f"{rng.choice(STEMS)}{number}{suffix}"


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as opened:
        opened.bind(os.fsencode(path))


def _unreadable(path: Path) -> None:
    path.write_bytes(b"no music, for those who may read everything")
    path.chmod(0)


SPECIAL: list[Callable[[Path], object]] = [
    lambda path: os.mkfifo(path), lambda path: path.symlink_to("nowhere.mp3"),
    lambda path: path.symlink_to(path.name), _socket, _unreadable,
    lambda path: path.symlink_to("/dev/zero"),
]  # fmt: skip


# --- commands -----------------------------------------------------------------------------------------------


def solfa(*arguments: object) -> tuple[int, Any]:
    """The exit code of a command and what it printed as JSON; an error that was not foreseen goes through."""
    printed, before = io.StringIO(), sys.argv
    sys.argv = ["solfa", *map(str, arguments), "--json"]
    try:
        with redirect_stdout(printed):
            main.run()
    except SystemExit as end:
        return int(end.code or 0), json.loads(printed.getvalue() or "null")
    finally:
        sys.argv = before
    return 0, json.loads(printed.getvalue())


def differences(**pairs: tuple[Iterable[str], Iterable[str]]) -> dict[str, Any]:
    """What is there and should not be, and what is not and should; nothing where all is well."""
    found = {}
    for name, (is_there, should_be) in pairs.items():
        if wrong := {"more": sorted({*is_there} - {*should_be}), "less": sorted({*should_be} - {*is_there})}:
            found |= {name: wrong} if any(wrong.values()) else {}
    return found


def paths_of(entries: Iterable[dict[str, Any]]) -> set[str]:
    """Paths of refused files."""
    return {entry["path"] for entry in entries}


def try_manifest(made: Made, out: Path) -> dict[str, Any]:
    """What is wrong about ``solfa data prepare``."""
    strict = made.n_others % 2 == 0
    code, said = solfa("data", "prepare", made.root, "--out", out, *(["--strict"] if strict else []))
    bad, listed = made.bad | made.short, made.good | made.bad | made.short
    expected = 3 if not listed else 1 if strict and bad else 0
    if code != expected:
        return {"exit code of prepare": [code, expected]}
    if not listed:
        return {}
    report = [json.loads(line) for line in out.with_suffix(".refused.jsonl").read_text().splitlines()]
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    wrong = differences(
        tracks=({str((out.parent / line["path"]).absolute()) for line in lines}, made.good),
        refused=(paths_of(said["refused"]), bad),
        report=(paths_of(report), bad),
        reasons=([entry["path"] for entry in report if not entry["reason"].strip()], []),
    )
    n_passed = sum(entry["n"] for entry in said["passed_over"])
    return wrong | ({} if n_passed == made.n_others else {"passed over": [n_passed, made.n_others]})


def try_library(made: Made, path: Path, encoder: AudioEncoder) -> dict[str, Any]:
    """What is wrong about an update of a library, and about a second one."""
    if not made.good | made.bad | made.short:
        return {}
    space = describe_space(encoder, "tiny", layer=2, pool="mean", windows=WindowConfig())
    with Library(path, space) as library:
        first = library.update([made.root], encoder)
        tracks = {str(track.path) for track in library.tracks()}
        vectors = library.vectors(library.tracks())
        second = library.update([made.root], encoder)
        report = library.write_report(second.refused)
        third = library.update([made.root], encoder, take_damaged=True)
        taken = {str(track.path) for track in library.damaged()}
        n_tracks = len(library)
    named = [json.loads(line) for line in report.read_text().splitlines()] if report else []
    wrong = differences(
        tracks=(tracks, made.good | made.short),
        refused=({str(item.path) for item in first.refused}, made.bad),
        again=({str(item.path) for item in second.refused + second.refused_before}, made.bad),
        report=(paths_of(named), made.bad),
        damaged=({str(item.path) for item in third.refused + third.refused_before} | taken, made.bad),
    )
    if n_tracks != len(made.good | made.short | taken) or not taken <= made.bad:
        wrong["third update"] = [n_tracks, sorted(taken)]
    if second.n_unchanged != len(made.good | made.short) or not np.isfinite(vectors).all():
        wrong["second update"] = second.n_unchanged
    passed: list[PassedOver] = first.passed_over
    n_passed = sum(item.n for item in passed)
    return wrong | ({} if n_passed == made.n_others else {"passed over": [n_passed, made.n_others]})


def try_command(made: Made, path: Path, run: Path) -> dict[str, Any]:
    """What is wrong about ``solfa index``, by its exit code and its output."""
    code, said = solfa("index", made.root, "--library", path, "--model", run, "--strict")
    listed = made.good | made.bad | made.short
    expected = 3 if not listed else 1 if made.bad else 0
    if code != expected or path.exists() != bool(listed):
        return {"exit code of index": [code, expected]}
    return differences(refused=(paths_of(said["refused"]), made.bad)) if said else {}


def main_loop(folder: Path, n_folders: int, seed: int, first: int = 0) -> None:
    """Make the files, then one folder after the other."""
    pool = folder / "pool"
    pool.mkdir(parents=True)
    make_good(pool)
    make_broken(pool)
    files = sorted(pool.iterdir())
    encoder = load(save_tiny_run(folder / "run"))
    with (folder / "cases.jsonl").open("w", encoding="utf-8") as log:

        def say(**values: Any) -> None:
            log.write(json.dumps(values) + "\n")
            log.flush()

        for number in range(first, n_folders):
            place = folder / str(number)
            place.mkdir()
            made = make_folder(place / "m", files, random.Random(f"{seed} {number}"))
            say(begun=number)
            wrong = {
                "prepare": try_manifest(made, place / "tracks.jsonl"),
                "update": try_library(made, place / "l.sqlite", encoder),
            }
            if number % EVERY == 0:
                wrong["index"] = try_command(made, place / "c.sqlite", folder / "run")
            counts = {"n_good": len(made.good), "n_bad": len(made.bad), "n_short": len(made.short)}
            say(done=number, wrong={name: what for name, what in wrong.items() if what}, **counts)
            shutil.rmtree(place)


if __name__ == "__main__":
    main_loop(Path(sys.argv[1]), *map(int, sys.argv[2:]))
