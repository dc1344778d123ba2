"""basic-pitch: notes and onsets of any instrument, run by ONNX Runtime out of the published file."""

import hashlib
import importlib.util
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Float

from solfa.models.folders import ModelError

SAMPLE_RATE, HOP_LENGTH = 22_050, 256  # Hz, samples
WINDOW_SAMPLES, WINDOW_FRAMES = 43_844, 172
EDGE_FRAMES = 15  # at each end of a window that hear too little
KEPT_FRAMES = 141  # of a window: as many as the next one begins later, so that frames stay evenly spaced
N_NOTES = 88  # from A0 on
WINDOWS_AT_ONCE = 8
FILE = "basic_pitch/saved_models/icassp_2022/nmp.onnx"
CURE = (
    "Fetch it (0.8 MB, Apache-2.0) with: pip download --no-deps basic-pitch, and name it: basic-pitch:WHEEL."
)

Windows = Float[np.ndarray, "window sample one"]
Network = Callable[[Windows], tuple[Float[np.ndarray, "window frame note"], ...]]  # notes, onsets


class BasicPitch:
    """Waveform at 22,050 Hz -> posteriors of 88 notes and 88 onsets, 86.13 frames a second.

    A frame is centred on its first sample. Departs from the published program, whose windows begin 36,164
    samples apart and give 142 frames each, so that times drift by half a frame a window; here both fit.

    Args:
        network: windows -> notes and onsets.

    Source:
        Bittner et al., A lightweight instrument-agnostic model for polyphonic note transcription and
        multipitch estimation, arXiv:2203.09893.
    """

    def __init__(self, network: Network) -> None:
        self.network = network

    def __call__(self, waveform: Float[np.ndarray, " sample"]) -> Float[np.ndarray, "frame posterior"]:
        """Notes, and onsets beside them, of each frame."""
        n_frames = max(1, -(-len(waveform) // HOP_LENGTH))
        parts = [self._heard(windows) for windows in _windows(waveform, n_frames)]
        return np.concatenate(parts)[:n_frames]

    def _heard(self, windows: Windows) -> Float[np.ndarray, "frame posterior"]:
        both = np.concatenate(self.network(windows), axis=2)
        return both[:, EDGE_FRAMES : EDGE_FRAMES + KEPT_FRAMES].reshape(-1, 2 * N_NOTES)


def load_basic_pitch(place: Path | None = None) -> tuple[BasicPitch, str]:
    """The published network, and the SHA-256 of its file; no code of its package is run.

    Args:
        place: a wheel or an .onnx file; the installed package if None.

    Raises:
        ModelError: it is not there, or ONNX Runtime is not installed.
    """
    content = _content(place)
    try:
        import onnxruntime
    except ImportError:
        raise ModelError("basic-pitch needs ONNX Runtime: pip install 'solfa[teachers]'.") from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    entry = session.get_inputs()[0].name
    notes_and_onsets = ["StatefulPartitionedCall:1", "StatefulPartitionedCall:2"]

    def network(windows: Windows) -> tuple[Float[np.ndarray, "window frame note"], ...]:
        return tuple(session.run(notes_and_onsets, {entry: windows}))

    return BasicPitch(network), hashlib.sha256(content).hexdigest()


def _content(place: Path | None) -> bytes:
    """The bytes of the network."""
    if place is None:
        package = importlib.util.find_spec("basic_pitch")  # finds it without running it
        if package is None or not package.origin:
            raise ModelError(f"The package basic-pitch is not installed. {CURE}")
        place = Path(package.origin).parent.parent / FILE
    try:
        if place.suffix != ".whl":
            return place.read_bytes()
        with zipfile.ZipFile(place) as wheel:
            return wheel.read(FILE)
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise ModelError(f"basic-pitch cannot be read from {place} ({error}). {CURE}") from None


def _windows(waveform: Float[np.ndarray, " sample"], n_frames: int) -> Iterator[Windows]:
    """Windows of the network, some at a time; silence stands before and after the waveform."""
    n_windows = -(-n_frames // KEPT_FRAMES)
    n_before, step = EDGE_FRAMES * HOP_LENGTH, KEPT_FRAMES * HOP_LENGTH
    n_after = max(0, (n_windows - 1) * step + WINDOW_SAMPLES - n_before - len(waveform))
    padded = np.pad(waveform.astype(np.float32), (n_before, n_after))
    starts = range(0, n_windows * step, step)
    for first in range(0, n_windows, WINDOWS_AT_ONCE):
        some = starts[first : first + WINDOWS_AT_ONCE]
        yield np.stack([padded[start : start + WINDOW_SAMPLES, None] for start in some])
