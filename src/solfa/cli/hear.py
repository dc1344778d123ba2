"""solfa data hear: a manifest -> excerpts of its tracks, with facts about how they sound."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.markup import escape

from solfa.cli.help import examples
from solfa.cli.options import StrictOption
from solfa.cli.progress import progress
from solfa.cli.reports import exit_code
from solfa.cli.results import say, show_refused_of
from solfa.data.captioning import read_labels
from solfa.data.exact_facts import label_excerpts
from solfa.data.excerpts import ABSENT, ExcerptsConfig
from solfa.data.heard import HEARD_FIELDS, MSD, MTT
from solfa.data.manifest import Track, read_manifest, write_manifest
from solfa.embedding.hearing import EXCERPTS, REFUSED, Listener, hear_tracks
from solfa.models.published.musicnn import load_musicnn


@examples(
    "solfa data hear music/train.jsonl --out heard",
    "solfa data hear rendered/train.jsonl --labels rendered/labels.jsonl --out heard-rendered",
    "solfa data caption heard/excerpts.jsonl --only genre --only mood --only drums --out captions.jsonl",
)
def hear(
    manifest: Annotated[Path, typer.Argument(help="The tracks; see solfa data prepare.")],
    out: Annotated[Path, typer.Option(help="The folder to fill.")],
    seconds: Annotated[float, typer.Option(min=3.0, help="Length of an excerpt.")] = 10.0,
    every: Annotated[float, typer.Option(min=0.5, help="Seconds from one excerpt to the next.")] = 10.0,
    tags: Annotated[bool, typer.Option(help="Ask two published taggers (musicnn) for tags.")] = True,
    labels: Annotated[
        Path | None, typer.Option(help="Exact labels of rendered music: say these, and measure nothing.")
    ] = None,
    strict: StrictOption = False,
) -> None:
    """Cut tracks into excerpts, and say of each how it sounds: for pairs of music and text.

    Measured are loudness, brightness, onsets, beat, tempo, drums and mode (where two sources agree on the
    key); tags are said where both taggers find that an excerpt stands out among all. Names of files say
    nothing here. Writes into the folder: numbers.jsonl (what was measured), excerpts.jsonl (a manifest, facts
    as tags), and refused.jsonl. Run it again after an interruption: what has been heard is kept.

    Exit code: 0 when it is done, refused files included; 1 with --strict if some were refused; 2 for a usage
    error; 3 if it could not be done.

    With --labels facts are those of the notes that sound in each excerpt: instruments, and which are missing,
    drums, voices of choirs, mode, tempo, a steady beat, style as genre, and few or many notes. No audio is
    read, and excerpts.jsonl alone is written.
    """
    torch.set_num_threads(1)
    tracks = read_manifest(manifest)
    if labels:
        _label(tracks, labels, out, ExcerptsConfig(seconds, every))
        raise typer.Exit(0)
    listener = Listener({name: load_musicnn(name) for name in (MTT, MSD)} if tags else {})
    with progress("hearing", len(tracks)) as tell:
        heard = hear_tracks(tracks, out, listener, config=ExcerptsConfig(seconds, every), progress=tell)
    say(
        f"{len(heard.excerpts)} excerpts, {heard.n_silent} of silence left out: {escape(str(out / EXCERPTS))}"
    )
    _show_fields(heard.excerpts)
    show_refused_of(heard.refused, out / REFUSED)
    raise typer.Exit(exit_code(len(heard.refused), strict))


def _label(tracks: Sequence[Track], labels: Path, out: Path, config: ExcerptsConfig) -> None:
    """Write excerpts of rendered tracks, with what their labels say."""
    found = label_excerpts(tracks, read_labels(labels), config)
    path = out / EXCERPTS
    path.parent.mkdir(parents=True, exist_ok=True)
    write_manifest(found.excerpts, path)
    say(f"{len(found.excerpts)} excerpts, {found.n_silent} of silence left out: {escape(str(path))}")
    if found.unknown:
        say(f"{len(found.unknown)} tracks have no labels, as {escape(str(found.unknown[0].path))}")
    _show_fields(found.excerpts)


def _show_fields(excerpts: Sequence[Track]) -> None:
    """How often each field is said."""
    for field in (*HEARD_FIELDS, ABSENT):
        n_said = sum(field in excerpt.tags for excerpt in excerpts)
        say(f"  {field}: said of {100 * n_said / max(1, len(excerpts)):.0f} %")
