import os
import pickle
from contextlib import closing
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
import soxr

import zoo
from solfa.data.audio import AudioError, probe_audio, read_audio
from solfa.data.damage import check_audio
from solfa.data.decoders import open_decoder
from synth import tone

SECONDS = 13.0
# Moments in a file where decoders go wrong: the first block, mid-frame, the last page, the last samples.
STARTS = (0, 1, 1000, 30_001, 200_000, 441_234, 500_000, 560_000, 573_299)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("formats")
    samples = {rate: zoo.music(SECONDS, rate) for rate in (44100, 48000)}
    rates = {kind: 48000 if kind == "opus" else 44100 for kind in zoo.FORMATS}
    return {kind: zoo.write(folder / f"a.{kind}", samples[rate], rate) for kind, rate in rates.items()}


@pytest.mark.parametrize("kind", zoo.FORMATS)
def test_a_crop_equals_the_slice_of_the_whole_file_to_the_bit(files: dict[str, Path], kind: str) -> None:
    whole = read_audio(files[kind])
    for start in STARTS:
        crop = read_audio(files[kind], start=start, n_samples=30_000)
        np.testing.assert_array_equal(crop, whole[start : start + 30_000], err_msg=f"from {start}")


@pytest.mark.parametrize("rate", [8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000])
@pytest.mark.parametrize("kind", ["mp3", "vbr.mp3", "headerless.mp3"])
def test_an_mp3_of_any_rate_is_what_its_decoder_makes_of_it(tmp_path: Path, kind: str, rate: int) -> None:
    """Below 32 kHz a frame is so short that the silence before the music ends in the second one."""
    path = zoo.write(tmp_path / f"a.{kind}", zoo.music(3.0, rate), rate)
    with av.open(str(path)) as file:
        expected = np.concatenate([frame.to_ndarray() for frame in file.decode(audio=0)], axis=1).T
    whole = _samples(path)
    np.testing.assert_array_equal(whole, expected)
    assert check_audio(path).n_samples == probe_audio(path).n_samples == len(whole)
    for start in (0, 1, 529, 577, 1105, 20_000):
        np.testing.assert_array_equal(_samples(path, start, 5_000), whole[start : start + 5_000])


def _samples(path: Path, start: int = 0, n_samples: int | None = None) -> np.ndarray:
    with closing(open_decoder(path)) as decoder:
        return np.concatenate(list(decoder.blocks(start, n_samples)))


@pytest.mark.parametrize("kind", zoo.FORMATS)
def test_a_long_file_is_read_without_a_seam_between_blocks(
    files: dict[str, Path], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = read_audio(files[kind])
    monkeypatch.setattr("solfa.data.sndfile.BLOCK_SAMPLES", 50_000)
    np.testing.assert_array_equal(read_audio(files[kind]), whole)


@pytest.mark.parametrize("kind", zoo.FORMATS)
@pytest.mark.parametrize("sample_rate", [16000, 24000])
def test_a_resampled_crop_equals_the_slice_of_the_whole_file(
    files: dict[str, Path], kind: str, sample_rate: int
) -> None:
    whole = read_audio(files[kind], sample_rate=sample_rate)
    for start in (0, 1, 777, 100_003, len(whole) - 9000, len(whole) - 3):
        crop = read_audio(files[kind], sample_rate=sample_rate, start=start, n_samples=20_000)
        expected = whole[start : start + 20_000]
        assert len(crop) == len(expected)
        np.testing.assert_allclose(crop, expected, atol=1e-5, err_msg=f"from {start}")


@pytest.mark.parametrize(
    "rates", [(8000, 24000), (11025, 24000), (44100, 48000), (192000, 24000), (22255, 16000)]
)
def test_a_crop_has_the_phase_of_the_whole_file_at_any_pair_of_rates(
    tmp_path: Path, rates: tuple[int, int]
) -> None:
    own, wanted = rates
    path = zoo.write(tmp_path / "a.wav", zoo.music(6.0, own, 1), own)
    whole = read_audio(path, sample_rate=wanted)
    crop = read_audio(path, sample_rate=wanted, start=wanted * 3 + 17, n_samples=wanted)
    np.testing.assert_allclose(crop, whole[wanted * 3 + 17 :][:wanted], atol=1e-5)


@pytest.mark.parametrize("kind", zoo.FORMATS)
def test_the_reported_length_is_what_can_be_read(files: dict[str, Path], kind: str) -> None:
    info = probe_audio(files[kind])
    assert len(read_audio(files[kind])) == info.n_samples
    padding = 3000 if kind == "headerless.mp3" else 0  # nobody says how much of it is padding
    assert abs(info.n_samples - round(SECONDS * info.sample_rate)) <= padding


@pytest.mark.parametrize("kind", zoo.FORMATS)
def test_the_decoder_is_named_with_its_version(files: dict[str, Path], kind: str) -> None:
    name = probe_audio(files[kind]).decoder
    expected = "PyAV" if kind in ("m4a", "mp3", "vbr.mp3", "headerless.mp3") else "soundfile"
    assert name.startswith(f"{expected} ") and name[len(expected) + 1].isdigit()


def test_an_mp3_without_length_header_is_read_to_its_end(files: dict[str, Path]) -> None:
    whole, headerless = (probe_audio(files[kind]).seconds for kind in ("vbr.mp3", "headerless.mp3"))
    assert abs(whole - headerless) < 0.1


def test_all_channels_are_mixed_with_equal_weight(tmp_path: Path) -> None:
    samples = zoo.music(1.0, 24000, 6)
    path = tmp_path / "surround.wav"
    soundfile.write(path, samples, 24000, subtype="FLOAT")
    np.testing.assert_allclose(read_audio(path), samples.mean(axis=1), atol=1e-6)


def test_a_channel_is_counted_modulo_their_number(tmp_path: Path) -> None:
    samples = zoo.music(1.0, 24000, 2)
    path = tmp_path / "stereo.wav"
    soundfile.write(path, samples, 24000, subtype="FLOAT")
    np.testing.assert_array_equal(read_audio(path, channel=5), samples[:, 1])


def test_surround_aac_is_read(tmp_path: Path) -> None:
    path = zoo.write(tmp_path / "surround.m4a", zoo.music(2.0, 48000, 6), 48000)
    assert probe_audio(path).n_channels == 6
    assert len(read_audio(path, sample_rate=24000)) == 48000


@pytest.mark.parametrize("sample_rate", [8000, 11025, 22050, 32000, 96000, 192000])
def test_a_tone_keeps_its_pitch_from_any_rate(tmp_path: Path, sample_rate: int) -> None:
    path = zoo.write(tmp_path / "a.wav", tone(440.0, 2.0, sample_rate=sample_rate), sample_rate)
    waveform = read_audio(path, sample_rate=24000)
    peak = np.abs(np.fft.rfft(waveform * np.hanning(len(waveform)))).argmax() * 24000 / len(waveform)
    assert abs(peak - 440.0) < 1.0


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
def test_every_sample_width_is_scaled_to_one(tmp_path: Path, subtype: str) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, tone(440.0, 1.0, gain=0.5), 24000, subtype=subtype)
    assert read_audio(path).max() == pytest.approx(0.5, abs=0.01)


def test_reading_past_the_end_gives_fewer_samples(files: dict[str, Path]) -> None:
    whole = read_audio(files["flac"], sample_rate=24000)
    assert len(read_audio(files["flac"], sample_rate=24000, start=len(whole) - 10, n_samples=100)) == 10
    assert len(read_audio(files["flac"], sample_rate=24000, start=len(whole) + 5000, n_samples=100)) == 0


def test_a_whole_file_is_resampled_as_by_the_resampler_alone(files: dict[str, Path]) -> None:
    own = read_audio(files["wav"])
    np.testing.assert_array_equal(
        read_audio(files["wav"], sample_rate=24000), soxr.resample(own, 44100, 24000, quality="HQ")
    )


@pytest.mark.parametrize(
    "name",
    [
        "two words.wav",
        "\N{MUSICAL KEYBOARD}.wav",
        "line\nbreak.wav",
        "pipe|a:b.wav",
        "a.raw",
        b"caf\xe9.wav",
    ],
)
def test_odd_names_are_read(tmp_path: Path, name: str | bytes) -> None:
    path = tmp_path / (name if isinstance(name, str) else os.fsdecode(name))
    zoo.write(tmp_path / "plain.wav", zoo.music(1.0)).rename(path)
    assert len(read_audio(path)) == 48000


def test_odd_names_are_read_by_the_other_decoder(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"http:caf\xe9\n.m4a")
    zoo.write(tmp_path / "plain.m4a", zoo.music(1.0)).rename(path)
    assert len(read_audio(path)) == 48000


@pytest.mark.parametrize("kind", ["mp3", "ogg", "flac", "m4a", "headerless.mp3"])
def test_content_decides_and_not_the_name(files: dict[str, Path], tmp_path: Path, kind: str) -> None:
    path = tmp_path / "claims to be.wav"
    path.symlink_to(files[kind])
    np.testing.assert_array_equal(read_audio(path, n_samples=5000), read_audio(files[kind], n_samples=5000))


def test_samples_that_are_not_numbers_are_refused_with_the_cure(tmp_path: Path) -> None:
    zoo.BAD["nan.wav"][0](tmp_path / "nan.wav")
    with pytest.raises(AudioError, match=r"nan\.wav.*not numbers.*export it again"):
        read_audio(tmp_path / "nan.wav")


def test_a_file_that_vanished_is_named_with_the_cure(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"gone\.wav.*Prepare its folder again"):
        read_audio(tmp_path / "gone.wav")


def test_a_crop_before_the_beginning_is_a_mistake(files: dict[str, Path]) -> None:
    with pytest.raises(ValueError, match="start=-1"):
        read_audio(files["wav"], start=-1)


def test_an_error_keeps_its_path_on_the_way_from_another_process() -> None:
    error = pickle.loads(pickle.dumps(AudioError("silent", Path("a.wav"))))
    assert (error.path, error.reason, str(error)) == (Path("a.wav"), "silent", "'a.wav': silent")
