"""A library of albums for players to browse: two of Anna's, one of many artists, and a file without tags."""

import io
import struct
from pathlib import Path

import soundfile
from PIL import Image

from solfa.data.manifest import Track, write_manifest
from solfa.embedding import default_windows, describe_space
from solfa.models import ClipEncoder, MuLan
from solfa.retrieval import Library
from synth import melody

RATE = 24_000
TRACKS: dict[str, dict[str, str]] = {
    "anna/rain/CD 1/b.flac": {
        "title": "Drops", "artist": "Anna", "album": "The Rain", "albumartist": "Anna", "year": "1994-05-01",
        "genre": "Ambient; Folk", "track": "1", "disc": "1",
    },
    "anna/rain/CD 2/a.flac": {
        "title": "Puddles", "artist": "Anna; Ben", "album": "The Rain", "albumartist": "Anna",
        "year": "1994", "genre": "Folk", "track": "1", "disc": "2",
    },
    "anna/sun/one.flac": {"title": "Noon", "artist": "Anna", "album": "Sun", "year": "1990", "track": "2"},
    "anna/sun/two.flac": {"title": "Dawn", "artist": "Anna", "album": "Sun", "year": "1990", "track": "1"},
    "many/x.flac": {"title": "X", "artist": "Ben", "album": "Hits"},
    "many/y.flac": {"title": "Y", "artist": "Éva", "album": "Hits"},
    "loose/untagged.flac": {},
}  # fmt: skip


def make_shelves(folder: Path, model: MuLan) -> Path:
    """A library of ``TRACKS``; the first carries a red picture, and Anna's "Sun" lies beside a blue one."""
    tracks = []
    for number, (name, tags) in enumerate(TRACKS.items()):
        path = folder / "music" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, melody(2.0, seed=number), RATE)
        tracks.append(
            Track(path=path, seconds=2.0, sample_rate=RATE, n_channels=1, content_hash=name, tags=tags)
        )
    carry_picture(tracks[0].path, picture("red", "PNG"))
    (folder / "music/anna/sun/Cover.JPG").write_bytes(picture("blue", "JPEG"))
    (folder / "music/many/cover.png").write_text("no picture")
    write_manifest(tracks, folder / "tracks.jsonl")
    encoder = ClipEncoder(model).eval()
    windows = default_windows(encoder)
    space = describe_space(encoder, "/gone/model", layer=0, pool="mean", windows=windows)
    with Library(folder / "shelves.sqlite", space) as library:
        assert not library.update([folder / "tracks.jsonl"], encoder).refused
    return folder / "shelves.sqlite"


def picture(colour: str, form: str, side: int = 400) -> bytes:
    """A picture of one colour."""
    written = io.BytesIO()
    Image.new("RGB", (side, side), colour).save(written, form)
    return written.getvalue()


def carry_picture(path: Path, data: bytes) -> None:
    """Put a picture into a FLAC file, behind its first block (RFC 9639, section 8.8)."""
    kind = b"image/png"
    block = struct.pack(">II", 3, len(kind)) + kind + struct.pack(">IIIIII", 0, 0, 0, 0, 0, len(data)) + data
    whole = path.read_bytes()
    end = 8 + int.from_bytes(whole[5:8], "big")
    header = bytes([6]) + len(block).to_bytes(3, "big")
    path.write_bytes(whole[:end] + header + block + whole[end:])
