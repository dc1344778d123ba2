"""Metrics of a server for Prometheus: requests, refusals, workers, and the size of the library."""

import math
import sqlite3
from collections.abc import Mapping
from contextlib import suppress

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)

from solfa.errors import SolfaError
from solfa.retrieval import Searcher
from solfa.serving.limits import Load

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)  # seconds


class Metrics:
    """What is counted of requests, and what a server has to do.

    Names and units follow Prometheus: seconds, bytes, ``_total`` for what only grows.
    """

    media_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self._requests = Counter(
            "solfa_http_requests", "Requests that were answered or refused.", ["method", "route", "status"],
            registry=registry,
        )  # fmt: skip
        self._seconds = Histogram(
            "solfa_http_request_seconds", "Time until an answer was sent whole, sound included.", ["route"],
            buckets=BUCKETS, registry=registry,
        )  # fmt: skip
        self._refused = Counter(
            "solfa_http_refused", "Requests that were refused, by the reason.", ["reason"], registry=registry
        )
        self._open = Gauge(
            "solfa_http_requests_in_progress", "Requests that are being answered.", registry=registry
        )
        self._readable = Gauge("solfa_library_readable", "1 if the library can be read.", registry=registry)
        self._tracks = Gauge("solfa_library_tracks", "Tracks of the library.", registry=registry)
        self._bytes = Gauge("solfa_library_bytes", "Size of the library's file.", registry=registry)
        self._uploads = Gauge("solfa_uploads", "Files that are being sent.", registry=registry)
        self._workers = Gauge("solfa_workers", "Threads that there may be.", ["pool"], registry=registry)
        self._busy = Gauge("solfa_workers_busy", "Threads at work.", ["pool"], registry=registry)
        self._waiting = Gauge(
            "solfa_workers_waiting", "Requests that wait for a thread.", ["pool"], registry=registry
        )
        ProcessCollector(registry=registry)

    def begin(self) -> None:
        """A request has come."""
        self._open.inc()

    def end(self, method: str, route: str, status: int, seconds: float, refused: str) -> None:
        """A request is answered, or refused for a reason."""
        self._open.dec()
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)
        if refused:
            self._refused.labels(refused).inc()

    def text(self, searcher: Searcher, loads: Mapping[str, Load], n_uploads: int) -> bytes:
        """All of them in the text format of Prometheus, with what is true now."""
        n_tracks = n_bytes = math.nan
        with suppress(SolfaError, OSError, sqlite3.Error):
            n_tracks, n_bytes = searcher.count(), searcher.path.stat().st_size
        self._readable.set(not math.isnan(n_tracks))
        self._tracks.set(n_tracks)
        self._bytes.set(n_bytes)
        self._uploads.set(n_uploads)
        for pool, load in loads.items():
            self._workers.labels(pool).set(load.n_workers)
            self._busy.labels(pool).set(load.n_busy)
            self._waiting.labels(pool).set(load.n_waiting)
        return generate_latest(self.registry)
