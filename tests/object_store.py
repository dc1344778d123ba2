"""An object store like S3 that runs in this process, whose answers go wrong where a test wants it."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from werkzeug.serving import make_server

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
SLOW_SECONDS = 3.0


class ObjectStore:
    """The server, and what happens to the requests that read a shard.

    Args:
        store: what answers requests.
    """

    def __init__(self, store: Application) -> None:
        self.store = store
        self.faults: list[str] = []  # of requests to come, one each: dropped, busy, slow, spoiled, cut or ""
        self.always = ""  # likewise, of all
        self.n_asked = 0  # requests that read a shard
        self.server = make_server("127.0.0.1", 0, self.answer, threaded=True)
        self.address = f"http://127.0.0.1:{self.server.port}"

    def answer(self, request: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        """Answer a request, or fail to."""
        if request["REQUEST_METHOD"] != "GET" or not request["PATH_INFO"].endswith(".tar"):
            return self.store(request, start)
        self.n_asked += 1
        fault = self.faults.pop(0) if self.faults else self.always
        if fault == "busy":
            start("503 Slow Down", [("Content-Length", "0")])
            return []
        if fault == "dropped":
            request["werkzeug.socket"].close()
            return []
        if fault == "slow":
            time.sleep(SLOW_SECONDS)
        answer = self.store(request, start)
        if fault == "spoiled":
            content = b"".join(answer)
            return [bytes([content[0] ^ 1]) + content[1:]]
        return [b"".join(answer)[:-100]] if fault == "cut" else answer


@contextmanager
def served(store: Application) -> Iterator[ObjectStore]:
    """The store while it answers."""
    running = ObjectStore(store)
    thread = threading.Thread(target=running.server.serve_forever, daemon=True)
    thread.start()
    try:
        yield running
    finally:
        running.server.shutdown()
        running.server.server_close()
        thread.join()
