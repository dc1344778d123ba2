"""solfa serve: the web page of a library."""

import re
from collections.abc import Callable, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from socket import socket
from types import ModuleType
from typing import TYPE_CHECKING, Annotated

import typer

from solfa.cli.help import examples
from solfa.cli.options import DeviceOption, OptionalModelOption, ThreadsOption
from solfa.cli.place import LibraryArgument, LibraryOption, place_of
from solfa.cli.search import open_searcher
from solfa.cli.service import (
    DecodersOption,
    LimitConcurrencyOption,
    LogFormat,
    LogFormatOption,
    LogQueriesOption,
    MaxUploadOption,
    MaxWaitingOption,
    MetricsFor,
    MetricsOption,
    RateLimitOption,
    RootPathOption,
    TrustedProxyOption,
    check_proxies,
    log_as_json,
)
from solfa.retrieval import ExactIndex, Searcher

if TYPE_CHECKING:  # it takes an extra
    from solfa.serving import ServingConfig

NAME = re.compile(r"\w[\w.-]*")
EditableOption = Annotated[
    bool, typer.Option("--editable", help="Let everybody who reaches the page change playlists and likes.")
]
NamesOption = Annotated[
    list[str] | None, typer.Option(help="A name that the page is called by besides; may be repeated.")
]
PasswordOption = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="A file with the password that the page and players ask for."),
]
SHORTEST_PASSWORD = 8
LOOPBACK = ("localhost", "127.0.0.1", "::1")
METRICS_EXTRA = "Metrics need prometheus-client. Install it: pip install 'solfa[service]'"
EXTRA = "The page needs FastAPI and uvicorn. Install them: pip install 'solfa[serve]'"


@examples(
    "solfa serve music.sqlite",
    "solfa serve music.sqlite --port 9000 --model runs/mulan_small",
    "solfa serve music.sqlite --host 0.0.0.0 --name attic.local",
    "solfa serve --name music.example --root-path /music --trusted-proxy 127.0.0.1 --password-file password",
)
def serve(
    library: LibraryArgument = None,
    named: LibraryOption = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes any that is free.")] = 8765,
    model: OptionalModelOption = None,
    host: Annotated[
        str,
        typer.Option(help="Address to listen on; 0.0.0.0 lets everybody in the network search and listen."),
    ] = "127.0.0.1",
    name: NamesOption = None,
    editable: EditableOption = False,
    password_file: PasswordOption = None,
    centred: Annotated[
        bool, typer.Option("--centred", help="Compare what differs from the library's mean vector.")
    ] = False,
    root_path: RootPathOption = "",
    trusted_proxy: TrustedProxyOption = None,
    log_format: LogFormatOption = LogFormat.text,
    log_queries: LogQueriesOption = False,
    metrics: MetricsOption = MetricsFor.nobody,
    rate_limit: RateLimitOption = 0,
    limit_concurrency: LimitConcurrencyOption = 256,
    max_waiting: MaxWaitingOption = 64,
    max_upload_mb: MaxUploadOption = 100,
    decoders: DecodersOption = 2,
    device: DeviceOption = "auto",
    threads: ThreadsOption = 0,
) -> None:
    """Serve a page on which a library is searched, heard and seen as a map; Ctrl-C ends it.

    It answers this machine alone unless --host says otherwise, asks nobody else for anything, and opens no
    file but those of the library, in which it keeps playlists and likes, of others only with --editable.
    Words and files as queries take the model that made the library, or --model. Waveforms are kept in a
    folder LIBRARY.waveforms. /api/docs describes the API, docs/service.md proxies and limits.
    """
    names, proxies, index = name or [], trusted_proxy or [], partial(ExactIndex, centred)
    _check_names(host, names)
    check_proxies(proxies)
    password, place = _password(password_file) if password_file else "", place_of(library, named)
    opened = partial(open_searcher, place, index, model, device, threads, reads_files=False)
    serving = _serving(has_metrics=metrics != MetricsFor.nobody)
    is_private = host in LOOPBACK and not (names or proxies)
    config = serving.ServingConfig(
        address=host, names=tuple(names), is_private=is_private, is_editable=is_private or editable,
        password=password, root_path=serving.checked_prefix(root_path), trusted_proxies=tuple(proxies),
        logs_requests=log_format == LogFormat.json, tells_queries=log_queries, metrics_for=metrics.value,
        per_minute=rate_limit, most_at_once=limit_concurrency, most_waiting=max_waiting,
        upload_bytes=max_upload_mb * 1_000_000, n_decoders=decoders,
    )  # fmt: skip
    _run(serving, config, opened, port)


def _run(serving: ModuleType, config: "ServingConfig", opened: Callable[[], Searcher], port: int) -> None:
    """Serve a library until Ctrl-C."""
    if config.logs_requests:
        log_as_json()
    with opened() as searcher:
        listener = serving.listen(config.address, port)
        app = serving.build_app(searcher, config)
        if reason := app.state.desk.ability().reason:
            typer.echo(reason)
        typer.echo(f"{searcher.count()} tracks: {_address(config.address, listener)}  (Ctrl-C ends it)")
        serving.serve(app, listener)
    typer.echo("ended")


def _serving(*, has_metrics: bool) -> ModuleType:
    """The room of the page. Raises ImportError with the command that installs what is missing."""
    try:
        import solfa.serving
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] in ("fastapi", "uvicorn", "starlette", "anyio"):
            raise ImportError(EXTRA) from error
        raise
    if has_metrics and not find_spec("prometheus_client"):
        raise ImportError(METRICS_EXTRA)
    return solfa.serving


def _address(host: str, listener: socket) -> str:
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{listener.getsockname()[1]}/"


def _password(file: Path) -> str:
    """The first line of a file."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise typer.BadParameter(f"--password-file {file} cannot be read as text: {error}.") from None
    password = lines[0].strip() if lines else ""
    if len(password) < SHORTEST_PASSWORD:
        raise typer.BadParameter(
            f"The first line of {file} is the password, of at least {SHORTEST_PASSWORD} letters; it has "
            f"{len(password)}."
        )
    return password


def _check_names(host: str, names: Sequence[str]) -> None:
    """Refuse what would listen everywhere unsaid, or could never be the name of a server."""
    if not host.strip():
        raise typer.BadParameter("--host is empty. Give an address of this machine; 0.0.0.0 for all of them.")
    for name in names:
        if not NAME.fullmatch(name):
            raise typer.BadParameter(
                f"--name is the name of a server without address or port, such as attic.local; not {name!r}."
            )
