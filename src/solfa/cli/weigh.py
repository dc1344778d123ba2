"""solfa data weigh: lists of tracks joined, and how often each track is heard in training."""

from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from rich.markup import escape
from rich.table import Table

from solfa.cli.help import examples
from solfa.cli.options import finite
from solfa.cli.progress import progress
from solfa.cli.results import results, say
from solfa.data.clusters import BalanceConfig, MelOfAudio, MelOfSpectra, MelSource, balanced_weights
from solfa.data.manifest import Track, write_manifest
from solfa.data.stored_spectra import StoredSpectra
from solfa.data.weighing import Group, join_manifests, parse_share, share_out

ShareOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="TAG=VALUE:SHARE", help="Part of the hours heard; may be given often. VALUE * is any."
    ),
]


@examples(
    "solfa data weigh music/train.jsonl data/pretraining/train.jsonl --out mix.jsonl "
    "--share 'package=*:0.45' --share corpus=notes:0.08",
    "solfa data weigh mix.jsonl --out even.jsonl --clusters 50 --spectra features",
)
def weigh(
    manifests: Annotated[list[Path], typer.Argument(help="Lists of tracks; see solfa data prepare.")],
    out: Annotated[Path, typer.Option(help="The manifest to write.")],
    share: ShareOption = None,
    clip_seconds: Annotated[
        float | None,
        typer.Option(
            min=0.01,
            callback=finite,
            help="Of training: only whole clips of tracks count.",
            show_default="all seconds count",
        ),
    ] = None,
    clusters: Annotated[
        int | None, typer.Option(min=2, help="Even out so many clusters of sound.", show_default="none")
    ] = None,
    exponent: Annotated[
        float, typer.Option(min=0.0, max=1.0, callback=finite, help="0: all clusters alike; 1: as they are.")
    ] = BalanceConfig.exponent,
    spectra: Annotated[
        Path | None,
        typer.Option(help="Folder of solfa data features, for clusters.", show_default="read audio"),
    ] = None,
) -> None:
    """Join lists of tracks, and weigh tracks: how many times as often each is heard, second for second.

    Groups of tracks that have a tag get a share of the hours that are heard; all others keep their
    proportions and share the rest. With --clusters, pieces of 30 s are clustered by mean and deviation of
    log-mel frames, and tracks of rare clusters weigh more: share ** (exponent - 1), within groups. Weights
    that a list has already are multiplied. Prints each group with its share before and after.

    Training honours weights by itself: solfa train RECIPE --set data.manifest=OUT.

    Exit code: 0 when it is done, 2 for a usage error, 3 if it could not be done.
    """
    if spectra is not None and clusters is None:
        raise typer.BadParameter("It is for clusters. Give --clusters too.", param_hint="--spectra")
    shares = [parse_share(text) for text in share or []]
    tracks = join_manifests(manifests)
    weights = np.ones(len(tracks))
    if clusters is not None:
        weights = _balanced(tracks, BalanceConfig(n_clusters=clusters, exponent=exponent), spectra)
    weighed, groups = share_out(tracks, weights, shares, clip_seconds=clip_seconds)
    write_manifest(weighed, out)
    _show(groups)
    lightest, heaviest = (choose(track.weight for track in weighed) for choose in (min, max))
    say(f"{len(weighed)} tracks in {escape(str(out))}; weights from {lightest:.3g} to {heaviest:.3g}")


def _balanced(tracks: list[Track], config: BalanceConfig, spectra: Path | None) -> np.ndarray:
    torch.set_num_threads(1)
    source: MelSource = MelOfAudio() if spectra is None else MelOfSpectra(StoredSpectra(spectra), tracks)
    with progress("describing", len(tracks)) as tell:
        return balanced_weights(tracks, source, config, progress=tell)


def _show(groups: list[Group]) -> None:
    table = Table("group", "tracks", "hours", "share before", "share after")
    for group in groups:
        shares = (f"{100 * part:.2f} %" for part in (group.before, group.after))
        table.add_row(escape(group.name), str(group.n_tracks), f"{group.hours:.2f}", *shares)
    results.print(table)
