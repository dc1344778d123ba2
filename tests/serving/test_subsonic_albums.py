"""OpenSubsonic: albums, artists, genres and pictures, as two client libraries take them."""

import asyncio
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="the page needs FastAPI: pip install 'solfa[serve]'")
pytest.importorskip("httpx", reason="these tests need httpx")

from fastapi.testclient import TestClient
from PIL import Image

from golden_data import GOLDEN
from page_server import start
from serving_shelves import TRACKS, make_shelves, picture
from solfa.models import MuLan, load
from solfa.retrieval import Library, Searcher
from solfa.retrieval.albums import Collection
from solfa.serving import ServingConfig, build_app

OWN = "http://127.0.0.1:8765"


@pytest.fixture(scope="module")
def shelves(tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = load(GOLDEN / "muq_mulan")
    assert isinstance(model, MuLan)
    return make_shelves(tmp_path_factory.mktemp("shelves"), model)


@pytest.fixture(scope="module")
def player(shelves: Path) -> Iterator[TestClient]:
    with Searcher(shelves, reads_files=False) as searcher:
        yield TestClient(build_app(searcher, ServingConfig()), base_url=OWN)


def asked(client: TestClient, method: str, **values: Any) -> dict[str, Any]:
    answer = client.get(f"/rest/{method}", params={"f": "json", "v": "1.16.1", "c": "test"} | values)
    whole: dict[str, Any] = answer.json()["subsonic-response"]
    return whole


def albums(client: TestClient, **values: Any) -> list[str]:
    return [album["name"] for album in asked(client, "getAlbumList2", **values)["albumList2"]["album"]]


def test_tracks_are_shelved_by_tags_and_else_by_folders(shelves: Path) -> None:
    with Library(shelves) as library:
        collection = Collection(library)
    shelved = {album.name: [track.title for track in album.tracks] for album in collection.albums}
    assert shelved == {
        "Hits": ["X", "Y"], "loose": ["untagged"], "The Rain": ["Drops", "Puddles"], "Sun": ["Dawn", "Noon"],
    }  # fmt: skip
    makers = {album.name: list(album.artists) for album in collection.albums}
    assert makers["Hits"] == ["Various Artists"] and makers["loose"] == ["Unknown Artist"]
    played = {artist.name: [album.name for album in artist.albums] for artist in collection.artists}
    assert played["Anna"] == ["Sun", "The Rain"]  # by year
    assert played["Ben"] == ["Hits", "The Rain"]
    assert list(played) == ["Anna", "Ben", "Éva", "Unknown Artist", "Various Artists"]


def test_py_sonic_browses_from_artists_to_songs_and_sees_pictures(shelves: Path, tmp_path: Path) -> None:
    libsonic = pytest.importorskip("libsonic", reason="this test needs py-sonic")
    served = start(shelves, tmp_path)
    try:
        client = libsonic.Connection("http://127.0.0.1", "anna", "any", port=served.port)
        letters = client.getArtists()["artists"]["index"]
        (anna,) = next(letter["artist"] for letter in letters if letter["name"] == "A")
        assert anna["albumCount"] == 2
        sun, rain = client.getArtist(anna["id"])["artist"]["album"]
        assert (sun["name"], rain["name"]) == ("Sun", "The Rain")
        songs = client.getAlbum(rain["id"])["album"]["song"]
        assert [(song["title"], song["discNumber"], song["albumId"]) for song in songs] == [
            ("Drops", 1, rain["id"]), ("Puddles", 2, rain["id"]),
        ]  # fmt: skip
        assert client.getSong(songs[0]["id"])["song"] == songs[0]
        assert client.getCoverArt(songs[0]["coverArt"]).read() == picture("red", "PNG")
        smaller = Image.open(io.BytesIO(client.getCoverArt(sun["coverArt"], 64).read()))
        assert smaller.size == (64, 64) and smaller.getpixel((9, 9))[2] > 200
        hits = client.getAlbumList2("byYear", fromYear=2000, toYear=1900)["albumList2"]["album"]
        assert [album["name"] for album in hits] == ["The Rain", "Sun"]
        found = client.search3("anna")["searchResult3"]
        assert [artist["name"] for artist in found["artist"]] == ["Anna"]
        assert {album["name"] for album in found["album"]} == {"Sun", "The Rain"}
        assert len(found["song"]) == 4
        (folder,) = client.getMusicFolders()["musicFolders"]["musicFolder"]
        assert folder["name"] == "shelves"
        folders = client.getMusicDirectory(anna["id"])["directory"]["child"]
        assert [child["isDir"] for child in folders] == [True, True]
        inside = client.getMusicDirectory(folders[1]["id"])["directory"]["child"]
        assert [child["id"] for child in inside] == [song["id"] for song in songs]
        with pytest.raises(libsonic.errors.DataNotFoundError):
            client.getAlbum("al-0123456789abcdef")
    finally:
        served.process.kill()
        served.process.wait()


async def browse(client: Any) -> None:
    """As a program does that takes all of a server's music in."""
    assert await client.ping()
    artists = [artist for letter in (await client.get_artists()).index for artist in letter.artist]
    assert [artist.name for artist in artists][:2] == ["Anna", "Ben"]
    whole = [await client.get_artist(artist.id) for artist in artists]
    assert sum(album.song_count for album in whole[0].album) == 4
    assert (await client.get_artist_info2(artists[0].id)).biography is None
    listed = await client.get_album_list2("alphabeticalByArtist", size=500)
    assert [album.name for album in listed] == ["The Rain", "Sun", "loose", "Hits"]
    songs = [song for album in listed for song in (await client.get_album(album.id)).song]
    assert len(songs) == len(TRACKS) and all(song.artists for song in songs)
    assert (await client.get_album_info2(listed[0].id)).notes is None
    assert {genre.value for genre in await client.get_genres()} == {"Ambient", "Folk"}
    assert len(await client.get_random_songs(3)) == 3
    similar = await client.get_sonic_similar_tracks(songs[0].id, 3)
    assert len(similar) == 3 and similar[0].entry.album_id
    path = await client.find_sonic_path(songs[0].id, songs[-1].id, 4)
    assert path[0].entry.id == songs[0].id and path[-1].entry.id == songs[-1].id
    assert await client.get_top_songs("Anna") == [] and await client.scrobble(songs[0].id)
    assert (await client.search3("drops")).song[0].title == "Drops"


def test_the_client_library_of_music_assistant_reads_all_forms(shelves: Path, tmp_path: Path) -> None:
    """py-opensonic refuses answers that lack what OpenSubsonic demands."""
    libopensonic = pytest.importorskip("libopensonic", reason="this test needs py-opensonic")
    served = start(shelves, tmp_path)

    async def ask() -> None:
        client = libopensonic.AsyncConnection("http://127.0.0.1", "anna", "any", port=served.port)
        try:
            await browse(client)
        finally:
            await client.cleanup()

    try:
        asyncio.run(ask())
    finally:
        served.process.kill()
        served.process.wait()


def test_lists_of_albums_are_ordered_cut_and_filtered_as_asked(player: TestClient) -> None:
    assert albums(player, type="alphabeticalByName") == ["Hits", "loose", "The Rain", "Sun"]
    assert albums(player, type="alphabeticalByName", size=2, offset=1) == ["loose", "The Rain"]
    assert albums(player, type="byGenre", genre="folk") == ["The Rain"]
    assert albums(player, type="byYear", fromYear=1990, toYear=1994) == ["Sun", "The Rain"]
    assert sorted(albums(player, type="random")) == sorted(albums(player, type="newest"))
    assert albums(player, type="frequent") == albums(player, type="starred") == []
    assert asked(player, "getAlbumList2")["error"]["code"] == 10
    assert asked(player, "getAlbumList2", type="best")["error"]["code"] == 0
    genres = asked(player, "getGenres")["genres"]["genre"]
    assert [(one["value"], one["songCount"], one["albumCount"]) for one in genres] == [
        ("Ambient", 1, 1), ("Folk", 2, 1),
    ]  # fmt: skip
    assert b">Folk</genre>" in player.get("/rest/getGenres").content
    folk = asked(player, "getSongsByGenre", genre="Folk")["songsByGenre"]["song"]
    assert [song["title"] for song in folk] == ["Drops", "Puddles"]
    nineties = asked(player, "getRandomSongs", fromYear=1991, toYear=1999)["randomSongs"]["song"]
    assert {song["title"] for song in nineties} == {"Drops", "Puddles"}


def test_a_search_counts_artists_albums_and_songs_apart(player: TestClient) -> None:
    found = asked(player, "search3", query="", artistCount=1, artistOffset=1, albumCount=0, songCount=2)
    assert [artist["name"] for artist in found["searchResult3"]["artist"]] == ["Ben"]
    assert found["searchResult3"]["album"] == [] and len(found["searchResult3"]["song"]) == 2
    found = asked(player, "search2", query="eva")["searchResult2"]
    assert [artist["name"] for artist in found["artist"]] == ["Éva"]


def test_what_sounds_like_an_album_or_an_artist_is_of_others(player: TestClient) -> None:
    (rain,) = asked(player, "search3", query="the rain", songCount=0)["searchResult3"]["album"]
    similar = asked(player, "getSimilarSongs", id=rain["id"], count=50)["similarSongs"]["song"]
    assert len(similar) == len(TRACKS) - 2 and all(song["albumId"] != rain["id"] for song in similar)
    similar = asked(player, "getSimilarSongs2", id=rain["artistId"], count=2)["similarSongs2"]["song"]
    assert len(similar) == 2


def test_pictures_that_are_none_are_not_found(player: TestClient, shelves: Path) -> None:
    (hits,) = asked(player, "search3", query="hits", songCount=0)["searchResult3"]["album"]
    assert asked(player, "getCoverArt", id=hits["id"])["error"]["code"] == 70
    assert asked(player, "getCoverArt", id="999")["error"]["code"] == 70
    assert asked(player, "getCoverArt", id="../../cover.png")["error"]["code"] == 70
    text = player.get("/rest/getIndexes").text + player.get("/rest/search3", params={"query": ""}).text
    assert str(shelves.parent) not in text


def test_the_ids_of_albums_outlive_an_update(player: TestClient, shelves: Path, tmp_path: Path) -> None:
    with Library(shelves) as library:
        before = {album.name: album.id for album in Collection(library).albums}
        library.like([library.tracks()[0].id], likes=True)
        assert {album.name: album.id for album in Collection(library).albums} == before
    rain = asked(player, "getAlbum", id=before["The Rain"])["album"]
    assert sum("starred" in song for song in rain["song"]) <= 1
