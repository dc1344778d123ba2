"""Library: tracks, their vectors and the space of these, in one SQLite file.

A track is known by its path, a vector by the content that it was made of: a file that is moved keeps its
number and its vectors, and two copies share them. Every change is a transaction, so a library is whole
whatever kills the program, and several programs may read and write it at once. It must lie on a local disk.
"""

import json
from collections.abc import Callable, Container, Generator, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from solfa.data.folders import Found, PassedOver, find_music, merged
from solfa.data.manifest import Track, absolute, damage_values, read_manifest
from solfa.data.refused import Refused, refusal
from solfa.data.tags import read_tags
from solfa.embedding.outcomes import Duplicate, Embedded, Stamp
from solfa.embedding.refusals import Refusal, is_news, still_refused
from solfa.errors import ArgumentError
from solfa.retrieval.contents import (
    COLUMNS,
    LibraryTrack,
    to_bytes,
    to_path,
    to_stamp,
    to_track,
)
from solfa.retrieval.file import LibraryError, is_of_a_value
from solfa.retrieval.layout import TAG_READER, place_of, put_names, put_tags
from solfa.retrieval.missing import Kept, Missing, is_in
from solfa.retrieval.playlists import LibraryPlaylists

if TYPE_CHECKING:  # who only reads a library does without PyTorch and decoders
    import solfa.embedding
    import solfa.models


@dataclass
class Changes:
    """Changes of a library by an update, counted in tracks."""

    n_added: int = 0
    n_changed: int = 0  # other content at a known path
    n_moved: int = 0  # known content at another path
    n_unchanged: int = 0
    n_removed: int = 0
    refused: list[Refused] = field(default_factory=list)  # files and folders, and not known to be
    refused_before: list[Refused] = field(default_factory=list)  # by an earlier update, for the same reason
    kept: list[Kept] = field(default_factory=list)  # tracks that were not found and stay
    passed_over: list[PassedOver] = field(default_factory=list)  # files, by their names
    damaged: list[LibraryTrack] = field(default_factory=list)  # of those that were put in, with what is whole


@dataclass(frozen=True)
class _Earlier:
    """State of a library before an update."""

    missing: Missing
    renewed: Mapping[str, LibraryTrack]  # by their contents: tracks whose files have changed
    refused: Mapping[Path, Refusal]  # that have been spoken of
    take_damaged: bool  # now


class Library(LibraryPlaylists):
    """Tracks and their vectors; see ``LibraryFile`` for how it is opened."""

    def __enter__(self) -> "Library":
        return self

    def update(
        self,
        music: Sequence[Path],
        encoder: "solfa.models.AudioEncoder",
        *,
        found: Found | None = None,
        batching: "solfa.embedding.Batching | None" = None,
        progress: Callable[[int, str], None] | None = None,
        again: bool = False,
        prune: bool = False,
        take_damaged: bool = False,
    ) -> Changes:
        """Make the library agree with folders or files: add, renew, follow and remove tracks.

        Only what is new, changed or damaged in the library is read. A file that cannot be used is reported,
        and not tried again until it has changed; if an earlier content is in the library, that stays. Tracks
        that are gone from the folders are removed, but for those below a folder that cannot be read; and
        without ``prune`` those of a folder that has no audio now, or all if they are too many.

        Args:
            music: folders, files and manifests; the tags of a manifest count besides those of the file.
            encoder: the one that the space describes.
            found: what was found there, if somebody has looked already.
            batching: how many at once.
            progress: told how many files are done, and the name of the last.
            again: try what was refused before, too.
            prune: remove all tracks that were not found, but for those below a folder that cannot be read.
            take_damaged: leave out what is damaged of a file, and mark its track; try again what was refused.

        Raises:
            FileNotFoundError, NoAudioError: a folder is missing or holds no audio; nothing is removed then.
        """
        before = self._known(whole := self._whole_contents())
        found = found or self._found(music, before, prune)
        folders = [absolute(path) for path in music if path.is_dir() or not path.exists()]
        missing = Missing(before, folders, found)
        self._forget_refused(folders, found)
        fresh = [path for path in found.paths if _is_fresh(path, before)]
        known = {item.path: item for item in self.refused()}
        tried, refused_before = still_refused(fresh, known, again=again, take_damaged=take_damaged)
        changes = Changes(
            n_unchanged=len(found.paths) - len(fresh), refused=[*found.refused],
            refused_before=refused_before, passed_over=found.passed_over)  # fmt: skip
        outcomes = self._embed(tried, encoder, whole, tags := _listed_tags(music), batching, take_damaged)
        earlier = _Earlier(missing, self._renewed(before, tried), {} if again else known, take_damaged)
        added = self._take_all(outcomes, earlier, changes, progress)
        self._renew_tags(found, tags)
        changes.n_removed, changes.kept = self._let_go(missing, prune)
        self.remember_sources(music)
        return _counted(changes, added, before)

    def _found(self, music: Sequence[Path], before: Iterable[Path], prune: bool) -> Found:
        """What there is; a folder that had tracks may be empty or gone, if these are to be removed."""
        if prune:
            emptied = [path for path in music if any(is_in(known, [absolute(path)]) for known in before)]
            others = [path for path in music if path not in emptied]
            return merged([find_music(others), find_music(emptied, may_be_empty=True)])
        return find_music(music)

    def write_report(self, refused: Sequence[Refused] = ()) -> Path | None:
        """Write beside the library which files are refused or damaged; gives where, if there are any.

        Args:
            refused: what else was, such as folders that could not be read.
        """
        from solfa.data.prepare import write_refused

        report, damaged = self.path.with_name(f"{self.path.name}.refused.jsonl"), self.damaged()
        reasons = {item.path: item.reason for item in refused} | {
            item.path: item.reason for item in self.refused()
        }
        if not reasons and not damaged:
            report.unlink(missing_ok=True)
            return None
        refused = [Refused(path=path, reason=reasons[path]) for path in sorted(reasons)]
        write_refused(refused, report, damaged)
        return report

    def _embed(
        self,
        paths: Sequence[Path],
        encoder: "solfa.models.AudioEncoder",
        whole: AbstractSet[str],
        tags: Mapping[Path, Mapping[str, str]],
        batching: "solfa.embedding.Batching | None",
        take_damaged: bool,
    ) -> Generator[Embedded | Duplicate | Refused, None, None]:
        from solfa.embedding import embed_files

        known = whole & {content_hash for _, content_hash in self.contents()}
        return embed_files(
            paths, encoder, self.space, known=known, batching=batching, tags=lambda path: tags.get(path, {}),
            take_damaged=take_damaged,
        )  # fmt: skip

    def _renewed(
        self, before: Mapping[Path, tuple[int, Stamp | None]], paths: Iterable[Path]
    ) -> dict[str, LibraryTrack]:
        """Tracks whose files have changed, by what they contained."""
        tracks = self.tracks_of([before[path][0] for path in paths if path in before])
        return {track.content_hash: track for track in tracks}

    def _take_all(
        self,
        outcomes: Generator[Embedded | Duplicate | Refused, None, None],
        earlier: "_Earlier",
        changes: Changes,
        progress: Callable[[int, str], None] | None,
    ) -> list[LibraryTrack]:
        """Put what becomes of files into the library; gives their tracks, and notes what is refused."""
        added: list[LibraryTrack] = []
        n_before = changes.n_unchanged + len(changes.refused_before)
        with closing(outcomes):
            for n_done, outcome in enumerate(outcomes, start=n_before + 1):
                taken = self._take(outcome, earlier)
                if isinstance(taken, Refused):
                    is_new = is_news(taken, earlier.refused)
                    (changes.refused if is_new else changes.refused_before).append(taken)
                else:
                    added.append(taken)
                    changes.damaged += [taken] if taken.damage else []
                if progress:
                    progress(n_done, taken.path.name)
        return added

    def _take(self, outcome: Embedded | Duplicate | Refused, earlier: "_Earlier") -> LibraryTrack | Refused:
        """Put a file in, or note why not. An error of the file refuses it; one of the library is raised."""
        try:
            if isinstance(outcome, Embedded):
                return self._add(outcome)
            if isinstance(outcome, Duplicate):
                return self._add_copy(outcome, earlier)
        except LibraryError as error:
            if not is_of_a_value(error):
                raise
            outcome = refusal(_path_of(outcome), error)
        except OSError:
            raise  # of the disk that the library is on
        except Exception as error:
            outcome = refusal(_path_of(outcome), error)
        if isinstance(outcome, Refused):
            self._refuse(outcome, earlier.take_damaged)
        return outcome

    def _add(self, embedded: Embedded) -> LibraryTrack:
        track = embedded.track
        rows = []
        for number, segment in enumerate(embedded.segments):
            vector = segment.vector.numpy()
            length = float(np.linalg.norm(vector))
            direction = (vector / (length or 1.0)).astype("<f2").tobytes()
            rows.append((track.content_hash, number, segment.start, segment.end, length, direction))
        if not np.isfinite([length for *_, length, _ in rows]).all() or not embedded.vector.isfinite().all():
            raise ArgumentError("the model answers with what is not a number")
        blob = embedded.vector.numpy().astype("<f4").tobytes()
        with self._transaction():
            self._database.execute("DELETE FROM segments WHERE content_hash = ?", (track.content_hash,))
            self._database.execute("INSERT OR REPLACE INTO vectors VALUES (?, ?)", (track.content_hash, blob))
            self._database.executemany("INSERT INTO segments VALUES (?, ?, ?, ?, ?, ?)", rows)
            return self._put(track, embedded.stamp)

    def _add_copy(self, copy: Duplicate, earlier: "_Earlier") -> LibraryTrack | Refused:
        """A further track of a known content; or, if the file of one has gone, that one at its new place."""
        with self._transaction():
            query = f"SELECT {COLUMNS} FROM tracks WHERE content_hash = ? ORDER BY id"
            same = [to_track(row) for row in self._rows(query, (copy.content_hash,))]
            if not same and copy.content_hash in earlier.renewed:  # files that have changed places
                same = [earlier.renewed[copy.content_hash]]
            if not same:
                reason = "another process removed its content meanwhile; run the same command again"
                return Refused(path=copy.path, reason=reason, is_passing=True)
            is_new = not self._rows("SELECT 1 FROM tracks WHERE path = ?", (to_bytes(copy.path),))
            moved = next((track for track in same if is_new and track.path in earlier.missing.gone), None)
            if moved:
                earlier.missing.gone.discard(moved.path)
                query = "UPDATE tracks SET path = ? WHERE id = ?"
                self._database.execute(query, (to_bytes(copy.path), moved.id))
            return self._put(replace(same[0], path=copy.path), copy.stamp)

    def _put(self, track: Track, stamp: Stamp) -> LibraryTrack:
        """Description of the file at a path."""
        values = {
            "path": to_bytes(track.path), "content_hash": track.content_hash, "n_bytes": stamp.n_bytes,
            "modified_ns": stamp.modified_ns, "seconds": track.seconds, "sample_rate": track.sample_rate,
            "n_channels": track.n_channels, "decoder": track.decoder,
            "damage": json.dumps(damage_values(track.damage)),
            "place": place_of(track.path, track.tags), "tag_reader": TAG_READER,
        }  # fmt: skip
        path, content_hash = values["path"], values["content_hash"]
        self._database.execute(
            "DELETE FROM map WHERE track IN (SELECT id FROM tracks WHERE path = ? AND content_hash != ?)",
            (path, content_hash),
        )
        renewed = ", ".join(f"{name} = excluded.{name}" for name in values)
        query = (
            f"INSERT INTO tracks ({', '.join(values)}) VALUES ({', '.join('?' * len(values))}) "
            f"ON CONFLICT (path) DO UPDATE SET {renewed} RETURNING id"
        )
        id = self._rows(query, list(values.values()))[0][0]
        put_tags(self._database, id, track.tags)
        put_names(self._database, id, track.path, track.tags)
        self._database.execute("DELETE FROM refused WHERE path = ?", (path,))
        return LibraryTrack(**(vars(track) | {"id": id}))

    def _refuse(self, refused: Refused, take_damaged: bool) -> None:
        item = Refusal.of(refused, take_damaged)
        with self._transaction():
            query = "INSERT OR REPLACE INTO refused VALUES (?, ?, ?)"
            self._database.execute(query, (to_bytes(item.path), item.reason, item.mark))

    def _forget_refused(self, folders: Sequence[Path], found: Found) -> None:
        """Forget refusals of files that are gone, or passed over now; their folders can be read."""
        listed, hidden = set(found.paths), [item.path for item in found.refused]
        paths = (
            item.path for item in self.refused() if item.path not in listed and is_in(item.path, folders)
        )
        gone = [path for path in paths if not is_in(path, hidden)]
        if gone:
            with self._transaction():
                query = "DELETE FROM refused WHERE path = ?"
                self._database.executemany(query, [(to_bytes(path),) for path in gone])

    def _let_go(self, missing: Missing, prune: bool) -> tuple[int, list[Kept]]:
        """Remove what has gone; gives how many tracks there were, and those that stay."""
        gone, kept = missing.to_remove(len(self), prune=prune)
        return self._remove(gone), kept

    def remove(self, tracks: Sequence[Track]) -> int:
        """Remove tracks and give how many there were. Their files stay: an update may bring them back."""
        return self._remove([track.path for track in tracks])

    def take(self, other: "Library", track: LibraryTrack, path: Path) -> LibraryTrack:
        """Put a track of another library of the same space in, with its vectors, as the file at a path."""
        query = "SELECT n_bytes, modified_ns FROM tracks WHERE id = ?"
        stamp = Stamp(*other._rows(query, (track.id,))[0])
        with self._transaction():
            for table in ("vectors", "segments"):
                query = f"SELECT * FROM {table} WHERE content_hash = ?"
                for row in other._rows(query, (track.content_hash,)):
                    query = f"INSERT OR IGNORE INTO {table} VALUES ({', '.join('?' * len(row))})"
                    self._database.execute(query, row)
            return self._put(replace(track, path=path), stamp)

    def _remove(self, paths: Sequence[Path]) -> int:
        """Remove tracks, and vectors that nobody needs any more; gives how many tracks there were."""
        query = "DELETE FROM tracks WHERE path = ? RETURNING id"
        with self._transaction():
            n_gone = sum(len(self._rows(query, (to_bytes(path),))) for path in paths)
            for table in ("vectors", "segments"):
                self._database.execute(
                    f"DELETE FROM {table} WHERE content_hash NOT IN (SELECT content_hash FROM tracks)"
                )
        return n_gone

    def _renew_tags(self, found: Found, listed: Mapping[Path, Mapping[str, str]]) -> None:
        """Read again the tags of files that have not changed, where an earlier program left some out."""
        query = "SELECT id, path FROM tracks WHERE tag_reader < ?"
        stale = {to_path(path): id for id, path in self._rows(query, (TAG_READER,))}
        for path in found.paths:
            if path in stale:
                tags = read_tags(path) | dict(listed.get(path, {}))
                with self._transaction():
                    put_tags(self._database, stale[path], tags)
                    put_names(self._database, stale[path], path, tags)
                    query = "UPDATE tracks SET place = ?, tag_reader = ? WHERE id = ?"
                    self._database.execute(query, (place_of(path, tags), TAG_READER, stale[path]))

    def _known(self, whole: Container[str]) -> dict[Path, tuple[int, Stamp | None]]:
        """Number and stamp of each file; no stamp if its vectors are missing or damaged."""
        rows = self._rows("SELECT path, id, n_bytes, modified_ns, content_hash FROM tracks")
        return {
            to_path(path): (id, Stamp(n_bytes, modified_ns) if content_hash in whole else None)
            for path, id, n_bytes, modified_ns, content_hash in rows
        }


def _is_fresh(path: Path, before: Mapping[Path, tuple[int, Stamp | None]]) -> bool:
    stamp = before[path][1] if path in before else None
    return stamp is None or stamp != to_stamp(path)


def _path_of(outcome: Embedded | Duplicate | Refused) -> Path:
    return outcome.track.path if isinstance(outcome, Embedded) else outcome.path


def _counted(
    changes: Changes, added: Sequence[LibraryTrack], before: Mapping[Path, tuple[int, Stamp | None]]
) -> Changes:
    """Tell apart what was added, changed and moved."""
    ids = {id for id, _ in before.values()}
    new = [track for track in added if track.path not in before]
    changes.n_moved = sum(track.id in ids for track in new)
    changes.n_added = len(new) - changes.n_moved
    changes.n_changed = len(added) - len(new)
    return changes


def _listed_tags(music: Iterable[Path]) -> dict[Path, dict[str, str]]:
    """Tags that manifests give to their tracks."""
    manifests = [path for path in music if path.suffix == ".jsonl" and path.is_file()]
    return {track.path: track.tags for path in manifests for track in read_manifest(path)}
