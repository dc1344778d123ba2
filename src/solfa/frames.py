"""Seconds, samples and frames: the only place where they are converted; and how loud samples may be."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

LOUDEST = 100.0  # beyond it, samples are in no sense in [-1, 1]: 40 dB over full scale
LOUD = 1.5  # beyond it, they are louder than decoders of lossy files make them: 3.5 dB over full scale


@dataclass(frozen=True)
class FrameGrid:
    """Where frames lie on a waveform: frame ``i`` starts at sample ``i * hop_length``."""

    sample_rate: int  # Hz
    hop_length: int  # samples

    @classmethod
    def of_rates(cls, sample_rate: int, frame_rate: float) -> "FrameGrid":
        """The grid of so many frames per second."""
        return cls(sample_rate, round(sample_rate / frame_rate))

    @property
    def frame_rate(self) -> float:
        """Frames per second."""
        return self.sample_rate / self.hop_length

    def seconds_to_frames(self, seconds: float) -> int:
        """Frames nearest to ``seconds``, at least one."""
        return max(1, round(seconds * self.frame_rate))

    def seconds_to_samples(self, seconds: float) -> int:
        """Samples nearest to ``seconds``."""
        return seconds_to_samples(seconds, self.sample_rate)

    def frame_times(self, n_frames: int) -> Float[np.ndarray, "frame"]:
        """Where each of the first ``n_frames`` frames starts, in seconds."""
        return np.arange(n_frames) * self.hop_length / self.sample_rate


def seconds_to_samples(seconds: float, sample_rate: int) -> int:
    """Samples nearest to ``seconds`` at ``sample_rate`` Hz."""
    return round(seconds * sample_rate)


def samples_to_seconds(n_samples: int, sample_rate: int) -> float:
    """Length of ``n_samples`` at ``sample_rate`` Hz, in seconds."""
    return n_samples / sample_rate
