"""What is known of tracks -> manifests with captions: file tags, titles, folders, exact labels of renderings.

A track's own name and the labels of its music are facts; a fact has a field, such as ``key``, and values. The
fields that a test asks for can be left out, and then no caption has their values by another way either.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from solfa.data.captions import tag_words
from solfa.data.manifest import ManifestError, Track
from solfa.data.scenes import scenes_in
from solfa.data.seeds import derived_seed
from solfa.errors import ArgumentError

HEARD = (
    "loudness",
    "brightness",
    "texture",
    "beat",
    "drums",
    "voice",
    "without",
)  # that 'solfa data hear' adds
FROM_TAGS = ("genre", "style", "mood", "theme", "instrument", "scene", "tempo", "key", "mode", *HEARD)
FACTS = ("title", "folder", *FROM_TAGS)
TEMPI = ((76.0, "slow"), (112.0, "moderate"), (np.inf, "fast"))  # words for beats per minute below
# Folders that say where music lies, and nothing about it.
PLACES = {
    "usr", "share", "games", "data", "audio", "music", "musics", "sound", "sounds", "song", "songs", "track",
    "tracks", "album", "albums", "ogg", "mp3", "flac", "opus", "wav", "media", "assets", "res", "misc",
    "common", "files", "new", "old", "soundtrack", "ost", "menu",
}  # fmt: skip
DRUMS = "drums"
ASKED_FAMILIES = (
    "piano",
    "guitar",
    "bass",
    "strings",
    "brass",
    "organ",
)  # of which one says that they are missing
MOST_FACTS = 4  # in one caption: people say no more
PHRASES: dict[str, tuple[str, ...]] = {
    "title": ('called "{}"', "the title is {}", "known as {}", "named {}"),
    "folder": ("from {}", "filed under {}", "it belongs to {}"),
    "genre": ("{} music", "the genre is {}", "a piece of {}", "some {}"),
    "style": ("in the style of {}", "played as {}", "a {} feel", "the band plays {}"),
    "mood": ("the mood is {}", "it feels {}", "{} in character", "sounding {}"),
    "theme": ("the theme is {}", "made for {}", "about {}"),
    "instrument": ("played by {}", "with {}", "one hears {}", "scored for {}", "featuring {}"),
    "scene": ("good for {}", "music for {}", "a {} scene"),
    "tempo": ("{} in tempo", "at a {} pace", "a {} beat", "the tempo is {}"),
    "key": ("in {}", "the key is {}", "its home is {}"),
    "mode": ("in a {} key", "the mode is {}", "{} in mode"),
    "loudness": ("a {} recording", "{} music", "it is {}", "{} all through"),
    "brightness": ("a {} sound", "{} in tone", "it sounds {}"),
    "texture": ("a {} texture", "{} in texture", "{} music"),
    "beat": ("a {} beat", "{} in rhythm", "the beat is {}"),
    "drums": ("with {}", "{} in it", "one hears {}", "there are {}"),
    "voice": ("with {}", "{} in it", "one hears {}"),
    "without": ("without {}", "there is no {}", "no {} at all"),
}

Facts = dict[str, tuple[str, ...]]  # field -> values


@dataclass(frozen=True)
class Captioned:
    """Tracks with captions, and those that nothing is known of."""

    tracks: list[Track]
    silent: list[Track]


def caption_tracks(
    tracks: Sequence[Track],
    labels: Mapping[str, Mapping[str, Any]] | None = None,
    *,
    without: Sequence[str] = (),
    only: Sequence[str] = (),
    n_captions: int = 4,
    seed: int = 0,
    root: Path | None = None,
) -> Captioned:
    """Give tracks captions and tags; the same ones each time.

    Args:
        tracks: what to caption; captions that they have already are kept, unless they say what is left out.
        labels: of rendered music, by content hash; see ``read_labels``.
        without: facts that are left out, because a test asks for them: in captions and in tags.
        only: facts to say, and no others; unlike what is left out, the others' words may be said. All if
            empty. Captions that tracks have already are not kept then: they may say anything.
        n_captions: at most so many for each track, all different.
        seed: another seed chooses other words.
        root: the folder of the music, which says nothing about it, as those above it; any may if None.

    Raises:
        ValueError: a fact of another name than ``FACTS``.
    """
    if unknown := {*without, *only} - set(FACTS):
        raise ArgumentError(
            f"There are no facts named {', '.join(sorted(unknown))}. Known are {', '.join(FACTS)}."
        )
    wanted = only or FACTS
    done = Captioned([], [])
    for number, track in enumerate(tracks):
        facts = known_facts(track, (labels or {}).get(track.content_hash, {}), root)
        taboo = _taboo(facts, without)
        said = {f: tuple(v for v in values if not _says(v, taboo)) for f, values in facts.items()}
        said = {f: values for f, values in said.items() if values and f not in without and f in wanted}
        rng = np.random.default_rng(derived_seed(seed, number))
        captions = [] if only else [text for text in track.captions if not _says(text, taboo)]
        told = {
            f: values for f, values in said.items() if f != "without" or f in only
        }  # unless it is asked for
        captions += _paraphrases(told, n_captions, rng)
        dropped = (*FROM_TAGS, *without)
        kept = {n: v for n, v in track.tags.items() if n not in dropped and not _says(v, taboo)}
        tags = kept | {field: "; ".join(said[field]) for field in FROM_TAGS if field in said}
        captioned = replace(track, captions=tuple(dict.fromkeys(captions)), tags=tags)
        (done.tracks if captions else done.silent).append(captioned)
    return done


def known_facts(track: Track, labels: Mapping[str, Any], root: Path | None = None) -> Facts:
    """What file tags, name and folder of a track say, and the labels of its rendering."""
    facts = {field: tuple(tag_words(track, (field,))) for field in FROM_TAGS}
    if not labels:  # a rendering is named by its number
        facts["title"] = _words(track.tags.get("title") or track.path.stem)
        folder = track.path.parent
        below = folder.relative_to(root) if root and folder.is_relative_to(root) else folder
        facts["folder"] = tuple(word for part in below.parts[-2:] for word in _words(part))[-1:]
        named = scenes_in(" ".join((*facts["folder"], track.path.stem, track.tags.get("title", ""))))
        facts["scene"] = tuple(dict.fromkeys((*facts["scene"], *named)))
    if labels.get("tempo_bpm"):
        facts["tempo"] = (next(word for limit, word in TEMPI if labels["tempo_bpm"] < limit),)
    keys = {key for _, _, key in labels.get("keys", [])}
    if len(keys) == 1:  # one that changes is none
        facts["key"] = tuple(keys)
        facts["mode"] = (next(iter(keys)).split()[-1],)
    if style := labels.get("tags", {}).get("style"):
        facts["style"] = (style,)
    if labels.get("families"):
        families = tuple(labels["families"])
        facts["instrument"] = families
        facts["drums"] = ("drums" if DRUMS in families else f"no {DRUMS}",)
        facts["without"] = tuple(name for name in ASKED_FAMILIES if name not in families)
    return {field: values for field, values in facts.items() if values}


def read_labels(path: Path) -> dict[str, dict[str, Any]]:
    """The labels of rendered music, ``labels.jsonl`` of 'solfa data render', by content hash."""
    if not path.is_file():
        raise FileNotFoundError(
            f"No labels at {path}. They are made with the music: solfa data render CORPUS --out DIR"
        )
    try:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        return {row["content_hash"]: row for row in rows}
    except (ValueError, RecursionError, KeyError, TypeError) as error:
        raise ManifestError(
            f"{path} holds no labels of rendered music ({type(error).__name__}: {error}). Render it again."
        ) from None


def _paraphrases(facts: Facts, n: int, rng: np.random.Generator) -> list[str]:
    """Up to ``n`` captions, each with some of the facts in words of its own."""
    fields, captions = list(facts), []
    for _ in range(n if facts else 0):
        chosen = rng.permutation(len(fields))[: rng.integers(1, min(MOST_FACTS, len(fields)) + 1)]
        captions.append(_sentence([_phrase(fields[i], facts[fields[i]], rng) for i in chosen]))
    return captions


def _phrase(field: str, values: Sequence[str], rng: np.random.Generator) -> str:
    phrases = PHRASES[field]
    *first, last = values
    listed = f"{', '.join(first)} and {last}" if first else last
    return phrases[int(rng.integers(len(phrases)))].format(listed)


def _sentence(phrases: Sequence[str]) -> str:
    text = ", ".join(phrases)
    return f"{text[0].upper()}{text[1:]}."


def _words(name: str) -> tuple[str, ...]:
    """What a file name or a folder says in words, if anything: one value, without numbers and separators."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    words = [word for word in re.split(r"[\W\d_]+", spaced) if len(word) > 1 and word.lower() not in PLACES]
    return (" ".join(words),) if words else ()


def _taboo(facts: Facts, without: Sequence[str]) -> set[str]:
    """The words of what is left out: nothing that is said may have one of them."""
    values = [value for field in without for value in facts.get(field, ())]
    return {word for value in values for word in _stems(value)}


def _says(text: str, taboo: set[str]) -> bool:
    return bool(taboo.intersection(_stems(text)))


def _stems(text: str) -> Iterator[str]:
    """Its words in small letters, without the s of a plural; letters alone and articles say nothing."""
    for word in re.findall(r"\w+", text.lower()):
        if len(word) > 2 and word not in ("the", "and", "for", "with"):
            yield word.removesuffix("s")
