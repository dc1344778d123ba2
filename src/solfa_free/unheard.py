"""The long held-out list: tracks of packages that are never trained on, by composers of whom nothing is.

Another encoding or another cut of one recording is a copy: copies are looked for by sound.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from solfa.data.clusters import MelOfAudio, MelSource
from solfa.data.manifest import Track
from solfa.errors import ArgumentError
from solfa_free.free_music import is_held_out

MEL_FRAMES, N_BANDS = 25, 16  # mel frames that are joined, of 100 a second; bands that 128 are joined to
N_LEVELS, PASSAGE_SECONDS = 40, 10.0  # of a passage that is sought in other tracks
N_SIGNS = N_LEVELS * (N_BANDS - 1)
PASSAGES = 4  # of a track that are sought
SAME = 0.6  # correlation of two passages from which they are one recording
DYNAMIC_DB = 50.0  # below the loudest band and moment
LEAST_SOUND = 0.5  # of a passage's signs that are not of what is below
BETWEEN_COMPOSERS = re.compile(r"[,;/&()]|\band\b|\baka\b|\bfeat\b\.?|https?://|www\.", re.IGNORECASE)
Places = Float[np.ndarray, "place value"]
NOT_NAMES = ("", "unknown", "<unknown>", "various", "various artists", "com")


@dataclass(frozen=True)
class Unheard:
    """The list, and what was left out of it."""

    tracks: list[Track]
    same_composer: dict[Path, str]  # track -> the composer, who wrote what is trained on, too
    same_sound: dict[Path, Path]  # track -> one that it is a copy of


def choose_unheard(
    held_out: Sequence[Track],
    against: Sequence[Track],
    heard: MelSource | None = None,
    progress: Callable[[int, str], None] = lambda n_done, name: None,
) -> Unheard:
    """Tracks of ``held_out`` whose composer, and whose sound, is in no music that may be trained on.

    Args:
        held_out: of packages that are never trained on.
        against: what models are trained and validated on.
        heard: where mel frames of ``against`` come from; from their files if None.
        progress: told how many of both have been read, and the name of the last.

    Raises:
        ArgumentError: a track of ``against`` is of a package that is held out.
    """
    trained = [track for track in against if is_held_out(track.tags)]
    if trained:
        raise ArgumentError(
            f"{trained[0].path} is of a package that is held out. Give a list to train on, as train.jsonl of "
            "solfa data free-music."
        )
    known = {name for track in against for name in composers_of(track.tags)}
    composers = {track.path: sorted(known & composers_of(track.tags)) for track in held_out}
    same_composer = {path: names[0] for path, names in composers.items() if names}
    others = [track for track in held_out if track.path not in same_composer]
    same_sound = find_copies(others, against, heard, progress)
    tracks = [track for track in others if track.path not in same_sound]
    return Unheard(tracks, same_composer, same_sound)


def composers_of(tags: Mapping[str, str]) -> set[str]:
    """Names in a track's tags, in small letters; one who is written in two ways counts twice."""
    parts = [part for name in ("artist", "composer") for part in BETWEEN_COMPOSERS.split(tags.get(name, ""))]
    return {part.strip(" .").casefold() for part in parts} - set(NOT_NAMES)


def find_copies(
    tracks: Sequence[Track],
    against: Sequence[Track],
    heard: MelSource | None = None,
    progress: Callable[[int, str], None] = lambda n_done, name: None,
) -> dict[Path, Path]:
    """Tracks of which a passage of ten seconds sounds as one of ``against``, and which one that is.

    Sound is how the levels of 16 bands move against each other: an equaliser, the loudness and the encoding
    change little of it. Another performance of a piece, or the same at another speed, is not found.

    Args:
        tracks: of each, four passages are sought, evenly spread.
        against: where they are sought, all through.
        heard: where mel frames of ``against`` come from; from their files if None.
        progress: told how many of both have been read, and the name of the last.
    """
    own, copies = MelOfAudio(), dict[Path, Path]()
    sought: list[Places] = []
    owners: list[Track] = []
    for number, track in enumerate(tracks, start=1):
        for start in np.linspace(0, max(0.0, track.seconds - PASSAGE_SECONDS - 0.5), PASSAGES + 2)[1:-1]:
            mel = own.mel(track, float(start), float(start + PASSAGE_SECONDS + 0.5))
            for first in range(0, MEL_FRAMES, 5):  # the other's quarters of a second begin anywhere
                passage = passages(levels(mel[first:]))[:1]
                sought.append(passage)
                owners += [track] * len(passage)
        progress(number, track.path.name)
    wanted = np.concatenate([np.zeros((0, N_SIGNS), np.float32), *sought])
    for number, other in enumerate(against, start=len(tracks) + 1):
        minutes = np.arange(0.0, other.seconds, 60.0)
        frames = [(heard or own).mel(other, float(m), float(min(m + 60.0, other.seconds))) for m in minutes]
        places = passages(np.concatenate([levels(mel) for mel in frames]))
        likeness = (wanted @ places.T).max(1, initial=-1.0)
        copies |= {owners[n].path: other.path for n in np.flatnonzero(likeness >= SAME)}
        progress(number, other.path.name)
    return copies


def levels(mel: Float[np.ndarray, "mel_frame mel"]) -> Float[np.ndarray, "level band"]:
    """Decibels of wide bands, four times a second."""
    n = len(mel) // MEL_FRAMES
    return mel[: n * MEL_FRAMES].reshape(n, MEL_FRAMES, N_BANDS, mel.shape[1] // N_BANDS).mean((1, 3))


def passages(of: Float[np.ndarray, "level band"]) -> Places:
    """All stretches of ten seconds, as signs in vectors of length one; those of little sound are left out.

    A sign says whether the step from a band to the next one grows from a moment to the next: fades and
    single loud strokes, which all bands have in common, weigh no more than anything else.

    Source:
        Haitsma and Kalker, A highly robust audio fingerprinting system, ISMIR 2002.
    """
    loud = np.maximum(of, of.max(initial=-np.inf) - DYNAMIC_DB)  # what is below may be noise of an encoding
    signs = np.sign(np.diff(np.diff(loud, axis=1), axis=0)).astype(np.float32)
    if len(signs) < N_LEVELS:
        return np.zeros((0, N_SIGNS), np.float32)
    places = np.lib.stride_tricks.sliding_window_view(signs, N_LEVELS, axis=0).reshape(-1, N_SIGNS)
    lengths = np.linalg.norm(places, axis=1)
    is_told = lengths > np.sqrt(N_SIGNS * LEAST_SOUND)
    return places[is_told] / lengths[is_told, None]
