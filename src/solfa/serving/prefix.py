"""Prefix: the page below a path of a proxy, such as /music, which the proxy may hand on or take off."""

import re
from http import HTTPStatus

from starlette.types import ASGIApp, Receive, Scope, Send

from solfa.errors import ArgumentError

PREFIX = re.compile(r"(?:/[\w.~-]+)+")


class Prefix:
    """Takes the path of a proxy off requests that still have it.

    Args:
        app: what answers them, which knows nothing of the prefix.
        prefix: such as ``/music``; see ``checked_prefix``.
    """

    def __init__(self, app: ASGIApp, *, prefix: str) -> None:
        self.app, self.prefix = app, prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or send who forgot the last slash there: addresses in the page are relative."""
        if scope["type"] == "http":
            path = scope["path"]
            if path == self.prefix:
                await _moved(f"{self.prefix}/", send)
                return
            if path.startswith(f"{self.prefix}/"):
                scope = {**scope, "path": path[len(self.prefix) :]}
        await self.app(scope, receive, send)


def checked_prefix(text: str) -> str:
    """A prefix without its last slash; empty if there is none. Raises ArgumentError if it cannot be one."""
    prefix = text.rstrip("/")
    is_one = PREFIX.fullmatch(prefix) and not {".", ".."} & set(prefix.split("/"))
    if prefix and not is_one:
        raise ArgumentError(f"The root path is a path such as /music; not {text!r}.")
    return prefix


async def _moved(path: str, send: Send) -> None:
    headers = [(b"location", path.encode()), (b"content-length", b"0")]
    await send(
        {"type": "http.response.start", "status": int(HTTPStatus.PERMANENT_REDIRECT), "headers": headers}
    )
    await send({"type": "http.response.body", "body": b""})
