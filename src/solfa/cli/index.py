"""solfa index: music -> a library that can be searched."""

import logging
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from solfa import embedding
from solfa.cli.help import examples
from solfa.cli.options import (
    AgainOption,
    BatchOption,
    DamagedOption,
    DeviceOption,
    JsonOption,
    LayerOption,
    OptionalModelOption,
    QuietOption,
    StrictOption,
    ThreadsOption,
    WorkersOption,
)
from solfa.cli.place import LibraryOption, place_of
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
from solfa.embedding.space import Pool, Space
from solfa.models.bundled import ENCODER, LANGUAGE, MUSIC_TEXT
from solfa.models.packaged import what_words_lack
from solfa.retrieval import Changes, Library, known_space

if TYPE_CHECKING:  # help and wrong options do without PyTorch
    import solfa.models

log = logging.getLogger(__name__)

MusicArgument = Annotated[
    list[Path] | None,
    typer.Argument(help="Folders, audio files or manifests. Default: those that the library remembers."),
]


@examples(
    "solfa index ~/Music",
    "solfa index",
    "solfa index ~/Music --library music.sqlite",
    "solfa index ~/Music --library music.sqlite --model runs/muq_small",
    "solfa index ~/Music ~/More --library music.sqlite",
)
def index(
    music: MusicArgument = None,
    library: LibraryOption = None,
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
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Make a library of tracks that can be searched, or bring one up to date.

    Folders and manifests are remembered: without any, the known ones are brought up to date. Only files that
    are new or changed are read, and a file that was refused only when it has changed, with --again, or when
    --take-damaged is given for the first time. A track that is gone from one of the folders
    is removed; tracks of folders that are not named stay. So do those below a folder that cannot be read; and
    without --prune also those of a folder that is empty now, and all if more than a fifth of the library is
    gone: a disk may not be mounted. Files that are not audio by their name are passed over, and counted by
    their kinds. All files that were refused stand in LIBRARY.refused.jsonl, with reasons. Several commands
    may work on one library at once, and after an interruption the same command goes on. --model, --layer and
    --pool are for a new library.

    Exit code: 0 when it is done, refused files included; 1 with --strict if some were refused; 2 for a usage
    error; 3 if it could not be done.
    """
    place = place_of(library)
    wanted = music_of(place, music)
    found = None if prune else find_music(wanted)  # before a model is loaded
    encoder, space = encoder_and_space(place, model, layer, pool, device, threads)
    telling = progress("indexing", len(found.paths) if found else None)
    with (
        Library(place, space, at_once=False) as opened,
        nullcontext(lambda done, note: None) if quiet else telling as tell,
    ):
        changes = opened.update(
            wanted, encoder, found=found, progress=tell, again=again, prune=prune,
            batching=embedding.Batching(windows_at_once=batch, n_workers=workers), take_damaged=take_damaged,
        )  # fmt: skip
        n_tracks, report = len(opened), opened.write_report(changes.refused)
    show_changes(changes, n_tracks, place, report, quiet=quiet, as_json=as_json)
    raise typer.Exit(exit_code(len(changes.refused) + len(changes.refused_before), strict))


def music_of(library: Path, given: list[Path] | None) -> list[Path]:
    """The music of an update: what was given, or what the library remembers and is there."""
    if given:
        return given
    if known_space(library) is None:
        raise typer.BadParameter(
            f"There is no library {library} yet. Name your music once: solfa index MUSIC"
        )
    with Library(library) as opened:
        sources = opened.sources()
    there = [path for path in sources if path.exists()]
    if not sources:
        raise typer.BadParameter(f"{library} remembers no folders yet. Name them once: solfa index MUSIC")
    for path in sources:
        if path not in there:
            log.warning("%s is not there now; its tracks stay.", path)
    if not there:
        raise FileNotFoundError("None of the folders that the library remembers is there. Mount their disks.")
    return there


def encoder_and_space(
    library: Path, model: str | None, layer: int | None, pool: Pool | None, device: str, threads: int
) -> tuple["solfa.models.AudioEncoder", Space]:
    """What the options say, and for an existing library else what it was made with."""
    from solfa.cli.encoders import load_encoder, space_of
    from solfa.embedding import describe_space

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


def show_changes(
    changes: Changes, n_tracks: int, library: Path, report: Path | None, *, quiet: bool, as_json: bool
) -> None:
    """What an update has done; if quiet, only what went wrong."""
    if as_json:
        _report_json(changes, n_tracks, library, report)
    else:
        _report(changes, n_tracks, library, report, quiet)


def _report(changes: Changes, n_tracks: int, library: Path, report: Path | None, quiet: bool) -> None:
    show_passed_over([] if quiet else changes.passed_over)
    show_refused(changes.refused)
    show_damaged(changes.damaged)
    for kept in changes.kept:
        typer.echo(f"kept {kept.n} tracks of {shown(kept.folder)}, {kept.reason}")
    if quiet:
        return
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
