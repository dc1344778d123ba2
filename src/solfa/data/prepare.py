"""A folder of music -> manifest, with a report of what was refused and why."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from solfa.data.damage import check_audio
from solfa.data.folders import AUDIO_SUFFIXES, Found, NoAudioError, PassedOver, find_audio
from solfa.data.manifest import Track, manifest_lines
from solfa.data.refused import Refused, check_is_file, refusal
from solfa.data.tags import read_tags
from solfa.files import sha256, whole_file
from solfa.json_files import write_json_lines

__all__ = [
    "AUDIO_SUFFIXES",
    "NoAudioError",
    "Prepared",
    "Refused",
    "hash_content",
    "prepare_file",
    "prepare_files",
    "prepare_folder",
    "prepare_found",
    "write_prepared",
    "write_refused",
]

MIN_SECONDS = 1.0

Tags = Callable[[Path], Mapping[str, str]]


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A folder of music, looked through."""

    tracks: list[Track]
    refused: list[Refused]
    passed_over: tuple[PassedOver, ...] = ()  # by their names: covers, texts, files of systems

    @property
    def n_skipped(self) -> int:
        """How many files were passed over by their names."""
        return sum(item.n for item in self.passed_over)


def prepare_folder(
    folder: Path,
    *,
    min_seconds: float = MIN_SECONDS,
    n_workers: int | None = None,
    tags: Tags | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Prepared:
    """Decode each audio file below ``folder`` to its end, and list those that can be learned from.

    Links are followed; every folder is entered once. A folder that cannot be read is refused by its
    name. What is left out by its name is counted. For the other arguments see ``prepare_files``.

    Raises:
        FileNotFoundError: no such folder.
        NoAudioError: the folder is empty, cannot be read, or holds no audio.
    """
    return prepare_found(
        find_audio(folder), min_seconds=min_seconds, n_workers=n_workers, tags=tags, progress=progress
    )


def prepare_found(
    found: Found,
    *,
    min_seconds: float = MIN_SECONDS,
    n_workers: int | None = None,
    tags: Tags | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Prepared:
    """As ``prepare_folder``, of what was found in one."""
    prepared = prepare_files(
        found.paths, min_seconds=min_seconds, n_workers=n_workers, tags=tags, progress=progress
    )
    refused = [*found.refused, *prepared.refused]
    return replace(prepared, refused=refused, passed_over=tuple(found.passed_over))


def prepare_files(
    paths: Sequence[Path],
    *,
    min_seconds: float = MIN_SECONDS,
    n_workers: int | None = None,
    tags: Tags | None = None,
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
    check = partial(prepare_file, min_seconds=min_seconds, tags=tags)
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


def prepare_file(
    path: Path,
    *,
    min_seconds: float = MIN_SECONDS,
    tags: Tags | None = None,
    content_hash: str | None = None,
) -> Track | Refused:
    """What a file holds, or why it is left out: whatever goes wrong with it is a refusal, and never an error.

    Args:
        path: the file.
        min_seconds: shorter files are refused.
        tags: further tags of a file, over those that it carries itself.
        content_hash: if it is known already.
    """
    try:
        check_is_file(path)
        info = check_audio(path, min_seconds=min_seconds)
        content_hash = content_hash or hash_content(path)
        known = read_tags(path) | dict(tags(path) if tags else {})
    except Exception as error:
        return refusal(path, error)
    return Track(
        path=path,
        seconds=info.seconds,
        sample_rate=info.sample_rate,
        n_channels=info.n_channels,
        content_hash=content_hash,
        tags=known,
        decoder=info.decoder,
    )


def hash_content(path: Path) -> str:
    """SHA-256 of a file's bytes. Raises AudioError if it is no regular file."""
    check_is_file(path)
    return sha256(path)


def write_prepared(prepared: Prepared, out: Path, report: Path) -> None:
    """Write the manifest and the report of refused files: both, or neither.

    Raises:
        WriteError: the disk is full or does not take the files; what was there is as it was.
    """
    with whole_file(report) as new_report, whole_file(out) as new_manifest:
        write_json_lines(_report_lines(prepared.refused), new_report)
        write_json_lines(manifest_lines(prepared.tracks, out), new_manifest)


def write_refused(refused: list[Refused], path: Path) -> None:
    """Write the report of refused files as JSON lines of ``path`` and ``reason``."""
    write_json_lines(_report_lines(refused), path)


def _report_lines(refused: list[Refused]) -> Iterator[dict[str, str]]:
    return ({"path": str(item.path), "reason": item.reason} for item in refused)
