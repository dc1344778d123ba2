"""Ways through a library over the API: paths, clusters, doubles, more of a playlist, filters with counts."""

import time
from pathlib import Path

import pytest
import soundfile

pytest.importorskip("fastapi", reason="the page needs FastAPI: pip install 'solfa[serve]'")
pytest.importorskip("httpx", reason="these tests need httpx")

from fastapi.testclient import TestClient

from golden_data import GOLDEN
from page_server import wait_until
from solfa.models import ClipEncoder, load
from solfa.retrieval import Library, Searcher
from solfa.serving import ServingConfig, build_app
from synth import melody

OWN = "http://127.0.0.1:8765"


def test_colours_of_the_map_hold_each_track_once_and_stay_while_the_tracks_do(
    own: Path, ids: dict[str, int]
) -> None:
    with Searcher(own, reads_files=False) as searcher:
        client = TestClient(build_app(searcher, ServingConfig()), base_url=OWN)
        found = client.get("/api/map/clusters").json()["clusters"]
        assert len(found) == 2 and len({cluster["name"] for cluster in found}) == 2
        assert sorted(id for cluster in found for id in cluster["ids"]) == sorted(ids.values())
        with Library(own) as library:
            library.like([ids["tune.wav"]], likes=True)
        desk = client.app.state.desk  # type: ignore[attr-defined]
        kept = desk.groups(None)
        assert desk.groups(None) is kept  # a like changes no group
        with Library(own) as library:
            library.remove([library.track(ids["tune.wav"])])
        assert ids["tune.wav"] not in [id for group in desk.groups(None) for id in group.ids]


def test_a_path_has_both_ends(client: TestClient, ids: dict[str, int]) -> None:
    start, end = ids["tune.wav"], ids["chord.wav"]
    found = client.get("/api/path", params={"start": start, "end": end, "n": 2}).json()["tracks"]
    numbers = [track["id"] for track in found]
    assert numbers[0] == start and numbers[-1] == end and len(numbers) == len(set(numbers)) <= 4
    assert len(client.get("/api/path", params={"start": start, "end": end, "n": 0}).json()["tracks"]) == 2
    assert client.get("/api/path", params={"start": start, "end": 999}).status_code == 404
    assert client.get("/api/path", params={"start": start, "end": end, "n": 101}).status_code == 422


def test_clusters_hold_each_track_once_and_have_words(client: TestClient, ids: dict[str, int]) -> None:
    found = client.get("/api/clusters", params={"n": 2}).json()["clusters"]
    assert len(found) == 2 and len({cluster["name"] for cluster in found}) == 2
    assert sorted(track["id"] for cluster in found for track in cluster["tracks"]) == sorted(ids.values())
    assert all(cluster["n_tracks"] == len(cluster["tracks"]) for cluster in found)


def test_doubles_are_looked_for_once_and_found(own: Path, tmp_path: Path) -> None:
    """A recording that is encoded anew comes into the library while it is served."""
    more = tmp_path / "more"
    more.mkdir()
    soundfile.write(more / "again.flac", melody(30.0, seed=1), 24_000)
    encoder = ClipEncoder(load(GOLDEN / "muq_mulan")).eval()
    with Searcher(own, reads_files=False) as searcher:
        client = TestClient(build_app(searcher, ServingConfig()), base_url=OWN)
        ask = lambda: client.get("/api/duplicates").json()  # noqa: E731
        wait_until(lambda: bool(ask()["is_done"]), pause=lambda: time.sleep(0.05))
        assert ask()["duplicates"] == [] and ask()["is_done"]
        with Library(own) as opened:
            assert not opened.update([more], encoder).refused
        wait_until(lambda: bool(ask()["is_done"]), pause=lambda: time.sleep(0.05))
        (pair,) = ask()["duplicates"]
        assert pair["kind"] == "same" and pair["agreement"] > 0.9
        assert {pair["first"]["file"], pair["second"]["file"]} == {"tune.wav", "again.flac"}


def test_more_of_what_is_liked_leaves_out_what_is_liked(keeping: TestClient, ids: dict[str, int]) -> None:
    liked = [ids["tune.wav"], ids["chord.wav"]]
    for id in liked:
        keeping.put(f"/api/likes/{id}")
    (likes,) = keeping.get("/api/playlists").json()["playlists"]
    found = keeping.get(f"/api/playlists/{likes['id']}/similar", params={"n": 9}).json()["matches"]
    assert {match["track"]["id"] for match in found} == set(ids.values()) - set(liked)
    short = {"n": 9, "filter": "seconds=-3"}
    found = keeping.get(f"/api/playlists/{likes['id']}/similar", params=short).json()["matches"]
    assert [match["track"]["file"] for match in found] == ["<img src=x onerror=alert(1)>.wav"]
    made = keeping.post("/api/playlists", json={"name": "empty", "ids": []}).json()
    assert keeping.get(f"/api/playlists/{made['id']}/similar").json()["matches"] == []
    assert keeping.get("/api/playlists/999/similar").status_code == 404


def test_filters_are_counted_and_places_are_refused(client: TestClient, music: Path) -> None:
    assert client.get("/api/facets").json() == {"facets": []}  # five short tracks of one folder
    chosen = client.get("/api/facets", params={"filter": "seconds=-2:00"}).json()["facets"]
    assert chosen == [
        {"name": "seconds", "choices": [{"label": "under 2 min", "filter": "seconds=-2:00", "n_tracks": 5}]}
    ]
    refused = client.get("/api/facets", params={"filter": f"folder={music}"})
    assert refused.status_code == 400 and str(music) not in refused.text.replace(f"folder={music}", "")
    assert client.get("/api/facets", params={"filter": "loud"}).status_code == 400
