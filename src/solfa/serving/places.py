"""What leaves the server: names, and ways below the folders of the library; never places of this machine."""

import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

# The beginning of a way from the root or of a drive. Addresses of the page and of the web are none.
PLACE = re.compile(r"(?<![\w/.])(?:/(?!api/|page/)[^\s/]|~\w*/|[A-Za-z]:\\)")
SHOWN_FOLDERS = 2


def known_places(library: Path, model: str) -> dict[Path, str]:
    """The places that messages about a library may name, and what they are called instead."""
    named = {place: place.name for place in (library, library.absolute(), library.resolve(), Path(model))}
    folders = {place.parent for place in named} | {Path(tempfile.gettempdir()), Path(__file__).parents[1]}
    elsewhere: tuple[Callable[[], Path], ...] = (Path.home, Path.cwd)
    for place in elsewhere:
        with suppress(OSError, RuntimeError):  # there need be none
            folders.add(place())
    places = dict.fromkeys(folders, "a folder of the server") | named
    return {place: name for place, name in places.items() if place.is_absolute() and len(place.parts) > 1}


def without_places(text: str, places: Mapping[Path, str]) -> str | None:
    """A message in which files are called by their names; None if a place is left that nobody knows."""
    for place, name in sorted(places.items(), key=lambda pair: -len(str(pair[0]))):
        text = re.sub(rf"{re.escape(str(place))}[/\\]", "", text)
        text = re.sub(rf"{re.escape(str(place))}(?![\w-]|\.\w)", name.replace("\\", r"\\"), text)
    return None if PLACE.search(text) else text


def shown_folder(path: Path, roots: Sequence[Path]) -> str:
    """The last folders on the way to a file, below the folder of the library that it lies in."""
    folders = below(path, roots).parts[:-1][-SHOWN_FOLDERS:]
    return str(Path(*folders)) if folders else ""


def below(path: Path, roots: Sequence[Path]) -> Path:
    """The way to a file from the folder of the library that it lies in."""
    inside = [root for root in roots if path.is_relative_to(root)]
    # There is none if another process has moved the file just now.
    return path.relative_to(max(inside, key=lambda root: len(root.parts))) if inside else Path(path.name)
