"""Shards: many recordings, and what is stored of them, in few large files; read by ranges, from near and far.

    shards.json                  what is there, and the sums of the two tables
    tracks.jsonl                 the manifest
    contents.jsonl               a line for each file: kind, content, shard, offset, bytes, hashes of blocks
    codes.json, features.json    what codes and spectra are, where there are some
    shard-00000.tar              the files themselves, as they were; any tool opens it
    shard-00000.jsonl            its lines of the table of contents

Of an address, the tables are fetched once, and blocks as they are needed; both stay in a cache.
"""

import io
import os
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Shaped
from numpy.lib import format as npy

from solfa.arrays import DAMAGED, ArrayError
from solfa.config import Config, Count, CountFromZero, from_dict, load_config
from solfa.data.base import AudioError
from solfa.data.block_cache import DIGEST_BYTES, BlockCache, cache_bytes, cache_folder, digest_of
from solfa.data.manifest import ManifestError, Track, read_manifest
from solfa.data.storage import Storage, StorageError, is_far
from solfa.errors import ArgumentError
from solfa.files import sha256, write_bytes, write_text
from solfa.json_files import ContentError, parse_json, read_lines

SHARDS, TRACKS, CONTENTS, ORIGIN = "shards.json", "tracks.jsonl", "contents.jsonl", "origin.txt"
BLOCK_BYTES = 2**20  # fetched and checked at once
BLOCKS_IN_MEMORY = 16  # of each process
AUDIO = "audio"
MAKE = "solfa data shard MANIFEST --out {address}"


class ShardsError(ManifestError):
    """Shards that cannot be used; the message names the cure."""


class ShardDamagedError(AudioError):
    """A file in a shard that is not what was packed."""


@dataclass(frozen=True, kw_only=True)
class TableConfig(Config):
    """A table that stands beside the shards."""

    name: str
    sha256: str

    def __post_init__(self) -> None:
        super().__post_init__()
        if (
            Path(self.name).name != self.name or self.name == ".." or "\\" in self.name
        ):  # it comes from elsewhere, and is written
            raise ArgumentError(f"{self.name!r:.80} is no name of a table")


@dataclass(frozen=True, kw_only=True)
class ShardsDescription(Config):
    """What is in shards; stands in their ``shards.json``, which is written last."""

    n_shards: CountFromZero
    n_tracks: Count
    n_bytes: int  # of all files in them
    block_bytes: Count
    tables: tuple[TableConfig, ...]  # and descriptions


@dataclass(frozen=True)
class Member:
    """A file in a shard; it opens as a file of the disk does."""

    shards: "Shards"
    name: str  # in the shard
    shard: str
    offset: int  # of its first byte, in the shard
    size: int  # bytes
    first_block: int  # number of its first block, of all blocks of all shards
    digests: bytes  # of its blocks, one behind the other

    def open(self, mode: Literal["rb"] = "rb", buffering: int = -1) -> Any:
        """Its bytes, as a file to be read; without a buffer if ``buffering`` is 0."""
        raw = MemberFile(self)
        return raw if buffering == 0 else io.BufferedReader(raw)

    def stat(self) -> os.stat_result:
        """Its size; what else a file of the disk tells is 0."""
        return os.stat_result((0, 0, 0, 1, 0, 0, self.size, 0, 0, 0), {"st_mtime_ns": 0})

    def is_file(self) -> bool:
        """Yes."""
        return True

    def digest(self, number: int) -> bytes:
        """Of its block ``number``, counted from 0."""
        return self.digests[number * DIGEST_BYTES : (number + 1) * DIGEST_BYTES]

    def __str__(self) -> str:
        return f"{self.shards.address}/{self.shard}:{self.name}"

    def __hash__(self) -> int:
        return hash((self.shards.address, self.shard, self.offset))


class Shards:
    """A folder of shards, or of the tables of shards that are elsewhere.

    Args:
        folder: that has ``shards.json``.

    Raises:
        ShardsError: there are none, or a table is damaged.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        origin = folder / ORIGIN
        self.address = origin.read_text() if origin.is_file() else str(folder)
        self.storage = Storage(self.address)
        self.description = _description(folder, self.address)
        self.checked: set[int] = set()  # blocks of shards on this disk that this process has found whole
        n_slots = cache_bytes() // self.description.block_bytes if is_far(self.address) else 0
        self.cache = BlockCache(cache_folder(self.address) / "blocks", n_slots)
        self._block = lru_cache(BLOCKS_IN_MEMORY)(self._fetched_block)
        self._members: dict[str, dict[str, Member]] = {}
        self._read_contents()

    def __reduce__(self) -> tuple[Any, tuple[Path]]:
        return shards_in, (self.folder,)

    def members(self, kind: str) -> dict[str, Member]:
        """The files of a kind, by the content of their tracks."""
        return self._members.get(kind, {})

    def tracks(self) -> list[Track]:
        """The manifest, with where the bytes of its tracks are."""
        audio = self.members(AUDIO)
        tracks = read_manifest(self.folder / TRACKS)
        return [replace(track, member=audio.get(track.content_hash)) for track in tracks]

    def block(self, member: Member, number: int) -> bytes:
        """A block of a file, as it was packed.

        Raises:
            ShardDamagedError: it is not in the shard any more, fetched twice.
            FileNotFoundError: the shard is not there.
            StorageError: the storage does not answer.
        """
        return self._block(member, number)

    def _fetched_block(self, member: Member, number: int) -> bytes:
        place, digest = member.first_block + number, member.digest(number)
        known = self.cache.get(place, digest)
        if known is not None:
            return known
        size = self.description.block_bytes
        start, stop = member.offset + number * size, member.offset + min((number + 1) * size, member.size)
        for _ in range(2):  # what arrived may be damaged, and not what is stored
            found = self.storage.read(member.shard, start, stop)
            if digest_of(found) == digest:
                self.cache.put(place, found)
                return found
            if len(found) > stop - start:
                raise StorageError(
                    f"{self.address} gives whole files where bytes {start} to {stop} are asked for. Take a "
                    "server that knows requests for ranges."
                )
        raise ShardDamagedError(
            f"bytes {start} to {stop} of {member.shard} are not those that were packed; copy the shard again"
        )

    def _read_contents(self) -> None:
        place, size = 0, self.description.block_bytes
        try:
            for row in read_lines(self.folder / CONTENTS):
                member = Member(
                    shards=self, name=str(row["name"]), shard=str(row["shard"]), offset=int(row["offset"]),
                    size=int(row["bytes"]), first_block=place, digests=bytes.fromhex(row["blocks"]),
                )  # fmt: skip
                place += -(-member.size // size)
                self._members.setdefault(str(row["kind"]), {})[str(row["content_hash"])] = member
        except (ContentError, KeyError, ValueError, TypeError) as error:
            raise _damaged(self.folder / CONTENTS, self.address, error) from None


class MemberFile(io.RawIOBase):
    """The bytes of a file in a shard. On this disk, each block is checked when it is needed first."""

    mode = "rb"  # as files have it

    def __init__(self, member: Member) -> None:
        self._member, self._shards, self._place = member, member.shards, 0
        folder = self._shards.storage.folder
        self._file = None if folder is None else (folder / member.shard).open("rb", buffering=0)

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Go to a byte of the file, or as near as it has any."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self._member.size}[whence]
        self._place = min(max(0, base + offset), self._member.size)
        return self._place

    def readinto(self, buffer: Any, /) -> int:
        """Fill a buffer, as far as there are bytes."""
        view = memoryview(buffer).cast("B")
        n_wanted = min(len(view), self._member.size - self._place)
        n_read = self._from_near(view[:n_wanted]) if self._file else self._from_far(view[:n_wanted])
        self._place += n_read
        return n_read

    def _from_near(self, view: memoryview) -> int:
        assert self._file is not None
        for number in self._blocks(len(view)):
            place = self._member.first_block + number
            if place not in self._shards.checked:
                self._shards.block(self._member, number)
                self._shards.checked.add(place)
        self._file.seek(self._member.offset + self._place)
        return self._file.readinto(view) or 0

    def _from_far(self, view: memoryview) -> int:
        size, n_read = self._shards.description.block_bytes, 0
        for number in self._blocks(len(view)):
            block = self._shards.block(self._member, number)
            first = self._place + n_read - number * size
            part = block[first : first + len(view) - n_read]
            view[n_read : n_read + len(part)] = part
            n_read += len(part)
        return n_read

    def _blocks(self, n_bytes: int) -> range:
        """Numbers of the blocks that hold the next bytes."""
        size = self._shards.description.block_bytes
        return range(self._place // size, -(-(self._place + n_bytes) // size) if n_bytes else 0)

    def close(self) -> None:
        """Let go of the shard."""
        if self._file:
            self._file.close()
        super().close()


class ShardedArray:
    """An array in a shard, of which rows are read as they are asked for."""

    def __init__(self, member: Member) -> None:
        self.member = member
        with member.open() as file:
            try:
                if npy.read_magic(file) != (1, 0):
                    raise ArrayError("it is an array of another version of the format")
                self.shape, is_fortran, self.dtype = npy.read_array_header_1_0(file)
            except DAMAGED as error:
                raise ArrayError(str(error)) from None
            self._first_byte = file.tell()
        if is_fortran or not self.shape:
            raise ArrayError("it is not stored row by row")

    def __len__(self) -> int:
        return int(self.shape[0])

    def __getitem__(self, rows: slice) -> Shaped[np.ndarray, "row ..."]:
        """Some rows. Raises AudioError if they are damaged."""
        first, last, _ = rows.indices(len(self))
        row_bytes = self.dtype.itemsize * int(np.prod(self.shape[1:]))
        n_rows = max(0, last - first)
        values = np.empty((n_rows, *self.shape[1:]), self.dtype)
        with self.member.open() as file:
            file.seek(self._first_byte + first * row_bytes)
            file.readinto(values.reshape(-1).view(np.uint8))
        return values


class ShardedArrays:
    """The arrays of a kind in shards, by content: read as an ``ArrayFolder`` is.

    Args:
        folder: of the shards, or of their tables.
        kind: of the arrays.
        row_shape: of their rows; None where any number will do.
        dtype: of their numbers.
    """

    def __init__(self, folder: Path, kind: str, row_shape: tuple[int | None, ...], dtype: str | None) -> None:
        self.shards = shards_in(folder)
        self.kind, self.row_shape, self.dtype = kind, row_shape, dtype
        self._members = self.shards.members(kind)
        self._array = lru_cache(4096)(self._opened)

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return ShardedArrays, (self.shards.folder, self.kind, self.row_shape, self.dtype)

    def __contains__(self, key: str) -> bool:
        return key in self._members

    def keys(self) -> set[str]:
        """The keys of all arrays that are there."""
        return set(self._members)

    def path(self, key: str) -> Path:
        """What an array is called in messages."""
        return Path(str(self._members.get(key, key)))

    def __getitem__(self, key: str) -> ShardedArray:
        """The array of a key. Raises ArrayError if it is another than was expected."""
        return self._array(key)

    def _opened(self, key: str) -> ShardedArray:
        array = ShardedArray(self._members[key])
        fits = all(wanted in (None, n) for wanted, n in zip(self.row_shape, array.shape[1:], strict=False))
        if array.dtype != self.dtype or len(array.shape) != 1 + len(self.row_shape) or not fits:
            raise ArrayError(f"it holds {array.dtype} {array.shape}")
        return array


def read_tracks(manifest: str) -> list[Track]:
    """The tracks of a manifest, or of shards: of their folder, or of their address.

    Raises:
        ManifestError: they cannot be used.
        FileNotFoundError: there is no such manifest.
        StorageError: the storage does not answer.
    """
    if is_far(manifest) or Path(manifest).is_dir():
        return shards_in(fetched(manifest)).tracks()
    return read_manifest(Path(manifest))


def fetched(address: str) -> Path:
    """A folder as it is; of an address of shards, a folder with their tables, which are fetched where needed.

    Raises:
        ShardsError: there are no shards.
        StorageError: the storage does not answer.
    """
    if not is_far(address):
        return Path(address)
    storage = Storage(address)
    folder = cache_folder(storage.address) / "tables"
    try:
        stated = storage.read(SHARDS)
        described = from_dict(ShardsDescription, parse_json(stated, f"{address}/{SHARDS}"))
        for table in described.tables:
            path = folder / table.name
            if not path.is_file() or sha256(path) != table.sha256:
                write_bytes(path, storage.read(table.name))
    except FileNotFoundError as error:
        raise ShardsError(f"There are no whole shards at {address} ({error}). {_cure(address)}") from None
    except (ContentError, ValueError) as error:
        raise _damaged(f"{address}/{SHARDS}", address, error) from None
    write_text(folder / ORIGIN, storage.address)
    write_bytes(folder / SHARDS, stated)
    return folder


@lru_cache(8)
def shards_in(folder: Path) -> Shards:
    """The shards of a folder, opened once in a process. Errors as of ``Shards``."""
    return Shards(folder)


def _description(folder: Path, address: str) -> ShardsDescription:
    path = folder / SHARDS
    if not path.is_file():
        raise ShardsError(f"There are no whole shards in {folder}. {_cure(address)}")
    try:
        described = load_config(ShardsDescription, path)
    except ValueError as error:
        raise _damaged(path, address, error) from None
    for table in described.tables:
        if not (folder / table.name).is_file() or sha256(folder / table.name) != table.sha256:
            raise _damaged(folder / table.name, address, "it is not the one that was written")
    return described


def _cure(address: str) -> str:
    return f"Make them, or finish them, with: {MAKE.format(address=address)}"


def _damaged(path: Path | str, address: str, why: object) -> ShardsError:
    return ShardsError(f"{path} is damaged ({why}). Copy it again. {_cure(address)}")
