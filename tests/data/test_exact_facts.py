from pathlib import Path

import numpy as np
import pytest

from solfa.data.exact_facts import (
    ASKED,
    DRUM_CHANNEL,
    GENRES,
    INSTRUMENTS,
    exact_facts,
    instruments,
    label_excerpts,
    n_onsets,
)
from solfa.data.excerpts import ExcerptsConfig
from solfa.data.fact_texts import facts_of
from solfa.data.heard import HEARD_FIELDS
from solfa.data.manifest import Track
from solfa.data.templates import CHINESE_WORDS
from solfa.errors import ArgumentError

PIANO, DISTORTED, VIOLIN, CHOIR, TIMPANI, KIT = 0, 30, 40, 52, 47, 0


def note(start: float, end: float, program: int, channel: int = 0) -> list[float]:
    return [start, end, 60, 90, program, channel]


def drum(start: float) -> list[float]:
    return note(start, start + 0.1, KIT, DRUM_CHANNEL)


LABELS = {
    "content_hash": "a",
    "notes": [
        *(note(n * 0.5, n * 0.5 + 0.4, PIANO) for n in range(40)),  # 0 to 20 s
        *(drum(n * 0.5) for n in range(20)),  # 0 to 10 s
        note(20.0, 30.0, VIOLIN, 1),
        note(30.0, 30.2, DISTORTED, 2),  # hardly anything
    ],
    "beats": [n * 0.5 for n in range(41)],  # two a second, to 20 s
    "keys": [[0.0, 25.0, "C major"], [25.0, 40.0, "A minor"]],
    "tags": {"style": "jazz waltz"},
}


def track(name: str = "a", seconds: float = 40.0) -> Track:
    return Track(
        path=Path(f"/{name}.flac"), seconds=seconds, sample_rate=24000, n_channels=1, content_hash=name,
        tags={"corpus": "mma", "mood": "said by somebody"},
    )  # fmt: skip


def excerpts(labels: dict[str, object] = LABELS) -> list[dict[str, str]]:
    found = label_excerpts([track()], {"a": labels}, ExcerptsConfig())
    return [excerpt.tags for excerpt in found.excerpts]


def test_what_sounds_in_an_excerpt_is_said_and_nothing_else() -> None:
    first, second, third, last = excerpts()
    assert first["instrument"] == second["instrument"] == "piano"
    assert third["instrument"] == "violin; strings"
    assert first["drums"] == "drums" and last["drums"] == "no drums"
    assert first["tempo"] == "fast" and first["beat"] == "steady" and "tempo" not in third
    assert first["mode"] == "major" and last["mode"] == "minor"
    assert "mode" not in third  # it changes in the middle
    assert first["genre"] == "jazz; waltz"


def test_what_a_listener_could_doubt_is_neither_there_nor_missing() -> None:
    _, second, third, last = excerpts()
    assert "drums" not in second  # a stroke of 9.5 s may ring
    assert "piano" not in third["instrument"] and "piano" not in third["without"]  # likewise
    assert "guitar" not in last.get("instrument", "") and "guitar" not in last["without"]
    assert "piano" in last["without"] and "choir" in last["without"]


def test_a_choir_is_a_voice_and_timpani_may_be_drums() -> None:
    choir = {**LABELS, "notes": [note(0.0, 40.0, CHOIR), note(0.0, 40.0, TIMPANI, 1)]}
    [first, *_] = excerpts(choir)
    assert first["voice"] == "voice" and first["instrument"] == "choir" and "drums" not in first
    assert excerpts()[0]["voice"] == "no voice"


def test_excerpts_have_the_fields_that_recordings_have() -> None:
    for tags in excerpts():
        assert set(tags) <= {*HEARD_FIELDS, "without", "corpus"}  # a mood that it had is not exact
    [first, *_] = label_excerpts([track()], {"a": LABELS}, ExcerptsConfig()).excerpts
    assert ("drums", "drums") in facts_of(first, HEARD_FIELDS) and not first.captions


def test_an_excerpt_without_notes_is_left_out_and_so_is_a_track_without_labels() -> None:
    silent = {**LABELS, "notes": [note(0.0, 1.0, PIANO)]}
    found = label_excerpts([track(), track("b")], {"a": silent}, ExcerptsConfig())
    assert len(found.excerpts) == 1 and found.n_silent == 3 and len(found.unknown) == 1
    with pytest.raises(ArgumentError, match=r"labels\.jsonl"):
        label_excerpts([track("b")], {"a": LABELS}, ExcerptsConfig())


def test_words_for_many_and_few_notes_go_by_all_excerpts() -> None:
    first, second, third, last = excerpts()
    assert third["texture"] == last["texture"] == "sparse"
    assert first["texture"] == second["texture"] == "busy"


def test_chords_are_one_onset() -> None:
    assert n_onsets(np.array([0.0, 0.01, 0.02, 0.5, 1.0])) == 3


def test_every_program_has_words_or_none() -> None:
    for program in range(128):
        present, absent = instruments(np.array([[0.0, 5.0, program, 0.0]]), 0.0, 10.0)
        assert not set(present) & set(absent)
    assert instruments(np.array([[0.0, 5.0, 30.0, 0.0]]), 0.0, 10.0)[0] == ["guitar", "distorted guitar"]


def test_tempo_of_a_stretch_is_that_of_its_beats() -> None:
    labels = {"beats": [*np.arange(0, 10, 1.0), *np.arange(10, 20, 0.4)]}
    assert exact_facts(labels, np.zeros((0, 4)), 0.0, 10.0)["tempo"] == ("slow",)
    assert exact_facts(labels, np.zeros((0, 4)), 10.0, 20.0)["tempo"] == ("fast",)


def test_every_word_is_known_in_chinese() -> None:
    instruments = {word for words in INSTRUMENTS.values() for word in words}
    genres = {word for words in GENRES.values() for word in words} | {"polka", "march", "blues", "ballad"}
    facts = {"drums", "no drums", "voice", "no voice", "major", "minor", "sparse", "busy", "steady", "fast"}
    assert not (instruments | genres | facts | set(ASKED)) - set(CHINESE_WORDS)
