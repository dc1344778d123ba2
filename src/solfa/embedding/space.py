"""Space: which model made a vector, and how. Vectors of different spaces cannot be compared."""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from solfa.config import Precision
from solfa.errors import ArgumentError, SolfaError

Pool = Literal["mean", "mean+std"]  # of the frames of a track; the second gives vectors twice as long
POOLS: dict[Pool, int] = {"mean": 1, "mean+std": 2}


def check_pool(pool: Any) -> None:
    """Refuse a way of pooling that nobody knows."""
    if not isinstance(pool, str) or pool not in POOLS:
        raise ArgumentError(f"There is no pool {pool!r:.80}. Known are {' and '.join(map(repr, POOLS))}.")


@dataclass(frozen=True, kw_only=True)
class WindowConfig:
    """Lengths of windows and their overlap."""

    window_seconds: float = 30.0
    context_seconds: float = 5.0  # on each side
    # The last window is filled up from the track's beginning, instead of starting earlier to be as long as
    # the others: the rule of MuQ-MuLan's clips. A track of less than half a window is heard twice.
    wraps: bool = False

    def __post_init__(self) -> None:
        if not math.isfinite(self.window_seconds):
            raise ArgumentError(f"Windows last some seconds, not {self.window_seconds:g}. The default is 30.")
        if not 0 <= 2 * self.context_seconds < self.window_seconds:
            raise ArgumentError(
                f"Windows of {self.window_seconds:g} s have no centre between two contexts of "
                f"{self.context_seconds:g} s. Make window_seconds more than twice context_seconds."
            )
        if self.wraps and self.context_seconds:
            raise ArgumentError("Windows that wrap have no context. Set context_seconds to 0.")


class SpaceError(SolfaError, ValueError):
    """Vectors of different spaces would be mixed; the message names the difference and the cure."""


@dataclass(frozen=True, kw_only=True)
class Space:
    """Which model made vectors, and how.

    Two spaces are the same if all fields are, except ``model`` and ``license``: names change, weights do not.
    """

    model: str  # as it was loaded: a published name or a folder
    weights: str  # SHA-256 of configuration and weights
    license: str  # of the weights
    layer: int
    pool: Pool
    dim: int  # of a vector
    sample_rate: int  # Hz
    frame_rate: float  # Hz
    window_seconds: float
    context_seconds: float
    wraps: bool = False  # the last window is filled up from the beginning
    precision: Precision = "float32"  # half precisions round vectors

    @property
    def id(self) -> str:
        """The same for equal spaces, another for different ones."""
        return hashlib.sha256(json.dumps(self._what_counts(), sort_keys=True).encode()).hexdigest()[:16]

    @property
    def model_name(self) -> str:
        """The name of the model, without the way to its folder; published names stay as they are."""
        is_place = self.model.startswith(("/", "~", ".")) or Path(self.model).is_absolute()
        return Path(self.model).name if is_place else self.model

    @property
    def windows(self) -> WindowConfig:
        """Lengths of windows and their overlap."""
        return WindowConfig(
            window_seconds=self.window_seconds, context_seconds=self.context_seconds, wraps=self.wraps
        )

    def check_same(self, other: "Space", place: Path) -> None:
        """Refuse to mix vectors of ``other`` with those of this space, which are in ``place``."""
        mine, theirs = self._what_counts(), other._what_counts()
        if mine == theirs:
            return
        different = ", ".join(f"{n} {theirs[n]} instead of {mine[n]}" for n in mine if mine[n] != theirs[n])
        raise SpaceError(
            f"{place} holds vectors of {self.model} (space {self.id}), and these would be of {other.model} "
            f"(space {other.id}): {different}. Vectors of two spaces cannot be compared: give the model, "
            "layer and precision that it was made with, or another place."
        )

    def _what_counts(self) -> dict[str, Any]:
        return {name: value for name, value in asdict(self).items() if name not in ("model", "license")}


def space_from_values(values: Mapping[str, Any], place: Path) -> Space:
    """The space that ``dataclasses.asdict`` turned into ``values``, as found in ``place``."""
    expected = {field.name for field in fields(Space)}
    values = dict[str, Any](precision="float32", wraps=False) | dict(
        values
    )  # so it was before there was a choice
    if expected != values.keys():
        raise SpaceError(
            f"{place} was written by another version of solfa: its space has the fields {sorted(values)} "
            f"instead of {sorted(expected)}. Make it again in another place."
        )
    try:
        return TypeAdapter(Space).validate_json(json.dumps(values))
    except ValidationError as error:
        wrong = ", ".join(str(problem["loc"][0]) for problem in error.errors())
        raise SpaceError(
            f"{place} is damaged: its space has no {wrong} that can be used. Make it again in another place."
        ) from None
