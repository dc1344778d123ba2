"""Track; read, write, validate and split a list of tracks (JSON lines).

A manifest names its tracks relative to its own folder where they lie below it: the folder can be moved.
"""

import hashlib
import json
import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from solfa.data.base import Damage, Source
from solfa.data.refused import check_is_file
from solfa.errors import ArgumentError, SolfaError
from solfa.files import sha256
from solfa.json_files import write_json_lines

FIELDS: dict[str, type | tuple[type, ...]] = {  # JSON name -> what it must hold
    "path": str,
    "seconds": (int, float),
    "sample_rate": int,
    "channels": int,
    "content_hash": str,
    "tags": dict,
    "decoder": str,
}
LONGEST = 1e9  # seconds
HEAVIEST = 1e6  # times as often as others
LABEL = "label"  # the tag of a track that fine-tuning learns
CURE = "Correct or delete this line, or write the manifest again with: solfa data prepare MUSIC --out {path}"


class ManifestError(SolfaError, ValueError):
    """A manifest that cannot be used; the message names file, line and cure."""


@dataclass(frozen=True, kw_only=True)
class Track:
    """A whole recording: a line of the manifest."""

    path: Path
    seconds: float
    sample_rate: int
    n_channels: int
    content_hash: str  # SHA-256 of the file's bytes
    tags: dict[str, str] = field(
        default_factory=dict
    )  # title, artist, album, genre, year; package and licence
    decoder: str = ""  # library and version that decoded it
    start_seconds: float = 0.0  # where it begins in its file, if it is a stretch of one
    captions: tuple[str, ...] = ()  # texts about the music, any of which fits
    damage: tuple[Damage, ...] = ()  # of its file; what is whole was taken, and moved up
    weight: float = 1.0  # how many times as often as others it is heard in training, second for second
    member: Source | None = None  # where its bytes are, if they are in a shard

    @property
    def source(self) -> Source:
        """Where its bytes are."""
        return self.member or self.path


def read_manifest(path: Path) -> list[Track]:
    """The tracks of a manifest, with absolute paths. Raises ManifestError at the first broken line."""
    if not path.is_file():
        raise FileNotFoundError(
            f"No manifest at {path}. Make one with: solfa data prepare MUSIC --out {path}"
        )
    tracks = []
    with path.open(encoding="utf-8", errors="surrogateescape", newline="\n") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                tracks.append(_read_line(line, path, number))
    if not tracks:
        raise ManifestError(
            f"{path} holds no tracks. Write it again with: solfa data prepare MUSIC --out {path}"
        )
    return tracks


def write_manifest(tracks: Iterable[Track], path: Path) -> None:
    """Write ``tracks`` to ``path``, whole or not at all."""
    write_json_lines(manifest_lines(tracks, path), path)


def manifest_lines(tracks: Iterable[Track], path: Path) -> Iterator[dict[str, Any]]:
    """The lines of a manifest that is to be at ``path``."""
    folder = absolute(path.parent)
    return (_values(track, folder) for track in tracks)


def split_tracks(
    tracks: Sequence[Track], *, groups: Callable[[Track], Iterable[str]], valid_share: float, seed: int
) -> tuple[list[Track], list[Track]]:
    """Tracks to train on, and tracks to validate on: about ``valid_share`` of the hours.

    Tracks with a group in common stay together, and so do tracks of equal content. The answer depends on
    names and lengths only, not on the order of ``tracks``.

    Args:
        tracks: what to split.
        groups: names of what must not be torn apart, for instance the album and the composer.
        valid_share: share of the seconds to validate on, in [0, 1).
        seed: another seed chooses other groups.
    """
    members = _join(tracks, groups)
    wanted_seconds = valid_share * math.fsum(track.seconds for track in tracks)
    valid_names: set[str] = set()
    missing_seconds = wanted_seconds
    for name in sorted(members, key=lambda name: _draw(seed, name)):
        seconds = math.fsum(track.seconds for track in members[name])
        if seconds <= missing_seconds:
            valid_names.add(name)
            missing_seconds -= seconds
    if not valid_names and wanted_seconds > 0 and len(members) > 1:
        valid_names = {min(members, key=lambda name: (sum(t.seconds for t in members[name]), name))}
    is_valid = {id(track) for name in valid_names for track in members[name]}
    train = [track for track in tracks if id(track) not in is_valid]
    return train, [track for track in tracks if id(track) in is_valid]


def write_splits(
    tracks: Sequence[Track],
    out: Path,
    *,
    is_held_out: Callable[[Track], bool],
    groups: Callable[[Track], Iterable[str]],
    valid_share: float = 0.05,
    seed: int = 0,
) -> dict[str, list[Track]]:
    """Write ``tracks``, ``train``, ``valid`` and ``heldout`` (``.jsonl``) into ``out``; returns them by name.

    What is held out is never trained on or validated on, nor is a copy of it. The rest is split as by
    ``split_tracks``.
    """
    held_out = [track for track in tracks if is_held_out(track)]
    hidden = {track.content_hash for track in held_out}
    rest = [track for track in tracks if track.content_hash not in hidden]
    train, valid = split_tracks(rest, groups=groups, valid_share=valid_share, seed=seed)
    parts = {"tracks": list(tracks), "train": train, "valid": valid, "heldout": held_out}
    for name, part in parts.items():
        write_manifest(part, out / f"{name}.jsonl")
    return parts


def _join(tracks: Sequence[Track], groups: Callable[[Track], Iterable[str]]) -> dict[str, list[Track]]:
    """Tracks that stay together, under the first of the names that hold them together."""
    leader: dict[str, str] = {}

    def find(name: str) -> str:
        while leader.setdefault(name, name) != name:
            name = leader[name]
        return name

    for track in tracks:
        names = sorted(find(name) for name in _names(track, groups))
        leader.update((name, names[0]) for name in names)
    members: dict[str, list[Track]] = {}
    for track in tracks:
        members.setdefault(find(_names(track, groups)[0]), []).append(track)
    return members


def _names(track: Track, groups: Callable[[Track], Iterable[str]]) -> list[str]:
    return [f"hash {track.content_hash}", *(f"group {name}" for name in groups(track))]


def _draw(seed: int, name: str) -> str:
    """A random but lasting place in the order of groups."""
    return hashlib.sha256(f"{seed} {name}".encode(errors="surrogateescape")).hexdigest()


def track_values(track: Track) -> dict[str, Any]:
    """What a line of a manifest says about a track, with its path as it is."""
    return {
        "path": str(track.path),
        "seconds": track.seconds,
        "sample_rate": track.sample_rate,
        "channels": track.n_channels,
        "content_hash": track.content_hash,
        "tags": track.tags,
        "decoder": track.decoder,
        **({"start_seconds": track.start_seconds} if track.start_seconds else {}),
        **({"captions": list(track.captions)} if track.captions else {}),
        **({"damage": damage_values(track.damage)} if track.damage else {}),
        **({"weight": track.weight} if track.weight != 1 else {}),
    }


def damage_values(damage: Iterable[Damage]) -> list[dict[str, float]]:
    """Damage as JSON: where each stretch was, and how long."""
    return [{"start": round(one.start, 3), "seconds": round(one.seconds, 3)} for one in damage]


def damage_of(values: Any) -> tuple[Damage, ...]:
    """What ``damage_values`` gave. Raises ValueError if it is something else."""
    try:
        damage = tuple(Damage(float(one["start"]), float(one["seconds"])) for one in values)
    except (TypeError, KeyError, IndexError, ValueError, OverflowError):
        raise ArgumentError(f"has a 'damage' that is no list of stretches: {values!r:.50}") from None
    if not all(0 <= number < LONGEST for one in damage for number in one):
        raise ArgumentError(f"has a 'damage' that is at no time: {values!r:.50}")
    return damage


def _values(track: Track, folder: Path) -> dict[str, Any]:
    path = absolute(track.path)
    shown = path.relative_to(folder) if path.is_relative_to(folder) else path
    return track_values(track) | {"path": shown.as_posix()}


def hash_content(path: Path) -> str:
    """SHA-256 of a file's bytes. Raises AudioError if it is no regular file."""
    check_is_file(path)
    return sha256(path)


def absolute(path: Path) -> Path:
    """Absolute, without ``..``; links are kept, as ``Path.resolve`` would not: they may order a library."""
    return Path(os.path.abspath(path))  # noqa: PTH100


def _read_line(line: str, path: Path, number: int) -> Track:
    try:
        values = json.loads(line)
    except json.JSONDecodeError as error:
        raise _broken(path, number, f"is not valid JSON ({error.msg} at character {error.pos + 1})") from None
    except (ValueError, RecursionError):
        raise _broken(path, number, "is not valid JSON (numbers or lists without end)") from None
    if not isinstance(values, dict):
        raise _broken(path, number, "is not a JSON object")
    for name, kind in FIELDS.items():
        if name not in values:
            raise _broken(path, number, f"has no '{name}'")
        if not isinstance(values[name], kind) or isinstance(values[name], bool):
            raise _broken(path, number, f"has a '{name}' of the wrong type: {values[name]!r:.50}")
    if not (0 < values["seconds"] < LONGEST) or values["sample_rate"] < 1 or values["channels"] < 1:
        raise _broken(path, number, "has a length, a sample rate or a channel count that is not positive")
    if "\0" in values["path"]:
        raise _broken(path, number, "has a path that no file can have")
    start = values.get("start_seconds", 0.0)
    if isinstance(start, bool) or not isinstance(start, int | float) or not 0 <= start < LONGEST:
        raise _broken(path, number, f"has a 'start_seconds' that is no time: {start!r:.50}")
    return Track(
        path=absolute(path.parent) / values["path"],
        seconds=float(values["seconds"]),
        sample_rate=values["sample_rate"],
        n_channels=values["channels"],
        content_hash=values["content_hash"],
        tags={str(name): str(value) for name, value in values["tags"].items()},
        decoder=values["decoder"],
        start_seconds=float(start),
        captions=_captions(values, path, number),
        damage=_damage(values, path, number),
        weight=_weight(values, path, number),
    )


def _damage(values: dict[str, Any], path: Path, number: int) -> tuple[Damage, ...]:
    try:
        return damage_of(values.get("damage", []))
    except ValueError as error:
        raise _broken(path, number, str(error)) from None


def _weight(values: dict[str, Any], path: Path, number: int) -> float:
    weight = values.get("weight", 1.0)
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 < weight < HEAVIEST:
        raise _broken(path, number, f"has a 'weight' that is no number above 0: {weight!r:.50}")
    return float(weight)


def _captions(values: dict[str, Any], path: Path, number: int) -> tuple[str, ...]:
    captions = values.get("captions", [])
    if not isinstance(captions, list) or not all(isinstance(text, str) and text.strip() for text in captions):
        raise _broken(path, number, "has 'captions' that are not a list of texts")
    return tuple(captions)


def _broken(path: Path, number: int, what: str) -> ManifestError:
    return ManifestError(f"{path}, line {number}: {what}. {CURE.format(path=path)}")
