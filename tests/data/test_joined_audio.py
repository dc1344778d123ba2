"""Two files one behind the other in one, of whatever rates and channels: all music is read, or it is said."""

from pathlib import Path

import numpy as np
import pytest

import zoo
from solfa.data.audio import AudioError, probe_audio, read_audio
from solfa.data.damage import check_audio

FIRST_SECONDS, SECOND_SECONDS = 3.0, 2.0
SAMPLE_RATE = 24_000  # at which is compared
PADDING_SECONDS = 0.1  # that an MP3 may have at its joint: an encoder's, and a decoder's delay
KINDS = ("ogg", "opus", "mp3", "vbr.mp3", "headerless.mp3", "wav", "aiff", "m4a")
SECOND_FILES = [(48_000, 2), (48_000, 1), (24_000, 2), (24_000, 1)]  # rates and channels of the second


def join(folder: Path, first: str, second: str, rate: int, n_channels: int, first_channels: int = 2) -> Path:
    """A file that plays a tune, and then another one backwards."""
    path = folder / f"a.{first}"
    a = zoo.write(folder / f"first.{first}", zoo.music(FIRST_SECONDS, n_channels=first_channels), kind=first)
    tune = zoo.music(SECOND_SECONDS, rate, n_channels)[::-1]
    b = zoo.write(folder / f"second.{second}", tune, rate, second)
    path.write_bytes(a.read_bytes() + b.read_bytes())
    return path


def place_of(tune: np.ndarray, waveform: np.ndarray) -> tuple[float, float]:
    """Where a tune is in a waveform, in seconds, and how much alike the two are there."""
    n = 1 << (len(tune) + len(waveform)).bit_length()
    alike = np.fft.irfft(np.fft.rfft(waveform, n) * np.conj(np.fft.rfft(tune, n)))
    place = int(alike[: len(waveform) - len(tune) + 1].argmax())
    found = waveform[place : place + len(tune)]
    return place / SAMPLE_RATE, float(np.vdot(found, tune) / np.linalg.norm(found) / np.linalg.norm(tune))


@pytest.mark.parametrize("first_channels", [2, 1])
@pytest.mark.parametrize(("rate", "n_channels"), SECOND_FILES)
@pytest.mark.parametrize("kind", KINDS)
def test_both_files_are_read_where_they_belong(
    tmp_path: Path, kind: str, rate: int, n_channels: int, first_channels: int
) -> None:
    path = join(tmp_path, kind, kind, rate, n_channels, first_channels)
    slack = PADDING_SECONDS if kind.endswith("mp3") else 1e-3
    length = FIRST_SECONDS + SECOND_SECONDS
    assert length <= check_audio(path).seconds + 1e-3 <= length + slack + 2e-3
    assert probe_audio(path).seconds == pytest.approx(check_audio(path).seconds, abs=0.01)
    waveform = read_audio(path, sample_rate=SAMPLE_RATE)
    tune = zoo.music(SECOND_SECONDS, SAMPLE_RATE, n_channels)[::-1].mean(axis=1)[: SAMPLE_RATE * 3 // 2]
    place, likeness = place_of(tune, waveform)
    assert likeness > 0.9 and FIRST_SECONDS <= place + 1e-3 <= FIRST_SECONDS + slack + 2e-3
    crop = read_audio(path, sample_rate=SAMPLE_RATE, start=80_000, n_samples=20_000)
    np.testing.assert_allclose(crop, waveform[80_000:100_000], atol=1e-5)


@pytest.mark.parametrize(("first", "second"), [("ogg", "opus"), ("opus", "ogg")])
def test_links_of_a_chain_may_have_different_codecs(tmp_path: Path, first: str, second: str) -> None:
    path = join(tmp_path, first, second, 48_000, 2)
    assert check_audio(path).seconds == pytest.approx(FIRST_SECONDS + SECOND_SECONDS, abs=1e-3)


@pytest.mark.parametrize("kind", ["ogg", "opus"])
@pytest.mark.parametrize("number", [0, 1])
def test_a_damaged_link_is_said(tmp_path: Path, kind: str, number: int) -> None:
    path = join(tmp_path, kind, kind, 24_000, 1)
    data = bytearray(path.read_bytes())
    first = (tmp_path / f"first.{kind}").stat().st_size
    place = (first // 2, (first + len(data)) // 2)[number]
    data[place : place + 100] = bytes(100)
    path.write_bytes(data)
    with pytest.raises(AudioError, match="damaged at"):
        check_audio(path)


def test_a_second_file_that_would_not_be_read_is_said(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match="two files in one: another begins at byte"):
        check_audio(join(tmp_path, "flac", "flac", 24_000, 1))
