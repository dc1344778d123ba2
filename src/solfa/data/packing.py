"""Tracks -> shards: their files as they are, and codes and spectra made of them, in tar files with a table.

A shard counts once its table is written behind it; what a killed run left is overwritten by the next.
"""

import hashlib
import io
import json
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from solfa.arrays import check_space
from solfa.config import to_dict
from solfa.data.block_cache import digest_of
from solfa.data.manifest import Track, hash_content, manifest_lines, track_values
from solfa.data.prepare import report_lines
from solfa.data.refused import Refused, refusal
from solfa.data.shards import (
    AUDIO,
    BLOCK_BYTES,
    CONTENTS,
    SHARDS,
    TRACKS,
    ShardsDescription,
    ShardsError,
    TableConfig,
)
from solfa.data.storage import Storage
from solfa.data.stored_frames import CODES, StoredCodeFrames, StoredFrames
from solfa.data.stored_spectra import FEATURES, StoredSpectra
from solfa.errors import ArgumentError
from solfa.files import FolderLock
from solfa.json_files import ContentError, parse_json

SHARD_BYTES = 512 * 2**20
REFUSED, UNFINISHED = "refused.jsonl", ".packing-"
HEADER_BYTES = 512  # of a file in a tar
LARGEST_FILE = 8 * 2**30 - 1  # that the plain header of a tar can state
READABLE = 0o644  # by everybody

Row = dict[str, Any]


@dataclass
class Packed:
    """What one run did."""

    n_packed: int = 0  # contents
    n_known: int = 0  # were there already
    n_shards: int = 0  # in all
    n_bytes: int = 0  # of all files in them
    refused: list[Refused] = field(default_factory=list)


@dataclass(frozen=True)
class Companions:
    """What is packed of each track besides its facts.

    Args:
        has_audio: its file.
        codes: folder of ``solfa data label``.
        spectra: folder of ``solfa data features``.
    """

    has_audio: bool = True
    codes: Path | None = None
    spectra: Path | None = None

    def __post_init__(self) -> None:
        if not self.has_audio and self.spectra is None:
            raise ArgumentError("Without audio there is nothing to hear: name a folder of spectra.")

    def stored(self) -> dict[str, StoredFrames]:
        """Folders of arrays, by the file that describes them."""
        found: dict[str, StoredFrames] = {}
        if self.codes is not None:
            found[CODES] = StoredCodeFrames(self.codes)
        if self.spectra is not None:
            found[FEATURES] = StoredSpectra(self.spectra)
        return found


def pack(
    tracks: Sequence[Track],
    manifest: Path,
    out: str,
    companions: Companions,
    *,
    shard_bytes: int = SHARD_BYTES,
    progress: Callable[[int, str], None] | None = None,
) -> Packed:
    """Pack tracks into shards; those that are there already stay as they are.

    A file that is gone, or has changed since it was listed, is reported, and its tracks are left out.

    Args:
        tracks: of the manifest.
        manifest: where it is: paths below its folder are written without it.
        out: a folder, or an address.
        companions: what is packed of each track.
        shard_bytes: after which a shard is closed.
        progress: told how many contents are done, and the name of the last track.

    Raises:
        ShardsError: ``out`` holds shards of other things.
        StoredFramesError: codes or spectra of tracks are missing.
        WriteError: the disk has no room for more.
        StorageError: the storage does not take them.
        BlockingIOError: another process is packing into that folder.
    """
    storage, stored = Storage(out), companions.stored()
    for one in stored.values():
        one.require(tracks)
    with ExitStack() as stack:
        if storage.folder is not None:
            stack.enter_context(FolderLock(storage.folder))
            for leftover in storage.folder.glob(f"{UNFINISHED}*"):
                shutil.rmtree(leftover, ignore_errors=True)
        names = storage.names()
        _describe(storage, names, stored)
        packing = Packing(storage, names, companions, stored, shard_bytes)
        contents = {track.content_hash: track for track in tracks}
        done = packing.pack([t for c, t in contents.items() if c not in packing.known], progress)
        done.n_known = len(contents) - done.n_packed - len(done.refused)
        kept = [track for track in tracks if track.content_hash in packing.known]
        if not kept:
            raise ShardsError(f"None of the {len(tracks)} tracks can be packed: {done.refused[0].reason}.")
        _finish(storage, packing, kept, manifest, list(stored), done)
    return done


class Packing:
    """Fills shards one after the other.

    Args:
        storage: where they go.
        names: of the files that are there.
        companions: what is packed of each track.
        stored: folders of arrays, by the file that describes them.
        shard_bytes: after which a shard is closed.

    Raises:
        ShardsError: what is there was packed of other things.
    """

    def __init__(
        self,
        storage: Storage,
        names: Sequence[str],
        companions: Companions,
        stored: dict[str, StoredFrames],
        shard_bytes: int,
    ) -> None:
        self.storage, self.companions, self.shard_bytes = storage, companions, shard_bytes
        self.stored = {one.kind: one for one in stored.values()}
        self.rows: list[Row] = []  # of the table of contents
        tables = [name for name in names if name.startswith("shard-") and name.endswith(".jsonl")]
        for name in tables:
            self.rows += _rows(storage, name)
        self.n_shards, self.n_files = len(tables), len(self.rows)
        self.known = {str(row["content_hash"]) for row in self.rows}
        self.n_before = len(self.known)
        kinds = {AUDIO} if companions.has_audio else set()
        if self.rows and {row["kind"] for row in self.rows} != kinds | set(self.stored):
            raise ShardsError(
                f"{storage.address} was packed of {', '.join(sorted({row['kind'] for row in self.rows}))}. "
                "Pack the same again, or give another place."
            )

    def pack(self, tracks: Sequence[Track], progress: Callable[[int, str], None] | None) -> Packed:
        """Pack tracks of different content."""
        done, waiting = Packed(), iter(tracks)
        while True:
            with tempfile.TemporaryDirectory(dir=self.storage.folder, prefix=UNFINISHED) as folder:
                rows = self._shard(Path(folder) / "shard.tar", waiting, done, progress)
            self.rows += rows
            self.known |= {str(row["content_hash"]) for row in rows}
            if not rows:
                return done
            self.n_shards += 1

    def _shard(
        self,
        path: Path,
        tracks: Iterator[Track],
        done: Packed,
        progress: Callable[[int, str], None] | None,
    ) -> list[Row]:
        """Fill the next shard; gives its rows, and none if there are no tracks left."""
        name, rows = f"shard-{self.n_shards:05d}", []
        with (
            path.open("wb") as file,
            tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar,
        ):
            for track in tracks:
                try:
                    files = self._files(track)
                except (OSError, ValueError) as error:
                    done.refused.append(refusal(track.path, error))
                    continue
                check_space(path.parent, sum(source.stat().st_size for _, source, _ in files))
                for kind, source, suffix in files:
                    member = f"{self.n_files:08d}{suffix}"
                    row = {"kind": kind, "content_hash": track.content_hash, "shard": f"{name}.tar"}
                    rows.append(row | _add(tar, file, member, source))
                _add_facts(tar, f"{self.n_files:08d}.json", track)
                self.n_files += 1
                done.n_packed += 1
                if progress:
                    progress(self.n_before + done.n_packed + len(done.refused), track.path.name)
                if file.tell() >= self.shard_bytes:
                    break
        if rows:
            self.storage.write(f"{name}.tar", path)
            self.storage.write_bytes(f"{name}.jsonl", _lines(rows))
        return rows

    def _files(self, track: Track) -> list[tuple[str, Path, str]]:
        """Kind, place and ending of each file of a track. Raises AudioError if it is not as it was."""
        files = []
        if self.companions.has_audio:
            if hash_content(track.path) != track.content_hash:
                raise ArgumentError("it has changed since it was listed; prepare its folder again")
            files.append((AUDIO, track.path, _suffix(track.path)))
        for kind, stored in self.stored.items():
            path = stored.path(track.content_hash)
            files.append((kind, path, f".{kind}{path.suffix}"))
        for _, path, _ in files:
            if path.stat().st_size > LARGEST_FILE:
                raise ArgumentError(f"{path} is larger than the 8 GB that a shard can name; cut it in parts")
        return files


class _Summing:
    """A file that is copied, and the digests of its blocks."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._waiting = file, bytearray()
        self.digests = bytearray()

    def read(self, n_bytes: int = -1) -> bytes:
        """The next bytes."""
        part = self._file.read(n_bytes)
        self._waiting += part
        while len(self._waiting) >= BLOCK_BYTES:
            self._sum(BLOCK_BYTES)
        return part

    def finish(self) -> str:
        """The digests of all blocks, in hexadecimal."""
        if self._waiting:
            self._sum(len(self._waiting))
        return self.digests.hex()

    def _sum(self, n_bytes: int) -> None:
        self.digests += digest_of(bytes(self._waiting[:n_bytes]))
        del self._waiting[:n_bytes]


def _add(tar: tarfile.TarFile, file: BinaryIO, name: str, source: Path) -> Row:
    """Add a file to a shard; gives what its row says of it."""
    place = file.tell()
    with source.open("rb") as original:
        summing = _Summing(original)
        info = tarfile.TarInfo(name)
        info.size, info.mode = source.stat().st_size, READABLE
        tar.addfile(info, summing)
    return {"name": name, "offset": place + HEADER_BYTES, "bytes": info.size, "blocks": summing.finish()}


def _add_facts(tar: tarfile.TarFile, name: str, track: Track) -> None:
    """Add what the manifest says of a track, for whoever reads a shard without its tables."""
    content = json.dumps(track_values(track) | {"path": track.path.name}).encode()
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(content), READABLE
    tar.addfile(info, io.BytesIO(content))


def _suffix(path: Path) -> str:
    """How a file's name ends, as other programs know it."""
    suffix = path.suffix.lower()
    return suffix if suffix[1:].isalnum() and suffix.isascii() and len(suffix) < 10 else ".audio"


def _rows(storage: Storage, name: str) -> list[Row]:
    where = f"{storage.address}/{name}"
    try:
        rows = [parse_json(line, where) for line in storage.read(name).splitlines()]
        if all({"kind", "content_hash"} <= set(row) for row in rows):
            return rows
    except (ContentError, TypeError):
        pass
    raise ShardsError(f"{where} is damaged. Remove it: its shard is packed again then.")


def _lines(rows: Iterable[Row]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode("ascii")


def _describe(storage: Storage, names: Sequence[str], stored: dict[str, StoredFrames]) -> None:
    """Write what codes and spectra are, or see that they are what they were."""
    for name, one in stored.items():
        content = (one.folder / name).read_bytes()
        if name not in names:
            storage.write_bytes(name, content)
        elif storage.read(name) != content:
            raise ShardsError(
                f"{storage.address} holds others than {one.folder}: its {name} differs. Give another place."
            )


def _finish(
    storage: Storage,
    packing: Packing,
    kept: Sequence[Track],
    manifest: Path,
    described: Sequence[str],
    done: Packed,
) -> None:
    """Write the tables, and what makes the shards whole."""
    tables = {TRACKS: _lines(manifest_lines(kept, manifest)), CONTENTS: _lines(packing.rows)}
    for name, content in tables.items():
        storage.write_bytes(name, content)
    refused = sorted(done.refused, key=lambda one: one.path)
    storage.write_bytes(REFUSED, _lines(report_lines(refused, ())))
    done.n_shards, done.n_bytes = packing.n_shards, sum(int(row["bytes"]) for row in packing.rows)
    tables |= {name: storage.read(name) for name in described}
    description = ShardsDescription(
        n_shards=packing.n_shards, n_tracks=len(kept), n_bytes=done.n_bytes, block_bytes=BLOCK_BYTES,
        tables=tuple(
            TableConfig(name=name, sha256=hashlib.sha256(content).hexdigest())
            for name, content in tables.items()
        ),
    )  # fmt: skip
    storage.write_bytes(SHARDS, (json.dumps(to_dict(description), indent=2) + "\n").encode())
