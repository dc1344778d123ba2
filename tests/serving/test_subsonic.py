"""OpenSubsonic: what a client library, py-sonic, gets of a served library, and the documented forms."""

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

pytest.importorskip("fastapi", reason="the page needs FastAPI: pip install 'solfa[serve]'")
pytest.importorskip("httpx", reason="these tests need httpx")

from fastapi.testclient import TestClient

from page_server import start
from solfa.retrieval import Library, Searcher
from solfa.serving import ServingConfig, build_app

OWN = "http://127.0.0.1:8765"
PASSWORD = "a song of nine words"
XML = "{http://subsonic.org/restapi}"


def token(salt: str = "c19b2d") -> dict[str, str]:
    return {"u": "anna", "t": hashlib.md5((PASSWORD + salt).encode()).hexdigest(), "s": salt}


@pytest.fixture
def locked(own: Path) -> Iterator[TestClient]:
    """Of a page with a password, over a network, that may be changed."""
    config = ServingConfig(is_editable=True, password=PASSWORD)
    with Searcher(own, reads_files=False) as searcher:
        yield TestClient(build_app(searcher, config), base_url=OWN)


def asked(client: TestClient, method: str, **values: Any) -> dict[str, Any]:
    """What a method answers as JSON."""
    answer = client.get(f"/rest/{method}", params={"f": "json", "v": "1.16.1", "c": "test"} | values)
    whole: dict[str, Any] = answer.json()["subsonic-response"]
    assert whole["type"] == "solfa" and whole["openSubsonic"] is True and whole["version"] == "1.16.1"
    return whole


def code(client: TestClient, method: str, **values: Any) -> int:
    """The number of the error that a method answers with."""
    whole = asked(client, method, **values)
    assert whole["status"] == "failed" and whole["error"]["message"]
    return int(whole["error"]["code"])


def test_py_sonic_finds_plays_and_likes(own: Path, ids: dict[str, int], tmp_path: Path) -> None:
    """A real client library against a real server, by token and salt, over POST."""
    libsonic = pytest.importorskip("libsonic", reason="this test needs py-sonic")
    (tmp_path / "password").write_text(f"{PASSWORD}\n")
    (tmp_path / "served").mkdir()
    with Library(own) as opened:
        rain = opened.make_playlist("rain", [ids["tune.wav"], ids["chord.wav"]])
    served = start(own, tmp_path / "served", "--password-file", str(tmp_path / "password"))
    try:
        stranger = libsonic.Connection("http://127.0.0.1", "anna", "wrong", port=served.port)
        with pytest.raises(libsonic.errors.CredentialError):
            stranger.getSong("1")
        player = libsonic.Connection("http://127.0.0.1", "anna", PASSWORD, port=served.port)
        assert player.ping() and player.getLicense()["license"]["valid"]
        songs = player.search3("", songCount=3, songOffset=1)["searchResult3"]["song"]
        assert len(songs) == 3
        (tune,) = player.search3("tune")["searchResult3"]["song"]
        assert tune["id"] == str(ids["tune.wav"]) and tune["title"] == "tune" and tune["duration"] == 30
        assert player.getSong(tune["id"])["song"] == tune
        similar = player.getSimilarSongs(tune["id"], 2)["similarSongs"]["song"]
        assert len(similar) == 2 and tune["id"] not in {song["id"] for song in similar}
        assert player.getSimilarSongs2(tune["id"], 2)["similarSongs2"]["song"] == similar
        sound = player.stream(tune["id"]).read()
        with Library(own) as opened:
            assert sound == opened.track(ids["tune.wav"]).path.read_bytes()
        assert player.star([tune["id"], similar[0]["id"]])["status"] == "ok"
        liked = player.getStarred2()["starred2"]["song"]
        assert [song["id"] for song in liked] == [tune["id"], similar[0]["id"]] and liked[0]["starred"]
        player.unstar([tune["id"]])
        with Library(own) as opened:
            assert opened.likes() == [int(similar[0]["id"])]
        lists = player.getPlaylists()["playlists"]["playlist"]
        assert [(known["name"], known["songCount"]) for known in lists] == [("Liked", 1), ("rain", 2)]
        entries = player.getPlaylist(rain.id)["playlist"]["entry"]
        assert [song["title"] for song in entries] == ["tune", "chord"]
        with pytest.raises(libsonic.errors.DataNotFoundError):
            player.getSong("999")
    finally:
        served.process.kill()
        served.process.wait()


def test_what_sounds_alike_comes_with_its_similarity(client: TestClient, ids: dict[str, int]) -> None:
    found = asked(client, "getSonicSimilarTracks", id=ids["tune.wav"], count=3)["sonicMatch"]
    similarities = [match["similarity"] for match in found]
    assert len(found) == 3 and similarities == sorted(similarities, reverse=True)
    assert all(0 <= similarity <= 1 for similarity in similarities)
    assert str(ids["tune.wav"]) not in [match["entry"]["id"] for match in found]
    assert len(asked(client, "getSonicSimilarTracks", id=ids["tune.wav"])["sonicMatch"]) == 4


def test_a_path_has_both_ends_and_no_more_songs_than_asked(client: TestClient, ids: dict[str, int]) -> None:
    start, end = ids["tune.wav"], ids["clicks.flac"]
    for count, n in (("2", 2), ("3", 3), ("25", 5)):
        path = asked(client, "findSonicPath", startSongId=start, endSongId=end, count=count)["sonicMatch"]
        found = [match["entry"]["id"] for match in path]
        assert found[0] == str(start) and found[-1] == str(end)
        assert len(found) == len(set(found)) <= n
        assert path[0]["similarity"] == 1.0  # to the first


def test_xml_says_the_same(client: TestClient, ids: dict[str, int]) -> None:
    answer = client.get("/rest/getSonicSimilarTracks.view", params={"id": ids["tune.wav"], "count": 2})
    assert answer.headers["content-type"].startswith("application/xml")
    root = ElementTree.fromstring(answer.content)
    assert root.tag == f"{XML}subsonic-response" and root.get("status") == "ok"
    assert root.get("openSubsonic") == "true"
    matches = asked(client, "getSonicSimilarTracks", id=ids["tune.wav"], count=2)["sonicMatch"]
    for element, match in zip(root.findall(f"{XML}sonicMatch"), matches, strict=True):
        assert element.get("similarity") == str(match["similarity"])
        (entry,) = element.findall(f"{XML}entry")
        assert entry.get("id") == match["entry"]["id"] and entry.get("isDir") == "false"
    extensions = ElementTree.fromstring(client.get("/rest/getOpenSubsonicExtensions").content)
    versions = {one.get("name"): one[0].text for one in extensions}
    assert versions == {"formPost": "1", "sonicSimilarity": "1"}


def test_sound_is_searched_by_words_behind_a_sign(client: TestClient) -> None:
    songs = asked(client, "search3", query="sounds like: calm piano", songCount=2)["searchResult3"]["song"]
    assert len(songs) == 2
    assert asked(client, "search3", query="calm piano")["searchResult3"]["song"] == []
    assert len(asked(client, "search3", query='""', songCount=500)["searchResult3"]["song"]) == 5
    assert asked(client, "search3", query="", songCount=0)["searchResult3"]["song"] == []


def test_parameters_may_stand_in_a_form(client: TestClient, ids: dict[str, int]) -> None:
    answer = client.post("/rest/getSong.view", data={"id": str(ids["tune.wav"]), "f": "json"})
    assert answer.json()["subsonic-response"]["song"]["title"] == "tune"


def test_sound_that_players_do_not_know_is_decoded(client: TestClient, ids: dict[str, int]) -> None:
    answer = client.get("/rest/stream", params={"id": ids["clicks.flac"]}, headers={"Range": "bytes=0-3"})
    assert answer.status_code == 206 and answer.content == b"fLaC"
    as_wav = client.get("/rest/stream", params={"id": ids["clicks.flac"], "format": "wav"})
    assert as_wav.content[:4] == b"RIFF"


def test_each_way_of_authentication_is_taken_and_refused_by_its_number(locked: TestClient) -> None:
    right: list[dict[str, str]] = [
        token(),
        {"u": "anna", "p": PASSWORD},
        {"u": "anna", "p": f"enc:{PASSWORD.encode().hex()}"},
        {"apiKey": PASSWORD},
    ]
    for values in right:
        assert asked(locked, "ping", **values)["status"] == "ok"
    wrong = {
        10: [{}, {"u": "anna"}, {"p": PASSWORD}, {"u": "anna", "t": "0" * 32}],
        40: [token() | {"s": "other"}, {"u": "anna", "p": "guess"}, {"u": "anna", "p": "enc:xyz"}],
        43: [token() | {"apiKey": PASSWORD}, token() | {"p": PASSWORD}, {"u": "anna", "apiKey": PASSWORD}],
        44: [{"apiKey": "guess"}],
    }
    for number, ways in wrong.items():
        for n, values in enumerate(ways):
            # Each from an address of its own: who guesses too often has to wait.
            asker = TestClient(locked.app, base_url=OWN, client=(f"192.0.2.{number + n}", 1))
            for method in ("ping", "search3", "stream", "star", "getCoverArt"):
                assert code(asker, method, **values) == number
    names = [one["name"] for one in asked(locked, "getOpenSubsonicExtensions")["openSubsonicExtensions"]]
    assert names == ["formPost", "sonicSimilarity", "apiKeyAuthentication"]
    assert asked(locked, "tokenInfo", apiKey=PASSWORD)["tokenInfo"]["username"]


def test_the_page_and_its_api_ask_for_the_password_too(locked: TestClient) -> None:
    for path in ("/", "/api/library", "/page/app.js", "/api/openapi.json", "/api/docs"):
        refusal = locked.get(path)
        assert refusal.status_code == 401 and refusal.headers["WWW-Authenticate"].startswith("Basic ")
        assert locked.get(path, auth=("anna", PASSWORD)).status_code == 200
        assert locked.get(path, auth=("anna", "guess")).status_code == 401
        assert locked.get(path, headers={"Authorization": "Basic %%%"}).status_code == 401
        assert locked.get(path, headers={"Authorization": f"Bearer {PASSWORD}"}).status_code == 401


def test_what_is_wrong_or_not_there_is_said_by_its_number(client: TestClient, ids: dict[str, int]) -> None:
    for id in ("999", "al-7", "", "-1", "0", "9" * 30, "1.5", "\u0661"):
        for method in ("getSong", "getSonicSimilarTracks", "getSimilarSongs2", "stream", "getPlaylist"):
            assert code(client, method, id=id) == 70
        assert code(client, "findSonicPath", startSongId=ids["tune.wav"], endSongId=id) == 70
    for method in ("getSong", "getSonicSimilarTracks", "findSonicPath", "search3", "stream", "getPlaylist"):
        assert code(client, method) == 10
    assert code(client, "getSonicSimilarTracks", id=ids["tune.wav"], count="many") == 0
    assert code(client, "search3", query='sounds like: "piano') == 0
    assert code(client, "ping", v="2.0.0") == 30 and code(client, "ping", v="0.9") == 20
    assert code(client, "getLyrics", id="1") == 0
    assert client.get("/rest/getLyrics").status_code == 404
    assert b"<error" in client.get("/rest/getSong", params={"id": "7&<\x01"}).content


def test_likes_are_changed_by_those_alone_who_may(own: Path, ids: dict[str, int], locked: TestClient) -> None:
    """A page elsewhere can make a browser GET something: there a password is needed, or this machine."""
    id = ids["tune.wav"]
    configs = {
        50: [ServingConfig(), ServingConfig(is_editable=True), ServingConfig(password=PASSWORD)],
        70: [ServingConfig(is_editable=True, is_private=True)],
    }
    for number, some in configs.items():
        for config in some:
            with Searcher(own, reads_files=False) as searcher:
                client = TestClient(build_app(searcher, config), base_url=OWN)
                values = {"apiKey": PASSWORD} if config.password else {}
                assert code(client, "star", albumId="1", **values) == number
    foreign = {"Sec-Fetch-Site": "cross-site"}
    assert locked.get("/rest/star", params={"id": id, **token()}, headers=foreign).status_code == 403
    assert code(locked, "star", **token()) == 10 and code(locked, "star", id="999", **token()) == 70
    with Library(own) as opened:
        assert opened.likes() == []
    assert asked(locked, "star", id=id, **token())["status"] == "ok"
    with Library(own) as opened:
        assert opened.likes() == [id]


def test_no_answer_names_a_place_of_this_machine_or_runs_in_another_site(
    client: TestClient, music: Path, library: Path
) -> None:
    for method in ("search3", "getStarred", "getPlaylists", "getLicense", "getSong", "stream"):
        text = client.get(f"/rest/{method}", params={"query": "", "id": "999"}).text
        assert str(music) not in text and str(library.parent) not in text
    song = asked(client, "search3", query="tune")["searchResult3"]["song"][0]
    assert song["path"] == "tune.wav"
    assert re.search("other sites", client.get("/rest/ping", params={"f": "jsonp", "callback": "x"}).text)
