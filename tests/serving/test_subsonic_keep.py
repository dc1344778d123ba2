"""OpenSubsonic: playlists that players make and change, and likes of albums and artists."""

import shutil
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="the page needs FastAPI: pip install 'solfa[serve]'")
pytest.importorskip("httpx", reason="these tests need httpx")

from fastapi.testclient import TestClient

from golden_data import GOLDEN
from page_server import start
from serving_shelves import make_shelves
from solfa.models import MuLan, load
from solfa.retrieval import Library, Searcher
from solfa.retrieval.albums import Collection
from solfa.serving import ServingConfig, build_app

OWN = "http://127.0.0.1:8765"
CHANGING = ("createPlaylist", "updatePlaylist", "deletePlaylist", "star", "unstar")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = load(GOLDEN / "muq_mulan")
    assert isinstance(model, MuLan)
    return make_shelves(tmp_path_factory.mktemp("shelves"), model)


@pytest.fixture
def shelves(made: Path, tmp_path: Path) -> Path:
    """A library of albums that a test may change."""
    return Path(shutil.copy(made, tmp_path / "shelves.sqlite"))


@pytest.fixture
def player(shelves: Path) -> Iterator[TestClient]:
    with Searcher(shelves, reads_files=False) as searcher:
        yield TestClient(build_app(searcher, ServingConfig(is_editable=True, is_private=True)), base_url=OWN)


def asked(client: TestClient, method: str, **values: Any) -> dict[str, Any]:
    answer = client.get(f"/rest/{method}", params={"f": "json", "v": "1.16.1", "c": "test"} | values)
    whole: dict[str, Any] = answer.json()["subsonic-response"]
    return whole


def titles(client: TestClient, id: str) -> list[str]:
    return [song["title"] for song in asked(client, "getPlaylist", id=id)["playlist"].get("entry", [])]


@pytest.fixture
def sonic(shelves: Path, tmp_path: Path) -> Iterator[Any]:
    """py-sonic, at a server process of these shelves."""
    libsonic = pytest.importorskip("libsonic", reason="this test needs py-sonic")
    (tmp_path / "served").mkdir()
    served = start(shelves, tmp_path / "served")
    yield libsonic.Connection("http://127.0.0.1", "anna", "any", port=served.port)
    served.process.kill()
    served.process.wait()


def test_py_sonic_makes_changes_and_removes_a_playlist(sonic: Any, shelves: Path) -> None:
    assert sonic.getUser("anna")["user"]["playlistRole"] is True
    songs = {song["title"]: song["id"] for song in sonic.search3("")["searchResult3"]["song"]}
    made = sonic.createPlaylist(name="rain", songIds=[songs["Drops"], songs["Noon"]])["playlist"]
    assert [song["title"] for song in made["entry"]] == ["Drops", "Noon"]
    sonic.updatePlaylist(
        made["id"], name="sun", songIdsToAdd=[songs["Dawn"], songs["X"]], songIndexesToRemove=[0]
    )
    changed = sonic.getPlaylist(made["id"])["playlist"]
    assert changed["name"] == "sun" and changed["songCount"] == 3
    assert [song["title"] for song in changed["entry"]] == ["Noon", "Dawn", "X"]
    sonic.createPlaylist(playlistId=made["id"], songIds=[songs["Y"]])
    (entry,) = sonic.getPlaylist(made["id"])["playlist"]["entry"]
    assert entry["title"] == "Y"
    with Library(shelves) as library:
        (kept,) = library.playlists()
        assert (kept.name, kept.n_tracks) == ("sun", 1)
    sonic.deletePlaylist(made["id"])
    assert sonic.getPlaylists()["playlists"].get("playlist", []) == []
    errors = pytest.importorskip("libsonic.errors")
    with pytest.raises(errors.DataNotFoundError):
        sonic.deletePlaylist(made["id"])


def test_py_sonic_likes_albums_and_artists_apart_from_songs(sonic: Any, shelves: Path) -> None:
    found = sonic.search3("anna")["searchResult3"]
    anna, rain = found["artist"][0], next(one for one in found["album"] if one["name"] == "The Rain")
    sonic.star(albumIds=[rain["id"]], artistIds=[anna["id"]])
    liked = sonic.getStarred2()["starred2"]
    assert [one["name"] for one in liked["album"]] == ["The Rain"] and liked["album"][0]["starred"]
    assert [one["name"] for one in liked["artist"]] == ["Anna"] and liked["artist"][0]["starred"]
    assert liked["song"] == []
    listed = sonic.getAlbumList2("starred")["albumList2"]["album"]
    assert [one["id"] for one in listed] == [rain["id"]]
    assert sonic.getAlbum(rain["id"])["album"]["starred"] == listed[0]["starred"]
    assert sonic.getArtist(anna["id"])["artist"]["starred"]
    sonic.unstar(albumIds=[rain["id"]], artistIds=[anna["id"]])
    liked = sonic.getStarred2()["starred2"]
    assert liked["album"] == liked["artist"] == []


def test_an_album_is_liked_by_the_id_of_a_folder_too(player: TestClient) -> None:
    (sun,) = asked(player, "search2", query="sun", songCount=0)["searchResult2"]["album"]
    song = asked(player, "search3", query="dawn")["searchResult3"]["song"][0]
    assert asked(player, "star", id=[sun["id"], song["id"]])["status"] == "ok"
    liked = asked(player, "getStarred")["starred"]
    assert [one["title"] for one in liked["album"]] == ["Sun"] and liked["album"][0]["isDir"]
    assert [one["title"] for one in liked["song"]] == ["Dawn"]
    assert asked(player, "star", albumId="al-0123456789abcdef")["error"]["code"] == 70
    assert asked(player, "star", albumId=sun["artistId"])["error"]["code"] == 70
    assert asked(player, "star")["error"]["code"] == 10


def test_songs_tell_the_size_and_the_age_of_their_files(player: TestClient, shelves: Path) -> None:
    (song,) = asked(player, "search3", query="dawn")["searchResult3"]["song"]
    with Library(shelves) as library:
        status = library.track(int(song["id"])).path.stat()
    assert song["size"] == status.st_size and song["bitRate"] == round(8 * status.st_size / 2.0 / 1000)
    assert datetime.fromisoformat(song["created"]).timestamp() == pytest.approx(status.st_mtime, abs=1)


def test_wrong_wishes_about_playlists_change_nothing(player: TestClient) -> None:
    songs = [song["id"] for song in asked(player, "search3", query="")["searchResult3"]["song"]]
    made = asked(player, "createPlaylist", name="rain", songId=songs[:2])["playlist"]["id"]
    before = titles(player, made)
    wrong: list[tuple[str, dict[str, Any], int]] = [
        ("createPlaylist", {}, 10),
        ("createPlaylist", {"name": "rain"}, 0),
        ("createPlaylist", {"name": " "}, 0),
        ("createPlaylist", {"name": "new", "songId": "999"}, 70),
        ("createPlaylist", {"playlistId": made, "songId": "no"}, 70),
        ("updatePlaylist", {}, 10),
        ("updatePlaylist", {"playlistId": "999"}, 70),
        ("updatePlaylist", {"playlistId": made, "songIndexToRemove": "2", "name": "other"}, 0),
        ("updatePlaylist", {"playlistId": made, "songIndexToRemove": "-1"}, 0),
        ("updatePlaylist", {"playlistId": made, "songIdToAdd": "999", "songIndexToRemove": "0"}, 70),
        ("deletePlaylist", {"id": "999"}, 70),
    ]
    for method, values, number in wrong:
        assert asked(player, method, **values)["error"]["code"] == number, (method, values)
    (known,) = asked(player, "getPlaylists")["playlists"]["playlist"]
    assert known["name"] == "rain" and titles(player, made) == before


def test_nothing_is_changed_over_a_network_without_a_password(shelves: Path) -> None:
    for config in (ServingConfig(), ServingConfig(is_editable=True), ServingConfig(is_private=True)):
        with Searcher(shelves, reads_files=False) as searcher:
            client = TestClient(build_app(searcher, config), base_url=OWN)
            for method in CHANGING:
                values = {"id": "1", "name": "x", "playlistId": "1"}
                assert asked(client, method, **values)["error"]["code"] == 50
            assert asked(client, "getUser", username="anna")["user"]["playlistRole"] is False
    with Library(shelves) as library:
        assert library.playlists() == [] and library.shelf_likes() == {}


def test_a_like_lets_no_albums_be_gathered_anew(
    player: TestClient, shelves: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a library of 100,000 tracks that takes seconds."""
    names = [album["name"] for album in asked(player, "getAlbumList2", type="newest")["albumList2"]["album"]]
    gathered: list[Library] = []
    monkeypatch.setattr(
        "solfa.serving.state.Collection", lambda library: gathered.append(library) or Collection(library)
    )
    for method, values in (("star", {"id": "1"}), ("createPlaylist", {"name": "rain", "songId": "1"})):
        assert asked(player, method, **values)["status"] == "ok"
        asked(player, "getArtists")
    assert gathered == []
    with Library(shelves) as library:
        library.remove([track for track in library.tracks() if track.tags.get("album") == "Sun"])
    left = [album["name"] for album in asked(player, "getAlbumList2", type="newest")["albumList2"]["album"]]
    assert gathered and sorted([*left, "Sun"]) == sorted(names)


def test_likes_of_albums_come_along_when_libraries_are_merged(shelves: Path, tmp_path: Path) -> None:
    from solfa.retrieval.merging import merge_into

    with Library(shelves) as library:
        album = Collection(library).albums[0]
        library.like_shelves([album.id])
        since = library.shelf_likes()
        library.like_shelves([album.id])
        assert library.shelf_likes() == since  # it stays liked since then
        with Library(tmp_path / "other.sqlite", library.space) as other:
            merge_into(other, library)
            assert list(other.shelf_likes()) == [album.id]
            assert Collection(other).album(album.id)
            other.like_shelves([album.id], likes=False)
            assert other.shelf_likes() == {}
