"""Measurements: what can be said of an excerpt without having learned anything, in numbers."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from scipy.ndimage import median_filter

from solfa.errors import ArgumentError
from solfa.features.log_cqt import LogConstantQ, LogConstantQConfig
from solfa.features.mel import LogMel, LogMelConfig

LEAST_SECONDS = 3.0  # of an excerpt; below, tempo and key mean nothing
SILENCE_DB = -70.0  # of full scale; below, there is nothing to measure
MEDIAN_FRAMES, MEDIAN_MELS = 31, 17  # of the filters that tell tones and strokes apart
LEAST_RISE_DB = 1.5  # of the mean band, from frame to frame, above its surroundings: an onset
ONSET_FRAMES = 5  # to each side that an onset is the largest of
SURROUNDING_FRAMES = 50
TEMPO_BPM, TEMPO_OCTAVES = 120.0, 0.9  # which tempi are likely, and how widely they spread
SLOWEST_BPM, FASTEST_BPM = 40.0, 220.0
# How well a pitch class fits a key, from its tonic on: two sources, which are asked apart.
KRUMHANSL = (
    (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88),
    (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17),
)
TEMPERLEY = (
    (0.748, 0.060, 0.488, 0.082, 0.670, 0.460, 0.096, 0.715, 0.104, 0.366, 0.057, 0.400),
    (0.712, 0.084, 0.474, 0.618, 0.049, 0.460, 0.105, 0.747, 0.404, 0.067, 0.133, 0.330),
)
TONES_ABOVE_DB = 12.0  # the median of an excerpt's bins, for a bin to count as a tone


@dataclass(frozen=True)
class Measured:
    """Numbers that describe an excerpt."""

    level_db: float  # root mean square, of full scale
    brightness_hz: float  # mean of pitches, each by its magnitude: half an octave higher is clearly brighter
    onsets_per_second: float
    percussive: float  # share of the magnitude that lies in strokes and not in tones, 0 to 1
    tempo_bpm: float  # 0 if nothing comes again
    beat_strength: (
        float  # how alike onsets are one beat later, 0 to 1: below about 0.3 there is no clear beat
    )
    mode: str  # major or minor where both sources agree on the key; else empty


class Measurements(torch.nn.Module):
    """Waveform of an excerpt -> Measured. Nothing here is learned; two programs agree on the mode, or none.

    Source:
        Tones and strokes by medians: Fitzgerald, Harmonic/percussive separation using median filtering, 2010.
        Keys: profiles of Krumhansl, Cognitive foundations of musical pitch, 1990, and of Temperley, Music and
        probability, 2007. Tempo: Ellis, Beat tracking by dynamic programming, 2007.
    """

    def __init__(self) -> None:
        super().__init__()
        self.mel = LogMel(LogMelConfig())
        self.cqt = LogConstantQ(LogConstantQConfig())
        self.sample_rate = self.mel.config.sample_rate

    @torch.inference_mode()
    def forward(self, waveform: Float[np.ndarray, " sample"]) -> Measured | None:
        """Describe an excerpt, mono, at ``sample_rate`` Hz, of at least 3 s; None if it is silent.

        Raises:
            ArgumentError: it is shorter.
        """
        if len(waveform) < LEAST_SECONDS * self.sample_rate:
            raise ArgumentError(
                f"An excerpt of {len(waveform) / self.sample_rate:.1f} s says too little. Take at least "
                f"{LEAST_SECONDS:g} s."
            )
        level = 10 * float(np.log10(np.mean(waveform.astype(np.float64) ** 2) + 1e-12))
        if level < SILENCE_DB:
            return None
        clip = torch.from_numpy(waveform)[None].float()
        decibels = self.mel.decibels(clip)[0].numpy().astype(np.float64)
        rises = onset_strength(decibels)
        tempo, strength = tempo_of(rises, self.mel.config.grid.frame_rate)
        return Measured(
            level_db=level,
            brightness_hz=brightness(decibels, self._mel_hz()),
            onsets_per_second=n_onsets(rises) * self.sample_rate / len(waveform),
            percussive=percussive_share(decibels),
            tempo_bpm=tempo,
            beat_strength=strength,
            mode=mode_of(self.cqt(clip)[0].numpy().astype(np.float64)),
        )

    def _mel_hz(self) -> Float[np.ndarray, " mel"]:
        """Middles of the mel bands, in Hz."""
        n = self.mel.config.n_mels
        highest = 2595 * np.log10(1 + self.sample_rate / 2 / 700)
        return 700 * (10 ** (np.linspace(0, highest, n + 2)[1:-1] / 2595) - 1)


def brightness(decibels: Float[np.ndarray, "frame mel"], hertz: Float[np.ndarray, " mel"]) -> float:
    """The geometric mean of frequencies, each by its magnitude, in Hz."""
    magnitude = 10 ** (decibels / 20)
    return float(np.exp((magnitude * np.log(hertz)).sum() / magnitude.sum()))


def onset_strength(decibels: Float[np.ndarray, "frame mel"]) -> Float[np.ndarray, " frame"]:
    """How far bands rise from two frames before, in the mean over bands; in decibels."""
    heard = np.maximum(decibels, decibels.max() - 80)
    rises = np.maximum(heard[2:] - heard[:-2], 0).mean(axis=1)
    return np.concatenate([np.zeros(2), rises])


def n_onsets(rises: Float[np.ndarray, " frame"]) -> int:
    """Frames that rise most of those near, and clearly above what is usual around them."""
    around = np.convolve(rises, np.ones(2 * SURROUNDING_FRAMES + 1) / (2 * SURROUNDING_FRAMES + 1), "same")
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(rises, ONSET_FRAMES), 2 * ONSET_FRAMES + 1)
    # The first of equal neighbours counts: its maximum is at the middle of its window.
    is_peak = windows.argmax(axis=1) == ONSET_FRAMES
    return int((is_peak & (rises > around + LEAST_RISE_DB)).sum())


def percussive_share(decibels: Float[np.ndarray, "frame mel"]) -> float:
    """The share of the magnitude where what goes across bands is louder than what goes on in time."""
    magnitude = 10 ** (np.maximum(decibels, decibels.max() - 80) / 20)
    tones = median_filter(magnitude, size=(MEDIAN_FRAMES, 1), mode="reflect")
    strokes = median_filter(magnitude, size=(1, MEDIAN_MELS), mode="reflect")
    # Wiener's mask: each place is shared by the squares of both.
    share = strokes**2 / (strokes**2 + tones**2 + 1e-30)
    return float((share * magnitude).sum() / magnitude.sum())


def tempo_of(rises: Float[np.ndarray, " frame"], frame_rate: float) -> tuple[float, float]:
    """Beats per minute, and how alike onsets are one beat later; both 0 where nothing comes again."""
    centred = rises - rises.mean()
    power = float((centred**2).mean())
    if power < 1e-6:
        return 0.0, 0.0
    spectrum = np.fft.rfft(centred, 2 * len(centred))
    # The autocorrelation at each lag is a mean over the frames that have a partner there.
    correlation = np.fft.irfft(np.abs(spectrum) ** 2)[: len(centred)] / np.arange(len(centred), 0, -1) / power
    lags = np.arange(
        int(60 * frame_rate / FASTEST_BPM), min(int(60 * frame_rate / SLOWEST_BPM), len(rises) // 2)
    )
    if not len(lags):
        return 0.0, 0.0
    likely = np.exp(-0.5 * (np.log2(60 * frame_rate / lags / TEMPO_BPM) / TEMPO_OCTAVES) ** 2)
    best = int(lags[np.argmax(correlation[lags] * likely)])
    strength = float(np.clip(correlation[best], 0, 1))
    return (60 * frame_rate / best, strength) if strength > 0 else (0.0, 0.0)


def mode_of(decibels: Float[np.ndarray, "frame bin"]) -> str:
    """Major or minor, if both sources name the same key with that mode; else nothing."""
    tones = np.maximum(decibels - np.median(decibels) - TONES_ABOVE_DB, 0)
    if not tones.any():
        return ""
    # Three bins to a semitone: its own pitch and a third of a semitone to each side, the first bin being a C.
    semitones = np.roll(tones, 1, axis=1).reshape(len(tones), -1, 12, 3).sum(axis=(1, 3)).mean(axis=0)
    keys = {_key(semitones, profiles) for profiles in (KRUMHANSL, TEMPERLEY)}
    return ("major", "minor")[keys.pop()[1]] if len(keys) == 1 else ""


def _key(
    semitones: Float[np.ndarray, " 12"], profiles: tuple[tuple[float, ...], tuple[float, ...]]
) -> tuple[int, int]:
    """Tonic and mode whose profile goes best with the weights of pitch classes."""
    fits = {
        (tonic, mode): float(np.corrcoef(semitones, np.roll(profile, tonic))[0, 1])
        for mode, profile in enumerate(profiles)
        for tonic in range(12)
    }
    return max(fits, key=lambda key: fits[key])
