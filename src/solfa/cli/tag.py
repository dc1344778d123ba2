"""solfa tag: files -> labels, by a model that was fine-tuned on them, or any tags by a music-text model."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from solfa.cli.help import examples
from solfa.cli.options import (
    DeviceOption,
    JsonOption,
    ModelOption,
    StrictOption,
    ThreadsOption,
    finite,
)
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
from solfa.data.refused import Refused
from solfa.files import whole_file
from solfa.json_files import write_json_lines
from solfa.models.bundled import MUSIC_TEXT

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
    found = find_music(paths)
    from solfa.cli.tagged import tag_tracks  # brings PyTorch, which help and wrong options do without

    rows, refused = tag_tracks(
        found.paths, model, tags=tags, prompts=prompt, top=top, clip_seconds=over_time, device=device,
        threads=threads,
    )  # fmt: skip
    refused = found.refused + refused
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
