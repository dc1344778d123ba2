"""Options that several commands have, and their checks."""

import math
from typing import Annotated

import typer

from solfa.config import PrecisionWish
from solfa.embedding.space import Pool
from solfa.models.bundled import MUSIC_TEXT
from solfa.models.guided_tasks import GuidedTask


def finite(value: float | None) -> float | None:
    """A callback: refuses NaN and infinity, which older versions of typer find within any bounds."""
    if value is not None and not math.isfinite(value):
        raise typer.BadParameter(f"{value} is no number of seconds or hours. Give a finite one.")
    return value


ModelOption = Annotated[
    str, typer.Option(metavar="MODEL", help="A run folder, an official folder or a name; see solfa models.")
]
OptionalModelOption = Annotated[
    str | None,
    typer.Option(
        metavar="MODEL",
        help=f"As for solfa embed. Default: the one that made the library; of a new one {MUSIC_TEXT}.",
    ),
]
LayerOption = Annotated[
    int | None,
    typer.Option(
        help="Number of the layer, negative from the end. Default: the model's own, mostly the last."
    ),
]
TaskOption = Annotated[
    GuidedTask | None, typer.Option(help="In place of --layer: the one that published probes of MODEL took.")
]
PrecisionOption = Annotated[
    PrecisionWish,
    typer.Option(help="Of products. The halves are faster, and round; auto: bfloat16 where it gains."),
]
PoolOption = Annotated[Pool, typer.Option(help="How the frames of a track become one vector.")]
DeviceOption = Annotated[str, typer.Option(help="cpu, cuda, or auto: cuda where there is one.")]
BatchOption = Annotated[
    int | None, typer.Option(min=1, help="Windows of 30 s in one pass. Default: 1 on a CPU, 8 on a GPU.")
]
WorkersOption = Annotated[
    int | None, typer.Option(min=1, help="Threads that read audio. Default: 1 on a CPU, 8 for a GPU.")
]
ThreadsOption = Annotated[
    int, typer.Option(min=0, max=1024, help="Processor threads; 0 leaves it to PyTorch.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
QuietOption = Annotated[bool, typer.Option("--quiet", help="Say nothing but what went wrong.")]
StrictOption = Annotated[
    bool, typer.Option("--strict", help="Exit code 1 if something was refused, instead of 0.")
]
DamagedOption = Annotated[
    bool,
    typer.Option(
        "--take-damaged",
        help="Take what is whole of a damaged file; the track is marked, with what is missing.",
    ),
]
AgainOption = Annotated[
    bool, typer.Option("--again", help="Try files again that were refused before and have not changed.")
]
