"""solfa data: a folder of music, or freely licensed music from the network -> manifests, stored codes."""

from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.markup import escape

from solfa.cli.caption import caption
from solfa.cli.credits import credits_page
from solfa.cli.device import chosen_device
from solfa.cli.features import features
from solfa.cli.hear import hear
from solfa.cli.help import examples
from solfa.cli.options import (
    DamagedOption,
    JsonOption,
    StrictOption,
    ThreadsOption,
    finite,
)
from solfa.cli.pool import pool
from solfa.cli.progress import progress
from solfa.cli.reports import (
    damaged_json,
    exit_code,
    passed_over_values,
    refused_values,
    show_damaged,
    show_json,
    show_passed_over,
)
from solfa.cli.results import say, show_hours, show_refused_of
from solfa.cli.shard import shard
from solfa.cli.teach import teach
from solfa.cli.weigh import weigh
from solfa.data.folders import find_audio
from solfa.data.manifest import read_manifest
from solfa.data.prepare import (
    MIN_SECONDS,
    Prepared,
    prepare_found,
    write_prepared,
)
from solfa.targets.labelling import REFUSED, label_tracks, load_target

app = typer.Typer(
    help="Lists of tracks, from your own or freely licensed music; and codes stored for them.",
    no_args_is_help=True,
)


app.command()(caption)
app.command()(features)
app.command()(weigh)
app.command()(hear)
app.command()(teach)
app.command()(pool)
app.command()(shard)
app.command("credits")(credits_page)


@app.command()
def prepare(
    music: Annotated[Path, typer.Argument(help="A folder of music; folders below and links are followed.")],
    out: Annotated[Path, typer.Option(help="The manifest to write.")] = Path("tracks.jsonl"),
    min_seconds: Annotated[
        float, typer.Option(min=0.0, callback=finite, help="Refuse shorter files.")
    ] = MIN_SECONDS,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Files decoded at once; as many as cores if not given.")
    ] = None,
    take_damaged: DamagedOption = False,
    strict: StrictOption = False,
    as_json: JsonOption = False,
) -> None:
    """List the tracks of a folder, each decoded once to its end.

    Writes one JSON line per track (path, seconds, sample_rate, channels, content_hash, tags, decoder), and
    beside it a report of refused files with the reason for each (tracks.refused.jsonl). Files that are not
    audio by their name are passed over, and counted by their kinds. Running it again writes both anew. A
    track whose file is damaged is in both, with where and how much is missing, if --take-damaged is given.

    Exit code: 0 when it is done, refused files included; 1 with --strict if some were refused; 2 for a usage
    error; 3 if it could not be done.

    Examples:

      solfa data prepare ~/Music --out tracks.jsonl

      solfa data prepare samples --out notes.jsonl --min-seconds 0.1
    """
    found = find_audio(music)
    with progress("decoding", len(found.paths)) as tell:
        prepared = prepare_found(
            found, min_seconds=min_seconds, n_workers=workers, take_damaged=take_damaged,
            progress=lambda n_done, _: tell(n_done, ""),
        )  # fmt: skip
    report = out.with_suffix(".refused.jsonl")
    write_prepared(prepared, out, report)
    (_show_prepared_json if as_json else _show_prepared)(prepared, out, report)
    raise typer.Exit(exit_code(len(prepared.refused), strict))


@app.command()
@examples(
    "solfa data label tracks.jsonl --target runs/mel_rvq --out codes",
    "solfa data label tracks.jsonl --target runs/hidden_rvq --frames hidden --out codes",
)
def label(
    manifest: Annotated[Path, typer.Argument(help="The tracks; see solfa data prepare.")],
    target: Annotated[Path, typer.Option(metavar="RUN", help="The run that fitted the target, or has one.")],
    out: Annotated[Path, typer.Option(help="The folder to fill.")],
    frames: Annotated[
        Path | None,
        typer.Option(metavar="HIDDEN", help="Folder of solfa embed --frames, for a run of hidden_rvq."),
    ] = None,
    number: Annotated[
        int | None,
        typer.Option(min=0, help="Which of the run's targets. Default: the first that gives codes."),
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, or auto: cuda where there is one.")] = "auto",
    batch: Annotated[int, typer.Option(min=1, help="Windows of 30 s in one pass.")] = 4,
    threads: ThreadsOption = 0,
    strict: StrictOption = False,
) -> None:
    """Store a target's codes for every track, to be learned from later.

    Writes into the folder: codes.json (what they are), frames/HASH.npy (int16, frame codebook) for each
    content, and refused.jsonl: tracks without codes, with reasons. Run it again after an interruption, or for
    another manifest: what is there is not computed again.

    Exit code: 0 when it is done, refused files included; 1 with --strict if some were refused; 2 for a usage
    error; 3 if it could not be done.
    """
    if threads:
        torch.set_num_threads(threads)
    tracks, fitted = read_manifest(manifest), load_target(target, number)
    with progress("labelling", len(tracks)) as tell:
        done = label_tracks(
            tracks, fitted, out, frames=frames, windows_at_once=batch, device=chosen_device(device),
            progress=tell,
        )  # fmt: skip
    say(f"{done.n_labelled} tracks labelled, {done.n_known} had codes already: {escape(str(out))}")
    show_refused_of(done.refused, out / REFUSED)
    raise typer.Exit(exit_code(len(done.refused), strict))


def _show_prepared(prepared: Prepared, out: Path, report: Path) -> None:
    show_hours({out: prepared.tracks})
    show_passed_over(prepared.passed_over)
    show_damaged([track for track in prepared.tracks if track.damage])
    show_refused_of(prepared.refused, report)


def _show_prepared_json(prepared: Prepared, out: Path, report: Path) -> None:
    show_json(
        {
            "manifest": str(out), "n_tracks": len(prepared.tracks),
            "seconds": sum(track.seconds for track in prepared.tracks), "report": str(report),
            "refused": refused_values(prepared.refused),
            "damaged": damaged_json(track for track in prepared.tracks if track.damage),
            "passed_over": passed_over_values(prepared.passed_over),
        }
    )  # fmt: skip


def _add_commands_of_wings() -> None:
    """What packages beside solfa add to ``solfa data``, by their entry points."""
    for entry in sorted(entry_points(group="solfa.data_commands"), key=lambda entry: entry.name):
        app.command(entry.name)(entry.load())


_add_commands_of_wings()
