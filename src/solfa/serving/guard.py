"""Guard: what every request must pass before anything reads it, and the headers of every answer.

A page of another site can make a browser send requests here, and by DNS rebinding even under a name of its
own. So a request must name this server as its host, and must not come from elsewhere.
"""

import base64
import hmac
import ipaddress
import json
import logging
from collections.abc import Iterable
from http import HTTPStatus
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = logging.getLogger(__name__)

LOOPBACK = ("localhost", "127.0.0.1", "::1")
EVERYWHERE = ("0.0.0.0", "::")
READING = ("GET", "HEAD")
PLAYERS = "/rest/"  # where players ask, who send the password in their own ways
NO_PASSWORD = "The page asks for its password, under any name."
UNFORESEEN = "Something failed in the server. Who keeps it finds the reason in the output of solfa serve."
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class CutShortError(Exception):
    """An answer that has begun cannot be ended as it was promised; the connection is closed."""


class Guard:
    """Refuses foreign requests and large bodies, and adds the headers of safety to all answers.

    It also is the last to meet an error that nobody foresaw: it goes into the log, and says nothing of what
    it is to who asked.

    Args:
        app: what answers the others.
        address: that the server listens on.
        names: by which it may be called besides.
        most_bytes: of a body.
        upload_bytes: of the body of an upload.
        upload_path: where uploads go.
        password: that whoever asks must know; players are asked where they are answered. None if it is empty.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        address: str,
        names: Iterable[str],
        most_bytes: int,
        upload_bytes: int,
        upload_path: str,
        password: str = "",
    ) -> None:
        self.app = app
        own = {name.lower().rstrip(".") for name in (*LOOPBACK, address, *names)}
        self.names = own - {"", *EVERYWHERE}
        self.is_everywhere = address in EVERYWHERE
        self.most_bytes, self.upload_bytes, self.upload_path = most_bytes, upload_bytes, upload_path
        self.password = password.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it unread."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        limit = self.upload_bytes if scope["path"] == self.upload_path else self.most_bytes
        refusal = (
            self._host(headers)
            or _origin(scope, headers)
            or self._unknown(scope, headers)
            or _size(headers, limit)
        )
        if refusal:
            await _refuse(refusal[0], refusal[1], send)
            return
        has_begun = False

        async def sent(message: Message) -> None:
            nonlocal has_begun
            has_begun = True
            await send(message)

        try:
            await self.app(scope, _counted(receive, limit), _with_headers(sent, scope["path"]))
        except CutShortError as error:
            log.warning("%s %a was cut short: %s", scope["method"], scope["path"], error)
        except Exception:
            log.exception("%s %a failed.", scope["method"], scope["path"])
            if not has_begun:
                await _refuse(HTTPStatus.INTERNAL_SERVER_ERROR, UNFORESEEN, send)

    def _host(self, headers: Headers) -> tuple[int, str] | None:
        hosts = headers.getlist("host")
        if len(hosts) == 1 and self._is_own(_name(hosts[0])):
            return None
        return HTTPStatus.MISDIRECTED_REQUEST, (
            "This server is not called that. Open it by the address that it printed, or start it with "
            "--name and the name that you use."
        )

    def _unknown(self, scope: Scope, headers: Headers) -> tuple[int, str] | None:
        """Why a request without the password is refused."""
        if not self.password or scope["path"].startswith(PLAYERS):
            return None
        kind, _, given = headers.get("authorization", "").partition(" ")
        known = _password_of(given) if kind.lower() == "basic" else b""
        is_right = hmac.compare_digest(known, self.password)
        return None if is_right else (HTTPStatus.UNAUTHORIZED, NO_PASSWORD)

    def _is_own(self, name: str) -> bool:
        # Nobody else's page can be reached by a number, so a number is never the trick of a name.
        return name in self.names or (self.is_everywhere and _is_number(name))


def _name(host: str) -> str:
    """The host without its port; empty if it is none."""
    try:
        return (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return ""


def _is_number(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _password_of(given: str) -> bytes:
    """The password of a header of RFC 7617; empty if it has none."""
    try:
        return base64.b64decode(given, validate=True).partition(b":")[2]
    except ValueError:
        return b""


def _origin(scope: Scope, headers: Headers) -> tuple[int, str] | None:
    """Why a request of another site is refused; links that lead to the page are none."""
    site = headers.get("sec-fetch-site", "same-origin")
    is_foreign = site not in ("same-origin", "none")
    if scope["method"] in READING:
        is_foreign = is_foreign and scope["path"].startswith(("/api/", PLAYERS))
    elif "origin" in headers:
        is_foreign = is_foreign or headers["origin"] != f"{scope['scheme']}://{headers.get('host')}"
    if is_foreign:
        return HTTPStatus.FORBIDDEN, "Other sites may not use this server. Open its own page."
    return None


def _size(headers: Headers, limit: int) -> tuple[int, str] | None:
    length = headers.get("content-length", "0")
    if not length.isdecimal():
        return HTTPStatus.BAD_REQUEST, "The length of the request is no number."
    return (HTTPStatus.REQUEST_ENTITY_TOO_LARGE, _too_large(limit)) if int(length[:18]) > limit else None


def _too_large(limit: int) -> str:
    return f"That is too large: at most {limit / 1e6:g} MB are taken. Send a shorter or a compressed file."


def _counted(receive: Receive, limit: int) -> Receive:
    """Bodies that do not say how long they are end the request where they become too long."""
    n_bytes = 0

    async def counted() -> Message:
        nonlocal n_bytes
        message = await receive()
        n_bytes += len(message.get("body", b""))
        if n_bytes > limit:
            raise HTTPException(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE, _too_large(limit), {"Connection": "close"}
            )
        return message

    return counted


def _with_headers(send: Send, path: str) -> Send:
    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers.update(HEADERS)
            if not path.startswith("/page/"):
                headers.setdefault("Cache-Control", "no-store")
        await send(message)

    return sent


async def _refuse(status: int, reason: str, send: Send) -> None:
    body = json.dumps({"error": reason}).encode()
    named = {
        **HEADERS,
        "Content-Type": "application/json",
        "Connection": "close",
        "Cache-Control": "no-store",
    }
    if status == HTTPStatus.UNAUTHORIZED:
        named["WWW-Authenticate"] = 'Basic realm="solfa", charset="UTF-8"'
    headers = [(name.lower().encode(), value.encode()) for name, value in named.items()]
    headers.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": int(status), "headers": headers})
    await send({"type": "http.response.body", "body": body})
