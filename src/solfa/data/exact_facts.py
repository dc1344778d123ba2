"""Exact labels of rendered music -> facts about excerpts, in the fields and words of 'solfa data hear'.

Nothing is measured and no audio is read. What a listener could doubt is not said: an instrument that plays
hardly anything, or whose last note may still ring, is neither there nor missing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from solfa.data.excerpts import ABSENT, ExcerptsConfig, with_facts
from solfa.data.heard import FAST_BPM, SLOW_BPM, TERCILES, Facts, moods
from solfa.data.manifest import Track
from solfa.errors import ArgumentError

DRUM_CHANNEL = 9
LEAST_NOTES, LEAST_SECONDS = 2, 1.0  # of an instrument that is heard: one of them is enough
RINGS_SECONDS = 3.0  # of rooms and slow releases: an instrument that played shortly before may be heard
TOGETHER_SECONDS = 0.03  # notes that begin within it are one onset
LEAST_BEATS, STEADY = 6, 0.03  # intervals between beats deviate less from their mean, as a share of it
LEAST_SHARE = 0.9  # of an excerpt that is in one key
CHOIR, SYNTHESIZER = "choir", "synthesizer"
ASKED = ("piano", "guitar", "bass", "strings", "brass", "organ", "flute", CHOIR, SYNTHESIZER)  # if missing
# First program of General MIDI, counted from 0 -> what one hears, up to the next one.
INSTRUMENTS: dict[int, tuple[str, ...]] = {
    0: ("piano",), 6: ("harpsichord",), 7: (),
    8: ("bells",), 11: ("mallets",), 14: ("bells",), 15: (),
    16: ("organ",), 21: ("accordion",), 22: ("harmonica",), 23: ("accordion",),
    24: ("guitar", "acoustic guitar"), 26: ("guitar",), 29: ("guitar", "distorted guitar"), 31: ("guitar",),
    32: ("bass",),
    40: ("violin", "strings"), 41: ("strings",), 42: ("cello", "strings"), 43: ("strings",),
    46: ("harp",), 47: (),
    48: ("strings",), 52: (CHOIR,), 55: (),
    56: ("trumpet", "brass"), 57: ("brass",),
    64: ("saxophone",), 68: ("reed",), 72: ("flute",),
    80: (SYNTHESIZER, "synth lead"), 88: (SYNTHESIZER, "synth pad"), 91: (SYNTHESIZER, CHOIR),
    92: (SYNTHESIZER, "synth pad"), 96: (SYNTHESIZER,),
    104: ("sitar",), 105: ("banjo",), 106: (), 110: ("violin", "strings"), 111: (),
}  # fmt: skip
PERCUSSION = (47, *range(112, 120))  # programs that may be taken for drums
GENRES: dict[str, tuple[str, ...]] = {  # styles whose names are not their genres
    "jazz waltz": ("jazz", "waltz"), "swing": ("jazz", "swing"), "old jazz": ("jazz",),
    "bossa nova": ("bossa nova", "latin"), "salsa": ("salsa", "latin"), "rhumba": ("rhumba", "latin"),
    "electronic dance": ("electronic", "dance"), "8-beat pop": ("pop",), "16-beat pop": ("pop",),
}  # fmt: skip
Notes = Float[np.ndarray, "note 4"]  # start and end in seconds, program, channel


@dataclass(frozen=True)
class LabelledExcerpts:
    """Excerpts with exact facts in their tags."""

    excerpts: list[Track]
    n_silent: int  # excerpts in which no note sounds
    unknown: list[Track]  # tracks without labels


def label_excerpts(
    tracks: Sequence[Track], labels: Mapping[str, Mapping[str, Any]], config: ExcerptsConfig
) -> LabelledExcerpts:
    """Cut tracks into excerpts, and say of each what its labels know.

    Args:
        tracks: rendered.
        labels: of tracks by content hash; see ``read_labels``.
        config: how tracks are cut.

    Raises:
        ArgumentError: there are labels of none of the tracks.
    """
    found: list[tuple[Track, Facts]] = []
    rates: list[float] = []  # onsets per second
    done = LabelledExcerpts([], 0, [track for track in tracks if track.content_hash not in labels])
    n_silent = 0
    for track in tracks:
        if track.content_hash not in labels:
            continue
        of = labels[track.content_hash]
        notes = _notes(of)
        for excerpt in config.cut(track):
            start, end = excerpt.start_seconds, excerpt.start_seconds + excerpt.seconds
            inside = notes[(notes[:, 0] < end) & (notes[:, 1] > start)]
            if len(inside):
                found.append((excerpt, exact_facts(of, notes, start, end)))
                rates.append(n_onsets(inside[inside[:, 0] >= start, 0]) / excerpt.seconds)
            else:
                n_silent += 1
    if not found:
        raise ArgumentError(
            "There are labels of none of these tracks. Name labels.jsonl of solfa data render."
        )
    few, many = np.percentile(rates, TERCILES)
    for (excerpt, facts), rate in zip(found, rates, strict=True):
        texture = ("sparse",) if rate <= few else ("busy",) if rate >= many else ()
        known: Facts = {**facts, "texture": texture}
        done.excerpts.append(with_facts(excerpt, {**known, "mood": moods(known)}))
    return LabelledExcerpts(done.excerpts, n_silent, done.unknown)


def exact_facts(labels: Mapping[str, Any], notes: Notes, start: float, end: float) -> Facts:
    """What labels know of a stretch of a track, from ``start`` to ``end`` seconds."""
    present, absent = instruments(notes, start, end)
    style = labels.get("tags", {}).get("style", "")
    facts: Facts = {
        "genre": GENRES.get(style, (style,) if style else ()),
        "instrument": tuple(present),
        "drums": _drums(notes, start, end),
        "voice": ("voice",) if CHOIR in present else ("no voice",) if CHOIR in absent else (),
        "mode": _mode(labels.get("keys", []), start, end),
        ABSENT: tuple(word for word in absent if word in ASKED),
    }
    return facts | _beats(np.array([b for b in labels.get("beats", []) if start <= b < end]))


def instruments(notes: Notes, start: float, end: float) -> tuple[list[str], list[str]]:
    """Words for what is clearly heard, and for what is clearly missing."""
    pitched = notes[notes[:, 3] != DRUM_CHANNEL]
    words = {program: _words(int(program)) for program in np.unique(pitched[:, 2])}
    near = {word for program in _sounding(pitched, start - RINGS_SECONDS, end) for word in words[program]}
    seconds: dict[str, list[float]] = {}
    for first, last, program, _ in pitched[(pitched[:, 0] < end) & (pitched[:, 1] > start)]:
        for word in words[program]:
            seconds.setdefault(word, []).append(min(last, end) - max(first, start))
    present = [w for w, of in seconds.items() if len(of) >= LEAST_NOTES or sum(of) >= LEAST_SECONDS]
    every = dict.fromkeys(word for of in INSTRUMENTS.values() for word in of)
    return present, [word for word in every if word not in near]


def n_onsets(starts: Float[np.ndarray, " note"]) -> int:
    """How many moments notes begin at."""
    n, last = 0, -np.inf
    for moment in np.sort(starts):
        if moment - last > TOGETHER_SECONDS:
            n, last = n + 1, float(moment)
    return n


def _notes(labels: Mapping[str, Any]) -> Notes:
    rows = [(n[0], n[1], n[4], n[5]) for n in labels["notes"]]
    return np.array(rows, np.float64).reshape(-1, 4)


def _words(program: int) -> tuple[str, ...]:
    return INSTRUMENTS[max(first for first in INSTRUMENTS if first <= program)]


def _sounding(notes: Notes, start: float, end: float) -> Float[np.ndarray, " program"]:
    return np.unique(notes[(notes[:, 0] < end) & (notes[:, 1] > start), 2])


def _drums(notes: Notes, start: float, end: float) -> tuple[str, ...]:
    """Drums are struck: their ends say nothing of how long they sound."""
    is_drum = notes[:, 3] == DRUM_CHANNEL
    n_struck = int((is_drum & (notes[:, 0] >= start) & (notes[:, 0] < end)).sum())
    if n_struck >= LEAST_NOTES * (end - start) / 4:
        return ("drums",)
    before = (notes[:, 0] >= start - RINGS_SECONDS) & (notes[:, 0] < end)
    is_percussion = ~is_drum & np.isin(notes[:, 2], PERCUSSION) & (notes[:, 0] < end) & (notes[:, 1] > start)
    return () if (is_drum & before).any() or is_percussion.any() else ("no drums",)


def _mode(keys: Sequence[Sequence[Any]], start: float, end: float) -> tuple[str, ...]:
    """Major or minor, where one key holds nearly all of the stretch."""
    for first, last, name in keys:
        if min(last, end) - max(first, start) >= LEAST_SHARE * (end - start):
            return (str(name).split()[-1],)
    return ()


def _beats(beats: Float[np.ndarray, " beat"]) -> Facts:
    """Tempo in a word, and whether it is steady, where there are enough beats."""
    if len(beats) < LEAST_BEATS:
        return {}
    intervals = np.diff(beats)
    bpm = 60 / float(np.median(intervals))
    word = "slow" if bpm < SLOW_BPM else "fast" if bpm >= FAST_BPM else "moderate"
    facts: Facts = {"tempo": (word,)}
    if float(intervals.std() / intervals.mean()) < STEADY:
        facts["beat"] = ("steady",)
    return facts
