"""solfa watch: a library that follows its folders."""

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from solfa.cli.help import examples
from solfa.cli.index import MusicArgument, music_of, show_changes
from solfa.cli.options import DeviceOption, JsonOption, QuietOption, ThreadsOption
from solfa.cli.place import LibraryOption, place_of
from solfa.data.folders import NoAudioError
from solfa.retrieval import Changes, Library

if TYPE_CHECKING:  # help and wrong options do without PyTorch
    import solfa.models

log = logging.getLogger(__name__)

EXTRA = "Watching folders needs watchfiles. Install it: pip install 'solfa[watch]'"
MS_PER_SECOND = 1_000


@examples("solfa watch", "solfa watch ~/Music --library music.sqlite --settle 60")
def watch(
    music: MusicArgument = None,
    library: LibraryOption = None,
    settle: Annotated[
        float, typer.Option(min=0.1, max=3_600, help="Seconds without a change before the library follows.")
    ] = 10.0,
    device: DeviceOption = "auto",
    threads: ThreadsOption = 0,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Keep a library up to date while its folders change; Ctrl-C ends it.

    The library is there already: solfa index makes one. It is brought up to date at once, and then whenever
    its folders have changed and come to rest. What solfa index says of removed files holds here too. With
    --json each update is an object.
    """
    changes_of = _watcher()
    place = place_of(library)
    wanted = music_of(place, music)
    with Library(place) as opened:
        space = opened.space
    from solfa.cli.encoders import load_encoder

    encoder = load_encoder(space.model, device, threads)
    for _ in _occasions(changes_of, wanted, place, settle):
        changes, n_tracks, report = _follow(place, wanted, encoder)
        if changes is not None and (as_json or not quiet or changes.refused or changes.kept):
            show_changes(changes, n_tracks, place, report, quiet=quiet, as_json=as_json)


def _watcher() -> Callable[..., Iterator[Any]]:
    try:
        from watchfiles import watch as changes_of
    except ModuleNotFoundError as error:
        raise ImportError(EXTRA) from error
    return changes_of


def _occasions(
    changes_of: Callable[..., Iterator[Any]], music: Iterable[Path], library: Path, settle: float
) -> Iterator[None]:
    """Now, and whenever something below the folders has changed; the library's own files are nothing new."""
    yield
    own = str(library.absolute())

    def is_of_others(_: object, path: str) -> bool:
        return not path.startswith(own)

    milliseconds = int(settle * MS_PER_SECOND)
    for _ in changes_of(
        *music,
        watch_filter=is_of_others,
        step=milliseconds,
        debounce=10 * milliseconds,
        raise_interrupt=False,
    ):
        yield


def _follow(
    library: Path, music: list[Path], encoder: "solfa.models.AudioEncoder"
) -> tuple[Changes | None, int, Path | None]:
    """Bring the library up to date; a folder that is gone or empty just now is waited for."""
    with Library(library) as opened:
        changes = None
        with suppress(NoAudioError, FileNotFoundError):
            changes = opened.update(music, encoder)
        if changes is None:
            log.warning("A folder is gone or holds no music now; its tracks stay.")
            return None, len(opened), None
        return changes, len(opened), opened.write_report(changes.refused)
