"""Gigabytes of zeros behind the music cost no time, and are neither music nor damage."""

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

import zoo
from solfa.data import ends
from solfa.data.audio import probe_audio, read_audio
from solfa.data.containers import _PartFile
from solfa.data.damage import check_audio
from solfa.data.prepare import prepare_file
from solfa.data.tags import read_tags

GIGABYTE = 2**30
FRAMES = {"mp3": 1152, "vbr.mp3": 1152, "ac3": 1536, "voc": 1}  # samples
LITTLE = 2**24  # bytes of which there may be read: a few times the music, and the blocks where it ends


def with_zeros(path: Path, n_bytes: int = GIGABYTE) -> Path:
    """The file with zeros behind it, which the disk does not hold."""
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size + n_bytes)
    return path


def in_container(path: Path, container: str, codec: str, kind: str = "s16") -> Path:
    """A file that FFmpeg writes, of three seconds."""
    with av.open(path, "w", format=container) as out:
        stream = out.add_stream(codec, rate=48_000, layout="stereo", format=kind)
        stream.bit_rate = 128_000
        stream.codec_context.open()
        resampler = av.AudioResampler(kind, "stereo", 48_000, stream.codec_context.frame_size or 1024)
        samples = np.ascontiguousarray(zoo.music(3.0).T, np.float32)
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="stereo")
        frame.sample_rate = 48_000
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            out.mux(stream.encode(part))
        out.mux(stream.encode(None))
    return path


def of_flac(path: Path, container: str) -> Path:
    """FLAC in another container."""
    with (
        av.open(written(path.with_name("whole"), "flac")) as given,
        av.open(path, "w", format=container) as out,
    ):
        stream = out.add_stream_from_template(given.streams.audio[0])
        for packet in given.demux(given.streams.audio[0]):
            if packet.dts is not None:
                packet.stream = stream
                out.mux(packet)
    return path


def written(path: Path, kind: str) -> Path:
    return zoo.write(path, zoo.music(3.0), kind=kind)


def by_soundfile(path: Path, kind: str) -> Path:
    soundfile.write(path, zoo.music(3.0), 48_000, format=kind)
    return path


MADE: dict[str, Callable[[Path], Path]] = {
    **{kind: lambda path, kind=kind: written(path, kind) for kind in (*zoo.FORMATS, "aiff")},  # type: ignore[misc]
    **{kind: lambda path, kind=kind: by_soundfile(path, kind) for kind in ("w64", "caf", "au", "rf64")},  # type: ignore[misc]
    "webm": lambda path: in_container(path, "webm", "libopus"),
    "mka": lambda path: of_flac(path, "matroska"),
    "aac": lambda path: in_container(path, "adts", "aac", "fltp"),
    "ac3": lambda path: in_container(path, "ac3", "ac3", "fltp"),
    "oga": lambda path: of_flac(path, "ogg"),
    "wma": lambda path: in_container(path, "asf", "wmav2", "fltp"),
    "alac.m4a": lambda path: in_container(path, "ipod", "alac", "s16p"),
    "flv": lambda path: in_container(path, "flv", "aac", "fltp"),
    "avi": lambda path: in_container(path, "avi", "mp2"),
    "voc": lambda path: in_container(path, "voc", "pcm_s16le"),
}


@pytest.fixture
def n_read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many bytes are read while a test runs, by whatever part of the program."""
    counts: list[int] = []
    read_into, read_at = _PartFile.readinto, ends.read_at
    count_blocks = lambda *asked: counts.append(len(found := read_at(*asked))) or found  # noqa: E731
    count_parts = lambda file, buffer: counts.append(n := read_into(file, buffer)) or n  # noqa: E731
    monkeypatch.setattr(ends, "read_at", count_blocks)
    monkeypatch.setattr(_PartFile, "readinto", count_parts)
    return counts


@pytest.mark.parametrize("kind", MADE)
def test_zeros_behind_the_music_cost_nothing_and_change_nothing(
    tmp_path: Path, n_read: list[int], kind: str
) -> None:
    path = MADE[kind](tmp_path / f"a.{kind}")
    whole, tags, info, promised = read_audio(path), read_tags(path), check_audio(path), probe_audio(path)
    with_zeros(path)
    n_read.clear()
    found = read_audio(path)
    frame = FRAMES.get(kind, 0)  # where the last one ends is the decoder's guess
    assert abs(len(found) - len(whole)) <= frame
    np.testing.assert_array_equal(found[: len(whole) - frame], whole[: len(found)][: len(whole) - frame])
    assert abs(check_audio(path).n_samples - info.n_samples) <= frame and read_tags(path) == tags
    assert abs(probe_audio(path).n_samples - promised.n_samples) <= frame
    assert sum(n_read) < LITTLE


@pytest.mark.parametrize("kind", ["wav", "flac", "ogg", "mp3", "m4a"])
def test_zeros_that_the_disk_holds_are_read_once(
    tmp_path: Path, n_read: list[int], monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(ends, "_stored_end", lambda file, size: size)
    path = with_zeros(written(tmp_path / f"a.{kind}", kind), 2**26)
    whole = len(read_audio(path))
    assert check_audio(path).n_samples == len(read_audio(path, start=0)) == whole
    assert 2**26 <= sum(n_read) < 2**26 + LITTLE


def test_silence_at_the_end_of_a_recording_is_music(tmp_path: Path) -> None:
    samples = np.concatenate([zoo.music(1.5), np.zeros((3 * 48_000, 2))])
    for kind in ("wav", "aiff", "w64", "caf", "au"):
        path = tmp_path / f"a.{kind}"
        soundfile.write(path, samples, 48_000, format=kind)
        assert probe_audio(path).n_samples == check_audio(path).n_samples == len(samples)
        assert check_audio(with_zeros(path)).n_samples == len(samples)


def test_silence_at_the_end_of_the_second_of_two_joined_files_is_music(tmp_path: Path) -> None:
    path = zoo.write(tmp_path / "a.wav", np.concatenate([zoo.music(1.5), np.zeros((3 * 48_000, 2))]))
    path.write_bytes(2 * path.read_bytes())
    assert check_audio(with_zeros(path)).seconds == 9.0


def test_a_wav_that_does_not_say_its_length_keeps_its_zeros(tmp_path: Path) -> None:
    path = zoo.write(tmp_path / "a.wav", np.concatenate([zoo.music(1.5), np.zeros((3 * 48_000, 2))]))
    data = bytearray(path.read_bytes())
    data[4:8] = data[40:44] = b"\xff\xff\xff\xff"  # as into a pipe
    path.write_bytes(data)
    assert check_audio(path).seconds == 4.5


def test_a_file_cut_inside_a_page_is_damaged_whatever_lies_behind(tmp_path: Path) -> None:
    path = with_zeros(zoo.truncate(written(tmp_path / "a.ogg", "ogg")))
    assert "damaged at 1" in getattr(prepare_file(path), "reason", "")


def test_rubbish_behind_ogg_pages_is_no_damage(tmp_path: Path) -> None:
    for kind in ("ogg", "opus", "oga"):
        path = MADE[kind](tmp_path / f"a.{kind}")
        info = check_audio(path)
        with path.open("ab") as file:
            file.write(np.random.default_rng(0).bytes(500_000))
        assert check_audio(path) == info


@pytest.mark.parametrize("kind", ["ogg", "opus"])
def test_a_last_page_that_is_overwritten_is_missed(tmp_path: Path, kind: str) -> None:
    path = written(tmp_path / f"a.{kind}", kind)
    data = path.read_bytes()
    last = data.rindex(b"OggS")
    for rubbish in (bytes(len(data) - last), bytes(40) + data[last + 40 :], b"x" * (len(data) - last)):
        path.write_bytes(data[:last] + rubbish)
        assert "what follows is no page" in getattr(prepare_file(path), "reason", "")


def test_a_first_page_of_music_that_is_overwritten_is_missed(tmp_path: Path) -> None:
    path = written(tmp_path / "a.opus", "opus")
    data = bytearray(path.read_bytes())
    headers = data.index(b"OggS", data.index(b"OpusTags"))
    data[headers : headers + 40] = bytes(40)
    path.write_bytes(data)
    assert "a page is missing" in getattr(prepare_file(path), "reason", "")


def test_where_a_decoder_stumbles_over_the_zeros_they_are_named(tmp_path: Path) -> None:
    path = with_zeros(in_container(tmp_path / "a.ts", "mpegts", "aac", "fltp"), 2**24)
    assert "zeros lie at its end; cut them off" in getattr(prepare_file(path), "reason", "")
    assert getattr(prepare_file(path, take_damaged=True), "seconds", 0.0) == pytest.approx(3.0, abs=0.05)


def test_a_file_of_nothing_but_zeros_is_refused(tmp_path: Path, n_read: list[int]) -> None:
    path = with_zeros(tmp_path / "a.mp3") if (tmp_path / "a.mp3").write_bytes(b"\0") else tmp_path
    assert "not audio" in getattr(prepare_file(path), "reason", "")
    assert sum(n_read) < LITTLE
