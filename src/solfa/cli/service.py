"""Options of solfa serve for a page that many use: behind a proxy, watched over, and within limits."""

import ipaddress
import logging
import sys
from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated

import typer

MOST_MB = 10_000


class LogFormat(StrEnum):
    """How messages look."""

    text = "text"
    json = "json"


class MetricsFor(StrEnum):
    """Who may read metrics."""

    nobody = "nobody"
    password = "password"
    anybody = "anybody"


RootPathOption = Annotated[
    str,
    typer.Option("--root-path", metavar="PATH", help="Path of a proxy below which the page lies: /music."),
]
TrustedProxyOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="ADDRESS",
        help="Address or network of a proxy whose X-Forwarded-For and -Proto are believed; may be repeated.",
    ),
]
LogFormatOption = Annotated[
    LogFormat,
    typer.Option(help="json: every message, and a line for each request, as JSON on the error output."),
]
LogQueriesOption = Annotated[
    bool,
    typer.Option("--log-queries", help="Put address, path and query of who asks into these lines, too."),
]
MetricsOption = Annotated[MetricsFor, typer.Option(help="Who may read metrics for Prometheus at /metrics.")]
RateLimitOption = Annotated[
    int, typer.Option(min=0, metavar="N", help="Requests a minute of one client; 0 for any number.")
]
LimitConcurrencyOption = Annotated[
    int, typer.Option(min=0, metavar="N", help="Requests that are answered at once; 0 for any number.")
]
MaxWaitingOption = Annotated[
    int, typer.Option(min=1, metavar="N", help="Requests that may wait for a thread of their kind.")
]
MaxUploadOption = Annotated[
    int, typer.Option("--max-upload-mb", min=1, max=MOST_MB, metavar="N", help="Size of a file as a query.")
]
DecodersOption = Annotated[
    int, typer.Option(min=1, max=256, metavar="N", help="Files that are decoded at once.")
]


def check_proxies(proxies: Sequence[str]) -> None:
    """Refuse what is neither an address nor a network: a name would silently be believed of nobody."""
    for proxy in proxies:
        try:
            ipaddress.ip_network(proxy)
        except ValueError:
            raise typer.BadParameter(
                f"--trusted-proxy is an address or a network, such as 127.0.0.1 or 10.0.0.0/8; not {proxy!r}."
            ) from None


def log_as_json() -> None:
    """Have all messages written as lines of JSON on the error output."""
    from solfa.serving.notes import JsonLines

    shown = logging.StreamHandler(sys.stderr)
    shown.setFormatter(JsonLines())
    logging.basicConfig(level=logging.getLogger().level, handlers=[shown], force=True)
