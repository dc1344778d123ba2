"""Items of a task -> features of every layer, computed once and kept in a folder.

    DIR/features.json      what they are: encoder, clip rule, layers
    DIR/files.jsonl        content of each file, so that a second run need not read it
    DIR/items/KEY.npy      float32 (clip layer dim): means over time; or float16 (frame layer dim)

KEY is the content of the file and the stretch of it. An array has its name only once it is whole. Where an
encoder's frames are computed, the means of their clips are kept too, in the folder that has them.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from solfa.arrays import ArrayError, ArrayFolder
from solfa.config import load_config, to_dict
from solfa.data.prepare import Refused
from solfa.embedding import Precision, Stamp, WindowConfig, default_windows, fingerprint, hash_content
from solfa.embedding.options import check_is_ready
from solfa.embedding.space import POOLS, Pool
from solfa.errors import ArgumentError, SolfaError
from solfa.json_files import append_lines, mend_lines, read_lines, write_json
from solfa.models import AudioEncoder
from solfa.models.mulan import ClipEncoder
from solfa.probing.baselines import Baseline
from solfa.probing.clip_features import FeaturesConfig, ItemRows, compute_rows, frames_of_clip
from solfa.tasks.base import Item, Task

DESCRIPTION, FILES, ITEMS = "features.json", "files.jsonl", "items"
CLIP_MARGIN_SECONDS = 1.0  # that a window is longer than a clip: a clip must not become two windows


class FeaturesError(SolfaError, ValueError):
    """Stored features that are damaged; the message names the cure."""


@dataclass(frozen=True)
class Features:
    """The features of a task's items, on the disk."""

    folder: Path
    config: FeaturesConfig
    kept: tuple[tuple[Item, str], ...]  # items, and the keys of their arrays
    refused: tuple[Refused, ...]
    n_computed: int  # arrays that were not there before

    def array(self, key: str) -> Float[np.ndarray, "row layer dim"]:
        """The rows of an item; frames stay on the disk. Raises FeaturesError if they are damaged."""
        arrays = _arrays(self.folder)
        try:
            rows = arrays[key]
        except ArrayError as error:
            raise FeaturesError(
                f"{arrays.path(key)} is damaged ({error}). Remove it, and probe again."
            ) from None
        # No map any more, whose slices cost several times as much; means are few, and read at once.
        return np.asarray(rows) if self.config.rows == "frames" else np.array(rows)

    def state_dim(self, dim: int) -> int:
        """Numbers of a single state, where a row of a clip has ``dim``."""
        return dim // POOLS[self.config.pool]

    def frame_times(self, n_frames: int) -> Float[np.ndarray, "frame"]:
        """Where the frames of an item start, in seconds from its beginning.

        Clips begin on multiples of their length, which need not be a multiple of a frame's.
        """
        times = self.config.grid.frame_times(n_frames)
        if self.config.clip_seconds is None or self.config.frames_per_clip is None:
            return times
        clip, frame = np.divmod(np.arange(n_frames), self.config.frames_per_clip)
        return clip * self.config.clip_seconds + times[frame]


def extract(
    task: Task,
    items: Sequence[Item],
    encoder: AudioEncoder | Baseline,
    folder: Path,
    *,
    layers: Sequence[int] | None = None,
    pool: Pool = "mean",
    precision: Precision = "float32",
    keeps_frames: bool = False,
    progress: Callable[[int, str], None] = lambda done, note: None,
) -> Features:
    """Features of ``items``, computed unless they are in ``folder`` already.

    Args:
        task: says how items are cut, and whether frames are wanted.
        items: of any split.
        encoder: it is put into eval mode. A baseline has features of its own for clips and for frames.
        folder: features of each encoder and clip rule get a folder of their own in it.
        layers: numbers of the layers, as in ``HiddenStates``; all if omitted.
        pool: of the frames of a clip; where frames are wanted, of the clips that are kept beside them.
        precision: of the forward pass.
        keeps_frames: whether frames are kept of clips, too, as a baseline gives them for frames.
        progress: is told how many items are done, with a name.

    Raises:
        NotFiniteError: the encoder answers with NaN, and no file is to blame.
    """
    reads_frames = has_frames(task) or keeps_frames
    gives_means = reads_frames and not _has_another_for_clips(encoder)
    encoder, is_raw = _encoder_for(encoder, reads_frames)
    encoder.eval()
    check_is_ready(encoder, precision)
    plain = _describe(task, encoder, layers or range(encoder.n_layers + 1), precision)
    config = replace(plain, pool=pool, is_raw=is_raw, rows="frames" if reads_frames else "clips")
    means = _means(folder, config) if gives_means else None
    config = _with_frames_averaged(config, task.clips.frame_rate)
    place = folder / config.id  # tasks that cut the same recordings in the same way share it
    arrays = _begin(place, config)
    keys, refused = _keys(place, items)
    wanted = {key: item for item, key in keys.items() if key not in arrays}
    n_there, n_refused = len(items) - len(wanted) - len(refused), len(refused)
    for n_done, (key, outcome) in enumerate(compute_rows(wanted, encoder, config), n_there + 1):
        if isinstance(outcome, Refused):
            refused.append(outcome)
        else:
            _keep(key, outcome, arrays, means)
        progress(n_done, wanted[key].path.name)
    kept = tuple((item, key) for item, key in keys.items() if key in arrays)
    return Features(place, config, kept, tuple(refused), len(wanted) - len(refused) + n_refused)


def _keep(key: str, rows: ItemRows, arrays: ArrayFolder, means: ArrayFolder | None) -> None:
    """Store what was computed of an item."""
    if means:
        means[key] = _joined(rows.means)
    arrays[key] = _joined(rows.frames or rows.means)


def has_frames(task: Task) -> bool:
    """Whether the features of a task are frames, and not means over clips."""
    return task.kind.reads_frames


def _has_another_for_clips(encoder: AudioEncoder | Baseline) -> bool:
    return isinstance(encoder, Baseline) and encoder.clips is not encoder.frames


def _encoder_for(encoder: AudioEncoder | Baseline, reads_frames: bool) -> tuple[AudioEncoder, bool]:
    """What encodes the clips or frames of a task, and whether its numbers have no common scale."""
    if not isinstance(encoder, Baseline):
        return encoder, False
    return (encoder.frames if reads_frames else encoder.clips), encoder.is_raw


def _describe(
    task: Task, encoder: AudioEncoder, layers: Sequence[int], precision: Precision
) -> FeaturesConfig:
    windows, seconds = default_windows(encoder), task.clips.seconds
    if seconds is not None and not isinstance(encoder, ClipEncoder):
        margin = max(CLIP_MARGIN_SECONDS, 1 / encoder.frame_rate)
        windows = WindowConfig(window_seconds=seconds + margin, context_seconds=0.0)
    return FeaturesConfig(
        weights=fingerprint(encoder),
        rows="frames" if has_frames(task) else "clips",
        layers=tuple(layers),
        sample_rate=encoder.sample_rate,
        hop_length=encoder.grid.hop_length,
        clip_seconds=seconds,
        frames_per_clip=None if seconds is None else frames_of_clip(encoder, seconds),
        min_ratio=task.clips.min_ratio,
        channel=task.clips.channel,
        n_most=task.clips.n_most,
        window_seconds=windows.window_seconds,
        context_seconds=windows.context_seconds,
        wraps=windows.wraps,
        precision=precision,
    )


def _with_frames_averaged(config: FeaturesConfig, frame_rate: float | None) -> FeaturesConfig:
    """With as few frames, of the mean of several of the encoder's, as there are at that rate or above it."""
    if config.rows == "clips" or frame_rate is None:
        return config
    n_in_one = max(1, int(config.grid.frame_rate / frame_rate))
    n_frames = config.frames_per_clip
    return replace(
        config,
        hop_length=config.hop_length * n_in_one,
        frames_per_clip=None if n_frames is None else -(-n_frames // n_in_one),
    )


def _begin(place: Path, config: FeaturesConfig) -> ArrayFolder:
    """The arrays of a folder, which is made if it is not there."""
    arrays = _arrays(place)
    arrays.begin()
    if not (place / DESCRIPTION).exists():
        write_json(place / DESCRIPTION, to_dict(config))
    elif load_config(FeaturesConfig, place / DESCRIPTION) != config:
        raise ArgumentError(f"{place / DESCRIPTION} was changed. Remove {place} and run again.")
    mend_lines(place / FILES)
    return arrays


def _arrays(place: Path) -> ArrayFolder:
    return ArrayFolder(place / ITEMS, (None, None), dtype=None)  # means are float32, frames float16


def _means(folder: Path, config: FeaturesConfig) -> ArrayFolder:
    """Where the means of clips are kept whose frames are those of ``config``."""
    means = replace(config, rows="clips")
    return _begin(folder / means.id, means)


def _keys(place: Path, items: Sequence[Item]) -> tuple[dict[Item, str], list[Refused]]:
    """The key of each item, and the files that cannot be read; content is hashed where a file is new."""
    known = {(line["path"], line["n_bytes"], line["modified_ns"]): line for line in read_lines(place / FILES)}
    hashes: dict[Path, str | Refused] = {}
    new = []
    for path in dict.fromkeys(item.path for item in items):
        try:
            stamp = Stamp.of(path)
            line = known.get((str(path), stamp.n_bytes, stamp.modified_ns))
            hashes[path] = line["content_hash"] if line else hash_content(path)
            if not line:
                new.append({"path": str(path), **asdict(stamp), "content_hash": hashes[path]})
        except OSError as error:
            reason = f"cannot be read ({error.strerror}); check the file and its permissions"
            hashes[path] = Refused(path=path, reason=reason)
    append_lines(place / FILES, new)
    keys = {
        item: hashlib.sha256(f"{content} {item.start} {item.seconds}".encode()).hexdigest()[:32]
        for item in items
        if isinstance(content := hashes[item.path], str)
    }
    return keys, [found for found in hashes.values() if isinstance(found, Refused)]


def _joined(rows: Sequence[Tensor]) -> Float[np.ndarray, "row layer dim"]:
    return torch.cat(list(rows)).numpy()
