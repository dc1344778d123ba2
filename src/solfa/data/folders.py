"""Folders of music -> audio files, what cannot be read there, and what is passed over, by its kind.

Links are followed, and every folder is entered once: by its own name, if it has one below the folder given.
"""

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from solfa.data.manifest import absolute, read_manifest
from solfa.data.refused import Refused
from solfa.errors import SolfaError

# What the decoders read. Content decides the format, so that a wrong one costs nothing but a look.
AUDIO_SUFFIXES = (
    *(".3g2", ".3gp", ".8svx", ".aa3", ".aac", ".ac3", ".aif", ".aifc", ".aiff", ".amb", ".amr", ".ape"),
    *(".asf", ".au", ".avi", ".avr", ".awb", ".bwf", ".caf", ".dff", ".dsf", ".dts", ".eac3", ".ec3"),
    *(".f4a", ".f4b", ".f4v", ".fap", ".flac", ".flv", ".ircam", ".isma", ".m2a", ".m2p", ".m2ts"),
    *(".m4a", ".m4b", ".m4p", ".m4r", ".m4v", ".mac", ".maud", ".mk3d", ".mka", ".mkv", ".mlp", ".mov"),
    *(".mp+", ".mp1", ".mp2", ".mp3", ".mp4", ".mpa", ".mpc", ".mpeg", ".mpg", ".mpp", ".mts", ".nist"),
    *(".oga", ".ogg", ".ogm", ".ogv", ".ogx", ".oma", ".omg", ".opus", ".paf", ".pvf", ".qt", ".ra"),
    *(".rf64", ".rm", ".sd2", ".sf", ".shn", ".snd", ".sph", ".spx", ".svx", ".tak", ".thd", ".ts"),
    *(".tta", ".vob", ".voc", ".w64", ".wav", ".wave", ".weba", ".webm", ".wma", ".wmv", ".wv"),
)
SYSTEM_FILES = re.compile(
    r"\._.*|\.ds_store|\.localized|\.nomedia|\.directory|\.hidden|icon\r|thumbs\.db|ehthumbs\.db|desktop\.ini",
    re.IGNORECASE | re.DOTALL,
)
# Bins, thumbnails, snapshots and settings of systems, NAS makers and tools. Other names may begin with dots,
# as those of "...And Justice for All" and .38 Special do.
SYSTEM_FOLDERS = re.compile(
    r"#recycle|#snapshot|@recycle|@eadir|@tmp|@sharebin|@sharesnap|@__thumb|\.@__thumb|@recently-snapshot|"
    r"\$recycle\.bin|recycler|recycled|network trash folder|temporary items|trashbox|"
    r"system volume information|found\.\d{3}|lost\+found|__macosx|"
    r"\.recycle|\.recycle\.bin|\.trash|\.trash-\d+|\.trashes|\.trashbin|\.thumbnails|\.thumbs|\.thumb|"
    r"\.appledouble|\.appledb|\.appledesktop|\.documentrevisions-v100|\.fseventsd|\.mobilebackups|"
    r"\.pkinstallsandboxmanager.*|\.spotlight-v100|\.temporaryitems|\.timemachine|\.vol|"
    r"\.snapshots?|\.snap|\.zfs|\.stversions|\.stfolder|\.sync|\.dropbox(\.cache)?|\.owncloudsync|\.~tmp~|"
    r"\.git|\.hg|\.svn|\.bzr|\.cache|\.config|\.local|\.venv|\.npm|\.cargo|\.rustup|\.mozilla|\.thunderbird|"
    r"\.gnupg|\.ssh|\.idea|\.vscode|\.ipynb_checkpoints|\.pytest_cache|__pycache__|node_modules",
    re.IGNORECASE,
)
ENDING = re.compile(r"\.[a-z0-9_+~-]{1,12}")
OF_SYSTEMS = "files of operating systems"
IN_FOLDERS_OF_SYSTEMS = "files in bins and folders of operating systems"
WALKED = "links to folders that were entered already"


class NoAudioError(SolfaError, ValueError):
    """A folder in which there is nothing to prepare; the message says the cure."""


@dataclass(frozen=True)
class PassedOver:
    """Files of one kind, which are left out without a look into them."""

    kind: str  # of the files, in the plural
    n_at: dict[
        Path, int
    ]  # all of them, each once; of those in folders of systems how many are in each folder

    @property
    def n(self) -> int:
        """Number of files."""
        return sum(self.n_at.values())


@dataclass(frozen=True)
class Found:
    """What there is in folders of music, or what was named."""

    paths: list[Path] = field(default_factory=list)  # audio by its name, each once
    refused: list[Refused] = field(default_factory=list)  # folders that cannot be read, links to nothing
    passed_over: list[PassedOver] = field(default_factory=list)  # the most frequent kind first


def find_audio(folder: Path) -> Found:
    """Files below ``folder`` that are audio by their name, sorted, and what else there is.

    Raises:
        FileNotFoundError: no such folder.
        NoAudioError: it cannot be read, is empty, or holds no audio.
    """
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "does not exist"
        raise FileNotFoundError(f"{str(folder)!r} {what}. Give a folder that holds music.")
    return _with_audio(folder, _walked(folder))


def find_music(music: Iterable[Path], *, may_be_empty: bool = False) -> Found:
    """The audio files that are named, in folders that are named, or in manifests that are; each once.

    Args:
        music: files, folders and manifests.
        may_be_empty: folders without audio, or that are not there, are no errors.

    Raises:
        FileNotFoundError: one of ``music`` does not exist.
        NoAudioError, ManifestError: a folder without audio or without rights, a broken manifest.
    """
    return merged([_found_at(absolute(path), may_be_empty) for path in music])


def merged(parts: Sequence[Found]) -> Found:
    """All that was found in several places, each file once."""
    passed: dict[str, dict[Path, int]] = defaultdict(dict)
    for part in parts:
        for item in part.passed_over:
            passed[item.kind] |= item.n_at
    return Found(
        list(dict.fromkeys(path for part in parts for path in part.paths)),
        list(dict.fromkeys(item for part in parts for item in part.refused)),
        _by_number(passed),
    )


class _Walk:
    """Files of a tree, sorted by what becomes of them."""

    def __init__(self) -> None:
        self.paths: list[Path] = []
        self.refused: list[Refused] = []
        self._passed: dict[str, dict[Path, int]] = defaultdict(dict)
        self._entered: set[tuple[int, int]] = set()
        self._links: list[Path] = []  # to folders: entered last, so that what they lead to keeps its own name

    def found(self) -> Found:
        """What was found so far."""
        refused = sorted(self.refused, key=lambda item: item.path)
        return Found(sorted(self.paths), refused, _by_number(self._passed))

    def enter(self, folder: Path) -> None:
        """Walk through a folder and all below it."""
        waiting = [folder]
        while waiting or self._links:
            is_link = not waiting
            parent = self._links.pop(0) if is_link else waiting.pop()
            try:
                status = parent.stat()
                if (status.st_dev, status.st_ino) in self._entered:
                    self._passed[WALKED][parent] = 1
                    continue
                self._entered.add((status.st_dev, status.st_ino))
                with os.scandir(parent) as entries:
                    listed = sorted(entries, key=lambda entry: entry.name)
            except Exception as error:
                self._refuse(parent, error)
                continue
            waiting += [path for entry in reversed(listed) if (path := self._look_at(entry))]

    def _look_at(self, entry: "os.DirEntry[str]") -> Path | None:
        """Take down what an entry is; a folder to be entered is given back."""
        path = Path(entry.path)
        try:
            is_folder = entry.is_dir()
            leads_nowhere = not is_folder and entry.is_symlink() and not path.exists()
        except Exception as error:
            if path.suffix.lower() in AUDIO_SUFFIXES:
                self.paths.append(path)  # it is refused in its turn
            else:
                self._refuse(path, error)
            return None
        if is_folder:
            if SYSTEM_FOLDERS.fullmatch(entry.name):
                self._pass_over_system_folder(path)
            elif entry.is_symlink():
                self._links.append(path)
            else:
                return path
        elif SYSTEM_FILES.fullmatch(entry.name):
            self._passed[OF_SYSTEMS][path] = 1
        elif path.suffix.lower() in AUDIO_SUFFIXES:
            self.paths.append(path)
        elif leads_nowhere:
            reason = "a link to nothing; mount the disk that it leads to, or remove it"
            self.refused.append(Refused(path=path, reason=reason))
        else:
            self._passed[_kind(path)][path] = 1
        return None

    def _pass_over_system_folder(self, folder: Path) -> None:
        n_files = sum(len(names) for _, _, names in os.walk(folder))  # what cannot be read there is no loss
        if n_files:
            self._passed[IN_FOLDERS_OF_SYSTEMS][folder] = n_files

    def _refuse(self, folder: Path, error: Exception) -> None:
        what = f"{type(error).__name__}: {getattr(error, 'strerror', None) or error}"
        reason = f"this folder cannot be read ({what}); check its permissions, or mount its disk"
        self.refused.append(Refused(path=folder, reason=reason))


def _found_at(path: Path, may_be_empty: bool) -> Found:
    if path.is_dir():
        found = _walked(path)
        is_empty = not found.paths and all(item.path != path for item in found.refused)
        return found if may_be_empty and is_empty else _with_audio(path, found)
    if path.suffix == ".jsonl":
        return Found([track.path for track in read_manifest(path)])
    if path.exists():
        return Found([path])
    if may_be_empty:
        return Found()
    raise FileNotFoundError(f"There is no file or folder {str(path)!r}.")


def _walked(folder: Path) -> Found:
    walk = _Walk()
    walk.enter(folder)
    return walk.found()


def _with_audio(folder: Path, found: Found) -> Found:
    if not found.paths:
        raise NoAudioError(_why_nothing(folder, found))
    return found


def _kind(path: Path) -> str:
    ending = path.suffix.lower()
    return f"{ending} files" if ENDING.fullmatch(ending) else "files without an ending"


def _by_number(passed: Mapping[str, dict[Path, int]]) -> list[PassedOver]:
    items = (PassedOver(kind, dict(sorted(n_at.items()))) for kind, n_at in passed.items() if n_at)
    return sorted(items, key=lambda item: (-item.n, item.kind))


def _why_nothing(folder: Path, found: Found) -> str:
    unreadable = next((item for item in found.refused if item.path == folder), None)
    if unreadable:
        return f"{str(folder)!r}: {unreadable.reason}."
    n_files = sum(item.n for item in found.passed_over)
    if not n_files and not found.refused:
        return f"{str(folder)!r} is empty. Give a folder that holds music."
    also = "".join(f" {str(item.path)!r}: {item.reason}." for item in found.refused[:3])
    return (
        f"{str(folder)!r} holds {n_files} files but no audio. Give a folder with files that end on "
        f"one of: {' '.join(AUDIO_SUFFIXES)}.{also}"
    )
