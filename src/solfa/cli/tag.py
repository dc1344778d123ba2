"""solfa tag: files -> labels, by a model that was fine-tuned on them, or any tags by a music-text model."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from rich.console import Console
from rich.table import Table

from solfa import models
from solfa.cli.device import chosen_device
from solfa.cli.help import examples
from solfa.cli.options import (
    DeviceOption,
    JsonOption,
    ModelOption,
    StrictOption,
    ThreadsOption,
    finite,
)
from solfa.cli.progress import progress
from solfa.cli.reports import (
    exit_code,
    passed_over_values,
    refused_values,
    show_json,
    show_passed_over,
    show_refused,
    shown,
)
from solfa.data.folders import PassedOver, find_music
from solfa.data.prepare import Refused
from solfa.data.tags import read_tags
from solfa.embedding.tagging import Tagged, tag_files
from solfa.files import whole_file
from solfa.json_files import write_json_lines
from solfa.models import AudioEncoder, MuLan, Tagger
from solfa.models.bundled import MUSIC_TEXT
from solfa.retrieval.families import FamilyTagger
from solfa.retrieval.zero_shot import PROMPTS, ZeroShotTagger

COLUMNS = ("path", "start", "end", "label", "value")


@examples(
    "solfa tag song.mp3",
    "solfa tag song.mp3 --tags 'piano,guitar,choir'",
    "solfa tag ~/Music --model runs/mine",
    "solfa tag ~/Music --model runs/mine --top 3 --out tags.csv",
    "solfa tag ~/Music --json",
    "solfa tag song.mp3 --model runs/mine --over-time 10 --out tags.jsonl",
)
def tag(
    paths: Annotated[list[Path], typer.Argument(help="Audio files, folders or manifests.")],
    model: ModelOption = MUSIC_TEXT,
    top: Annotated[int, typer.Option(min=1, help="Labels for each line, the most probable first.")] = 5,
    out: Annotated[
        Path | None, typer.Option(help="Write a .jsonl or a .csv besides; relative paths as they are.")
    ] = None,
    over_time: Annotated[
        float | None,
        typer.Option(
            min=0.1, max=1e6, callback=finite, metavar="SECONDS", help="A line for every span so long."
        ),
    ] = None,
    tags: Annotated[
        str | None,
        typer.Option(help="Any words, between commas; for a music-text model.", show_default="of families"),
    ] = None,
    prompt: Annotated[
        list[str] | None,
        typer.Option(help="How tags are said, {} being the tag; several are averaged.", show_default="five"),
    ] = None,
    device: DeviceOption = "auto",
    threads: ThreadsOption = 0,
    strict: StrictOption = False,
    as_json: JsonOption = False,
) -> None:
    """Tag tracks: with any words, or with the labels that a model has learned by solfa train finetune.

    A track is cut into clips as long as those that the model learned from, and what it says of them is
    averaged. Classes sum to 1; tags stand alone; of numbers the values are shown. A music-text model knows no
    labels. It compares common tags with others of their family (mood, genre, instrument, voice, tempo) and
    with music of any kind, and gives five at most with its confidence, or none where it is not sure; the
    genre that the file states stands beside them. Words of --tags have cosines, good for comparing tracks.

    Exit code: 0 when it is done, refused files included; 1 with --strict if some were refused; 2 for a usage
    error; 3 if it could not be done.
    """
    _check_options(out, tags, prompt)
    if threads:
        torch.set_num_threads(threads)
    found = find_music(paths)
    tagger = _tagger(models.load(model, chosen_device(device)), str(model), tags, prompt)
    outcomes = _tagged(found.paths, tagger, over_time)
    refused = found.refused + [outcome for outcome in outcomes if isinstance(outcome, Refused)]
    tagged = [outcome for outcome in outcomes if isinstance(outcome, Tagged)]
    rows = [row for one in tagged for row in _rows(one, tagger, top, over_time is not None)]
    if out:
        _write(rows, out)
    _report(rows, refused, found.passed_over, over_time is not None, as_json)
    raise typer.Exit(exit_code(len(refused), strict))


def _check_options(out: Path | None, tags: str | None, prompts: Sequence[str] | None) -> None:
    if out and out.suffix not in (".jsonl", ".csv"):
        raise typer.BadParameter(f"--out ends in .jsonl or .csv, not {out.name}.")
    if tags is not None and not all(tag.strip() for tag in tags.split(",")):
        raise typer.BadParameter(
            f"--tags holds no tag, or an empty one: {tags!r:.100}. Write 'piano,guitar'."
        )
    if any(prompt.count("{}") != 1 for prompt in prompts or ()):
        raise typer.BadParameter("--prompt has one {} in the place of the tag, as in 'the sound of {}'.")


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


def _tagged(
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


def _write(rows: Sequence[dict[str, Any]], out: Path) -> None:
    if out.suffix == ".jsonl":
        write_json_lines(rows, out)
        return
    with (
        whole_file(out) as partial,
        partial.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file,
    ):
        table = csv.writer(file)
        table.writerow(COLUMNS)
        for row in rows:
            for label, value in row["labels"].items():
                table.writerow([row["path"], row.get("start", ""), row.get("end", ""), label, value])


def _report(
    rows: Sequence[dict[str, Any]],
    refused: Sequence[Refused],
    passed_over: Sequence[PassedOver],
    is_over_time: bool,
    as_json: bool,
) -> None:
    if as_json:
        values = {"refused": refused_values(refused), "passed_over": passed_over_values(passed_over)}
        show_json({"tracks": rows} | values)
        return
    _show(rows, is_over_time)
    show_passed_over(passed_over)
    show_refused(refused)


def _show(rows: Sequence[dict[str, Any]], is_over_time: bool) -> None:
    table = Table(box=None, pad_edge=False)
    for name in ("file", *(("seconds",) if is_over_time else ()), "labels"):
        table.add_column(name)
    for row in rows:
        time = [f"{row['start']:g}-{row['end']:g}"] if is_over_time else []
        genre = f"  (the file says: {row['genre_of_file']})" if "genre_of_file" in row else ""
        table.add_row(shown(Path(row["path"])), *time, (_words(row["labels"]) or "not sure of any") + genre)
    console = Console(highlight=False, markup=False)
    console.print(table, soft_wrap=not console.is_terminal)


def _words(labels: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.2f}" for name, value in labels.items())
