"""Requests that no page would send: none is answered by 500, none by a place of this machine."""

import io
import json
import logging
import struct
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="the page needs FastAPI: pip install 'solfa[serve]'")
pytest.importorskip("httpx", reason="these tests need httpx")

import httpx
import soundfile
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from solfa.retrieval import Searcher
from solfa.serving import routes_search
from solfa.serving.guard import HEADERS
from solfa.serving.tags import LONGEST_TAG, MOST_TAGS
from synth import chord

OWN = "http://127.0.0.1:8765"
BEYOND = str(2**63)
ROUTES = (
    "/api/library", "/api/tracks", "/api/search", "/api/map", "/api/tracks/{}", "/api/tracks/{}/similar",
    "/api/tracks/{}/waveform", "/api/tracks/{}/tags", "/api/tracks/{}/similarity", "/api/tracks/{}/audio",
    "/page/{}", "/api/{}", "/{}",
)  # fmt: skip
NUMBERS = (
    "0", "1", "5", "999", "-1", BEYOND, f"-{BEYOND}", "9" * 40, "9" * 400, "9" * 5000, "1e3", "1e400", "nan",
    "inf", "-inf", "1.5", "", " ", "0x1", "\0", "\u0661", "1_0", "+1",
)  # fmt: skip
TEXTS = (
    "", " ", "\0", "\x1c\x1f", "calm piano", '"piano', '""', "'", "(" * 300, "\ufffd", "\u202eabc", "+", "*",
    "1 + 1", "1 - 1", "0 * 1", "12@1:35", "1@0:01", "1@" + "9" * 300, "9" * 400 + " * 1", "~", "~root", "~\0",
    "/", "./", "../x", "x.mp3", "\n\r", "=", "tag=", "tag=a", "folder=/", "folder=~", "folder=~\0",
    "folder=..", "year=1990", "year=-", "year=" + "9" * 400, "seconds=5-1", "tempo=nan",
    "artist=\0", "a" * 501, "a" * 50_000,
    '"a" + ' * 90 + "1",
    "1 + " * 1_000 + "1",
)  # fmt: skip


def check_is_an_answer(answer: httpx.Response) -> None:
    """What was asked wrongly is told in one field; nothing has failed in the server."""
    assert answer.status_code < 500, answer.text
    if answer.status_code >= 400:
        assert set(answer.json()) == {"error"} and answer.json()["error"]


@settings(derandomize=True, deadline=None, max_examples=150, suppress_health_check=list(HealthCheck))
@given(
    st.sampled_from(ROUTES),
    st.sampled_from(NUMBERS),
    st.lists(
        st.tuples(
            st.sampled_from(["n", "offset", "segment", "q", "filter", "tag", "form"]),
            st.sampled_from(NUMBERS) | st.sampled_from(TEXTS) | st.text(max_size=20),
        ),
        max_size=4,
    ),
)
@example("/api/tracks/{}", BEYOND, [])
@example("/api/tracks/{}/tags", "1", [("tag", "")])
@example("/api/search", "1", [("q", "1"), ("filter", "folder=~\0")])
def test_no_question_fails_the_server(
    client: TestClient, route: str, number: str, parameters: list[tuple[str, str]]
) -> None:
    pairs = [(name, value.encode("utf-8", "replace").decode()) for name, value in parameters]
    check_is_an_answer(client.get(route.format(quote(number)), params=pairs))


@pytest.mark.parametrize("number", [BEYOND, "9" * 400, "0", "-1", f"-{BEYOND}"])
@pytest.mark.parametrize("what", ["", "/similar", "/waveform", "/tags", "/similarity", "/audio"])
def test_a_number_that_no_track_can_have_is_refused(client: TestClient, number: str, what: str) -> None:
    answer = client.get(f"/api/tracks/{number}{what}")
    assert answer.status_code == 422 and "path.id" in answer.json()["error"]
    assert len(answer.content) < 200


@pytest.mark.parametrize(
    "asked",
    [
        f"/api/tracks/1/similar?segment={BEYOND}",
        f"/api/tracks?offset={BEYOND}",
        f"/api/tracks?n={BEYOND}",
        f"/api/search?q=1&n={BEYOND}",
        f"/api/search?q={BEYOND}",
        f"/api/search?q=1+%2B+{'9' * 400}",
        f"/api/search?q={'9' * 400}+*+1",
    ],
)
def test_numbers_beyond_64_bits_are_refused_wherever_they_stand(client: TestClient, asked: str) -> None:
    answer = client.get(asked)
    assert answer.status_code in (400, 422) and set(answer.json()) == {"error"}


@pytest.mark.parametrize(
    "tags", [[""], [" "], ["\x1c"], ["\x1f\x1d", "rain"], ["a" * (LONGEST_TAG + 1)], ["a"] * (MOST_TAGS + 1)]
)
def test_tags_that_are_none_are_refused(client: TestClient, tags: list[str]) -> None:
    answer = client.get("/api/tracks/1/tags", params={"tag": tags})
    assert answer.status_code in (400, 422) and set(answer.json()) == {"error"}
    assert client.get("/api/tracks/1/tags", params={"tag": [" rain "]}).json()["bars"][0]["tag"] == "rain"


def wav(**changed: bytes) -> bytes:
    """A WAV of a second; ``at_20=b"..."`` puts other bytes at 20."""
    file = io.BytesIO()
    soundfile.write(file, chord(60, "min", 1.0), 24_000, format="WAV", subtype="PCM_16")
    content = bytearray(file.getvalue())
    for place, new in changed.items():
        at = int(place.removeprefix("at_"))
        content[at : at + len(new)] = new
    return bytes(content)


UPLOADS = {
    "nothing": b"",
    "a byte": b"R",
    "zeros": bytes(100_000),
    "text": b"no music " * 1000,
    "half a header": wav()[:30],
    "a header alone": wav()[:44],
    "a codec that nobody decodes": wav(at_20=b"\x34\x12"),
    "no channels": wav(at_22=b"\0\0"),
    "65,535 channels": wav(at_22=b"\xff\xff"),
    "no sample rate": wav(at_24=bytes(4)),
    "a sample rate of 4 GHz": wav(at_24=b"\xff\xff\xff\xff"),
    "no bits": wav(at_34=b"\0\0"),
    "a length of 4 GB": wav(at_40=b"\xff\xff\xff\xff"),
    "an archive": b"PK\x03\x04" + bytes(range(256)) * 10,
    "a playlist": b"#EXTM3U\n/etc/passwd\n",
    "a form": b"--x\r\nContent-Disposition: form-data; name=file\r\n\r\n" + wav()[:1000] + b"\r\n--x--",
}


@pytest.mark.parametrize("what", UPLOADS)
def test_an_upload_that_is_no_music_is_its_own_fault(
    client: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    answer = client.post("/api/query", content=UPLOADS[what])
    assert answer.status_code == 422 or (answer.status_code == 200 and "4 G" in what)
    check_is_an_answer(answer)
    assert str(tmp_path) not in answer.text and not list(tmp_path.iterdir())


@pytest.mark.parametrize("seed", range(4))
def test_damaged_uploads_are_answered(client: TestClient, seed: int) -> None:
    random = np.random.default_rng(seed)
    kinds = [("WAV", "PCM_16"), ("FLAC", "PCM_16"), ("OGG", "VORBIS")]
    for n in range(24):
        file = io.BytesIO()
        container, subtype = kinds[n % len(kinds)]
        soundfile.write(file, chord(60, "min", 0.5), 24_000, format=container, subtype=subtype)
        content = bytearray(file.getvalue())
        for _ in range(1 + n % 5):
            content[random.integers(min(len(content), 200))] = random.integers(256)
        check_is_an_answer(client.post("/api/query", content=bytes(content)))


FAILURES: list[tuple[type[BaseException], int]] = [
    (AttributeError, 422), (OverflowError, 422), (struct.error, 422), (RuntimeError, 422), (KeyError, 422),
    (RecursionError, 422), (UnicodeDecodeError, 422), (OSError, 422), (MemoryError, 503),
]  # fmt: skip


@pytest.mark.parametrize("place", ["probe_audio", "similar_to_upload"])
@pytest.mark.parametrize(("failure", "status"), FAILURES)
def test_what_nobody_foresaw_in_an_upload_is_told_without_details(
    client: TestClient, searcher: Searcher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture, place: str, failure: type[Exception], status: int,
) -> None:  # fmt: skip
    def fail(*given: object) -> object:
        given = ("utf-8", b"", 0, 1, "secret") if failure is UnicodeDecodeError else ("/secret/place",)
        raise failure(*given)

    monkeypatch.setattr(routes_search if place == "probe_audio" else searcher, place, fail)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with caplog.at_level(logging.WARNING):
        answer = client.post("/api/query", content=wav())
    assert answer.status_code == status and set(answer.json()) == {"error"}
    assert "secret" not in answer.text
    assert "secret" in caplog.text and not list(tmp_path.iterdir())


def test_a_full_disk_is_no_fault_of_an_upload(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(prefix: str, **options: object) -> object:
        raise OSError(28, "No space left on device", "/secret/place")

    monkeypatch.setattr(routes_search, "TemporaryDirectory", full)
    answer = client.post("/api/query", content=wav())
    assert answer.status_code == 503 and "room" in answer.json()["error"] and "secret" not in answer.text


def test_an_upload_that_the_ending_server_has_forgotten_is_no_failure(
    client: TestClient, searcher: Searcher, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def gone(path: Path, n: int, filters: object) -> object:
        path.unlink()
        raise FileNotFoundError(path)

    monkeypatch.setattr(searcher, "similar_to_upload", gone)
    answer = client.post("/api/query", content=wav())
    assert answer.status_code == 503 and "Traceback" not in caplog.text


@pytest.mark.parametrize("failure", [RuntimeError, ZeroDivisionError, ExceptionGroup])
def test_what_nobody_foresaw_at_all_is_answered_without_details_and_logged(
    client: TestClient, searcher: Searcher, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
    failure: type[Exception],
) -> None:  # fmt: skip
    def fail(id: int) -> object:
        error = ValueError("/secret/place")
        raise (
            ExceptionGroup("/secret/group", [error])
            if failure is ExceptionGroup
            else failure("/secret/place")
        )

    monkeypatch.setattr(searcher, "track", fail)
    for path in ("/api/tracks/1", "/api/tracks/1/waveform", "/api/tracks/1/audio"):
        caplog.clear()
        answer = client.get(path)
        assert answer.status_code == 500 and set(answer.json()) == {"error"}
        assert "secret" not in answer.text and failure.__name__ not in answer.text
        assert answer.headers["content-security-policy"] == HEADERS["Content-Security-Policy"]
        assert "/secret/place" in caplog.text and "Traceback" in caplog.text


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "FOO"])
def test_a_wrong_method_is_told(client: TestClient, method: str) -> None:
    for path in ("/", "/api/library", "/api/tracks/1", "/api/tracks/1/audio", "/page/app.js", "/api/docs"):
        answer = client.request(method, path)
        assert answer.status_code == 405 and set(answer.json()) == {"error"}


BODIES = (
    b"", b"null", b"[]", b"{}", b'{"ids":null}', b'{"ids":[0]}', b'{"ids":[-1]}', b'{"ids":[NaN]}',
    b'{"ids":[Infinity]}', b'{"ids":[1e400]}', b'{"ids":[9223372036854775808]}', b'{"ids":["x"]}',
    b'{"ids":[[1]]}', b"[" * 9_000, b'{"a":' * 1_000, b"\xff\xfe", b'"\\ud800"', b'{"\\ud800":1}',
    b'{"ids":["\\ud800"]}', b'{"ids":[' + b"9" * 6_000 + b"]}",
)  # fmt: skip


@pytest.mark.parametrize(
    "kind", ["application/json", "text/plain", "multipart/form-data", "application/json; charset=utf-16", ""]
)
def test_a_playlist_of_nonsense_is_refused(client: TestClient, kind: str) -> None:
    for body in BODIES:
        answer = client.post("/api/playlist", content=body, headers={"Content-Type": kind})
        assert answer.status_code in (400, 422) and set(answer.json()) == {"error"}, body
    assert client.post("/api/playlist", json={"ids": [1, 999]}).status_code == 404


def test_json_of_every_error_is_text(client: TestClient) -> None:
    answer = client.get("/api/search", params={"q": '"\u202e\ufffd'})
    assert json.loads(answer.content)["error"]
