"""solfa probe: what frozen encoders know of labels, as a table and as pictures."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from rich.console import Console
from rich.table import Table as RichTable

from solfa.cli.device import chosen_device
from solfa.cli.encoders import load_encoder
from solfa.cli.help import examples
from solfa.cli.options import DeviceOption, StrictOption, ThreadsOption
from solfa.cli.progress import progress
from solfa.cli.reports import exit_code
from solfa.config import override, parse_assignment
from solfa.data.prepare import Refused, write_refused
from solfa.models import AudioEncoder
from solfa.probing import (
    Baseline,
    Features,
    ProbeConfig,
    ProbeResult,
    Table,
    draw_heat_map,
    draw_layers,
    has_frames,
    is_baseline,
    load_baseline,
    load_results,
    load_rows,
    make_table,
    protocol,
    save_report,
)
from solfa.probing.probe import device_of, features_for, heads_of, probe_and_keep
from solfa.probing.report import SPACE, in_task_order, narrow_tables, save_kept
from solfa.tasks import TASKS, Item, Presence, Task
from solfa.tasks import catalogue as tasks

ALL, FEATURES, REFUSED = "all", "features", "refused.jsonl"
PRESENT, MISSING = "present", "missing"
TaskNames = Annotated[
    list[str] | None,
    typer.Argument(metavar="TASK...", help="Tasks; free: the free benchmark; or all: those present."),
]
ModelsOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="MODEL",
        help="As for solfa embed, or a baseline: log-mel, log-cqt, statistics (both), mfcc-chroma, random, "
        "untrained:MODEL, musicnn, musicnn-mtt. May be repeated, to compare.",
    ),
]


@examples(
    "solfa probe --list",
    "solfa probe free --model runs/muq_small --data data",
    "solfa probe gtzan_genre giantsteps_key --model m-a-p/MERT-v1-95M --out probes",
    "solfa probe gtzan_genre --model runs/muq_small --model runs/mert_small --data ~/sets",
    "solfa probe free_key --model runs/muq_small --model untrained:runs/muq_small --model log-mel",
    "solfa probe magnatagatune --model runs/muq_small --layer 4 --layer 5 --set lrs=[0.001] --seeds 5",
)
def probe(
    names: TaskNames = None,
    model: ModelsOption = None,
    data: Annotated[
        list[Path] | None,
        typer.Option(help="A folder of data sets; may be repeated. Default: SOLFA_DATA, and data."),
    ] = None,
    out: Annotated[Path, typer.Option(help="For features, results, table and pictures.")] = Path("probes"),
    seeds: Annotated[int, typer.Option(min=1, help="Heads of each kind, each with its own draws.")] = 3,
    layer: Annotated[
        list[int] | None, typer.Option(min=0, help="Look at this layer only; may be repeated. Default: all.")
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Change how heads are fitted."),
    ] = None,
    shows_list: Annotated[
        bool, typer.Option("--list", help="Show every task, what is here and what is missing.")
    ] = False,
    device: DeviceOption = "auto",
    threads: ThreadsOption = 0,
    strict: StrictOption = False,
) -> None:
    """Probe encoders: fit small heads on frozen hidden states, and score them on test.

    Features are computed once and kept. Heads for every layer, for a weighted sum and for all layers side by
    side, at six learning rates, are fitted at once (the free benchmark ends the worse rates early);
    validation chooses layer, rate and epoch; test is looked at once. The table says what heads read (changed
    by --set pool=mean+std --set reach_frames=2), and holds all results in the folder beside published ones.
    Writes results, table.md, table.tex, results.json, layers.png, heat maps, and refused.jsonl.

    Exit code: 0 when it is done, 1 with --strict if items were refused, 2 for a usage error, 3 if not.
    """
    if shows_list:
        _list(data)
        return
    if not names or not model:
        raise typer.BadParameter("Name at least one task and a --model. solfa probe --list shows the tasks.")
    assigned = {"seeds": list(range(seeds))} | dict(parse_assignment(text) for text in changes or [])
    wanted = [_wanted(task, data, assigned) for task in _named(names, data)]
    for name in model[1:]:  # now, and not after hours with the models before them
        _checked(name, layer, device, threads)
    out.mkdir(parents=True, exist_ok=True)
    refused = [one for name in model for one in _probe(name, wanted, out, layer, device, threads)]
    write_refused(refused, out / REFUSED)
    _report(in_task_order(load_results(out)), out)
    if refused:
        typer.echo(f"{len(refused)} files refused; all of them with reasons: {out / REFUSED}")
    raise typer.Exit(exit_code(len(refused), strict))


@dataclass(frozen=True)
class _Wanted:
    """A task that is to be probed."""

    task: Task
    items: Sequence[Item]
    data_version: str
    config: ProbeConfig


def _wanted(task: Task, data: Sequence[Path] | None, assigned: dict[str, Any]) -> _Wanted:
    config = override(protocol(task), assigned)
    return _Wanted(task, _items(task, data), tasks.data_version(task, data), config)


def _probe(
    model: str,
    wanted: Sequence[_Wanted],
    out: Path,
    layers: Sequence[int] | None,
    device: str,
    threads: int,
) -> list[Refused]:
    """Run the tasks with one encoder and save the results; gives what was refused.

    Tasks that need frames come first in line for the encoder, since these give others their means over clips.
    """
    encoder = _checked(model, layers, device, threads)
    features: dict[str, Features] = {}
    for one in sorted(wanted, key=lambda one: not has_frames(one.task)):
        with progress(f"{one.task.name}: features", len(one.items)) as tell:
            features[one.task.name] = features_for(
                one.task, one.items, encoder, out / FEATURES, one.config, layers=layers, progress=tell
            )
    for one in wanted:
        of_task = features[one.task.name]
        with progress(f"{one.task.name}: heads", len(heads_of(one.task, of_task, one.config))) as tell:
            result, answers = probe_and_keep(one.task, of_task, model, one.config, tell, device_of(encoder))
        save_kept(replace(result, data_version=one.data_version), answers, out)
        typer.echo(_said(one.task, of_task))
    return [refused for of_task in features.values() for refused in of_task.refused]


def _checked(model: str, layers: Sequence[int] | None, device: str, threads: int) -> AudioEncoder | Baseline:
    """The model that is probed; BadParameter if it lacks a layer that is asked for."""
    encoder = _load(model, device, threads)
    if layers and max(layers) > encoder.n_layers:
        raise typer.BadParameter(f"{model} has the layers 0 to {encoder.n_layers}. Name one of them.")
    return encoder


def _load(model: str, device: str, threads: int) -> AudioEncoder | Baseline:
    if not is_baseline(model):
        return load_encoder(model, device, threads)
    if threads:
        torch.set_num_threads(threads)
    return load_baseline(model, chosen_device(device))


def _said(task: Task, features: Features) -> str:
    return (
        f"{task.name}: {len(features.kept)} items, features of {features.n_computed} new, "
        f"{len(features.refused)} files refused"
    )


def _named(names: Sequence[str], data: Sequence[Path] | None) -> list[Task]:
    if list(names) == [ALL]:
        found = [seen.task for task in TASKS.values() if (seen := tasks.look_for(task, data)).is_usable]
    else:
        found = []
        for name in names:
            found += _of_wing(name, data) if name in tasks.wings() else [tasks.task(name)]
    if not found:
        raise tasks.TaskError("No task's data are here. solfa probe --list says what to download.")
    return list({task.name: task for task in found}.values())


def _of_wing(name: str, data: Sequence[Path] | None) -> list[Task]:
    """The tasks of a wing, such as the free benchmark, that are here; says what the others lack."""
    usable = []
    for task in tasks.wings()[name]:
        seen = tasks.look_for(task, data)
        if seen.is_usable:
            usable.append(task)
        else:
            typer.echo(f"{MISSING} {task.name}: {seen.problem}")
    return usable


def _items(task: Task, data: Sequence[Path] | None) -> Sequence[Item]:
    items = tasks.load_items(task.name, data)
    if shared := tasks.shared_groups(items):
        some = ", ".join(sorted(shared)[:3])
        typer.echo(f"{task.name}: {len(shared)} groups stand in two splits, for instance {some}")
    return items


def _list(data: Sequence[Path] | None) -> None:
    for task in TASKS.values():
        _show(tasks.look_for(task, data))


def _show(seen: Presence) -> None:
    task, counts = seen.task, "/".join(str(seen.n_items[split]) for split in tasks.SPLITS)
    typer.echo(f"{PRESENT if seen.is_usable else MISSING:8} {task.name:22} {task.title}")
    indent = " " * 9
    if seen.is_usable:
        shared = f"; {seen.n_shared} groups stand in two splits" if seen.n_shared else ""
        typer.echo(f"{indent}{counts} items to train, validate and test, in {seen.folder}{shared}")
    else:
        typer.echo(f"{indent}{seen.problem}")
    typer.echo(f"{indent}{', '.join(task.metrics)}; licence: {task.licence}")


def _report(results: Sequence[ProbeResult], out: Path) -> None:
    save_report(results, out)
    _show_table(make_table(results, others=load_rows(out), is_short=True))
    draw_layers(results, out / "layers.png")
    for number, known_by in enumerate(dict.fromkeys((r.weights, r.probe.readout) for r in results), 1):
        of_model = [result for result in results if (result.weights, result.probe.readout) == known_by]
        if any(isinstance(entry.layer, int) for result in of_model for entry in result.layers):
            draw_heat_map(of_model, out / f"heat-{number}.png")
    typer.echo(f"Table and pictures: {out}")


def _show_table(table: Table) -> None:
    console = Console(highlight=False, markup=False)
    for part in narrow_tables(table, console.width):
        shown = RichTable(box=None, pad_edge=False, padding=(0, SPACE, 0, 0))
        for number, name in enumerate(part.columns):
            shown.add_column(name, justify="left" if number < part.n_names else "right")
        for row in part.rows:
            shown.add_row(*row)
        console.print(shown, "")
    for note in table.notes:
        console.print(note, style="dim")
