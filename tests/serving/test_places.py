"""What leaves the server: names, and ways below the music; never a place of library, model or file."""

import logging
import sqlite3
import string
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="the page needs FastAPI: pip install 'solfa[serve]'")
pytest.importorskip("httpx", reason="these tests need httpx")

import httpx
from fastapi.testclient import TestClient
from hypothesis import given, settings
from hypothesis import strategies as st

from solfa.retrieval import Searcher
from solfa.serving import ServingConfig, build_app
from solfa.serving.places import known_places, without_places

OWN = "http://127.0.0.1:8765"


@pytest.fixture
def secret(tmp_path: Path, library: Path) -> Iterator[tuple[TestClient, Path]]:
    """A client of a page whose library, model and music all lie below a folder that nobody may know."""
    folder = tmp_path / "my secret (folder) 'x'"
    folder.mkdir()
    path = folder / "songs.sqlite"
    with sqlite3.connect(library) as source, sqlite3.connect(path) as target:
        source.backup(target)
        for id, name in target.execute("SELECT id, path FROM tracks").fetchall():
            there = folder / "music" / "live" / Path(name.decode()).name
            there.parent.mkdir(parents=True, exist_ok=True)
            there.write_bytes(Path(name.decode()).read_bytes())
            target.execute("UPDATE tracks SET path = ? WHERE id = ?", (str(there).encode(), id))
        last = folder / "music" / "album" / "last.wav"
        last.parent.mkdir()
        there.rename(last)
        target.execute("UPDATE tracks SET path = ? WHERE id = ?", (str(last).encode(), id))
        model = target.execute("SELECT fields ->> '$.model' FROM space").fetchone()[0]
        (folder / "model").symlink_to(model)
        target.execute("UPDATE space SET fields = json_set(fields, '$.model', ?)", (str(folder / "model"),))
    source.close()
    target.close()
    with Searcher(path, reads_files=False) as searcher:
        yield TestClient(build_app(searcher), base_url=OWN), folder


def everything(client: TestClient) -> Iterator[httpx.Response]:
    """An answer of each kind, good ones and errors."""
    for path in (
        "/", "/api/docs", "/api/openapi.json", "/page/app.js", "/page/", "/page/none", "/api/library",
        "/api/tracks", "/api/map", "/api/search?q=1", "/api/search?q=piano", "/api/search?q=999",
        "/api/search?q=x.mp3", "/api/search?q=%22", "/api/search?q=1&filter=mood%3Dx",
        "/api/search?q=1&filter=folder%3D/a", "/api/tracks/1", "/api/tracks/999", "/api/tracks/1/similar",
        "/api/tracks/1/similar?segment=999", "/api/tracks/1/waveform", "/api/tracks/1/tags",
        "/api/tracks/999/tags", "/api/tracks/1/similarity", "/api/tracks/999/audio",
    ):  # fmt: skip
        yield client.get(path)
    for id in range(1, 6):
        yield client.head(f"/api/tracks/{id}/audio?form=wav")
        yield client.get(f"/api/tracks/{id}/audio", headers={"Range": "bytes=99999999-"})
    yield client.post("/api/playlist", json={"ids": [1, 2, 3, 4, 5]})
    yield client.post("/api/playlist", json={"ids": [999]})
    for upload in (
        b"",
        b"R",
        b"no music " * 100,
        b"RIFF" + bytes(40),
        b"fLaC" + bytes(400),
        b"\0\0\0\x20ftypM4A ",
    ):
        yield client.post("/api/query", content=upload)


def check_is_hidden(answer: httpx.Response, folder: Path) -> None:
    told = answer.text + str(answer.headers)
    for name in (*folder.parts[1:], str(Path(__file__).parents[2])):
        assert name not in told, (answer.url, name, answer.text[:300])


def test_no_answer_tells_where_anything_lies(secret: tuple[TestClient, Path]) -> None:
    client, folder = secret
    for answer in everything(client):
        check_is_hidden(answer, folder)
    assert client.get("/api/library").json()["model"] == "model"
    assert {track["folder"] for track in client.get("/api/tracks").json()["tracks"]} == {"live", "album"}


@pytest.mark.parametrize("gone", ["songs.sqlite", "model", "music"])
def test_no_error_tells_where_something_was(secret: tuple[TestClient, Path], gone: str) -> None:
    client, folder = secret
    (folder / gone).rename(folder / "elsewhere")
    answers = list(everything(client))
    for answer in answers:
        check_is_hidden(answer, folder)
    assert {"songs.sqlite": 503, "model": 503, "music": 404}[gone] in {
        answer.status_code for answer in answers
    }
    notice = client.get("/api/library").json().get("notice", "")
    assert gone != "model" or ("--model" in notice and "songs.sqlite" in notice)


@pytest.mark.parametrize("damage", [b"", bytes(range(256)) * 100])
def test_no_error_tells_where_a_damaged_library_lies(secret: tuple[TestClient, Path], damage: bytes) -> None:
    client, folder = secret
    (folder / "songs.sqlite").write_bytes(damage)
    answer = client.get("/api/tracks")
    assert answer.status_code == 503 and "songs.sqlite" in answer.json()["error"]
    check_is_hidden(answer, folder)


def test_folders_are_filtered_by_names_below_the_music_alone(secret: tuple[TestClient, Path]) -> None:
    client, folder = secret

    def ask(name: str) -> httpx.Response:
        return client.get("/api/tracks", params={"filter": f"folder={name}"})

    refused = [ask(name) for name in ("/a", "/", "~", "~root", "..", ".", "./music", str(folder), "/tmp")]
    assert {(answer.status_code, answer.text) for answer in refused} == {(400, refused[0].text)}
    assert ask("live").json()["n_tracks"] == 4 and ask("album").json()["n_tracks"] == 1
    for name in (*folder.parts[1:], "music", "music/live", "nothing"):
        assert ask(name).json() == {"tracks": [], "n_tracks": 0}, name


def test_a_playlist_names_files_from_the_folder_of_the_music(secret: tuple[TestClient, Path]) -> None:
    client, folder = secret
    lines = client.post("/api/playlist", json={"ids": [5, 1]}).text.splitlines()[2::2]
    assert lines[0] == "./album/last.wav" and lines[1].startswith("./live/")
    assert all((folder / "music" / line).is_file() for line in lines)


def test_a_playlist_for_this_machine_alone_names_places(
    library: Path, music: Path, ids: dict[str, int]
) -> None:
    with Searcher(library, reads_files=False) as searcher:
        client = TestClient(build_app(searcher, ServingConfig(is_private=True)), base_url=OWN)
        text = client.post("/api/playlist", json={"ids": [ids["chord.wav"]]}).text
    assert text.splitlines()[2] == str(music / "chord.wav")


names = st.text(string.ascii_letters + " .-_'\"()\u00e4\\", min_size=3, max_size=12).filter(
    lambda name: name.strip(" .") == name and len(name.strip(" .-_'\"()\\")) > 2
)


@settings(derandomize=True, deadline=None, max_examples=150)
@given(st.lists(names, min_size=1, max_size=3), names, names)
def test_places_are_taken_out_of_any_message(folders: list[str], library: str, model: str) -> None:
    folder = Path("/", *(f"Q{name}Q" for name in folders))
    places = known_places(folder / library, str(folder / model))
    for text in (
        f"{folder / library} is gone. Put it back.",
        f"The model of {folder / library} cannot be loaded: {str(folder / model)!r} is no folder.",
        f"{folder / library}: {folder / model / 'config.json'} lacks a field. See {folder}.",
        f"Nothing at '{folder / 'other'}', or /elsewhere/{library}/x",
    ):
        told = without_places(text, places)
        assert told is None or not any(name in told for name in folder.parts[1:]), told
    assert without_places(f"{folder / library} is gone. See /api/docs.", places) == (
        f"{library} is gone. See /api/docs."
    )
    assert without_places("There is a file /somewhere/else, perhaps.", places) is None
    assert without_places("https://host/a and a/b and and/or stay.", places) is not None


def test_logs_are_for_the_keeper_and_tell_all(
    secret: tuple[TestClient, Path], caplog: pytest.LogCaptureFixture
) -> None:
    client, folder = secret
    (folder / "songs.sqlite").unlink()
    with caplog.at_level(logging.WARNING):
        client.get("/api/tracks")
    assert str(folder / "songs.sqlite") in caplog.text
