"""Tags of a file, whatever holds them: all values of each, and never at the price of the track."""

import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, cast

import tinytag

from solfa.data.ends import open_music

SEPARATOR = "; "  # between the values of one tag
TAGS = (
    *("title", "artist", "album", "albumartist", "composer", "genre", "year", "track", "track_total"),
    *("disc", "disc_total", "set_subtitle", "bpm", "initial_key", "mood", "grouping", "work", "conductor"),
    *("lyricist", "language", "publisher", "isrc"),
)
# Names of the same tags in other containers.
OTHER_NAMES = {
    "album_artist": "albumartist", "album artist": "albumartist", "date": "year", "label": "publisher",
    "tracknumber": "track", "tracktotal": "track_total", "totaltracks": "track_total", "discnumber": "disc",
    "disctotal": "disc_total", "totaldiscs": "disc_total", "discsubtitle": "set_subtitle", "tbpm": "bpm",
    "tempo": "bpm", "initialkey": "initial_key", "key": "initial_key", "tmoo": "mood", "writer": "lyricist",
}  # fmt: skip
SPLIT = ("artist", "albumartist", "composer", "genre", "mood", "conductor", "lyricist")  # at any semicolon
AV_CONTAINERS = "ape,avi,caf,dsf,flv,matroska,mov,mpc,mpc8,oma,tta,wv"  # that tinytag does not know
UNKNOWN = "und"  # the language of MP4 files without one
LONGEST_VALUE = 1_000  # characters; longer ones are lyrics or pictures in disguise
MOST_READS = 20_000  # of a file; a container of empty blocks would be read for minutes
MOST_BYTES = 2**26  # in one read


def read_tags(path: Path) -> dict[str, str]:
    """The tags of a file by their names, several values of one joined by ``SEPARATOR``.

    Nothing, rather than an error, if they cannot be read: parsers of hostile bytes raise anything.
    """
    try:
        values = _by_tinytag(path)
    except tinytag.UnsupportedFormatError:
        values = _by_av(path)
    return {name: text for name in TAGS if (text := _joined(values.get(name, ()), name in SPLIT))}


def read_picture(path: Path) -> bytes | None:
    """The picture of its album that a file carries, as it stands there; None if it has none.

    Of MP3, FLAC, Ogg, MP4, AIFF and WMA. Nothing, rather than an error, if it cannot be read.
    """
    try:
        with _Patient(path) as file:
            found = tinytag.TinyTag.get(path.name, cast(BinaryIO, file), duration=False, image=True)
        picture = found.images.any
    except Exception:
        return None
    return picture.data if picture else None


def values_of(text: str) -> list[str]:
    """The values that stand in the text of a tag, each once."""
    return list(dict.fromkeys(value for part in text.split(SEPARATOR) if (value := part.strip())))


def _by_tinytag(path: Path) -> dict[str, list[str]]:
    """What stands in MP3, FLAC, Ogg, MP4, WAV, AIFF and WMA. The content tells which it is, or else the name.

    Raises:
        UnsupportedFormatError: it is none of them.
    """
    try:
        try:
            found = _parsed(path, None)
        except tinytag.UnsupportedFormatError:
            found = _parsed(path, path.name)
    except tinytag.UnsupportedFormatError:
        raise
    except Exception:
        return {}
    return found


def _parsed(path: Path, name: str | None) -> dict[str, list[str]]:
    with _Patient(path) as file:
        tag = tinytag.TinyTag.get(name, cast(BinaryIO, file), duration=False)
    return {name: _as_list(value) for name, value in tag.as_dict().items() if name in TAGS}


def _by_av(path: Path) -> dict[str, list[str]]:
    """What stands in Matroska, Monkey's Audio, WavPack, Musepack and others."""
    import av  # takes a while to import, and most files do without

    try:
        options = {"format_whitelist": AV_CONTAINERS}
        with open_music(path) as file, av.open(file, options=options) as container:
            pairs = [*container.streams.audio[0].metadata.items(), *container.metadata.items()]
    except Exception:
        return {}
    found: dict[str, list[str]] = {}
    for key, text in pairs:
        name = OTHER_NAMES.get(key.casefold(), key.casefold())
        found.setdefault(name, []).append(text)
    for name in ("track", "disc"):  # as "3/12"
        number, slash, total = found.get(name, [""])[0].partition("/")
        if slash:
            found[name] = [number]
            found.setdefault(f"{name}_total", [total])
    return found


def _as_list(value: object) -> list[str]:
    return [str(part) for part in value] if isinstance(value, list) else [str(value)]


def _joined(values: Sequence[str], is_split: bool) -> str:
    parts = (
        part for value in values for part in (re.split("[;\0]", value) if is_split else value.split("\0"))
    )
    texts = (part.strip() for part in parts)
    kept = dict.fromkeys(text for text in texts if text and text != UNKNOWN and len(text) <= LONGEST_VALUE)
    return SEPARATOR.join(kept)


class _Patient(io.BufferedReader):
    """A file that ends where its music does, and after so many reads."""

    def __init__(self, path: Path) -> None:
        super().__init__(open_music(path).detach())
        self._n_reads = 0

    def read(self, size: int | None = -1, /) -> bytes:
        """Some bytes; none once there were enough."""
        self._n_reads += 1
        if self._n_reads > MOST_READS:
            return b""
        return super().read(MOST_BYTES if size is None or size < 0 else min(size, MOST_BYTES))
