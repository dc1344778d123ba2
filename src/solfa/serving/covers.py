"""Pictures of albums: out of the file of a track, or beside it."""

import io
import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from solfa.data.tags import read_picture
from solfa.serving.streaming import NO_WAITING

NAMES = ("cover", "folder", "front", "album", "albumart")  # of pictures beside the music, the best first
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif")
FORMATS = ("JPEG", "PNG", "WEBP", "GIF")
MOST_BYTES = 30_000_000
MOST_PIXELS = 50_000_000  # of a picture that is unfolded
SIZES = (16, 2000)  # pixels that may be asked for
QUALITY = 88


@dataclass(frozen=True, eq=False)
class Cover:
    """A picture as it is sent."""

    data: bytes
    media_type: str


def find_cover(paths: Iterable[Path], size: int | None = None) -> Cover | None:
    """The picture of the first of some tracks that has one: in its file, or in the folder of that.

    Args:
        paths: of the files of the tracks.
        size: pixels of its longer side at most; as it is if None.

    Returns:
        A picture that was found to be one; None if there is none.
    """
    for path in paths:
        for data in (read_picture(path), _beside(path)):
            if data and (cover := _opened(data, size)):
                return cover
    return None


def _beside(path: Path) -> bytes | None:
    """The picture in the folder of a file, by its name."""
    try:
        pictures = [entry.path for entry in os.scandir(path.parent) if entry.name.lower().endswith(SUFFIXES)]
    except OSError:
        return None
    ranks = {name: rank for rank, name in enumerate(NAMES)}
    named = [Path(picture) for picture in pictures if Path(picture).stem.lower() in ranks]
    ordered = sorted(named, key=lambda picture: (ranks[picture.stem.lower()], picture.name))
    return _read(ordered[0]) if ordered else None


def _read(path: Path) -> bytes | None:
    """A file that is one, and not too large."""
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | NO_WAITING), "rb") as file:
            status = os.fstat(file.fileno())
            return file.read() if stat.S_ISREG(status.st_mode) and status.st_size <= MOST_BYTES else None
    except OSError:
        return None


def _opened(data: bytes, size: int | None) -> Cover | None:
    """A picture, made smaller if it is larger than asked for; None if it is no picture."""
    if len(data) > MOST_BYTES:
        return None
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as picture:
            if picture.width * picture.height > MOST_PIXELS:
                return None
            if size is None or max(picture.size) <= (side := min(max(size, SIZES[0]), SIZES[1])):
                return Cover(data, Image.MIME[picture.format or "JPEG"])
            picture.draft("RGB", (side, side))  # JPEG is unfolded to what is needed
            smaller = picture.convert("RGB")
            smaller.thumbnail((side, side))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError, Image.DecompressionBombWarning):
        return None  # what Pillow raises of hostile bytes
    written = io.BytesIO()
    smaller.save(written, "JPEG", quality=QUALITY)
    return Cover(written.getvalue(), Image.MIME["JPEG"])
