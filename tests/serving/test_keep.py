"""Playlists and likes over the API: kept in the library, by those who may, and found again."""

from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="the page needs FastAPI: pip install 'solfa[serve]'")
pytest.importorskip("httpx", reason="these tests need httpx")

from fastapi.testclient import TestClient

from solfa.retrieval import Library

OWN = "http://127.0.0.1:8765"


def test_a_playlist_is_made_changed_and_removed(keeping: TestClient, own: Path, ids: dict[str, int]) -> None:
    wanted = [ids["tune.wav"], ids["chord.wav"]]
    made = keeping.post("/api/playlists", json={"name": "rain", "ids": wanted})
    assert made.status_code == 201 and made.json()["n_tracks"] == 2
    at = f"/api/playlists/{made.json()['id']}"
    assert [track["file"] for track in keeping.get(at).json()["tracks"]] == ["tune.wav", "chord.wav"]
    keeping.patch(at, json={"added": [ids["clicks.flac"]], "name": "snow"})
    changed = keeping.get(at).json()
    assert changed["name"] == "snow" and [track["id"] for track in changed["tracks"]][2] == ids["clicks.flac"]
    keeping.patch(at, json={"ids": wanted[:1]})
    with Library(own) as library:
        assert [track.id for track in library.playlist_tracks(library.playlist("snow"))] == wanted[:1]
    assert keeping.delete(at).status_code == 204
    assert keeping.get("/api/playlists").json() == {"playlists": []}
    assert keeping.get(at).status_code == 404


def test_likes_come_and_go(keeping: TestClient, ids: dict[str, int]) -> None:
    id = ids["tune.wav"]
    assert keeping.put(f"/api/likes/{id}").json() == keeping.get("/api/likes").json() == {"ids": [id]}
    assert keeping.get("/api/playlists").json()["playlists"][0]["is_of_likes"]
    assert keeping.delete(f"/api/likes/{id}").json() == {"ids": []}
    assert keeping.put("/api/likes/999").status_code == 404


def test_what_cannot_be_kept_is_explained(keeping: TestClient) -> None:
    keeping.post("/api/playlists", json={"name": "rain", "ids": []})
    again = keeping.post("/api/playlists", json={"name": " rain ", "ids": []})
    assert again.status_code == 409 and "already" in again.json()["error"]
    for wrong in ({"name": "", "ids": []}, {"name": "x" * 201, "ids": []}, {"name": "x", "ids": [0]}, {}):
        assert keeping.post("/api/playlists", json=wrong).status_code == 422
    assert keeping.post("/api/playlists", json={"name": "x", "ids": [999]}).status_code == 404


def test_a_server_for_the_network_changes_nothing_unless_it_is_told_to(
    client: TestClient, library: Path, ids: dict[str, int]
) -> None:
    assert not client.get("/api/library").json()["is_editable"]
    with Library(library) as opened:
        before = opened.playlists()
    wishes = [
        client.post("/api/playlists", json={"name": "rain", "ids": []}),
        client.put(f"/api/likes/{ids['tune.wav']}"),
        client.delete("/api/playlists/1"),
    ]
    assert [answer.status_code for answer in wishes] == [403] * 3
    assert "--editable" in wishes[0].json()["error"]
    with Library(library) as opened:
        assert opened.playlists() == before


def test_another_site_can_change_nothing(keeping: TestClient, ids: dict[str, int]) -> None:
    foreign = {"Origin": "http://evil.example", "Sec-Fetch-Site": "cross-site"}
    at = f"/api/likes/{ids['tune.wav']}"
    assert keeping.put(at, headers=foreign).status_code == 403
    assert keeping.get("/api/likes").json() == {"ids": []}


def test_a_file_can_name_another_machine(keeping: TestClient, ids: dict[str, int]) -> None:
    wish = {"ids": [ids["chord.wav"]]}
    expected = {"/mnt/music": "/mnt/music/chord.wav", "D:\\Music": "D:\\Music\\chord.wav", "": "./chord.wav"}
    for prefix, line in expected.items():
        answer = keeping.post("/api/playlist", json={**wish, "prefix": prefix, "form": "relative"})
        assert answer.text.splitlines()[2] == line
