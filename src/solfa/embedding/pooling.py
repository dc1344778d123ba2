"""Tracks of a manifest, stretches too -> pooled vectors of some layers, computed once and stored."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
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
from solfa.files import FolderLock
from solfa.frames import seconds_to_samples
from solfa.models import AudioEncoder
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
        progress: told how many tracks are done, and the name of the last.

    Raises:
        StoredFramesError: ``out`` holds vectors of another encoder or of other layers.
        BlockingIOError: another process is filling ``out``.
        ValueError: the encoder has no such layer.
    """
    done, layers = Pooled(), encoder.layer_numbers(layers)
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
                for some, vectors in _vectors(path, wanted, encoder, layers):
                    stored.add(some, vectors)
                    done.n_stored += len(some)
            except Exception as error:  # of whatever class: no file ends the run
                done.refused.append(refusal(path, error))
            n_done += len(wanted)
            if progress:
                progress(n_done, path.name)
    write_refused(done.refused, out / REFUSED)
    return done


def _vectors(
    path: Path, tracks: Sequence[Track], encoder: AudioEncoder, layers: Sequence[int]
) -> Iterator[tuple[list[Track], Float[np.ndarray, "track pooled"]]]:
    """Vectors of the stretches of one file, those of one length together."""
    rate = encoder.sample_rate
    with AudioReader(path, sample_rate=rate, take_damaged=bool(tracks[0].damage)) as reader:
        for n in range(0, len(tracks), TRACKS_AT_ONCE):
            some = list(tracks[n : n + TRACKS_AT_ONCE])
            heard = [
                reader.read(seconds_to_samples(t.start_seconds, rate), seconds_to_samples(t.seconds, rate))
                for t in some
            ]
            waveform = np.zeros((len(some), max(map(len, heard))), np.float32)
            for row, samples in zip(waveform, heard, strict=True):
                row[: len(samples)] = samples
            with torch.inference_mode(), full_float32(encoder.device):
                hidden = encoder(
                    torch.from_numpy(waveform).to(encoder.device),
                    [len(h) for h in heard],
                    layers=list(layers),
                )
                yield some, pool_layers(hidden).cpu().numpy()
