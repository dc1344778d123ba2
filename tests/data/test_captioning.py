import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from solfa.data.captioning import FACTS, PHRASES, caption_tracks, known_facts, read_labels
from solfa.data.manifest import ManifestError, Track

TRACK = Track(
    path=Path("/music/supertux-data/forest/forest_map02.ogg"), seconds=10.0, sample_rate=24_000, n_channels=1,
    content_hash="abc", tags={"title": "Forest World Map", "genre": "Soundtrack", "licence": "GPL-3+"},
)  # fmt: skip
RENDERED = replace(TRACK, path=Path("/r/audio/mma-jazz-001.flac"), tags={"licence": "MIT"})
LABELS: dict[str, Any] = {
    "content_hash": "abc", "tempo_bpm": 68.0, "keys": [[0.0, 9.0, "E minor"]],
    "families": ["piano", "strings"], "tags": {"style": "bossa nova"},
}  # fmt: skip


def text_of(track: Track, labels: dict[str, Any], without: tuple[str, ...] = ()) -> str:
    (made,) = caption_tracks(
        [track], {"abc": labels} if labels else {}, without=without, n_captions=60
    ).tracks
    return " | ".join([*made.captions, *made.tags.values()]).lower()


def test_a_real_track_is_described_by_its_title_folder_and_tags() -> None:
    assert known_facts(TRACK, {}) == {
        "genre": ("Soundtrack",), "title": ("Forest World Map",), "folder": ("forest",),
        "scene": ("forest",),
    }  # fmt: skip
    nameless = replace(TRACK, tags={}, path=Path("/music/audio/track12.ogg"))
    assert known_facts(nameless, {}) == {}
    at_home = replace(nameless, path=Path("/home/somebody/12.ogg"))
    assert known_facts(at_home, {}, Path("/home/somebody")) == {}


def test_a_rendering_is_described_by_its_exact_labels_and_not_by_its_number() -> None:
    assert known_facts(RENDERED, LABELS) == {
        "tempo": ("slow",), "key": ("E minor",), "mode": ("minor",), "style": ("bossa nova",),
        "instrument": ("piano", "strings"), "drums": ("no drums",),
        "without": ("guitar", "bass", "brass", "organ"),
    }  # fmt: skip
    captioned = [
        caption_tracks([RENDERED], {"abc": LABELS}, only=only, n_captions=60).tracks[0].captions
        for only in ((), ("without",))
    ]
    assert [any("guitar" in text for text in captions) for captions in captioned] == [False, True]
    assert "key" not in known_facts(RENDERED, LABELS | {"keys": [[0, 1, "C major"], [1, 2, "A minor"]]})


@pytest.mark.parametrize("tempo_bpm, word", [(60, "slow"), (100, "moderate"), (180, "fast")])
def test_beats_per_minute_become_a_word(tempo_bpm: float, word: str) -> None:
    assert known_facts(RENDERED, LABELS | {"tempo_bpm": tempo_bpm})["tempo"] == (word,)


@pytest.mark.parametrize(
    "field, words",
    [("key", ("e minor",)), ("mode", ("minor",)), ("style", ("bossa", "nova")), ("tempo", ("slow",)),
     ("instrument", ("piano", "string"))],
)  # fmt: skip
def test_what_a_test_asks_is_never_said(field: str, words: tuple[str, ...]) -> None:
    assert all(word in text_of(RENDERED, LABELS) for word in words)
    text = text_of(RENDERED, LABELS, (field,))
    assert text and not any(word in text for word in words)


def test_what_a_test_asks_is_not_said_by_a_title_or_by_older_captions_either() -> None:
    tags = {"title": "Sad Pianos", "instrument": "piano", "mood": "calm"}
    track = replace(TRACK, tags=tags, captions=("A piano.", "Rain."))
    text = text_of(track, {}, ("instrument",))
    assert "piano" not in text and "rain" in text and "calm" in text


def test_captions_differ_and_are_the_same_each_time() -> None:
    one, two = (caption_tracks([RENDERED, RENDERED], {"abc": LABELS}).tracks for _ in range(2))
    assert one == two
    assert one[0].captions != one[1].captions
    assert len(set(one[0].captions)) == len(one[0].captions)


def test_tracks_that_nothing_is_known_of_are_told_apart() -> None:
    nameless = replace(TRACK, tags={}, path=Path("/music/audio/12.ogg"))
    done = caption_tracks([TRACK, nameless])
    assert ([track.path for track in done.tracks], done.silent) == ([TRACK.path], [nameless])


def test_every_fact_has_several_phrases_with_one_place() -> None:
    assert PHRASES.keys() == set(FACTS)
    assert all(len(p) >= 3 and all(x.count("{}") == 1 for x in p) for p in PHRASES.values())


def test_an_unknown_fact_is_refused_and_the_known_ones_are_named() -> None:
    with pytest.raises(ValueError, match=r"no facts named tune. Known are title, folder"):
        caption_tracks([TRACK], without=("tune",))


def test_labels_are_read_by_content_and_broken_ones_refused(tmp_path: Path) -> None:
    (tmp_path / "labels.jsonl").write_text(json.dumps(LABELS) + "\n")
    assert read_labels(tmp_path / "labels.jsonl") == {"abc": LABELS}
    (tmp_path / "labels.jsonl").write_text("{}\n")
    with pytest.raises(ManifestError, match=r"Render it again"):
        read_labels(tmp_path / "labels.jsonl")
