"""A whole rendering in another colour: an equaliser, a room and a low-pass, none of which moves a beat."""

from functools import cache

import numpy as np
from jaxtyping import Float
from scipy.signal import oaconvolve

from solfa.frames import seconds_to_samples
from solfa_free.timbres import Colour

KNOTS_HZ = (60.0, 250.0, 1_000.0, 4_000.0, 10_000.0)  # of the equaliser; between them it is smooth
ROOMS_SECONDS = (0.4, 1.0, 2.2)  # until what a room gives back is 60 dB softer
REFLECTION_SECONDS = 0.012  # before a room gives anything back
FILTER_TAPS = 2049  # odd: its middle is a sample
LOW_PASS_ORDER = 8  # 48 dB per octave
DECAY = 3 * np.log(10)  # 60 dB, in nepers
LOUD = 0.01  # of the greatest power of a block: what is softer counts as a rest
BLOCK_SECONDS = 0.05


def coloured(
    waveform: Float[np.ndarray, " sample"], colour: Colour, sample_rate: int
) -> Float[np.ndarray, " sample"]:
    """``waveform`` through equaliser, low-pass and room; as long as it is, and not later."""
    if not len(waveform):
        return waveform
    response = _filter(colour, sample_rate)
    if colour.room is not None:
        room = 10 ** (colour.reverberation_db / 20) * _room(colour.room, sample_rate)
        direct = np.zeros(len(room))
        direct[0] = 1.0
        response = oaconvolve(response, direct + room)
    delay = FILTER_TAPS // 2  # of a filter that treats past and future alike
    return oaconvolve(waveform, response)[delay : delay + len(waveform)].astype(np.float32)


def sounding_level(waveform: Float[np.ndarray, " sample"], sample_rate: int) -> float:
    """RMS of the blocks in which something sounds; rests do not count. Zero for silence."""
    block = seconds_to_samples(BLOCK_SECONDS, sample_rate)
    powers = np.add.reduceat(np.square(waveform, dtype=np.float64), range(0, len(waveform), block)) / block
    loud = powers[powers > LOUD * powers.max(initial=0.0)]
    return float(loud.mean() ** 0.5) if len(loud) else 0.0


def _filter(colour: Colour, sample_rate: int) -> Float[np.ndarray, " tap"]:
    """Taps of the equaliser and the low-pass together, symmetric about their middle."""
    hz = np.fft.rfftfreq(2 * FILTER_TAPS, 1 / sample_rate)
    octaves = np.log2(np.maximum(hz, 1.0))
    gain = 10 ** (np.interp(octaves, np.log2(KNOTS_HZ), colour.equaliser_db) / 20)
    if colour.low_pass_hz is not None:
        gain /= np.sqrt(1 + (hz / colour.low_pass_hz) ** (2 * LOW_PASS_ORDER))
    taps = np.roll(np.fft.irfft(gain, 2 * FILTER_TAPS), FILTER_TAPS // 2)[:FILTER_TAPS]
    return taps * np.hanning(FILTER_TAPS + 2)[1:-1]


@cache
def _room(room: int, sample_rate: int) -> Float[np.ndarray, " sample"]:
    """The impulse response of a room without its direct sound: noise that decays; its energy is one."""
    seconds = ROOMS_SECONDS[room]
    n_before = seconds_to_samples(REFLECTION_SECONDS, sample_rate)
    time = np.arange(seconds_to_samples(seconds, sample_rate)) / sample_rate
    noise = np.random.default_rng(room).standard_normal(len(time)) * np.exp(-DECAY * time / seconds)
    return np.concatenate((np.zeros(n_before), noise / np.sqrt(np.square(noise).sum())))
