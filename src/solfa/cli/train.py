"""solfa train: a recipe or a config.json -> a run folder."""

from pathlib import Path
from typing import Annotated

import torch
import typer

from solfa import checkpoint, distributed
from solfa.cli.device import chosen_device
from solfa.cli.help import examples
from solfa.cli.options import ThreadsOption
from solfa.cli.progress import training_progress
from solfa.config import load_config, override, parse_assignment
from solfa.recipes import RECIPES, recipe
from solfa.recipes.resolve import resolved
from solfa.recipes.starting import starting_from
from solfa.training import Placement, RunConfig, Trainer, draw_curves

NOT_DONE = 3  # exit code of what could not be done
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change one value, e.g. optim.lr=1e-4. May be repeated."),
]
ResumeOption = Annotated[bool, typer.Option("--resume", help="Go on from the newest checkpoint of --out.")]
StartOption = Annotated[
    str,
    typer.Option(
        metavar="MODEL",
        help="Begin with the weights of a run, a checkpoint or a saved model; see solfa models.",
    ),
]
ShardOption = Annotated[
    bool, typer.Option("--shard", help="Under torchrun: each process holds a share of the weights (FSDP2).")
]
RecomputeOption = Annotated[
    bool, typer.Option("--recompute", help="Less memory: layers are computed again as gradients go backward.")
]
CompileOption = Annotated[
    bool,
    typer.Option(
        "--compile", help="PyTorch compiles layers: minutes at the start, then less time for a step."
    ),
]


@examples(
    "solfa train mel_rvq --set data.manifest=tracks.jsonl --out runs/mel_rvq",
    "solfa train muq_small --set data.manifest=tracks.jsonl "
    "--set objective.predictions.0.target.fitted=runs/mel_rvq --out runs/muq_small",
    "solfa train muq_small --out runs/muq_small --resume",
    "solfa train solfa_small_taught --start-from runs/solfa_small --set ... --out runs/taught",
    "solfa train mulan_small --set data.manifest=captions.jsonl --set objective.start=runs/muq_small "
    "--out runs/mulan_small",
    "solfa train finetune --set data.labels=labels.csv --set objective.start=runs/muq_small --out runs/mine",
    "torchrun --nproc-per-node 8 -m solfa train muq_large --set ... --shard --out runs/muq_large",
)
def train(
    recipe_or_config: Annotated[
        str,
        typer.Argument(
            metavar="RECIPE|CONFIG.JSON",
            help=f"What to train: {', '.join(RECIPES)}; or the config.json of a run.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="The run folder to be made.")],
    assignments: SetOption = None,
    start_from: StartOption = "",
    resume: ResumeOption = False,
    device: Annotated[str, typer.Option(help="cpu, cuda, or auto: cuda where there is one.")] = "auto",
    clips_per_device: Annotated[int, typer.Option(min=1, help="Clips in one forward pass.")] = 8,
    workers: Annotated[int, typer.Option(min=0, help="Processes that read audio, for each device.")] = 1,
    threads: ThreadsOption = 0,
    shard: ShardOption = False,
    recompute: RecomputeOption = False,
    compiles: CompileOption = False,
) -> None:
    """Train a quantizer or an encoder.

    A recipe is a complete run; --set changes single values of it, and the result is written to config.json in
    the run folder. With --resume the run is read from there, and RECIPE only names it.

    With --start-from a new run begins with the weights of another model: its encoder, whose settings must be
    the same, and of a run also heads, predictor and whatever else fits; the log says what was taken over and
    what is new. Optimiser, learning rate and steps are those of the new run. config.json keeps the model's
    name, hash, licence and teachers.
    """
    if threads:
        torch.set_num_threads(threads)
    place = chosen_device(device)
    where = Placement(
        run=out, device=place, clips_per_device=clips_per_device, n_workers=workers, is_sharded=shard,
        recomputes=recompute, compiles=compiles,
    )  # fmt: skip
    changes = dict(parse_assignment(text) for text in assignments or [])
    try:
        with distributed.process_group(place):
            config = override(_config(recipe_or_config, out, resume), changes)
            config = resolved(starting_from(config, start_from, out), out, changes)
            trainer = _trained(config, where, resume)
            if distributed.is_main():
                _say_what_came_of(trainer)
    except distributed.EndedByAnother:
        raise typer.Exit(NOT_DONE) from None  # without a word: the one that failed has said why


def _trained(config: RunConfig, place: Placement, resume: bool) -> Trainer:
    with training_progress(config.n_steps) as on_step:
        trainer = Trainer(config, place, on_step)
        trainer.train(resume)
    return trainer


def _say_what_came_of(trainer: Trainer) -> None:
    run = trainer.place.run
    typer.echo(f"Curves: {draw_curves(run)}")
    if trainer.best and trainer.best.step:
        typer.echo(
            f"Step {trainer.best.step} of {trainer.step} has the lowest loss on validation, "
            f"{trainer.best.loss:.4g}; the run is known by its weights."
        )
    typer.echo(how_to_use(run, trainer.config))


def how_to_use(run: Path, config: RunConfig) -> str:
    """Commands that use a finished run."""
    if config.objective.kind == "fine_tuning":
        return (
            f"Done: {run}. Use it:\n  solfa tag MUSIC --model {run}\n  "
            f"python -c \"import solfa; tagger = solfa.load('{run}')\"  # .labels, .predict(waveform)"
        )
    if config.objective.kind == "music_text":
        return (
            f"Done: {run}. Use it:\n  solfa tag MUSIC --model {run} --tags 'piano,guitar'\n  "
            f"python -c \"import solfa; mulan = solfa.load('{run}')\"  # .embed_audio, .embed_text"
        )
    if config.objective.kind == "codec_fit":
        return (
            f"Done: {run}. Hear it:\n  solfa codec roundtrip SONG heard.wav --codec {run}\n"
            f"Train an encoder on its codes:\n  solfa train mert_small --set data.manifest="
            f"{config.data.manifest} --set objective.predictions.0.target.fitted={run} --out runs/mert_small"
        )
    if config.objective.kind == "kmeans_fit":
        return (
            f"Done: {run}. Name it for each k-means target of an encoder of the same sample rate:\n"
            f"  --set objective.predictions.0.target.fitted={run}"
        )
    if config.objective.kind == "quantizer_fit":
        if config.objective.target.kind == "hidden_rvq":
            return (
                f"Done: {run}. Store its codes:\n  solfa data label {config.data.manifest} --target {run} "
                f"--frames {config.data.frames} --out codes"
            )
        name, place = ("solfa_small", 1) if config.objective.target.kind == "cqt_rvq" else ("muq_small", 0)
        return (
            f"Done: {run}. Train an encoder on its codes:\n  solfa train {name} --set data.manifest="
            f"{config.data.manifest} --set objective.predictions.{place}.target.fitted={run} "
            f"--out runs/{name}"
        )
    return (
        f"Done: {run}. Use it:\n  solfa embed MUSIC --model {run} --out embeddings\n  solfa index MUSIC "
        f"--model {run} --library library.sqlite\n  python -c \"import solfa; encoder = solfa.load('{run}')\""
    )


def _config(name: str, out: Path, resume: bool) -> RunConfig:
    """What is to be trained.

    Raises:
        CheckpointError: a run is to go on that has no config.json; what was set for it is not known.
    """
    if resume and (out / checkpoint.CONFIG).is_file():
        return load_config(RunConfig, out / checkpoint.CONFIG)
    if name.endswith(".json"):
        return load_config(RunConfig, Path(name))
    if resume and checkpoint.steps(out):
        raise checkpoint.CheckpointError(
            f"There is no {checkpoint.CONFIG} in {out}, but there are checkpoints of a run. Put it back; or, "
            f"to go on with other settings than may have been set, name a config.json in place of {name}."
        )
    return recipe(name)
