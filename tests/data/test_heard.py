from dataclasses import replace

import numpy as np
import pytest

from solfa.data.heard import (
    CONCEPTS,
    HEARD_FIELDS,
    MSD,
    MTT,
    Heard,
    heard_facts,
    known_genres,
    moods,
    without_opposites,
)
from solfa.errors import ArgumentError
from solfa.features import Measured

PLAIN = Measured(
    level_db=-20.0, brightness_hz=500.0, onsets_per_second=2.0, percussive=0.33, tempo_bpm=90.0,
    beat_strength=0.3, mode="",
)  # fmt: skip
SOFTEST = replace(PLAIN, level_db=-40.0, brightness_hz=100.0, onsets_per_second=0.1, percussive=0.1)
LOUDEST = replace(
    PLAIN, level_db=-6.0, brightness_hz=3000.0, onsets_per_second=6.0, percussive=0.6, tempo_bpm=150.0,
    beat_strength=0.9, mode="minor",
)  # fmt: skip


def crowd(**tags: dict[str, float]) -> list[Heard]:
    """Thirty middling excerpts, one below them and one above; the last has the tags."""
    rng = np.random.default_rng(0)
    quiet = {name: {tag: 0.01 for _, of in CONCEPTS.values() for tag in of.get(name, ())} for name in tags}
    between = [
        replace(PLAIN, level_db=-20 + rng.normal(), onsets_per_second=2 + 0.1 * rng.normal())
        for _ in range(30)
    ]
    heard = [Heard(m, quiet) for m in (*between, SOFTEST)]
    return [*heard, Heard(LOUDEST, {name: quiet[name] | tags[name] for name in tags})]


def test_words_are_said_of_what_stands_out_and_not_of_the_middle() -> None:
    *_, softest, loudest = heard_facts(crowd())
    assert (
        softest["loudness"] == ("soft",)
        and softest["drums"] == ("no drums",)
        and softest["mood"] == ("calm",)
    )
    assert loudest["tempo"] == ("fast",) and loudest["beat"] == ("steady",) and loudest["mode"] == ("minor",)
    assert loudest["mood"] == ("energetic",) and "voice" not in loudest  # nobody was asked about it
    assert "drums" not in heard_facts(crowd())[0]


def test_a_tempo_that_onsets_contradict_is_not_said() -> None:
    heard = crowd()
    slow_with_many_onsets = Heard(replace(LOUDEST, tempo_bpm=70.0), {})
    assert "tempo" not in heard_facts([*heard, slow_with_many_onsets])[-1]


def test_a_tag_needs_both_taggers_where_both_know_it() -> None:
    both = heard_facts(crowd(**{MTT: {"rock": 0.6}, MSD: {"rock": 0.4}}))
    assert both[-1]["genre"] == ("rock",) and "genre" not in both[0]
    assert "genre" not in heard_facts(crowd(**{MTT: {"rock": 0.6}, MSD: {}}))[-1]


def test_a_tag_of_one_tagger_alone_must_be_clearer() -> None:
    assert heard_facts(crowd(**{MTT: {"piano": 0.6}, MSD: {}}))[-1]["instrument"] == ("piano",)
    assert "instrument" not in heard_facts(crowd(**{MTT: {"piano": 0.15}, MSD: {}}))[-1]


@pytest.mark.parametrize(
    ("mtt", "msd", "expected"),
    [
        ({"singing": 0.8}, {"female vocalists": 0.5}, ("voice",)),
        ({"singing": 0.8}, {"female vocalists": 0.01}, None),  # one says so, the other does not
        ({"singing": 0.2}, {"female vocalists": 0.5}, None),  # highest of all, and yet unlikely
        ({"singing": 0.4, "no vocals": 0.5}, {"female vocalists": 0.5}, None),
        ({}, {}, ("no voice",)),
    ],
)
def test_a_voice_is_said_where_both_find_it_likely(
    mtt: dict[str, float], msd: dict[str, float], expected: tuple[str, ...] | None
) -> None:
    facts = heard_facts(crowd(**{MTT: mtt, MSD: msd}))
    assert facts[-1].get("voice") == expected
    assert all(f["voice"] == ("no voice",) for f in facts[:-1])


def test_moods_follow_from_several_facts_and_are_not_contradicted() -> None:
    assert moods({"mode": ("major",), "tempo": ("fast",), "texture": ("busy",)}) == ("happy",)
    assert moods({"mode": ("minor",), "tempo": ("slow",), "drums": ("no drums",)}) == ("sad",)
    assert moods({"mode": ("major",), "tempo": ("fast",), "brightness": ("dark",), "drums": ("drums",)}) == ()
    quiet = {"texture": ("sparse",), "drums": ("no drums",), "tempo": ("slow",)}
    assert moods(quiet) == ("calm",) and moods(quiet | {"loudness": ("loud",)}) == ()
    assert without_opposites(("calm", "sad", "energetic", "sad")) == ("sad",)


def test_of_stated_genres_those_are_taken_that_can_be_heard() -> None:
    stated = (
        "Female Fronted Metal",
        "Soundtrack",
        "(None)",
        "Electronica",
        "Game Music",
        "Hip-Hop",
        "Metalcore",
    )
    assert known_genres(stated) == ("metal", "electronic", "hip hop")


def test_at_most_six_tags_and_only_known_fields() -> None:
    everything = {tag: 0.9 for _, of in CONCEPTS.values() for tag in of.get(MTT, ())}
    sure = {tag: 0.9 for _, of in CONCEPTS.values() for tag in of.get(MSD, ())}
    facts = heard_facts(crowd(**{MTT: everything, MSD: sure}))[-1]
    said = [word for field in ("genre", "mood", "instrument") for word in facts.get(field, ())]
    assert len(set(said) - {"energetic"}) <= 6 and set(facts) <= set(HEARD_FIELDS)


def test_too_few_excerpts_cannot_be_compared() -> None:
    with pytest.raises(ArgumentError, match="at least 20"):
        heard_facts(crowd()[:5])


def test_numbers_survive_json() -> None:
    heard = crowd(**{MTT: {"rock": 0.5}, MSD: {"rock": 0.5}})[-1]
    assert Heard.of(heard.values()) == heard
