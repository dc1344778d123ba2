from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from solfa.data.captions import CaptionsConfig, FactTextsConfig
from solfa.data.fact_texts import Vocabulary, draw_fact_texts, facts_of, fitting, is_contrary
from solfa.data.manifest import Track
from solfa.data.templates import SYNONYMS
from solfa.errors import ArgumentError

FIELDS = ("mood", "instrument", "tempo", "drums", "without")
PLAIN = Track(path=Path("a.wav"), seconds=9.0, sample_rate=24_000, n_channels=1, content_hash="0")
CALM = replace(
    PLAIN, tags={"mood": "calm", "instrument": "piano; flute", "tempo": "slow", "drums": "no drums"}
)
WILD = replace(PLAIN, tags={"mood": "energetic", "tempo": "fast", "drums": "drums", "without": "piano"})
TRACKS = [CALM, WILD]
WORDS = Vocabulary(TRACKS, FIELDS)


def config(**changes: object) -> CaptionsConfig:
    return CaptionsConfig(fields=FIELDS, facts=replace(FactTextsConfig(), **changes))


def test_a_vocabulary_has_each_fact_once_and_knows_contraries() -> None:
    assert len(WORDS.facts) == len(set(WORDS.facts)) == 9
    assert is_contrary(("tempo", "slow"), ("tempo", "fast")) and not is_contrary(
        ("mood", "calm"), ("mood", "sad")
    )
    assert is_contrary(("without", "piano"), ("instrument", "piano"))
    assert is_contrary(("mood", "happy"), ("mood", "sad"))
    assert WORDS.contradictions.sum() == 2 * 4 and (WORDS.contradictions == WORDS.contradictions.T).all()


def test_texts_say_what_they_are_said_to_say_and_wrong_ones_something_untrue() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        texts = draw_fact_texts(CALM, WORDS, config(synonym_probability=0.0), rng)
        assert set(texts.right.facts) <= set(facts_of(CALM, FIELDS))
        for _, value in texts.right.facts:
            assert value in texts.right.text.lower()
        for wrong in texts.wrong:
            assert len(wrong.facts) == len(texts.right.facts)
            assert len(set(wrong.facts) - set(facts_of(CALM, FIELDS))) == 1, wrong


def test_synonyms_and_negations_are_said_as_people_do() -> None:
    rng, how = np.random.default_rng(1), config(bare_probability=1.0, synonym_probability=1.0)
    said = {draw_fact_texts(WILD, WORDS, how, rng).right.text.lower() for _ in range(100)}
    assert said & set(SYNONYMS["fast"]) and "fast" not in said
    assert any(text.startswith("no ") for text in said)


def test_chinese_texts_have_chinese_words() -> None:
    texts = draw_fact_texts(CALM, WORDS, replace(config(), languages=("zh",)), np.random.default_rng(0))
    assert any("一" <= letter <= "鿿" for letter in texts.right.text)


def test_a_text_fits_by_the_share_of_its_facts_and_not_at_all_if_one_is_contradicted() -> None:
    has = torch.from_numpy(np.stack([WORDS.row(facts_of(track, FIELDS)) for track in TRACKS]))
    said = torch.from_numpy(
        np.stack([
            WORDS.row([("tempo", "slow"), ("mood", "calm")]),
            WORDS.row([("instrument", "flute"), ("mood", "energetic")]),
            WORDS.row([("instrument", "piano"), ("mood", "energetic")]),
        ])
    )  # fmt: skip
    found = fitting(has, said, torch.from_numpy(WORDS.contradictions))
    assert found.tolist() == [[1.0, 0.0, 0.0], [0.0, 0.5, 0.0]]


def test_tracks_without_facts_are_refused() -> None:
    with pytest.raises(ArgumentError, match="fact"):
        Vocabulary([PLAIN], FIELDS)
    with pytest.raises(ArgumentError, match="no facts"):
        draw_fact_texts(PLAIN, WORDS, config(), np.random.default_rng(0))


def test_facts_of_fields_that_are_not_known_here_are_said_by_their_values() -> None:
    track = replace(PLAIN, tags={"ensemble": "brass band"})
    how = CaptionsConfig(
        fields=("ensemble",), facts=FactTextsConfig(bare_probability=0.0, list_probability=0.0)
    )
    rng, words = np.random.default_rng(0), Vocabulary([track], ("ensemble",))
    said = [draw_fact_texts(track, words, how, rng).right.text.lower() for _ in range(40)]
    assert all("brass band" in text for text in said) and "brass band." in said
