"""Activations of beats -> moments, by a hidden Markov model of tempo and position in the beat.

Written here because no maintained library does this alone: madmom, which others use, has no release for
today's Python.
"""

import math

import numpy as np
from jaxtyping import Float, Int

FRAME_RATE = 100.0  # of the model, Hz: activations are interpolated to it, since tempo is a number of frames
TEMPI_BPM = (55.0, 215.0)
TEMPO_STIFFNESS = 100.0  # how strongly a tempo stays from beat to beat
BEAT_SHARE = 1 / 16  # of the time between beats that counts as the beat itself
QUIET = 0.05  # activations before the first and after the last beyond it are no music
PEAK_SECONDS = 0.1
ROUNDING_FRAMES = 1e-3  # by which a number of frames may miss a whole one
METERS = (3, 4)
METER_STIFFNESS = 0.98  # probability that a bar goes on as it began
SMALLEST = 1e-6  # probability


def find_peaks(
    activations: Float[np.ndarray, " frame"],
    times: Float[np.ndarray, " frame"],
    lowest: float,
) -> Float[np.ndarray, " beat"]:
    """Moments at which activations are at least ``lowest`` and highest for 0.1 s around, without a tempo."""
    if len(times) < 2:
        return times[activations >= lowest]
    around = n_frames_of_peak(times)
    padded = np.pad(activations, around, constant_values=-1.0)
    highest = np.lib.stride_tricks.sliding_window_view(padded, 2 * around + 1).max(1)
    frames = np.flatnonzero((activations == highest) & (activations >= lowest))
    is_first = np.diff(frames, prepend=-around - 1) > around  # of a plateau
    return times[frames[is_first]]


def n_frames_of_peak(times: Float[np.ndarray, " frame"]) -> int:
    """On each side of a peak, none of which is higher."""
    if len(times) < 2:
        return 1
    return max(1, int(PEAK_SECONDS / float(np.median(np.diff(times))) + ROUNDING_FRAMES))


def decode_beats(
    activations: Float[np.ndarray, " frame"], times: Float[np.ndarray, " frame"]
) -> Float[np.ndarray, " beat"]:
    """Beats in seconds: the most probable course of a tempo that changes from beat to beat only.

    Args:
        activations: probability of a beat in each frame.
        times: of the frames, in seconds.

    Source:
        Krebs, Boeck, Widmer: An efficient state-space model for joint tempo and meter tracking, ISMIR 2015,
        with its constants; beats are placed and cut off at silence as its authors' program does.
    """
    heard = np.flatnonzero(activations >= QUIET)
    if len(times) < 2 or not len(heard):
        return np.zeros(0)
    start, end = times[heard[0]], times[heard[-1]]
    grid = np.arange(start, end + 1 / FRAME_RATE, 1 / FRAME_RATE)
    probability = np.interp(grid, times, activations)
    beats = []
    for first, interval in _most_probable_beats(probability):
        heard_from, until = max(0, first), first + math.ceil(interval * BEAT_SHARE)
        if heard_from < until:  # the first beat may have passed before the first frame
            beats.append(heard_from + int(probability[heard_from:until].argmax()))
    return grid[beats]


def decode_downbeats(
    activations: Float[np.ndarray, " frame"],
    times: Float[np.ndarray, " frame"],
    beats: Float[np.ndarray, " beat"],
) -> Float[np.ndarray, " downbeat"]:
    """Which beats begin bars of three or four, from the probability of a downbeat in each frame."""
    if not len(beats) or not len(times):
        return np.zeros(0)
    nearby = np.abs(times[None] - beats[:, None]) <= PEAK_SECONDS / 2
    found = np.where(nearby, activations[None], 0.0).max(1).clip(SMALLEST, 1 - SMALLEST)
    states = [(meter, position) for meter in METERS for position in range(meter)]
    is_first = np.array([position == 0 for _, position in states])
    moves = np.full((len(states), len(states)), (1 - METER_STIFFNESS) / (len(states) - 1))
    for number, (meter, position) in enumerate(states):
        moves[number, states.index((meter, (position + 1) % meter))] = METER_STIFFNESS
    seen = np.where(is_first[None], np.log(found)[:, None], np.log(1 - found)[:, None])
    course = _most_probable_course(np.log(moves), seen)
    return beats[is_first[course]]


def _most_probable_course(
    moves: Float[np.ndarray, "state state"], seen: Float[np.ndarray, "step state"]
) -> Int[np.ndarray, " step"]:
    """Viterbi's algorithm on logarithms, from any state."""
    # best[s] is the likelihood of the best course that ends in state s; origins remember where each came
    # from, so that the whole course can be read backwards from the best end.
    best, origins = seen[0], []
    for row in seen[1:]:
        candidates = best[:, None] + moves
        origins.append(candidates.argmax(0))
        best = candidates.max(0) + row
    course = [int(best.argmax())]
    for origin in reversed(origins):
        course.append(int(origin[course[-1]]))
    return np.array(course[::-1])


def _most_probable_beats(probability: Float[np.ndarray, " frame"]) -> list[tuple[int, int]]:
    """First frame and length of each beat, the first of which may have begun before the first frame.

    A state is a length and a position; positions pass one by one, and lengths change where a beat begins. So
    it is enough to know how likely the best course is that enters a length at a frame. As no beat is shorter
    than the shortest, so many frames in a row do not depend on each other, and are done at once.
    """
    shortest, longest = (round(60 * FRAME_RATE / bpm) for bpm in TEMPI_BPM[::-1])
    lengths = np.arange(shortest, longest + 1)
    change = -TEMPO_STIFFNESS * np.abs(lengths[None] / lengths[:, None] - 1)
    change = (change - np.log(np.exp(change).sum(1, keepdims=True))).T.copy()  # to a length, from another
    # entered[longest + t, l] is the likelihood of the best course on which a beat of length l begins at frame
    # t. It follows from the beats that end just there: those of length m began at t - m, saw what lies
    # between, and change to l. Rows before ``longest`` are of beats that began before the first frame; all
    # are as likely.
    seen = _Seen(probability, lengths)
    numbers, n_frames = np.arange(len(lengths)), len(probability)
    entered = np.zeros((longest + n_frames, len(lengths)))  # from so far before the first frame on
    origins = np.zeros((n_frames, len(lengths)), np.int32)
    for first in range(1, n_frames, shortest):
        frames = np.arange(first, min(first + shortest, n_frames))
        starts = frames[:, None] - lengths
        ended = entered[longest + starts, numbers] + seen.between(starts, frames[:, None], numbers)
        candidates = ended[:, None] + change
        best = candidates.argmax(2)
        origins[frames] = best
        entered[longest + frames] = np.take_along_axis(candidates, best[..., None], 2)[..., 0]
    last_numbers = np.repeat(numbers, lengths)
    last_starts = n_frames - 1 - np.concatenate([np.arange(length) for length in lengths])
    ended = entered[longest + last_starts, last_numbers]
    best_end = int((ended + seen.between(last_starts, n_frames, last_numbers)).argmax())
    return _traced_back(int(last_numbers[best_end]), int(last_starts[best_end]), origins, lengths)


class _Seen:
    """Logarithms of what is seen, added up: in the first part of a length a beat, in the others none."""

    def __init__(self, probability: Float[np.ndarray, " frame"], lengths: Int[np.ndarray, " length"]) -> None:
        beat = np.log(probability.clip(SMALLEST, 1 - SMALLEST))
        rest = np.log((1 - probability).clip(SMALLEST) * BEAT_SHARE / (1 - BEAT_SHARE))
        self.n_before = int(lengths[-1])  # frames before the first one, where nothing is seen
        self.beat, self.rest = (
            np.concatenate([np.zeros(self.n_before + 1), values.cumsum()]) for values in (beat, rest)
        )
        self.n_beat = np.ceil(lengths * BEAT_SHARE).astype(np.int64)

    def between(
        self,
        starts: Int[np.ndarray, "..."],
        ends: Int[np.ndarray, "..."] | int,
        numbers: Int[np.ndarray, "..."],
    ) -> Float[np.ndarray, "..."]:
        """Sum over the frames from ``starts`` to before ``ends``, of beats of these lengths."""
        # Differences of running sums: the first sixteenth of a beat is seen as beat, the others as none. A
        # span that ends within the first part has no others, which the minimum sees to.
        middles = np.minimum(starts + self.n_beat[numbers], ends) + self.n_before
        beat = self.beat[middles] - self.beat[starts + self.n_before]
        return beat + self.rest[ends + self.n_before] - self.rest[middles]


def _traced_back(
    number: int, first: int, origins: Int[np.ndarray, "frame length"], lengths: Int[np.ndarray, " length"]
) -> list[tuple[int, int]]:
    """Beats up to the one of that length that begins at ``first``."""
    beats = []
    while first >= 0:
        beats.append((first, int(lengths[number])))
        number = int(origins[first, number])
        first -= int(lengths[number])
    return [(first, int(lengths[number])), *beats[::-1]]
