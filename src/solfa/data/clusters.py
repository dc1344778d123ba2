"""Clusters of sound among the pieces of tracks, and weights by which rare clusters are heard more often.

A piece is 30 s of a track, described by mean and deviation of its log-mel frames over time.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int

from solfa.config import Config, Count, Share
from solfa.data.audio import AudioError, read_padded
from solfa.data.manifest import Track
from solfa.data.stored_spectra import StoredSpectra
from solfa.errors import ArgumentError
from solfa.features import LogMel, LogMelConfig
from solfa.frames import seconds_to_samples

PIECE_SECONDS = 30.0


@dataclass(frozen=True, kw_only=True)
class BalanceConfig(Config):
    """How far clusters are evened out."""

    n_clusters: Count = 50
    exponent: Share = 0.5  # of a cluster's share: 1 leaves it as it is, 0 gives all clusters the same
    seed: int = 0  # of k-means


@runtime_checkable
class MelSource(Protocol):
    """Where the log-mel frames of a stretch of a track come from."""

    def mel(self, track: Track, start: float, end: float) -> Float[np.ndarray, "mel_frame mel"]:
        """Decibels, from ``start`` to ``end`` (seconds of the track)."""


class MelOfAudio:
    """Log-mel frames computed from the track's file."""

    def __init__(self, config: LogMelConfig | None = None) -> None:
        self.log_mel = LogMel(config or LogMelConfig())

    @torch.inference_mode()
    def mel(self, track: Track, start: float, end: float) -> Float[np.ndarray, "mel_frame mel"]:
        """As every source. Raises AudioError."""
        rate = self.log_mel.config.sample_rate
        begin, first = (seconds_to_samples(one, rate) for one in (track.start_seconds, start))
        try:
            waveform = read_padded(
                track.path, sample_rate=rate, start=begin + first,
                n_samples=seconds_to_samples(end, rate) - first,
                end=begin + seconds_to_samples(track.seconds, rate), take_damaged=bool(track.damage),
            )  # fmt: skip
        except AudioError as error:
            raise AudioError(f"{error.reason}. Take it out of the list.", track.path) from None
        return np.asarray(self.log_mel.decibels(torch.from_numpy(waveform)[None])[0].numpy())


class MelOfSpectra:
    """Log-mel frames out of a folder that ``solfa data features`` filled.

    Raises:
        StoredFramesError: some of the tracks are not in it.
    """

    def __init__(self, stored: StoredSpectra, tracks: Sequence[Track]) -> None:
        stored.require(tracks)
        self.stored = stored

    def mel(self, track: Track, start: float, end: float) -> Float[np.ndarray, "mel_frame mel"]:
        """As every source."""
        grid = self.stored.grid
        first, last = (grid.seconds_to_samples(one) // grid.hop_length for one in (start, end))
        last = min(last, self.stored.n_frames(track.content_hash))  # no floor that nobody heard
        return np.asarray(self.stored.spectra(track.content_hash, first, last).mel[0].numpy())


def balanced_weights(
    tracks: Sequence[Track],
    source: MelSource,
    config: BalanceConfig,
    progress: Callable[[int, str], None] = lambda n_done, name: None,
) -> Float[np.ndarray, " track"]:
    """A weight for each track, against each other: the mean over its pieces of share ** (exponent - 1).

    A cluster that has the share s of the seconds has about s ** exponent then, before they are made 1.

    Args:
        tracks: with their weights so far, which count in the shares of clusters.
        source: of log-mel frames.
        config: how far clusters are evened out.
        progress: told how many tracks are described, and the name of the last.

    Raises:
        ArgumentError: there are more clusters than different pieces.
        AudioError: a file cannot be read.

    Source:
        Clusters drawn evenly, as S-SONDO has it; k-means of scikit-learn on standardised statistics.
    """
    pieces: list[Float[np.ndarray, " statistic"]] = []
    owners: list[int] = []
    for place, track in enumerate(tracks):
        own = list(describe_pieces(track, source))
        pieces += own
        owners += [place] * len(own)
        progress(place + 1, track.path.name)
    owner, n_pieces = np.array(owners), np.bincount(owners)
    cluster = _clusters(np.stack(pieces), config)
    heard = np.array([track.weight * track.seconds for track in tracks]) / n_pieces
    # A piece stands for an equal part of what is heard of its track. A cluster's share is the sum over its
    # pieces, and a track is worth what its pieces are on average.
    shares = np.bincount(cluster, heard[owner]) / heard[owner].sum()
    worth = shares[cluster] ** (config.exponent - 1)
    return np.asarray(np.bincount(owner, worth) / n_pieces)


def describe_pieces(track: Track, source: MelSource) -> Iterator[Float[np.ndarray, " statistic"]]:
    """Mean and deviation of each mel band (dB), piece by piece; the last one is at least half as long."""
    n_pieces = max(1, int(track.seconds / PIECE_SECONDS + 0.5))
    for number in range(n_pieces):
        end = track.seconds if number == n_pieces - 1 else (number + 1) * PIECE_SECONDS
        mel = source.mel(track, number * PIECE_SECONDS, end)
        yield np.concatenate([mel.mean(0), mel.std(0)])


def _clusters(
    statistics: Float[np.ndarray, "piece statistic"], config: BalanceConfig
) -> Int[np.ndarray, " piece"]:
    from sklearn.cluster import KMeans  # takes a second, and few need it

    n_different = len(np.unique(statistics, axis=0))
    if n_different < config.n_clusters:
        raise ArgumentError(
            f"{config.n_clusters} clusters are asked for, and the tracks have {n_different} different pieces "
            f"of {PIECE_SECONDS:g} s. Lower --clusters."
        )
    standardised = (statistics - statistics.mean(0)) / np.maximum(statistics.std(0), 1e-6)
    fitted = KMeans(config.n_clusters, n_init=3, random_state=config.seed).fit(standardised)
    return np.asarray(fitted.labels_, np.int64)
