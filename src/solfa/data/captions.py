"""CaptionsConfig, draw_caption: what is said of a clip, by captions or by tags in templates."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from solfa.config import LATER, Config, Count, Share
from solfa.data.manifest import Track
from solfa.data.templates import AND, CHINESE_WORDS, COMMA, TEMPLATES
from solfa.errors import ArgumentError

Language = Literal["en", "zh"]
BETWEEN_WORDS = re.compile(r"[;|,]")  # in a tag that holds several


@dataclass(frozen=True, kw_only=True)
class FactTextsConfig(Config):
    """How many facts texts say, and how."""

    bare_probability: Share = 0.25  # of a single value, as one would search for it
    list_probability: Share = 0.25  # of values one after the other
    synonym_probability: Share = 0.3  # that a word is said by another that means the same
    n_wrong: Count = 2  # texts beside each, with one fact turned into its contrary
    n_versions: Count = 8  # texts of a track in all: a frozen language model reads each but once


@dataclass(frozen=True, kw_only=True)
class CaptionsConfig(Config):
    """How a track's captions and tags become the text that a clip is learned with."""

    # Tags of the manifest that say how music sounds. Those that a test asks for are left out here.
    fields: tuple[str, ...] = ("genre", "style", "mood", "theme", "instrument", "tempo", "key", "scene")
    caption_probability: Share = 0.5  # of a caption where a track has both captions and tags
    list_probability: Share = 0.5  # of tags one after the other in place of a sentence, as published
    tag_dropout: Share = 0.3  # that a tag is not said; one of them always is
    languages: tuple[Language, ...] = ("en",)  # of sentences, each as likely
    # Texts are made of facts in tags, of which a text may fit many tracks; captions are not taken then.
    facts: FactTextsConfig | None = field(default=None, metadata=LATER)

    def __post_init__(self) -> None:
        for name in ("caption_probability", "list_probability", "tag_dropout"):
            if not 0 <= getattr(self, name) <= 1:
                raise ArgumentError(f"data.captions.{name} is a probability: choose it from 0 to 1.")
        if not self.languages:
            raise ArgumentError("data.captions.languages is empty. Name one of en and zh, or both.")
        super().__post_init__()


def draw_caption(track: Track, config: CaptionsConfig, rng: np.random.Generator) -> str:
    """One of the texts that fit a track: a caption of its own, or a sentence about some of its tags.

    Raises:
        ValueError: the track has neither.
    """
    words = tag_words(track, config.fields)
    if not words and not track.captions:
        raise ArgumentError(f"{track.path} has neither captions nor tags. {cure(config.fields)}")
    wants_caption = rng.random() < config.caption_probability
    if track.captions and (wants_caption or not words):
        return track.captions[int(rng.integers(len(track.captions)))]
    kept = [word for word in words if rng.random() >= config.tag_dropout]
    kept = kept or [words[int(rng.integers(len(words)))]]
    kept = [kept[i] for i in rng.permutation(len(kept))]
    is_list = rng.random() < config.list_probability
    language = config.languages[int(rng.integers(len(config.languages)))]
    templates = TEMPLATES[language]
    sentence = templates[int(rng.integers(len(templates)))]
    if language == "zh":
        kept = [CHINESE_WORDS.get(word.lower(), word) for word in kept]
    return COMMA[language].join(kept) if is_list else sentence.format(joined(kept, language))


def tag_words(track: Track, fields: Sequence[str]) -> list[str]:
    """What a track's tags say about how it sounds, each once, in the order of ``fields``."""
    found = (word.strip() for field in fields for word in BETWEEN_WORDS.split(track.tags.get(field, "")))
    return list(dict.fromkeys(word for word in found if word))


def joined(words: Sequence[str], language: Language) -> str:
    """Words as a sentence lists them: a, b and c."""
    *first, last = words
    return f"{COMMA[language].join(first)}{AND[language]}{last}" if first else last


def check_captions(tracks: Sequence[Track], config: CaptionsConfig) -> None:
    """Refuse tracks that nothing can be said of, before the first step."""
    silent = [track for track in tracks if not track.captions and not tag_words(track, config.fields)]
    if silent:
        raise ArgumentError(
            f"{len(silent)} of {len(tracks)} tracks have neither captions nor tags, as {silent[0].path}. "
            + cure(config.fields)
        )


def cure(fields: Sequence[str]) -> str:
    """The cure for tracks without captions."""
    return (
        f"Give their lines in the manifest 'captions', a list of texts, or tags named {', '.join(fields)}, "
        "or write both from what is known with: solfa data caption MANIFEST --out captions.jsonl"
    )
