"""Duplicates: recordings that a library has more than once, encoded anew, tagged anew or cut."""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float

from solfa.data.base import AudioError
from solfa.retrieval.contents import LibraryTrack
from solfa.retrieval.fingerprints import align, fingerprint
from solfa.retrieval.index import units

log = logging.getLogger(__name__)

Kind = Literal["copy", "same", "cut"]
N_NEIGHBOURS = 5  # tracks of each that are listened to, and as many again of its length
SAME_LENGTH = 0.3  # seconds by which the lengths of one recording differ, as encoders leave them
NEAREST = 0.5  # cosine of tracks that may be the same
AGREEING = 0.72  # share of equal bits from which two recordings are one
WHOLE = 0.93  # share of the longer one that both have, if none is cut
ROWS_AT_ONCE = 2_000


@dataclass(frozen=True)
class Duplicate:
    """Two tracks that are one recording."""

    first: LibraryTrack  # the longer one, or the one with the lower number
    second: LibraryTrack
    kind: Kind  # copy: the same file; same: another file of all of it; cut: the second is a part of the first
    agreement: float  # share of equal bits of their fingerprints, in [0.5, 1]; 1 of copies
    offset: float  # seconds of the first at which the second begins


def find_duplicates(
    tracks: Sequence[LibraryTrack],
    vectors: Float[np.ndarray, "track dim"],
    progress: Callable[[int, str], None] | None = None,
) -> list[Duplicate]:
    """Pairs of tracks that are one recording, the surest first.

    Vectors and lengths say which tracks may be the same; fingerprints, of the files, whether they are. A file
    that cannot be read any more is passed over, with a warning.

    Args:
        tracks: of a library.
        vectors: theirs, less the centre of the library.
        progress: told how many pairs have been listened to, and the name of a track.
    """
    fingerprints = _Fingerprints()
    found = []
    for n, (row, other) in enumerate(candidates(vectors, [track.seconds for track in tracks]), start=1):
        first, second = sorted((tracks[row], tracks[other]), key=lambda track: (-track.seconds, track.id))
        if first.content_hash == second.content_hash:
            found.append(Duplicate(first, second, "copy", 1.0, 0.0))
        elif pair := _compared(first, second, fingerprints):
            found.append(pair)
        if progress:
            progress(n, first.path.name)
    return sorted(found, key=lambda pair: (-pair.agreement, pair.first.id, pair.second.id))


def candidates(vectors: Float[np.ndarray, "track dim"], seconds: Sequence[float]) -> list[tuple[int, int]]:
    """Pairs of rows that may be the same: neighbours of each other and near, or of one length.

    Where a recording is softer or has lost its treble, a model may hear it otherwise: then the length tells.

    Args:
        vectors: of tracks, less the centre of the library.
        seconds: their lengths.
    """
    directions = units(vectors)
    pairs = _of_one_length(directions, np.array(seconds))
    for start in range(0, len(directions), ROWS_AT_ONCE):
        cosines = directions[start : start + ROWS_AT_ONCE] @ directions.T
        cosines[np.arange(len(cosines)), np.arange(start, start + len(cosines))] = -1
        n = min(N_NEIGHBOURS, cosines.shape[1])
        nearest = np.argpartition(-cosines, n - 1, axis=1)[:, :n]
        for row, others in enumerate(nearest):
            near = (int(other) for other in others if cosines[row, other] >= NEAREST)
            pairs |= {(min(start + row, other), max(start + row, other)) for other in near}
    return sorted(pairs)


def _of_one_length(
    directions: Float[np.ndarray, "track dim"], seconds: Float[np.ndarray, " track"]
) -> set[tuple[int, int]]:
    """Each row with those of its length, the nearest of them where there are many."""
    rows = np.argsort(seconds, kind="stable")
    ends = np.searchsorted(seconds[rows], seconds[rows] + SAME_LENGTH, side="right")
    ordered, pairs = directions[rows], set()
    for start in range(0, len(rows), ROWS_AT_ONCE):
        block = np.arange(start, min(start + ROWS_AT_ONCE, len(rows)))
        last = ends[block[-1]]  # ends grow with lengths
        cosines = ordered[block] @ ordered[start:last].T
        place = np.arange(start, last)
        cosines[(place <= block[:, None]) | (place >= ends[block][:, None])] = -np.inf  # each pair once
        n = min(N_NEIGHBOURS, cosines.shape[1])
        nearest = np.argpartition(-cosines, n - 1, axis=1)[:, :n]
        found, column = np.isfinite(np.take_along_axis(cosines, nearest, 1)).nonzero()
        both = np.sort(rows[np.stack([start + found, start + nearest[found, column]], 1)], axis=1)
        pairs |= set(map(tuple, both.tolist()))
    return pairs


class _Fingerprints:
    """Fingerprints of tracks, each made once."""

    def __init__(self) -> None:
        self._known: dict[int, Bool[np.ndarray, "_ bit"] | None] = {}

    def of(self, track: LibraryTrack) -> Bool[np.ndarray, "frame bit"] | None:
        """That of a track; None, with a warning, if its file cannot be read."""
        if track.id not in self._known:
            try:
                self._known[track.id] = fingerprint(track.path)
            except (AudioError, FileNotFoundError) as error:
                log.warning("Passed over %s: %s", track.path, error)
                self._known[track.id] = None
        return self._known[track.id]


def _compared(first: LibraryTrack, second: LibraryTrack, fingerprints: _Fingerprints) -> Duplicate | None:
    bits = fingerprints.of(first), fingerprints.of(second)
    if bits[0] is None or bits[1] is None:
        return None
    alignment = align(bits[0], bits[1])
    if alignment is None or alignment.agreement < AGREEING:
        return None
    kind: Kind = "same" if alignment.shared >= WHOLE * first.seconds else "cut"
    return Duplicate(first, second, kind, alignment.agreement, alignment.offset)


def groups(pairs: Sequence[Duplicate]) -> Iterator[list[LibraryTrack]]:
    """Tracks that are one recording by any way of pairs, by number."""
    tracks = {track.id: track for pair in pairs for track in (pair.first, pair.second)}
    group = {id: {id} for id in tracks}
    for pair in pairs:
        joined = group[pair.first.id] | group[pair.second.id]
        for id in joined:
            group[id] = joined
    for id in sorted(tracks):
        if id == min(group[id]):
            yield [tracks[one] for one in sorted(group[id])]
