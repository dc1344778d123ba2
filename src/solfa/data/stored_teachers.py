"""What teachers say of tracks, stored once: an array for each teacher and track, a row for each frame.

    DIR/TEACHER/teacher.json       who it is: licence, hash, and what stands in a row
    DIR/TEACHER/frames/HASH.npy    float16, or uint8 (frame column), on the frames of the encoder that learns

In 8 bits a class is its number, a probability is in steps of 1/254, and 255 says that nothing is said.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float, Shaped
from torch import Tensor

from solfa.config import Config, Hertz, Hop, Width, load_config, to_dict
from solfa.data.stored_frames import StoredFramesError, SummedFrames
from solfa.frames import FrameGrid
from solfa.json_files import write_json

TEACHER = "teacher.json"
TEACH = "solfa data teach {manifest} --teacher NAME --out {folder}"
LARGEST, NOTHING = 254, 255  # of 8 bits
RESTRICTED = re.compile(
    r"(?<![a-z])nc(?![a-z])|non[-_ ]?commercial|(?<![a-z])agpl|affero"
    r"|research[- ]only|for research|academic use"
    r"|all rights reserved|not stated",
    re.IGNORECASE,
)


@dataclass(frozen=True, kw_only=True)
class ColumnsConfig(Config):
    """Numbers of a row that belong together."""

    name: str
    width: Width
    form: Literal["vector", "probability", "class"]  # a class is one number
    labels: tuple[str, ...] = ()  # what each number, or each class, is called


@dataclass(frozen=True, kw_only=True)
class TeacherDescription(Config):
    """Who a teacher is and what it says of a frame; stands in its ``teacher.json``."""

    name: str
    license: str  # of its weights, or of the labels
    fingerprint: str  # SHA-256 of its weights, or of the file of labels
    columns: tuple[ColumnsConfig, ...]
    numbers: Literal["float16", "uint8"]
    sample_rate: Hertz = 24_000  # Hz
    hop_length: Hop = 960  # samples; of the encoder that learns
    is_partial: bool = False  # it may say nothing of some tracks, as exact labels do

    @property
    def grid(self) -> FrameGrid:
        """Where its frames lie."""
        return FrameGrid(self.sample_rate, self.hop_length)

    @property
    def width(self) -> int:
        """Numbers of a row."""
        return sum(columns.width for columns in self.columns)

    @property
    def is_class(self) -> list[bool]:
        """Which numbers of a row are classes."""
        return [columns.form == "class" for columns in self.columns for _ in range(columns.width)]

    def place(self, name: str) -> slice:
        """Where the columns of that name stand in a row.

        Raises:
            StoredFramesError: there are none.
        """
        first = 0
        for columns in self.columns:
            if columns.name == name:
                return slice(first, first + columns.width)
            first += columns.width
        known = ", ".join(columns.name for columns in self.columns)
        raise StoredFramesError(f"{self.name} says nothing of {name}. Choose one of: {known}.")


@dataclass(frozen=True)
class ClipTeaching:
    """What a teacher says of clips, frame by frame."""

    values: Float[Tensor, "clip frame column"]  # NaN where it says nothing
    description: TeacherDescription

    def column(self, name: str) -> Float[Tensor, "clip frame width"]:
        """The numbers of one name. Raises StoredFramesError if there are none."""
        return self.values[:, :, self.description.place(name)]


class StoredTeacher(SummedFrames):
    """What one teacher says of tracks, in a folder that ``solfa data teach`` fills.

    Raises:
        StoredFramesError: there is none in ``folder``.
    """

    command = TEACH

    def __init__(self, folder: Path) -> None:
        if not (folder / TEACHER).is_file():
            raise StoredFramesError(
                f"There is no teacher in {folder}. Store what one says with: "
                f"{TEACH.format(manifest='MANIFEST', folder=folder.parent)}"
            )
        self.description = load_config(TeacherDescription, folder / TEACHER)
        width, numbers = self.description.width, self.description.numbers
        super().__init__(folder, self.description.grid, (width,), numbers)

    @classmethod
    def begin(cls, folder: Path, description: TeacherDescription) -> "StoredTeacher":
        """A new folder, or one to be gone on with.

        Raises:
            StoredFramesError: the folder holds what another teacher says.
        """
        if not (folder / TEACHER).exists():
            write_json(folder / TEACHER, to_dict(description))
        stored = cls(folder)
        if stored.description != description:
            raise StoredFramesError(
                f"{folder} holds what another {stored.description.name} says, with the hash "
                f"{stored.description.fingerprint:.12}; now it is {description.fingerprint:.12}, or says "
                "other things. Give another folder."
            )
        stored.clear_up()
        return stored

    def write_values(self, content_hash: str, values: Float[np.ndarray, "frame column"]) -> None:
        """Store what it says of a track, NaN where it says nothing; errors as of ``write``."""
        self.write(content_hash, self._stored(values))

    def values(self, content_hash: str, start: int, stop: int) -> Float[np.ndarray, "frame column"]:
        """Frames ``start`` to ``stop`` of a track; NaN where nothing is said."""
        rows = self.rows(content_hash, start, stop)
        if self.description.numbers == "float16":
            return rows.astype(np.float32)
        values = np.where(self.description.is_class, rows, rows / np.float32(LARGEST))
        return np.where(rows == NOTHING, np.nan, values).astype(np.float32)

    def _stored(self, values: Float[np.ndarray, "frame column"]) -> Shaped[np.ndarray, "frame column"]:
        if self.description.numbers == "float16":
            return values.clip(-65_000, 65_000).astype(np.float16)
        steps = np.where(self.description.is_class, values, values * LARGEST)
        return np.where(np.isnan(values), NOTHING, steps.round().clip(0, LARGEST)).astype(np.uint8)


def stored_teachers(folder: Path) -> list[StoredTeacher]:
    """All teachers of a store, by their names.

    Raises:
        StoredFramesError: there is none.
    """
    found = sorted(path.parent for path in folder.glob(f"*/{TEACHER}"))
    if not found:
        raise StoredFramesError(
            f"There are no teachers in {folder}. Store what they say with: "
            f"{TEACH.format(manifest='MANIFEST', folder=folder)}"
        )
    return [StoredTeacher(path) for path in found]


def is_restricted(license: str) -> bool:
    """Whether a licence forbids commerce or other uses, or binds whoever serves what is made of it (AGPL)."""
    return RESTRICTED.search(license) is not None


def refuse_restricted(descriptions: Sequence[TeacherDescription], cure: str) -> None:
    """Refuse teachers whose licence binds a model that learns from them.

    Raises:
        StoredFramesError: one of them is restricted; it names the cure.
    """
    for one in descriptions:
        if is_restricted(one.license):
            raise StoredFramesError(
                f"The licence of {one.name} is {one.license}: it binds, or may bind, what learns from it. "
                f"Leave it out; or, if you accept that, {cure}: the model's card will say so."
            )
