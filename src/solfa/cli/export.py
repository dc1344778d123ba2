"""solfa export: a model in a form in which it can be passed on."""

from pathlib import Path
from typing import Annotated

import typer

from solfa.cli.examples import examples
from solfa.models import load

app = typer.Typer(help="A model in a form in which it can be passed on.", no_args_is_help=True)


@app.command()
@examples(
    "solfa export bundle OpenMuQ/MuQ-MuLan-large --out mulan",
    "solfa export bundle runs/muq_small --out muq-small",
)
def bundle(
    model: Annotated[str, typer.Argument(help="A run folder, another folder or a name; see solfa models.")],
    out: Annotated[Path, typer.Option(help="The folder to fill.")],
) -> None:
    """Join all that a model needs in one folder, which solfa.load reads without a network.

    Writes config.json (what it is, its licence, and what it answers to a fixed sound), model.safetensors,
    README.md (a card to be completed), and, for a music-text model, text/ (the tokenizer and the settings of
    its language model). A published MuQ-MuLan takes three repositories of the hub; its bundle is one folder,
    and the weights of its parts, which are in its own file already, are not fetched.

    Exit code: 0 if it is written, 1 if the model cannot be loaded or the folder holds something else.
    """
    saved = load(model).save_pretrained(out)
    size = sum(path.stat().st_size for path in saved.rglob("*") if path.is_file())
    typer.echo(f"{saved} holds all of {model}: {size / 1e6:.1f} MB. Use it: solfa.load({str(saved)!r})")
