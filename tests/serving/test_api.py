"""The JSON API: what it finds, what it says of a track, and its errors."""

from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="the page needs FastAPI: pip install 'solfa[serve]'")
pytest.importorskip("httpx", reason="these tests need httpx")

from fastapi.testclient import TestClient

from solfa.embedding import WindowConfig, describe_space
from solfa.models import AudioEncoder
from solfa.retrieval import Library, Searcher
from solfa.serving import build_app


def test_the_library_says_what_it_holds_and_understands(client: TestClient) -> None:
    answer = client.get("/api/library").json()
    assert (
        answer["n_tracks"] == 5 and answer["knows_words"] and answer["takes_files"] and not answer["notice"]
    )
    for example in answer["examples"]:
        assert client.get("/api/tracks").status_code == 200 and example["label"] and example["query"]


def test_words_find_tracks_with_the_segment_that_fits(client: TestClient) -> None:
    matches = client.get("/api/search", params={"q": "calm piano", "n": 3}).json()["matches"]
    assert len(matches) == 3
    assert matches[0]["stands_out"] >= matches[1]["stands_out"] >= matches[2]["stands_out"]
    assert {match["fit"] for match in matches} <= {"strong", "fair", "weak"}
    assert "score" not in matches[0] and "cosine" not in matches[0]
    assert all(0 <= match["start"] < match["end"] <= match["track"]["seconds"] + 0.1 for match in matches)


def test_sums_and_segments_and_filters_are_understood(client: TestClient, ids: dict[str, int]) -> None:
    query = f'{ids["tune.wav"]}@0:12 - 0.5 * {ids["chord.wav"]} + "piano"'
    answer = client.get("/api/search", params={"q": query, "filter": ["seconds=-10"]}).json()
    found = {match["track"]["file"] for match in answer["matches"]}
    assert "tune.wav" not in found and "clicks.flac" in found


def test_names_are_found_beside_sound_and_offered_while_one_types(client: TestClient) -> None:
    answer = client.get("/api/search", params={"q": "Chord"}).json()
    assert [track["file"] for track in answer["named"]] == ["chord.wav"] and len(answer["matches"]) == 5
    answer = client.get("/api/search", params={"q": "named: chord"}).json()
    assert [track["file"] for track in answer["named"]] == ["chord.wav"] and not answer["matches"]
    assert not client.get("/api/search", params={"q": "sounds like: chord"}).json()["named"]
    assert client.get("/api/names", params={"q": "cho"}).json() == {
        "names": [{"text": "chord", "kind": "title"}]
    }
    assert client.get("/api/names", params={"q": ""}).json() == {"names": []}


def test_folders_that_hold_the_library_are_no_names(client: TestClient, music: Path) -> None:
    """Who may ask for names learns nothing of the places of the server."""
    for folder in music.parts[1:]:
        assert not client.get("/api/search", params={"q": f"named: {folder}"}).json()["named"]


def test_similar_tracks_leave_out_the_track_itself(client: TestClient, ids: dict[str, int]) -> None:
    id = ids["tune.wav"]
    for path in (f"/api/tracks/{id}/similar", f"/api/tracks/{id}/similar?segment=1"):
        found = [match["track"]["id"] for match in client.get(path).json()["matches"]]
        assert len(found) == 4 and id not in found


def test_a_file_of_the_library_finds_what_is_like_it_but_not_itself(
    client: TestClient, music: Path, ids: dict[str, int]
) -> None:
    answer = client.post("/api/query", content=(music / "chord.wav").read_bytes(), params={"n": 9})
    found = [match["track"]["id"] for match in answer.json()["matches"]]
    expected = client.get(f"/api/tracks/{ids['chord.wav']}/similar").json()["matches"]
    assert found == [match["track"]["id"] for match in expected]


def test_a_file_that_is_no_audio_gets_a_message_without_names_of_the_server(client: TestClient) -> None:
    answer = client.post("/api/query", content=b"#!/bin/sh\necho this is no music\n" * 50)
    assert answer.status_code == 422 and "not audio" in answer.json()["error"]
    assert "/" not in answer.json()["error"].replace("FLAC", "")
    assert client.post("/api/query", content=b"").status_code == 422


def test_tracks_come_page_by_page(client: TestClient) -> None:
    first = client.get("/api/tracks", params={"n": 3}).json()
    rest = client.get("/api/tracks", params={"n": 3, "offset": 3}).json()
    assert first["n_tracks"] == rest["n_tracks"] == 5
    assert len({track["id"] for track in first["tracks"] + rest["tracks"]}) == 5


def test_segments_are_like_themselves_on_the_diagonal(client: TestClient, ids: dict[str, int]) -> None:
    answer = client.get(f"/api/tracks/{ids['tune.wav']}/similarity").json()
    assert len(answer["starts"]) > 2
    assert all(line[n] == pytest.approx(1, abs=0.01) for n, line in enumerate(answer["cosines"]))


def test_the_map_places_every_track(client: TestClient, ids: dict[str, int]) -> None:
    answer = client.get("/api/map").json()
    assert {point["id"] for point in answer["points"]} == set(ids.values()) and answer["n_left_out"] == 0
    assert all(-1 <= point[axis] <= 1 for point in answer["points"] for axis in "xy")


def test_a_playlist_keeps_the_order_that_was_asked_for(client: TestClient, ids: dict[str, int]) -> None:
    wanted = [ids["tune.wav"], ids["chord.wav"]]
    answer = client.post("/api/playlist", json={"ids": wanted})
    lines = answer.text.splitlines()
    assert lines[0] == "#EXTM3U" and [Path(line).name for line in lines[2::2]] == ["tune.wav", "chord.wav"]
    assert "attachment" in answer.headers["content-disposition"]


@pytest.mark.parametrize(
    ("path", "status", "cure"),
    [
        ("/api/tracks/999", 404, "no track 999"),
        ("/api/tracks/999/audio", 404, "no track 999"),
        ("/api/tracks/12x", 422, "/api/docs"),
        ("/api/search", 422, "/api/docs"),
        ("/api/search?q=1&n=100000", 422, "/api/docs"),
        ("/api/search?q=%22piano", 400, "does not end"),
        ("/api/search?q=1&filter=loud", 400, "is no filter"),
        ("/api/tracks/1/similar?segment=99", 400, "segments 0 to"),
        ("/api/nothing", 404, "/api/docs"),
        ("/nothing", 404, "/api/docs"),
    ],
)
def test_an_error_says_what_to_do(client: TestClient, path: str, status: int, cure: str) -> None:
    answer = client.get(path)
    assert answer.status_code == status and cure in answer.json()["error"]


def test_a_library_without_words_says_what_it_understands(
    tmp_path: Path, music: Path, tiny_run: Path, tiny_encoder: AudioEncoder
) -> None:
    space = describe_space(tiny_encoder, tiny_run, layer=2, pool="mean", windows=WindowConfig())
    with Library(tmp_path / "wordless.sqlite", space) as library:
        library.update([music / "chord.wav", music / "tune.wav"], tiny_encoder)
    with Searcher(tmp_path / "wordless.sqlite", reads_files=False) as searcher:
        client = TestClient(build_app(searcher), base_url="http://127.0.0.1")
        answer = client.get("/api/library").json()
        assert not answer["knows_words"] and answer["takes_files"] and "knows no words" in answer["notice"]
        assert client.get("/api/search?q=calm+piano").status_code == 400
        assert "music-text model" in client.get("/api/tracks/1/tags").json()["error"]
        assert len(client.get("/api/search?q=1").json()["matches"]) == 1


def test_an_empty_library_finds_nothing_and_fails_nowhere(
    tmp_path: Path, tiny_run: Path, tiny_encoder: AudioEncoder, music: Path
) -> None:
    space = describe_space(tiny_encoder, tiny_run, layer=2, pool="mean", windows=WindowConfig())
    with Library(tmp_path / "empty.sqlite", space):
        pass
    with Searcher(tmp_path / "empty.sqlite", reads_files=False) as searcher:
        client = TestClient(build_app(searcher), base_url="http://127.0.0.1")
        assert client.get("/api/library").json()["examples"] == []
        assert client.get("/api/tracks").json() == {"tracks": [], "n_tracks": 0}
        assert client.get("/api/map").json()["points"] == []
        assert client.post("/api/query", content=(music / "chord.wav").read_bytes()).json()["matches"] == []
        assert client.get("/api/search?q=piano").json()["matches"] == []


def test_a_model_that_is_gone_leaves_what_needs_none(tmp_path: Path, library: Path) -> None:
    import sqlite3

    copy = tmp_path / "moved.sqlite"
    with sqlite3.connect(library) as source, sqlite3.connect(copy) as target:
        source.backup(target)
        target.execute("UPDATE space SET fields = json_set(fields, '$.model', '/gone/model')")
    source.close()
    target.close()
    with Searcher(copy, reads_files=False) as searcher:
        client = TestClient(build_app(searcher), base_url="http://127.0.0.1")
        answer = client.get("/api/library").json()
        assert not answer["takes_files"] and "--model" in answer["notice"]
        assert client.get("/api/search?q=1").json()["matches"]
        assert client.get("/api/search?q=piano").status_code == 503


def test_the_description_names_every_route(client: TestClient) -> None:
    paths = client.get("/api/openapi.json").json()["paths"]
    assert set(paths) >= {
        "/api/library",
        "/api/search",
        "/api/query",
        "/api/tracks/{id}/audio",
        "/api/playlist",
    }
    assert all(its["description"] for methods in paths.values() for its in methods.values())


def test_the_page_asks_nobody_else_for_anything(client: TestClient) -> None:
    for path in ("/", "/api/docs"):
        text = client.get(path).text
        assert "//" not in text.replace("http://www.w3.org", "").replace("<!doctype", "")
    for name in ("app.js", "api.js", "map.js", "track.js", "player.js", "rows.js", "docs.js", "style.css"):
        answer = client.get(f"/page/{name}")
        assert answer.status_code == 200 and "https://" not in answer.text
        assert "innerHTML" not in answer.text and "outerHTML" not in answer.text
