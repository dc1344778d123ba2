"""What was heard in excerpts, in numbers -> facts in words, by comparing excerpts with each other.

A word is said of the excerpts that stand out in what it means, where nothing else that was heard contradicts
it. Names of tracks, folders and packages are no part of it: they cannot be heard.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from solfa.errors import ArgumentError
from solfa.features import Measured

MTT, MSD = (
    "MTT_musicnn",
    "MSD_musicnn",
)  # who says tags: learned from MagnaTagATune, from the Million Song Dataset
HEARD_FIELDS = (
    "genre",
    "mood",
    "instrument",
    "tempo",
    "mode",
    "loudness",
    "brightness",
    "texture",
    "beat",
    "drums",
    "voice",
)
STANDS_OUT = 90.0  # percentile of an excerpt among all, from which a tag is said by one tagger alone
BOTH_STAND_OUT = 80.0  # likewise, in each of two
LEAST_PROBABILITY = {MTT: 0.15, MSD: 0.08}  # of a tag that is said
ALONE_PROBABILITY = 0.25  # of one that only one of the two knows
MOST_TAGS = 6
TERCILES = (33.3, 66.7)
SLOW_BPM, FAST_BPM = 76.0, 112.0
SURE_BEAT, NO_BEAT = 0.5, 0.15  # strength of the beat: a tempo is said, the time is free
DRUMS, NO_DRUMS = (
    0.38,
    0.28,
)  # percussive share; measured on rendered music, 114 pieces: 10 % of those with drums
# lie below 0.31, 10 % of those without above 0.29
# A voice by probability, and not by place among the others: music of games is nearly all without one.
STROKES = ("drums", "beat", "beats")  # of MTT: what it must hear, and not hear, besides
STRUCK, NOT_STRUCK = 0.20, 0.12
LEAST_STROKES = 1.0  # onsets per second of music with drums
VOICE, NO_VOICE = {MTT: 0.30, MSD: 0.03}, {MTT: 0.12, MSD: 0.08}
NO_VOICES = ("no vocals", "no vocal", "no voice")  # of MTT; a voice must be likelier than these
VOICES: dict[str, tuple[str, ...]] = {
    MTT: (
        "vocal", "vocals", "singing", "voice", "female", "male", "woman", "man", "female vocal", "male vocal",
        "female voice", "male voice", "choir", "choral", "opera",
    ),
    MSD: ("female vocalists", "female vocalist", "male vocalists"),
}  # fmt: skip
# Word -> its field, and the tags that mean it; a tagger that has none of them is not asked.
CONCEPTS: dict[str, tuple[str, dict[str, tuple[str, ...]]]] = {
    "rock": ("genre", {MTT: ("rock",), MSD: ("rock", "classic rock", "hard rock", "alternative rock")}),
    "metal": ("genre", {MTT: ("metal",), MSD: ("metal", "heavy metal")}),
    "pop": ("genre", {MTT: ("pop",), MSD: ("pop", "indie pop")}),
    "country": ("genre", {MTT: ("country",), MSD: ("country",)}),
    "electronic": ("genre", {MTT: ("electronic",), MSD: ("electronic", "electronica", "electro")}),
    "techno": ("genre", {MTT: ("techno",), MSD: ("electronic",)}),
    "dance": ("genre", {MTT: ("dance",), MSD: ("dance",)}),
    "house": ("genre", {MSD: ("House",)}),
    "ambient": ("genre", {MTT: ("ambient",), MSD: ("ambient",)}),
    "classical": ("genre", {MTT: ("classical",)}),
    "jazz": ("genre", {MSD: ("jazz",)}),
    "blues": ("genre", {MSD: ("blues",)}),
    "folk": ("genre", {MSD: ("folk",)}),
    "funk": ("genre", {MSD: ("funk",)}),
    "soul": ("genre", {MSD: ("soul", "rnb")}),
    "hip hop": ("genre", {MSD: ("Hip-Hop",)}),
    "punk": ("genre", {MSD: ("punk",)}),
    "indian": ("genre", {MTT: ("indian",)}),
    "opera": ("genre", {MTT: ("opera",)}),
    "calm": ("mood", {MTT: ("soft", "quiet"), MSD: ("chillout", "chill", "Mellow", "ambient")}),
    "energetic": ("mood", {MTT: ("fast", "loud"), MSD: ("party", "punk", "hard rock", "metal", "dance")}),
    "sad": ("mood", {MSD: ("sad",)}),
    "happy": ("mood", {MSD: ("happy",)}),
    "strange": ("mood", {MTT: ("weird",), MSD: ("experimental",)}),
    "guitar": ("instrument", {MTT: ("guitar",)}),
    "distorted guitar": ("instrument", {MTT: ("metal", "rock"), MSD: ("metal", "heavy metal", "hard rock")}),
    "piano": ("instrument", {MTT: ("piano",)}),
    "strings": ("instrument", {MTT: ("strings",)}),
    "violin": ("instrument", {MTT: ("violin",)}),
    "cello": ("instrument", {MTT: ("cello",)}),
    "flute": ("instrument", {MTT: ("flute",)}),
    "harp": ("instrument", {MTT: ("harp",)}),
    "harpsichord": ("instrument", {MTT: ("harpsichord",)}),
    "sitar": ("instrument", {MTT: ("sitar",)}),
    "synthesizer": ("instrument", {MTT: ("synth",), MSD: ("electronic", "electronica", "electro")}),
    "choir": ("instrument", {MTT: ("choir", "choral")}),
}  # fmt: skip

OTHER_NAMES = {
    "electronica": "electronic",
    "electro": "electronic",
    "hiphop": "hip hop",
    "classic": "classical",
}
OPPOSITE_MOODS = (("calm", "energetic"), ("happy", "sad"))

Facts = dict[str, tuple[str, ...]]  # field -> values


@dataclass(frozen=True)
class Heard:
    """Numbers about an excerpt."""

    measured: Measured
    tags: Mapping[str, Mapping[str, float]]  # tagger -> tag -> probability, 0 to 1

    def values(self) -> dict[str, Any]:
        """As JSON keeps it."""
        return {"measured": asdict(self.measured), "tags": {name: dict(of) for name, of in self.tags.items()}}

    @staticmethod
    def of(values: Mapping[str, Any]) -> "Heard":
        """What ``values`` gave."""
        return Heard(Measured(**values["measured"]), values["tags"])


def heard_facts(heard: Sequence[Heard]) -> list[Facts]:
    """Facts of each excerpt, by its place among all of them: a few dozen at least, of different music.

    Raises:
        ArgumentError: too few excerpts to compare.
    """
    if len(heard) < 20:
        raise ArgumentError(
            f"{len(heard)} excerpts are too few to say what is loud or bright among them. Take at least 20."
        )
    facts: list[Facts] = [{} for _ in heard]
    for field, words in _measured_words(heard) + _voice_words(heard):
        for fact, word in zip(facts, words, strict=True):
            if word:
                fact[field] = (word,)
    for fact, words_of_fields in zip(facts, _tag_words(heard), strict=True):
        found = without_opposites((*moods(fact), *words_of_fields.get("mood", ())))
        fact.update(words_of_fields)
        fact.pop("mood", None)
        if found:
            fact["mood"] = found
    return facts


def moods(facts: Facts) -> tuple[str, ...]:
    """Moods that follow from other facts, where several of these say so and none says the contrary.

    Major and fast is heard as happy, minor and slow as sad, as experiments with listeners found time and
    again; few, soft and slow notes without drums are calm, and many of them with drums energetic.

    Source:
        Hevner, The affective value of pitch and tempo in music, American Journal of Psychology 49, 1937.
    """
    said = {word for words in facts.values() for word in words}
    rules = {
        "calm": ({"sparse", "no drums"}, {"soft", "slow"}, {"loud", "fast"}),
        "energetic": ({"busy", "drums"}, {"loud", "fast"}, {"soft", "slow"}),
        "happy": ({"major", "fast"}, {"busy", "bright", "drums"}, {"slow", "dark"}),
        "sad": ({"minor", "slow"}, {"soft", "sparse", "no drums"}, {"fast", "loud", "busy"}),
    }
    return tuple(
        mood for mood, (all_of, one_of, none_of) in rules.items()
        if all_of <= said and one_of & said and not none_of & said
    )  # fmt: skip


def without_opposites(words: Sequence[str]) -> tuple[str, ...]:
    """Each mood once; none of two that contradict each other."""
    denied = {word for pair in OPPOSITE_MOODS for word in pair if set(pair) <= set(words)}
    return tuple(word for word in dict.fromkeys(words) if word not in denied)


def known_genres(stated: Sequence[str]) -> tuple[str, ...]:
    """Of genres as files state them, those that can be heard, in the words of ``CONCEPTS``.

    "Female Fronted Metal" is metal; "Soundtrack", "Game" and "(None)" say nothing of the sound.
    """
    words = [word for word, (field, _) in CONCEPTS.items() if field == "genre"]
    found: dict[str, None] = {}
    for genre in stated:
        text = re.sub(r"[^a-z]+", " ", genre.lower())
        said = [w for w in words if re.search(rf"\b{w}\b", OTHER_NAMES.get(text.strip(), text))]
        found |= dict.fromkeys(said)
    return tuple(found)


def _measured_words(heard: Sequence[Heard]) -> list[tuple[str, list[str]]]:
    """What measurements say of each excerpt, field by field; nothing of the middle."""
    measured = [h.measured for h in heard]
    rate = np.array([m.onsets_per_second for m in measured])
    return [
        ("loudness", _terciles(np.array([m.level_db for m in measured]), "soft", "loud")),
        ("brightness", _terciles(np.array([m.brightness_hz for m in measured]), "dark", "bright")),
        ("texture", _terciles(rate, "sparse", "busy")),
        ("beat", [_beat(m) for m in measured]),
        ("drums", _drums(heard)),
        ("tempo", _tempi(measured, rate)),
        ("mode", [m.mode for m in measured]),
    ]


def _drums(heard: Sequence[Heard]) -> list[str]:
    """Drums or none: where measured strokes say so, and the tagger that knows drums does not doubt it.

    Swells of noise and echoes are percussive, too: alone, the measure finds drums in music that has none.
    """
    is_asked = all(MTT in h.tags for h in heard)
    tagged = _strongest(heard, MTT, STROKES) if is_asked else np.full(len(heard), np.nan)
    words = []
    for of, likely in zip((h.measured for h in heard), tagged, strict=True):
        is_struck = of.percussive >= DRUMS and of.onsets_per_second >= LEAST_STROKES
        if is_struck and not likely < STRUCK:
            words.append("drums")
        else:
            is_quiet = of.percussive <= (DRUMS if likely < NOT_STRUCK else NO_DRUMS)
            words.append("no drums" if is_quiet and not likely >= NOT_STRUCK else "")
    return words


def _terciles(values: Float[np.ndarray, " excerpt"], low: str, high: str) -> list[str]:
    lower, upper = np.percentile(values, TERCILES)
    return [
        low if v <= lower and lower < upper else high if v >= upper and lower < upper else "" for v in values
    ]


def _beat(measured: Measured) -> str:
    if measured.beat_strength >= SURE_BEAT:
        return "steady"
    return "free" if measured.beat_strength <= NO_BEAT else ""


def _tempi(measured: Sequence[Measured], rate: Float[np.ndarray, " excerpt"]) -> list[str]:
    """A word for the tempo where the beat is sure, and where the number of onsets does not say the contrary.

    Half and twice a tempo are easily taken for each other: slow music with many onsets may be fast.
    """
    few, many = np.percentile(rate, TERCILES)
    return [_tempo(m.tempo_bpm, onsets, float(few), float(many)) if m.beat_strength >= SURE_BEAT else ""
            for m, onsets in zip(measured, rate, strict=True)]  # fmt: skip


def _tempo(bpm: float, onsets: float, few: float, many: float) -> str:
    if bpm < SLOW_BPM:
        return "slow" if onsets < many else ""
    if bpm >= FAST_BPM:
        return "fast" if onsets > few else ""
    return "moderate"


def _voice_words(heard: Sequence[Heard]) -> list[tuple[str, list[str]]]:
    """Voice, where all taggers find one likely, or no voice, where none does; nothing without taggers."""
    taggers = [name for name in VOICES if all(name in h.tags for h in heard)]
    if not taggers:
        return []
    likely = {name: _strongest(heard, name, VOICES[name]) for name in taggers}
    sings = np.all([likely[name] >= VOICE[name] for name in taggers], axis=0)
    if MTT in likely:
        sings &= likely[MTT] > _strongest(heard, MTT, NO_VOICES)
    does_not = np.all([likely[name] < NO_VOICE[name] for name in taggers], axis=0)
    words = ["voice" if yes else "no voice" if no else "" for yes, no in zip(sings, does_not, strict=True)]
    return [("voice", words)]


def _tag_words(heard: Sequence[Heard]) -> list[Facts]:
    """The concepts that every tagger that knows them says of an excerpt, the clearest first, by field."""
    said: dict[
        str, Float[np.ndarray, " excerpt"]
    ] = {}  # word -> its place among excerpts where it is said, or 0
    for word, (_, tags) in CONCEPTS.items():
        known = {name: meant for name, meant in tags.items() if all(name in h.tags for h in heard)}
        if known:
            said[word] = np.min(
                [_standing(heard, name, meant, len(known) > 1) for name, meant in known.items()], 0
            )
    facts: list[Facts] = []
    for number in range(len(heard)):
        best = sorted((word for word in said if said[word][number]), key=lambda w: -said[w][number])[
            :MOST_TAGS
        ]
        fields = dict.fromkeys(CONCEPTS[word][0] for word in best)
        facts.append({f: tuple(word for word in best if CONCEPTS[word][0] == f) for f in fields})
    return facts


def _standing(
    heard: Sequence[Heard], name: str, tags: Sequence[str], is_confirmed: bool
) -> Float[np.ndarray, " excerpt"]:
    """The percentile of each excerpt in what a tagger says, and zero where it does not stand out."""
    strongest = _strongest(heard, name, tags)
    places = _places(strongest)
    least = LEAST_PROBABILITY[name] if is_confirmed else ALONE_PROBABILITY
    lowest = BOTH_STAND_OUT if is_confirmed else STANDS_OUT
    stands_out: Bool[np.ndarray, " excerpt"] = (places >= lowest) & (strongest >= least)
    return np.where(stands_out, places, 0.0)


def _strongest(heard: Sequence[Heard], name: str, tags: Sequence[str]) -> Float[np.ndarray, " excerpt"]:
    return np.array([max(h.tags[name].get(tag, 0.0) for tag in tags) for h in heard])


def _places(values: Float[np.ndarray, " excerpt"]) -> Float[np.ndarray, " excerpt"]:
    """Percentiles of values among themselves: 0 is the lowest, 100 the highest; equals share the lowest."""
    ranks = np.searchsorted(np.sort(values), values, side="left")
    return 100.0 * ranks / max(1, len(values) - 1)
