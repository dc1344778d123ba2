"""How much is gained by letting the encoder learn: a CSV of 200 excerpts, five ways of fine-tuning, a table.

The label of an excerpt is a tag of its track, by default the package (the game) that the track belongs to.
Tracks that are not among the 200 are the test. Tracks of one game often share instruments and file format,
and the encoder may have heard all tracks, without labels, in its pre-training: what counts is the difference
between the rows.

    python benchmarks/finetuning.py tracks.jsonl --model runs/muq_small --out work
"""

import argparse
import csv
import json
import random
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from solfa.checkpoint import step_folder
from solfa.config import override
from solfa.data.audio import read_audio, write_audio
from solfa.data.manifest import Track, read_manifest
from solfa.embedding.tagging import Tagged, tag_files
from solfa.models import LoRAConfig, Tagger, load
from solfa.objectives import FrozenConfig, FullConfig, LastLayersConfig
from solfa.recipes.finetuning import finetune
from solfa.recipes.resolve import with_labels
from solfa.training import Placement, Trainer

RATE, EXCERPT_SECONDS, FEWEST_TRACKS = 24_000, 15.0, 8
RESULT = "result.json"
AVERAGED = ("train", "best_step", "valid", "test", "test_by_class", "last_test", "seconds")
WAYS = {
    "frozen": {"objective.learns": FrozenConfig()},
    "last 2 layers": {"objective.learns": LastLayersConfig(n_layers=2)},
    "full": {"objective.learns": FullConfig()},
    "full, slowly": {"objective.learns": FullConfig(), "objective.encoder_rate": 0.02},
    "lora": {"objective.learns": LoRAConfig(), "objective.encoder_rate": 1.0},
}


def make_table(manifest: Path, tag: str, n_files: int, out: Path) -> Path:
    """Write excerpts, and a CSV of which ``n_files`` are train or valid and the others test."""
    tracks = [track for track in read_manifest(manifest) if track.seconds >= EXCERPT_SECONDS]
    by_label: dict[str, list[Track]] = defaultdict(list)
    for track in tracks:
        by_label[track.tags.get(tag, "")].append(track)
    classes = {label: found for label, found in by_label.items() if label and len(found) >= FEWEST_TRACKS}
    share = n_files / sum(map(len, classes.values()))
    rows = []
    for label, found in sorted(classes.items()):
        random.Random(label).shuffle(found)
        n_known = min(round(share * len(found)), len(found) - 1)
        n_valid = max(1, n_known // 5)
        for number, track in enumerate(found):
            split = "valid" if number < n_valid else "train" if number < n_known else "test"
            rows.append((_excerpt(track, out / "audio"), label, split))
    with (out / "labels.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("path", "label", "split"), *rows])
    return out / "labels.csv"


def _excerpt(track: Track, folder: Path) -> str:
    """The middle of a track as a WAV file."""
    path = folder / f"{track.content_hash[:16]}.wav"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        start = round((track.seconds - EXCERPT_SECONDS) / 2 * RATE)
        samples = round(EXCERPT_SECONDS * RATE)
        write_audio(path, read_audio(track.path, sample_rate=RATE, start=start, n_samples=samples), RATE)
    return f"audio/{path.name}"


def run_way(way: str, seed: int, table: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Train one way, and score it on the test files; a result that is there already is read."""
    run = arguments.out / f"{way.replace(' ', '_')}-{arguments.steps}-{seed}"
    if (run / RESULT).exists():
        return json.loads((run / RESULT).read_text())
    changes = {
        "data.labels": str(table), "objective.start": arguments.model, "n_steps": arguments.steps,
        "data.clips_per_step": arguments.clips, "seed": seed,
    }  # fmt: skip
    begun = time.process_time()
    config = with_labels(override(finetune(), WAYS[way] | changes), run)
    place = Placement(run=run, device=torch.device("cpu"), clips_per_device=arguments.clips, n_workers=0)
    trainer = Trainer(config, place)
    trainer.train()
    seconds = time.process_time() - begun
    log = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert trainer.best
    best = next(line for line in log if line["step"] == trainer.best.step)
    result = {
        "way": way, "seed": seed, "steps": arguments.steps, "seconds": round(seconds),
        "learning": sum(p.numel() for p in trainer.objective.parameters() if p.requires_grad),
        "train": log[-1]["accuracy"], "best_step": trainer.best.step, "valid": best["valid_accuracy"],
        **score(run / "test.jsonl", run),
        "last_valid": log[-1]["valid_accuracy"],
        "last_test": score(run / "test.jsonl", step_folder(run, arguments.steps))["test"],
    }  # fmt: skip
    (run / RESULT).write_text(json.dumps(result) + "\n")
    return result


def score(manifest: Path, weights: Path) -> dict[str, float]:
    """Share of test files whose likeliest label is right, over files and as a mean over classes."""
    tracks, tagger = read_manifest(manifest), load(weights)
    assert isinstance(tagger, Tagger)
    right: Counter[str] = Counter()
    total = Counter(track.tags["label"] for track in tracks)
    for track, outcome in zip(tracks, tag_files([t.path for t in tracks], tagger), strict=True):
        assert isinstance(outcome, Tagged), outcome
        right[track.tags["label"]] += tagger.labels[int(outcome.answers.argmax())] == track.tags["label"]
    by_class = [right[label] / total[label] for label in total]
    return {"test": right.total() / len(tracks), "test_by_class": sum(by_class) / len(by_class)}


def show(results: Sequence[dict[str, Any]]) -> None:
    """The table, with a row for each way: means over seeds, and each seed on test.

    Validation and test are those of the best step on validation, but for the column of the last step.
    """
    print(
        "way            steps  learning  train  best step  valid  test   mean of classes  last step, test  "
        "processor s  test by seed"
    )
    for way in dict.fromkeys(result["way"] for result in results):
        rows = [result for result in results if result["way"] == way]
        mean = {name: sum(row[name] for row in rows) / len(rows) for name in AVERAGED}
        by_seed = " ".join(f"{row['test']:.1%}" for row in rows)
        print(
            f"{way:14} {rows[0]['steps']:5d} {rows[0]['learning']:9,d}  {mean['train']:5.1%}  "
            f"{mean['best_step']:9.0f}  {mean['valid']:5.1%}  {mean['test']:5.1%}  "
            f"{mean['test_by_class']:15.1%}  {mean['last_test']:15.1%}  {mean['seconds']:11.0f}  {by_seed}"
        )


def main() -> None:
    """Make the table, run all ways and seeds, print the figures."""
    parser = argparse.ArgumentParser(description="Fine-tune in five ways on 200 excerpts.")
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--model", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--tag", default="package", help="of the tracks, that is the label")
    parser.add_argument("--files", type=int, default=200, help="to train and validate on")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--clips", type=int, default=16, help="of a step, 5 s each")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    arguments.out.mkdir(parents=True, exist_ok=True)
    table = make_table(arguments.manifest, arguments.tag, arguments.files, arguments.out)
    with table.open(newline="", encoding="utf-8") as file:
        labels = [(row["label"], row["split"]) for row in csv.DictReader(file)]
    commonest = Counter(label for label, split in labels if split == "test").most_common(1)[0][1]
    n_test = sum(split == "test" for _, split in labels)
    counts, n_classes = dict(Counter(split for _, split in labels)), len({name for name, _ in labels})
    print(f"{counts}, {n_classes} classes; the commonest is {commonest / n_test:.1%} of test", flush=True)
    results = []
    for seed in arguments.seeds:
        for way in arguments.ways:
            results.append(run_way(way, seed, table, arguments))
            print(json.dumps(results[-1]), flush=True)
    show(results)


if __name__ == "__main__":
    main()
