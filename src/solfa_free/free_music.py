"""Freely licensed real music out of Debian packages: which tracks, under which licence, and how to get them.

The table beside this file lists every track with its licence and is the list of attributions. Almost all of
it is music of games: orchestral, ambient, electronic, metal, rock, chiptune; hardly any song.
"""

import csv
import os
import shutil
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path, PurePosixPath

from solfa.files import whole_file
from solfa_free.debian import PackageError, download_package, find_package, unpack_files

CORE = (  # 1.5 GB to download, 25 hours
    "warzone2100-music",
    "planetblupi-music-ogg",
    "singularity-music",
    "ufoai-music",
    "colobot-common-sounds",
    "nexuiz-music",
    "marsshooter-data",
    "wesnoth-1.16-music",
    "pushover-data",
    "trackballs-data",
    "fretsonfire-songs-sectoid",
    "fretsonfire-songs-muldjord",
    "asc-music",
    "wizznic-data",
    "hex-a-hop-data",
    "amoebax-data",
    "adonthell-data",
    "zaz-data",
    "supertux-data",
    "hedgewars-data",
    "hyperrogue-music",
    "enigma-data",
    "starfighter-data",
    "neverball-common",
    "frozen-bubble-data",
)
MID = (  # 3.1 GB to download, 33 hours
    *CORE,
    "naev-data",
    "xmoto-data",
    "fillets-ng-data",
    "flare-game",
    "warmux-data",
    "widelands-data",
    "openclonk-data",
    "freedroidrpg-data",
    "unknown-horizons",
    "lordsawar-data",
)
# Never trained on: their tracks have names, composers and scenes, which retrieval is judged by.
HELD_OUT = (
    "wesnoth",
    "hyperrogue",
    "0ad",
    "naev",
    "openclonk",
    "ardentryst",
    "freecol",
    "lugaru",
    "megaglest",
)
JUDGES = (  # 2.4 GB to download: all that is held out
    "wesnoth-1.16-music",
    "hyperrogue-music",
    "naev-data",
    "openclonk-data",
    "0ad-data",
    "ardentryst",
    "freecol",
    "lugaru-data",
    "megaglest-data",
)

ODD_LICENCES = ("ETHYMONICS-FREE-MUSIC-LICENSE", "Drascula-License", "Battle-Tanks-License")
LEFT_OUT = {  # package -> ends of paths
    "warzone2100-music": ("/menu.opus", "/track3_enhanced.opus"),  # as menu_enhanced, as track3
    "wesnoth-1.16-music": ("/frantic-old.ogg",),
    "fretsonfire-songs-sectoid": ("/guitar.ogg",),  # one stem of song.ogg
    "fretsonfire-songs-muldjord": ("/guitar.ogg",),
    "cavepacker-data": ("",),  # as caveexpress-data
    "supertuxkart-data": ("_fast.ogg", "/farm_f.ogg", "/beneath_the_rabbit_hole.ogg", "/steamLocomotive.ogg"),
    "warmux-data": ("/Olivier_Militon.-.Apnee2.ogg",),
    "widelands-data": ("/menu.ogg",),  # as ingame_14
    "flare-game": ("/rain.ogg", "/wind_ambient.ogg", "_loop.ogg"),  # weather, an anvil
}


@dataclass(frozen=True, kw_only=True)
class FreeTrack:
    """A line of the table: one recording within a package."""

    package: str
    path: str  # within the package
    seconds: float
    licence: str
    title: str
    artist: str


@dataclass(frozen=True, kw_only=True)
class FreeMusic:
    """Packages that were fetched, and those that could not be."""

    folder: Path
    tracks: dict[Path, FreeTrack]  # by where they are now
    failures: dict[str, str]  # package, or package and path -> why it is not there

    def tags(self, path: Path) -> dict[str, str]:
        """Package, licence, title and artist of a fetched file."""
        track = self.tracks[path]
        values = {name: getattr(track, name) for name in ("package", "licence", "title", "artist")}
        return {name: value for name, value in values.items() if value}


def fetch_free_music(
    out: Path,
    *,
    packages: Sequence[str] = CORE,
    hours: float | None = None,
    cache: Path | None = None,
    progress: Callable[[str, int], None] | None = None,
) -> FreeMusic:
    """Fetch the music of ``packages`` into ``out/audio/PACKAGE``, and write ``out/ATTRIBUTION.tsv``.

    A package's folder is complete or absent, so that after an interruption the same call goes on. A package
    that fails does not stop the others.

    Args:
        out: where to.
        packages: Debian packages, in the order in which ``hours`` are filled.
        hours: enough tracks for so many hours; all if None.
        cache: a folder of .deb files to look in first, and to keep downloads in; nothing is kept if None.
        progress: called with the name of a package about to be fetched, and the number of those done.
    """
    wanted = _fill_hours(list_tracks(packages), hours)
    by_package: dict[str, list[FreeTrack]] = {}
    for track in wanted:
        by_package.setdefault(track.package, []).append(track)
    failures: dict[str, str] = {}
    found: dict[Path, FreeTrack] = {}
    for n_done, (package, tracks) in enumerate(by_package.items()):
        if progress is not None:
            progress(package, n_done)
        try:
            _fetch_package(package, tracks, out, cache)
        except PackageError as error:
            failures[package] = str(error)
            continue
        except OSError as error:
            raise PackageError(
                f"{package} could not be written ({error}). Make room, or choose another folder, and run "
                "again: packages that are complete stay."
            ) from error
        places = {out / "audio" / _place(track): track for track in tracks}
        found |= {path: track for path, track in places.items() if path.exists()}
        for path, track in places.items():
            if not path.exists():
                failures[f"{package}: {track.path}"] = "not in this version of the package; fetch Debian 12's"
    if found:
        _write_attribution(found, out)
    return FreeMusic(folder=out, tracks=found, failures=failures)


def list_tracks(packages: Collection[str]) -> list[FreeTrack]:
    """Tracks of ``packages`` in their order; what is oddly licensed or there twice is left out."""
    usable = {package: [t for t in tracks if _is_usable(t)] for package, tracks in _table().items()}
    unknown = [package for package in packages if not usable.get(package)]
    if unknown:
        raise PackageError(
            f"No free music is known in {', '.join(unknown)}. Give 'core', 'mid' or names out of: "
            f"{' '.join(sorted(package for package, tracks in usable.items() if tracks))}"
        )
    return [track for package in dict.fromkeys(packages) for track in usable[package]]


def is_held_out(tags: Mapping[str, str]) -> bool:
    """Whether a track with these tags must stay out of all pre-training."""
    return tags.get("package", "").startswith(HELD_OUT)


def package_and_composer(tags: Mapping[str, str]) -> list[str]:
    """What must not be torn apart by a split. The package too: composers go by many spellings."""
    return [name.casefold() for name in (tags["package"], tags.get("artist", "")) if name]


@cache
def _table() -> dict[str, list[FreeTrack]]:
    with files("solfa_free").joinpath("free_music_tracks.tsv").open(encoding="utf-8") as file:
        by_package: dict[str, list[FreeTrack]] = {}
        for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
            track = FreeTrack(
                package=row["package"],
                path=row["path"],
                seconds=float(row["seconds"]),
                licence=row["licence"],
                title=row["title"].strip(),
                artist=row["artist"].strip(),
            )
            by_package.setdefault(track.package, []).append(track)
    return by_package


def _is_usable(track: FreeTrack) -> bool:
    is_odd = track.licence in ODD_LICENCES or track.licence.startswith("?")
    return not is_odd and not track.path.endswith(LEFT_OUT.get(track.package, ()))


def _fill_hours(tracks: list[FreeTrack], hours: float | None) -> list[FreeTrack]:
    if hours is None:
        return tracks
    seconds, chosen = 0.0, []
    for track in tracks:
        if seconds >= hours * 3600:
            break
        seconds += track.seconds
        chosen.append(track)
    return chosen


def _fetch_package(package: str, tracks: list[FreeTrack], out: Path, cache: Path | None) -> None:
    """Make ``out/audio/PACKAGE`` with at least ``tracks``, unless it is there already."""
    folder = out / "audio" / package
    if folder.exists() and (out / "audio" / _place(tracks[-1])).exists():
        return
    unfinished = out / ".unfinished"
    deb = find_package(package, cache) if cache is not None else None
    if deb is None:
        deb = download_package(package, unfinished / "download")
        if cache is not None:
            cache.mkdir(parents=True, exist_ok=True)
            deb = Path(shutil.move(deb, cache / deb.name))
    shutil.rmtree(unfinished / "files", ignore_errors=True)
    notice = f"usr/share/doc/{package}/copyright"
    found = unpack_files(deb, [notice, *(track.path for track in tracks)], unfinished / "files")
    ready = unfinished / package
    shutil.rmtree(ready, ignore_errors=True)
    ready.mkdir(parents=True)
    for track in tracks:
        if track.path in found:
            place = unfinished / _place(track)
            place.parent.mkdir(parents=True, exist_ok=True)
            found[track.path].replace(place)
    if notice in found:
        found[notice].replace(ready / "copyright")
    folder.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(folder, ignore_errors=True)
    ready.replace(folder)
    shutil.rmtree(unfinished)


def _place(track: FreeTrack) -> Path:
    """Where a track goes below ``audio``: the folders that all tracks of its package share are left out."""
    parents = [str(PurePosixPath(other.path).parent) for other in _table()[track.package]]
    return Path(track.package, os.path.relpath(track.path, os.path.commonpath(parents)))


def _write_attribution(found: Mapping[Path, FreeTrack], out: Path) -> None:
    with (
        whole_file(out / "ATTRIBUTION.tsv") as partial,
        partial.open("w", encoding="utf-8", newline="") as file,
    ):
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerow(["package", "path", "licence", "title", "artist"])
        for path, track in found.items():
            place = path.relative_to(out).as_posix()
            writer.writerow([track.package, place, track.licence, track.title, track.artist])
