"""Waveforms: how loud a track is over time, made once for each content and kept."""

import hashlib
from collections import OrderedDict
from contextlib import closing, suppress
from pathlib import Path
from threading import Lock

import numpy as np
from jaxtyping import UInt8

from solfa.data.decoders import open_decoder
from solfa.files import write_bytes

N_PEAKS = 800
KEPT = 4_096  # waveforms in memory
FULL_SCALE = 255


class Waveforms:
    """The peaks of tracks, from memory, from a folder, or from the file of the track. For several threads.

    Args:
        folder: what is computed is kept there; it is made when it is needed. Nothing is kept if it cannot be.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._known: OrderedDict[str, UInt8[np.ndarray, " peak"]] = OrderedDict()
        self._lock = Lock()

    def known(self, content_hash: str) -> UInt8[np.ndarray, " peak"] | None:
        """The peaks of some content if they are in memory."""
        with self._lock:
            if content_hash in self._known:
                self._known.move_to_end(content_hash)
            return self._known.get(content_hash)

    def of(self, path: Path, content_hash: str) -> UInt8[np.ndarray, " peak"]:
        """The peaks of a track.

        Raises:
            AudioError: the file cannot be decoded.
            FileNotFoundError: it is gone.
        """
        known = self.known(content_hash)
        if known is not None:
            return known
        # The name is hashed anew: what stands in a library need not be a hash, or a name of a file.
        kept = self.folder / f"{hashlib.sha256(content_hash.encode()).hexdigest()}.peaks"
        peaks = _kept(kept)
        if peaks is None:
            peaks = make_peaks(path)
            with suppress(OSError):
                self.folder.mkdir(exist_ok=True)
                write_bytes(kept, peaks.tobytes())
        with self._lock:
            self._known[content_hash] = peaks
            while len(self._known) > KEPT:
                self._known.popitem(last=False)
        return peaks


def make_peaks(path: Path) -> UInt8[np.ndarray, " peak"]:
    """The largest absolute sample of each of ``N_PEAKS`` equal stretches of a file, 0 to 255 for 0 to 1."""
    with closing(open_decoder(path)) as decoder:
        n_samples = max(1, decoder.n_samples)
        edges = np.arange(N_PEAKS) * n_samples // N_PEAKS  # where the stretches begin
        peaks = np.zeros(N_PEAKS, np.float32)
        position = 0
        for block in decoder.blocks(0, n_samples):
            if not len(block):
                continue
            begun = edges[np.searchsorted(edges, position, "right") - 1]
            first = int(np.searchsorted(edges, begun))
            last = int(np.searchsorted(edges, position + len(block)))
            begins = np.maximum(edges[first:last] - position, 0)
            loudness = np.maximum.reduceat(np.abs(block), begins, axis=0).max(axis=1)
            # Of a file shorter than its picture several stretches begin at one sample: they share it.
            peaks[first:last] = np.maximum(peaks[first:last], loudness)
            position += len(block)
    return np.round(np.nan_to_num(peaks).clip(0, 1) * FULL_SCALE).astype(np.uint8)


def _kept(path: Path) -> UInt8[np.ndarray, " peak"] | None:
    try:
        peaks = np.frombuffer(path.read_bytes(), np.uint8)
    except OSError:
        return None
    return peaks if len(peaks) == N_PEAKS else None
