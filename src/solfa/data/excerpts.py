"""ExcerptsConfig: how tracks are cut into excerpts; and what is said of an excerpt, in its tags."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from solfa.data.captions import tag_words
from solfa.data.heard import HEARD_FIELDS, Facts, known_genres
from solfa.data.manifest import Track
from solfa.errors import ArgumentError
from solfa.features import LEAST_SECONDS

ABSENT = "without"  # the field of what is missing: known of rendered music only


@dataclass(frozen=True)
class ExcerptsConfig:
    """How tracks are cut into excerpts."""

    seconds: float = 10.0
    every_seconds: float = 10.0  # from the start of one to that of the next

    def __post_init__(self) -> None:
        if self.seconds < LEAST_SECONDS or self.every_seconds <= 0:
            raise ArgumentError(
                f"Excerpts of {self.seconds:g} s every {self.every_seconds:g} s: they must last at least "
                f"{LEAST_SECONDS:g} s, and begin at least some time apart."
            )

    def starts(self, seconds: float) -> list[float]:
        """Where excerpts of a track begin; one that is shorter than an excerpt is one as a whole."""
        last = max(0.0, seconds - self.seconds)
        return [float(s) for s in np.arange(0.0, last + 1e-9, self.every_seconds)]

    def cut(self, track: Track) -> Iterator[Track]:
        """The excerpts of a track, as tracks of their own."""
        seconds = min(self.seconds, track.seconds)
        for start in self.starts(track.seconds):
            yield replace(track, start_seconds=track.start_seconds + start, seconds=seconds)


def with_facts(excerpt: Track, facts: Mapping[str, tuple[str, ...]]) -> Track:
    """The excerpt with facts as tags, in place of tags of theirs that it had; genres that it states first."""
    stated = known_genres(tag_words(excerpt, ("genre",)))
    kept = {name: value for name, value in excerpt.tags.items() if name not in (*HEARD_FIELDS, ABSENT)}
    words: Facts = {**facts, "genre": tuple(dict.fromkeys((*stated, *facts.get("genre", ()))))}
    said = {field: "; ".join(of) for field, of in words.items() if of}
    return replace(excerpt, tags=kept | said, captions=())
