"""PooledVectors: a folder with one vector for each track of a manifest, a stretch of a file or a whole one.

    DIR/pooled.json    which encoder and layers the vectors are of
    DIR/rows.jsonl     a line for each: content, start and length of the stretch, and its row
    DIR/vectors.npy    float32 (row pooled)

A row is on the disk before the line that names it; what a killed run left half written, the next cuts off.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from solfa.arrays import ArrayError, GrowingArray, mapped
from solfa.config import Config, from_dict
from solfa.data.manifest import Track
from solfa.data.stored_frames import StoredFramesError
from solfa.json_files import append_lines, mend_lines, read_json_object, read_lines, write_json

DESCRIPTION, ROWS, VECTORS = "pooled.json", "rows.jsonl", "vectors.npy"


@dataclass(frozen=True, kw_only=True)
class PooledDescription(Config):
    """Of which encoder's layers the vectors are: mean and deviation over time of each, side by side."""

    encoder: str  # SHA-256 of its configuration and weights
    layers: tuple[int, ...]
    dim: int  # of a vector
    sample_rate: int  # Hz


class PooledVectors:
    """A folder of pooled vectors, to be read. Raises StoredFramesError if it holds none."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.description = read_description(folder)
        self._row = {key(row): int(row["row"]) for row in read_lines(folder / ROWS)}
        self._vectors: Float[np.ndarray, "row pooled"] | None = None

    def __contains__(self, track: Track) -> bool:
        return key_of(track) in self._row

    def __getitem__(self, track: Track) -> Float[np.ndarray, " pooled"]:
        """The vector of a track."""
        if self._vectors is None:
            try:
                self._vectors = mapped(self.folder / VECTORS, (self.description.dim,), "float32")
            except (ArrayError, OSError) as error:
                raise StoredFramesError(f"{self.folder} is damaged: {error}. {_cure(self.folder)}") from None
        return self._vectors[self._row[key_of(track)]]

    def require(self, tracks: Sequence[Track]) -> None:
        """Refuse tracks without a vector. Raises StoredFramesError."""
        missing = [track for track in tracks if track not in self]
        if missing:
            raise StoredFramesError(
                f"{self.folder} has no vectors of {len(missing)} of {len(tracks)} tracks, as "
                f"{missing[0].path}. {_cure(self.folder)}"
            )


class GrowingPooledVectors:
    """A folder of pooled vectors to which some are added; use it in a ``with`` statement.

    Raises:
        StoredFramesError: the folder holds vectors of another encoder, or of other layers.
    """

    def __init__(self, folder: Path, description: PooledDescription) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        if (folder / DESCRIPTION).exists() and read_description(folder) != description:
            raise StoredFramesError(
                f"{folder} holds vectors of another encoder or of other layers. Choose another folder."
            )
        write_json(folder / DESCRIPTION, asdict(description))
        mend_lines(folder / ROWS)
        rows = read_lines(folder / ROWS)
        self.known = {key(row) for row in rows}
        n_rows = max((int(row["row"]) for row in rows), default=-1) + 1
        self._vectors = GrowingArray(folder / VECTORS, (description.dim,), n_rows)

    def __enter__(self) -> "GrowingPooledVectors":
        return self

    def __exit__(self, *error: object) -> None:
        self._vectors.close()

    def add(self, tracks: Sequence[Track], vectors: Float[np.ndarray, "track pooled"]) -> None:
        """Keep the vectors of some tracks."""
        first = self._vectors.append(vectors)
        self._vectors.flush()
        rows = [
            {"content_hash": c, "start_seconds": start, "seconds": seconds, "row": first + n}
            for n, (c, start, seconds) in enumerate(map(key_of, tracks))
        ]
        append_lines(self.folder / ROWS, rows)
        self.known |= {key(row) for row in rows}


def key_of(track: Track) -> tuple[str, float, float]:
    """What a stretch is known by: the content of its file, where it begins, and how long it lasts."""
    return track.content_hash, round(track.start_seconds, 3), round(track.seconds, 3)


def key(row: dict[str, Any]) -> tuple[str, float, float]:
    """Likewise, of a line."""
    return str(row["content_hash"]), float(row["start_seconds"]), float(row["seconds"])


def read_description(folder: Path) -> PooledDescription:
    """What the vectors of a folder are. Raises StoredFramesError."""
    try:
        return from_dict(PooledDescription, read_json_object(folder / DESCRIPTION))
    except (ValueError, OSError) as error:
        raise StoredFramesError(f"{folder} holds no pooled vectors ({error}). {_cure(folder)}") from None


def _cure(folder: Path) -> str:
    return f"Make them with: solfa data pool MANIFEST --model MODEL --out {folder}"
