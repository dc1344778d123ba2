"""Guard: what every request must pass before anything reads it, and the headers of every answer.

A page of another site can make a browser send requests here, and by DNS rebinding even under a name of its
own. So a request must name this server as its host, and must not come from elsewhere.
"""

import base64
import hmac
import ipaddress
import json
import logging
from collections.abc import Container, Iterable
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import urlsplit

from anyio import move_on_after
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from solfa.serving.limits import GUESSED, OFTEN, SECONDS_TO_WAIT, Rates, TooMuchError, client_of
from solfa.serving.notes import REFUSED

log = logging.getLogger(__name__)

LOOPBACK = ("localhost", "127.0.0.1", "::1")
EVERYWHERE = ("0.0.0.0", "::")
READING = ("GET", "HEAD")
HEALTH_PATH = "/healthz"  # where anybody may ask, by any name: it says nothing of the library
PLAYERS = "/rest/"  # where players ask, who send the password in their own ways
STRANGE_NAME = (
    "This server is not called that. Open it by the address that it printed, or start it with --name and the "
    "name that you use."
)
FOREIGN = (
    "Other sites may not use this server. Open its own page. Who keeps it behind a proxy with TLS names "
    "that: solfa serve --trusted-proxy"
)
CROWDED = (
    "Too many requests are being answered. Try again in some seconds. Who keeps the server allows more: "
    "solfa serve --limit-concurrency"
)
MOST_TAKEN_IN, SECONDS_TO_TAKE_IN = 64_000, 2.0  # bytes of the body of a request that is refused
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


@dataclass(frozen=True)
class Refusal:
    """Why a request is refused: in a word for logs, and as its answer."""

    kind: str
    status: int
    text: str
    retry_after: str = ""  # seconds


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
        guesses: how often a client may guess it.
        rates: how often it may ask at all.
        most_at_once: requests that are being answered; 0 for any number.
        open_paths: that need no password.
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
        guesses: Rates,
        rates: Rates,
        most_at_once: int,
        open_paths: Container[str],
    ) -> None:
        self.app = app
        own = {name.lower().rstrip(".") for name in (*LOOPBACK, address, *names)}
        self.names = own - {"", *EVERYWHERE}
        self.is_everywhere = address in EVERYWHERE
        self.most_bytes, self.upload_bytes, self.upload_path = most_bytes, upload_bytes, upload_path
        self.password, self.open_paths = password.encode(), open_paths
        self.guesses, self.rates, self.most_at_once = guesses, rates, most_at_once
        self.n_at_once = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it unread."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        limit = self.upload_bytes if scope["path"] == self.upload_path else self.most_bytes
        refusal = None if scope["path"] == HEALTH_PATH else self._refusal(scope, headers, limit)
        if refusal:
            scope[REFUSED] = refusal.kind
            await _take_in(headers, receive)
            await _refuse(refusal, send)
            return
        self.n_at_once += 1
        try:
            await self._answer(scope, receive, send, limit)
        finally:
            self.n_at_once -= 1

    async def _answer(self, scope: Scope, receive: Receive, send: Send, limit: int) -> None:
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
                await _refuse(Refusal("fault", HTTPStatus.INTERNAL_SERVER_ERROR, UNFORESEEN), send)

    def _refusal(self, scope: Scope, headers: Headers, limit: int) -> Refusal | None:
        """Why a request is refused; None if it is not."""
        try:
            if foreign := self._host(headers) or _origin(scope, headers):
                return foreign
            self._check_rates(scope)
            return self._unknown(scope, headers) or _size(headers, limit)
        except TooMuchError as error:
            return Refusal(error.reason, error.status, str(error), error.retry_after)

    def _check_rates(self, scope: Scope) -> None:
        """Raises TooMuchError if all clients ask too much, or this one."""
        if self.most_at_once and self.n_at_once >= self.most_at_once:
            raise TooMuchError(CROWDED, SECONDS_TO_WAIT, "crowded")
        self.rates.check(client_of(scope), OFTEN, "rate")

    def _host(self, headers: Headers) -> Refusal | None:
        hosts = headers.getlist("host")
        if len(hosts) == 1 and self._is_own(_name(hosts[0])):
            return None
        return Refusal("host", HTTPStatus.MISDIRECTED_REQUEST, STRANGE_NAME)

    def _unknown(self, scope: Scope, headers: Headers) -> Refusal | None:
        """Why a request without the password is refused. Raises TooMuchError for who guesses it."""
        path = scope["path"]
        if not self.password or path.startswith(PLAYERS) or path in self.open_paths:
            return None
        kind, _, given = headers.get("authorization", "").partition(" ")
        known = _password_of(given) if kind.lower() == "basic" else b""
        client = client_of(scope)
        if known:
            self.guesses.check(client, GUESSED, "guesses", takes=False)
        if hmac.compare_digest(known, self.password):
            return None
        if known:
            self.guesses.take(client)
        return Refusal("password", HTTPStatus.UNAUTHORIZED, NO_PASSWORD)

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


def _origin(scope: Scope, headers: Headers) -> Refusal | None:
    """Why a request of another site is refused; links that lead to the page are none."""
    site = headers.get("sec-fetch-site", "same-origin")
    is_foreign = site not in ("same-origin", "none")
    if scope["method"] in READING:
        is_foreign = is_foreign and scope["path"].startswith(("/api/", PLAYERS))
    elif "origin" in headers:
        is_foreign = is_foreign or headers["origin"] != f"{scope['scheme']}://{headers.get('host')}"
    if is_foreign:
        return Refusal("origin", HTTPStatus.FORBIDDEN, FOREIGN)
    return None


def _size(headers: Headers, limit: int) -> Refusal | None:
    length = headers.get("content-length", "0")
    if not length.isdecimal():
        return Refusal("length", HTTPStatus.BAD_REQUEST, "The length of the request is no number.")
    if int(length[:18]) <= limit:
        return None
    return Refusal("size", HTTPStatus.REQUEST_ENTITY_TOO_LARGE, _too_large(limit))


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


async def _take_in(headers: Headers, receive: Receive) -> None:
    """Read a small body before a refusal: a proxy that cannot send it takes the server for broken."""
    length = headers.get("content-length", "0")
    if not length.isdecimal() or not 0 < int(length[:18]) <= MOST_TAKEN_IN:
        return
    with move_on_after(SECONDS_TO_TAKE_IN):
        more = True
        while more:
            message = await receive()
            more = message["type"] == "http.request" and message.get("more_body", False)


async def _refuse(refusal: Refusal, send: Send) -> None:
    body = json.dumps({"error": refusal.text}).encode()
    named = {
        **HEADERS,
        "Content-Type": "application/json",
        "Connection": "close",
        "Cache-Control": "no-store",
    }
    if refusal.retry_after:
        named["Retry-After"] = refusal.retry_after
    if refusal.status == HTTPStatus.UNAUTHORIZED:
        named["WWW-Authenticate"] = 'Basic realm="solfa", charset="UTF-8"'
    headers = [(name.lower().encode(), value.encode()) for name, value in named.items()]
    headers.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": int(refusal.status), "headers": headers})
    await send({"type": "http.response.body", "body": body})
