"""The map of a library as a picture."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from solfa.drawing import FAINT, INK, new_figure, save
from solfa.errors import ArgumentError
from solfa.retrieval.contents import LibraryTrack

OTHERS = "#9aa7b0"
COLOURS = ("#2a6f97", "#d1495b", "#edae49", "#66a182", "#8d5a97", "#3d405b", "#e07a5f", "#4ba3a8")
MOST_NAMES = 60  # tracks: of more, no picture of this size has room for the names
LONGEST_NAME = 28  # letters
RADIUS = 9.0  # of what a point takes up, in pixels
SIDES = (  # of a point, where its name may stand: offset in points, and which end of it is there
    ((7, 0), "left", "center"), ((-7, 0), "right", "center"), ((0, 8), "center", "bottom"),
    ((0, -8), "center", "top"),
)  # fmt: skip

Placement = tuple[LibraryTrack, float, float]


def draw_map(places: Sequence[Placement], out: Path) -> Path:
    """Draw tracks at their places and return the picture that was written.

    Tracks of the artists, or else the folders, that have the most of them have colours of their own. Few
    tracks bear their names, as far as these do not lie on each other.

    Args:
        places: tracks and where they are, x and y in [-1, 1]; as ``Searcher.map`` has it.
        out: ends in .png, .svg or .pdf.

    Raises:
        ValueError: no tracks.
    """
    if not places:
        raise ArgumentError("There are no tracks to draw. Add some: solfa index MUSIC --library LIBRARY")
    figure = new_figure(9.0, 7.0)
    axes = figure.subplots()
    groups = _groups([track for track, _, _ in places])
    names: list[str] = []
    for name, colour in [*groups.items(), ("others", OTHERS)]:
        own = np.array([(x, y) for track, x, y in places if _colour(track, groups) == colour])
        if len(own):
            size = 46 if len(places) <= MOST_NAMES else 14
            axes.scatter(own[:, 0], own[:, 1], s=size, color=colour, label=str(len(names)), lw=0)
            names.append(_shown(name))
    axes.margins(0.1)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_color(FAINT)
    if groups:
        legend = figure.legend(loc="outside lower center", ncols=4, frameon=False, labelcolor=INK, fontsize=9)
        for text, name in zip(legend.get_texts(), names, strict=True):  # labels such as _a would be left out
            text.set(text=name, parse_math=False)
    if len(places) <= MOST_NAMES:
        _write_names(figure, axes, places)
    return save(figure, out)


def _group(track: LibraryTrack) -> str:
    return track.artist or track.path.parent.name


def _groups(tracks: Sequence[LibraryTrack]) -> dict[str, str]:
    """Colours of those groups that have several tracks, the largest first."""
    counts = Counter(_group(track) for track in tracks)
    several = [name for name, n in counts.most_common(len(COLOURS)) if n > 1 and name]
    return dict(zip(several, COLOURS, strict=False)) if len(counts) > 1 else {}


def _colour(track: LibraryTrack, groups: dict[str, str]) -> str:
    return groups.get(_group(track), OTHERS)


def _write_names(figure: Any, axes: Any, places: Sequence[Placement]) -> None:
    """Names right, left, above or below their points, where nothing lies yet; else not at all."""
    from matplotlib.transforms import Bbox

    figure.draw_without_rendering()
    frame, taken = axes.get_window_extent(), []
    for _, x, y in places:
        column, row = axes.transData.transform((x, y))
        taken.append(Bbox.from_bounds(column - RADIUS, row - RADIUS, 2 * RADIUS, 2 * RADIUS))
    for track, x, y in places:
        for offset, side, height in SIDES:
            name = axes.annotate(
                _shown(track.title), (x, y), offset, textcoords="offset points", ha=side, va=height,
                fontsize=8, color=INK, parse_math=False,
            )  # fmt: skip
            box = name.get_window_extent()
            is_inside = (
                frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1
            )
            if is_inside and not box.count_overlaps(taken):
                taken.append(box)
                break
            name.remove()


def _shown(name: str) -> str:
    """A name in one short line of what can be printed."""
    plain = " ".join("".join(letter if letter.isprintable() else " " for letter in name).split())
    plain = plain.encode("utf-8", "replace").decode()
    return plain if len(plain) <= LONGEST_NAME else plain[: LONGEST_NAME - 1].rstrip() + "\u2026"
