"""Train or valid: on which side a group of takes stands, so that each part of a corpus is on both.

A group is drawn by its name. Where the valid side would have less than its least share of a part, the next
new group goes there, whatever it drew (but not before there is something to train on). What a corpus has
heard on one side stays there while it grows.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

VALID_SHARE = 0.05  # of groups, by their names
LEAST_VALID_SHARE = 0.03  # of the seconds of each part


def draw(purpose: str, name: str) -> float:
    """A number in [0, 1) that belongs to a name."""
    return int(hashlib.sha256(f"{purpose} {name}".encode()).hexdigest()[:12], 16) / 16**12


@dataclass
class Sides:
    """The sides of one part's groups, asked take by take in the order of the part.

    The answers follow from the takes asked for so far, and from ``known``: one that is asked for more goes on
    as it began, and one that knows its own answers gives them again.
    """

    known: Mapping[str, str]  # group -> side that it has in the corpus already
    seconds: dict[str, float] = field(default_factory=lambda: {"train": 0.0, "valid": 0.0})
    sides: dict[str, str] = field(default_factory=dict)  # of groups that were asked for

    def of(self, group: str, seconds: float) -> str:
        """The side of a take of ``group`` that lasts ``seconds``."""
        side = self.sides.get(group) or self.known.get(group) or self._of_new(group, seconds)
        self.sides[group] = side
        self.seconds[side] += seconds
        return side

    def _of_new(self, group: str, seconds: float) -> str:
        wanted = LEAST_VALID_SHARE * (sum(self.seconds.values()) + seconds)
        is_behind = self.seconds["train"] > 0 and self.seconds["valid"] < wanted
        return "valid" if is_behind or draw("pretraining valid", group) < VALID_SHARE else "train"
