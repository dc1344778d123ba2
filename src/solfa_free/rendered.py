"""Many pieces -> a folder of audio with exact labels, in parallel; what is there is not rendered again."""

import hashlib
import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import soundfile

from solfa.files import sha256, whole_file, write_text
from solfa.json_files import read_json_object, write_json, write_json_lines
from solfa_free.mma import accompaniments
from solfa_free.pieces import Piece, midi_files, single_notes
from solfa_free.pop909 import read_songs
from solfa_free.rendering import Renderer, RenderingConfig
from solfa_free.score import Score, ScoreError
from solfa_free.soundfonts import Soundfont

SETUP, LABELS, AUDIO = "rendered.json", "labels.jsonl", "audio"
PICKUP_SECONDS = 0.05  # an excerpt begins so long before a downbeat: players are never quite together


@dataclass(frozen=True, kw_only=True)
class Rendered:
    """What was rendered, and what could not be."""

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
class _Order:
    """What every process must know."""

    soundfont: Soundfont
    config: RenderingConfig
    folder: Path
    seconds: float | None


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
    order = _Order(soundfont=soundfont, config=config, folder=out / AUDIO, seconds=seconds)
    _begin(out, order)
    missing = [piece for piece in pieces if not _label_path(order.folder, piece.name).exists()]
    failures: dict[str, str] = {}
    for n_done, (name, failure) in enumerate(_outcomes(missing, order, n_workers), start=1):
        if failure is not None:
            failures[name] = failure
        if progress is not None:
            progress(len(pieces) - len(missing) + n_done, name)
    labels = sorted(order.folder.glob("*.json"))
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


def _begin(out: Path, order: _Order) -> None:
    setup = {
        "soundfont": order.soundfont.name,
        "soundfont_hash": order.soundfont.content_hash,
        "seconds": order.seconds,
        **asdict(order.config),
    }
    path = out / SETUP
    if path.exists() and read_json_object(path) != setup:
        raise ScoreError(f"{out} holds what was rendered otherwise (see {path}). Give another folder.")
    order.folder.mkdir(parents=True, exist_ok=True)
    write_json(path, setup)


def _outcomes(
    pieces: Sequence[Piece], order: _Order, n_workers: int | None
) -> Iterator[tuple[str, str | None]]:
    """Name of each piece as it is done, with why it failed, if it did."""
    n_workers = min(n_workers or os.cpu_count() or 1, max(1, len(pieces)))
    if n_workers == 1:
        renderer = Renderer(order.soundfont.path, order.config) if pieces else None
        yield from ((piece.name, _render(piece, renderer, order)) for piece in pieces if renderer is not None)
        return
    # Spawned: a fork of a process that computes with threads may hang.
    with ProcessPoolExecutor(
        n_workers, multiprocessing.get_context("spawn"), initializer=_start_worker, initargs=(order,)
    ) as pool:
        waiting = {pool.submit(_render_in_worker, piece): piece.name for piece in pieces}
        yield from ((waiting[done], done.result()) for done in as_completed(waiting))


_worker: list[tuple[Renderer, _Order]] = []  # of a spawned process: loading a soundfont takes seconds


def _start_worker(order: _Order) -> None:
    _worker.append((Renderer(order.soundfont.path, order.config), order))


def _render_in_worker(piece: Piece) -> str | None:
    renderer, order = _worker[0]
    return _render(piece, renderer, order)


def _render(piece: Piece, renderer: Renderer, order: _Order) -> str | None:
    """Write audio and then labels of a piece; returns why not, if it cannot be rendered."""
    path = order.folder / f"{piece.name}.flac"
    try:
        score = excerpt(piece.score(), order.seconds)
        waveform = renderer.render(score)
    except (ScoreError, FileNotFoundError) as error:
        return str(error)
    with whole_file(path) as partial:
        soundfile.write(partial, waveform, order.config.sample_rate, subtype="PCM_16", format="FLAC")
    write_json_lines([_labels(piece, score, path, order)], _label_path(order.folder, piece.name))
    return None


def _labels(piece: Piece, score: Score, path: Path, order: _Order) -> dict[str, Any]:
    of_audio = {
        "path": f"{AUDIO}/{path.name}",
        "content_hash": sha256(path),
        "piece": piece.name,
        "split": piece.split,
        "group": piece.group,
        "soundfont": order.soundfont.name,
        "soundfont_licence": order.soundfont.licence,
    }
    return of_audio | score.labels()


def _label_path(folder: Path, name: str) -> Path:
    return folder / f"{name}.json"
