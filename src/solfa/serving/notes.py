"""Notes: what is written down of each request, in a log and as metrics; not what was asked for."""

import json
import logging
import re
import time
import uuid
from collections.abc import MutableMapping
from datetime import UTC, datetime
from typing import Any, Protocol

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = logging.getLogger(__name__)

FIELDS = "solfa_fields"  # of a record, for a line of JSON
REFUSED = "solfa.refused"  # in a scope: why the request was refused
REQUEST_ID = re.compile(r"[\w.-]{1,64}", re.ASCII)
LEFT = 499  # the status that nginx notes where the client left before the answer began
NO_ROUTE = "none"
PAGE_PATH = "/page/"
LONGEST_TEXT = 1000  # letters of a path or query in a line


class Measure(Protocol):
    """What counts requests."""

    def begin(self) -> None:
        """A request has come."""
        ...

    def end(self, method: str, route: str, status: int, seconds: float, refused: str) -> None:
        """It is answered; ``refused`` says why it was not, if so."""
        ...


class Notes:
    """Gives each request a number, and notes time, route, status, milliseconds and bytes of its answer.

    Args:
        app: what answers.
        is_logged: whether a line is logged for each request.
        tells_queries: whether the line has the path, the query and the client, too.
        takes_ids: whether a proxy gives the numbers, as ``X-Request-ID``.
        measure: what counts them besides.
    """

    def __init__(
        self, app: ASGIApp, *, is_logged: bool, tells_queries: bool, takes_ids: bool, measure: Measure | None
    ) -> None:
        self.app, self.measure = app, measure
        self.is_logged, self.tells_queries, self.takes_ids = is_logged, tells_queries, takes_ids

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Have a request answered, and note it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "") if self.takes_ids else ""
        request_id = given if REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        status, n_bytes, start = LEFT, 0, time.perf_counter()

        async def sent(message: Message) -> None:
            nonlocal status, n_bytes
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["X-Request-ID"] = request_id
            n_bytes += len(message.get("body", b""))
            await send(message)

        if self.measure:
            self.measure.begin()
        try:
            await self.app(scope, receive, sent)
        finally:
            seconds = time.perf_counter() - start
            method, route = _method(scope), route_of(scope)
            if self.measure:
                self.measure.end(method, route, status, seconds, scope.get(REFUSED, ""))
            if self.is_logged:
                line = {"request_id": request_id, "method": method, "route": route, "status": status,
                        "milliseconds": round(1000 * seconds, 1), "bytes": n_bytes}  # fmt: skip
                log.info("request", extra={FIELDS: {**line, **self._asked(scope)}})

    def _asked(self, scope: Scope) -> dict[str, str]:
        """What was asked for by whom, for who wants to know that."""
        if not self.tells_queries:
            return {}
        client = scope.get("client") or ("", 0)
        query = scope["query_string"].decode("latin-1")
        return {"client": client[0], "path": scope["path"][:LONGEST_TEXT], "query": query[:LONGEST_TEXT]}


class JsonLines(logging.Formatter):
    """Records as lines of JSON: time in UTC, level, message, and the fields that a record brings."""

    def format(self, record: logging.LogRecord) -> str:
        """A line; a traceback is a text in it."""
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        values: dict[str, Any] = {
            "time": moment.replace("+00:00", "Z"), "level": record.levelname.lower(), "logger": record.name,
            "message": record.getMessage(), **getattr(record, FIELDS, {}),
        }  # fmt: skip
        if record.exc_info:
            values["error"] = self.formatException(record.exc_info)
        return json.dumps(values)


def route_of(scope: MutableMapping[str, Any]) -> str:
    """The template of the route that answered, such as ``/api/tracks/{id}``; there are few of them."""
    if scope["path"].startswith(PAGE_PATH):
        return f"{PAGE_PATH}{{file}}"
    return str(getattr(scope.get("route"), "path", "") or NO_ROUTE)


def _method(scope: MutableMapping[str, Any]) -> str:
    """The method, if it is one that is known: clients may invent any number of them."""
    known = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
    return scope["method"] if scope["method"] in known else "OTHER"
