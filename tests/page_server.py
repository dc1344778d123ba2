"""A server process of ``solfa serve``, and patience with it on a busy machine."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

PATIENCE = 300.0  # seconds until a server is taken for stuck; nothing that works takes so long
PAUSE = 0.05  # seconds between two looks


class Served(NamedTuple):
    """A server process, its port, and a folder of what it says and of what it keeps for a while."""

    process: "subprocess.Popen[str]"
    port: int
    folder: Path

    def said(self, where: str = "out") -> str:
        """What it has said so far."""
        return (self.folder / where).read_text()


def start(library: Path, folder: Path, *options: str) -> Served:
    """Start a server. What it says goes into files: a pipe that nobody empties would stop it."""
    kept = folder / "kept"
    kept.mkdir()
    with (folder / "out").open("w") as out, (folder / "errors").open("w") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "solfa", "serve", str(library), "--port", "0", "--threads", "1", *options],
            stdout=out, stderr=errors, text=True,
            env={**os.environ, "TMPDIR": str(kept), "PYTHONUNBUFFERED": "1"},
        )  # fmt: skip
    starting = Served(process, 0, folder)

    def is_listening() -> bool:
        assert process.poll() is None, starting.said() + starting.said("errors")
        return "/  (Ctrl-C" in starting.said()

    try:
        wait_until(is_listening)
    except BaseException:
        process.kill()
        process.wait()
        raise
    return starting._replace(port=int(starting.said().split("/  (Ctrl-C")[0].rsplit(":", 1)[1]))


def wait_until(is_so: Callable[[], bool], pause: Callable[[], object] = lambda: time.sleep(PAUSE)) -> None:
    """Look again and again until something is so; it fails after more time than a busy machine takes."""
    deadline = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < deadline
        pause()
