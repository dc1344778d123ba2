"""Facets: by what the tracks of a library may be narrowed down, and how many each filter leaves."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from solfa.data.tags import values_of
from solfa.retrieval.contents import LibraryContents, LibraryTrack
from solfa.retrieval.filters import TEMPO_TAGS, Filters

MOST_VALUES = 10  # of artists, and of folders
LENGTHS = (
    ("under 2 min", "-2:00"), ("2 to 4 min", "2:00-4:00"), ("4 to 8 min", "4:00-8:00"),
    ("over 8 min", "8:00-"),
)  # fmt: skip
TEMPI = (
    ("under 80", "-80"), ("80 to 110", "80-110"), ("110 to 140", "110-140"), ("over 140", "140-"),
)  # fmt: skip


@dataclass(frozen=True)
class Choice:
    """A filter that can be chosen, and how many tracks pass it and those that are chosen already."""

    label: str
    filter: str  # as ``Filters.parse`` takes it
    n_tracks: int


@dataclass(frozen=True)
class Facet:
    """Choices of one kind; another one takes the place of the one that is chosen."""

    name: str  # of the filter: year, seconds, artist, folder, tempo
    choices: Sequence[Choice]


def facets_of(
    library: LibraryContents, chosen: Sequence[str] = (), roots: Sequence[Path] = ()
) -> list[Facet]:
    """What the library can be narrowed down by, as long as it would change something.

    Args:
        library: as it is now.
        chosen: filters that hold already. Those of a facet do not count for its own choices.
        roots: folders that hold the whole library; names of folders count below them.

    Raises:
        FilterError: a filter that cannot be understood.
    """
    facets = []
    for name in ("year", "seconds", "tempo", "artist", "folder"):
        others = [text for text in chosen if text.partition("=")[0].strip() != name]
        base = _parsed(others, roots)
        possible = _possible(name, library.tracks(base), roots)
        choices = [
            Choice(label, text, len(library.ids(_parsed([*others, text], roots)))) for label, text in possible
        ]
        shown = [choice for choice in choices if choice.n_tracks]
        is_chosen = len(others) < len(chosen)
        if len(shown) > 1 or (shown and is_chosen):
            facets.append(Facet(name, shown))
    return facets


def _parsed(texts: Sequence[str], roots: Sequence[Path]) -> Filters:
    filters = Filters.parse(texts)
    return replace(filters, roots=tuple(roots)) if filters.folder else filters


def _possible(name: str, tracks: Sequence[LibraryTrack], roots: Sequence[Path]) -> list[tuple[str, str]]:
    """Labels and filters of a facet that some tracks may pass."""
    if name == "seconds":
        return [(label, f"seconds={span}") for label, span in LENGTHS]
    if name == "tempo":
        has_tempo = any(tag in track.tags for track in tracks for tag in TEMPO_TAGS)
        return [(label, f"tempo={span}") for label, span in TEMPI] if has_tempo else []
    if name == "year":
        decades = sorted({year // 10 * 10 for track in tracks if (year := _year(track.tags))})
        return [(f"{decade}s", f"year={decade}-{decade + 9}") for decade in decades]
    if name == "artist":
        names = _most(value for track in tracks for value in values_of(track.tags.get("artist", "")))
    else:
        names = _most(folder for track in tracks for folder in _folder(track.path, roots))
    return [(value, f"{name}={value}") for value in names]


def _year(tags: Mapping[str, str]) -> int:
    digits = tags.get("year", "").strip()[:4]
    return int(digits) if len(digits) == 4 and digits.isascii() and digits.isdigit() else 0


def _folder(path: Path, roots: Sequence[Path]) -> Sequence[str]:
    """The first folder below the one that holds the library."""
    for root in sorted(roots, key=lambda root: -len(root.parts)):
        if path.is_relative_to(root):
            return path.relative_to(root).parts[:-1][:1]
    return ()


def _most(values: Iterable[str]) -> list[str]:
    """The most frequent values, by name; those that no filter can name are left out."""
    counts = Counter(value for value in values if value.strip() and '"' not in value and "\0" not in value)
    return sorted((name for name, _ in counts.most_common(MOST_VALUES)), key=str.casefold)
