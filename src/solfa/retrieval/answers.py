"""What a search finds: tracks by their sound, and tracks by their names."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from solfa.retrieval.contents import LibraryTrack
from solfa.retrieval.worth import Fit, fit_of

MOST_NAMED = 5  # tracks above the answers by sound
FEWEST_SHOWN = 5  # of an answer in which nothing fits well
NOTHING_FITS = "Nothing here fits well. These come nearest."


@dataclass(frozen=True)
class Match:
    """A track that was found, and where in it the query fits best."""

    track: LibraryTrack
    cosine: float  # of the whole track and the query, in [-1, 1]; not to be shown
    start: float  # of the best segment, in seconds
    end: float
    stands_out: float | None = None  # standard deviations, see ``worth``; None if nothing can be said
    has_known_words: bool = True  # false for words that are far from all that the model learned

    @property
    def fit(self) -> Fit | None:
        """A word for it; None if nothing can be said."""
        return None if self.stands_out is None else fit_of(self.stands_out, self.has_known_words)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a query found."""

    named: Sequence[LibraryTrack] = ()  # whose names have its words, best first
    matches: Sequence[Match] = ()  # whose sound fits, best first
    notices: Sequence[str] = ()  # what is to be known besides


def honest(
    named: Sequence[LibraryTrack],
    matches: Sequence[Match],
    notices: Sequence[str],
    *,
    is_read: bool = True,
) -> Answer:
    """An answer that says so, and has fewer rows, where nothing by sound fits well.

    Args:
        named: tracks by name.
        matches: tracks by sound, best first.
        notices: what else is to be known.
        is_read: whether the text model knows the words. If not, it is said of no track how well it fits.
    """
    if not is_read:
        unsaid = [replace(match, stands_out=None) for match in matches[:FEWEST_SHOWN]]
        return Answer(named=named, matches=unsaid, notices=notices)
    if not matches or any(match.fit != "weak" for match in matches):
        return Answer(named=named, matches=matches, notices=notices)
    return Answer(named=named, matches=matches[:FEWEST_SHOWN], notices=[*notices, NOTHING_FITS])
