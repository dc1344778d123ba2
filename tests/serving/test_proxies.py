"""The page behind nginx and Caddy, by the configurations in examples/service, with TLS and below a prefix."""

import base64
import json
import re
import shutil
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from page_server import PATIENCE, Served, start, wait_until
from training.ranks import free_port

pytest.importorskip("fastapi", reason="the page needs FastAPI: pip install 'solfa[serve]'")
pytest.importorskip("prometheus_client", reason="metrics need the extra service")
httpx = pytest.importorskip("httpx", reason="these tests need httpx")
pytestmark = pytest.mark.slow

EXAMPLES = Path(__file__).parents[2] / "examples/service"
NAME, PASSWORD = "music.example", "a long word"
KNOWN = {"Authorization": "Basic " + base64.b64encode(f"any:{PASSWORD}".encode()).decode()}


class Proxied(NamedTuple):
    """A client of the proxy, and the server behind it."""

    client: Any  # httpx.Client
    port: int
    served: Served

    def lines(self) -> list[dict[str, Any]]:
        """Of the server's log of requests."""
        said = [json.loads(line) for line in self.served.said("errors").splitlines() if line.startswith("{")]
        return [line for line in said if line["message"] == "request"]


@pytest.fixture(scope="module")
def service(library: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The server that the examples name."""
    folder = tmp_path_factory.mktemp("service")
    (folder / "password").write_text(PASSWORD)
    started = start(
        library, folder, "--name", NAME, "--root-path", "/music", "--trusted-proxy", "127.0.0.1",
        "--password-file", str(folder / "password"), "--log-format", "json", "--metrics", "anybody",
    )  # fmt: skip
    yield started
    started.process.kill()
    started.process.wait()


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate that it signed itself, and its key."""
    made = folder / "c.pem", folder / "k.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
         "-days", "2", "-subj", f"/CN={NAME}", "-addext", f"subjectAltName=DNS:{NAME}",
         "-out", made[0], "-keyout", made[1]],
        check=True, capture_output=True,
    )  # fmt: skip
    return made


def as_here(example: str, folder: Path, port: int, server: int) -> str:
    """An example with the certificate and the ports of a test."""
    pem, key = certificate(folder)
    text = re.sub(r"/etc/ssl/certs/\S+\.pem", str(pem), (EXAMPLES / example).read_text())
    text = re.sub(r"/etc/ssl/private/\S+\.key", str(key), text).replace(
        "127.0.0.1:8765", f"127.0.0.1:{server}"
    )
    if example == "Caddyfile":
        own = text.replace(f"{NAME} {{", f"{NAME}:{port} {{")
        return "{\n\tadmin off\n\tauto_https disable_redirects\n}\n" + own
    text = text.replace("listen 443 ssl", f"listen 127.0.0.1:{port} ssl")
    text = text.replace("listen 80", f"listen 127.0.0.1:{free_port()}")
    paths = "".join(
        f"{kind}_temp_path {folder}/{kind};\n"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    general = f"daemon off;\nuser root;\npid {folder}/pid;\nerror_log stderr;\nevents {{}}\n"
    return f"{general}http {{\naccess_log off;\n{paths}{text}}}\n"


@pytest.fixture(scope="module", params=["nginx", "caddy"])
def proxied(
    request: pytest.FixtureRequest, service: Served, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Proxied]:
    """A proxy in front of the server; skipped where it or openssl is not installed."""
    program = shutil.which(request.param) or shutil.which(f"/usr/sbin/{request.param}")
    if not program or not shutil.which("openssl"):
        pytest.skip(f"{request.param} or openssl is not installed")
    folder, port = tmp_path_factory.mktemp(request.param), free_port()
    example = "nginx.conf" if request.param == "nginx" else "Caddyfile"
    written = folder / example
    written.write_text(as_here(example, folder, port, service.port))
    command = [program, "-c", str(written), "-e", "stderr"]
    if request.param == "caddy":
        command = [program, "run", "--adapter", "caddyfile", "--config", str(written)]
    with (folder / "said").open("w") as said:
        process = subprocess.Popen(
            command, stdout=said, stderr=said, env={"HOME": str(folder), "PATH": "/usr/sbin:/usr/bin:/bin"}
        )
    trust = ssl.create_default_context(cafile=str(folder / "c.pem"))
    client = httpx.Client(verify=trust, headers={**KNOWN, "Host": f"{NAME}:{port}"}, timeout=PATIENCE)
    client.event_hooks["request"] = [lambda one: one.extensions.update(sni_hostname=NAME)]
    client.base_url = f"https://127.0.0.1:{port}"

    def answers() -> bool:
        assert process.poll() is None, (folder / "said").read_text()
        try:
            return client.get("/music/healthz").status_code == 200
        except httpx.TransportError:
            return False

    try:
        wait_until(answers)
        yield Proxied(client, port, service)
    finally:
        client.close()
        process.terminate()
        process.wait()


def test_the_page_lies_below_its_prefix_and_asks_for_the_password(proxied: Proxied) -> None:
    moved = proxied.client.get("/music")
    assert moved.status_code == 308 and moved.headers["location"].endswith("/music/")
    page = proxied.client.get("/music/")
    assert page.status_code == 200 and 'src="page/app.js"' in page.text
    assert proxied.client.get("/music/page/app.js").status_code == 200
    assert proxied.client.get("/music/api/library").json()["n_tracks"] == 5
    unknown = proxied.client.get("/music/api/library", headers={"Authorization": ""})
    assert unknown.status_code == 401 and unknown.headers["www-authenticate"].startswith("Basic")


def test_sound_is_sent_whole_and_in_parts(proxied: Proxied, ids: dict[str, int], music: Path) -> None:
    audio, content = f"/music/api/tracks/{ids['tune.wav']}/audio", (music / "tune.wav").read_bytes()
    assert proxied.client.get(audio).content == content
    part = proxied.client.get(audio, headers={"Range": "bytes=1000-1999"})
    assert part.status_code == 206 and part.content == content[1000:2000]
    assert part.headers["content-range"] == f"bytes 1000-1999/{len(content)}"


def test_files_are_queries_and_other_sites_are_refused(
    proxied: Proxied, ids: dict[str, int], music: Path
) -> None:
    own, foreign = f"https://{NAME}:{proxied.port}", "https://evil.example"
    sound = {"content": (music / "tune.wav").read_bytes(), "headers": {"Origin": own}}
    answer = proxied.client.post("/music/api/query", **sound)
    assert answer.status_code == 200 and len(answer.json()["matches"]) == 4  # not itself
    wish = {"ids": [ids["tune.wav"]]}
    for origin, status in ((own, 200), (foreign, 403)):
        answer = proxied.client.post("/music/api/playlist", json=wish, headers={"Origin": origin})
        assert answer.status_code == status, answer.text


def test_a_request_has_one_number_in_proxy_and_server_and_metrics_stay_inside(proxied: Proxied) -> None:
    number = proxied.client.get("/music/api/tracks").headers["x-request-id"]
    wait_until(lambda: number in [line["request_id"] for line in proxied.lines()])
    assert proxied.client.get("/music/metrics").status_code == 404
    inside = httpx.get(f"http://127.0.0.1:{proxied.served.port}/metrics")
    assert inside.status_code == 200 and "solfa_library_tracks 5.0" in inside.text


def test_the_page_runs_in_a_browser_below_its_prefix(proxied: Proxied, browser: Any) -> None:
    if proxied.client.get("/music/", headers={"Host": f"127.0.0.1:{proxied.port}"}).text[:1] != "<":
        pytest.skip("Caddy answers by its name alone")
    context = browser.new_context(
        ignore_https_errors=True, http_credentials={"username": "any", "password": PASSWORD}
    )
    page, failed = context.new_page(), []
    page.set_default_timeout(1000 * PATIENCE)
    page.on("pageerror", lambda error: failed.append(str(error)))
    page.on("response", lambda one: failed.append(one.url) if one.status >= 404 else None)
    page.goto(f"https://127.0.0.1:{proxied.port}/music/")
    page.locator(".row .title").nth(4).wait_for()
    with page.expect_response(lambda answer: answer.url.split("?")[0].endswith("/audio")) as sound:
        page.locator(".row .play").first.click()
    assert sound.value.status in (200, 206) and "/music/api/tracks/" in sound.value.url
    page.goto(f"https://127.0.0.1:{proxied.port}/music/api/docs")
    page.get_by_text("/api/tracks/{id}/audio").first.wait_for()
    context.close()
    assert not failed


def test_the_unit_is_one(tmp_path: Path) -> None:
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd is not installed")
    unit = tmp_path / "solfa.service"
    unit.write_text((EXAMPLES / "solfa.service").read_text().replace("/opt/solfa/bin/solfa", sys.executable))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True, check=False
    )
    if "Failed to initialize manager" in done.stderr:
        pytest.skip(done.stderr)
    assert done.returncode == 0 and not done.stderr.strip(), done.stderr
