"""Real recordings out of Debian packages -> a folder of cut audio with labels; complete packages stay.

    DIR/audio/NAME.flac       mono, 24 kHz
    DIR/packages/PACKAGE.json what was cut out of a package, with labels and licence
    DIR/labels.jsonl          all of it; of recordings that sound the same, the first one

A recording's labels name its package, its path in it and its licence: labels.jsonl is the attribution.
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import soundfile
import soxr
from jaxtyping import Float

from solfa.errors import ArgumentError
from solfa.files import sha256
from solfa.json_files import read_json_object, read_lines, write_json, write_json_lines
from solfa_free.debian import PackageError, download_package, find_package, list_files, unpack_files
from solfa_free.rendered import AUDIO, LABELS

SETUP, PACKAGES = "recorded.json", "packages"
SUFFIXES = (".wav", ".ogg", ".flac", ".opus", ".mp3", ".aiff", ".aif")
MIN_SECONDS = 0.5  # shorter ones are followed by silence: an encoder needs some frames
SILENT = 1e-3  # a recording whose peak is below is left out


@dataclass(frozen=True, kw_only=True)
class Recording:
    """What is cut out of a file of a package."""

    package: str
    path: str  # within the package
    split: str  # train, valid or test
    group: str  # what must not stand in two splits
    licence: str
    tags: dict[str, str]  # labels, and the corpus
    seconds: float  # at most so many
    is_from_middle: bool = False  # else from the beginning
    min_seconds: float = 0.0  # a shorter file is left out

    @property
    def name(self) -> str:
        """Unlike that of any other recording, and fit to name a file."""
        digest = hashlib.sha256(f"{self.package} {self.path}".encode(errors="surrogateescape")).hexdigest()
        return f"{self.package}-{digest[:12]}"


@dataclass(frozen=True, kw_only=True)
class CutConfig:
    """Rule by which recordings are cut."""

    sample_rate: int = 24_000  # Hz
    fade_seconds: float = 0.02  # at the end, where what still sounds is cut
    n_most: int | None = None  # of the recordings of a package with equal tags, by lot; all if None


Files = Callable[[], Sequence[str]]  # lists the files of a package, which means to decompress it
Choose = Callable[[str, Files], list[Recording]]  # package, its files -> recordings


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """Recordings that were cut, and those that could not be."""

    n_recordings: int
    n_known: int  # packages that were there already
    n_repeated: int  # recordings that sounded like another and were left out
    failures: dict[str, str]  # package, or package and path -> why it is not there


def cut_recordings(
    packages: Sequence[str],
    choose: Choose,
    out: Path,
    *,
    config: CutConfig,
    cache: Path | None = None,
    progress: Callable[[int, str], None] | None = None,
) -> Recorded:
    """Cut the recordings that ``choose`` finds in ``packages`` into ``out``.

    A package that fails does not stop the others. After an interruption the same call goes on.

    Args:
        packages: of Debian.
        choose: what to cut, by a package's list of files.
        out: where to; a folder holds one configuration.
        config: rate and number.
        cache: a folder of .deb files to look in first, and to keep downloads in; nothing is kept if None.
        progress: called with the number of packages done, and the newest one's name.

    Raises:
        PackageError: ``out`` holds what was cut otherwise, or nothing at all could be had.
    """
    _begin(out, config)
    failures: dict[str, str] = {}
    n_known = 0
    for n_done, package in enumerate(packages, start=1):
        if _done(out, package).exists():
            n_known += 1
        else:
            try:
                failures |= _cut_package(package, choose, out, config, cache)
            except PackageError as error:
                failures[package] = str(error)
        if progress is not None:
            progress(n_done, package)
    rows = [row for package in sorted(packages) for row in _rows(out, package)]
    if not rows:
        raise PackageError(f"No recording could be had. {next(iter(failures.values()), 'Name a package.')}")
    kept = _without_repeated(rows)
    write_json_lines(kept, out / LABELS)
    return Recorded(
        n_recordings=len(kept), n_known=n_known, n_repeated=len(rows) - len(kept), failures=failures
    )


def choose_by_lot(recordings: Iterable[Recording], n_most: int | None) -> list[Recording]:
    """``n_most`` of those with equal tags, the same ones each time."""
    ordered = sorted(recordings, key=lambda one: hashlib.sha256(f"lot {one.name}".encode()).hexdigest())
    counts: dict[str, int] = {}
    chosen = []
    for one in ordered:
        kind = json.dumps(one.tags, sort_keys=True)
        counts[kind] = counts.get(kind, 0) + 1
        if n_most is None or counts[kind] <= n_most:
            chosen.append(one)
    return chosen


def is_audio(path: str) -> bool:
    """Whether the file is a recording by its name."""
    return PurePosixPath(path).suffix.lower() in SUFFIXES


def _begin(out: Path, config: CutConfig) -> None:
    path, setup = out / SETUP, asdict(config)
    if path.exists() and read_json_object(path) != setup:
        raise PackageError(f"{out} holds what was cut otherwise (see {path}). Give another folder.")
    for folder in (AUDIO, PACKAGES):
        (out / folder).mkdir(parents=True, exist_ok=True)
    write_json(path, setup)


def _cut_package(
    package: str, choose: Choose, out: Path, config: CutConfig, cache: Path | None
) -> dict[str, str]:
    unfinished = out / ".unfinished"
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        deb = _deb(package, unfinished / "download", cache)
        wanted = choose_by_lot(choose(package, lambda: list_files(deb)), config.n_most)
        found = unpack_files(deb, [one.path for one in wanted], unfinished / "files")
        rows, failures = [], {}
        for one in wanted:
            try:
                rows.append(_cut(one, found[one.path], out, config))
            except KeyError:
                failures[f"{package}: {one.path}"] = "not in this version of the package; fetch Debian 12's"
            except (soundfile.LibsndfileError, ValueError) as error:
                failures[f"{package}: {one.path}"] = f"cannot be used ({error}); it is left out"
        rows.sort(key=lambda row: str(row["path"]))
        write_json_lines(rows, _done(out, package))
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return failures


def _deb(package: str, unfinished: Path, cache: Path | None) -> Path:
    deb = find_package(package, cache) if cache is not None else None
    if deb is None:
        deb = download_package(package, unfinished)
        if cache is not None:
            cache.mkdir(parents=True, exist_ok=True)
            deb = Path(shutil.move(deb, cache / deb.name))
    return deb


def _cut(one: Recording, source: Path, out: Path, config: CutConfig) -> dict[str, Any]:
    waveform = _read(one, source, config)
    path = out / AUDIO / f"{one.name}.flac"
    soundfile.write(path, waveform, config.sample_rate, subtype="PCM_16", format="FLAC")
    return {
        "path": f"{AUDIO}/{path.name}",
        "content_hash": sha256(path),
        "piece": one.name,
        "split": one.split,
        "group": one.group,
        "seconds": len(waveform) / config.sample_rate,
        "package": one.package,
        "source": one.path,
        "licence": one.licence,
        "tags": one.tags,
    }


def _read(one: Recording, source: Path, config: CutConfig) -> Float[np.ndarray, " sample"]:
    with soundfile.SoundFile(source) as file:
        rate = file.samplerate
        n_wanted = min(file.frames, round(one.seconds * rate))
        if file.frames < one.min_seconds * rate:
            raise ArgumentError(f"shorter than {one.min_seconds:g} s")
        if one.is_from_middle:
            file.seek((file.frames - n_wanted) // 2)
        stereo = file.read(n_wanted, dtype="float32", always_2d=True)
        is_cut = n_wanted < file.frames
    waveform = np.clip(soxr.resample(stereo.mean(1), rate, config.sample_rate), -1.0, 1.0)
    if not len(waveform) or float(np.abs(waveform).max()) < SILENT:
        raise ArgumentError("silent")
    if is_cut:
        n_fade = min(len(waveform), round(config.fade_seconds * config.sample_rate))
        waveform[len(waveform) - n_fade :] *= np.linspace(1, 0, n_fade, dtype=np.float32)
    n_missing = max(0, round(MIN_SECONDS * config.sample_rate) - len(waveform))
    return np.pad(waveform, (0, n_missing)).astype(np.float32)


def _without_repeated(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of rows with the same audio the first one; none where their labels differ."""
    by_content: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        by_content.setdefault(row["content_hash"], []).append(row)
    return [same[0] for same in by_content.values() if all(row["tags"] == same[0]["tags"] for row in same)]


def _rows(out: Path, package: str) -> list[dict[str, Any]]:
    path = _done(out, package)
    return read_lines(path) if path.exists() else []


def _done(out: Path, package: str) -> Path:
    return out / PACKAGES / f"{package}.json"
