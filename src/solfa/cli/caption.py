"""solfa data caption: a manifest -> the same tracks with captions and tags, for pairs of music and text."""

from pathlib import Path
from typing import Annotated

import typer

from solfa.cli.help import examples
from solfa.data.captioning import FACTS, caption_tracks, read_labels
from solfa.data.manifest import read_manifest, write_manifest
from solfa.errors import ArgumentError

LABELS = "labels.jsonl"  # beside the tracks of a rendering


@examples(
    "solfa data caption music/train.jsonl --out captions.jsonl",
    "solfa data caption rendered/tracks.jsonl --without key --without mode --out captions.jsonl",
)
def caption(
    manifest: Annotated[Path, typer.Argument(help="The tracks; see solfa data prepare and render.")],
    out: Annotated[Path, typer.Option(help="The manifest to write.")],
    labels: Annotated[
        Path | None,
        typer.Option(help="Exact labels of rendered music.", show_default="labels.jsonl beside MANIFEST"),
    ] = None,
    without: Annotated[
        list[str] | None,
        typer.Option(metavar="FACT", help=f"Leave out what a test asks: {', '.join(FACTS)}."),
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option(metavar="FACT", help="Say this, and no other facts; may be repeated.")
    ] = None,
    captions: Annotated[int, typer.Option(min=1, help="At most so many for each track.")] = 4,
    seed: Annotated[int, typer.Option(help="Another one chooses other words.")] = 0,
) -> None:
    """Give tracks captions from what is known of them: file tags, titles, folders, labels of renderings.

    Tracks that nothing is known of are left out, and counted. A fact that is left out with --without is not
    said by a title or a folder either. Learn from the result with: solfa train mulan_small.
    """
    beside = manifest.with_name(LABELS)
    known = read_labels(labels or beside) if labels or beside.is_file() else {}
    done = caption_tracks(
        read_manifest(manifest), known, without=without or (), only=only or (),
        n_captions=captions, seed=seed, root=manifest.parent.absolute(),
    )  # fmt: skip
    if not done.tracks:
        raise ArgumentError(
            f"Nothing is known of any track in {manifest}. Give their files tags, or their lines in it a "
            "list 'captions'."
        )
    write_manifest(done.tracks, out)
    n_captions = sum(len(track.captions) for track in done.tracks)
    typer.echo(f"{out}: {len(done.tracks)} tracks, {n_captions} captions")
    if done.silent:
        typer.echo(
            f"{len(done.silent)} tracks are left out, of which nothing is known, as {done.silent[0].path}"
        )
    for track in done.tracks[:: max(1, len(done.tracks) // 3)][:3]:
        typer.echo(f"  {track.path.name}: {track.captions[0]}")
