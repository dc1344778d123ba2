"""A folder of music -> manifest, with a report of what was refused and why."""

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import tinytag

from solfa.data.audio import AudioError
from solfa.data.damage import check_audio
from solfa.data.manifest import Track
from solfa.json_files import write_json_lines

AUDIO_SUFFIXES = (
    *(".aac", ".ac3", ".aif", ".aifc", ".aiff", ".ape", ".au", ".caf", ".flac", ".m4a", ".m4b", ".mka"),
    *(".mp2", ".mp3", ".mp4", ".mpc", ".oga", ".ogg", ".opus", ".spx", ".tta", ".w64", ".wav", ".wave"),
    *(".webm", ".wma", ".wv"),
)
MIN_SECONDS = 1.0
TAGS = ("title", "artist", "album", "albumartist", "composer", "genre", "year", "track")


class NoAudioError(ValueError):
    """A folder in which there is nothing to prepare; the message says the cure."""


@dataclass(frozen=True, kw_only=True)
class Refused:
    """A file that is left out, and why."""

    path: Path
    reason: str


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A folder of music, looked through."""

    tracks: list[Track]
    refused: list[Refused]
    n_skipped: int = 0  # files that are not audio by their name: covers, texts


def prepare_folder(
    folder: Path,
    *,
    min_seconds: float = MIN_SECONDS,
    n_workers: int | None = None,
    tags: Callable[[Path], Mapping[str, str]] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Prepared:
    """Decode each audio file below ``folder`` to its end, and list those that can be learned from.

    Links are followed; every folder is entered once. What is left out because its name is not that of audio
    is counted. For the other arguments see ``prepare_files``.

    Raises:
        FileNotFoundError: no such folder.
        NoAudioError: the folder is empty, or holds no audio.
    """
    paths, n_skipped = find_audio(folder)
    prepared = prepare_files(
        paths, min_seconds=min_seconds, n_workers=n_workers, tags=tags, progress=progress
    )
    return replace(prepared, n_skipped=n_skipped)


def prepare_files(
    paths: Sequence[Path],
    *,
    min_seconds: float = MIN_SECONDS,
    n_workers: int | None = None,
    tags: Callable[[Path], Mapping[str, str]] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Prepared:
    """Decode each of ``paths`` to its end, and list those that can be learned from, in their order.

    Args:
        paths: audio files.
        min_seconds: shorter files are refused.
        n_workers: files that are decoded at once; as many as there are processors if None.
        tags: further tags of a file, over those that it carries itself.
        progress: called with the number of files done and the number of all.
    """
    check = partial(_prepare_file, min_seconds=min_seconds, tags=tags or (lambda path: {}))
    found: list[Track | Refused] = []
    # Threads serve: the decoders, the digest and NumPy all let go of the interpreter while they work.
    with ThreadPoolExecutor(n_workers or os.cpu_count()) as pool:
        for outcome in pool.map(check, paths):
            found.append(outcome)
            if progress is not None:
                progress(len(found), len(paths))
    return Prepared(
        tracks=[outcome for outcome in found if isinstance(outcome, Track)],
        refused=[outcome for outcome in found if isinstance(outcome, Refused)],
    )


def find_audio(folder: Path) -> tuple[list[Path], int]:
    """Files below ``folder`` that are audio by their name, sorted, and how many are not."""
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "does not exist"
        raise FileNotFoundError(f"{str(folder)!r} {what}. Give a folder that holds music.")
    paths = sorted(_walk(folder))
    audio = [path for path in paths if path.suffix.lower() in AUDIO_SUFFIXES]
    if not paths:
        raise NoAudioError(f"{str(folder)!r} is empty. Give a folder that holds music.")
    if not audio:
        raise NoAudioError(
            f"{str(folder)!r} holds {len(paths)} files but no audio. Give a folder with files that end on "
            f"one of: {' '.join(AUDIO_SUFFIXES)}"
        )
    return audio, len(paths) - len(audio)


def write_refused(refused: list[Refused], path: Path) -> None:
    """Write the report of refused files as JSON lines of ``path`` and ``reason``."""
    write_json_lines(({"path": str(item.path), "reason": item.reason} for item in refused), path)


def _walk(folder: Path) -> Iterator[Path]:
    """Files below ``folder``, links followed; a folder reached twice, as in a loop, is entered once."""
    entered = set()
    for parent, folders, names in os.walk(folder, followlinks=True):
        status = Path(parent).stat()
        if (status.st_dev, status.st_ino) in entered:
            folders.clear()
            continue
        entered.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(parent, name) for name in names if not name.startswith("."))


def _prepare_file(
    path: Path, min_seconds: float, tags: Callable[[Path], Mapping[str, str]]
) -> Track | Refused:
    try:
        info = check_audio(path, min_seconds=min_seconds)
        with path.open("rb") as file:
            content_hash = hashlib.file_digest(file, "sha256").hexdigest()
    except AudioError as error:
        return Refused(path=path, reason=error.reason)
    except OSError as error:
        reason = error.strerror or "it is gone, or a link to nothing"
        return Refused(path=path, reason=f"cannot be read ({reason}); check the file and its permissions")
    return Track(
        path=path,
        seconds=info.seconds,
        sample_rate=info.sample_rate,
        n_channels=info.n_channels,
        content_hash=content_hash,
        tags=_read_tags(path) | dict(tags(path)),
        decoder=info.decoder,
    )


def _read_tags(path: Path) -> dict[str, str]:
    try:
        found = tinytag.TinyTag.get(path, duration=False)
    except Exception:  # a tag is never worth a track, and parsers of hostile bytes raise anything
        return {}
    values = {name: getattr(found, name, None) for name in TAGS}
    return {name: str(value).strip() for name, value in values.items() if value not in (None, "")}
