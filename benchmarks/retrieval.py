"""Which features know that two clips are of one track? An encoder, the same untrained, and log-mel.

    python benchmarks/retrieval.py --model runs/muq_small --manifest music/heldout.jsonl

Every track gives equally spaced clips; each clip in turn is a query, and all others are ranked by cosine.
Recall@1 is the share of queries whose nearest neighbour comes from the same track; mAP the mean area under
precision and recall. "mean" pools a layer by its mean over frames, "mean+std" appends the deviation;
"standardised" first scales every dimension to mean 0 and deviation 1 over all clips, "whitened" the first 64
principal components (at most one for four clips); neither sees a label.
"""

import argparse
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

import solfa
from solfa.data.audio import read_audio
from solfa.data.manifest import Track, read_manifest
from solfa.features import LogMel, LogMelConfig
from solfa.metrics import retrieval
from solfa.models import AudioEncoder, build_encoder

SAMPLE_RATE, N_COMPONENTS = 24_000, 64
WAYS = ("as is", "standardised", "whitened")


def clips_of(track: Track, n_clips: int, seconds: float) -> list[torch.Tensor]:
    """Equally spaced clips of a track that do not overlap."""
    n = min(n_clips, int(track.seconds // seconds))
    starts = np.linspace(0, track.seconds - seconds, n) if n > 1 else [0.0]
    length = round(seconds * SAMPLE_RATE)
    waves = [
        read_audio(track.path, sample_rate=SAMPLE_RATE, start=round(start * SAMPLE_RATE), n_samples=length)
        for start in starts
    ]
    return [torch.from_numpy(np.pad(wave, (0, length - len(wave)))) for wave in waves]


def pooled(frames: torch.Tensor) -> dict[str, np.ndarray]:
    """(clip frame dim) -> (clip dim), in two ways."""
    mean, deviation = frames.mean(1), frames.std(1)
    return {"mean": mean.numpy(), "mean+std": torch.cat([mean, deviation], 1).numpy()}


@torch.inference_mode()
def encoder_vectors(encoder: AudioEncoder, clips: torch.Tensor) -> dict[str, np.ndarray]:
    """Pooled vectors of every layer."""
    found: dict[str, list[np.ndarray]] = {}
    for batch in clips.split(8):
        for layer, states in enumerate(encoder(batch).states):
            for pool, vectors in pooled(states).items():
                found.setdefault(f"layer {layer}, {pool}", []).append(vectors)
    return {name: np.concatenate(parts) for name, parts in found.items()}


def scores(vectors: np.ndarray, labels: np.ndarray) -> dict[str, dict[str, float]]:
    """Figures as is, standardised and whitened."""
    centred = vectors - vectors.mean(0)
    components = np.linalg.svd(centred.astype(np.float64), full_matrices=False)[0]
    ways = {
        "as is": vectors,
        "standardised": centred / (vectors.std(0) + 1e-9),
        "whitened": components[:, : min(N_COMPONENTS, len(vectors) // 4)],
    }
    answers = {}
    for name, rows in ways.items():
        unit = rows / (np.linalg.norm(rows, axis=1, keepdims=True) + 1e-12)
        answers[name] = asdict(retrieval(labels, (unit @ unit.T).astype(np.float64)))
    return answers


def main() -> None:
    """Print the table, and write it as JSON where asked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", required=True, help="a trained run with an encoder")
    parser.add_argument("--manifest", type=Path, required=True, help="tracks that the model has not seen")
    parser.add_argument("--clips", type=int, default=8, help="clips of a track")
    parser.add_argument("--seconds", type=float, default=10.0, help="length of a clip")
    parser.add_argument("--json", type=Path, help="write all figures here")
    arguments = parser.parse_args()

    waves, labels = [], []
    for number, track in enumerate(read_manifest(arguments.manifest)):
        cut = clips_of(track, arguments.clips, arguments.seconds)
        if len(cut) > 1:
            waves += cut
            labels += [number] * len(cut)
    clips, names = torch.stack(waves), np.array(labels)

    trained = solfa.load(arguments.model)
    torch.manual_seed(0)
    untrained = build_encoder(trained.config).eval()
    log_mel = LogMel(LogMelConfig())
    mel = torch.cat([log_mel(batch) for batch in clips.split(16)])
    systems = {
        "log-mel": pooled(mel),
        "untrained": encoder_vectors(untrained, clips),
        "trained": encoder_vectors(trained, clips),
    }
    table = {
        system: {name: scores(vectors, names) for name, vectors in kinds.items()}
        for system, kinds in systems.items()
    }
    print(f"{len(clips)} clips of {arguments.seconds:g} s from {len(set(labels))} tracks")
    print(f"{'':28}" + "".join(f"{way:>22}" for way in WAYS))
    print(f"{'':28}" + f"{'recall@1':>14}{'mAP':>8}" * len(WAYS))
    for system, kinds in table.items():
        for name, answer in kinds.items():
            figures = [(answer[way]["recall_at_1"], answer[way]["mean_average_precision"]) for way in WAYS]
            print(f"{system + ', ' + name:28}" + "".join(f"{r:14.1%}{m:8.3f}" for r, m in figures))
    print(f"chance: {answer[WAYS[0]]['chance']:.1%} recall@1")
    if arguments.json:
        arguments.json.write_text(json.dumps(table, indent=1))


if __name__ == "__main__":
    main()
