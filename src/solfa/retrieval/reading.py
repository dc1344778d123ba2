"""What a language model makes of a query: words that it does not know, and texts that are too long for it."""

import unicodedata
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

OF_ONE_LANGUAGE = (10_000, 60_000)  # entries of a vocabulary; those of many languages have more
# Of German, French, Spanish and Italian; no query in English has them.
OTHER_WORDS = frozenset(
    (
        *(
            "und",
            "mit",
            "für",
            "ohne",
            "ein",
            "eine",
            "musik",
            "traurige",
            "ruhige",
            "fröhliche",
        ),
        *("et", "avec", "sans", "les", "une", "musique", "triste", "joyeuse", "calme", "chanson"),
        *("para", "una", "música", "canción", "alegre", "tranquila"),
        *("musica", "canzone", "allegra", "senza"),
    )
)
# Of music, from other languages or young: a query in English may have them.
MUSIC_WORDS = frozenset(
    (
        *(
            "glockenspiel",
            "harpsichord",
            "ukulele",
            "theremin",
            "bandoneon",
            "shakuhachi",
            "gamelan",
            "klezmer",
        ),
        *("dubstep", "synthwave", "vaporwave", "chiptune", "chillout", "arpeggio", "pizzicato", "didgeridoo"),
        *(
            "xylophone",
            "vibraphone",
            "marimba",
            "balalaika",
            "bouzouki",
            "erhu",
            "guqin",
            "flamenco",
            "bossa",
        ),
        *("psytrance", "shoegaze", "breakbeat", "synthpop", "krautrock", "qawwali", "mbira", "kalimba"),
    )
)
LETTERS_OF_A_PIECE = 3.4  # fewer on average: the word is spelt, not known
SHORTEST = 5  # letters of a word that is judged by its pieces


@runtime_checkable
class Language(Protocol):
    """What is asked of a language model; see ``TextModel``."""

    @property
    def n_entries(self) -> int:
        """Of its vocabulary."""

    @property
    def most_tokens(self) -> int:
        """Of a text that it can read."""

    def n_pieces(self, word: str) -> int:
        """That a word is read in."""

    def n_tokens(self, text: str) -> int:
        """Of a text."""


def reading_notices(language: Language, texts: Sequence[str]) -> list[str]:
    """Lines for who asks, in plain words; none if the language model reads all of it."""
    notices = []
    if strange := unread_words(language, texts):
        shown = ", ".join(strange[:5])
        notices.append(
            f"The text model reads English, and may not know: {shown}. Ask in English, or look for a name "
            f"with named: before it."
        )
    n_most = max((language.n_tokens(text) for text in texts), default=0)
    if n_most > language.most_tokens:
        share = 100 * language.most_tokens // n_most
        notices.append(
            f"The text model reads the first {share} % of this text, and no more. Ask in fewer words."
        )
    return notices


def unread_words(language: Language, texts: Sequence[str]) -> list[str]:
    """Words that the model does not know, if they are half of all or more; none if it knows most of them."""
    words = list(dict.fromkeys(word for text in texts for word in _words_of(text)))
    strange = [word for word in words if is_strange(language, word)]
    return strange if 2 * len(strange) >= len(words) else []


def is_strange(language: Language, word: str) -> bool:
    """Whether a model of English does not know a word: of another script or language, or spelt in pieces.

    Of a model of many languages, or of a handful of entries, nothing is said.
    """
    least, most = OF_ONE_LANGUAGE
    if not least <= language.n_entries <= most:
        return False
    if word in OTHER_WORDS or any(not _is_latin(letter) for letter in word):
        return True
    return (
        word not in MUSIC_WORDS
        and len(word) >= SHORTEST
        and len(word) < LETTERS_OF_A_PIECE * language.n_pieces(word)
    )


def _words_of(text: str) -> list[str]:
    letters = "".join(letter if letter.isalpha() or letter == "'" else " " for letter in text.casefold())
    return [word for word in letters.split() if len(word) > 1 or not word.isascii()]


def _is_latin(letter: str) -> bool:
    return not letter.isalpha() or "LATIN" in unicodedata.name(letter, "")
