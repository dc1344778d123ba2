"""solfa data shard: tracks, and what is stored of them, in few large files."""

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from solfa.cli.options import StrictOption
from solfa.cli.progress import progress
from solfa.cli.reports import exit_code, show_refused
from solfa.cli.results import say
from solfa.data.manifest import read_manifest
from solfa.data.packing import REFUSED, Companions, pack


def shard(
    manifest: Annotated[Path, typer.Argument(help="The tracks; see solfa data prepare.")],
    out: Annotated[
        str, typer.Option(metavar="FOLDER_OR_URL", help="A folder, or an address such as s3://bucket/music.")
    ],
    codes: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Pack codes too, of solfa data label.")
    ] = None,
    spectra: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Pack spectra too, of solfa data features.")
    ] = None,
    audio: Annotated[bool, typer.Option(help="Pack the files of the tracks.")] = True,
    shard_mb: Annotated[int, typer.Option(min=1, help="After so many MB a shard is closed.")] = 512,
    strict: StrictOption = False,
) -> None:
    """Pack tracks into shards, to be trained on from a disk or from an object store.

    Files stay as they are, byte for byte. Writes shard-NNNNN.tar with the files, and tables that say where
    each of them is; refused.jsonl has files that are gone or have changed since they were listed. Run it
    again after an interruption, or for a longer manifest: what is there is not packed again. Addresses need
    the extra: pip install 'solfa[shards]'.

    Then: solfa train RECIPE --set data.manifest=FOLDER_OR_URL, with data.codes or data.spectra of the same
    name where these were packed. Clips are those of the files, to the bit. What comes from an address is kept
    in a cache: SOLFA_SHARD_CACHE is its folder, and SOLFA_SHARD_CACHE_GB its size.

    Exit code: 0 when it is done, refused files included; 1 with --strict if some were refused; 2 for a usage
    error; 3 if it could not be done.

    Examples:

      solfa data shard train.jsonl --out shards

      solfa data shard train.jsonl --out s3://bucket/music --codes codes

      solfa data shard train.jsonl --out shards --no-audio --spectra features
    """
    tracks, companions = read_manifest(manifest), Companions(audio, codes, spectra)
    with progress("packing", len({track.content_hash for track in tracks})) as tell:
        done = pack(tracks, manifest, out, companions, shard_bytes=shard_mb * 10**6, progress=tell)
    say(
        f"{done.n_packed} files packed, {done.n_known} were there already: {escape(out)}, "
        f"{done.n_shards} shards with {done.n_bytes / 1e9:.2f} GB."
    )
    show_refused(done.refused)
    if done.refused:
        say(f"{len(done.refused)} files refused; all of them with reasons: {escape(out)}/{REFUSED}")
    raise typer.Exit(exit_code(len(done.refused), strict))
