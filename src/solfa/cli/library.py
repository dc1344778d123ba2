"""solfa index and solfa similar: music -> a library, and what in it sounds alike."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from solfa.cli.embed import (
    BatchOption,
    DeviceOption,
    LayerOption,
    ThreadsOption,
    WorkersOption,
    load_encoder,
    show_refused,
    shown,
    space_of,
)
from solfa.cli.examples import examples
from solfa.cli.progress import progress
from solfa.embedding import Pool, Space, Work, describe_space, find_tracks, resolve_layer
from solfa.models import AudioEncoder
from solfa.retrieval import Changes, Library, Match
from solfa.retrieval import similar as find_similar

LibraryOption = Annotated[Path, typer.Option(metavar="FILE", help="The library: one file.")]
OptionalModelOption = Annotated[
    str | None,
    typer.Option(metavar="MODEL", help="As for solfa embed. Default: the model that made the library."),
]


@examples(
    "solfa index ~/Music --library music.sqlite --model runs/muq_small",
    "solfa index ~/Music ~/More --library music.sqlite",
)
def index(
    music: Annotated[list[Path], typer.Argument(help="Folders, audio files or manifests.")],
    library: LibraryOption,
    model: OptionalModelOption = None,
    layer: LayerOption = None,
    pool: Annotated[Pool | None, typer.Option(help="As for solfa embed. Default: mean.")] = None,
    device: DeviceOption = "auto",
    batch: BatchOption = None,
    workers: WorkersOption = None,
    threads: ThreadsOption = 0,
) -> None:
    """Make a library of tracks that can be searched, or bring one up to date.

    Only files that are new or changed are read. A track that is gone from one of the folders is removed;
    tracks of folders that are not named stay. Several commands may work on one library at once, and after
    an interruption the same command goes on. A new library needs --model; --layer and --pool are for it too.

    Exit code: 0 if all tracks are in, 1 if some were refused, 2 for a usage error.
    """
    encoder, space = _encoder_and_space(library, model, layer, pool, device, threads)
    work = Work(windows_at_once=batch, n_workers=workers)
    with Library(library, space) as opened, progress("indexing", len(find_tracks(music))) as tell:
        changes = opened.update(music, encoder, work=work, progress=tell)
        n_tracks = len(opened)
    _report(changes, n_tracks, library)
    raise typer.Exit(1 if changes.refused else 0)


@examples(
    "solfa similar song.mp3 --library music.sqlite",
    "solfa similar song.mp3 --library music.sqlite --n 3 --json",
)
def similar(
    file: Annotated[Path, typer.Argument(help="An audio file, in the library or not.")],
    library: LibraryOption,
    n: Annotated[int, typer.Option("--n", min=1, help="At most so many tracks.")] = 10,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    centred: Annotated[
        bool, typer.Option("--centred", help="Compare what differs from the library's mean vector.")
    ] = False,
    model: OptionalModelOption = None,
    device: DeviceOption = "auto",
    threads: ThreadsOption = 0,
) -> None:
    """Find the tracks of a library that sound most like a file.

    The score is the cosine similarity of the vectors, at most 1. The file itself and copies of it are left
    out. A file that is not in the library is embedded first, by the model that made the library.
    """
    with Library(library) as opened:
        encoder = load_encoder(model, device, threads) if model else None
        found = find_similar(opened, file, n=n, centred=centred, encoder=encoder)
    if as_json:
        typer.echo(json.dumps([_values(match) for match in found], indent=2))
        return
    for match in found:
        typer.echo(f"{match.score:6.3f}  {shown(match.track.path)}{_title(match)}")
    if not found:
        typer.echo(f"There is nothing else in it. Add tracks: solfa index MUSIC --library {library}")


def _encoder_and_space(
    library: Path, model: str | None, layer: int | None, pool: Pool | None, device: str, threads: int
) -> tuple[AudioEncoder, Space]:
    """What the options say, and for an existing library else what it was made with."""
    if library.exists():
        with Library(library) as opened:
            known = opened.space
        name = model or known.model
        encoder = load_encoder(name, device, threads)
        number = known.layer if layer is None else resolve_layer(encoder, layer)
        space = describe_space(
            encoder, name, layer=number, pool=pool or known.pool, windows=known.windows,
            precision=known.precision,
        )  # fmt: skip
        return encoder, space
    if model is None:
        raise typer.BadParameter("A new library needs --model. 'solfa models' lists what there is.")
    encoder = load_encoder(model, device, threads)
    return encoder, space_of(encoder, model, layer, pool or "mean")


def _report(changes: Changes, n_tracks: int, library: Path) -> None:
    show_refused(changes.refused)
    typer.echo(
        f"{library}: {n_tracks} tracks ({changes.n_added} added, {changes.n_changed} changed, "
        f"{changes.n_moved} moved, {changes.n_removed} removed, {changes.n_unchanged} as before, "
        f"{len(changes.refused)} refused)"
    )


def _values(match: Match) -> dict[str, Any]:
    track = match.track
    return {"path": str(track.path), "score": match.score, "seconds": track.seconds, "tags": track.tags}


def _title(match: Match) -> str:
    words = [match.track.tags[name] for name in ("artist", "title") if name in match.track.tags]
    title = " - ".join(words)
    return f"  ({title if title.isprintable() else ascii(title)})" if words else ""
