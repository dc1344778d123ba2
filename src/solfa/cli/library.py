"""solfa index and solfa library: music -> a library, and what other programs take from it."""

import logging
from pathlib import Path
from typing import Annotated

import typer

from solfa.cli.embed import (
    load_encoder,
    space_of,
)
from solfa.cli.help import examples
from solfa.cli.options import (
    AgainOption,
    BatchOption,
    DamagedOption,
    DeviceOption,
    JsonOption,
    LayerOption,
    StrictOption,
    ThreadsOption,
    WorkersOption,
)
from solfa.cli.progress import progress
from solfa.cli.reports import (
    damaged_json,
    exit_code,
    passed_over_values,
    refused_values,
    show_damaged,
    show_json,
    show_passed_over,
    show_refused,
    shown,
)
from solfa.data.folders import find_music
from solfa.embedding import Batching, Pool, Space, describe_space
from solfa.models import AudioEncoder
from solfa.models.registry import ENCODER, LANGUAGE, MUSIC_TEXT
from solfa.models.text import what_words_lack
from solfa.retrieval import Changes, Library, Searcher, known_space
from solfa.retrieval.export import export_json, export_parquet
from solfa.retrieval.pictures import draw_map

log = logging.getLogger(__name__)

app = typer.Typer(help="What other programs take from a library, and its map.", no_args_is_help=True)

LibraryOption = Annotated[Path, typer.Option(metavar="FILE", help="The library: one file.")]
OptionalModelOption = Annotated[
    str | None,
    typer.Option(
        metavar="MODEL",
        help=f"As for solfa embed. Default: the one that made the library; of a new one {MUSIC_TEXT}.",
    ),
]


@examples(
    "solfa index ~/Music --library music.sqlite",
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
    prune: Annotated[
        bool, typer.Option("--prune", help="Remove all tracks that are gone, however many there are.")
    ] = False,
    again: AgainOption = False,
    take_damaged: DamagedOption = False,
    strict: StrictOption = False,
    as_json: JsonOption = False,
) -> None:
    """Make a library of tracks that can be searched, or bring one up to date.

    Only files that are new or changed are read, and a file that was refused only when it has changed, with
    --again, or when --take-damaged is given for the first time. A track that is gone from one of the folders
    is removed; tracks of folders that are not named stay. So do those below a folder that cannot be read; and
    without --prune also those of a folder that is empty now, and all if more than a fifth of the library is
    gone: a disk may not be mounted. Files that are not audio by their name are passed over, and counted by
    their kinds. All files that were refused stand in LIBRARY.refused.jsonl, with reasons. Several commands
    may work on one library at once, and after an interruption the same command goes on. --model, --layer and
    --pool are for a new library.

    Exit code: 0 when it is done, refused files included; 1 with --strict if some were refused; 2 for a usage
    error; 3 if it could not be done.
    """
    found = None if prune else find_music(music)  # before a model is loaded
    encoder, space = _encoder_and_space(library, model, layer, pool, device, threads)
    batching = Batching(windows_at_once=batch, n_workers=workers)
    n_files = len(found.paths) if found else None
    with (
        Library(library, space, at_once=False) as opened,
        progress("indexing", n_files) as tell,
    ):
        changes = opened.update(
            music, encoder, found=found, batching=batching, progress=tell, again=again, prune=prune,
            take_damaged=take_damaged,
        )  # fmt: skip
        n_tracks, report = len(opened), opened.write_report(changes.refused)
    (_report_json if as_json else _report)(changes, n_tracks, library, report)
    raise typer.Exit(exit_code(len(changes.refused) + len(changes.refused_before), strict))


@app.command()
@examples(
    "solfa library export music.sqlite --out music.jsonl",
    "solfa library export music.sqlite --out music.parquet",
)
def export(
    library: Annotated[Path, typer.Argument(metavar="LIBRARY", help="The library: one file.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="Ends in .jsonl or .parquet.")],
) -> None:
    """Write tracks, tags and vectors for other programs, one row for each track.

    Parquet takes pyarrow: pip install 'solfa[search]'.
    """
    writers = {".jsonl": export_json, ".parquet": export_parquet}
    if out.suffix not in writers:
        raise typer.BadParameter(f"--out ends in .jsonl or .parquet, not {out.name}.")
    with Library(library) as opened:
        n_tracks = writers[out.suffix](opened, out)
    typer.echo(f"{n_tracks} tracks: {out}")


@app.command("map")
@examples("solfa library map music.sqlite", "solfa library map music.sqlite --out map.png")
def make_map(
    library: Annotated[Path, typer.Argument(metavar="LIBRARY", help="The library: one file.")],
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Draw it: a .png, .svg or .pdf.")] = None,
) -> None:
    """Place all tracks on a map, so that what sounds alike lies together, and keep it in the library.

    Nothing is computed if no tracks have come since the last time. The picture gives colours to the artists,
    or else the folders, with the most tracks, and names to the points of at most 60 tracks.
    """
    if out and out.suffix not in (".png", ".svg", ".pdf"):
        raise typer.BadParameter(f"--out ends in .png, .svg or .pdf, not {out.name}.")
    with Searcher(library) as searcher:
        points = searcher.map()
        tracks = {track.id: track for track in searcher.tracks()} if out else {}
    typer.echo(f"{len(points)} tracks are on the map of {library}")
    if out:
        typer.echo(draw_map([(tracks[id], x, y) for id, x, y in points if id in tracks], out))


def _encoder_and_space(
    library: Path, model: str | None, layer: int | None, pool: Pool | None, device: str, threads: int
) -> tuple[AudioEncoder, Space]:
    """What the options say, and for an existing library else what it was made with."""
    known = known_space(library)
    if known:
        name = model or known.model
        encoder = load_encoder(name, device, threads)
        number = known.layer if layer is None else encoder.layer_number(layer)
        space = describe_space(
            encoder, name, layer=number, pool=pool or known.pool, windows=known.windows,
            precision=known.precision,
        )  # fmt: skip
        return encoder, space
    name = model or _model_of_a_new_one()
    encoder = load_encoder(name, device, threads)
    return encoder, space_of(encoder, name, layer, pool or "mean")


def _model_of_a_new_one() -> str:
    """The music-text model; without the extra for words the encoder, which finds music by music alone."""
    if lacking := what_words_lack(LANGUAGE):
        log.warning(
            "%s\nWithout it this library is made with %s, and is searched by tracks and files, not by words.",
            lacking, ENCODER,
        )  # fmt: skip
        return ENCODER
    return MUSIC_TEXT


def _report(changes: Changes, n_tracks: int, library: Path, report: Path | None) -> None:
    show_passed_over(changes.passed_over)
    show_refused(changes.refused)
    show_damaged(changes.damaged)
    for kept in changes.kept:
        typer.echo(f"kept {kept.n} tracks of {shown(kept.folder)}, {kept.reason}")
    n_refused = len(changes.refused) + len(changes.refused_before)
    typer.echo(
        f"{library}: {n_tracks} tracks ({changes.n_added} added, {changes.n_changed} changed, "
        f"{changes.n_moved} moved, {changes.n_removed} removed, {changes.n_unchanged} as before, "
        f"{n_refused} refused)"
    )
    if report:
        typer.echo(f"all files that were refused or are damaged, with reasons: {report}")
    if changes.refused_before:
        typer.echo(f"{len(changes.refused_before)} of them are as they were before; --again tries them.")


def _report_json(changes: Changes, n_tracks: int, library: Path, report: Path | None) -> None:
    kept = [{"folder": str(item.folder), "n": item.n, "reason": item.reason} for item in changes.kept]
    show_json(
        {
            "library": str(library), "n_tracks": n_tracks, "added": changes.n_added,
            "changed": changes.n_changed, "moved": changes.n_moved, "removed": changes.n_removed,
            "unchanged": changes.n_unchanged, "kept": kept, "refused": refused_values(changes.refused),
            "refused_before": refused_values(changes.refused_before),
            "damaged": damaged_json(changes.damaged),
            "report": str(report) if report else None,
            "passed_over": passed_over_values(changes.passed_over),
        }
    )  # fmt: skip
