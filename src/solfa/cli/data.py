"""solfa data: a folder of music, or freely licensed music from the network -> manifests, stored codes."""

from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from solfa.cli.caption import caption
from solfa.cli.device import chosen_device
from solfa.cli.examples import examples
from solfa.cli.free import render_free
from solfa.cli.options import (
    DamagedOption,
    JsonOption,
    StrictOption,
    ThreadsOption,
    finite,
)
from solfa.cli.progress import progress
from solfa.cli.reports import (
    SHOWN,
    damaged_json,
    exit_code,
    passed_over_values,
    refused_values,
    show_damaged,
    show_json,
    show_passed_over,
    show_refused,
)
from solfa.corpora.free_benchmark import Sources
from solfa.corpora.free_music import CORE, MID, FreeMusic, fetch_free_music, is_held_out, package_and_composer
from solfa.corpora.pieces import choose_pieces
from solfa.corpora.rendered import Rendered, find_pieces, render_pieces
from solfa.corpora.rendering import RenderingConfig
from solfa.corpora.soundfonts import SOURCES, fetch_soundfont
from solfa.data.folders import find_audio
from solfa.data.manifest import Track, read_manifest, write_manifest, write_splits
from solfa.data.prepare import (
    MIN_SECONDS,
    Prepared,
    Refused,
    prepare_files,
    prepare_found,
    write_prepared,
    write_refused,
)
from solfa.targets.labelling import REFUSED, label_tracks, load_target
from solfa.tasks.catalogue import FREE

SETS = {"core": CORE, "mid": MID}
FREE_MUSIC_SEED = 1  # of the draws for CORE, one that has metal, orchestra and chiptune on both sides
CorpusArgument = Annotated[
    str,
    typer.Argument(help="'free', 'notes', 'mma', a folder or archive of POP909, or a folder of MIDI files."),
]
SoundfontOption = Annotated[
    str | None,
    typer.Option(help=f"{', '.join(SOURCES)}, or the path of an .sf2 or .sf3; needed, but by 'free'."),
]
Pop909Option = Annotated[
    Path | None, typer.Option(help="For 'free': folder or archive of POP909, which is yours to fetch.")
]
ExcerptOption = Annotated[
    float | None,
    typer.Option(
        min=1.0, callback=finite, help="An excerpt out of each one's middle.", show_default="whole pieces"
    ),
]
RenderCacheOption = Annotated[
    Path | None, typer.Option(help="Keep soundfonts and MMA here.", show_default="~/.cache/solfa")
]

app = typer.Typer(
    help="Lists of tracks, from your own or freely licensed music; and codes stored for them.",
    no_args_is_help=True,
)
results = Console()  # not the progress's: that one is for people, this one may be a pipe


app.command()(caption)


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
def free_music(
    out: Annotated[Path, typer.Option(help="The folder to fill.")],
    packages: Annotated[
        list[str], typer.Option(help="'core' (1.5 GB, 25 h), 'mid' (3.1 GB, 33 h), or packages by name.")
    ] = ["core"],  # noqa: B006
    hours: Annotated[
        float | None, typer.Option(min=0.0, callback=finite, help="Stop at so many hours.")
    ] = None,
    cache: Annotated[
        Path | None, typer.Option(help="Look for .deb files here first, and keep downloads here.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Files decoded at once; as many as cores if not given.")
    ] = None,
    strict: StrictOption = False,
) -> None:
    """Fetch freely licensed real music from Debian packages; nothing is installed.

    Needs apt-get and dpkg-deb. Run it again after an interruption: packages that are complete are not fetched
    again. Writes into the folder: audio/PACKAGE/..., ATTRIBUTION.tsv, tracks.jsonl with its splits
    train.jsonl, valid.jsonl and heldout.jsonl (wesnoth, hyperrogue, 0ad, naev and openclonk are never trained
    on), and refused.jsonl.

    Exit code: 0 when it is done, refused files included; 1 with --strict if some were refused; 2 for a usage
    error; 3 if it could not be done, or a package is not there.

    Examples:

      solfa data free-music --out music

      solfa data free-music --out music --packages singularity-music,zaz-data --hours 1

      solfa data free-music --out music --packages mid --cache ~/debs
    """
    given = [name for part in packages for name in part.split(",")]
    names = list(dict.fromkeys(package for name in given for package in SETS.get(name, (name,))))
    with progress("fetching packages", len(names)) as tell:
        fetched = fetch_free_music(
            out, packages=names, hours=hours, cache=cache, progress=lambda name, n_done: tell(n_done, name)
        )
    refused = _prepare_and_split(fetched, workers)
    for what, why in fetched.failures.items():
        _say(f"[red]not there[/red] {escape(what)}: {escape(why)}")
    raise typer.Exit(3 if fetched.failures else exit_code(len(refused), strict))


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
    _say(f"{done.n_labelled} tracks labelled, {done.n_known} had codes already: {escape(str(out))}")
    _show_refused(done.refused, out / REFUSED)
    raise typer.Exit(exit_code(len(done.refused), strict))


@app.command()
@examples(
    "solfa data render free --out data/free --pop909 POP909",
    "solfa data render POP909 --soundfont timgm6mb --out free/pop909-timgm6mb --split test --seconds 30",
    "solfa data render notes --soundfont fluidr3 --out free/notes-fluidr3 --tracks 1000",
    "solfa data render mma --soundfont fluidr3 --out free/mma-fluidr3 --tracks 600 --seconds 15",
    "solfa data render ~/midi --soundfont my.sf2 --out rendered",
)
def render(
    corpus: CorpusArgument,
    out: Annotated[Path, typer.Option(help="The folder to fill.")],
    soundfont: SoundfontOption = None,
    pop909: Pop909Option = None,
    tracks: Annotated[int | None, typer.Option(min=1, help="So many, by lot; all if not given.")] = None,
    seconds: ExcerptOption = None,
    split: Annotated[str | None, typer.Option(help="Only pieces of train, valid or test.")] = None,
    sample_rate: Annotated[int, typer.Option(min=8000, help="Hz.")] = RenderingConfig.sample_rate,
    cache: RenderCacheOption = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; default: all cores.")] = None,
    strict: StrictOption = False,
) -> None:
    """Play symbolic music with sampled instruments: audio, and labels that are exact.

    Soundfonts come from Debian packages (5, 34 and 120 MB; see solfa data free-music for what that needs),
    and so does MMA (4 MB), which plays chord charts drawn by lot in the grooves of twenty styles.
    Writes into the folder: audio/PIECE.flac and audio/PIECE.json (keys, chords, beats, tempo, melody, notes,
    instruments, as far as they are known), labels.jsonl, tracks.jsonl and rendered.json. Run it again after
    an interruption: what is there is not rendered again. It says its version: a hash over audio and labels.

    The corpus 'free' is the whole free benchmark: notes, POP909 and MMA by all soundfonts, and drums, sounds
    and tracks out of other packages (2.5 GB; --cache is looked into first). It says what is left out and why,
    counts the items of every task, and looks for what stands on two sides of a split.

    Exit code: 0 when it is done, 1 with --strict if some pieces are not there, 2 for a usage error, 3 if not.
    """
    if corpus == FREE:
        if soundfont or seconds or split:
            raise typer.BadParameter("'free' chooses soundfont, split and length itself. Leave them out.")
        render_free(out, Sources(pop909=pop909, cache=cache, n_most=tracks, n_workers=workers), strict)
    if soundfont is None:
        raise typer.BadParameter(f"Give one of {', '.join(SOURCES)}, or a path.", param_hint="--soundfont")
    if split not in (None, "train", "valid", "test"):
        raise typer.BadParameter(f"'{split}' is none of train, valid, test.", param_hint="--split")
    pieces = choose_pieces(find_pieces(corpus, cache), tracks, split)
    config = RenderingConfig(sample_rate=sample_rate)
    font = fetch_soundfont(soundfont, cache)
    with progress("rendering", len(pieces)) as tell:
        done = render_pieces(
            pieces, font, out, config=config, seconds=seconds, n_workers=workers, progress=tell
        )
    with progress("decoding", len(done.paths)) as tell:
        prepared = prepare_files(
            done.paths, n_workers=workers, tags=done.tags, progress=lambda n_done, _: tell(n_done, "")
        )
    write_manifest(prepared.tracks, out / "tracks.jsonl")
    _show_hours({out / "tracks.jsonl": prepared.tracks})
    _show_rendered(done)
    raise typer.Exit(exit_code(len(done.failures) + len(prepared.refused), strict))


def _prepare_and_split(fetched: FreeMusic, workers: int | None) -> list[Refused]:
    paths = list(fetched.tracks)
    with progress("decoding", len(paths)) as tell:
        prepared = prepare_files(
            paths, n_workers=workers, tags=fetched.tags, progress=lambda n_done, _: tell(n_done, "")
        )
    report = fetched.folder / "refused.jsonl"
    write_refused(prepared.refused, report)
    parts = write_splits(
        prepared.tracks,
        fetched.folder,
        is_held_out=lambda track: is_held_out(track.tags),
        groups=lambda track: package_and_composer(track.tags),
        seed=FREE_MUSIC_SEED,
    )
    _show_hours({Path(f"{name}.jsonl"): tracks for name, tracks in parts.items()})
    _show_refused(prepared.refused, report)
    return prepared.refused


def _show_hours(parts: dict[Path, list[Track]]) -> None:
    table = Table("manifest", "tracks", "hours")
    for path, tracks in parts.items():
        seconds = sum(track.seconds for track in tracks)
        table.add_row(escape(path.name), str(len(tracks)), f"{seconds / 3600:.2f}")
    results.print(table)


def _show_prepared(prepared: Prepared, out: Path, report: Path) -> None:
    _show_hours({out: prepared.tracks})
    show_passed_over(prepared.passed_over)
    show_damaged([track for track in prepared.tracks if track.damage])
    _show_refused(prepared.refused, report)


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


def _show_rendered(done: Rendered) -> None:
    for name, why in list(done.failures.items())[:SHOWN]:
        _say(f"[yellow]not there[/yellow] {escape(name)}: {escape(why)}")
    _say(f"{len(done.paths)} pieces, {done.n_known} of them known already; version {done.version}")


def _show_refused(refused: list[Refused], report: Path) -> None:
    show_refused(refused)
    if refused:
        _say(f"{len(refused)} files refused; all of them with reasons: {escape(str(report))}")


def _say(line: str) -> None:
    results.print(line, highlight=False, soft_wrap=True)
