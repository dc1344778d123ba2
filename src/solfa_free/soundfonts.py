"""Soundfonts out of Debian packages: what they are, under which licence, and how to get them."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from solfa.files import sha256
from solfa_free.debian import PackageError, download_package, find_package, unpack_files

CACHE = Path("~/.cache/solfa/soundfonts")


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
    content_hash: str  # of Debian 12's


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
        found = unpack_files(deb, [source.path], unfinished / "files")
        if source.path not in found:
            raise PackageError(f"{deb.name} holds no {source.path}. Fetch the package of Debian 12.")
        found[source.path].replace(kept)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
