"""ZeroShotTagger: tags that are only named, by prompts; scores on a task, and of texts that find tracks."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from solfa.data.audio import read_audio
from solfa.data.manifest import Track
from solfa.data.refused import Refused
from solfa.embedding.tagging import Tagged, tag_file, tag_files
from solfa.errors import ArgumentError
from solfa.frames import FrameGrid, seconds_to_samples
from solfa.metrics import TagAreas, TextRetrieval, tag_areas, text_retrieval
from solfa.models import MuLan
from solfa.tasks import Item, Task, TaskError

# Ways to say a tag; its vector is the mean over them. Captions of the training have the first two.
PROMPTS = ("{}", "{} music", "a recording of {}", "this track is {}", "the sound of {}")


class ZeroShotTagger:
    """Compares music with tags that nobody taught: the vector of a tag is the mean of those of its prompts.

    Args:
        mulan: in eval mode.
        tags: their names.
        prompts: each with one ``{}`` for the tag.

    Raises:
        ValueError: no tags, or a prompt without a place for one.
    """

    def __init__(self, mulan: MuLan, tags: Sequence[str], prompts: Sequence[str] = PROMPTS) -> None:
        self.labels = tuple(tag.strip() for tag in tags)
        if not self.labels or not all(self.labels):
            raise ArgumentError("There are no tags, or empty ones. Name some, such as --tags 'piano,guitar'.")
        if not prompts or not all(prompt.count("{}") == 1 for prompt in prompts):
            raise ArgumentError("Every prompt has one {} in the place of the tag, as in 'the sound of {}'.")
        if not all(_is_text(text) for text in (*self.labels, *prompts)):
            raise ArgumentError("A tag or a prompt is no text: it holds bytes that are not UTF-8.")
        self.mulan = mulan
        texts = [prompt.replace("{}", tag) for tag in self.labels for prompt in prompts]
        with torch.no_grad():
            vectors = mulan.embed_text(texts).unflatten(0, (len(self.labels), len(prompts)))
        self.vectors: Float[Tensor, "tag dim"] = F.normalize(vectors.mean(1), dim=-1)

    def scores(self, audio: Float[Tensor, "track dim"]) -> Float[Tensor, "track tag"]:
        """Cosines in [-1, 1] of vectors of the shared space with every tag."""
        return self.scores_of(audio, self.vectors)

    @torch.no_grad()
    def scores_of(
        self, audio: Float[Tensor, "track dim"], texts: Float[Tensor, "text dim"]
    ) -> Float[Tensor, "track text"]:
        """Cosines of vectors of the shared space with unit vectors of texts."""
        return (F.normalize(audio.to(texts.device), dim=-1) @ texts.T).cpu()

    @property
    def grid(self) -> FrameGrid:
        """Samples: clips may be of any length."""
        return FrameGrid(self.mulan.sample_rate, hop_length=1)

    @property
    def clip_seconds(self) -> float:
        """Of the model's clips."""
        return self.mulan.config.clips.seconds

    def heard(self, waveform: Float[Tensor, "clip sample"]) -> Float[Tensor, "clip dim"]:
        """Vectors of clips."""
        return self.mulan.embed_clips(waveform.to(next(self.mulan.parameters()).device)).cpu()

    def answers(self, heard: Float[Tensor, "clip dim"]) -> Float[Tensor, "clip tag"]:
        """Their cosines with every tag."""
        return self.scores(heard)

    def tag(self, path: Path, clip_seconds: float | None = None) -> Tagged:
        """Scores of a track, by the mean vector of its clips, and of each clip; as ``tag_file``."""
        return tag_file(path, self, clip_seconds)

    def tag_files(
        self, paths: Sequence[Path], *, clip_seconds: float | None = None
    ) -> Iterator[Tagged | Refused]:
        """As ``solfa.embedding.tagging.tag_files``."""
        return tag_files(paths, self, clip_seconds=clip_seconds)


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def score_task(
    mulan: MuLan,
    task: Task,
    items: Sequence[Item],
    *,
    prompts: Sequence[str] = PROMPTS,
    progress: Callable[[int, str], None] | None = None,
) -> TagAreas:
    """Areas under the curves of a task's tags or classes over its test tracks, without any training.

    As published for MagnaTagATune: every tag of the task against every track of its test split, the mean over
    tags. A recording's vector is the one of ``MuLan.embed_audio``; those of a track's items are averaged.

    Raises:
        TaskError: a task without tags or classes, or without test tracks.
        AudioError: a file of the task cannot be read.

    Source:
        MuLan, arXiv:2208.12415, and MuQ-MuLan, arXiv:2501.01108, table 5.
    """
    if task.kind.taught_as not in ("tags", "classes"):
        raise TaskError(f"{task.name} has neither tags nor classes. Choose a task that has.")
    wanted = [item for item in items if item.split == "test"]
    if not wanted:
        raise TaskError(f"{task.name} has no test tracks. {task.download}")
    tagger = ZeroShotTagger(mulan, task.kind.names, prompts)
    sums: dict[str, Tensor] = {}
    said: dict[str, set[str]] = {}
    for n_done, item in enumerate(wanted, start=1):
        vector = _embed(mulan, item.path, item.start, item.seconds)
        sums[item.track] = sums[item.track] + vector if item.track in sums else vector
        said.setdefault(item.track, set()).update(task.kind.words(item.label))
        if progress:
            progress(n_done, item.path.name)
    reference = np.array([[name in labels for name in task.kind.names] for labels in said.values()])
    return tag_areas(reference, tagger.scores(torch.stack(list(sums.values()))).numpy())


def score_retrieval(
    mulan: MuLan, tracks: Sequence[Track], texts: Sequence[str], own: Sequence[int] | None = None
) -> TextRetrieval:
    """Ranks of each text's own track among all.

    Args:
        mulan: in eval mode.
        tracks: that are searched.
        texts: what is searched for.
        own: number of the track of each text; the texts are in the order of the tracks if None.

    Raises:
        AudioError: a track cannot be read.
    """
    vectors = torch.stack([_embed(mulan, track.path, track.start_seconds, track.seconds) for track in tracks])
    with torch.no_grad():
        words = mulan.embed_text(texts)
    return text_retrieval((words @ F.normalize(vectors, dim=-1).T).cpu().numpy(), own)


@torch.no_grad()
def _embed(mulan: MuLan, path: Path, start: float, seconds: float | None) -> Float[Tensor, " dim"]:
    """The vector of a recording as the model makes it."""
    rate = mulan.sample_rate
    waveform = read_audio(
        path,
        sample_rate=rate,
        start=seconds_to_samples(start, rate),
        n_samples=None if seconds is None else seconds_to_samples(seconds, rate),
    )
    device = next(mulan.parameters()).device
    return mulan.embed_audio(torch.from_numpy(waveform)[None].to(device))[0]
