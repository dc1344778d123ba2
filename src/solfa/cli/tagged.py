"""What solfa tag says of tracks: labels that a model has learned, or tags that are only named."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import typer

from solfa import models
from solfa.cli.device import chosen_device
from solfa.cli.progress import progress
from solfa.data.refused import Refused
from solfa.data.tags import read_tags
from solfa.embedding.tagging import Tagged, tag_files
from solfa.models import AudioEncoder, MuLan, Tagger
from solfa.retrieval.families import FamilyTagger
from solfa.retrieval.zero_shot import PROMPTS, ZeroShotTagger


def tag_tracks(
    paths: Sequence[Path],
    model: str,
    *,
    tags: str | None,
    prompts: list[str] | None,
    top: int,
    clip_seconds: float | None,
    device: str,
    threads: int,
) -> tuple[list[dict[str, Any]], list[Refused]]:
    """A line for each track, or for each span of it, and what was refused.

    Args:
        paths: of the files.
        model: as ``solfa.load`` takes it.
        tags: words between commas; common ones if None.
        prompts: how tags are said.
        top: labels of a line at most.
        clip_seconds: of a span; lines of whole tracks if None.
        device: as of ``--device``.
        threads: of the processor; PyTorch's own choice if 0.

    Raises:
        typer.BadParameter: the model has learned no labels, or has its own and others were named.
    """
    if threads:
        torch.set_num_threads(threads)
    tagger = _tagger(models.load(model, chosen_device(device)), model, tags, prompts)
    outcomes = _all_tagged(paths, tagger, clip_seconds)
    refused = [outcome for outcome in outcomes if isinstance(outcome, Refused)]
    tagged = [outcome for outcome in outcomes if isinstance(outcome, Tagged)]
    return [row for one in tagged for row in _rows(one, tagger, top, clip_seconds is not None)], refused


def _tagger(
    model: AudioEncoder | MuLan, name: str, tags: str | None, prompts: list[str] | None
) -> Tagger | ZeroShotTagger:
    """What answers: labels that were learned, or tags that are only named."""
    if isinstance(model, MuLan):
        if tags is None:
            return FamilyTagger(model, prompts=prompts or PROMPTS)
        return ZeroShotTagger(model, tags.split(","), prompts or PROMPTS)
    if not isinstance(model, Tagger):
        raise typer.BadParameter(
            f"{name} has learned no labels. Make a model that has: solfa train finetune."
        )
    if tags is not None or prompts:
        raise typer.BadParameter(
            f"{name} has labels of its own: {', '.join(model.labels)}. Leave out --tags and --prompt, or "
            "name a music-text model."
        )
    return model


def _all_tagged(
    tracks: Sequence[Path], tagger: Tagger | ZeroShotTagger, clip_seconds: float | None
) -> list[Tagged | Refused]:
    outcomes = tag_files(tracks, tagger, clip_seconds=clip_seconds)
    done: list[Tagged | Refused] = []
    with progress("tagging", len(tracks)) as tell:
        for outcome in outcomes:
            done.append(outcome)
            tell(len(done), outcome.path.name)
    return done


def _rows(
    tagged: Tagged, tagger: Tagger | ZeroShotTagger, top: int, is_over_time: bool
) -> list[dict[str, Any]]:
    """A line for the track, or one for each span."""
    if not is_over_time:
        row = {"path": str(tagged.path), "labels": _best(tagged.answers, tagger, top)}
        genre = read_tags(tagged.path).get("genre") if isinstance(tagger, FamilyTagger) else None
        return [row | ({"genre_of_file": genre} if genre else {})]
    return [
        {
            "path": str(tagged.path), "start": round(span.start, 3), "end": round(span.end, 3),
            "labels": _best(span.answers, tagger, top),
        }
        for span in tagged.spans
    ]  # fmt: skip


def _best(answers: torch.Tensor, tagger: Tagger | ZeroShotTagger, top: int) -> dict[str, float]:
    """The highest answers by name, of families the sure ones; numbers stay in the order of names."""
    if isinstance(tagger, FamilyTagger):
        return {tag: round(value, 4) for tag, value in list(tagger.sure(answers).items())[:top]}
    named = dict(zip(tagger.labels, (round(value, 4) for value in answers.tolist()), strict=True))
    if isinstance(tagger, Tagger) and tagger.config.labels.kind == "numbers":
        return named
    return dict(sorted(named.items(), key=lambda pair: -pair[1])[:top])
