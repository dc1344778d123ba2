"""solfa serve: the web page of a library."""

import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from socket import socket
from typing import Annotated

import typer

from solfa.cli.help import examples
from solfa.cli.options import DeviceOption, OptionalModelOption, ThreadsOption
from solfa.cli.place import LibraryArgument, LibraryOption, place_of
from solfa.cli.search import open_searcher
from solfa.retrieval import ExactIndex

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
EXTRA = "The page needs FastAPI and uvicorn. Install them: pip install 'solfa[serve]'"


@examples(
    "solfa serve music.sqlite",
    "solfa serve music.sqlite --port 9000 --model runs/mulan_small",
    "solfa serve music.sqlite --host 0.0.0.0 --name attic.local",
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
    device: DeviceOption = "auto",
    threads: ThreadsOption = 0,
) -> None:
    """Serve a page on which a library is searched, heard and seen as a map; Ctrl-C ends it.

    It answers this machine alone unless --host says otherwise, asks nobody else for anything, and opens no
    file but those of the library. Playlists and likes are kept in the library, by this machine alone unless
    --editable is given. Words and files as queries take the model that made the library, which is
    loaded by the name in the library or from --model. The API is described at /api/docs. Waveforms are kept
    in a folder LIBRARY.waveforms.
    """
    _check_names(host, name or [])
    password = _password(password_file) if password_file else ""
    place, index = place_of(library, named), partial(ExactIndex, centred)
    try:
        from solfa.serving import ServingConfig, build_app, listen
        from solfa.serving import serve as run
        from solfa.serving.guard import LOOPBACK
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] in ("fastapi", "uvicorn", "starlette", "anyio"):
            raise ImportError(EXTRA) from error
        raise
    is_private = host in LOOPBACK and not name
    config = ServingConfig(
        address=host, names=tuple(name or ()), is_private=is_private, is_editable=is_private or editable,
        password=password,
    )  # fmt: skip
    with open_searcher(place, index, model, device, threads, reads_files=False) as searcher:
        listener = listen(host, port)
        app = build_app(searcher, config)
        if reason := app.state.desk.ability().reason:
            typer.echo(reason)
        typer.echo(f"{searcher.count()} tracks: {_address(host, listener)}  (Ctrl-C ends it)")
        run(app, listener)
    typer.echo("ended")


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
