"""What the page refuses: foreign hosts and sites, large bodies, files by name, ranges that are none."""

import os
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="the page needs FastAPI: pip install 'solfa[serve]'")
pytest.importorskip("httpx", reason="these tests need httpx")

from fastapi.testclient import TestClient

from solfa.retrieval import Searcher
from solfa.serving import ServingConfig, build_app

OWN = "http://127.0.0.1:8765"
MARKUP = "<img src=x onerror=alert(1)>.wav"  # the name of a track


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8765",
        "127.0.0.1.evil.example",
        "192.168.1.7",
        "",
        "127.0.0.1@evil.example:80",
        "[::",
    ],
)
def test_a_foreign_host_is_refused(client: TestClient, host: str) -> None:
    for path in ("/", "/api/library", "/page/app.js"):
        answer = client.get(path, headers={"Host": host})
        assert answer.status_code == 421 and "--name" in answer.json()["error"]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:8765", "LOCALHOST", "[::1]:8765"])
def test_its_own_names_are_known(client: TestClient, host: str) -> None:
    assert client.get("/api/tracks", headers={"Host": host}).status_code == 200


def test_a_server_for_all_answers_to_numbers_and_to_names_it_was_told(searcher: Searcher) -> None:
    app = build_app(searcher, ServingConfig(address="0.0.0.0", names=("attic.local",)))
    client = TestClient(app, base_url="http://attic.local:8765")
    assert client.get("/api/tracks").status_code == 200
    assert client.get("/api/tracks", headers={"Host": "192.168.1.7:8765"}).status_code == 200
    assert client.get("/api/tracks", headers={"Host": "evil.example"}).status_code == 421


def test_names_without_letters_are_no_names(searcher: Searcher) -> None:
    """A request that names no host comes from nowhere."""
    client = TestClient(
        build_app(searcher, ServingConfig(address="", names=("", ".", "Attic.local."))), base_url=OWN
    )
    assert client.get("/api/tracks", headers={"Host": "attic.local"}).status_code == 200
    for host in ("", ".", ":8765"):
        assert client.get("/api/tracks", headers={"Host": host}).status_code == 421


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:9999"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Origin": OWN},
    ],
)
def test_other_sites_cannot_send_anything(client: TestClient, headers: dict[str, str]) -> None:
    for path in ("/api/playlist", "/api/query"):
        assert client.post(path, content=b'{"ids": [1]}', headers=headers).status_code == 403


def test_other_sites_cannot_read_or_embed_but_may_link(client: TestClient, ids: dict[str, int]) -> None:
    foreign = {"Sec-Fetch-Site": "cross-site"}
    assert client.get(f"/api/tracks/{ids['tune.wav']}/audio", headers=foreign).status_code == 403
    assert client.get("/", headers=foreign).status_code == 200


def test_the_page_itself_and_programs_may_send(client: TestClient, ids: dict[str, int]) -> None:
    wish = {"ids": [ids["tune.wav"]]}
    own = {"Origin": OWN, "Sec-Fetch-Site": "same-origin"}
    assert client.post("/api/playlist", json=wish, headers=own).status_code == 200
    assert client.post("/api/playlist", json=wish).status_code == 200


def test_a_large_upload_is_refused(client: TestClient) -> None:
    answer = client.post("/api/query", content=bytes(1_000_001))
    assert answer.status_code == 413 and "at most 1 MB" in answer.json()["error"]


def test_a_large_upload_that_hides_its_length_is_refused(client: TestClient) -> None:
    answer = client.post("/api/query", content=(bytes(100_000) for _ in range(100)))
    assert answer.status_code == 413 and "at most 1 MB" in answer.json()["error"]


def test_other_bodies_are_small(client: TestClient) -> None:
    assert client.post("/api/playlist", json={"ids": [1] * 10_000}).status_code == 413
    assert client.get("/api/tracks", headers={"Content-Length": "much"}).status_code == 400


def test_an_upload_leaves_nothing_behind(
    client: TestClient, music: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    for content in ((music / "clicks.flac").read_bytes()[:-7], b"no music"):
        client.post("/api/query", content=content)
    assert not list(tmp_path.iterdir())


def test_an_upload_that_lasts_for_hours_is_refused(searcher: Searcher, music: Path) -> None:
    app = build_app(searcher, ServingConfig(longest_query_seconds=10.0))
    client = TestClient(app, base_url=OWN)
    answer = client.post("/api/query", content=(music / "tune.wav").read_bytes())
    assert answer.status_code == 422 and "at most" in answer.json()["error"]


def test_a_file_cannot_be_named_whether_it_exists_or_not(
    client: TestClient, music: Path, tmp_path: Path
) -> None:
    there = tmp_path / "there.wav"
    there.write_bytes((music / "chord.wav").read_bytes())
    named = [
        there,
        tmp_path / "missing.wav",
        music / "chord.wav",
        "/etc/passwd",
        "~/x.mp3",
        "./x",
        "1 + x.ogg",
    ]
    answers = [client.get("/api/search", params={"q": str(name)}) for name in named]
    assert {answer.status_code for answer in answers} == {400}
    assert len({answer.text for answer in answers}) == 1


@pytest.mark.parametrize(
    "path", ["/page/../guard.py", "/page/..%2fguard.py", "/page/%2e%2e/app.py", "/page//etc/passwd"]
)
def test_the_page_is_the_only_folder(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 404


def test_names_of_files_are_data_and_no_page_may_run_them(client: TestClient, ids: dict[str, int]) -> None:
    answer = client.get(f"/api/tracks/{ids[MARKUP]}")
    assert answer.json()["file"] == MARKUP and answer.headers["content-type"] == "application/json"
    for path in (
        "/",
        "/api/docs",
        "/api/library",
        "/page/app.js",
        f"/api/tracks/{ids[MARKUP]}/audio",
        "/nothing",
    ):
        headers = client.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy and "script-src 'self'" in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cross-origin-resource-policy"] == "same-origin"


def test_a_file_that_is_gone_is_not_found(
    searcher: Searcher, client: TestClient, music: Path, ids: dict[str, int]
) -> None:
    path = music / "clicks.flac"
    hidden = path.with_suffix(".hidden")
    path.rename(hidden)
    try:
        for what in ("audio", "audio?form=wav", "waveform"):
            answer = client.get(f"/api/tracks/{ids['clicks.flac']}/{what}")
            assert answer.status_code == 404 and "solfa index" in answer.json()["error"]
        os.mkfifo(path)  # to open it would wait for ever
        assert client.get(f"/api/tracks/{ids['clicks.flac']}/audio").status_code == 404
    finally:
        path.unlink(missing_ok=True)
        hidden.rename(path)


def test_a_searcher_that_opens_any_file_is_not_served(library: Path) -> None:
    with Searcher(library) as searcher, pytest.raises(ValueError, match="reads_files=False"):
        build_app(searcher)
