"""The parts of the free benchmark: which pieces and recordings, how many, played by whom; made one by one.

Every part is a folder or several. What is in them is chosen by lot out of names, so that the same parts
are the same anywhere. A new corpus is a line of ``PARTS``.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from solfa.errors import SolfaError
from solfa_free.debian import PackageError
from solfa_free.mma import accompaniments
from solfa_free.pieces import Piece, choose_pieces, single_notes
from solfa_free.pop909 import CURE, read_songs
from solfa_free.real_sounds import (
    DRUM_PACKAGES,
    SOUND_PACKAGES,
    TRACK_PACKAGES,
    choose_drums,
    choose_sounds,
    choose_tracks,
)
from solfa_free.recordings import Choose, CutConfig, cut_recordings
from solfa_free.rendered import render_pieces
from solfa_free.rendering import RenderingConfig
from solfa_free.score import ScoreError
from solfa_free.soundfonts import fetch_soundfont

SOUNDFONTS = {  # in which splits each one plays
    "musescore-lite": ("train", "valid"),
    "fluidr3": ("train", "valid"),
    "timgm6mb": ("test",),
}
Progress = Callable[[str, int, int], None]  # name of a folder, how much of it is done, out of how much


class MissingSourceError(SolfaError, ValueError):
    """Something that only the user can give; the message says how to get it."""


@dataclass(frozen=True, kw_only=True)
class Sources:
    """Where the parts come from, and how many of everything."""

    pop909: Path | None = None  # folder or archive
    cache: Path | None = None  # of soundfonts and .deb files; see ``fetch_soundfont``
    n_most: int | None = None  # pieces of a split and a soundfont, recordings of a package and a label
    n_workers: int | None = None  # as for ``render_pieces``


@dataclass(frozen=True, kw_only=True)
class RenderedPart:
    """Pieces, each played by one of the soundfonts of its split."""

    name: str
    pieces: Callable[[Sources], Sequence[Piece]]
    n_pieces: dict[str, int]  # of each split
    seconds: float | None  # of an excerpt; whole pieces if None

    def make(self, out: Path, sources: Sources, progress: Progress) -> dict[str, str]:
        """Render what is not there yet; gives what failed, and why."""
        pieces = self.pieces(sources)
        failures: dict[str, str] = {}
        for player in SOUNDFONTS:
            own = self.choose(pieces, player, sources.n_most)
            if own:
                failures |= self._render(own, player, out / f"{self.name}-{player}", sources, progress)
        return failures

    def choose(self, pieces: Sequence[Piece], player: str, n_most: int | None = None) -> list[Piece]:
        """The pieces of a soundfont: those of a split, in an order by lot, go to its soundfonts by turns."""
        chosen: list[Piece] = []
        for split in SOUNDFONTS[player]:
            players = [name for name, splits in SOUNDFONTS.items() if split in splits]
            of_split = choose_pieces(pieces, self.n_pieces[split], split)
            chosen += of_split[players.index(player) :: len(players)][:n_most]
        return chosen

    def _render(
        self, pieces: Sequence[Piece], player: str, out: Path, sources: Sources, progress: Progress
    ) -> dict[str, str]:
        return render_pieces(
            pieces,
            fetch_soundfont(player, sources.cache),
            out,
            config=RenderingConfig(),
            seconds=self.seconds,
            n_workers=sources.n_workers,
            progress=lambda n_done, _: progress(out.name, n_done, len(pieces)),
        ).failures


@dataclass(frozen=True, kw_only=True)
class RecordedPart:
    """Recordings out of Debian packages."""

    name: str
    packages: tuple[str, ...]
    choose: Choose

    def make(self, out: Path, sources: Sources, progress: Progress) -> dict[str, str]:
        """Fetch and cut what is not there yet; gives what failed, and why."""
        return cut_recordings(
            self.packages,
            self.choose,
            out / self.name,
            config=CutConfig(n_most=sources.n_most),
            cache=sources.cache,
            progress=lambda n_done, _: progress(self.name, n_done, len(self.packages)),
        ).failures


Part = RenderedPart | RecordedPart


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """Parts that were made, and those that could not be."""

    made: tuple[str, ...]  # names of parts
    left_out: dict[str, str] = field(default_factory=dict)  # part -> what is missing, and how to get it
    failures: dict[str, str] = field(default_factory=dict)  # part and piece -> why it is not there


def make_benchmark(
    out: Path,
    sources: Sources,
    parts: Sequence[Part] | None = None,
    progress: Progress = lambda folder, n_done, n: None,
) -> Benchmark:
    """Make all parts in ``out``; a part that cannot be made does not stop the others.

    After an interruption the same call goes on: what is there is not made again.

    Args:
        out: the folder to fill.
        sources: where music comes from.
        parts: ``PARTS`` if None.
        progress: is told the name of a folder, and how much of it is done.
    """
    made: list[str] = []
    left_out: dict[str, str] = {}
    failures: dict[str, str] = {}
    for part in PARTS if parts is None else parts:
        try:
            failed = part.make(out, sources, progress)
        except (MissingSourceError, PackageError, ScoreError, FileNotFoundError) as error:
            left_out[part.name] = str(error)
            continue
        made.append(part.name)
        failures |= {f"{part.name}: {name}": why for name, why in failed.items()}
    return Benchmark(made=tuple(made), left_out=left_out, failures=failures)


def _songs(sources: Sources) -> Sequence[Piece]:
    if sources.pop909 is None:
        raise MissingSourceError(f"POP909 is yours to fetch. {CURE}, with --pop909, and run again.")
    return list(read_songs(sources.pop909))


PARTS: tuple[Part, ...] = (  # 7 hours of audio
    RenderedPart(
        name="notes",
        pieces=lambda sources: single_notes(),
        n_pieces={"train": 1800, "valid": 400, "test": 800},
        seconds=None,
    ),
    RenderedPart(
        name="pop909", pieces=_songs, n_pieces={"train": 240, "valid": 60, "test": 100}, seconds=30.0
    ),
    RenderedPart(
        name="mma",
        pieces=lambda sources: accompaniments(sources.cache),
        n_pieces={"train": 240, "valid": 40, "test": 80},
        seconds=15.0,
    ),
    RecordedPart(name="drums", packages=DRUM_PACKAGES, choose=choose_drums),
    RecordedPart(name="sounds", packages=tuple(SOUND_PACKAGES), choose=choose_sounds),
    RecordedPart(name="tracks", packages=TRACK_PACKAGES, choose=choose_tracks),
)
