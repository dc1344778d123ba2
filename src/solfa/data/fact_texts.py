"""Facts of tracks -> texts that say some of them, which other tracks each text fits, and texts that fit none.

A fact is a field and a value, such as tempo and slow. Many texts fit many tracks: "slow, with drums" is true
of every slow track with drums. So a text does not belong to one track alone, but to any as far as it fits.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float
from torch import Tensor

from solfa.data.captioning import PHRASES
from solfa.data.captions import CaptionsConfig, FactTextsConfig, cure, joined, tag_words
from solfa.data.heard import OPPOSITE_MOODS
from solfa.data.manifest import Track
from solfa.data.templates import CHINESE_WORDS, COMMA, SYNONYMS, TEMPLATES
from solfa.errors import ArgumentError

# Of these a track has one value at a time: another one contradicts it. Of the others it may have several.
SINGLE = ("tempo", "key", "mode", "loudness", "brightness", "texture", "beat", "drums", "voice")
ABSENT, PRESENT = "without", "instrument"  # fields whose equal values contradict each other
# Values of one field, of which there may be several at a time, but not these two.
OPPOSITES = {"mood": OPPOSITE_MOODS}
MOST_FACTS = 4  # in one text: people say no more

Fact = tuple[str, str]  # field, value


@dataclass(frozen=True)
class FactText:
    """A text, and what it says."""

    text: str
    facts: tuple[Fact, ...]


@dataclass(frozen=True)
class FactTexts:
    """What is said of one clip."""

    right: FactText
    wrong: tuple[FactText, ...]  # each with one fact that is not true of the clip


@dataclass(frozen=True)
class ClipFacts:
    """What is true of clips, and what their texts say."""

    has: Bool[Tensor, "clip fact"]
    said: Bool[Tensor, "text fact"]  # by the text of each
    contradictions: Float[Tensor, "fact fact"]  # one where two cannot both be true
    wrong_texts: tuple[tuple[str, ...], ...]  # of each clip: texts that are not true of it

    def mapped(self, moved: Callable[[Tensor], Tensor]) -> "ClipFacts":
        """The same, its tensors moved."""
        return replace(
            self, has=moved(self.has), said=moved(self.said), contradictions=moved(self.contradictions)
        )


def fitting(
    has: Bool[Tensor, "clip fact"],
    said: Bool[Tensor, "text fact"],
    contradictions: Float[Tensor, "fact fact"],
) -> Float[Tensor, "clip text"]:
    """How far texts fit clips: the share of a text's facts that a clip has; 0 if one is contradicted."""
    spoken, known = said.float(), has.float()
    share = known @ spoken.T / spoken.sum(1).clamp(min=1)
    # A fact of the clip that cannot be true beside one of the text makes the whole text untrue.
    is_contradicted = known @ contradictions @ spoken.T > 0
    return share.masked_fill(is_contradicted, 0.0)


class Vocabulary:
    """All facts that tracks have, and which of them contradict each other.

    Args:
        tracks: with facts in their tags.
        fields: tags that are facts.

    Raises:
        ArgumentError: no track has any.
    """

    def __init__(self, tracks: Sequence[Track], fields: Sequence[str]) -> None:
        self.fields = tuple(fields)
        self.facts = tuple(sorted({fact for track in tracks for fact in facts_of(track, fields)}))
        if not self.facts:
            raise ArgumentError(f"No track has a fact to be told of. {cure(self.fields)}")
        self.number = {fact: n for n, fact in enumerate(self.facts)}
        self.contrary: dict[Fact, tuple[Fact, ...]] = {
            fact: tuple(other for other in self.facts if is_contrary(fact, other)) for fact in self.facts
        }

    def row(self, facts: Sequence[Fact]) -> Bool[np.ndarray, " fact"]:
        """True where a fact is among them."""
        row = np.zeros(len(self.facts), dtype=bool)
        row[[self.number[fact] for fact in facts if fact in self.number]] = True
        return row

    @property
    def contradictions(self) -> Float[np.ndarray, "fact other"]:
        """One where two facts cannot be true of the same music, else zero."""
        table = np.zeros((len(self.facts), len(self.facts)), dtype=np.float32)
        for fact, others in self.contrary.items():
            table[self.number[fact], [self.number[other] for other in others]] = 1
        return table


def is_contrary(fact: Fact, other: Fact) -> bool:
    """Whether two facts cannot both be true of the same music."""
    if fact[0] == other[0]:
        is_opposite = any({fact[1], other[1]} == set(pair) for pair in OPPOSITES.get(fact[0], ()))
        return is_opposite or (fact[0] in SINGLE and fact[1] != other[1])
    return {fact[0], other[0]} == {ABSENT, PRESENT} and fact[1] == other[1]


def facts_of(track: Track, fields: Sequence[str]) -> tuple[Fact, ...]:
    """The facts in a track's tags, in the order of ``fields``."""
    return tuple((field, word) for field in fields for word in tag_words(track, (field,)))


def draw_fact_texts(
    track: Track, vocabulary: Vocabulary, config: CaptionsConfig, rng: np.random.Generator
) -> FactTexts:
    """One text that says some facts of a track, and others in which one of these is turned into its contrary.

    Raises:
        ArgumentError: nothing is known of the track.
    """
    how = config.facts or FactTextsConfig()
    known = facts_of(track, vocabulary.fields)
    if not known:
        raise ArgumentError(f"{track.path} has no facts. {cure(vocabulary.fields)}")
    is_bare = rng.random() < how.bare_probability
    n = 1 if is_bare else int(rng.integers(1, min(MOST_FACTS, len(known)) + 1))
    chosen = [known[i] for i in rng.permutation(len(known))[:n]]
    wrong = (_turned(chosen, known, vocabulary, rng) for _ in range(how.n_wrong))
    said = (_said(facts, is_bare, config, how, rng) for facts in (chosen, *wrong))
    right, *others = said
    return FactTexts(right, tuple(others))


def _turned(
    chosen: Sequence[Fact], known: Sequence[Fact], vocabulary: Vocabulary, rng: np.random.Generator
) -> list[Fact]:
    """The same facts, one of them replaced by its contrary, or by a value that is not known of it."""
    place = int(rng.integers(len(chosen)))
    fact = chosen[place]
    others = [other for other in vocabulary.contrary.get(fact, ()) if other not in known]
    others = others or [other for other in vocabulary.facts if other[0] == fact[0] and other not in known]
    others = others or [other for other in vocabulary.facts if other not in known] or [fact]
    return [*chosen[:place], others[int(rng.integers(len(others)))], *chosen[place + 1 :]]


def _said(
    facts: Sequence[Fact],
    is_bare: bool,
    config: CaptionsConfig,
    how: FactTextsConfig,
    rng: np.random.Generator,
) -> FactText:
    """Facts in words."""
    language = config.languages[int(rng.integers(len(config.languages)))]
    kind = rng.random()
    is_phrased = not is_bare and language == "en" and kind >= (1 + how.list_probability) / 2
    words = [_word(fact, language, how.synonym_probability, not is_phrased, rng) for fact in facts]
    if is_phrased:
        phrases = [
            phrases_of(field)[int(rng.integers(len(phrases_of(field))))].format(word)
            for (field, _), word in zip(facts, words, strict=True)
        ]
        text = f"{', '.join(phrases)}."
    elif is_bare or kind < how.list_probability:
        text = COMMA[language].join(words)
    else:
        templates = TEMPLATES[language]
        text = templates[int(rng.integers(len(templates)))].format(joined(words, language))
    return FactText(text[0].upper() + text[1:] if kind > 0.5 else text, tuple(facts))


def phrases_of(field: str) -> tuple[str, ...]:
    """Phrases around a value of a field; of a tag that is not known here, the value alone."""
    return PHRASES.get(field, ("{}",))


def _word(
    fact: Fact, language: str, synonym_probability: float, is_alone: bool, rng: np.random.Generator
) -> str:
    """A fact as a word or two; one that stands alone must say by itself what it is about."""
    field, value = fact
    draw, others = rng.random(), SYNONYMS.get(value.lower(), ())
    if language == "zh":
        word = CHINESE_WORDS.get(value.lower(), value)
        return f"没有{word}" if field == ABSENT else word
    if not is_alone:  # phrases have places for some kinds of words only
        return value
    word = others[int(rng.integers(len(others)))] if others and draw < synonym_probability else value
    return f"no {word}" if field == ABSENT else f"{word} beat" if field == "beat" else word
