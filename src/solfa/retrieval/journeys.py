"""Journeys through a library: the path from one track to another, and its clusters with their names."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from solfa.retrieval.clusters import Cluster, find_clusters, name_clusters
from solfa.retrieval.contents import LibraryContents, LibraryTrack
from solfa.retrieval.file import UnknownTrackError
from solfa.retrieval.index import units
from solfa.retrieval.path import find_path

if TYPE_CHECKING:
    import solfa.models

NAMING = ("mood", "genre", "instrument")  # families of words that name clusters


@dataclass(frozen=True)
class Stop:
    """A track on a path."""

    track: LibraryTrack
    cosine: float  # to the first track, of vectors less the library's mean


@dataclass(frozen=True)
class NamedCluster:
    """Tracks that sound alike, the most typical first."""

    name: str
    tracks: Sequence[LibraryTrack]


def path_between(library: LibraryContents, start: int, end: int, n_between: int) -> list[Stop]:
    """The path from one track to another over ``n_between`` others at most, ends included.

    Args:
        library: as it is now.
        start: number of the first track.
        end: number of the last track.
        n_between: see ``find_path``.

    Raises:
        UnknownTrackError: one of the two is not there.
    """
    contents = library.contents()
    rows = {id: row for row, (id, _) in enumerate(contents)}
    for id in (start, end):
        if id not in rows:
            raise UnknownTrackError(
                f"There is no track {id} in {library.path.name}. solfa search prints the numbers of tracks."
            )
    vectors = _centred(library.vectors_of([hash_ for _, hash_ in contents]))
    found = find_path(vectors, rows[start], rows[end], n_between)
    directions = units(vectors[found])
    tracks = library.tracks_of([contents[row][0] for row in found])  # the tags of no others are read
    return [
        Stop(track, float(cosine)) for track, cosine in zip(tracks, directions @ directions[0], strict=True)
    ]


def clusters_of(
    library: LibraryContents, mulan: "solfa.models.MuLan | None", n: int | None = None
) -> list[NamedCluster]:
    """Groups of tracks that sound alike, the largest first.

    A name is of the words that fit the group more than the others; of the artist or folder with the most
    tracks if there is no model that knows words.

    Args:
        library: as it is now.
        mulan: its model, if that knows words.
        n: clusters; by the size of the library if None.
    """
    tracks, vectors = tracks_and_vectors(library)
    found = find_clusters(vectors, n)
    parts = [[tracks[row] for row in cluster.rows] for cluster in found]
    names = _names_from_tags(parts) if mulan is None else _names_by_words(found, mulan)
    return [NamedCluster(name, part) for name, part in zip(names, parts, strict=True)]


def tracks_and_vectors(
    library: LibraryContents,
) -> tuple[list[LibraryTrack], Float[np.ndarray, "track dim"]]:
    """All tracks, and their vectors less the mean of them."""
    tracks = library.tracks()
    return tracks, _centred(library.vectors(tracks))


def _centred(vectors: Float[np.ndarray, "track dim"]) -> Float[np.ndarray, "track dim"]:
    """Vectors less the mean of them, in their place; one alone stays as it is."""
    if len(vectors) > 1:
        vectors -= vectors.mean(0)
    return vectors


def _names_by_words(found: Sequence[Cluster], mulan: "solfa.models.MuLan") -> list[str]:
    if not found:
        return []
    import torch  # which a path does without

    from solfa.retrieval.families import FAMILIES

    words = [word for family in NAMING for word in FAMILIES[family]]
    with torch.no_grad():
        return name_clusters(found, words, mulan.embed_text(words).cpu().numpy())


def _names_from_tags(parts: Sequence[Sequence[LibraryTrack]]) -> list[str]:
    names: list[str] = []
    for number, part in enumerate(parts, start=1):
        of_each = [track.artist or track.path.parent.name for track in part]
        name = max(dict.fromkeys(of_each), key=of_each.count)
        names.append(name if name not in names else f"{name} {number}")
    return names
