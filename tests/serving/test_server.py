"""A real server: slow and broken clients beside others, ports, and how it ends."""

import os
import select
import signal
import socket
from contextlib import suppress
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="the page needs FastAPI: pip install 'solfa[serve]'")
pytest.importorskip("httpx", reason="these tests need httpx")

import httpx

from page_server import PATIENCE, Served, wait_until
from solfa.serving import AddressError, listen

SEND = b"POST /api/query HTTP/1.1\r\nHost: localhost\r\n"


def connected(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)


def get(served: Served, path: str) -> httpx.Response:
    return httpx.get(f"http://127.0.0.1:{served.port}{path}", timeout=PATIENCE)


def answered(served: Served, request: bytes) -> bytes:
    """All that comes back for some bytes until the server closes the connection."""
    answer = b""
    # Who goes on sending after the answer may meet a closed door.
    with connected(served.port) as connection, suppress(ConnectionError):
        connection.sendall(request)
        while piece := connection.recv(2**16):
            answer += piece
    return answer


def test_a_refusal_waits_for_a_small_body(served: Served) -> None:
    """A proxy that cannot send all of it takes the server for broken, and loses the answer."""
    body = b'{"ids": [1]}' + 400 * b" "
    head = (
        f"POST /api/playlist HTTP/1.1\r\nHost: 127.0.0.1:{served.port}\r\nOrigin: https://evil.example\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with connected(served.port) as asking:
        asking.sendall(head.encode())
        assert not select.select([asking], [], [], 0.5)[0]
        asking.sendall(body)
        answer = b"".join(iter(lambda: asking.recv(4096), b""))
    assert answer.startswith(b"HTTP/1.1 403") and answer.endswith(b"}")


def test_slow_clients_do_not_keep_others_waiting(served: Served) -> None:
    port = served.port
    slow = [connected(port) for _ in range(60)]  # more than the server has threads
    for number, connection in enumerate(slow):
        if number % 3 == 0:  # a file that never comes
            connection.sendall(SEND + b"Content-Length: 90000\r\n\r\nRIFF")
        elif number % 3 == 1:  # a song that is asked for and not taken
            connection.sendall(b"GET /api/tracks/5/audio?form=wav HTTP/1.1\r\nHost: localhost\r\n\r\n")
        else:  # a request that does not end
            connection.sendall(b"GET /api/tracks HTTP/1.1\r\nHos")
    try:
        for path in ("search?q=1", "tracks", "tracks/1/audio", "tracks/2/waveform", "map"):
            assert get(served, f"/api/{path}").status_code == 200
    finally:
        for connection in slow:
            connection.close()


def test_too_many_files_at_once_are_refused_and_room_is_made_again(served: Served, music: Path) -> None:
    port = served.port
    address = f"http://127.0.0.1:{port}/api/query"
    content = (music / "chord.wav").read_bytes()
    slow = [connected(port) for _ in range(8)]
    for connection in slow:
        connection.sendall(SEND + b"Content-Length: 90000\r\n\r\nRIFF")
    wait_until(lambda: httpx.post(address, content=content, timeout=PATIENCE).status_code == 503)
    for connection in slow:
        connection.close()
    wait_until(lambda: httpx.post(address, content=content, timeout=PATIENCE).status_code == 200)


def test_a_large_upload_is_refused_before_any_of_it_is_sent(served: Served) -> None:
    port = served.port
    with connected(port) as connection:
        connection.sendall(SEND + b"Content-Length: 100000001\r\n\r\n")
        assert connection.recv(1000).startswith(b"HTTP/1.1 413")


def test_a_large_upload_that_hides_its_length_is_cut_off(served: Served) -> None:
    port = served.port
    piece, n_sent = b"%x\r\n" % 2**20 + bytes(2**20) + b"\r\n", 0
    # Who goes on sending after the answer may meet a closed door before reading it.
    with connected(port) as connection, suppress(ConnectionError):
        connection.sendall(SEND + b"Transfer-Encoding: chunked\r\n\r\n")
        while n_sent < 300 and not select.select([connection], [], [], 0)[0]:
            connection.sendall(piece)
            n_sent += 1
        assert connection.recv(1000).startswith(b"HTTP/1.1 413")
    assert 95 <= n_sent < 150


def test_a_broken_request_is_answered_or_dropped(served: Served) -> None:
    port = served.port
    for nonsense in (
        b"\x16\x03\x01\x02\x00",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET /" + b"a" * 70_000,
        b"\r\n" * 9,
    ):
        with connected(port) as connection:
            connection.sendall(nonsense)
            connection.shutdown(socket.SHUT_WR)
            assert b" 200 " not in connection.recv(100)
    assert get(served, "/api/tracks").status_code == 200


@pytest.mark.parametrize(
    "request_line",
    [
        b"GET /api/search?q=" + b"a" * 1_000_000,
        b"GET /api/search?q=" + b"%22a%22+%2B+" * 4_000 + b"1",
        b"GET /api/tracks?" + b"filter=tag%3Da&" * 3_000,
        b"GET /api/tracks/" + b"9" * 5_000,
        b"GET /api/tracks/1/tags?tag=",
        b"GET /api/tracks/%ff%fe%00/audio",
        b"GET /api/tracks/\xff\xfe",
        b"GET /%2e%2e/%2e%2e/etc/passwd",
        b"GET //etc/passwd",
        b"GET http://localhost/api/tracks/0",
        b"GET *",
        b"POST /api/tracks",
        b"TRACE /api/tracks",
        b"\xe2\x80\xae /",
    ],
)
def test_a_strange_request_is_refused_and_the_server_goes_on(served: Served, request_line: bytes) -> None:
    answer = answered(served, request_line + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    is_long = len(request_line) > 2**16  # such a one may be dropped before it is read
    assert answer.startswith(b"HTTP/1.1 4") or (is_long and not answer), answer[:200]
    assert b"Traceback" not in answer and str(served.folder).encode() not in answer
    assert get(served, "/api/tracks").status_code == 200


@pytest.mark.parametrize("length", [b"-1", b"1e3", b"9" * 30, b"0x10", b"5, 5", b""])
def test_a_length_that_is_none_is_refused(served: Served, length: bytes) -> None:
    answer = answered(served, SEND + b"Content-Length: " + length + b"\r\n\r\nhello")
    assert answer.startswith(b"HTTP/1.1 4"), answer[:200]
    assert get(served, "/api/tracks").status_code == 200


def test_a_client_that_leaves_in_the_middle_of_an_upload_leaves_nothing(served: Served) -> None:
    kept = served.folder / "kept"
    for promised in (b"Content-Length: 90000", b"Transfer-Encoding: chunked"):
        with connected(served.port) as connection:
            connection.sendall(SEND + promised + b"\r\n\r\n5\r\nRIFF0\r\n")
            wait_until(lambda: any(kept.glob("solfa-*")))
        wait_until(lambda: not any(kept.glob("solfa-*")))
    assert get(served, "/api/tracks").status_code == 200


def test_a_body_that_is_longer_than_it_says_is_cut_there(served: Served) -> None:
    answer = answered(served, SEND + b"Content-Length: 4\r\nConnection: close\r\n\r\nRIFF and much more")
    assert answer.startswith(b"HTTP/1.1 422") and b'{"error":' in answer


def test_nothing_of_all_this_was_unforeseen(served: Served) -> None:
    assert "Traceback" not in served.said("errors")


def test_it_listens_on_this_machine_alone(served: Served) -> None:
    port = served.port
    try:
        infos = socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)
    except socket.gaierror:
        pytest.skip("this machine does not know an address of its own")
    others = {info[4][0] for info in infos}
    for address in others - {"127.0.0.1"}:
        with pytest.raises(OSError):
            socket.create_connection((address, port), timeout=2).close()


def test_ctrl_c_ends_it_cleanly(served: Served) -> None:
    with connected(served.port) as listener:  # somebody still listens
        listener.sendall(b"GET /api/tracks/5/audio HTTP/1.1\r\nHost: localhost\r\n\r\n")
        served.process.send_signal(signal.SIGINT)
        served.process.wait(timeout=PATIENCE)
    assert served.process.returncode == 0 and "ended" in served.said()
    assert "Traceback" not in served.said("errors")


def test_a_port_in_use_names_another() -> None:
    with listen("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with pytest.raises(AddressError, match=f"--port {port + 1}"):
            listen("127.0.0.1", port)


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(AddressError, match="--host"):
        listen("192.0.2.1", 8765)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="the administrator may use every port")
def test_a_port_of_administrators_names_the_cure() -> None:
    with pytest.raises(AddressError, match="above 1023"):
        listen("127.0.0.1", 80)


@pytest.mark.parametrize("address", ["a" * 300, "a..b", "\udcff", "no such name"])
def test_a_name_that_no_machine_can_have_is_refused(address: str) -> None:
    with pytest.raises(AddressError, match="--host"):
        listen(address, 0)
