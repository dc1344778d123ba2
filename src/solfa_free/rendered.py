"""Many pieces -> a folder of audio with exact labels, in parallel; what is there is not rendered again."""

import hashlib
import logging
import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import soundfile
from jaxtyping import Float

from solfa.files import sha256, whole_file, write_text
from solfa.json_files import read_json_object, write_json, write_json_lines
from solfa_free.mma import accompaniments
from solfa_free.pieces import Piece, midi_files, single_notes
from solfa_free.pop909 import read_songs
from solfa_free.rendering import Renderer, RenderingConfig
from solfa_free.score import Score, ScoreError
from solfa_free.soundfonts import Soundfont

log = logging.getLogger(__name__)

SETUP, LABELS, AUDIO = "rendered.json", "labels.jsonl", "audio"
PICKUP_SECONDS = 0.05  # an excerpt begins so long before a downbeat: players are never quite together


@dataclass(frozen=True, kw_only=True)
class Rendered:
    """Tracks that were rendered, and pieces that could not be."""

    folder: Path
    paths: list[Path]  # of all audio in the folder
    n_known: int  # that were there already
    failures: dict[str, str]  # name of a piece -> why it is not there
    version: str  # of audio and labels: equal ones are the same data

    def tags(self, path: Path) -> dict[str, str]:
        """Corpus, piece, split, soundfont and licence of a rendered file."""
        values = read_json_object(path.with_suffix(".json"))
        names = ("piece", "split", "soundfont", "soundfont_licence")
        return {name: values[name] for name in names} | values["tags"]


@dataclass(frozen=True, kw_only=True)
class Performance:
    """A piece that was played."""

    score: Score  # what was played of it
    waveform: Float[np.ndarray, " sample"]
    soundfont: str  # its name, or theirs
    soundfont_licence: str


Perform = Callable[[Piece], Performance]


@runtime_checkable
class Player(Protocol):
    """Plays pieces: small enough to be sent to another process."""

    @property
    def config(self) -> RenderingConfig:
        """Rate and level."""

    @property
    def setup(self) -> dict[str, Any]:
        """All that decides how a piece sounds; one folder holds what was rendered by one setup."""

    def open(self) -> Perform:
        """Load soundfonts, which takes seconds; gives what plays a piece, and raises ScoreError."""


@dataclass(frozen=True, kw_only=True)
class Soloist:
    """One soundfont that plays all of a piece, or an excerpt."""

    soundfont: Soundfont
    config: RenderingConfig
    seconds: float | None

    @property
    def setup(self) -> dict[str, Any]:
        """The soundfont, the length and the configuration."""
        return {
            "soundfont": self.soundfont.name,
            "soundfont_hash": self.soundfont.content_hash,
            "seconds": self.seconds,
            **asdict(self.config),
        }

    def open(self) -> Perform:
        """As every player."""
        renderer = Renderer(self.soundfont.path, self.config)
        return lambda piece: self._play(piece, renderer)

    def _play(self, piece: Piece, renderer: Renderer) -> Performance:
        score = excerpt(piece.score(), self.seconds)
        return Performance(
            score=score,
            waveform=renderer.render(score),
            soundfont=self.soundfont.name,
            soundfont_licence=self.soundfont.licence,
        )


def find_pieces(corpus: str, cache: Path | None = None) -> list[Piece]:
    """The pieces of ``notes``, of ``mma``, of POP909 as a folder or an archive, or of a folder of MIDI files.

    Args:
        corpus: one of them.
        cache: where MMA is kept, and looked for first; as ``fetch_mma`` if None.

    Raises:
        FileNotFoundError: there is no such folder or file.
        ScoreError: it holds none.
        PackageError: MMA cannot be fetched.
    """
    if corpus == "notes":
        return single_notes()
    if corpus == "mma":
        return list(accompaniments(cache))
    path = Path(corpus)
    if path.is_file() or any(path.glob("**/beat_midi.txt")):
        return list(read_songs(path))
    return midi_files(path)


def render_pieces(
    pieces: Sequence[Piece],
    soundfont: Soundfont,
    out: Path,
    *,
    config: RenderingConfig,
    seconds: float | None = None,
    n_workers: int | None = None,
    progress: Callable[[int, str], None] | None = None,
) -> Rendered:
    """Render ``pieces`` into ``out``: ``audio/NAME.flac`` and ``audio/NAME.json``, and all labels at once.

    A piece that fails does not stop the others. After an interruption the same call goes on.

    Args:
        pieces: what to render.
        soundfont: what to play it with.
        out: where to; a folder holds one soundfont, one configuration and one length.
        config: rate and level.
        seconds: an excerpt of so many seconds out of the middle, from a downbeat on; whole pieces if None.
        n_workers: processes; as many as there are processors if None, none besides this one if 1.
        progress: called with the number of pieces done, and the newest one's name.

    Raises:
        ScoreError: ``out`` holds what was rendered otherwise; or no piece at all can be rendered.
    """
    player = Soloist(soundfont=soundfont, config=config, seconds=seconds)
    return render_with(player, pieces, out, n_workers=n_workers, progress=progress)


def render_with(
    player: Player,
    pieces: Sequence[Piece],
    out: Path,
    *,
    n_workers: int | None = None,
    progress: Callable[[int, str], None] | None = None,
) -> Rendered:
    """As ``render_pieces``, by any player.

    Raises:
        ScoreError: ``out`` holds what was rendered otherwise; or no piece at all can be rendered.
    """
    folder = out / AUDIO
    _begin(out, player)
    missing = [piece for piece in pieces if not _label_path(folder, piece.name).exists()]
    failures: dict[str, str] = {}
    for n_done, (name, failure) in enumerate(_outcomes(missing, player, folder, n_workers), start=1):
        if failure is not None:
            failures[name] = failure
        if progress is not None:
            progress(len(pieces) - len(missing) + n_done, name)
    labels = sorted(folder.glob("*.json"))
    if not labels:
        raise ScoreError(
            f"None of {len(pieces)} pieces could be rendered. "
            f"{next(iter(failures.values()), 'Ask for more tracks, or for another split.')}"
        )
    lines = "".join(path.read_text(encoding="ascii") for path in labels)
    write_text(out / LABELS, lines)
    return Rendered(
        folder=out,
        paths=[path.with_suffix(".flac") for path in labels],
        n_known=len(pieces) - len(missing),
        failures=failures,
        version=hashlib.sha256(lines.encode()).hexdigest()[:12],
    )


def excerpt(score: Score, seconds: float | None) -> Score:
    """``seconds`` out of the middle, from just before a downbeat on; all of it if it is shorter."""
    if seconds is None or score.seconds <= seconds:
        return score
    latest = (score.seconds - seconds) / 2
    start = max((beat - PICKUP_SECONDS for beat in score.downbeats if beat <= latest), default=latest)
    return score.crop(max(start, 0.0), seconds)


def _begin(out: Path, player: Player) -> None:
    path = out / SETUP
    if path.exists() and read_json_object(path) != player.setup:
        raise ScoreError(f"{out} holds what was rendered otherwise (see {path}). Give another folder.")
    (out / AUDIO).mkdir(parents=True, exist_ok=True)
    write_json(path, player.setup)


def _outcomes(
    pieces: Sequence[Piece], player: Player, folder: Path, n_workers: int | None
) -> Iterator[tuple[str, str | None]]:
    """Name of each piece as it is done, with why it failed, if it did."""
    n_workers = min(n_workers or os.cpu_count() or 1, max(1, len(pieces)))
    if n_workers == 1:
        perform = player.open() if pieces else None
        yield from (
            (piece.name, _render(piece, perform, player, folder)) for piece in pieces if perform is not None
        )
        return
    # Spawned: a fork of a process that computes with threads may hang.
    with ProcessPoolExecutor(
        n_workers, multiprocessing.get_context("spawn"), initializer=_start_worker, initargs=(player, folder)
    ) as pool:
        waiting = {pool.submit(_render_in_worker, piece): piece.name for piece in pieces}
        yield from ((waiting[done], done.result()) for done in as_completed(waiting))


_worker: list[tuple[Perform, Player, Path]] = []  # of a spawned process: loading a soundfont takes seconds


def _start_worker(player: Player, folder: Path) -> None:
    _worker.append((player.open(), player, folder))


def _render_in_worker(piece: Piece) -> str | None:
    return _render(piece, *_worker[0])


def _render(piece: Piece, perform: Perform, player: Player, folder: Path) -> str | None:
    """Write audio and then labels of a piece; returns why not, if it cannot be rendered."""
    path = folder / f"{piece.name}.flac"
    try:
        played = perform(piece)
    except (ScoreError, FileNotFoundError) as error:
        return str(error)
    except (
        Exception
    ) as error:  # notes that nobody foresaw are the piece's fault, and the others can be played
        log.warning("%s cannot be played", piece.name, exc_info=True)
        return f"It cannot be played ({type(error).__name__}: {error}). Leave it out."
    with whole_file(path) as partial:
        soundfile.write(partial, played.waveform, player.config.sample_rate, subtype="PCM_16", format="FLAC")
    write_json_lines([_labels(piece, played, path)], _label_path(folder, piece.name))
    return None


def _labels(piece: Piece, played: Performance, path: Path) -> dict[str, Any]:
    of_audio = {
        "path": f"{AUDIO}/{path.name}",
        "content_hash": sha256(path),
        "piece": piece.name,
        "split": piece.split,
        "group": piece.group,
        "soundfont": played.soundfont,
        "soundfont_licence": played.soundfont_licence,
    }
    return of_audio | played.score.labels()


def _label_path(folder: Path, name: str) -> Path:
    return folder / f"{name}.json"
