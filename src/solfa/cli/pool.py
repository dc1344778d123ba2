"""solfa data pool: one vector for each track or excerpt of a manifest, to learn words from."""

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from solfa.cli.encoders import load_encoder
from solfa.cli.help import examples
from solfa.cli.options import DeviceOption, StrictOption, ThreadsOption
from solfa.cli.progress import progress
from solfa.cli.reports import exit_code
from solfa.cli.results import say, show_refused_of
from solfa.data.manifest import read_manifest
from solfa.data.stored_spectra import StoredSpectra
from solfa.embedding.pooling import REFUSED, pool_tracks


@examples("solfa data pool pairs.jsonl --model runs/solfa_small --layer 0 --layer 4 --layer 7 --out pooled")
def pool(
    manifest: Annotated[Path, typer.Argument(help="Tracks or excerpts; see solfa data hear.")],
    model: Annotated[str, typer.Option(metavar="MODEL", help="As for solfa embed.")],
    out: Annotated[Path, typer.Option(help="The folder to fill.")],
    layer: Annotated[
        list[int] | None, typer.Option(help="May be repeated: they stand side by side. Default: all.")
    ] = None,
    spectra: Annotated[
        Path | None,
        typer.Option(help="Stored spectra in place of audio (solfa data features), for solfa_small."),
    ] = None,
    device: DeviceOption = "auto",
    threads: ThreadsOption = 0,
    strict: StrictOption = False,
) -> None:
    """Store mean and deviation over time of an encoder's layers, for each line of a manifest.

    A music-text model whose encoder stays as it is learns from them in minutes: solfa train mulan_adapters
    --set data.pooled=FOLDER. Writes into the folder: pooled.json, rows.jsonl, vectors.npy, and refused.jsonl:
    files that could not be used. Run it again after an interruption: what is there is not computed again.

    Exit code: 0 when it is done, refused files included; 1 with --strict if some were refused; 2 for a usage
    error; 3 if it could not be done.
    """
    tracks = read_manifest(manifest)
    encoder = load_encoder(model, device, threads)
    layers = encoder.layer_numbers(layer) if layer else tuple(range(encoder.n_layers + 1))
    stored = StoredSpectra(spectra) if spectra else None
    with progress("pooling", len(tracks)) as tell:
        done = pool_tracks(tracks, out, encoder, layers, spectra=stored, progress=tell)
    say(f"{done.n_stored} vectors stored, {done.n_known} were there already: {escape(str(out))}")
    show_refused_of(done.refused, out / REFUSED)
    raise typer.Exit(exit_code(len(done.refused), strict))
