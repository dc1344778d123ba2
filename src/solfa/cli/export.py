"""solfa export: a model in a form in which it can be passed on."""

import json
from dataclasses import fields
from pathlib import Path
from typing import Annotated

import typer

from solfa.cli.help import examples
from solfa.config import from_dict
from solfa.exporting import Weights, export_onnx
from solfa.models import ModelCard, load, save_official

CARD_FIELDS = [field.name for field in fields(ModelCard)]

app = typer.Typer(help="A model in a form in which it can be passed on.", no_args_is_help=True)


@app.command()
@examples(
    "solfa export bundle OpenMuQ/MuQ-MuLan-large --out mulan",
    "solfa export bundle runs/muq_small --out muq-small",
    "solfa export bundle runs/muq_small --half --card card.json --out muq-small",
)
def bundle(
    model: Annotated[str, typer.Argument(help="A run folder, another folder or a name; see solfa models.")],
    out: Annotated[Path, typer.Option(help="The folder to fill.")],
    half: Annotated[bool, typer.Option("--half", help="Weights in half precision: half the size.")] = False,
    card: Annotated[
        Path | None,
        typer.Option(help=f"What the card says: a JSON object with any of {', '.join(CARD_FIELDS)}."),
    ] = None,
    license: Annotated[str | None, typer.Option(help="Of the weights, if the model does not say it.")] = None,
) -> None:
    """Join all that a model needs in one folder, which solfa.load reads without a network.

    Writes config.json (what it is, its licence, and what it answers to a fixed sound), model.safetensors,
    README.md (a card to be completed), and, for a music-text model, text/ (the tokenizer and the settings of
    its language model). A published MuQ-MuLan takes three repositories of the hub; its bundle is one folder,
    and the weights of its parts, which are in its own file already, are not fetched.

    Exit code: 0 if it is written, 3 if the model cannot be loaded or the folder holds something else.
    """
    loaded = load(model)
    if license and loaded.license not in ("", license):
        raise typer.BadParameter(f"{model} is licensed {loaded.license}; this is not yours to change.")
    loaded.license = license or loaded.license
    saved = loaded.save_pretrained(out, _read_card(card), is_half=half)
    typer.echo(f"{saved} holds all of {model}: {_megabytes(saved)}. Use it: solfa.load({str(saved)!r})")


@app.command()
@examples(
    "solfa export official runs/muq_small --out muq-small",
    "solfa export official runs/mert_small --out mert-small",
)
def official(
    model: Annotated[str, typer.Argument(help="A run folder, another folder or a name; see solfa models.")],
    out: Annotated[Path, typer.Option(help="The folder to fill; new or empty.")],
) -> None:
    """Write a MuQ or MERT as the official programs read it: muq 0.1.0, or transformers for MERT.

    Writes config.json and model.safetensors under the official names, README.md (a card with the lines that
    load it), and for MERT preprocessor_config.json. With a MuQ go its head, its quantizer and its masking, if
    the official program can have them, and with a MERT the vector that hides frames; heads of MERT are left
    out, as they are of the published files. solfa.load reads the folder too.

    A model is refused if the official program would compute something else: a MuQ with other than 128 mel
    bands every 10 ms at 24 kHz, for instance.

    Exit code: 0 if it is written, 3 if the model cannot be loaded or written so, or the folder is not empty.
    """
    saved = save_official(model, out)
    typer.echo(f"{saved} holds {model} in the official layout: {_megabytes(saved)}. Its README.md loads it.")


@app.command()
@examples(
    "solfa export onnx solfa-small --out small-onnx",
    "solfa export onnx solfa-mulan-small --weights float16 --out words-onnx",
    "solfa export onnx m-a-p/MERT-v1-95M --layer 7 --layer 12 --out mert-onnx",
)
def onnx(
    model: Annotated[str, typer.Argument(help="A run folder, another folder or a name; see solfa models.")],
    out: Annotated[Path, typer.Option(help="The folder to fill.")],
    layer: Annotated[
        list[int] | None,
        typer.Option(help="Whose hidden states are wanted, may be given again; vectors are of the first."),
    ] = None,
    weights: Annotated[
        Weights, typer.Option(help="How weights are stored: float32, float16 or int8.")
    ] = "float32",
) -> None:
    """Write a model as a graph for ONNX Runtime: waveform in, hidden states and a vector out.

    Spectra are a part of the graph, and clips may be of any number and length. solfa.onnx reads the folder
    without PyTorch. Of a music-text model the text side and its tokenizer are written too.

    What the graph computes is compared with PyTorch, and printed for each output: the largest difference, as
    a share of the largest value, and the smallest cosine. In float32 more than 1e-4 is an error.

    Exit code: 0 if it is written, 3 if the model cannot be loaded or its graph computes something else.
    """
    exported = export_onnx(load(model), model, out, layers=layer, weights=weights)
    for checked in exported.checked:
        typer.echo(str(checked))
    typer.echo(f"{out} holds {model}: {_megabytes(out)}. Use it: solfa.onnx.OnnxModel({str(out)!r})")


def _read_card(path: Path | None) -> ModelCard:
    if path is None:
        return ModelCard()
    try:
        return from_dict(ModelCard, json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise typer.BadParameter(f"{path} is no card: {error}") from None


def _megabytes(folder: Path) -> str:
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return f"{size / 1e6:.1f} MB"
