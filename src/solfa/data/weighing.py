"""Weights of tracks: lists joined, shares of hours by tags, and clusters of sound evened out."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float

from solfa.data.manifest import Track, absolute, read_manifest
from solfa.errors import ArgumentError

ANY = "*"  # in place of a tag's value
REST = "the rest"  # the group of tracks for which no share is asked
ROUNDING = 1e-9


@dataclass(frozen=True)
class Share:
    """What part of the hours that are heard some tracks shall be."""

    tag: str
    value: str  # that the tag has; ANY for each one
    part: float  # above 0 and at most 1

    @property
    def name(self) -> str:
        """Such as ``corpus=notes``."""
        return f"{self.tag}={self.value}"

    def is_of(self, track: Track) -> bool:
        """Whether a track has the tag, with the value."""
        return self.tag in track.tags and self.value in (ANY, track.tags[self.tag])


@dataclass(frozen=True)
class Group:
    """Tracks that share a share, as they were weighed before and are now."""

    name: str
    n_tracks: int
    hours: float
    before: float  # part of the hours that are heard
    after: float


def parse_share(text: str) -> Share:
    """``corpus=notes:0.05`` as a Share. Raises ArgumentError."""
    name, _, number = text.rpartition(":")
    tag, _, value = name.partition("=")
    try:
        part = float(number)
    except ValueError:
        part = math.nan
    if not tag or not value or not 0 < part <= 1:
        raise ArgumentError(
            f"{text!r} is no share. Give TAG=VALUE:SHARE with a share above 0 and at most 1, such as "
            f"corpus=notes:0.05, or package={ANY}:0.45 for all tracks that have a package."
        )
    return Share(tag, value, part)


def join_manifests(paths: Sequence[Path]) -> list[Track]:
    """The tracks of several lists, one list after the other.

    Raises:
        ManifestError: a list is broken.
        ArgumentError: a track stands in them twice.
    """
    tracks = [track for path in paths for track in read_manifest(path)]
    seen: set[tuple[Path, float]] = set()
    for track in tracks:
        place = (absolute(track.path), track.start_seconds)
        if place in seen:
            raise ArgumentError(
                f"{track.path} stands in the lists twice. Give each list once; how often a track is heard is "
                "for its weight to say."
            )
        seen.add(place)
    return tracks


def heard_seconds(tracks: Sequence[Track], clip_seconds: float | None) -> Float[np.ndarray, " track"]:
    """What counts of each track: its length, or that of the whole clips in it if clips have a length."""
    seconds = np.array([track.seconds for track in tracks])
    return seconds if clip_seconds is None else seconds // clip_seconds * clip_seconds


def share_out(
    tracks: Sequence[Track],
    weights: Float[np.ndarray, " track"],
    shares: Sequence[Share],
    *,
    clip_seconds: float | None = None,
) -> tuple[list[Track], list[Group]]:
    """Weigh tracks so that groups have their shares; within a group ``weights`` decide.

    Tracks for which no share is asked keep their proportions, and have what is left. Weights are such that
    their mean over the seconds that count is 1.

    Args:
        tracks: what to weigh; what they weigh by themselves multiplies ``weights``.
        weights: of tracks against each other.
        shares: of the seconds that are heard.
        clip_seconds: of training, if whole clips only shall count; tracks that are shorter keep their weight.

    Returns:
        The tracks with their weights, and the groups, in the order of the shares and then the rest.

    Raises:
        ArgumentError: nobody has the tag of a share, a track has those of two, shares leave too much or
            nothing to the rest, or no track is as long as a clip.
    """
    seconds = heard_seconds(tracks, clip_seconds)
    if not seconds.any():
        raise ArgumentError(f"None of the {len(tracks)} tracks is as long as a clip. Lower --clip-seconds.")
    before = seconds * [track.weight for track in tracks]
    groups = _groups(tracks, seconds, shares)
    wanted = before * weights
    parts = np.array([*(share.part for share in shares), 1 - sum(share.part for share in shares)])
    for place, part in enumerate(parts):
        own = (groups == place) & (seconds > 0)
        if own.any():
            wanted[own] *= part / wanted[own].sum()
    fresh = _weights_of(wanted, seconds)
    weighed = [
        replace(track, weight=float(weight)) if counts else track
        for track, weight, counts in zip(tracks, fresh, seconds > 0, strict=True)
    ]
    return weighed, _table(tracks, groups, before, wanted, shares)


def _weights_of(
    wanted: Float[np.ndarray, " track"], seconds: Float[np.ndarray, " track"]
) -> Float[np.ndarray, " track"]:
    """Weights with which so many seconds in proportion are heard; 6 digits, as a manifest shows them."""
    scale = seconds.sum() / wanted.sum()
    return np.array([
        float(f"{one * scale / length:.6g}") if length else 1.0
        for one, length in zip(wanted, seconds, strict=True)
    ])  # fmt: skip


def _groups(
    tracks: Sequence[Track], seconds: Float[np.ndarray, " track"], shares: Sequence[Share]
) -> np.ndarray:
    """For each track the place of its share; the number of shares for the rest. Raises ArgumentError."""
    groups = np.full(len(tracks), len(shares))
    for place, share in enumerate(shares):
        own = np.array([share.is_of(track) for track in tracks])
        twice = np.flatnonzero(own & (groups < len(shares)))
        if len(twice):
            raise ArgumentError(
                f"{tracks[twice[0]].path} is of {shares[groups[twice[0]]].name} and of {share.name}. Ask for "
                "shares that have no track in common."
            )
        if not seconds[own].any():
            raise ArgumentError(_nobody(tracks, share, bool(own.any())))
        groups[own] = place
    _check_sum(shares, bool(seconds[groups == len(shares)].any()))
    return groups


def _check_sum(shares: Sequence[Share], has_rest: bool) -> None:
    total = sum(share.part for share in shares)
    if total > 1 + ROUNDING:
        raise ArgumentError(f"The shares are {total:.4g} together. Lower some until they are 1 at most.")
    if has_rest and total > 1 - ROUNDING:
        raise ArgumentError(
            "The shares are 1 together and leave nothing to tracks that have none. Lower one."
        )
    if not has_rest and total < 1 - ROUNDING:
        raise ArgumentError(
            f"Every track has a share, and they are {total:.4g} together. Raise some until they are 1, or "
            "ask for one less."
        )


def _nobody(tracks: Sequence[Track], share: Share, is_short: bool) -> str:
    if is_short:
        return f"No track of {share.name} is as long as a clip. Lower --clip-seconds, or leave the share out."
    values = sorted({track.tags[share.tag] for track in tracks if share.tag in track.tags})
    if values:
        return f"No track has {share.name}. Values of '{share.tag}' are {', '.join(values[:20])}."
    names = sorted({name for track in tracks for name in track.tags})
    return f"No track has the tag '{share.tag}'. Tags are {', '.join(names[:20]) or 'none'}."


def _table(
    tracks: Sequence[Track],
    groups: np.ndarray,
    before: Float[np.ndarray, " track"],
    wanted: Float[np.ndarray, " track"],
    shares: Sequence[Share],
) -> list[Group]:
    names = [*(share.name for share in shares), REST]
    lengths = np.array([track.seconds for track in tracks])
    return [
        Group(
            name=name,
            n_tracks=int(own.sum()),
            hours=float(lengths[own].sum()) / 3600,
            before=float(before[own].sum() / before.sum()),
            after=float(wanted[own].sum() / wanted.sum()),
        )
        for place, name in enumerate(names)
        if (own := groups == place).any()
    ]
