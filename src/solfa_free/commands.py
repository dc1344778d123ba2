"""solfa data free-music and solfa data render: music that anyone may use, and the free benchmark."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from solfa.cli.help import examples
from solfa.cli.options import StrictOption, finite
from solfa.cli.progress import progress
from solfa.cli.reports import SHOWN, exit_code
from solfa.cli.results import say, show_hours, show_refused_of
from solfa.data.clusters import MelOfSpectra, MelSource
from solfa.data.manifest import Track, read_manifest, write_manifest, write_splits
from solfa.data.prepare import Refused, prepare_files, write_refused
from solfa.data.stored_spectra import StoredSpectra
from solfa_free.benchmark_report import render_free
from solfa_free.free_benchmark import Sources
from solfa_free.free_music import (
    CORE,
    JUDGES,
    MID,
    FreeMusic,
    fetch_free_music,
    is_held_out,
    package_and_composer,
)
from solfa_free.pieces import Piece, choose_pieces
from solfa_free.pretraining import PRETRAINING
from solfa_free.pretraining_report import render_pretraining
from solfa_free.rendered import Rendered, Soloist, find_pieces, render_with
from solfa_free.rendering import RenderingConfig
from solfa_free.soundfonts import SOURCES, fetch_soundfont
from solfa_free.tasks import FREE
from solfa_free.unheard import choose_unheard

SETS = {"core": CORE, "mid": MID, "heldout": JUDGES}
UNHEARD = "unheard.jsonl"
FREE_MUSIC_SEED = 1  # of the draws for CORE, one that has metal, orchestra and chiptune on both sides
PackagesOption = Annotated[
    list[str],
    typer.Option(
        help="'core' (1.5 GB, 25 h), 'mid' (3.1 GB, 33 h), 'heldout' (2.4 GB, 9 h), or packages by name."
    ),
]
MusicHoursOption = Annotated[
    float | None, typer.Option(min=0.0, callback=finite, help="Stop at so many hours.")
]
DebCacheOption = Annotated[
    Path | None, typer.Option(help="Look for .deb files here first, and keep downloads here.")
]
AgainstOption = Annotated[
    list[Path] | None,
    typer.Option(metavar="MANIFEST", help=f"What models train on; with it, {UNHEARD} is written."),
]
SpectraOption = Annotated[
    Path | None, typer.Option(help="solfa data features of these manifests; spares reading their audio.")
]
DecodersOption = Annotated[
    int | None, typer.Option(min=1, help="Files decoded at once; as many as cores if not given.")
]
CorpusArgument = Annotated[
    str,
    typer.Argument(
        help="'free', 'pretraining', 'notes', 'mma', a folder or archive of POP909, a folder of MIDI files."
    ),
]
SoundfontOption = Annotated[
    str | None,
    typer.Option(
        help=f"{', '.join(SOURCES)}, or the path of an .sf2 or .sf3; needed, but by 'free' and 'pretraining'."
    ),
]
Pop909Option = Annotated[
    Path | None,
    typer.Option(help="For 'free' and 'pretraining': folder or archive of POP909, which is yours to fetch."),
]
ExcerptOption = Annotated[
    float | None,
    typer.Option(
        min=1.0, callback=finite, help="An excerpt out of each one's middle.", show_default="whole pieces"
    ),
]
HoursOption = Annotated[
    float, typer.Option(min=0.01, callback=finite, help="For 'pretraining': so many of music.")
]
SeedOption = Annotated[int, typer.Option(min=0, help="For 'pretraining': of timbres.")]
RenderCacheOption = Annotated[
    Path | None, typer.Option(help="Keep soundfonts and MMA here.", show_default="~/.cache/solfa")
]


def free_music(
    out: Annotated[Path, typer.Option(help="The folder to fill.")],
    packages: PackagesOption = ["core"],  # noqa: B006
    hours: MusicHoursOption = None,
    cache: DebCacheOption = None,
    against: AgainstOption = None,
    spectra: SpectraOption = None,
    workers: DecodersOption = None,
    strict: StrictOption = False,
) -> None:
    """Fetch freely licensed real music from Debian packages; nothing is installed.

    Needs apt-get and dpkg-deb. Run it again after an interruption: packages that are complete are not fetched
    again. Writes into the folder: audio/PACKAGE/..., ATTRIBUTION.tsv, tracks.jsonl with its splits
    train.jsonl, valid.jsonl and heldout.jsonl (nine packages, wesnoth among them, are never trained on), and
    refused.jsonl. With --against also unheard.jsonl: what is held out, without composers who wrote what is
    trained on, and without copies of it, which are looked for by sound.

    Exit code: 0 when it is done, refused files included; 1 with --strict if some were refused; 2 for a usage
    error; 3 if it could not be done, or a package is not there.

    Examples:

      solfa data free-music --out music

      solfa data free-music --out music --packages singularity-music,zaz-data --hours 1

      solfa data free-music --out music --packages mid --cache ~/debs

      solfa data free-music --out music/judges --packages heldout --against music/train.jsonl
    """
    trained_on = [track for path in against or () for track in read_manifest(path)]
    given = [name for part in packages for name in part.split(",")]
    names = list(dict.fromkeys(package for name in given for package in SETS.get(name, (name,))))
    with progress("fetching packages", len(names)) as tell:
        fetched = fetch_free_music(
            out, packages=names, hours=hours, cache=cache, progress=lambda name, n_done: tell(n_done, name)
        )
    refused, held_out = _prepare_and_split(fetched, workers)
    if trained_on:
        heard = MelOfSpectra(StoredSpectra(spectra), trained_on) if spectra else None
        _list_unheard(held_out, trained_on, heard, out / UNHEARD)
    for what, why in fetched.failures.items():
        say(f"[red]not there[/red] {escape(what)}: {escape(why)}")
    raise typer.Exit(3 if fetched.failures else exit_code(len(refused), strict))


@examples(
    "solfa data render free --out data/free --pop909 POP909",
    "solfa data render pretraining --out data/pretraining --pop909 POP909 --hours 20",
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
    hours: HoursOption = 20.0,
    seed: SeedOption = 0,
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

    The corpus 'pretraining' is other music, to pre-train on: songs, charts, tunes, notes and drums that
    'free' does not play, each channel by another soundfont, in rooms; train.jsonl, valid.jsonl and README.md
    tell of it. Tunes come with music21 (pip install 'solfa[tunes]').

    Exit code: 0 when it is done, 1 with --strict if some pieces are not there, 2 for a usage error, 3 if not.
    """
    if corpus in (FREE, PRETRAINING):
        if soundfont or seconds or split:
            raise typer.BadParameter(
                f"'{corpus}' chooses soundfont, split and length itself: leave them out."
            )
        sources = Sources(pop909=pop909, cache=cache, n_most=tracks, n_workers=workers)
        if corpus == FREE:
            render_free(out, sources, strict)
        render_pretraining(out, sources, hours=hours, seed=seed, sample_rate=sample_rate, strict=strict)
    if soundfont is None:
        raise typer.BadParameter(f"Give one of {', '.join(SOURCES)}, or a path.", param_hint="--soundfont")
    if split not in (None, "train", "valid", "test"):
        raise typer.BadParameter(f"'{split}' is none of train, valid, test.", param_hint="--split")
    pieces = choose_pieces(find_pieces(corpus, cache), tracks, split)
    config = RenderingConfig(sample_rate=sample_rate)
    player = Soloist(soundfont=fetch_soundfont(soundfont, cache), config=config, seconds=seconds)
    raise typer.Exit(exit_code(_render_and_list(pieces, player, out, workers), strict))


def _render_and_list(pieces: Sequence[Piece], player: Soloist, out: Path, workers: int | None) -> int:
    """Render, write the manifest, and say what is not there; gives how much that is."""
    with progress("rendering", len(pieces)) as tell:
        done = render_with(player, pieces, out, n_workers=workers, progress=tell)
    with progress("decoding", len(done.paths)) as tell:
        prepared = prepare_files(
            done.paths, n_workers=workers, tags=done.tags, progress=lambda n_done, _: tell(n_done, "")
        )
    manifest = done.folder / "tracks.jsonl"
    write_manifest(prepared.tracks, manifest)
    show_hours({manifest: prepared.tracks})
    _show_rendered(done)
    return len(done.failures) + len(prepared.refused)


def _prepare_and_split(fetched: FreeMusic, workers: int | None) -> tuple[list[Refused], list[Track]]:
    """Write all lists; gives what was refused, and the tracks that are held out."""
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
    show_hours({Path(f"{name}.jsonl"): tracks for name, tracks in parts.items()})
    show_refused_of(prepared.refused, report)
    return prepared.refused, parts["heldout"]


def _list_unheard(
    held_out: Sequence[Track], trained_on: Sequence[Track], heard: MelSource | None, path: Path
) -> None:
    """Write the long held-out list, and say what is not on it."""
    with progress("looking for copies", len(held_out) + len(trained_on)) as tell:
        chosen = choose_unheard(held_out, trained_on, heard, tell)
    write_manifest(chosen.tracks, path)
    show_hours({path: chosen.tracks})
    for track, composer in chosen.same_composer.items():
        say(f"left out: {escape(str(track))}: {escape(composer)} wrote what is trained on")
    for track, other in chosen.same_sound.items():
        say(f"left out: {escape(str(track))}: sounds as {escape(str(other))}")


def _show_rendered(done: Rendered) -> None:
    for name, why in list(done.failures.items())[:SHOWN]:
        say(f"[yellow]not there[/yellow] {escape(name)}: {escape(why)}")
    say(f"{len(done.paths)} pieces, {done.n_known} of them known already; version {done.version}")
