"""Facets: what a library is narrowed down by, with counts that a filter then keeps."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from solfa.embedding import WindowConfig, describe_space
from solfa.models import AudioEncoder
from solfa.retrieval import FilterError, Filters, Library
from solfa.retrieval.facets import facets_of
from synth import noise

RATE = 24_000
TRACKS = {
    "live/one.flac": ("Anna", "1994-05-01", 2.0), "live/two.flac": ("Anna; Ben", "1999", 2.0),
    "live/three.flac": ("Ben Anders", "2003", 2.0), "home/four.flac": ("Ben", "2004", 130.0),
    "home/five.flac": ("", "", 2.0),
}  # fmt: skip


@pytest.fixture
def library(tmp_path: Path, tiny_encoder: AudioEncoder) -> Library:
    for number, (name, (artist, year, seconds)) in enumerate(TRACKS.items()):
        (tmp_path / "music" / name).parent.mkdir(parents=True, exist_ok=True)
        with soundfile.SoundFile(tmp_path / "music" / name, "w", RATE, 1) as file:
            if artist:
                file.artist, file.date = artist, year
            file.write(np.tile(noise(2.0, seed=number), int(seconds / 2)))
    space = describe_space(tiny_encoder, "/gone/model", layer=2, pool="mean", windows=WindowConfig())
    opened = Library(tmp_path / "music.sqlite", space)
    assert not opened.update([tmp_path / "music"], tiny_encoder).refused
    return opened


def shown(library: Library, *chosen: str) -> dict[str, dict[str, int]]:
    facets = facets_of(library, chosen, library.roots())
    return {facet.name: {choice.label: choice.n_tracks for choice in facet.choices} for facet in facets}


def test_choices_have_the_counts_that_their_filters_keep(library: Library) -> None:
    with library:
        assert shown(library) == {
            "year": {"1990s": 2, "2000s": 2},
            "seconds": {"under 2 min": 4, "2 to 4 min": 1},
            "artist": {"Anna": 2, "Ben": 3, "Ben Anders": 1},
            "folder": {"home": 2, "live": 3},
        }
        for facet in facets_of(library, (), library.roots()):
            for choice in facet.choices:
                assert len(library.tracks(Filters.parse([choice.filter]))) == choice.n_tracks


def test_a_choice_counts_for_the_other_facets_and_not_for_its_own(library: Library) -> None:
    with library:
        narrowed = shown(library, "folder=live")
        assert narrowed["folder"] == {"home": 2, "live": 3}
        assert narrowed["year"] == {"1990s": 2, "2000s": 1}
        assert "seconds" not in narrowed  # it would change nothing
        assert "artist" not in shown(library, "folder=live", "year=2000-2009")  # one of them is no choice
        with pytest.raises(FilterError):
            facets_of(library, ["loud"])
