"""solfa compare: encoders that were probed, beside one of them, on the same drawn tracks."""

from pathlib import Path
from typing import Annotated

import typer

from solfa.cli.help import examples
from solfa.probing.comparing import N_RESAMPLES
from solfa.probing.comparing import compare as compared
from solfa.probing.comparison_report import comparison_to_markdown, save_comparison


@examples(
    "solfa compare probes --against log-mel",
    "solfa compare probes more_probes --against untrained:runs/solfa_small --out comparison",
)
def compare(
    folders: Annotated[
        list[Path], typer.Argument(exists=True, file_okay=False, help="Where solfa probe put its results.")
    ],
    against: Annotated[str, typer.Option(metavar="MODEL", help="Named as it was for solfa probe.")],
    out: Annotated[
        Path | None, typer.Option(help="For comparison.md and comparison.json. Default: the first folder.")
    ] = None,
    resamples: Annotated[int, typer.Option(min=100, help="Drawings of the test tracks.")] = N_RESAMPLES,
) -> None:
    """Compare encoders that were probed with one of them, by all tasks together.

    The mean over tasks of (score - chance) / (100 - chance), its difference to the named model with a 95 %
    interval over drawings of test tracks that are the same for both, and the tasks won, lost and tied: of the
    layer that validation chose, the best single one, the best from layer 1 on, the last, and both mixes.
    Nothing is fitted again: solfa probe keeps what was said of each test track. Results of older versions
    lack that; they are named and left out.
    """
    comparisons = compared(folders, against, resamples)
    place = out or folders[0]
    place.mkdir(parents=True, exist_ok=True)
    save_comparison(comparisons, place)
    typer.echo(comparison_to_markdown(comparisons))
    typer.echo(f"comparison.md and comparison.json: {place}")
