"""Rendered music to pre-train on: songs, charts, phrases and drums that the free benchmark does not play.

Kept out, on every side: all songs of POP909 that the benchmark plays, the grooves of its valid and test
pieces, the charts of all of its pieces, and the soundfonts that judge (timgm6mb; opl3 is not even known
here). A quarter of the training grooves is left to probes alone. What is taken is decided by names, so that
it is the same anywhere.
"""

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from solfa.data.manifest import Track, write_manifest
from solfa.data.prepare import prepare_files, write_refused
from solfa.data.refused import Refused
from solfa.files import FolderLock, write_text
from solfa.json_files import read_json_object
from solfa_free import free_benchmark
from solfa_free.debian import PackageError
from solfa_free.ensembles import Ensemble
from solfa_free.free_benchmark import MissingSourceError, Sources
from solfa_free.mma import STYLES, Accompaniment, accompaniments, fetch_mma, main_grooves
from solfa_free.phrases import PHRASE_SECONDS, DrumPattern, NotePhrase, SteadyPhrase
from solfa_free.pieces import Piece
from solfa_free.pop909 import CURE, Song, read_songs
from solfa_free.rendered import AUDIO, Rendered, render_with
from solfa_free.rendering import RenderingConfig
from solfa_free.score import Score, ScoreError
from solfa_free.sides import Sides, draw
from solfa_free.soundfonts import fetch_soundfont
from solfa_free.timbres import TimbreConfig
from solfa_free.tunes import TUNE_SECONDS, find_corpus, read_tunes

PRETRAINING = "pretraining"  # the name of the corpus
SOUNDFONTS = ("fluidr3", "musescore-lite", "csound", "freepats")  # never those that judge
PROBE_SHARE = 0.25  # of the training grooves, which are left to probes
TAKES = 3  # of a song at most, each by another band
N_SONGS = 909  # of POP909, by which the benchmark's are chosen wherever all of them are there
FIRST_CHART = 1_000  # above the numbers of the benchmark's charts
CHART_SECONDS = 60.0  # at least
NOTHING: Mapping[str, str] = {}
KEEPS_PROGRAMS = ("notes",)  # instruments of the valid and test notes are not to be played note by note


@dataclass(frozen=True)
class Take:
    """A piece to be played by a band of its own."""

    piece: Piece
    seconds: float  # about
    number: int = 1
    split: str = "train"  # or valid; that of all takes of its group

    @property
    def name(self) -> str:
        """The piece's, and which take, from the second on."""
        return self.piece.name if self.number == 1 else f"{self.piece.name}-take{self.number}"

    @property
    def group(self) -> str:
        """All takes of a song, all charts in a groove, all phrases of an instrument."""
        return self.piece.group

    def score(self) -> Score:
        """The piece's. Raises ScoreError."""
        return self.piece.score()


@dataclass(frozen=True, kw_only=True)
class Part:
    """One kind of music, without end, or until there is no more."""

    name: str
    share: float  # of the hours, as long as there is any
    takes: Callable[[Sources], Iterator[Take]]


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """Tracks that were rendered, and pieces that could not be."""

    splits: dict[str, list[Track]]  # tracks, train, valid
    left_out: dict[str, str]  # part -> what is missing, and how to get it
    failures: dict[str, str]  # piece -> why it is not there
    refused: list[Refused] = field(default_factory=list)  # files that cannot be read back


def make_pretraining(
    out: Path,
    sources: Sources,
    *,
    hours: float,
    seed: int = 0,
    config: RenderingConfig | None = None,
    timbre: TimbreConfig | None = None,
    progress: Callable[[str, int, int], None] = lambda what, n_done, n: None,
) -> Corpus:
    """Render about ``hours`` of music into ``out``, with manifests, attribution and a table of hours.

    After an interruption the same call goes on; one that asks for more hours adds to what is there, and
    leaves each group on its side. A part that cannot be had is left out, and so is a piece that cannot be
    played.

    Args:
        out: the folder to fill; see ``README.md`` in it.
        sources: where music comes from, how many takes of a kind at most, and how many processes render.
        hours: of music, all kinds together.
        seed: of timbres; a folder holds one.
        config: rate and level.
        timbre: how far timbres go.
        progress: is told what is done, how much of it, out of how much.

    Raises:
        ScoreError: ``out`` holds what was rendered otherwise, or nothing can be rendered.
        BlockingIOError: another process is filling ``out``.
        PackageError: a soundfont cannot be fetched.
    """
    with FolderLock(out):
        takes, left_out = plan(PARTS, sources, hours, known=_known_sides(out))
        ensemble = Ensemble(
            soundfonts=tuple(fetch_soundfont(name, sources.cache) for name in SOUNDFONTS),
            config=config or RenderingConfig(),
            timbre=timbre or TimbreConfig(),
            seed=seed,
            keeps_programs=KEEPS_PROGRAMS,
        )
        done = render_with(
            ensemble,
            takes,
            out,
            n_workers=sources.n_workers,
            progress=lambda n_done, name: progress("rendering", n_done, len(takes)),
        )
        return _listed(done, sources, left_out, progress)


def plan(
    parts: Sequence[Part], sources: Sources, hours: float, known: Mapping[str, str] = NOTHING
) -> tuple[list[Take], dict[str, str]]:
    """The takes of about ``hours``, each on its side, and the parts that cannot be had.

    The next take is of the part that is furthest behind its share. So each beginning of the list is mixed
    alike, and more hours add to what fewer gave. ``known`` sides of groups are kept.
    """
    left_out: dict[str, str] = {}
    rows: dict[str, Iterator[Take]] = {}
    for part in parts:
        try:
            takes = part.takes(sources)
            rows[part.name] = itertools.islice(itertools.chain([next(takes)], takes), sources.n_most)
        except StopIteration:
            left_out[part.name] = "nothing is left of it when the benchmark's are taken away"
        except (MissingSourceError, PackageError, ScoreError, FileNotFoundError) as error:
            left_out[part.name] = str(error)
    shares = {part.name: part.share for part in parts}
    seconds = dict.fromkeys(rows, 0.0)
    sides = {part.name: Sides(known) for part in parts}
    planned: list[Take] = []
    while rows and sum(seconds.values()) < hours * 3600:
        name = min(rows, key=lambda name: seconds[name] / shares[name])
        take = next(rows[name], None)
        if take is None:
            del rows[name]
            continue
        planned.append(replace(take, split=sides[name].of(take.group, take.seconds)))
        seconds[name] += take.seconds
    return planned, left_out


def _known_sides(out: Path) -> dict[str, str]:
    """Group -> side, of all that was rendered into a folder."""
    labels = (read_json_object(path) for path in sorted((out / AUDIO).glob("*.json")))
    return {values["group"]: values["split"] for values in labels}


def benchmark_songs(songs: Iterable[Song]) -> set[str]:
    """Names of the songs of POP909 that the benchmark plays, made of ``songs`` or of the whole data set."""
    every = [Song(f"{number:03d}", {}) for number in range(1, N_SONGS + 1)]
    [part] = [part for part in free_benchmark.PARTS if part.name == "pop909"]
    if not isinstance(part, free_benchmark.RenderedPart):
        raise TypeError("the benchmark plays POP909")
    return {
        piece.name
        for there in (list(songs), every)
        for player in free_benchmark.SOUNDFONTS
        for piece in part.choose(there, player)
    }


def probe_grooves() -> set[str]:
    """Files of the training grooves that are left to probes alone."""
    files = (file for style in STYLES.values() for file in style.train)
    return {file for file in files if draw("pretraining probe", file) < PROBE_SHARE}


def _songs(sources: Sources) -> Iterator[Take]:
    if sources.pop909 is None:
        raise MissingSourceError(f"POP909 is yours to fetch. {CURE}, with --pop909, and run again.")
    songs = list(read_songs(sources.pop909))
    played = benchmark_songs(songs)
    own = [song for song in songs if song.split == "train" and song.name not in played]
    own.sort(key=lambda song: draw("pretraining lot", song.name))
    return (Take(song, _last_beat(song), number) for number in range(1, TAKES + 1) for song in own)


def _last_beat(song: Song) -> float:
    """Seconds of a song, by its list of beats; a song without one will fail when it is played."""
    rows = song.files.get("beat_midi.txt", b"").split()
    try:
        return float(rows[-3])
    except (IndexError, ValueError):
        return 0.0


def _charts(sources: Sources) -> Iterator[Take]:
    root = fetch_mma(sources.cache)
    played = {piece.chart().progression for piece in accompaniments(sources.cache)}
    kept = probe_grooves()
    grooves = [
        (style, file, main_grooves(root, file))
        for style, grooves in STYLES.items()
        for file in grooves.train
        if file not in kept
    ]
    grooves.sort(key=lambda groove: draw("pretraining lot", groove[1]))
    return _charts_in(grooves, root, played)


def _charts_in(grooves: Sequence[tuple[str, str, list[str]]], root: Path, played: set[str]) -> Iterator[Take]:
    """One chart after the other, in each groove by turns, and in none that was played already."""
    for number in itertools.count(FIRST_CHART):
        lap, place = divmod(number - FIRST_CHART, len(grooves))
        style, file, names = grooves[place]
        piece = Accompaniment(
            root=root, style=style, split="train", number=number, file=file,
            groove=names[lap % len(names)], min_seconds=CHART_SECONDS,
        )  # fmt: skip
        chart = piece.chart()
        if chart.progression not in played:
            yield Take(piece, chart.seconds)


def _tunes(sources: Sources) -> Iterator[Take]:
    tunes = sorted(read_tunes(find_corpus()), key=lambda tune: draw("pretraining lot", tune.name))
    return (Take(tune, TUNE_SECONDS) for tune in tunes)


def _phrases(sources: Sources) -> Iterator[Take]:
    kinds = (NotePhrase, SteadyPhrase)  # by turns
    return (Take(kind(number), PHRASE_SECONDS) for number in itertools.count() for kind in kinds)


def _patterns(sources: Sources) -> Iterator[Take]:
    return (Take(DrumPattern(number), PHRASE_SECONDS) for number in itertools.count())


PARTS: tuple[Part, ...] = (
    Part(name="pop909", share=0.43, takes=_songs),
    Part(name="mma", share=0.35, takes=_charts),
    Part(name="notes", share=0.08, takes=_phrases),
    Part(name="drums", share=0.04, takes=_patterns),
    Part(name="music21", share=0.1, takes=_tunes),
)


def _listed(
    done: Rendered,
    sources: Sources,
    left_out: dict[str, str],
    progress: Callable[[str, int, int], None],
) -> Corpus:
    """Decode what was rendered, and write all lists of it."""
    labels = {path: read_json_object(path.with_suffix(".json")) for path in done.paths}
    prepared = prepare_files(
        done.paths,
        n_workers=sources.n_workers,
        tags=lambda path: done.tags(path) | {"title": labels[path]["name"]},
        progress=lambda n_done, n: progress("decoding", n_done, n),
    )
    splits = {"tracks": prepared.tracks} | {
        split: [track for track in prepared.tracks if track.tags["split"] == split]
        for split in ("train", "valid")
    }
    for name, tracks in splits.items():
        write_manifest(tracks, done.folder / f"{name}.jsonl")
    write_refused(prepared.refused, done.folder / "refused.jsonl")
    _write_attribution(prepared.tracks, done.folder)
    return Corpus(splits=splits, left_out=left_out, failures=done.failures, refused=prepared.refused)


def _write_attribution(tracks: Sequence[Track], out: Path) -> None:
    """``ATTRIBUTION.tsv``, a line for every track, and ``README.md``, a line for each of its licences."""
    columns = ("corpus", "licence", "soundfont", "soundfont_licence")
    lengths: dict[tuple[str, ...], list[float]] = defaultdict(list)  # in seconds, by what a track is made of
    lines = ["\t".join(("path", "seconds", *columns))]
    for track in tracks:
        row = tuple(track.tags.get(name, "") for name in columns)
        lengths[row].append(track.seconds)
        lines.append("\t".join((f"{AUDIO}/{track.path.name}", f"{track.seconds:.2f}", *row)))
    write_text(out / "ATTRIBUTION.tsv", "\n".join((*lines, "")))
    hours = {row: sum(seconds) / 3600 for row, seconds in sorted(lengths.items())}
    rows = "\n".join(f"| {' | '.join(row)} | {len(lengths[row])} | {hours[row]:.2f} |" for row in hours)
    write_text(out / "README.md", README.format(rows=rows, hours=sum(hours.values())))


README = """# Rendered music to pre-train on

{hours:.2f} hours that `solfa data render pretraining` rendered. `tracks.jsonl` lists all tracks,
`train.jsonl` and `valid.jsonl` the two sides: takes of one song, charts in one groove and phrases of one
instrument stand on one side. `labels.jsonl` holds exact notes, beats, chords and keys. Nothing of it is
played by the free benchmark.

Music by each of these may be used and passed on under the licences of both its notes and its soundfonts;
`ATTRIBUTION.tsv` has them for every track.

| corpus | licence of the notes | soundfonts | licences of the soundfonts | tracks | hours |
|---|---|---|---|---:|---:|
{rows}
"""
