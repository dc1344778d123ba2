"""Filters are read from text, and tell which tracks may be found."""

import shutil
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from solfa.retrieval import FilterError, Filters, Library, Searcher
from solfa.retrieval.filters import MOST_FILTERS


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
        (["year=1700-", "year=-1900"], ["bach", "satie"]),
        (["year=1700-1800", "year=1900-"], []),
        (["year=" + "9" * 30], []),
        (["year=1700-" + "9" * 400], ["bach", "beat", "satie"]),
        (["artist=\0", "tag=\udcff"], []),
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


@pytest.mark.parametrize(
    "text",
    [
        "",
        "piano",
        "=piano",
        "year=",
        "year=old",
        "year=-",
        "seconds=1-2-3",
        "year=1999-1990",
        "year=10^30",
        "seconds=12:345",
        "year=1990 1999",
        "tempo=nan",
        "tempo=1e9",
        "folder=\0",
        "folder=~\0",
        "folder=\ud800",
        "a" * 100_000,
    ],
)
def test_a_filter_that_cannot_be_read_says_what_can(text: str) -> None:
    with pytest.raises(FilterError, match="year=1990-1999") as error:
        Filters.parse([text])
    assert len(str(error.value)) < 500


@pytest.mark.parametrize(
    ("texts", "named"),
    [(["folder=a", "folder=b"], "twice"), (["tag=a"] * (MOST_FILTERS + 1), "too many")],
)
def test_filters_that_would_not_all_be_heeded_are_refused(texts: list[str], named: str) -> None:
    with pytest.raises(FilterError, match=named):
        Filters.parse(texts)


@settings(derandomize=True, deadline=None, max_examples=200)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["folder", "year", "seconds", "tempo", "tag", "artist"]),
            st.text(max_size=20) | st.text(alphabet="0123456789:.- ~/\0\udcff", max_size=20),
        ),
        max_size=3,
    )
)
@example([("folder", "~\0")])
@example([("tag", "\udcff"), ("artist", "\ud800\0")])
def test_any_filters_are_applied_or_refused(tagged_library: Path, pairs: list[tuple[str, str]]) -> None:
    with Library(tagged_library) as library, suppress(FilterError):
        assert 0 <= len(library.ids(Filters.parse([f"{name}={value}" for name, value in pairs]))) <= 4


def test_an_unknown_tag_is_named_beside_the_known_ones(tagged_library: Path) -> None:
    with pytest.raises(FilterError, match=r"'mood'. It has: artist, bpm, genre"):
        names(tagged_library, "mood=calm")


def test_a_filter_is_no_code(tagged_library: Path, tmp_path: Path) -> None:
    own = Path(shutil.copy(tagged_library, tmp_path / "library.sqlite"))
    assert names(own, "artist='; DROP TABLE tracks; --") == []
    assert len(names(own)) == 4


def test_a_tilde_that_names_no_user_is_a_folder_like_any_other(tagged_library: Path) -> None:
    assert names(tagged_library, "folder=~0") == []


def test_a_folder_whose_name_begins_with_dots_is_a_name(tmp_path: Path, tagged_library: Path) -> None:
    own = Path(shutil.copy(tagged_library, tmp_path / "library.sqlite"))
    with Library(own) as library:
        library._database.execute("UPDATE tracks SET path = ? WHERE id = 1", (b"/m/...And Justice/one.mp3",))
    assert names(own, "folder=...And Justice") == ["one"]


@pytest.mark.parametrize("there", [True, False])
def test_strangers_cannot_feel_out_where_the_library_lies(tagged_library: Path, there: bool) -> None:
    """A filter by a place is refused whether it is there or not, and names above the music are none."""
    music = tagged_library.parent
    places = ["/", f"{music}", "~", ".", "..", "./old", "~root"] if there else ["/nowhere", "~nobody", "../x"]
    above = music.parts[1:] if there else ("nowhere",)
    with Searcher(tagged_library, reads_files=False) as searcher:
        for place in places:
            for ask in (searcher.count, lambda found: searcher.tracks(filters=found), _search(searcher)):
                with pytest.raises(FilterError, match="Places cannot be named here") as error:
                    ask(Filters.parse([f"folder={place}"]))
                assert len(place) < 3 or place not in str(error.value)
        for name in (*above, "/".join(above[-2:]), f"{above[-1]}/old"):
            assert searcher.count(Filters.parse([f"folder={name}"])) == 0
        assert searcher.count(Filters.parse(["folder=old"])) == 2
        assert [track.path.stem for track in searcher.tracks(filters=Filters.parse(["folder=new"]))] == [
            "beat", "hiss",
        ]  # fmt: skip


def _search(searcher: Searcher):  # type: ignore[no-untyped-def]
    return lambda filters: searcher.search("1", filters=filters)


@pytest.mark.parametrize("number", ["\u00b2", "\u2460", "9" * 400, "\u0663"])
def test_digits_that_are_no_number_are_words(number: str) -> None:
    """A raised 2 is a digit for Python, and no number."""
    assert Filters.parse([f"track={number}", f"disc={number}"]).condition()[1]
