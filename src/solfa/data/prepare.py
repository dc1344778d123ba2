"""A folder of music -> manifest, with a report of what was refused and why."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from solfa.data.audio import AudioInfo
from solfa.data.damage import check_audio
from solfa.data.folders import AUDIO_SUFFIXES, Found, NoAudioError, PassedOver, find_audio
from solfa.data.manifest import Track, damage_values, hash_content, manifest_lines
from solfa.data.refused import Refused, check_is_file, refusal
from solfa.data.tags import read_tags
from solfa.files import whole_file
from solfa.json_files import write_json_lines

__all__ = [
    "AUDIO_SUFFIXES",
    "NoAudioError",
    "Prepared",
    "Refused",
    "as_track",
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
        """Number of files that were passed over by their names."""
        return sum(item.n for item in self.passed_over)


def prepare_folder(
    folder: Path,
    *,
    min_seconds: float = MIN_SECONDS,
    n_workers: int | None = None,
    tags: Tags | None = None,
    take_damaged: bool = False,
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
        find_audio(folder), min_seconds=min_seconds, n_workers=n_workers, tags=tags,
        take_damaged=take_damaged, progress=progress,
    )  # fmt: skip


def prepare_found(
    found: Found,
    *,
    min_seconds: float = MIN_SECONDS,
    n_workers: int | None = None,
    tags: Tags | None = None,
    take_damaged: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Prepared:
    """As ``prepare_folder``, of what was found in one."""
    prepared = prepare_files(
        found.paths, min_seconds=min_seconds, n_workers=n_workers, tags=tags, take_damaged=take_damaged,
        progress=progress,
    )  # fmt: skip
    refused = [*found.refused, *prepared.refused]
    return replace(prepared, refused=refused, passed_over=tuple(found.passed_over))


def prepare_files(
    paths: Sequence[Path],
    *,
    min_seconds: float = MIN_SECONDS,
    n_workers: int | None = None,
    tags: Tags | None = None,
    take_damaged: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Prepared:
    """Decode each of ``paths`` to its end, and list those that can be learned from, in their order.

    Args:
        paths: audio files.
        min_seconds: shorter files are refused.
        n_workers: files that are decoded at once; as many as there are processors if None.
        tags: further tags of a file, over those that it carries itself.
        take_damaged: leave out what is damaged of a file and list the rest, which is marked so.
        progress: called with the number of files done and the number of all.
    """
    check = partial(prepare_file, min_seconds=min_seconds, tags=tags, take_damaged=take_damaged)
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
    take_damaged: bool = False,
) -> Track | Refused:
    """What a file holds, or why it is left out: whatever goes wrong with it is a refusal, and never an error.

    Args:
        path: the file.
        min_seconds: shorter files are refused.
        tags: further tags of a file, over those that it carries itself.
        take_damaged: as for ``prepare_files``.
    """
    try:
        check_is_file(path)
        info = check_audio(path, min_seconds=min_seconds, take_damaged=take_damaged)
        return as_track(info, hash_content(path), tags)
    except Exception as error:
        return refusal(path, error)


def as_track(info: AudioInfo, content_hash: str, tags: Tags | None = None) -> Track:
    """What is known of a file that was judged to be good, and the tags that it carries.

    Args:
        info: what the judgement was.
        content_hash: SHA-256 of its bytes.
        tags: further tags, over its own.
    """
    return Track(
        path=info.path,
        seconds=info.seconds,
        sample_rate=info.sample_rate,
        n_channels=info.n_channels,
        content_hash=content_hash,
        tags=read_tags(info.path) | dict(tags(info.path) if tags else {}),
        decoder=info.decoder,
        damage=info.damage,
    )


def write_prepared(prepared: Prepared, out: Path, report: Path) -> None:
    """Write the manifest and the report of refused files: both, or neither.

    Raises:
        WriteError: the disk is full or does not take the files; what was there is as it was.
    """
    with whole_file(report) as new_report, whole_file(out) as new_manifest:
        write_json_lines(report_lines(prepared.refused, prepared.tracks), new_report)
        write_json_lines(manifest_lines(prepared.tracks, out), new_manifest)


def write_refused(refused: Iterable[Refused], path: Path, tracks: Iterable[Track] = ()) -> None:
    """Write the report of refused files as JSON lines of ``path`` and ``reason``.

    Args:
        refused: the files.
        path: the report.
        tracks: those of them whose files are damaged come behind, with ``damage``: they were taken.
    """
    write_json_lines(report_lines(refused, tracks), path)


def report_lines(refused: Iterable[Refused], tracks: Iterable[Track]) -> Iterator[dict[str, Any]]:
    """The lines of a report; see ``write_refused``."""
    for item in refused:
        yield {"path": str(item.path), "reason": item.reason}
    for track in tracks:
        if track.damage:
            reason = f"damaged, and taken without {', '.join(map(str, track.damage))}"
            yield {"path": str(track.path), "reason": reason, "damage": damage_values(track.damage)}
