"""Formats that few people have: what the decoders read is taken, by its name and by its content."""

import struct
from collections.abc import Callable, Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

import zoo
from solfa.data.audio import read_audio
from solfa.data.damage import check_audio
from solfa.data.folders import AUDIO_SUFFIXES
from solfa.data.prepare import prepare_file, prepare_folder

SECONDS = 3.0
RECORDED = Path(__file__).parents[1] / "golden" / "rare_formats"  # what no library here writes
DSD_RATE = 64 * 44_100


def tune(sample_rate: int) -> np.ndarray:
    """The mono waveform that is in every file."""
    return zoo.music(SECONDS, sample_rate, 1)[:, 0]


def by_ffmpeg(path: Path, container: str, codec: str, kind: str, rate: int = 48_000) -> None:
    """Write the tune with a codec of FFmpeg's, in samples of a kind."""
    with av.open(path, "w", format=container) as out:
        stream = out.add_stream(codec, rate=rate, layout="mono", format=kind, options={"strict": "-2"})
        stream.codec_context.open()
        resampler = av.AudioResampler(kind, "mono", rate, stream.codec_context.frame_size or 1024)
        frame = av.AudioFrame.from_ndarray(tune(rate)[None].astype(np.float32), format="flt", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            out.mux(stream.encode(part))
        out.mux(stream.encode(None))


def dsdiff(path: Path) -> None:
    """Write the tune as bits, of which as many are set as the wave is high.

    Source:
        DSDIFF 1.5.
    """
    bits = np.diff(np.floor(np.cumsum(0.5 + 0.4 * np.repeat(tune(44_100), 64))), prepend=0.0)
    chunk = lambda name, body: name + struct.pack(">Q", len(body)) + body  # noqa: E731
    form = b"SND " + chunk(b"FS  ", struct.pack(">I", DSD_RATE)) + chunk(b"CHNL", b"\0\1C000")
    form += chunk(b"CMPR", b"DSD \x0enot compressed\0")
    body = b"DSD " + chunk(b"FVER", bytes([1, 5, 0, 0])) + chunk(b"PROP", form)
    path.write_bytes(chunk(b"FRM8", body + chunk(b"DSD ", np.packbits(bits.astype(np.uint8)).tobytes())))


def shorten(path: Path) -> None:
    """Write the tune without prediction.

    Source:
        T. Robinson, SHORTEN: simple lossless and near-lossless waveform compression (1994).
    """
    rate, block, n_bits = 8_000, 256, 12
    samples = (tune(rate) * 32_767).astype(np.int16)
    pieces: list[str] = []

    def golomb(n_low: int, values: Iterable[int]) -> None:
        low = 1 << n_low  # its mark stands in front of the low bits
        pieces.extend("0" * (value >> n_low) + f"{low | value & low - 1:b}" for value in values)

    def number(value: int) -> None:
        golomb(2, [value.bit_length()])
        golomb(value.bit_length(), [value])

    sizes = (36 + samples.nbytes, b"WAVE", b"fmt ", 16, 1, 1, rate, 2 * rate, 2, 16, b"data", samples.nbytes)
    header = struct.pack("<4sI4s4sIHHIIHH4sI", b"RIFF", *sizes)
    for value in (5, 1, block, 0, 0, 0):  # 16 bits, channels, ...
        number(value)
    golomb(2, [9])  # what follows is copied
    golomb(5, [len(header)])
    golomb(8, header)
    for start in range(0, len(samples), block):
        values = samples[start : start + block].tolist()
        if len(values) < block:
            golomb(2, [5])
            number(len(values))
        golomb(2, [0])
        golomb(3, [n_bits])
        golomb(n_bits + 1, [2 * v if v >= 0 else -2 * v - 1 for v in values])
    golomb(2, [4])  # the end
    text = "".join(pieces)
    text += "0" * (-len(text) % 32)
    path.write_bytes(b"ajkg\x02" + int(text, 2).to_bytes(len(text) // 8, "big"))


def written_as(path: Path, container: str, subtype: str, **options: str) -> None:
    soundfile.write(path, tune(48_000), 48_000, subtype, format=container, **options)


MADE: dict[str, Callable[[Path], None]] = {
    ".mpg": lambda path: by_ffmpeg(path, "mpeg", "mp2", "s16"),
    ".mpeg": lambda path: by_ffmpeg(path, "mpeg", "ac3", "fltp"),
    ".m2p": lambda path: by_ffmpeg(path, "dvd", "mp2", "s16"),
    ".vob": lambda path: by_ffmpeg(path, "vob", "ac3", "fltp"),
    ".rm": lambda path: by_ffmpeg(path, "rm", "ac3", "fltp"),
    ".ra": lambda path: by_ffmpeg(path, "rm", "real_144", "s16", 8_000),
    ".mk3d": lambda path: by_ffmpeg(path, "matroska", "ac3", "fltp"),
    ".isma": lambda path: by_ffmpeg(path, "ismv", "aac", "fltp"),
    ".omg": lambda path: by_ffmpeg(path, "mp3", "mp3", "fltp"),  # as players of a brand called them
    ".voc": lambda path: written_as(path, "VOC", "PCM_16"),
    ".fap": lambda path: written_as(path, "PAF", "PCM_16", endian="LITTLE"),
    ".amb": lambda path: written_as(path, "WAVEX", "PCM_16"),
    ".dff": dsdiff,
    ".shn": shorten,
}  # fmt: skip


@pytest.mark.parametrize("suffix", MADE)
def test_a_rare_format_is_taken_and_holds_the_tune(tmp_path: Path, suffix: str) -> None:
    MADE[suffix](tmp_path / f"a{suffix}")
    (track,) = prepare_folder(tmp_path).tracks
    assert track.seconds == pytest.approx(SECONDS, abs=0.07)
    found, expected = read_audio(track.path, sample_rate=8_000), tune(8_000)
    n = 1 << 17
    alike = np.fft.irfft(np.fft.rfft(found, n) * np.conj(np.fft.rfft(expected, n)))
    likeness = alike.max() / np.linalg.norm(found) / np.linalg.norm(expected)
    assert likeness > (0.8 if suffix in (".ra", ".dff") else 0.97)  # these are noisy


@pytest.mark.parametrize("suffix", [".dff", ".rm"])
def test_a_rare_format_that_is_cut_off_says_so(tmp_path: Path, suffix: str) -> None:
    MADE[suffix](tmp_path / f"a{suffix}")
    zoo.truncate(tmp_path / f"a{suffix}", 0.6)
    assert "truncated" in getattr(prepare_file(tmp_path / f"a{suffix}"), "reason", "")


def test_tak_is_known_to_the_decoders_though_no_program_here_writes_it() -> None:
    assert ".tak" in AUDIO_SUFFIXES
    assert "tak" in av.formats_available and "tak" in av.codecs_available


@pytest.mark.parametrize("suffix", [".thd", ".mlp"])
def test_what_only_other_programs_write_is_read_from_a_recording(suffix: str) -> None:
    info = check_audio(RECORDED / f"tone{suffix}")
    assert (info.sample_rate, info.n_channels, info.n_samples) == (48_000, 2, 43_200)
    waveform = read_audio(info.path)
    assert np.abs(np.fft.rfft(waveform)).argmax() * info.sample_rate / len(waveform) == 440.0
    assert suffix in AUDIO_SUFFIXES


def test_every_ending_that_is_made_here_is_looked_for() -> None:
    assert set(MADE) <= set(AUDIO_SUFFIXES)


def test_shorten_gives_the_samples_that_were_written(tmp_path: Path) -> None:
    shorten(tmp_path / "a.shn")
    expected = (tune(8_000) * 32_767).astype(np.int16) / np.float32(2**15)
    np.testing.assert_array_equal(read_audio(tmp_path / "a.shn"), expected)


def test_joined_files_of_which_the_second_would_not_be_read_are_refused(tmp_path: Path) -> None:
    shorten(tmp_path / "a.shn")
    (tmp_path / "a.shn").write_bytes(2 * (tmp_path / "a.shn").read_bytes())
    assert "two files in one" in getattr(prepare_file(tmp_path / "a.shn"), "reason", "")
