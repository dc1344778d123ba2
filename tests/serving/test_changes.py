"""Files and libraries that change, go and come while they are served, and clients that leave."""

import os
import shutil
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="the page needs FastAPI: pip install 'solfa[serve]'")
pytest.importorskip("httpx", reason="these tests need httpx")

import anyio
import httpx
import soundfile
from fastapi.testclient import TestClient

from golden_data import GOLDEN
from solfa.data.audio import AudioError
from solfa.embedding import WindowConfig, default_windows, describe_space
from solfa.models import AudioEncoder, ClipEncoder, MuLan, load
from solfa.retrieval import Library, Searcher
from solfa.serving import build_app
from solfa.serving.guard import CutShortError
from solfa.serving.streaming import WAV_HEADER, FileSound, WavSound, stream
from synth import melody, noise

OWN = "http://127.0.0.1:8765"
PATIENCE = 120.0  # seconds until what is held up is taken for stuck; nothing that works waits so long


@pytest.fixture
def own(library: Path, tmp_path: Path) -> Iterator[tuple[TestClient, Searcher, Path]]:
    """A page of a library whose only track is 1, and the file of that track, which a test may change."""
    path, music = tmp_path / "own.sqlite", tmp_path / "one.wav"
    soundfile.write(music, melody(4.0, seed=5), 24_000, subtype="PCM_16")
    with sqlite3.connect(library) as source, sqlite3.connect(path) as target:
        source.backup(target)
        target.execute("DELETE FROM tracks WHERE id > 1")
        target.execute("UPDATE tracks SET path = ?", (str(music).encode(),))
    source.close()
    target.close()
    with Searcher(path, reads_files=False) as searcher:
        yield TestClient(build_app(searcher), base_url=OWN), searcher, music


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


CHANGES: dict[str, tuple[Callable[[Path], object], int, int]] = {  # what it does; status as file, as WAV
    "removed": (Path.unlink, 404, 404),
    "a pipe": (_pipe, 404, 404),
    "a folder": (_folder, 404, 404),
    "emptied": (lambda path: path.write_bytes(b""), 200, 422),
    "text": (lambda path: path.write_bytes(b"no music any more\n" * 99), 200, 422),
    "half a header": (lambda path: path.write_bytes(path.read_bytes()[:30]), 200, 422),
    "an unknown codec": (lambda path: path.write_bytes(_other_codec(path.read_bytes())), 200, 422),
}


def _other_codec(content: bytes) -> bytes:
    return content[:20] + b"\x34\x12" + content[22:]


@pytest.mark.parametrize("change", CHANGES)
def test_a_track_whose_file_has_become_something_else_is_answered(
    own: tuple[TestClient, Searcher, Path], change: str
) -> None:
    client, _, path = own
    do, as_file, as_wav = CHANGES[change]
    do(path)
    for what, status in (("audio", as_file), ("audio?form=wav", as_wav), ("waveform", as_wav)):
        answer = client.get(f"/api/tracks/1/{what}")
        assert answer.status_code == status, (what, answer.text)
        assert status == 200 or set(answer.json()) == {"error"}
        assert str(path.parent) not in answer.text
    assert client.get("/api/tracks/1").status_code == 200


@pytest.mark.parametrize(("failure", "status"), [(OSError, 503), (AttributeError, 422), (MemoryError, 503)])
def test_what_nobody_foresaw_in_a_file_is_told_without_details(
    own: tuple[TestClient, Searcher, Path], monkeypatch: pytest.MonkeyPatch, failure: type[Exception],
    status: int,
) -> None:  # fmt: skip
    def fail(path: Path) -> object:
        raise failure(f"secret {path}")

    for place in ("streaming", "waveform"):
        monkeypatch.setattr(f"solfa.serving.{place}.open_decoder", fail)
    for what in ("audio?form=wav", "waveform"):
        answer = own[0].get(f"/api/tracks/1/{what}")
        assert answer.status_code == status and set(answer.json()) == {"error"}
        assert "secret" not in answer.text and answer.json()["error"]


def test_ranges_of_a_file_that_was_replaced_are_told_apart(own: tuple[TestClient, Searcher, Path]) -> None:
    client, _, path = own
    for form in ("file", "wav"):
        address = f"/api/tracks/1/audio?form={form}"
        before = client.get(address).headers["etag"]
        asked = {"Range": "bytes=0-9", "If-Range": before}
        assert client.get(address, headers=asked).status_code == 206
        soundfile.write(path, noise(2.0 if form == "file" else 3.0), 24_000, subtype="PCM_16")
        assert client.get(address, headers=asked).status_code == 200


def test_what_is_being_sent_stays_the_file_that_it_was(tmp_path: Path) -> None:
    path = tmp_path / "song.mp3"
    path.write_bytes(b"a" * 600_000)
    sound = FileSound(path, "audio/mpeg")
    pieces = sound.pieces(0, sound.n_bytes)
    first = next(pieces)
    path.with_name("new").write_bytes(b"b" * 600_000)
    path.with_name("new").replace(path)
    assert first + b"".join(pieces) == b"a" * 600_000
    sound.close()


async def _sent(sound: Any) -> bytes:
    from anyio import CapacityLimiter

    async def all_of_it() -> AsyncIterator[bytes]:
        async for piece in stream(sound, 0, sound.n_bytes, CapacityLimiter(1)):
            yield piece

    return b"".join([piece async for piece in all_of_it()])


def test_a_file_that_is_cut_while_it_is_sent_ends_the_answer(tmp_path: Path) -> None:
    """As a whole one it would be taken for the song."""
    path = tmp_path / "song.mp3"
    path.write_bytes(bytes(1_000_000))
    sound = FileSound(path, "audio/mpeg")
    os.truncate(path, 400_000)
    with pytest.raises(CutShortError, match="lacks 600000 bytes"):
        anyio.run(_sent, sound)


class Failing:
    """A decoder of stereo that becomes mono after half a second, and is damaged after a second."""

    name, sample_rate, n_channels, n_samples = "failing", 8_000, 2, 24_000

    def blocks(self, start: int, n_samples: int | None) -> Iterator[np.ndarray]:
        yield np.full((4_000, 2), 0.5, np.float32)
        yield np.zeros((0, 2), np.float32)
        yield np.full((4_000, 1), 0.5, np.float32)
        raise AudioError("damaged")

    def close(self) -> None:
        """As of ``Decoder``."""


def test_a_file_that_is_damaged_on_its_way_goes_on_as_silence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The length and the channels were promised before."""
    monkeypatch.setattr("solfa.serving.streaming.open_decoder", lambda path: Failing())
    sound = WavSound(tmp_path)
    content = anyio.run(_sent, sound)
    levels = np.frombuffer(content[WAV_HEADER.size :], "<i2").reshape(-1, 2)
    assert len(content) == sound.n_bytes and len(levels) == 24_000
    assert (levels[:8_000] == 16_383).all() and not levels[8_000:].any()


def test_a_rate_that_wav_cannot_state_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoder = Failing()
    decoder.sample_rate = 2**31  # type: ignore[misc]
    monkeypatch.setattr("solfa.serving.streaming.open_decoder", lambda path: decoder)
    with pytest.raises(AudioError, match="sample rate"):
        WavSound(tmp_path)


# --- the library ------------------------------------------------------------------------------------------


@pytest.fixture
def changing(library: Path, tmp_path: Path) -> Iterator[tuple[TestClient, Path]]:
    """A page of a library that a test may change."""
    path = Path(shutil.copy(library, tmp_path / "changing.sqlite"))
    with Searcher(path, reads_files=False) as searcher:
        yield TestClient(build_app(searcher), base_url=OWN), path


def statuses(client: TestClient) -> dict[str, int]:
    paths = ("library", "tracks", "search?q=1", "search?q=piano", "map", "tracks/1/similar", "tracks/1/tags")
    return {path: client.get(f"/api/{path}").status_code for path in paths}


def test_a_library_of_another_model_in_its_place_is_served(
    changing: tuple[TestClient, Path], music: Path, tiny_run: Path, tiny_encoder: AudioEncoder, library: Path
) -> None:
    """Tags of the one model must not meet vectors of the other."""
    client, path = changing
    assert set(statuses(client).values()) == {200}
    tags = client.get("/api/tracks/1/tags").json()
    space = describe_space(tiny_encoder, tiny_run, layer=2, pool="mean+std", windows=WindowConfig())
    with Library(path.with_name("new"), space) as new:
        new.update([music], tiny_encoder)
    path.with_name("new").replace(path)
    answers = statuses(client)
    assert answers.pop("search?q=piano") == answers.pop("tracks/1/tags") == 400
    assert set(answers.values()) == {200}
    shutil.copy(library, path.with_name("new"))
    path.with_name("new").replace(path)
    assert set(statuses(client).values()) == {200} and client.get("/api/tracks/1/tags").json() == tags


def test_tags_follow_a_vector_that_has_changed(
    changing: tuple[TestClient, Path], music: Path, ids: dict[str, int]
) -> None:
    client, path = changing
    one, other = (f"/api/tracks/{ids[name]}/tags?tag=piano&tag=rain" for name in ("tune.wav", "chord.wav"))
    before = client.get(one).json()["bars"]
    with sqlite3.connect(path) as database:
        hashes = [
            database.execute("SELECT content_hash FROM tracks WHERE id = ?", (ids[name],)).fetchone()[0]
            for name in ("tune.wav", "chord.wav")
        ]
        query = "UPDATE vectors SET vector = (SELECT vector FROM vectors WHERE content_hash = ?2) "
        database.execute(f"{query} WHERE content_hash = ?1", hashes)
    database.close()
    assert client.get(one).json()["bars"] == client.get(other).json()["bars"] != before


def test_two_pages_of_one_library_answer_while_it_is_filled(library: Path, tmp_path: Path) -> None:
    path, music = Path(shutil.copy(library, tmp_path / "filled.sqlite")), tmp_path / "more"
    music.mkdir()
    for n in range(3):
        soundfile.write(music / f"{n}.wav", noise(2.0, seed=n), 24_000, subtype="PCM_16")
    model = load(GOLDEN / "muq_mulan")
    assert isinstance(model, MuLan)
    encoder = ClipEncoder(model).eval()
    space = describe_space(
        encoder, GOLDEN / "muq_mulan", layer=0, pool="mean", windows=default_windows(encoder)
    )
    seen: list[int] = []
    with Searcher(path, reads_files=False) as one, Searcher(path, reads_files=False) as other:
        clients = [TestClient(build_app(searcher), base_url=OWN) for searcher in (one, other)]

        def ask(n_done: int, name: str) -> None:
            for client in clients:
                assert set(statuses(client).values()) == {200}
                seen.append(client.get("/api/tracks").json()["n_tracks"])

        with Library(path, space) as filled:
            filled.update([music], encoder, progress=ask)
        assert [client.get("/api/map").json()["n_left_out"] for client in clients] == [0, 0]
    assert seen == [6, 6, 7, 7, 8, 8]


def test_a_map_leaves_out_tracks_that_have_just_gone(
    changing: tuple[TestClient, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    client, path = changing
    made = client.get("/api/map").json()["points"]
    points = Searcher.map

    def gone(searcher: Searcher) -> object:
        found = points(searcher)
        with sqlite3.connect(path) as database:
            database.execute("DELETE FROM tracks WHERE id = 2")
        database.close()
        return found

    monkeypatch.setattr(Searcher, "map", gone)
    answer = client.get("/api/map")
    assert [point["id"] for point in answer.json()["points"]] == [p["id"] for p in made if p["id"] != 2]


def test_words_that_wait_for_their_model_hold_up_nobody_else(
    library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More of them than the framework has threads."""
    may_end = threading.Event()

    def slow(name: str) -> object:
        assert may_end.wait(PATIENCE)
        return load(name)

    monkeypatch.setattr("solfa.models.load", slow)

    async def ask(searcher: Searcher) -> list[int]:
        transport = httpx.ASGITransport(app=build_app(searcher))
        answered: list[int] = []
        async with httpx.AsyncClient(transport=transport, base_url=OWN, timeout=None) as client:

            async def get(path: str) -> None:
                answered.append((await client.get(path)).status_code)

            async with anyio.create_task_group() as group:
                for _ in range(60):
                    group.start_soon(get, "/api/search?q=calm+piano&n=1")
                with anyio.move_on_after(PATIENCE) as limit:
                    for path in ("/api/tracks", "/api/search?q=1", "/api/tracks/1/similar", "/api/map"):
                        await get(path)
                n_before = len(answered)
                may_end.set()
        assert not limit.cancelled_caught and n_before == 4
        return answered

    with Searcher(library, reads_files=False) as searcher:
        assert anyio.run(ask, searcher) == [200] * 64


def test_a_client_that_leaves_while_it_sends_leaves_nothing_behind(
    searcher: Searcher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    app, sent, held = build_app(searcher), [], []
    messages = [
        {"type": "http.request", "body": b"RIFF" + bytes(1000), "more_body": True},
        {"type": "http.disconnect"},
    ]

    async def receive() -> dict[str, Any]:
        held.append(len(list(tmp_path.iterdir())))
        return messages.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "scheme": "http",
        "path": "/api/query", "raw_path": b"/api/query", "query_string": b"", "root_path": "",
        "headers": [(b"host", b"127.0.0.1:8765"), (b"content-length", b"90000")],
        "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 8765), "state": {},
    }  # fmt: skip
    anyio.run(app, scope, receive, send)
    assert sent[0]["status"] == 400 and held == [1, 1] and not list(tmp_path.iterdir())
    assert app.state.desk.n_uploads == 0
