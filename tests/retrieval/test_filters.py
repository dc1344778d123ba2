"""Filters are read from text, and tell which tracks may be found."""

import shutil
from pathlib import Path

import pytest

from solfa.retrieval import FilterError, Filters, Library


def names(library_path: Path, *texts: str) -> list[str]:
    with Library(library_path) as library:
        return sorted(track.path.stem for track in library.tracks(Filters.parse(texts)))


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ([], ["bach", "beat", "hiss", "satie"]),
        (["artist=BACH"], ["bach"]),
        (["artist=\u00e9rik"], ["satie"]),  # without case in any alphabet
        (["artist=100%"], []),  # no pattern, but words
        (["tag=techno"], ["beat"]),
        (["genre=o", "genre=s"], ["hiss"]),
        (["year=1700-1899"], ["bach", "satie"]),
        (["year=1888"], ["satie"]),
        (["year=1900-"], ["beat"]),
        (["year=-1800"], ["bach"]),  # and not those without a year
        (["tempo=60-80"], ["bach"]),
        (["tempo=100-"], ["beat"]),
        (["seconds=3.5-0:10"], ["bach"]),
        (["folder=old"], ["bach", "satie"]),
        (["folder=ol"], []),
        (["folder=old", "seconds=10-"], ["satie"]),
    ],
)
def test_a_filter_passes_the_tracks_that_it_names(
    tagged_library: Path, texts: list[str], expected: list[str]
) -> None:
    assert names(tagged_library, *texts) == expected


def test_a_folder_may_be_a_path(tagged_library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert names(tagged_library, f"folder={tagged_library.parent / 'new'}") == ["beat", "hiss"]
    monkeypatch.chdir(tagged_library.parent)
    assert names(tagged_library, "folder=./old/") == ["bach", "satie"]


@pytest.mark.parametrize("text", ["", "piano", "=piano", "year=", "year=old", "year=-", "seconds=1-2-3"])
def test_a_filter_that_cannot_be_read_says_what_can(text: str) -> None:
    with pytest.raises(FilterError, match="year=1990-1999"):
        Filters.parse([text])


def test_an_unknown_tag_is_named_beside_the_known_ones(tagged_library: Path) -> None:
    with pytest.raises(FilterError, match=r"'mood'. It has: artist, bpm, genre"):
        names(tagged_library, "mood=calm")


def test_a_filter_is_no_code(tagged_library: Path, tmp_path: Path) -> None:
    own = Path(shutil.copy(tagged_library, tmp_path / "library.sqlite"))
    assert names(own, "artist='; DROP TABLE tracks; --") == []
    assert len(names(own)) == 4


def test_a_tilde_that_names_no_user_is_a_folder_like_any_other(tagged_library: Path) -> None:
    assert names(tagged_library, "folder=~0") == []
