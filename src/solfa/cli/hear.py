"""solfa data hear: a manifest -> excerpts of its tracks, with facts about how they sound."""

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
from solfa.data.heard import HEARD_FIELDS, MSD, MTT
from solfa.data.manifest import read_manifest
from solfa.embedding.hearing import EXCERPTS, REFUSED, ExcerptsConfig, Listener, hear_tracks
from solfa.models.published.musicnn import load_musicnn


@examples(
    "solfa data hear music/train.jsonl --out heard",
    "solfa data caption heard/excerpts.jsonl --only genre --only mood --only drums --out captions.jsonl",
)
def hear(
    manifest: Annotated[Path, typer.Argument(help="The tracks; see solfa data prepare.")],
    out: Annotated[Path, typer.Option(help="The folder to fill.")],
    seconds: Annotated[float, typer.Option(min=3.0, help="Length of an excerpt.")] = 10.0,
    every: Annotated[float, typer.Option(min=0.5, help="Seconds from one excerpt to the next.")] = 10.0,
    tags: Annotated[bool, typer.Option(help="Ask two published taggers (musicnn) for tags.")] = True,
    strict: StrictOption = False,
) -> None:
    """Cut tracks into excerpts, and say of each how it sounds: for pairs of music and text.

    Measured are loudness, brightness, onsets, beat, tempo, drums and mode (where two sources agree on the
    key); tags are said where both taggers find that an excerpt stands out among all. Names of files say
    nothing here. Writes into the folder: numbers.jsonl (what was measured), excerpts.jsonl (a manifest, facts
    as tags), and refused.jsonl. Run it again after an interruption: what has been heard is kept.

    Exit code: 0 when it is done, refused files included; 1 with --strict if some were refused; 2 for a usage
    error; 3 if it could not be done.
    """
    torch.set_num_threads(1)
    tracks = read_manifest(manifest)
    listener = Listener({name: load_musicnn(name) for name in (MTT, MSD)} if tags else {})
    with progress("hearing", len(tracks)) as tell:
        heard = hear_tracks(tracks, out, listener, config=ExcerptsConfig(seconds, every), progress=tell)
    say(
        f"{len(heard.excerpts)} excerpts, {heard.n_silent} of silence left out: {escape(str(out / EXCERPTS))}"
    )
    for field in HEARD_FIELDS:
        n_said = sum(field in excerpt.tags for excerpt in heard.excerpts)
        say(f"  {field}: said of {100 * n_said / max(1, len(heard.excerpts)):.0f} %")
    show_refused_of(heard.refused, out / REFUSED)
    raise typer.Exit(exit_code(len(heard.refused), strict))
