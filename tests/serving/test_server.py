"""A real server: slow and broken clients beside others, ports, and how it ends."""

import os
import select
import signal
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="the page needs FastAPI: pip install 'solfa[serve]'")
pytest.importorskip("httpx", reason="these tests need httpx")

import httpx

from solfa.serving import AddressError, listen

SEND = b"POST /api/query HTTP/1.1\r\nHost: localhost\r\n"
Served = tuple[subprocess.Popen[str], int]


def connected(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=30)


def test_slow_clients_do_not_keep_others_waiting(served: Served) -> None:
    _, port = served
    address = f"http://127.0.0.1:{port}/api"
    httpx.get(f"{address}/search?q=1")  # the first one reads the vectors
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
            assert httpx.get(f"{address}/{path}", timeout=20).status_code == 200
    finally:
        for connection in slow:
            connection.close()


def test_too_many_files_at_once_are_refused_and_room_is_made_again(served: Served, music: Path) -> None:
    _, port = served
    address = f"http://127.0.0.1:{port}/api/query"
    content = (music / "chord.wav").read_bytes()
    slow = [connected(port) for _ in range(8)]
    for connection in slow:
        connection.sendall(SEND + b"Content-Length: 90000\r\n\r\nRIFF")
    _wait(lambda: httpx.post(address, content=content, timeout=60).status_code == 503)
    for connection in slow:
        connection.close()
    _wait(lambda: httpx.post(address, content=content, timeout=60).status_code == 200)


def test_a_large_upload_is_refused_before_any_of_it_is_sent(served: Served) -> None:
    _, port = served
    with connected(port) as connection:
        connection.sendall(SEND + b"Content-Length: 100000001\r\n\r\n")
        assert connection.recv(1000).startswith(b"HTTP/1.1 413")


def test_a_large_upload_that_hides_its_length_is_cut_off(served: Served) -> None:
    _, port = served
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
    _, port = served
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
    assert httpx.get(f"http://127.0.0.1:{port}/api/tracks").status_code == 200


def test_it_listens_on_this_machine_alone(served: Served) -> None:
    _, port = served
    others = {info[4][0] for info in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)}
    for address in others - {"127.0.0.1"}:
        with pytest.raises(OSError):
            socket.create_connection((address, port), timeout=2).close()


def test_ctrl_c_ends_it_cleanly(served: Served) -> None:
    process, port = served
    with connected(port) as listener:  # somebody still listens
        listener.sendall(b"GET /api/tracks/5/audio HTTP/1.1\r\nHost: localhost\r\n\r\n")
        process.send_signal(signal.SIGINT)
        out, errors = process.communicate(timeout=30)
    assert process.returncode == 0 and "ended" in out and "Traceback" not in errors


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


def _wait(is_so: object) -> None:
    assert callable(is_so)
    deadline = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.1)
