"""What the sets call things, and which number that becomes."""

import mir_eval
import numpy as np
import pytest

from solfa.tasks import TASKS
from solfa.tasks.emomusic import plain_artist
from solfa.tasks.giantsteps import split_by_artist
from solfa.tasks.harmonix import SECTIONS, section_number
from solfa.tasks.harmony import CHORDS, KEYS, TONICS, chord_number, key_number


def test_keys_count_from_c_major_to_b_minor() -> None:
    assert [key_number(name) for name in KEYS] == list(range(24))
    assert (KEYS[3], KEYS[12]) == ("Eb major", "C minor")


@pytest.mark.parametrize(("name", "same"), [("C# minor", "Db minor"), ("a# major", "Bb major")])
def test_enharmonic_keys_are_one(name: str, same: str) -> None:
    assert key_number(name) == key_number(same)


@pytest.mark.parametrize("number", range(24))
def test_the_nearness_of_keys_is_what_mir_eval_makes_of_them(number: int) -> None:
    fifth = KEYS[(number + 7) % 12 + 12 * (number // 12)]
    assert mir_eval.key.weighted_score(KEYS[number], fifth) == 0.5


@pytest.mark.parametrize("name", ["H minor", "C", "", "minor", "C dorian", "X major"])
def test_what_is_no_key_is_refused_with_a_cure(name: str) -> None:
    with pytest.raises(ValueError, match="Write it as"):
        key_number(name)


@pytest.mark.parametrize("root", TONICS)
def test_chords_that_mir_eval_compares_have_the_class_that_it_finds_equal(root: str) -> None:
    chords = [f"{root}:{quality}" for quality in mir_eval.chord.QUALITIES if quality]
    equal = {chord: mir_eval.chord.majmin([chord] * len(CHORDS), list(CHORDS)) for chord in chords}
    compared = {chord: int(np.argmax(found)) for chord, found in equal.items() if (found >= 0).all()}
    assert len(compared) > 5
    assert {chord: chord_number(chord) for chord in compared} == compared


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("N", "N"),
        ("C", "C:maj"),
        ("F#:7/b7", "Gb:maj"),
        ("Bb:min9", "Bb:min"),
        ("D:maj/2", "D:maj"),
        ("B#:maj", "C:maj"),
    ],
)
def test_chords_fall_into_their_class(name: str, expected: str) -> None:
    number = chord_number(name)
    assert number is not None
    assert CHORDS[number] == expected


@pytest.mark.parametrize("name", ["X", "C:sus4", "C:dim", "C:aug", "C:5", "C:maj(b3)"])
def test_chords_of_no_class_are_not_counted(name: str) -> None:
    assert chord_number(name) is None


@pytest.mark.parametrize("name", ["H:maj", "C:major", "c major", ""])
def test_what_is_no_chord_is_refused_with_a_cure(name: str) -> None:
    with pytest.raises(ValueError, match="Write it as"):
        chord_number(name)


@pytest.mark.parametrize(
    ("task", "n"),
    [
        ("magnatagatune", 50),
        ("mtg_genre", 87),
        ("mtg_instrument", 40),
        ("mtg_mood", 56),
        ("mtg_top50", 50),
        ("gtzan_genre", 10),
        ("nsynth_instrument", 11),
        ("nsynth_pitch", 128),
        ("vocalset_technique", 10),
        ("vocalset_singer", 20),
        ("giantsteps_key", 24),
        ("chords1217", 25),
        ("hooktheory_structure", 7),
    ],
)
def test_a_task_has_as_many_names_as_its_paper_says(task: str, n: int) -> None:
    assert len(TASKS[task].kind.names) == n


def test_the_first_and_last_tag_of_magnatagatune_are_marbles() -> None:
    names = TASKS["magnatagatune"].kind.names
    assert (names[0], names[21], names[49]) == ("guitar", "no vocals", "choral")


def test_families_of_nsynth_have_the_numbers_of_the_set() -> None:
    names = TASKS["nsynth_instrument"].kind.names
    assert (names.index("bass"), names.index("synth_lead"), names.index("vocal")) == (0, 9, 10)


@pytest.mark.parametrize(
    ("label", "section"),
    [
        ("prechorus", "verse"),
        ("altchorus", "chorus"),
        ("bigoutro", "outro"),
        ("gtrsolo", "inst"),
        ("Verse2", "verse"),
    ],
)
def test_labels_of_harmonix_fall_into_their_section(label: str, section: str) -> None:
    number = section_number(label)
    assert number is not None
    assert SECTIONS[number] == section


def test_a_label_of_harmonix_without_a_known_word_is_not_counted() -> None:
    assert section_number("mainriff") is None


def test_artists_within_two_steps_of_one_that_validates_validate_too() -> None:
    names = [f"Artist {number}" for number in range(60)]
    alone = split_by_artist([name] for name in names)
    training = [name for name in names if alone[name] == "train"]
    validating = next(name for name in names if alone[name] == "valid")
    together = split_by_artist([*([n] for n in names), training[:2], [validating, training[0]]])
    assert {together[name] for name in training[:2]} == {"valid"}
    assert together[training[2]] == "train"


def test_an_artist_is_hashed_without_signs_and_odd_spaces() -> None:
    assert plain_artist("\tThe  Bj\u00f6rk & 2 Friends! ") == "the bjrk friends"
