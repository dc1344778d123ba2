"""Soundfonts out of Debian packages: what they are, under which licence, and how to get them."""

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from solfa.files import sha256, write_bytes
from solfa_free.debian import PackageError, download_package, find_package, list_files, unpack_files
from solfa_free.patches import PatchSample, build_soundfont, read_patch

CACHE = Path("~/.cache/solfa/soundfonts")
PATCHES = "usr/share/midi/freepats/"
PATCH = re.compile(rf"{PATCHES}(Tone|Drum)_000/(\d{{3}})_.*\.pat")


@dataclass(frozen=True, kw_only=True)
class Soundfont:
    """Sampled instruments, as a file to render with."""

    name: str
    path: Path
    content_hash: str  # SHA-256
    licence: str  # "unknown" of one's own
    package: str = ""  # of Debian; empty of one's own


@dataclass(frozen=True, kw_only=True)
class _Source:
    package: str
    path: str  # within the package
    licence: str
    content_hash: str  # of Debian 12's, or of what is made of it


SOURCES = {
    "timgm6mb": _Source(  # 5 MB to download
        package="timgm6mb-soundfont",
        path="usr/share/sounds/sf2/TimGM6mb.sf2",
        licence="GPL-2",
        content_hash="c5378b62028c920cb11e4803327983fee2f2cdff5dc89c708e39da417e51c854",
    ),
    "musescore-lite": _Source(  # 34 MB
        package="musescore-general-soundfont-small",
        path="usr/share/sounds/sf3/MuseScore_General_Lite.sf3",
        licence="MIT",
        content_hash="916aaca6b0eb9f9083eb42399614acb2ff4ec72ce28dffff1814592a9696b479",
    ),
    "fluidr3": _Source(  # 120 MB
        package="fluid-soundfont-gm",
        path="usr/share/sounds/sf2/FluidR3_GM.sf2",
        licence="MIT",
        content_hash="74594e8f4250680adf590507a306655a299935343583256f3b722c48a1bc1cb0",
    ),
    "csound": _Source(  # 4 MB
        package="csound-soundfont",
        path="usr/share/sounds/sf2/sf_GMbank.sf2",
        licence="public domain",
        content_hash="9f39fc53bd3a1a69f13cb486838944eded358b3b6e8afbd6c1c2c33675b2034b",
    ),
    "freepats": _Source(  # 25 MB; made of its patches
        package="freepats",
        path=f"{PATCHES}freepats.sf2",
        licence="GPL-2 or later, with an exception for compositions",
        content_hash="2ab849909c7f34f6a087ebf5cc1b04fd320e828a380aa8a8747254066dfbb0a0",
    ),
}


def fetch_soundfont(name: str, folder: Path | None = None) -> Soundfont:
    """The soundfont ``name``, downloaded on first use; or the file at the path ``name``.

    Args:
        name: a key of ``SOURCES``, or the path of an .sf2 or .sf3 file.
        folder: where soundfonts are kept, and .deb files are looked for first; ``CACHE`` if None.

    Raises:
        PackageError: it cannot be fetched, or is another version than the table's, or no such name is known.
    """
    if name not in SOURCES:
        return _own(Path(name))
    source = SOURCES[name]
    kept = (CACHE.expanduser() if folder is None else folder) / Path(source.path).name
    if not kept.exists():
        _fetch(source, kept)
    content_hash = sha256(kept)
    if content_hash != source.content_hash:
        raise PackageError(
            f"{kept} is not the version that labels and benchmark are made for. Delete it and fetch "
            f"{source.package} of Debian 12, or give the file by its path to render with it all the same."
        )
    return Soundfont(
        name=name, path=kept, content_hash=content_hash, licence=source.licence, package=source.package
    )


def _own(path: Path) -> Soundfont:
    if not path.is_file():
        raise PackageError(
            f"No soundfont is known as '{path}', and no file has that path. "
            f"Give one of {', '.join(SOURCES)}, or the path of an .sf2 or .sf3 file."
        )
    return Soundfont(name=path.stem.lower(), path=path, content_hash=sha256(path), licence="unknown")


def _fetch(source: _Source, kept: Path) -> None:
    unfinished = kept.parent / f".{kept.stem}.unfinished"
    kept.parent.mkdir(parents=True, exist_ok=True)
    try:
        deb = find_package(source.package, kept.parent) or download_package(
            source.package, unfinished / "download"
        )
        if source.path.startswith(PATCHES):
            write_bytes(kept, _of_patches(deb, unfinished / "files"))
            return
        found = unpack_files(deb, [source.path], unfinished / "files")
        if source.path not in found:
            raise PackageError(f"{deb.name} holds no {source.path}. Fetch the package of Debian 12.")
        found[source.path].replace(kept)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _of_patches(deb: Path, folder: Path) -> bytes:
    """One soundfont of all patches of a package. Raises ScoreError if one is damaged."""
    wanted = sorted(path for path in list_files(deb) if PATCH.fullmatch(path))
    found = unpack_files(deb, wanted, folder)
    kinds: dict[str, dict[int, list[PatchSample]]] = {"Tone": {}, "Drum": {}}
    for path in wanted:
        if match := PATCH.fullmatch(path):
            kinds[match[1]].setdefault(int(match[2]), read_patch(found[path].read_bytes(), path))
    return build_soundfont(kinds["Tone"], kinds["Drum"])
