"""How well a music-text model tells facts of excerpts that it has not learned from, family by family.

    python benchmarks/words_of_facts.py --model runs/words --excerpts real-valid.jsonl --pooled pooled

By this, adapters are chosen: on whole packages and pieces that are held out of their training, and never on
the annotated recordings of unheard_text.py. Truth are the facts of the excerpts (solfa data hear): exact of
rendered music, and of recordings no surer than what two taggers and measurements agree on.

ROC-AUC of zero-shot prompts, 0.5 being chance: of each instrument, genre and mood the excerpts that have it
against all others; of opposites (drums and none, fast and slow) the difference of both scores. With --pooled
the encoder is not asked again: vectors of solfa data pool, of the layers that the model reads or of more.
"""

import argparse
import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

import solfa
from solfa.data.audio import read_audio
from solfa.data.fact_texts import Fact, facts_of
from solfa.data.manifest import Track, read_manifest
from solfa.data.pooled_vectors import PooledVectors
from solfa.frames import seconds_to_samples
from solfa.metrics import area_under_roc
from solfa.models import MuLan
from solfa.models.fingerprint import fingerprint
from solfa.models.layers.adapters import take_layers
from solfa.retrieval.zero_shot import PROMPTS

ONE_BY_ONE = ("instrument", "genre", "mood")  # fields of which each value is asked by itself
OPPOSITES = {
    "drums": ("drums", "no drums"), "voice": ("voice", "no voice"), "tempo": ("fast", "slow"),
    "mode": ("major", "minor"), "loudness": ("loud", "soft"), "brightness": ("bright", "dark"),
    "texture": ("busy", "sparse"), "beat": ("steady", "free"),
}  # fmt: skip
LEAST = 4  # excerpts that have it, and that have it not

# Words -> their scores of every excerpt.
Scores = Callable[[Sequence[str]], np.ndarray]


def main() -> None:
    """Ask, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True)
    parser.add_argument("--excerpts", type=Path, nargs="+", required=True)
    parser.add_argument("--pooled", type=Path, help="vectors of the excerpts; audio is heard if absent")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, help="write figures as JSON")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    mulan = solfa.load(given.model)
    found = {}
    for path in given.excerpts:
        tracks = read_manifest(path)
        vectors = of_pooled(mulan, tracks, given.pooled) if given.pooled else of_audio(mulan, tracks)
        found[str(path)] = areas(by_model(mulan, vectors), tracks)
        show(path, len(tracks), found[str(path)])
    if given.out:
        given.out.write_text(json.dumps({"model": given.model, "areas": found}, indent=1) + "\n")


def areas(scores: Scores, tracks: Sequence[Track]) -> dict[str, float]:
    """The area of each fact and of each pair of opposites that enough excerpts have, and have not."""
    having: dict[Fact, set[int]] = defaultdict(set)
    for number, track in enumerate(tracks):
        for fact in facts_of(track, (*ONE_BY_ONE, *OPPOSITES)):
            having[fact].add(number)
    found = {}
    for (field, word), has in sorted(having.items()):
        if field in ONE_BY_ONE and LEAST <= len(has) <= len(tracks) - LEAST:
            found[f"{field} {word}"] = area(scores([word])[0], has, set(range(len(tracks))) - has)
    for field, (word, contrary) in OPPOSITES.items():
        has, has_not = having[field, word], having[field, contrary]
        if min(len(has), len(has_not)) >= LEAST:
            of_word, of_contrary = scores([word, contrary])
            found[field] = area(of_word - of_contrary, has, has_not)
    return found


def area(values: np.ndarray, has: set[int], has_not: set[int]) -> float:
    """How often an excerpt that has it scores above one that has it not."""
    return float(area_under_roc(values[sorted(has)], values[sorted(has_not)]))


def families(found: dict[str, float]) -> dict[str, tuple[float, int]]:
    """Mean area, and number of areas, of each field."""
    of: dict[str, list[float]] = defaultdict(list)
    for name, value in found.items():
        of[name.split()[0]].append(value)
    return {field: (float(np.mean(values)), len(values)) for field, values in of.items()}


def by_model(mulan: MuLan, vectors: Tensor) -> Scores:
    """Cosines in the model's space, the mean over the ways to say a word."""

    def scores(words: Sequence[str]) -> np.ndarray:
        texts = [prompt.replace("{}", word) for word in words for prompt in PROMPTS]
        with torch.no_grad():
            said = F.normalize(mulan.embed_text(texts).unflatten(0, (len(words), -1)).mean(1), dim=-1)
        return (said @ vectors.T).numpy()

    return scores


@torch.no_grad()
def of_pooled(mulan: MuLan, tracks: Sequence[Track], folder: Path) -> Tensor:
    """Unit vectors of excerpts, of stored vectors of the model's encoder."""
    stored, tower = PooledVectors(folder), mulan.audio
    if stored.description.encoder != fingerprint(tower.encoder):
        raise SystemExit(f"{folder} holds vectors of another encoder than that of the model.")
    stored.require(tracks)
    rows = torch.from_numpy(np.stack([stored[track] for track in tracks]))
    wanted = tower.encoder.layer_numbers(tower.layers)
    return tower.project_pooled(take_layers(rows, stored.description.layers, wanted))


@torch.no_grad()
def of_audio(mulan: MuLan, tracks: Sequence[Track]) -> Tensor:
    """Unit vectors of excerpts, heard."""
    rate, found = mulan.sample_rate, []
    for track in tracks:
        wave = read_audio(
            track.path, sample_rate=rate, start=seconds_to_samples(track.start_seconds, rate),
            n_samples=seconds_to_samples(track.seconds, rate),
        )  # fmt: skip
        found.append(mulan.embed_clips(torch.from_numpy(wave)[None])[0])
    return torch.stack(found)


def show(path: Path, n_tracks: int, found: dict[str, float]) -> None:
    """A table of families, and one of all areas."""
    print(f"\n{path.name}: {n_tracks} excerpts\n\n| ROC-AUC | mean | of |\n|---|---:|---:|")
    for field, (mean, n) in families(found).items():
        print(f"| {field} | {mean:.3f} | {n} |")
    print("\n" + ", ".join(f"{name} {value:.2f}" for name, value in found.items()))


if __name__ == "__main__":
    main()
