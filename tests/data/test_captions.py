import string
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from solfa.data.captions import CaptionsConfig, draw_caption, tag_words
from solfa.data.clips import ClipsConfig, RandomClips
from solfa.data.manifest import ManifestError, Track, read_manifest, write_manifest
from solfa.data.templates import CHINESE, ENGLISH

TRACK = Track(
    path=Path("/music/a.wav"), seconds=10.0, sample_rate=24_000, n_channels=1, content_hash="",
    tags={"genre": "Jazz; Swing", "instrument": "piano, drums", "mood": "calm", "artist": "Somebody"},
)  # fmt: skip


def drawn(track: Track, config: CaptionsConfig, n: int = 400) -> list[str]:
    return [draw_caption(track, config, np.random.default_rng(seed)) for seed in range(n)]


def test_words_are_those_of_the_fields_that_were_asked_for() -> None:
    assert tag_words(TRACK, ("mood", "genre")) == ["calm", "Jazz", "Swing"]
    assert tag_words(TRACK, ("scene",)) == []


def test_a_field_that_a_test_asks_for_never_comes_up() -> None:
    texts = drawn(TRACK, CaptionsConfig(fields=("genre", "mood")))
    assert not any("piano" in text or "drums" in text or "Somebody" in text for text in texts)


def test_every_word_is_dropped_as_often_as_asked() -> None:
    config = CaptionsConfig(list_probability=1.0, tag_dropout=0.4)
    heard = Counter(word for text in drawn(TRACK, config, 1000) for word in text.split(", "))
    assert heard.keys() == {"Jazz", "Swing", "piano", "drums", "calm"}
    # 0.6 of all draws, and of those that would say nothing (0.4 to the fifth) a fifth each
    assert all(abs(n / 1000 - 0.602) < 0.06 for n in heard.values())


def test_half_of_the_texts_are_a_bare_list() -> None:
    texts = drawn(TRACK, CaptionsConfig(tag_dropout=0.0))
    words = {"Jazz", "Swing", "piano", "drums", "calm"}
    assert abs(sum(set(text.split(", ")) == words for text in texts) / len(texts) - 0.5) < 0.08


def test_captions_and_tags_take_turns() -> None:
    texts = drawn(replace(TRACK, captions=("A tune.",)), CaptionsConfig(caption_probability=0.25))
    assert abs(texts.count("A tune.") / len(texts) - 0.25) < 0.07


def test_chinese_sentences_have_chinese_words() -> None:
    texts = drawn(TRACK, CaptionsConfig(languages=("zh",), tag_dropout=0.0))
    assert all("钢琴" in text and "平静" in text for text in texts)
    assert not any("piano" in text for text in texts)


@pytest.mark.parametrize("templates", [ENGLISH, CHINESE])
def test_every_sentence_has_one_place_for_tags(templates: tuple[str, ...]) -> None:
    assert len(set(templates)) == len(templates) >= 20
    for template in templates:
        places = [field for _, field, _, _ in string.Formatter().parse(template) if field is not None]
        assert places == [""], template


def test_a_track_without_words_is_refused_with_the_cure() -> None:
    with pytest.raises(ValueError, match=r"neither captions nor tags.*solfa data caption"):
        draw_caption(replace(TRACK, tags={}), CaptionsConfig(), np.random.default_rng(0))


def test_a_run_over_tracks_without_words_does_not_begin() -> None:
    tracks = [TRACK, replace(TRACK, tags={"artist": "x"})]
    with pytest.raises(ValueError, match=r"1 of 2 tracks have neither"):
        RandomClips(tracks, ClipsConfig(clip_seconds=2.0, captions=CaptionsConfig()), 24_000, 0)


def test_captions_survive_a_manifest(tmp_path: Path) -> None:
    track = replace(TRACK, path=tmp_path / "a.wav", captions=("A tune.", "一首曲子"))
    write_manifest([track], tmp_path / "m.jsonl")
    assert read_manifest(tmp_path / "m.jsonl") == [track]


def test_captions_that_are_no_list_are_refused_with_their_line(tmp_path: Path) -> None:
    write_manifest([replace(TRACK, captions=("A tune.",))], tmp_path / "m.jsonl")
    broken = (tmp_path / "m.jsonl").read_text().replace('["A tune."]', '"A tune."')
    (tmp_path / "m.jsonl").write_text(broken)
    with pytest.raises(ManifestError, match=r"line 1: has 'captions' that are not a list of texts"):
        read_manifest(tmp_path / "m.jsonl")
