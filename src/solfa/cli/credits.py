"""solfa data credits: lists of tracks and stored teachers -> a page that names all of them, with licences."""

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from solfa.cli.help import examples
from solfa.cli.results import say
from solfa.data.credits import write_credits
from solfa.data.manifest import read_manifest
from solfa.data.stored_teachers import stored_teachers
from solfa.errors import ArgumentError
from solfa.files import write_text


@examples(
    "solfa data credits music/train.jsonl data/pretraining/train.jsonl --teachers taught --out credits.md",
    "solfa data credits mix.jsonl --also 'all-MiniLM-L6-v2: Apache-2.0' --out credits.md",
)
def credits_page(
    manifests: Annotated[list[Path], typer.Argument(help="What models trained on.")],
    out: Annotated[Path, typer.Option(help="The page to write, in Markdown.")],
    teachers: Annotated[
        list[Path] | None, typer.Option(metavar="FOLDER", help="Of solfa data teach; may be given again.")
    ] = None,
    also: Annotated[
        list[str] | None,
        typer.Option(metavar="'NAME: LICENCE'", help="Another part, as a language model; likewise."),
    ] = None,
) -> None:
    """Name every track, soundfont and teacher with its licence, out of manifests and stored teachers.

    A track that states no licence is refused. Nothing is typed by hand: run it again when a list changes.

    Exit code: 0 when it is done, 2 for a usage error, 3 if it could not be done.
    """
    tracks = [track for path in manifests for track in read_manifest(path)]
    taught = [one.description for folder in teachers or () for one in stored_teachers(folder)]
    words = ["solfa data credits", *map(str, manifests)]
    words += [f"--teachers {folder}" for folder in teachers or ()] + [
        f"--also '{part}'" for part in also or ()
    ]
    page = write_credits(tracks, taught, dict(map(_part, also or ())), " ".join((*words, f"--out {out}")))
    write_text(out, page)
    say(f"{escape(str(out))}: {len(tracks)} tracks, {len(taught) + len(also or ())} teachers and other parts")


def _part(text: str) -> tuple[str, str]:
    name, colon, licence = text.partition(":")
    if not colon or not licence.strip():
        raise ArgumentError(f"'{text}' names no licence. Write it as 'NAME: LICENCE'.")
    return name.strip(), licence.strip()
