"""Frames made beforehand: an array for each track, a row for each frame, mapped from the disk.

    DIR/codes.json         codes, and what they are: DIR/frames/HASH.npy is int16 (frame codebook)
    DIR/features.json      spectra, and how they are rounded: uint8 (frame step); see stored_spectra
    DIR/SHA256SUMS         of these arrays
    DIR/store.json         hidden states, as solfa embed --frames keeps them: float32 (frame layer dim)

HASH is the content of the track's file. An array has its name only once it is whole.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from solfa.arrays import ArrayError, ArrayFolder, Rows
from solfa.config import LATER, Codebooks, Config, Entries, Hertz, Hop, load_config, to_dict
from solfa.data.manifest import Track
from solfa.data.shards import SHARDS, ShardedArrays
from solfa.errors import SolfaError
from solfa.files import SUMS, append_text, read_sums, sha256, sum_line
from solfa.frames import FrameGrid
from solfa.json_files import ContentError, mend_lines, read_json_object, write_json

CODES, STORE, FRAMES = "codes.json", "store.json", "frames"
IS_NAME = re.compile(r"[^/\\\0]+")
LARGEST_CODEBOOK = 2**15  # entries that int16 can name
LABEL = "solfa data label {manifest} --target RUN --out {folder}"
EMBED = "solfa embed {manifest} --model RUN --layer LAYER --frames --out {folder}"


class StoredFramesError(SolfaError, ValueError):
    """Stored frames that cannot be used; the message names the cure."""


@dataclass(frozen=True)
class ClipCodes:
    """Stored codes of clips."""

    values: Int[Tensor, "clip codebook frame"]
    codebook_size: int
    grid: FrameGrid


@dataclass(frozen=True)
class ClipStates:
    """Stored hidden states of clips, of one layer."""

    values: Float[Tensor, "clip frame dim"]
    grid: FrameGrid
    source: str  # which encoder and layer


def source_of(encoder: str, layers: Sequence[int]) -> str:
    """What hidden states are of: the SHA-256 of an encoder, and numbers of its layers."""
    return f"encoder {encoder} layer {', '.join(map(str, layers))}"


class StoredFrames:
    """The arrays of a folder. ``command`` makes them.

    Args:
        folder: of the arrays.
        grid: where their frames lie.
        row_shape: of each frame.
        dtype: of its numbers.
    """

    command: str
    kind = ""  # by which shards know them, if they can be there

    def __init__(self, folder: Path, grid: FrameGrid, row_shape: tuple[int | None, ...], dtype: str) -> None:
        self.folder, self.grid = folder, grid
        self.arrays = ArrayFolder(folder / FRAMES, row_shape, dtype)
        is_sharded = bool(self.kind) and (folder / SHARDS).is_file()
        self.reading: ArrayFolder | ShardedArrays = (
            ShardedArrays(folder, self.kind, row_shape, dtype) if is_sharded else self.arrays
        )

    def path(self, content_hash: str) -> Path:
        """Where the array of a track is, or will be.

        Raises:
            StoredFramesError: a manifest states a content that would name a file elsewhere.
        """
        if not IS_NAME.fullmatch(content_hash):
            raise StoredFramesError(f"{content_hash!r:.80} is no content_hash. Prepare the manifest again.")
        return self.arrays.path(content_hash)

    def holds(self, content_hash: str, n_frames: int) -> bool:
        """Whether so many frames are there, undamaged; fewer are if a stretch of the file was stored."""
        try:
            return self.path(content_hash).is_file() and len(self.arrays[content_hash]) >= n_frames
        except ArrayError:
            return False

    def require(self, tracks: Sequence[Track]) -> None:
        """Raise StoredFramesError if some tracks have no array, or are stretches of the files that have."""
        stretch = next((track for track in tracks if track.start_seconds), None)
        if stretch:
            raise StoredFramesError(
                f"{stretch.path} stands in the manifest as a stretch from {stretch.start_seconds:g} s on, "
                f"and {self.folder} knows whole files. Use the manifest of the whole files, or prepare the "
                "stretch as a file of its own."
            )
        stored = self.reading.keys()
        missing = [track for track in tracks if track.content_hash not in stored]
        if missing:
            raise StoredFramesError(
                f"{self.folder} has nothing of {len(missing)} of {len(tracks)} tracks, for instance of "
                f"{missing[0].path}. Add them with: "
                f"{self.command.format(manifest='MANIFEST', folder=self.folder)} (it says which cannot be "
                "added, and why; take those out of the manifest)."
            )

    def n_frames(self, content_hash: str) -> int:
        """Frames of a track."""
        return len(self._array(content_hash))

    def rows(self, content_hash: str, start: int, stop: int) -> Shaped[np.ndarray, "frame ..."]:
        """Frames ``start`` to ``stop`` of a track; zeros beyond its ends."""
        array = self._array(content_hash)
        inside = array[max(0, start) : max(0, stop)]
        rows = np.zeros((stop - start, *inside.shape[1:]), array.dtype)
        first = max(0, -start)
        rows[first : first + len(inside)] = inside
        return rows

    def _array(self, content_hash: str) -> Rows:
        path = self.path(content_hash)
        if content_hash not in self.reading:
            raise StoredFramesError(
                f"{self.folder} has nothing of the track with content {content_hash}. Make it with: "
                f"{self.command.format(manifest='MANIFEST', folder=self.folder)}"
            )
        try:
            return self.reading[content_hash]
        except ArrayError as error:
            raise self.damaged(path, str(error)) from None

    def damaged(self, path: Path, why: str) -> StoredFramesError:
        """The error of an array that is there and of no use."""
        return StoredFramesError(
            f"{path} is damaged ({why}). Remove it and make it again with: "
            f"{self.command.format(manifest='MANIFEST', folder=self.folder)}"
        )


class SummedFrames(StoredFrames):
    """Arrays that a command of ours wrote, each with its SHA-256 beside it."""

    def __init__(self, folder: Path, grid: FrameGrid, row_shape: tuple[int | None, ...], dtype: str) -> None:
        super().__init__(folder, grid, row_shape, dtype)
        self._sums = {Path(name).stem: sum_ for sum_, name in read_sums(folder)}

    def clear_up(self) -> None:
        """Before writing: remove what a killed run left half written."""
        mend_lines(self.folder / SUMS)
        self.arrays.begin()

    def write(self, content_hash: str, array: Shaped[np.ndarray, "frame ..."]) -> None:
        """Store the frames of a track, whole or not at all, in the numbers of the folder.

        Raises:
            WriteError: the disk is full or does not take them.
        """
        path = self.path(content_hash)
        self.arrays[content_hash] = array.astype(self.arrays.dtype)
        self._sums[content_hash] = sha256(path)
        append_text(self.folder / SUMS, sum_line(self._sums[content_hash], f"{FRAMES}/{path.name}"))

    def _array(self, content_hash: str) -> Rows:
        """The frames of a track; read whole, and compared with their sum, when they are asked for first."""
        array = super()._array(content_hash)
        # A track that was stored before there were sums has none, and is taken as it is.
        known = self._sums.pop(content_hash, None)
        if known is not None and sha256(self.path(content_hash)) != known:
            self._sums[content_hash] = known
            raise self.damaged(self.path(content_hash), f"its SHA-256 is not the one in {SUMS}")
        return array


@dataclass(frozen=True, kw_only=True)
class CodesDescription(Config):
    """What the codes of a folder are; stands in its ``codes.json``."""

    n_codebooks: Codebooks
    codebook_size: Entries
    sample_rate: Hertz  # Hz
    hop_length: Hop  # samples
    target: str  # that made them: the run folder, as it was named
    target_id: str  # SHA-256 of its configuration and weights
    source: str  # what it saw: "audio", or which encoder's hidden states
    license: str = field(default="", metadata=LATER)  # of that encoder's weights, as far as it is known

    @property
    def grid(self) -> FrameGrid:
        """Where the codes lie."""
        return FrameGrid(self.sample_rate, self.hop_length)


class StoredCodeFrames(SummedFrames):
    """Codes of tracks, in a folder that ``solfa data label`` fills.

    Raises:
        StoredFramesError: there are none in ``folder``.
    """

    command = LABEL
    kind = "codes"

    def __init__(self, folder: Path) -> None:
        if not (folder / CODES).is_file():
            raise StoredFramesError(
                f"There are no codes in {folder}. Make them with: "
                f"{LABEL.format(manifest='MANIFEST', folder=folder)}"
            )
        self.description = load_config(CodesDescription, folder / CODES)
        super().__init__(folder, self.description.grid, (self.description.n_codebooks,), "int16")

    @classmethod
    def begin(cls, folder: Path, description: CodesDescription) -> "StoredCodeFrames":
        """A new folder, or one to be gone on with.

        Raises:
            StoredFramesError: the folder holds codes of another target, or a codebook is too large.
        """
        if description.codebook_size > LARGEST_CODEBOOK:
            raise StoredFramesError(
                f"Codes are stored in 16 bits, which name {LARGEST_CODEBOOK} entries, not "
                f"{description.codebook_size}. Use smaller codebooks, and more of them."
            )
        if not (folder / CODES).exists():
            write_json(folder / CODES, to_dict(description))
        codes = cls(folder)
        codes.clear_up()
        before = codes.description
        if (before.target_id, before.source) != (description.target_id, description.source):
            raise StoredFramesError(
                f"{folder} holds codes of another target, {before.target}; now they would be of "
                f"{description.target}. Name that one, or give another folder."
            )
        return codes

    def rows(self, content_hash: str, start: int, stop: int) -> Int[np.ndarray, "frame codebook"]:
        """As of every such folder; codes that the codebooks do not have are refused."""
        rows = super().rows(content_hash, start, stop)
        if rows.size and not 0 <= rows.min() <= rows.max() < self.description.codebook_size:
            raise self.damaged(self.path(content_hash), "it holds codes that no codebook has")
        return rows


class StoredHiddenStates(StoredFrames):
    """Hidden states of one layer, in a folder that ``solfa embed --frames`` filled.

    Args:
        folder: of the embedding store.
        layer: its number; may be None if the store keeps one layer only.

    Raises:
        StoredFramesError: there are none in ``folder``, or not of that layer.
    """

    command = EMBED

    def __init__(self, folder: Path, layer: int | None) -> None:
        space, layers = _read_store(folder)
        grid = FrameGrid.of_rates(space["sample_rate"], space["frame_rate"])
        super().__init__(folder, grid, (len(layers), None), "float32")
        if not layers:
            raise StoredFramesError(
                f"{folder} holds vectors without hidden states. Make those in another folder with: "
                f"{EMBED.format(manifest='MANIFEST', folder='HIDDEN')}"
            )
        wanted = layers[0] if layer is None and len(layers) == 1 else layer
        if wanted not in layers:
            raise StoredFramesError(
                f"{folder} keeps the layers {', '.join(map(str, layers))}, and layer {layer} is asked for. "
                "Choose one of them with --set data.frames_layer=NUMBER, or, of a teacher's, some with --set "
                "data.teacher_layers=[NUMBER]."
            )
        self.layer: int = wanted
        self.place = layers.index(self.layer)
        self.encoder, self.license = str(space["weights"]), str(space.get("license", ""))
        self.model = str(space.get("model", ""))  # as it was loaded
        self.source = source_of(self.encoder, [self.layer])

    @property
    def dim(self) -> int | None:
        """Width of the states; None if there are none yet."""
        first = next(iter(self.arrays.keys()), None)
        return None if first is None else int(self._array(first).shape[1])

    def rows(self, content_hash: str, start: int, stop: int) -> Float[np.ndarray, "frame dim"]:
        """As of every such folder; hidden states that are no numbers are refused."""
        rows = super().rows(content_hash, start, stop)
        if not np.isfinite(rows).all():
            raise self.damaged(self.path(content_hash), "it holds NaN or infinity")
        return rows

    def _array(self, content_hash: str) -> Float[np.ndarray, "frame dim"]:
        return np.asarray(super()._array(content_hash))[:, self.place]


def stored_layers(folder: Path) -> tuple[int, ...]:
    """Numbers of the layers whose hidden states a folder keeps.

    Raises:
        StoredFramesError: there are none, or the folder is damaged.
    """
    layers = tuple(_read_store(folder)[1])
    if not layers:
        raise StoredFramesError(
            f"{folder} holds one vector for each track and no frames. Make those in another folder with: "
            f"{EMBED.format(manifest='MANIFEST', folder='HIDDEN')}"
        )
    return layers


def _read_store(folder: Path) -> tuple[dict[str, Any], list[int]]:
    """The space of a store, and the layers that it keeps."""
    path = folder / STORE
    if not path.is_file():
        raise StoredFramesError(
            f"There are no hidden states in {folder}. Make them with: "
            f"{EMBED.format(manifest='MANIFEST', folder=folder)}"
        )
    try:
        values = read_json_object(path)
        space, layers = values["space"], list(values["frame_layers"])
        FrameGrid.of_rates(space["sample_rate"], space["frame_rate"])
        if not all(isinstance(layer, int) for layer in layers):
            raise TypeError("layers are numbers")
        str(space["weights"])
    except ContentError as error:
        raise StoredFramesError(f"{error} Remove {folder} and make it again.") from None
    except (KeyError, TypeError, ValueError, ArithmeticError) as error:
        raise StoredFramesError(
            f"{path} is damaged ({error!r}). Remove {folder} and make it again."
        ) from None
    return space, layers
