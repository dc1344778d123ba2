"""Writes audio files: good ones in every format, bad ones of every kind, and packages of them."""

import struct
import subprocess
import zipfile
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import soundfile

from solfa_free.free_music import list_tracks
from synth import melody

FORMATS = ("wav", "flac", "ogg", "opus", "mp3", "vbr.mp3", "headerless.mp3", "m4a")
SUBTYPES = {"ogg": ("OGG", "VORBIS"), "opus": ("OGG", "OPUS"), "mp3": ("MP3", "MPEG_LAYER_III")}


def music(seconds: float, sample_rate: int = 48000, n_channels: int = 2) -> np.ndarray:
    """Samples by channels, each channel another tune."""
    tunes = [melody(seconds, seed=seed, sample_rate=sample_rate) for seed in range(n_channels)]
    return np.stack(tunes, axis=1)


def write(path: Path, samples: np.ndarray, sample_rate: int = 48000, kind: str | None = None) -> Path:
    """Write ``samples`` in the format that ``kind``, or else the name, says."""
    kind = kind or path.name.partition(".")[2]
    samples = samples[:, None] if samples.ndim == 1 else samples
    if kind == "m4a":
        _write_aac(path, samples, sample_rate)
    elif kind == "headerless.mp3":
        write(path, samples, sample_rate, "vbr.mp3")
        path.write_bytes(_without_length_header(path.read_bytes(), sample_rate))
    else:
        _write_soundfile(path, samples, sample_rate, kind)
    return path


def write_tagged(path: Path, tags: list[tuple[str, str]], seconds: float = 1.5) -> Path:
    """Write a FLAC file with tags, of which a name may stand several times."""
    write(path, music(seconds), kind="flac")
    texts = [f"{name}={value}".encode() for name, value in tags]
    body = struct.pack("<I", 0) + struct.pack("<I", len(texts))
    body += b"".join(struct.pack("<I", len(text)) + text for text in texts)
    data, position, kept = path.read_bytes(), 4, []
    is_last = False
    while not is_last:
        is_last, kind = bool(data[position] & 0x80), data[position] & 0x7F
        end = position + 4 + int.from_bytes(data[position + 1 : position + 4], "big")
        if kind != 4:
            kept.append(bytes([kind]) + data[position + 1 : end])
        position = end
    comments = bytes([0x80 | 4]) + len(body).to_bytes(3, "big") + body
    path.write_bytes(b"fLaC" + b"".join(kept) + comments + data[position:])
    return path


def truncate(path: Path, share: float = 0.5) -> Path:
    """Cut off the end of a file, as a broken download does."""
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    return path


def build_package(package: str, folder: Path, n_tracks: int | None = None) -> Path:
    """A .deb with short tones where the real one has its music, a notice and a file that nobody wants."""
    root = folder / "root" / package
    (root / "DEBIAN").mkdir(parents=True)
    (root / "DEBIAN" / "control").write_text(
        f"Package: {package}\nVersion: 1\nArchitecture: all\nDescription: x\n"
        "Maintainer: Nobody <nobody@example.org>\n"
    )
    audio = write(folder / f"{package}.ogg", music(1.5)).read_bytes()
    names = [track.path for track in list_tracks([package])][:n_tracks]
    for name in [*names, f"usr/share/doc/{package}/copyright", "usr/share/games/level.dat"]:
        archive, is_zip, inner = name.partition(".pk3.d/")
        path = root / (f"{archive}.pk3" if is_zip else name)
        path.parent.mkdir(parents=True, exist_ok=True)
        if is_zip:
            with zipfile.ZipFile(path, "a") as file:
                file.writestr(inner, audio)
        else:
            path.write_bytes(audio if name in names else b"notice")
    deb = folder / f"{package}_1_all.deb"
    subprocess.run(["dpkg-deb", "--build", "-Znone", str(root), str(deb)], check=True, capture_output=True)
    return deb


def _write_soundfile(path: Path, samples: np.ndarray, sample_rate: int, kind: str) -> None:
    container, subtype = SUBTYPES.get(kind.split(".")[-1], (kind.upper(), None))
    mode = {"bitrate_mode": "VARIABLE", "compression_level": 0.5} if kind == "vbr.mp3" else {}
    with soundfile.SoundFile(
        path, "w", sample_rate, samples.shape[1], format=container, subtype=subtype, **mode
    ) as file:
        for start in range(0, len(samples), sample_rate):  # one long block crashes the Vorbis encoder
            file.write(samples[start : start + sample_rate])


def _write_aac(path: Path, samples: np.ndarray, sample_rate: int) -> None:
    layout = {1: "mono", 2: "stereo", 6: "5.1"}[samples.shape[1]]
    with av.open(path, "w", format="mp4") as container:
        # Noise substitution would make the decoder draw random numbers; see docs/data.md.
        stream = container.add_stream("aac", rate=sample_rate, layout=layout, options={"aac_pns": "0"})
        stream.bit_rate = 64000 * samples.shape[1]
        for start in range(0, len(samples), 1024):
            block = np.ascontiguousarray(samples[start : start + 1024].T, np.float32)
            frame = av.AudioFrame.from_ndarray(block, format="fltp", layout=layout)
            frame.sample_rate, frame.pts, frame.time_base = sample_rate, start, Fraction(1, sample_rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _without_length_header(data: bytes, sample_rate: int) -> bytes:
    """An MP3 without its first frame, which says how many follow."""
    bit_rates: tuple[int, ...] = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
    bytes_per_bit, sync = 144_000, b"\xff\xfb"  # MPEG 1, layer III
    if sample_rate < 32_000:  # MPEG 2, and below it 2.5: half as many samples in a frame
        bit_rates = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
        bytes_per_bit, sync = 72_000, b"\xff\xf3" if sample_rate >= 16_000 else b"\xff\xe3"
    start = data.index(sync)
    n_bytes = bytes_per_bit * bit_rates[data[start + 2] >> 4] // sample_rate + (data[start + 2] >> 1 & 1)
    return data[start + n_bytes :]


def _nan(path: Path) -> None:
    samples = music(2.0)
    samples[5000, 0] = np.nan
    soundfile.write(path, samples, 48000, subtype="FLOAT", format="WAV")


def _cut(path: Path) -> None:
    truncate(write(path, music(4.0)))


def _index_first(path: Path) -> None:
    """An MP4 as for streaming: its index comes first, and survives."""
    whole = write(path.with_name("whole.mp4"), music(4.0), kind="m4a")
    with av.open(whole) as given, av.open(path, "w", format="mp4", options={"movflags": "faststart"}) as out:
        stream = out.add_stream_from_template(given.streams.audio[0])
        for packet in given.demux(given.streams.audio[0]):
            if packet.dts is not None:
                packet.stream = stream
                out.mux(packet)
    whole.unlink()
    truncate(path, 0.6)


# name of the file -> how to make it, what the reason names, and the cure that it gives
BAD: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "text.mp3": (
        lambda path: path.write_text("These are the words of a song.\n" * 50),
        "not audio",
        "remove",
    ),
    "playlist.mp3": (
        lambda path: path.write_text("#EXTM3U\nhttp://127.0.0.1:9/a.ts\n"),
        "not audio",
        "remove",
    ),
    "empty.wav": (lambda path: path.touch(), "0 bytes", "download it again"),
    "header only.wav": (lambda path: write(path, np.zeros((0, 1)), kind="wav"), "0 samples", "remove"),
    "one sample.wav": (
        lambda path: write(path, np.ones((1, 1)) / 2, kind="wav"),
        "1 samples",
        "--min-seconds",
    ),
    "short.ogg": (lambda path: write(path, music(0.5)), "too short", "--min-seconds"),
    "silence.flac": (lambda path: write(path, np.zeros((88200, 2))), "silent", "remove"),
    "silence.mp3": (lambda path: write(path, np.zeros((88200, 2))), "silent", "remove"),
    "nan.wav": (_nan, "not numbers", "export it again"),
    "cut.wav": (_cut, "truncated", "download it again"),
    "cut.mp3": (_cut, "truncated", "download it again"),
    "cut.flac": (_cut, "", "download it again"),
    "cut.ogg": (_cut, "truncated", "download it again"),
    "cut.opus": (_cut, "truncated", "download it again"),
    "cut.m4a": (_cut, "truncated", "download it again"),
    "index first.m4a": (_index_first, "truncated: 2.4 of 4.0 s", "download it again"),
    "cut in its header.flac": (
        lambda path: truncate(write(path, music(2.0), kind="flac"), 0.0001),
        "",
        "again",
    ),
}
