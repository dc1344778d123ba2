"""Tracks and teachers -> a store of what they say; a bad file is refused, and the rest goes on."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from solfa.data.manifest import Track
from solfa.data.prepare import write_refused
from solfa.data.refused import Refused, refusal
from solfa.data.stored_teachers import StoredTeacher, refuse_restricted
from solfa.embedding.teachers import TrackTeacher, n_frames_of
from solfa.files import FolderLock

REFUSED = "refused.jsonl"
STRETCH = "a stretch of a file, and teachers hear whole files; prepare the stretch as a file"


@dataclass
class Taught:
    """What one run did, of each teacher and track."""

    n_stored: int = 0
    n_known: int = 0  # were there already, or have the content of another
    n_unsaid: int = 0  # of which a teacher has nothing to say
    refused: list[Refused] = field(default_factory=list)


def store_teachings(
    tracks: Sequence[Track],
    out: Path,
    teachers: Sequence[TrackTeacher],
    *,
    takes_restricted: bool = False,
    progress: Callable[[int, str], None] | None = None,
) -> Taught:
    """Store what teachers say of tracks that are not there yet; bad files are reported and left out.

    Interrupted at any moment, all whole arrays are kept, and the same call goes on. Teachers may be added
    later.

    Args:
        tracks: known by the content that their manifest states.
        out: the folder to fill.
        teachers: each with a name of its own.
        takes_restricted: teachers whose licence forbids commerce, or is the AGPL, may teach.
        progress: told how many tracks are done, and the name of the last.

    Raises:
        StoredFramesError: ``out`` holds what another teacher of a name says, or a licence is restricted.
        WriteError: the disk has no room for more.
        BlockingIOError: another process is writing to ``out``.
    """
    if not takes_restricted:
        refuse_restricted([one.description for one in teachers], "add --take-restricted")
    done = Taught()
    with FolderLock(out):
        pairs = [(one, StoredTeacher.begin(out / one.description.name, one.description)) for one in teachers]
        for number, track in enumerate(tracks, start=1):
            for teacher, stored in pairs:
                _teach(teacher, stored, track, done)
            if progress:
                progress(number, track.path.name)
        write_refused(done.refused, out / REFUSED)
    return done


def _teach(teacher: TrackTeacher, stored: StoredTeacher, track: Track, done: Taught) -> None:
    """Store what one teacher says of one track, or take down why not."""
    if track.start_seconds:
        done.refused.append(Refused(path=track.path, reason=STRETCH))
        return
    if stored.holds(track.content_hash, n_frames_of(track, stored.grid)):
        done.n_known += 1
        return
    try:
        values = teacher.teach(track)
    except Exception as error:  # of whatever class: no file ends the teaching of the others
        done.refused.append(refusal(track.path, error))
        return
    if values is None:
        done.n_unsaid += 1
        return
    stored.write_values(track.content_hash, values)
    done.n_stored += 1
