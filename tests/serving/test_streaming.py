"""Sound in ranges, as files and as WAV, and waveforms."""

import io
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="the page needs FastAPI: pip install 'solfa[serve]'")
pytest.importorskip("httpx", reason="these tests need httpx")

import soundfile
from fastapi.testclient import TestClient

from solfa.retrieval import Searcher
from solfa.serving.streaming import PIECE_BYTES, RangeError, WavSound, read_range
from solfa.serving.waveform import N_PEAKS, Waveforms, make_peaks
from synth import tone


@pytest.mark.parametrize(
    ("header", "span"),
    [
        (None, None),
        ("bytes=0-", (0, 100)),
        ("bytes=0-0", (0, 1)),
        ("bytes=10-19", (10, 20)),
        ("bytes=90-999999999999999999", (90, 100)),
        ("bytes=-5", (95, 100)),
        ("bytes=-500", (0, 100)),
        ("Bytes=1-2", (1, 3)),
        ("bytes=20-10", None),
        ("bytes=-", None),
        ("bytes=0-1,5-6", None),
        ("bytes=" + "0-," * 1000, None),
        ("bytes=" + "9" * 5000 + "-", None),
        ("lines=1-2", None),
    ],
)
def test_a_range_is_read_as_the_standard_has_it(header: str | None, span: tuple[int, int] | None) -> None:
    assert read_range(header, 100) == span


@pytest.mark.parametrize("header", ["bytes=100-", "bytes=1000-2000", "bytes=-0"])
def test_a_range_behind_the_end_cannot_be_had(header: str) -> None:
    with pytest.raises(RangeError):
        read_range(header, 100)


@pytest.mark.parametrize("form", ["file", "wav"])
def test_ranges_put_together_are_the_whole(client: TestClient, ids: dict[str, int], form: str) -> None:
    address = f"/api/tracks/{ids['clicks.flac']}/audio?form={form}"
    whole = client.get(address)
    assert whole.status_code == 200 and whole.headers["accept-ranges"] == "bytes"
    n_bytes = len(whole.content)
    assert int(whole.headers["content-length"]) == n_bytes
    parts, start = b"", 0
    for length in (1, 43, 1, 7, 1000, 33_333, n_bytes):
        if start >= n_bytes:
            break
        part = client.get(address, headers={"Range": f"bytes={start}-{start + length - 1}"})
        stop = min(start + length, n_bytes)
        assert part.status_code == 206
        assert part.headers["content-range"] == f"bytes {start}-{stop - 1}/{n_bytes}"
        parts, start = parts + part.content, stop
    assert parts == whole.content
    assert client.get(address, headers={"Range": "bytes=-9"}).content == whole.content[-9:]


def test_a_range_behind_the_end_is_416_with_the_length(client: TestClient, ids: dict[str, int]) -> None:
    answer = client.get(f"/api/tracks/{ids['chord.wav']}/audio", headers={"Range": "bytes=99999999-"})
    assert answer.status_code == 416 and answer.headers["content-range"].startswith("bytes */")


def test_a_range_of_an_earlier_file_gives_the_whole_of_this_one(
    client: TestClient, ids: dict[str, int]
) -> None:
    address = f"/api/tracks/{ids['chord.wav']}/audio"
    version = client.get(address).headers["etag"]
    asked = {"Range": "bytes=0-9"}
    assert client.get(address, headers={**asked, "If-Range": version}).status_code == 206
    assert client.get(address, headers={**asked, "If-Range": '"other"'}).status_code == 200


def test_head_says_the_length_and_sends_nothing(client: TestClient, ids: dict[str, int]) -> None:
    answer = client.head(f"/api/tracks/{ids['chord.wav']}/audio")
    assert answer.status_code == 200 and not answer.content and int(answer.headers["content-length"]) > 1000


def test_what_browsers_cannot_play_comes_as_wav(client: TestClient, ids: dict[str, int], music: Path) -> None:
    answer = client.get(f"/api/tracks/{ids['lossless.m4a']}/audio?form=wav")
    assert answer.headers["content-type"] == "audio/wav"
    waveform, rate = soundfile.read(io.BytesIO(answer.content))
    assert rate == 24_000 and len(waveform) == pytest.approx(5 * 24_000, abs=4096)
    assert np.abs(waveform).max() > 0.1


def test_a_format_that_no_browser_plays_says_so(
    client: TestClient, ids: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("solfa.serving.routes_tracks.media_type", lambda path: "")
    answer = client.get(f"/api/tracks/{ids['chord.wav']}/audio")
    assert answer.status_code == 415 and "form=wav" in answer.json()["error"]


def test_wav_is_the_samples_of_the_file_in_pieces(tmp_path: Path) -> None:
    samples = np.random.default_rng(0).uniform(-0.9, 0.9, (200_000, 3)).astype(np.float32)
    soundfile.write(tmp_path / "three.flac", samples, 44_100, subtype="PCM_16")
    sound = WavSound(tmp_path / "three.flac")
    pieces = list(sound.pieces(0, sound.n_bytes))
    assert len(pieces) > 2 and max(len(piece) for piece in pieces) <= PIECE_BYTES
    read, rate = soundfile.read(io.BytesIO(b"".join(pieces)))
    assert rate == 44_100 and read.shape == (200_000, 2)
    assert np.abs(read - samples[:, :2]).max() < 1e-3


def test_peaks_follow_the_loudness(tmp_path: Path) -> None:
    silence, loud = np.zeros(24_000, np.float32), 0.5 * np.ones(24_000, np.float32)
    soundfile.write(tmp_path / "steps.wav", np.concatenate([silence, loud, silence, -loud]), 24_000)
    peaks = make_peaks(tmp_path / "steps.wav").reshape(4, N_PEAKS // 4)
    assert not peaks[[0, 2]].any() and (np.abs(peaks[[1, 3]].astype(int) - 128) <= 1).all()


def test_a_track_shorter_than_its_picture_has_peaks(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "short.wav", np.full(10, 0.5, np.float32), 24_000)
    assert set(make_peaks(tmp_path / "short.wav")) <= {127, 128}


def test_peaks_are_computed_once_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    soundfile.write(tmp_path / "tone.wav", tone(69, 1.0), 24_000)
    first = Waveforms(tmp_path / "kept").of(tmp_path / "tone.wav", "../../strange name")
    assert [path.suffix for path in (tmp_path / "kept").iterdir()] == [".peaks"]
    monkeypatch.setattr("solfa.serving.waveform.make_peaks", lambda path: pytest.fail("computed again"))
    again = Waveforms(tmp_path / "kept").of(tmp_path / "tone.wav", "../../strange name")
    assert (first == again).all() and first.any()


def test_a_damaged_picture_is_made_anew(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "tone.wav", tone(69, 1.0), 24_000)
    Waveforms(tmp_path / "kept").of(tmp_path / "tone.wav", "hash")
    kept = next((tmp_path / "kept").iterdir())
    kept.write_bytes(b"short")
    assert len(Waveforms(tmp_path / "kept").of(tmp_path / "tone.wav", "hash")) == N_PEAKS


def test_a_waveform_is_answered_beside_its_length(client: TestClient, searcher: Searcher) -> None:
    for track in searcher.tracks():
        answer = client.get(f"/api/tracks/{track.id}/waveform").json()
        assert (
            answer["seconds"] == track.seconds
            and len(answer["peaks"]) == N_PEAKS
            and max(answer["peaks"]) > 10
        )
