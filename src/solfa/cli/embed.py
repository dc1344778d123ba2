"""solfa embed: files -> vectors or hidden states in a folder."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from solfa import embedding
from solfa.cli.help import examples
from solfa.cli.options import (
    AgainOption,
    BatchOption,
    DamagedOption,
    DeviceOption,
    JsonOption,
    LayerOption,
    ModelOption,
    PoolOption,
    PrecisionOption,
    StrictOption,
    TaskOption,
    ThreadsOption,
    WorkersOption,
)
from solfa.cli.progress import progress
from solfa.cli.reports import (
    damaged_json,
    exit_code,
    passed_over_values,
    refused_values,
    show_damaged,
    show_json,
    show_passed_over,
    show_refused,
)
from solfa.config import PrecisionWish
from solfa.data.folders import Found, find_music
from solfa.embedding.space import Pool, Space
from solfa.models.bundled import ENCODER
from solfa.models.guided_tasks import GuidedTask

if TYPE_CHECKING:  # help and wrong options do without PyTorch
    import solfa.models


@examples(
    "solfa embed ~/Music --out vectors",
    "solfa embed ~/Music --model runs/muq_small --out vectors",
    "solfa embed tracks.jsonl --model OpenMuQ/MuQ-large-msd-iter --layer 10 --out vectors",
    "solfa embed ~/Music --model m-a-p/MERT-v1-95M --task key --out keys",
    "solfa embed a.mp3 b.flac --model runs/muq_small --frames --frame-layer 4 --out hidden",
)
def embed(
    paths: Annotated[list[Path], typer.Argument(help="Audio files, folders or manifests.")],
    out: Annotated[Path, typer.Option(help="The folder to fill.")],
    model: ModelOption = ENCODER,
    layer: LayerOption = None,
    task: TaskOption = None,
    pool: PoolOption = "mean",
    frames: Annotated[bool, typer.Option("--frames", help="Keep hidden states besides vectors.")] = False,
    frame_layer: Annotated[
        list[int] | None, typer.Option(help="Layer to keep with --frames; may be repeated. Default: --layer.")
    ] = None,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "float32",
    batch: BatchOption = None,
    workers: WorkersOption = None,
    threads: ThreadsOption = 0,
    again: AgainOption = False,
    take_damaged: DamagedOption = False,
    strict: StrictOption = False,
    as_json: JsonOption = False,
) -> None:
    """Embed tracks: one vector for each, and hidden states if wanted.

    Writes into the folder: store.json (which model and layer), tracks.jsonl (a line for each track; "row"
    says where its vector is), vectors.npy, with --frames also frames/HASH.npy (frame layer dim), and
    refused.jsonl: files that could not be used, with reasons. Run it again after an interruption, or when
    music was added: what is there is not computed again. Tracks of any length are embedded in windows of
    30 s with 5 s of context.

    Files that are not audio by their name are passed over, and counted by their kinds. A file that was
    refused is tried again when it has changed, with --again, or when --take-damaged is given for the first
    time: that leaves out what is damaged of a file, and marks its line by "damage".

    Exit code: 0 when it is done, refused files included; 1 with --strict if some were refused; 2 for a usage
    error; 3 if it could not be done.
    """
    _refuse_useless(task, layer, needs_frames=bool(frame_layer) and not frames)
    found = find_music(paths)
    encoder, space = _encoder_and_space(model, device, threads, precision, task, layer, pool, as_json)
    layers = [encoder.layer_number(number) for number in frame_layer or [space.layer]] if frames else []
    batching, n = embedding.Batching(windows_at_once=batch, n_workers=workers), len(found.paths)
    with embedding.EmbeddingStore(out, space, layers) as store, progress("embedding", n) as tell:
        done = store.extend(
            found.paths, encoder, batching=batching, progress=tell, again=again, take_damaged=take_damaged,
            refused=found.refused,
        )  # fmt: skip
    _report(done, found, out, as_json)
    raise typer.Exit(exit_code(len(done.refused) + len(done.refused_before), strict))


def _encoder_and_space(
    model: str,
    device: str,
    threads: int,
    precision: PrecisionWish,
    task: GuidedTask | None,
    layer: int | None,
    pool: Pool,
    as_json: bool,
) -> "tuple[solfa.models.AudioEncoder, Space]":
    from solfa.cli.encoders import load_encoder, space_of
    from solfa.precision import chosen_precision

    _check_precision(precision, device)
    encoder = load_encoder(model, device, threads)
    number = _layer_for(task, encoder, model, as_json) if task else layer
    return encoder, space_of(encoder, model, number, pool, chosen_precision(precision, encoder.device))


def _layer_for(task: GuidedTask, encoder: "solfa.models.AudioEncoder", model: str, as_json: bool) -> int:
    from solfa.models import guided_layer

    found = guided_layer(encoder, model, task)
    typer.echo(f"layer {found.number} for {task} ({found.reason})", err=as_json)
    return found.number


def _refuse_useless(task: GuidedTask | None, layer: int | None, *, needs_frames: bool) -> None:
    if task and layer is not None:
        raise typer.BadParameter("--task chooses the layer, and so does --layer. Leave one of them out.")
    if needs_frames:
        raise typer.BadParameter("--frame-layer chooses what --frames keeps. Add --frames.")


def _check_precision(precision: PrecisionWish, device: str) -> None:
    from solfa.cli.device import chosen_device
    from solfa.embedding import check_precision
    from solfa.precision import chosen_precision

    try:
        check_precision(chosen_precision(precision, place := chosen_device(device)), place)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def _report(done: "embedding.Extraction", found: Found, out: Path, as_json: bool) -> None:
    from solfa.embedding.store import REFUSED

    n_refused = len(done.refused) + len(done.refused_before)
    if as_json:
        show_json(
            {
                "store": str(out), "n_embedded": done.n_embedded, "n_known": done.n_known,
                "refused": refused_values(done.refused),
                "refused_before": refused_values(done.refused_before),
                "damaged": damaged_json(done.damaged),
                "report": str(out / REFUSED) if n_refused else None,
                "passed_over": passed_over_values(found.passed_over),
            }
        )  # fmt: skip
        return
    show_passed_over(found.passed_over)
    show_refused(done.refused)
    show_damaged(done.damaged)
    typer.echo(f"{done.n_embedded} tracks embedded, {done.n_known} were there already: {out}")
    if n_refused:
        typer.echo(f"{n_refused} files refused; all of them with reasons: {out / REFUSED}")
    if done.refused_before:
        typer.echo(f"{len(done.refused_before)} of them are as they were before; --again tries them.")
