"""Files out of Debian packages, without installing them."""

import re
import shutil
import subprocess
import tarfile
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote

from solfa.errors import SolfaError

ZIPPED = re.compile(r"(.*\.(?:zip|pk3))\.d/(.*)")


class PackageError(SolfaError, ValueError):
    """A package that cannot be fetched or opened; the message says the cure."""


def download_package(package: str, folder: Path) -> Path:
    """Download the newest .deb of ``package`` into ``folder``, which it makes anew."""
    _require("apt-get")
    shutil.rmtree(folder, ignore_errors=True)  # what an interrupted download left
    folder.mkdir(parents=True)
    answer = subprocess.run(
        ["apt-get", "download", "-q", package], cwd=folder, capture_output=True, text=True, errors="replace"
    )
    debs = list(folder.glob("*.deb"))
    if answer.returncode or not debs:
        raise PackageError(_why_not_downloaded(package, answer.stderr))
    return debs[0]


def find_package(package: str, folder: Path) -> Path | None:
    """The newest downloaded .deb of ``package`` in ``folder``, if there is one."""
    debs = sorted(folder.glob(f"{package}_*.deb"), key=lambda deb: (deb.stat().st_mtime, deb.name))
    return debs[-1] if debs else None


def list_files(deb: Path) -> list[str]:
    """Paths of the files in a .deb."""
    with _opened(deb) as archive:
        return [str(PurePosixPath(member.name)) for member in archive if member.isfile()]


def unpack_files(deb: Path, wanted: Iterable[str], folder: Path) -> dict[str, Path]:
    """Take ``wanted`` files out of a .deb; returns where each one that was found is now.

    A name may lead into a zip archive: ``usr/share/game/data.pk3.d/music/a.ogg`` is ``music/a.ogg`` within
    ``usr/share/game/data.pk3``. Nothing else of the package touches the disk.
    """
    archives: dict[str, list[str]] = {}  # path in the package -> names within it, if it is a zip archive
    for name in wanted:
        zipped = ZIPPED.match(name)
        outer, inner = zipped.groups() if zipped else (name, "")
        archives.setdefault(outer, []).append(inner)
    found: dict[str, Path] = {}
    with _opened(deb) as archive:
        for member in archive:
            path = str(PurePosixPath(member.name))
            if path in archives and (file := archive.extractfile(member)) is not None:
                found |= _take(path, file, archives[path], folder)
    return found


@contextmanager
def _opened(deb: Path) -> Iterator[tarfile.TarFile]:
    """The files of a package, to be read once, one after the other."""
    _require("dpkg-deb")
    unpacking = subprocess.Popen(
        ["dpkg-deb", "--fsys-tarfile", str(deb)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        with tarfile.open(fileobj=unpacking.stdout, mode="r|") as archive:
            yield archive
    except (tarfile.TarError, zipfile.BadZipFile, EOFError) as error:
        raise PackageError(f"{deb} is damaged ({error}). Delete it and run the command again.") from None
    finally:
        unpacking.communicate()
    if unpacking.returncode:
        raise PackageError(f"{deb} is damaged. Delete it and run the command again.")


def _take(path: str, file: Any, inner_names: list[str], folder: Path) -> dict[str, Path]:
    """Copy one file of a package, or some members of one that is a zip archive, under ``folder``."""
    if inner_names == [""]:
        return {path: _copy(file, folder / path)}
    found = {}
    whole = _copy(file, folder / path)  # to disk: some archives are larger than a memory
    with zipfile.ZipFile(whole) as archive:
        for inner in set(inner_names) & set(archive.namelist()):
            name = f"{path}.d/{inner}"
            with archive.open(inner) as member:
                found[name] = _copy(member, folder / name)
    whole.unlink()
    return found


def _copy(file: Any, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as out:
        shutil.copyfileobj(file, out, 2**20)
    return path


def _require(program: str) -> None:
    if shutil.which(program) is None:
        raise PackageError(
            f"'{program}' is missing: free music comes from Debian packages. Run this on Debian or Ubuntu, "
            "or in a container of one of them, and copy the folder it makes."
        )


def _why_not_downloaded(package: str, stderr: str) -> str:
    if "Unable to locate package" in stderr or "No packages found" in stderr:
        return (
            f"apt knows no package '{package}'. Refresh its lists with: apt-get update (as root). If it is "
            "unknown even then, this release does not have it: leave it out with --packages, or put its .deb "
            "(of Debian 12) into a folder and give that with --cache."
        )
    errors = [line.removeprefix("E: ") for line in stderr.splitlines() if line.startswith("E: ")]
    detail = unquote(" ".join(errors)) or "apt-get gave no reason"
    return f"'{package}' could not be downloaded ({detail}). Check network and free space, then run again."
