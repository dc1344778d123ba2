"""Tracks of a manifest, stretches too -> pooled vectors of some layers, computed once and stored.

Of audio, or, for an encoder that takes them, of spectra that are stored already: then nothing is decoded and
no spectrum is computed. A stretch of stored spectra knows what sounds beside it, as far as a window reaches.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from solfa.data.audio import AudioReader
from solfa.data.manifest import Track
from solfa.data.pooled_vectors import GrowingPooledVectors, PooledDescription, key_of
from solfa.data.prepare import write_refused
from solfa.data.refused import Refused, refusal
from solfa.data.stored_spectra import StoredSpectra
from solfa.errors import ArgumentError
from solfa.features import MelCQTFrames
from solfa.files import FolderLock
from solfa.frames import seconds_to_samples
from solfa.models import AudioEncoder, SolfaSmall
from solfa.models.fingerprint import fingerprint
from solfa.models.layers.adapters import pool_layers
from solfa.precision import full_float32

TRACKS_AT_ONCE = 8
REFUSED = "refused.jsonl"


@dataclass
class Pooled:
    """What one run did."""

    n_stored: int = 0
    n_known: int = 0  # were there already
    refused: list[Refused] = field(default_factory=list)


def pool_tracks(
    tracks: Sequence[Track],
    out: Path,
    encoder: AudioEncoder,
    layers: Sequence[int],
    *,
    spectra: StoredSpectra | None = None,
    progress: Callable[[int, str], None] | None = None,
) -> Pooled:
    """Store mean and deviation over time of some layers, for each track; bad files are reported and left out.

    Each track is heard in one go: they are excerpts of some seconds. Interrupted at any moment, all that was
    done is kept, and the same call goes on.

    Args:
        tracks: of a manifest, in which excerpts of a file stand together.
        out: the folder to fill.
        encoder: in eval mode.
        layers: numbers of its layers, also from the end, in the order in which they stand side by side.
        spectra: of the whole files, in place of their audio; for an encoder that takes these spectra.
        progress: told how many tracks are done, and the name of the last.

    Raises:
        StoredFramesError: ``out`` holds vectors of another encoder or of other layers; spectra are missing.
        ArgumentError: the encoder takes other spectra, or a stretch does not begin on one of their frames.
        BlockingIOError: another process is filling ``out``.
        ValueError: the encoder has no such layer.
    """
    done, layers = Pooled(), encoder.layer_numbers(layers)
    source = _Looking(encoder, layers, spectra, tracks) if spectra else _Listening(encoder, layers)
    description = PooledDescription(
        encoder=fingerprint(encoder), layers=layers, dim=2 * len(layers) * encoder.dim,
        sample_rate=encoder.sample_rate,
    )  # fmt: skip
    with FolderLock(out), GrowingPooledVectors(out, description) as stored:
        missing = [track for track in tracks if key_of(track) not in stored.known]
        done.n_known = len(tracks) - len(missing)
        n_done = done.n_known
        for path, of_file in groupby(missing, key=lambda track: track.path):
            wanted = list(of_file)
            try:
                for some, vectors in source.vectors(path, wanted):
                    stored.add(some, vectors)
                    done.n_stored += len(some)
            except Exception as error:  # of whatever class: no file ends the run
                done.refused.append(refusal(path, error))
            n_done += len(wanted)
            (progress or _silent)(n_done, path.name)
    write_refused(done.refused, out / REFUSED)
    return done


def _silent(n_done: int, name: str) -> None:
    """Tell nobody."""


class _Listening:
    """Vectors of audio."""

    def __init__(self, encoder: AudioEncoder, layers: Sequence[int]) -> None:
        self.encoder, self.layers = encoder, list(layers)

    def vectors(
        self, path: Path, tracks: Sequence[Track]
    ) -> Iterator[tuple[list[Track], Float[np.ndarray, "track pooled"]]]:
        """Vectors of the stretches of one file, some at a time."""
        encoder, rate = self.encoder, self.encoder.sample_rate
        with AudioReader(path, sample_rate=rate, take_damaged=bool(tracks[0].damage)) as reader:
            for some in _parts(tracks):
                heard = [
                    reader.read(
                        seconds_to_samples(t.start_seconds, rate), seconds_to_samples(t.seconds, rate)
                    )
                    for t in some
                ]
                waveform = np.zeros((len(some), max(map(len, heard))), np.float32)
                for row, samples in zip(waveform, heard, strict=True):
                    row[: len(samples)] = samples
                with torch.inference_mode(), full_float32(encoder.device):
                    hidden = encoder(
                        torch.from_numpy(waveform).to(encoder.device), [len(h) for h in heard],
                        layers=self.layers,
                    )  # fmt: skip
                    yield some, pool_layers(hidden).cpu().numpy()


class _Looking:
    """Vectors of stored spectra. Raises ArgumentError, StoredFramesError as ``pool_tracks`` does."""

    def __init__(
        self, encoder: AudioEncoder, layers: Sequence[int], stored: StoredSpectra, tracks: Sequence[Track]
    ) -> None:
        if not isinstance(encoder, SolfaSmall):
            raise ArgumentError("This encoder hears audio, and takes no spectra. Leave --spectra out.")
        taken, there = encoder.config.spectra, stored.description.spectra
        mel = replace(there.mel, mean_db=taken.mel.mean_db, std_db=taken.mel.std_db)  # both apply to decibels
        if replace(there, mel=mel) != taken:
            raise ArgumentError(
                f"{stored.folder} holds {there}, and the encoder takes {taken}. Leave --spectra out, or "
                "store those that it takes."
            )
        self.encoder, self.layers, self.stored, self.grid = encoder, list(layers), stored, encoder.grid
        off = [t for t in tracks if abs(self._first(t) - t.start_seconds * self.grid.frame_rate) > 1e-3]
        if off:
            raise ArgumentError(
                f"{off[0].path} at {off[0].start_seconds:g} s begins between two frames of the spectra, "
                f"which are {1 / self.grid.frame_rate:g} s apart. Leave --spectra out."
            )
        stored.require([replace(t, start_seconds=0.0) for t in tracks])

    def vectors(
        self, path: Path, tracks: Sequence[Track]
    ) -> Iterator[tuple[list[Track], Float[np.ndarray, "track pooled"]]]:
        """Vectors of the stretches of one file, some of one length at a time."""
        for _, alike in groupby(tracks, key=lambda track: track.seconds):
            for some in _parts(list(alike)):
                frames = [self._frames(track) for track in some]
                spectra = MelCQTFrames(
                    torch.cat([of.mel for of in frames]), torch.cat([of.cqt for of in frames])
                ).to(self.encoder.device)
                with torch.inference_mode(), full_float32(self.encoder.device):
                    hidden = self.encoder.of_spectra(spectra, self.layers)
                    yield some, pool_layers(hidden).cpu().numpy()

    def _frames(self, track: Track) -> MelCQTFrames:
        first = self._first(track)
        n_samples = seconds_to_samples(track.seconds, self.grid.sample_rate)
        return self.stored.spectra(
            track.content_hash, first, first + max(1, n_samples // self.grid.hop_length)
        )

    def _first(self, track: Track) -> int:
        return round(track.start_seconds * self.grid.frame_rate)


def _parts(tracks: Sequence[Track]) -> Iterator[list[Track]]:
    for n in range(0, len(tracks), TRACKS_AT_ONCE):
        yield list(tracks[n : n + TRACKS_AT_ONCE])
