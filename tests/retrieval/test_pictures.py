"""The map of a library is drawn, whatever its tracks are called."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from solfa.errors import ArgumentError
from solfa.retrieval.library import LibraryTrack
from solfa.retrieval.pictures import COLOURS, draw_map

TRACK = LibraryTrack(
    path=Path("/music/a.ogg"), seconds=1.0, sample_rate=8_000, n_channels=1, content_hash="a", id=1
)


def placed(names: list[tuple[str, str]]) -> list[tuple[LibraryTrack, float, float]]:
    """Tracks by title and artist, on a circle."""
    angles = np.linspace(0, 2 * np.pi, len(names), endpoint=False)
    tracks = [replace(TRACK, tags={"title": title, "artist": artist}) for title, artist in names]
    return [(track, float(np.cos(a)), float(np.sin(a))) for track, a in zip(tracks, angles, strict=True)]


def texts_of(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is written on figures that are saved from now on."""
    said: list[str] = []
    save = Figure.savefig

    def spy(self: Figure, *given: object, **named: object) -> None:
        said.extend(text.get_text() for text in self.axes[0].texts)
        said.extend(text.get_text() for legend in self.legends for text in legend.get_texts())
        save(self, *given, **named)

    monkeypatch.setattr(Figure, "savefig", spy)
    return said


def test_few_tracks_bear_their_names_and_artists_have_colours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = texts_of(monkeypatch)
    places = placed([("Dawn", "_ann"), ("Noon", "_ann"), ("Rain", "Bob"), ("Snow", "Cy")])
    picture = draw_map(places, tmp_path / "new" / "map.png")
    assert sorted(said) == ["Dawn", "Noon", "Rain", "Snow", "_ann", "others"]
    pixels = np.asarray(Image.open(picture).convert("RGB")).reshape(-1, 3)
    colour = [int(COLOURS[0][n : n + 2], 16) for n in (1, 3, 5)]
    assert (pixels == colour).all(1).sum() > 50
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["map.png"]


def test_names_that_would_lie_on_each_other_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = texts_of(monkeypatch)
    draw_map(
        [(replace(TRACK, tags={"title": f"Same place {n}"}), 0.0, 0.0) for n in range(9)], tmp_path / "m.png"
    )
    assert 1 <= len([text for text in said if text.startswith("Same place")]) <= 4


@pytest.mark.parametrize("title", ["$x^{2", "<b>bold</b>", "\udce9t\udce9", "a\nb\x07", "x" * 500])
def test_any_name_can_be_drawn(tmp_path: Path, title: str, monkeypatch: pytest.MonkeyPatch) -> None:
    said = texts_of(monkeypatch)
    draw_map(placed([(title, title), (title, title), ("b", "c")]), tmp_path / "map.svg")
    assert all(len(text) <= 28 and "\n" not in text for text in said)


def test_many_tracks_are_points_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = texts_of(monkeypatch)
    draw_map(placed([(f"t{n}", "") for n in range(100)]), tmp_path / "map.pdf")
    assert not [text for text in said if text.startswith("t")]


def test_an_empty_library_has_no_picture(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="solfa index"):
        draw_map([], tmp_path / "map.png")


def test_a_format_that_nobody_draws_is_refused_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match=r"map\.xyz ends as no picture.*png"):
        draw_map(placed([("a", "b")]), tmp_path / "map.xyz")
    assert not list(tmp_path.iterdir())
