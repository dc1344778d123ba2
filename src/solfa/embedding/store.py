"""EmbeddingStore: a folder of vectors, made file by file, that survives any interruption.

    DIR/store.json      the space of the vectors, and what they were made with
    DIR/tracks.jsonl    a manifest; each line also says in which row its vector is
    DIR/vectors.npy     float32 (row dim)
    DIR/frames/         if hidden states are kept: HASH.npy, float32 (frame layer dim), for each content
    DIR/refused.jsonl   files that are left out, and why

A row is on the disk before the line that names it; what a killed run left half written, the next cuts off.
"""

import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from solfa.arrays import ArrayError, ArrayFolder, GrowingArray, mapped
from solfa.data.audio import RESAMPLER
from solfa.data.manifest import FIELDS, Track, damage_of, track_values
from solfa.data.refused import Refused, refusal
from solfa.data.stored_frames import FRAMES, STORE
from solfa.embedding.reading import Batching, Duplicate, Embedded, Stamp, embed_files
from solfa.embedding.refusals import Refusal, is_news, still_refused
from solfa.embedding.space import POOLS, Space, space_from_values
from solfa.errors import SolfaError
from solfa.files import FolderLock, WriteError
from solfa.json_files import (
    ContentError,
    append_lines,
    mend_lines,
    read_json_object,
    read_lines,
    write_json,
    write_json_lines,
)
from solfa.models import AudioEncoder

log = logging.getLogger(__name__)

TRACKS, VECTORS, REFUSED = "tracks.jsonl", "vectors.npy", "refused.jsonl"
FOLDER = "folder"  # in the report, in place of what tells that a file has not changed: they are always tried
SECONDS_BETWEEN_COMMITS = 1.0
LINE: dict[str, type | tuple[type, ...]] = {  # of tracks.jsonl: what is asked of it
    **FIELDS,
    "row": int,
    "n_bytes": int,
    "modified_ns": int,
}
CURE = "Make them with: solfa embed MUSIC --model MODEL --out {}"


class StoreError(SolfaError, ValueError):
    """A store that cannot be used; the message names the cure."""


@dataclass
class Extraction:
    """What one run did."""

    n_embedded: int = 0
    n_known: int = 0  # were there already
    refused: list[Refused] = field(default_factory=list)  # and not known to be
    refused_before: list[Refused] = field(default_factory=list)  # by an earlier run, for the same reason
    damaged: list[Track] = field(default_factory=list)  # of those that were embedded: what is whole of them


class EmbeddingStore:
    """A store that is open for adding; use it in a ``with`` statement.

    Args:
        folder: made if it is not there.
        space: of the vectors to be added.
        frame_layers: layers whose hidden states are kept too.

    Raises:
        SpaceError: the store holds vectors of another space.
        StoreError: it keeps the hidden states of other layers, or no store can be made there.
        BlockingIOError: another process is adding to it.
    """

    def __init__(self, folder: Path, space: Space, frame_layers: Sequence[int] = ()) -> None:
        self.folder, self.space, self.frame_layers = folder, space, tuple(frame_layers)
        self._lock = FolderLock(folder)
        try:
            self._agree()
            mend_lines(folder / TRACKS)
            lines = _lines(folder)
            n_rows = max((line["row"] for line in lines), default=-1) + 1
            self._vectors = GrowingArray(folder / VECTORS, (space.dim,), n_rows)
        except BaseException:
            self._lock.close()
            raise
        self._of_content = {line["content_hash"]: line for line in lines}
        self._stamps = {line["path"]: Stamp(line["n_bytes"], line["modified_ns"]) for line in lines}
        self._frames = _FrameFiles(folder / FRAMES) if self.frame_layers else None
        self._pending: list[dict[str, Any]] = []
        self._spoken_of: dict[Path, Refusal] = {}
        self._last_commit = time.monotonic()

    def __enter__(self) -> "EmbeddingStore":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._commit()
        finally:
            if self._frames:
                self._frames.close()
            self._vectors.close()
            self._lock.close()

    def extend(
        self,
        paths: Sequence[Path],
        encoder: AudioEncoder,
        *,
        batching: Batching | None = None,
        progress: Callable[[int, str], None] | None = None,
        again: bool = False,
        take_damaged: bool = False,
        refused: Sequence[Refused] = (),
    ) -> Extraction:
        """Add the vectors of ``paths`` that are not there; bad files are reported and left out.

        A file is known by its path, size and time of change, or else by its content. One that was refused is
        not tried again until it has changed. Interrupted at any moment, the store keeps all but the files of
        the last second.

        Args:
            paths: audio files.
            encoder: the one that the space describes.
            batching: how many at once.
            progress: told how many files are done, and the name of the last.
            again: try what was refused before, too.
            take_damaged: leave out what is damaged of a file, and embed the rest; its line says so. Files
                that were refused with another choice are tried again.
            refused: what could not be read where ``paths`` were looked for.
        """
        missing = [path.absolute() for path in paths if not self._has(path.absolute())]
        known = self._refused_before()
        fresh, before = still_refused(missing, known, again=again, take_damaged=take_damaged)
        done = Extraction(n_known=len(paths) - len(missing), refused=[*refused], refused_before=before)
        self._spoken_of = {} if again else known
        self._begin_report(refused, (known[path] for path in known.keys() - set(fresh)))
        outcomes = embed_files(
            fresh, encoder, self.space, known=self._of_content, batching=batching, take_damaged=take_damaged,
            frame_layers=self.frame_layers, keep_frames=self._frames,
        )  # fmt: skip
        with (
            self._explained(),
            closing(outcomes),
        ):  # errors of files are outcomes; what is left is of the store
            for n_done, outcome in enumerate(outcomes, start=len(paths) - len(fresh) + 1):
                path = self._take(outcome, done, take_damaged)
                if time.monotonic() - self._last_commit > SECONDS_BETWEEN_COMMITS:
                    self._commit()
                if progress:
                    progress(n_done, path.name)
        self._commit()
        return done

    def _take(self, outcome: Embedded | Duplicate | Refused, done: Extraction, take_damaged: bool) -> Path:
        try:
            match outcome:
                case Embedded():
                    self._add_vector(outcome)
                    done.n_embedded += 1
                    done.damaged += [outcome.track] if outcome.track.damage else []
                    return outcome.track.path
                case Duplicate():
                    line = self._of_content[outcome.content_hash]
                    self._add(line | {"path": str(outcome.path)} | asdict(outcome.stamp))
                    done.n_known += 1
                    return outcome.path
        except OSError:
            raise  # of the disk, and of no file
        except Exception as error:
            path = outcome.track.path if isinstance(outcome, Embedded) else outcome.path
            outcome = refusal(path, error)
        self._refuse(outcome, done, take_damaged)
        return outcome.path

    def _refuse(self, refused: Refused, done: Extraction, take_damaged: bool) -> None:
        (done.refused if is_news(refused, self._spoken_of) else done.refused_before).append(refused)
        if self._frames:
            self._frames.discard(refused.path)
        append_lines(self.folder / REFUSED, [_refused_line(Refusal.of(refused, take_damaged))])

    def _refused_before(self) -> dict[Path, Refusal]:
        """Files that earlier runs refused, and that are still there; none if nobody can read the report."""
        try:
            lines = [line for line in read_lines(self.folder / REFUSED) if line["mark"] != FOLDER]
            found = [Refusal(Path(line["path"]), line["reason"], line["mark"]) for line in lines]
        except (ValueError, KeyError, TypeError):
            return {}
        return {item.path: item for item in found if os.path.lexists(item.path)}

    def _begin_report(self, folders: Sequence[Refused], kept: Iterable[Refusal]) -> None:
        """The report without the files that are tried now."""
        refusals = [Refusal(item.path, item.reason, FOLDER) for item in folders]
        refusals += [item for item in kept if not self._has(item.path)]
        with self._explained():
            if refusals:
                write_json_lines((_refused_line(item) for item in refusals), self.folder / REFUSED)
            else:
                (self.folder / REFUSED).unlink(missing_ok=True)

    def _add_vector(self, embedded: Embedded) -> None:
        if self._frames:
            self._frames.finish(embedded.track)
        self._add(_line(embedded, self._vectors.append(embedded.vector.numpy()[None])))

    def _add(self, line: dict[str, Any]) -> None:
        self._pending.append(line)
        self._of_content[line["content_hash"]] = line

    def _commit(self) -> None:
        """Put on the disk what has been added so far."""
        with self._explained():
            self._vectors.flush()
            append_lines(self.folder / TRACKS, self._pending)
        self._pending, self._last_commit = [], time.monotonic()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            cause = error.__cause__ if isinstance(error, WriteError) else error
            reason = getattr(cause, "strerror", None) or error
            raise StoreError(
                f"{self.folder} cannot be written ({reason}). Free some space, or check the rights of the "
                "folder, and run the same command again: it goes on from here."
            ) from error

    def _has(self, path: Path) -> bool:
        try:
            return self._stamps.get(str(path)) == Stamp.of(path)
        except Exception:
            return False  # it will be refused in its turn

    def _agree(self) -> None:
        """Refuse a store made otherwise; describe a new one."""
        path, tools = self.folder / STORE, made_with()
        if not path.exists():
            values: dict[str, Any] = {"space": asdict(self.space), "space_id": self.space.id}
            values |= {"frame_layers": self.frame_layers, "made_with": tools}
            write_json(path, values)
            return
        space, frame_layers = read_description(self.folder)
        space.check_same(self.space, self.folder)
        if frame_layers != self.frame_layers:
            raise StoreError(
                f"{self.folder} keeps hidden states of {_layers(frame_layers)}, and now those of "
                f"{_layers(self.frame_layers)} are asked for. Ask for the same, or give another folder."
            )
        if (before := read_json_object(path).get("made_with")) != tools:
            log.warning("%s was begun with %s, and goes on with %s.", self.folder, before, tools)


def read_description(folder: Path) -> tuple[Space, tuple[int, ...]]:
    """The space of a store's vectors, and the layers whose hidden states it keeps."""
    path = folder / STORE
    if not path.is_file():
        raise StoreError(f"There is no store in {folder}. {CURE.format(folder)}")
    try:
        values = read_json_object(path)
        return space_from_values(values["space"], folder), tuple(values["frame_layers"])
    except (ContentError, KeyError, TypeError) as error:
        raise StoreError(f"{path} is damaged ({error!r}). Remove {folder} and make it again.") from None


def read_store(folder: Path) -> tuple[list[Track], Float[Tensor, "track dim"]]:
    """The tracks of a store and their vectors, in the order in which they were added.

    A file that has changed since it was added for the first time is there once, as it was added last.
    """
    space, _ = read_description(folder)
    newest = {line["path"]: line for line in _lines(folder)}
    if not newest:
        raise StoreError(f"{folder} holds no vectors yet. {CURE.format(folder)}")
    vectors = _array(folder / VECTORS, (space.dim,))
    rows = [line["row"] for line in newest.values()]
    if max(rows) >= len(vectors) or not np.isfinite(chosen := vectors[rows]).all():
        raise StoreError(
            f"{folder / VECTORS} is damaged: vectors are missing, or hold NaN or infinity. Remove {folder} "
            "and make it again."
        )
    return [_track(line) for line in newest.values()], torch.from_numpy(chosen)


def read_frames(folder: Path, content_hash: str) -> Float[np.ndarray, "layer frame dim"]:
    """Hidden states that a store keeps of a track, mapped from the disk; layers as in its store.json."""
    path = folder / FRAMES / f"{content_hash}.npy"
    if not path.is_file():
        raise StoreError(f"{folder} keeps no hidden states of {content_hash}. {CURE.format(folder)} --frames")
    space, layers = read_description(folder)
    width = space.dim // POOLS[space.pool]
    return _array(path, (len(layers), width)).swapaxes(0, 1)


def _array(path: Path, row_shape: tuple[int, ...]) -> Float[np.ndarray, "row ..."]:
    """An array of a store, mapped from the disk."""
    try:
        return mapped(path, row_shape, "float32")
    except ArrayError as error:
        raise StoreError(f"{path} is damaged ({error}). Remove {path.parent} and make it again.") from None


def _lines(folder: Path) -> list[dict[str, Any]]:
    """The lines of tracks.jsonl, each with all that is asked of it."""
    lines = read_lines(folder / TRACKS)
    for number, line in enumerate(lines, start=1):
        wrong = [name for name, kind in LINE.items() if not isinstance(line.get(name), kind)]
        if wrong or line["row"] < 0:
            raise StoreError(
                f"{folder / TRACKS}, line {number}, has no {(wrong or ['row'])[0]} that can be used. Remove "
                f"{folder} and make it again."
            )
    return lines


def made_with() -> dict[str, str]:
    """What the numbers depend on besides the model; tracks.jsonl names the decoder of each track."""
    return {"solfa": version("solfa"), "torch": torch.__version__, "resampler": RESAMPLER}


class _FrameFiles:
    """Hidden states on their way to the disk, of files that are read at the same time."""

    def __init__(self, folder: Path) -> None:
        self.arrays = ArrayFolder(folder, (None, None), "float32")
        self.arrays.begin()
        self._open: dict[Path, GrowingArray] = {}

    def add(self, path: Path, content_hash: str, states: Float[Tensor, "layer frame dim"]) -> None:
        if path not in self._open:
            n_layers, _, dim = states.shape
            self._open[path] = self.arrays.growing(content_hash, (n_layers, dim))
        self._open[path].append(states.transpose(0, 1).numpy())

    def finish(self, track: Track) -> None:
        self.arrays.keep(track.content_hash, self._open[track.path])
        del self._open[track.path]  # only now: what fails before is discarded

    def discard(self, path: Path) -> None:
        if array := self._open.pop(path, None):
            array.close()
            array.path.unlink(missing_ok=True)

    def close(self) -> None:
        for path in list(self._open):
            self.discard(path)


def _refused_line(refusal: Refusal) -> dict[str, str]:
    return {"path": str(refusal.path), "reason": refusal.reason, "mark": refusal.mark}


def _line(embedded: Embedded, row: int) -> dict[str, Any]:
    """What tracks.jsonl says about a track: a line of a manifest, and where its vector is."""
    values = track_values(embedded.track)
    return values | {"row": row, "n_frames": embedded.n_frames} | asdict(embedded.stamp)


def _track(line: dict[str, Any]) -> Track:
    names = ("seconds", "sample_rate", "content_hash", "tags", "decoder")
    return Track(
        path=Path(line["path"]), n_channels=line["channels"], damage=damage_of(line.get("damage", [])),
        **{name: line[name] for name in names},
    )  # fmt: skip


def _layers(layers: Sequence[int]) -> str:
    return f"layers {', '.join(map(str, layers))}" if layers else "no layer"
