"""solfa data features: spectra of all tracks, computed once, that stand in place of audio in training."""

from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.markup import escape

from solfa.cli.options import StrictOption
from solfa.cli.progress import progress
from solfa.cli.reports import exit_code
from solfa.cli.results import say, show_refused_of
from solfa.data.manifest import read_manifest
from solfa.data.spectra import REFUSED, store_spectra


def features(
    manifest: Annotated[Path, typer.Argument(help="The tracks; see solfa data prepare.")],
    out: Annotated[Path, typer.Option(help="The folder to fill.")],
    workers: Annotated[int, typer.Option(min=1, help="Processes, of one thread each.")] = 1,
    strict: StrictOption = False,
) -> None:
    """Store mel and constant-Q spectra of every track, to train on in place of audio.

    Takes 69 MB for an hour of music. Writes into the folder: features.json (what they are), frames/HASH.npy
    (uint8, a row for each 40 ms) for each content, SHA256SUMS, and refused.jsonl: tracks without features,
    with reasons. Run it again after an interruption, or for another manifest: what is there is not computed
    again. Then: solfa train RECIPE --set data.spectra=FOLDER.

    Exit code: 0 when it is done, refused files included; 1 with --strict if some were refused; 2 for a usage
    error; 3 if it could not be done.

    Examples:

      solfa data features tracks.jsonl --out features

      solfa data features train.jsonl --out features --workers 2
    """
    torch.set_num_threads(1)
    tracks = read_manifest(manifest)
    with progress("computing", len(tracks)) as tell:
        done = store_spectra(tracks, out, n_workers=workers, progress=tell)
    say(f"{done.n_stored} tracks stored, {done.n_known} were there already: {escape(str(out))}")
    show_refused_of(done.refused, out / REFUSED)
    raise typer.Exit(exit_code(len(done.refused), strict))
