"""The page as a service: below a prefix, behind proxies, its health, metrics and log, and what it refuses."""

import json
import logging
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="the page needs FastAPI: pip install 'solfa[serve]'")
pytest.importorskip("httpx", reason="these tests need httpx")

import soundfile
from fastapi.testclient import TestClient

from golden_data import GOLDEN
from solfa.errors import ArgumentError
from solfa.models import ClipEncoder, MuLan, load
from solfa.retrieval import Library, Searcher
from solfa.serving import ServingConfig, build_app
from solfa.serving.limits import GUESSES_AT_ONCE, MOST_CLIENTS, Rates, client_of
from solfa.serving.notes import JsonLines
from synth import chord

OWN = "http://127.0.0.1:8765"
PASSWORD = "a long word"
PAGE = Path(__file__).parents[2] / "src/solfa/serving/page"


def client_of_page(searcher: Searcher, client: str = "192.0.2.1", **config: object) -> TestClient:
    app = build_app(searcher, ServingConfig(**config))  # type: ignore[arg-type]
    return TestClient(app, base_url=OWN, client=(client, 1), follow_redirects=False)


@pytest.mark.parametrize("is_taken_off", [True, False])
def test_the_page_works_below_a_prefix_that_the_proxy_takes_off_or_not(
    searcher: Searcher, ids: dict[str, int], is_taken_off: bool
) -> None:
    client = client_of_page(searcher, root_path="/music")
    prefix = "" if is_taken_off else "/music"
    for path in ("/", "/page/app.js", "/api/library", "/api/docs", f"/api/tracks/{ids['tune.wav']}/audio"):
        assert client.get(prefix + path).status_code == 200, path
    assert client.get("/api/openapi.json").json()["servers"] == [{"url": "/music"}]
    assert client.get("/musical/api/library").status_code == 404


def test_who_forgets_the_last_slash_of_the_prefix_is_sent_there(searcher: Searcher) -> None:
    answer = client_of_page(searcher, root_path="/music/").get("/music")
    assert (answer.status_code, answer.headers["location"]) == (308, "/music/")


@pytest.mark.parametrize(
    "prefix", ["music", "/a b", "/a/../b", "//evil.example", "/a?b", "https://a.example/b"]
)
def test_a_prefix_that_is_none_names_one(searcher: Searcher, prefix: str) -> None:
    with pytest.raises(ArgumentError, match="such as /music"):
        build_app(searcher, ServingConfig(root_path=prefix))


def test_the_page_asks_for_nothing_by_a_path_from_the_root() -> None:
    """Which a proxy that has it below a prefix would not hand on."""
    asked = re.compile(
        r"""(?:(?:href|src|action)=|url\(|fetch\(|import |from )\s*["'`]?/(?!/)|["'`]/(?:api|page|rest)/"""
    )
    files = [path for path in PAGE.iterdir() if path.suffix in (".html", ".js", ".css")]
    assert len(files) > 10
    assert not [(path.name, found.group()) for path in files for found in asked.finditer(path.read_text())]


def test_health_takes_no_password_and_no_name_and_tells_nothing(searcher: Searcher) -> None:
    client = client_of_page(searcher, password=PASSWORD, per_minute=1)
    for _ in range(3):  # as often as somebody wants to know it
        answer = client.get("/healthz", headers={"Host": "10.0.0.7"})
        assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
    assert client.head("/healthz").status_code == 200
    assert client.get("/healthz/x").status_code == 401


def test_a_library_that_is_gone_is_not_well_until_it_is_back(own: Path) -> None:
    with Searcher(own, reads_files=False) as searcher:
        client = client_of_page(searcher)
        hidden = own.rename(own.with_suffix(".hidden"))
        answer = client.get("/healthz")
        assert answer.status_code == 503 and answer.headers["retry-after"]
        assert answer.json() == {"status": "unreadable"}
        hidden.rename(own)
        assert client.get("/healthz").status_code == 200


def test_metrics_count_by_route_and_are_behind_the_password(searcher: Searcher, ids: dict[str, int]) -> None:
    pytest.importorskip("prometheus_client")
    from prometheus_client.parser import text_string_to_metric_families

    client = client_of_page(searcher, password=PASSWORD, metrics_for="password")
    assert client.get("/metrics").status_code == 401
    client.auth = ("any", PASSWORD)
    for id in ids.values():
        client.get(f"/api/tracks/{id}")
    client.get("/page/app.js"), client.get("/nothing"), client.get("/api/search", params={"q": "secret"})
    answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    samples = {
        (one.name, *sorted(one.labels.values())): one.value
        for family in text_string_to_metric_families(answer.text) for one in family.samples
    }  # fmt: skip
    assert samples["solfa_http_requests_total", "/api/tracks/{id}", "200", "GET"] == len(ids)
    assert samples["solfa_http_request_seconds_count", "/api/tracks/{id}"] == len(ids)
    assert samples["solfa_http_requests_total", "/page/{file}", "200", "GET"] == 1
    assert samples["solfa_http_requests_total", "404", "GET", "none"] == 1
    assert samples["solfa_http_refused_total", "password"] == 1
    assert samples["solfa_library_tracks",] == len(ids) and samples["solfa_library_readable",] == 1
    assert samples["solfa_workers", "decoders"] == 2 and samples["solfa_workers_busy", "decoders"] == 0
    assert "secret" not in answer.text and "tune" not in answer.text


def test_metrics_may_be_opened_and_are_off_if_nobody_wants_them(searcher: Searcher) -> None:
    pytest.importorskip("prometheus_client")
    client = client_of_page(searcher, password=PASSWORD, metrics_for="anybody")
    assert client.get("/metrics").status_code == 200 and client.get("/api/library").status_code == 401
    answer = client_of_page(searcher).get("/metrics")
    assert answer.status_code == 404 and "--metrics" in answer.json()["error"]


def test_tracks_of_several_roots_are_served_and_no_other_file(own: Path, tmp_path: Path) -> None:
    second = tmp_path / "second" / "deep"
    second.mkdir(parents=True)
    soundfile.write(second / "other.wav", chord(62, "min", 3.0), 24_000, subtype="PCM_16")
    model = load(GOLDEN / "muq_mulan")
    assert isinstance(model, MuLan)
    with Library(own) as library:
        assert library.update([tmp_path / "second"], ClipEncoder(model).eval()).n_added == 1
    (second / "new.wav").write_bytes((second / "other.wav").read_bytes())  # not in the library
    with Searcher(own, reads_files=False) as searcher:
        client = client_of_page(searcher, root_path="/music")
        files = {track.path.name: track for track in searcher.tracks()}
        assert {"other.wav", "tune.wav"} <= files.keys() and "new.wav" not in files
        for track in files.values():
            audio = client.get(f"/music/api/tracks/{track.id}/audio")
            assert audio.status_code == 200 and len(audio.content) > 1000, track.path
        assert client.get("/music/api/tracks/999/audio").status_code == 404


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Iterator[object]:
    """Reads the lines of JSON that have been logged for requests."""
    caplog.set_level(logging.INFO, "solfa.serving.notes")
    form = JsonLines()
    yield lambda: [
        json.loads(form.format(one)) for one in caplog.records if one.name == "solfa.serving.notes"
    ]


def test_a_line_of_the_log_tells_of_a_request_and_not_what_was_asked(
    searcher: Searcher, lines: object
) -> None:
    client = client_of_page(searcher, logs_requests=True)
    answer = client.get("/api/search", params={"q": "tears in the rain"})
    (line,) = lines()  # type: ignore[operator]
    assert set(line) == {
        "time", "level", "logger", "message",
        "request_id", "method", "route", "status", "milliseconds", "bytes",
    }  # fmt: skip
    assert (line["method"], line["route"], line["status"]) == ("GET", "/api/search", 200)
    assert line["bytes"] == len(answer.content) and line["milliseconds"] > 0
    assert line["request_id"] == answer.headers["x-request-id"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["time"])
    assert "rain" not in json.dumps(line)


def test_a_line_tells_what_was_asked_by_whom_if_that_is_wanted(searcher: Searcher, lines: object) -> None:
    client = client_of_page(searcher, logs_requests=True, tells_queries=True)
    client.get("/api/search", params={"q": "rain\n"})
    (line,) = lines()  # type: ignore[operator]
    assert (line["client"], line["path"], line["query"]) == ("192.0.2.1", "/api/search", "q=rain%0A")


def test_refusals_and_faults_have_their_lines(searcher: Searcher, lines: object) -> None:
    client = client_of_page(searcher, logs_requests=True, password=PASSWORD)
    client.get("/api/library")
    client.request("X" * 50, "/", auth=("", PASSWORD))
    assert [(one["status"], one["method"], one["route"]) for one in lines()] == [  # type: ignore[operator]
        (401, "GET", "none"), (405, "OTHER", "/"),
    ]  # fmt: skip


def test_a_traceback_is_a_text_in_a_line() -> None:
    try:
        raise ValueError("no\nway")
    except ValueError as error:
        record = logging.LogRecord("a", logging.ERROR, "", 0, "%s failed", ("it",), (ValueError, error, None))
    line = JsonLines().format(record)
    assert "\n" not in line and json.loads(line)["message"] == "it failed"
    assert "no\nway" in json.loads(line)["error"]


def test_numbers_of_requests_come_from_a_trusted_proxy_alone(searcher: Searcher) -> None:
    trusting = client_of_page(searcher, trusted_proxies=("192.0.2.1",))
    other = client_of_page(searcher)
    for client, given, is_taken in (
        (trusting, "abc-1", True),
        (trusting, "a b\u00fc", False),
        (other, "abc-1", False),
    ):
        answer = client.get("/healthz", headers={"X-Request-ID": given.encode()})
        assert (answer.headers["x-request-id"] == given) is is_taken


def test_a_client_that_asks_too_often_is_told_when_to_come_back(searcher: Searcher) -> None:
    client = client_of_page(searcher, per_minute=3)
    statuses = [client.get("/api/tracks").status_code for _ in range(5)]
    assert statuses == [200, 200, 200, 429, 429]
    answer = client.get("/api/tracks")
    assert 1 <= int(answer.headers["retry-after"]) <= 20 and "--rate-limit" in answer.json()["error"]


def test_clients_behind_a_trusted_proxy_are_told_apart_and_others_cannot_choose_who_they_are(
    searcher: Searcher,
) -> None:
    def n_answered(client: TestClient, made_up: str = "") -> int:
        headers = [{"X-Forwarded-For": f"{made_up}203.0.113.{n}"} for n in range(5)]
        return [client.get("/api/tracks", headers=one).status_code for one in headers].count(200)

    assert n_answered(client_of_page(searcher, per_minute=2, trusted_proxies=("192.0.2.0/24",))) == 5
    assert n_answered(client_of_page(searcher, per_minute=2)) == 2
    # What stands before the address that the proxy has seen was written by the client.
    proxied = client_of_page(searcher, per_minute=2, trusted_proxies=("192.0.2.1",))
    made_up = [{"X-Forwarded-For": f"203.0.113.{n}, 198.51.100.1"} for n in range(5)]
    assert [proxied.get("/api/tracks", headers=one).status_code for one in made_up].count(200) == 2


def test_a_page_of_tls_may_send_if_the_proxy_is_trusted(searcher: Searcher, ids: dict[str, int]) -> None:
    wish = {"ids": [ids["tune.wav"]]}
    headers = {"Origin": OWN.replace("http", "https"), "X-Forwarded-Proto": "https"}
    trusting = client_of_page(searcher, trusted_proxies=("192.0.2.1",))
    assert trusting.post("/api/playlist", json=wish, headers=headers).status_code == 200
    answer = client_of_page(searcher).post("/api/playlist", json=wish, headers=headers)
    assert answer.status_code == 403 and "--trusted-proxy" in answer.json()["error"]


def test_who_guesses_the_password_has_to_wait_and_others_do_not(searcher: Searcher) -> None:
    client = client_of_page(searcher, password=PASSWORD)
    statuses = [client.get("/api/tracks", auth=("", f"guess {n}")).status_code for n in range(12)]
    assert statuses == [401] * GUESSES_AT_ONCE + [429] * 2
    right = client.get("/api/tracks", auth=("", PASSWORD))  # else an answer would tell that it is right
    assert right.status_code == 429 and right.headers["retry-after"]
    assert client.get("/rest/ping", params={"u": "a", "p": PASSWORD, "f": "json"}).status_code == 429
    assert client.get("/api/tracks").status_code == 401  # which is how browsers begin
    other = TestClient(client.app, base_url=OWN, client=("192.0.2.9", 1))
    assert other.get("/api/tracks", auth=("", PASSWORD)).status_code == 200


def test_players_that_guess_have_to_wait(searcher: Searcher) -> None:
    client = client_of_page(searcher, password=PASSWORD)
    asked = [client.get("/rest/ping", params={"u": "a", "p": "wrong", "f": "json"}) for _ in range(12)]
    assert [one.status_code for one in asked] == [200] * GUESSES_AT_ONCE + [429] * 2


def test_who_would_wait_behind_too_many_is_told_to_come_back(
    searcher: Searcher, ids: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    client = client_of_page(searcher, most_waiting=0)
    answer = client.get(f"/api/tracks/{ids['tune.wav']}/waveform")
    assert answer.status_code == 503 and answer.headers["retry-after"] == "5"
    assert "--max-waiting" in answer.json()["error"]
    assert client.get("/healthz").status_code == 200


def test_more_requests_at_once_than_allowed_are_refused(
    searcher: Searcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, end = threading.Event(), threading.Event()

    def slow(*_: object) -> int:
        begun.set()
        assert end.wait(60)
        return 0

    with client_of_page(searcher, most_at_once=1) as client:
        count = searcher.count
        monkeypatch.setattr(searcher, "count", slow)
        first = threading.Thread(target=lambda: client.get("/api/tracks"))
        first.start()
        assert begun.wait(60)
        answer = client.get("/api/tracks")
        monkeypatch.setattr(searcher, "count", count)
        end.set()
        first.join()
        assert answer.status_code == 503 and "--limit-concurrency" in answer.json()["error"]
        assert client.get("/api/tracks").status_code == 200


def test_a_bucket_fills_again_and_forgets_who_has_not_asked_for_longest() -> None:
    now = 0.0
    rates = Rates(60, 2, lambda: now)
    assert [rates.take("a") for _ in range(3)] == [0, 0, 1.0]
    now = 0.5
    assert rates.take("a") == pytest.approx(0.5)
    now = 1.0
    assert rates.take("a") == 0 and rates.take("a") == pytest.approx(1.0)
    assert rates.take("b") == 0
    for number in range(MOST_CLIENTS):
        rates.take(str(number))
    assert len(rates) == MOST_CLIENTS and rates.take("a") == 0


def test_no_rate_is_no_limit() -> None:
    rates = Rates(0, 0)
    assert not any(rates.take("a") for _ in range(100)) and not rates.wait("a")


@pytest.mark.parametrize(
    ("address", "client"),
    [
        ("192.0.2.1", "192.0.2.1"), ("::ffff:192.0.2.1", "192.0.2.1"), ("2001:db8::1:2:3:4", "2001:db8::/64"),
        ("2001:db8::5", "2001:db8::/64"), ("testclient", "testclient"),
    ],
)  # fmt: skip
def test_a_client_is_an_address_or_a_network(address: str, client: str) -> None:
    assert client_of({"client": (address, 1)}) == client
    assert client_of({"client": None}) == "unknown"
