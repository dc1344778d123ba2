from pathlib import Path

import numpy as np
import pytest

import zoo
from solfa.data.manifest import Track
from solfa.data.prepare import prepare_folder
from solfa.errors import ArgumentError
from solfa_free.free_music import HELD_OUT, JUDGES, is_held_out, list_tracks
from solfa_free.unheard import choose_unheard, composers_of, find_copies, levels

RATE = 24_000


def piece(seed: int, seconds: float = 24.0) -> np.ndarray:
    """Chords of many random pitches, in random strength and length."""
    rng = np.random.default_rng(seed)
    parts = []
    while sum(map(len, parts)) < seconds * RATE:
        n = int(RATE * rng.uniform(0.2, 1.0))
        time = np.arange(n) / RATE
        pitches = np.geomspace(60, 11_000, 40) * rng.uniform(0.95, 1.05, 40)
        gains, decays = 10 ** rng.uniform(-1, 0, 40), rng.uniform(0, 4, 40)
        partials = np.sin(2 * np.pi * np.outer(pitches, time)) * np.exp(-np.outer(decays, time))
        parts.append(0.02 * gains @ partials)
    return np.concatenate(parts)[: int(seconds * RATE)].astype(np.float32)


@pytest.fixture
def tracks(tmp_path: Path) -> dict[str, Track]:
    sounds = {
        "one": piece(1),
        "other": piece(2),
        # Softer, later and cut: as another edition of the same recording.
        "copy": 0.4 * np.concatenate([piece(3, 6.1), piece(1)[: 16 * RATE]]),
    }
    for name, samples in sounds.items():
        zoo.write(tmp_path / f"{name}.wav", samples, RATE)
    found = prepare_folder(tmp_path, tags=lambda path: {"package": "wesnoth", "artist": path.stem}).tracks
    return {track.path.stem: track for track in found}


def test_a_copy_is_found_by_its_sound(tracks: dict[str, Track]) -> None:
    one, other, copy = tracks["one"], tracks["other"], tracks["copy"]
    assert find_copies([other, copy], [one]) == {copy.path: one.path}
    assert find_copies([one], [other]) == find_copies([one], []) == {}


def test_a_composer_of_what_is_trained_on_is_left_out(tracks: dict[str, Track]) -> None:
    one, other, copy = tracks["one"], tracks["other"], tracks["copy"]
    one.tags["composer"] = "Joseph G. Toscano (ZhayTee)"
    copy.tags.update(package="adonthell-data", artist="ZHAYTEE")
    chosen = choose_unheard([one, other], [copy])
    assert chosen.tracks == [other] and chosen.same_composer == {one.path: "zhaytee"}


def test_a_list_to_train_on_that_holds_what_is_held_out_is_refused(tracks: dict[str, Track]) -> None:
    with pytest.raises(ArgumentError, match="held out"):
        choose_unheard([tracks["one"]], [tracks["other"]])


def test_names_are_compared_part_by_part() -> None:
    assert composers_of({"artist": "Klaus Halfmann aka Hasi50", "composer": "A & B"}) == {
        "klaus halfmann", "hasi50", "a", "b",
    }  # fmt: skip
    assert composers_of({"artist": "<Unknown>"}) == set()


def test_the_judges_are_all_that_is_held_out() -> None:
    assert all(is_held_out({"package": package}) for package in JUDGES)
    assert all(any(package.startswith(name) for package in JUDGES) for name in HELD_OUT)
    assert len(list_tracks(JUDGES)) > 200


def test_less_than_a_quarter_of_a_second_has_no_levels() -> None:
    assert levels(np.zeros((24, 128))).shape == (0, 16) and levels(np.zeros((50, 128))).shape == (2, 16)
