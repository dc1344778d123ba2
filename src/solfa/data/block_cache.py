"""Blocks of shards kept on the disk: block ``n`` lives in slot ``n`` modulo the number of slots.

So the size is bounded without a list of what is there, several processes share a cache without a lock, and
blocks that fit all stay. A slot is whole or not there; what is in it is known by its digest.
"""

import hashlib
import logging
import os
from contextlib import suppress
from pathlib import Path

from platformdirs import user_cache_path

from solfa.errors import ArgumentError

log = logging.getLogger(__name__)

FOLDER_VARIABLE, SIZE_VARIABLE = "SOLFA_SHARD_CACHE", "SOLFA_SHARD_CACHE_GB"
USUAL_GB = 10.0
DIGEST_BYTES = 8


def digest_of(block: bytes | memoryview) -> bytes:
    """By which a block is known: the first 8 bytes of its BLAKE2b hash of that length."""
    return hashlib.blake2b(block, digest_size=DIGEST_BYTES).digest()


class BlockCache:
    """Slots of one block each.

    Args:
        folder: of the slots; made when the first is written.
        n_slots: how many there are at most; nothing is kept if 0.
    """

    def __init__(self, folder: Path, n_slots: int) -> None:
        self.folder, self.n_slots = folder, n_slots

    def get(self, number: int, digest: bytes) -> bytes | None:
        """The block of that number, if it is there."""
        if not self.n_slots:
            return None
        try:
            block = self._slot(number).read_bytes()
        except OSError:
            return None
        return block if digest_of(block) == digest else None

    def put(self, number: int, block: bytes) -> None:
        """Keep a block in place of the one that is in its slot. A disk that does not take it is no error."""
        if not self.n_slots:
            return
        slot = self._slot(number)
        partial = slot.with_name(f"{slot.name}.{os.getpid()}")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            partial.write_bytes(block)
            partial.replace(slot)
        except OSError as error:
            log.warning("%s does not take blocks (%s); they are fetched each time.", self.folder, error)
            with suppress(OSError):
                partial.unlink(missing_ok=True)
            self.n_slots = 0

    def _slot(self, number: int) -> Path:
        return self.folder / str(number % self.n_slots)


def cache_folder(address: str) -> Path:
    """Where what is fetched from an address is kept: in a folder of its own, below SOLFA_SHARD_CACHE."""
    of_user = os.environ.get(FOLDER_VARIABLE)
    base = Path(of_user).expanduser() if of_user else user_cache_path("solfa") / "shards"
    return base / hashlib.sha256(address.encode()).hexdigest()[:16]


def cache_bytes() -> int:
    """How many bytes of the blocks of an address are kept: SOLFA_SHARD_CACHE_GB, or 10 GB.

    Raises:
        ArgumentError: it is no number from 0 on.
    """
    stated = os.environ.get(SIZE_VARIABLE, str(USUAL_GB))
    try:
        gigabytes = float(stated)
        if not 0 <= gigabytes < 1e9:
            raise ValueError
    except ValueError:
        raise ArgumentError(f"{SIZE_VARIABLE} is {stated!r}. Give it a number of GB, from 0 on.") from None
    return int(gigabytes * 1e9)
