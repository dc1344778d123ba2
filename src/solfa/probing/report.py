"""Results of several encoders and tasks as one table, beside what others published."""

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from solfa.checkpoint import write_text
from solfa.config import from_dict, to_dict
from solfa.probing.grid import ProbeConfig
from solfa.probing.probe import ProbeResult, Score
from solfa.probing.published import MUSICFM, MUSICFM_NOTE, PUBLISHED, SOURCE_NOTE, Column, PublishedRow
from solfa.probing.scoring import metric

NOT_RUN, NOT_PUBLISHED, THIS_RUN = "not run", "-", "this run"
WIDTH = 4  # columns of scores that stand side by side on a page
SUFFIX, ROW_SUFFIX = ".result.json", ".row.json"
LATEX = str.maketrans({"_": r"\_", "%": r"\%", "&": r"\&", "#": r"\#", "^": r"\^{}", "~": r"\~{}"})


@dataclass(frozen=True)
class Table:
    """A table of words, and what must be said below it."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...]


def make_table(
    results: Sequence[ProbeResult], *, has_published: bool = True, others: Sequence[PublishedRow] = ()
) -> Table:
    """A row for each encoder, a column for each task and metric.

    A score is the mean over seeds; behind it half of its 95 % interval over seeds, then in brackets the 95 %
    interval over drawings of the test tracks.

    Args:
        results: of any encoders and tasks; of the same encoder and task the last one counts.
        has_published: whether rows of papers follow that have one of the tasks.
        others: rows of programs that are no encoders; those that have one of the tasks follow ours.
    """
    columns = list(dict.fromkeys((r.task, s.metric) for r in results for s in r.scores))
    titles = {(r.task, s.metric): f"{r.title}, {metric(s.metric).title}" for r in results for s in r.scores}
    rows = []
    for model in dict.fromkeys(result.model for result in results):
        found = {(r.task, s.metric): s for r in results if r.model == model for s in r.scores}
        cells = (_cell(found[column]) if column in found else NOT_RUN for column in columns)
        rows.append((model, THIS_RUN, *cells))
    rows += _other_rows(others, columns)
    if has_published:
        rows += _other_rows(PUBLISHED, columns)
    return Table(
        ("model", "source", *(titles[c] for c in columns)), tuple(rows), tuple(_notes(results, rows))
    )


def to_markdown(table: Table) -> str:
    """The table for a page, in parts that fit its width."""
    lines = []
    for part in narrow_tables(table):
        lines += [_line(part.columns), _line(["---"] * len(part.columns)), *map(_line, part.rows), ""]
    return "\n".join([*lines, *(f"- {note}" for note in table.notes)]) + "\n"


def narrow_tables(table: Table) -> list[Table]:
    """Parts with few columns of scores each, without rows of others that say nothing there; no notes."""
    parts = []
    for start in range(2, len(table.columns), WIDTH):
        end = start + WIDTH
        rows = [(*row[:2], *row[start:end]) for row in table.rows]
        told = [row for row in rows if row[1] == THIS_RUN or set(row[2:]) != {NOT_PUBLISHED}]
        parts.append(Table((*table.columns[:2], *table.columns[start:end]), tuple(told), ()))
    return parts


def to_latex(table: Table) -> str:
    """The table for a paper; needs the package booktabs."""
    lines = [
        rf"\begin{{tabular}}{{ll{'r' * (len(table.columns) - 2)}}}",
        r"\toprule",
        _latex_line(table.columns),
        r"\midrule",
        *map(_latex_line, table.rows),
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return "\n".join([*lines, *(f"% {note}" for note in table.notes)]) + "\n"


def to_json(results: Sequence[ProbeResult]) -> str:
    """All that is known of the results, with the published rows of their tasks."""
    columns = {(r.task, s.metric) for r in results for s in r.scores}
    published = [
        {
            "model": row.model,
            "source": row.source,
            "scores": [
                {"task": task, "metric": name, "score": value}
                for (task, name), value in row.scores.items()
                if (task, name) in columns
            ],
        }
        for row in PUBLISHED
        if columns & row.scores.keys()
    ]
    values = {"results": [to_dict(result) for result in results], "published": published}
    return json.dumps(values, indent=2, allow_nan=False) + "\n"


def save_result(result: ProbeResult, folder: Path) -> Path:
    """Write a result where ``load_results`` finds it; one of the same weights and task is replaced."""
    path = folder / f"{result.task}-{result.weights[:12]}{SUFFIX}"
    write_text(path, json.dumps(to_dict(result), indent=2) + "\n")
    return path


def load_results(folder: Path) -> list[ProbeResult]:
    """All results that were saved in a folder, the oldest first."""
    paths = sorted(folder.glob(f"*{SUFFIX}"), key=lambda path: (path.stat().st_mtime_ns, path.name))
    return [from_dict(ProbeResult, json.loads(path.read_text())) for path in paths]


def save_row(row: PublishedRow, folder: Path) -> Path:
    """Write the row of a program that is no encoder where ``save_report`` finds it for its table."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{row.model}{ROW_SUFFIX}"
    scores = [{"task": task, "metric": name, "score": value} for (task, name), value in row.scores.items()]
    values = {"model": row.model, "source": row.source, "scores": scores}
    write_text(path, json.dumps(values, indent=2) + "\n")
    return path


def load_rows(folder: Path) -> list[PublishedRow]:
    """All rows that were saved in a folder, by name."""
    rows = []
    for path in sorted(folder.glob(f"*{ROW_SUFFIX}")):
        values = json.loads(path.read_text())
        scores = {(one["task"], one["metric"]): one["score"] for one in values["scores"]}
        rows.append(PublishedRow(values["model"], values["source"], scores))
    return rows


def save_report(results: Sequence[ProbeResult], folder: Path) -> Table:
    """Write the table as table.md, table.tex and results.json, and give it back."""
    table = make_table(results, others=load_rows(folder))
    write_text(folder / "table.md", to_markdown(table))
    write_text(folder / "table.tex", to_latex(table))
    write_text(folder / "results.json", to_json(results))
    return table


def _cell(score: Score) -> str:
    scale = metric(score.metric).scale
    words = f"{scale * score.mean:.1f}"
    if not math.isnan(score.seed_margin):
        words += f" ± {scale * score.seed_margin:.1f}"
    return f"{words} [{scale * score.low:.1f}, {scale * score.high:.1f}]"


def _printed(value: float | None) -> str:
    return NOT_PUBLISHED if value is None else f"{value:.1f}"


def _other_rows(others: Sequence[PublishedRow], columns: Sequence[Column]) -> list[tuple[str, ...]]:
    return [
        (row.model, row.source, *(_printed(row.scores.get(column)) for column in columns))
        for row in others
        if row.scores.keys() & set(columns)
    ]


def _notes(results: Sequence[ProbeResult], rows: Sequence[tuple[str, ...]]) -> Iterable[str]:
    """What a reader must know before he compares."""
    yield (
        "Mean over seeds ± half its 95 % interval (Student's t) [95 % interval over drawings of the test "
        "tracks]. Layer, rate and epoch were chosen on validation; test was looked at once."
    )
    for result in results:
        n_train, n_valid, n_test = result.n_items
        words = (
            f"{result.model}, {result.title}: layer {result.layer}, rate {result.lr:g}, "
            f"{len(result.probe.seeds)} seeds; {n_train} items to train, {n_valid} to validate, {n_test} "
            f"({result.n_test_tracks} tracks) to test."
        )
        if result.n_refused:
            words += f" {result.n_refused} items could not be used, so the test is not the published one."
        if result.left_out:
            names = ", ".join(result.left_out)
            words += f" Left out of the mean over tags, since no or every test track has them: {names}."
        yield words
    yield from _protocol_notes(results)
    yield from _version_notes(results)
    for title, faults in dict.fromkeys((r.title, r.faults) for r in results):
        yield f"{title}: {faults}"
    sources = {row[1] for row in rows} & {row.source for row in PUBLISHED}
    if sources:
        yield SOURCE_NOTE
    if MUSICFM in sources:
        yield MUSICFM_NOTE


def _protocol_notes(results: Sequence[ProbeResult]) -> Iterable[str]:
    """Where heads were not fitted as MARBLE fits them."""
    usual, departing = to_dict(ProbeConfig()), dict[str, list[ProbeResult]]()
    for result in results:
        changes = {name: value for name, value in to_dict(result.probe).items() if value != usual[name]}
        changes.pop("seeds", None)  # they stand with each result
        if changes:
            words = ", ".join(f"{name}={json.dumps(value)}" for name, value in changes.items())
            departing.setdefault(words, []).append(result)
    for words, found in departing.items():
        asked, models = dict.fromkeys(r.task for r in found), dict.fromkeys(r.model for r in found)
        is_of_all = models == dict.fromkeys(r.model for r in results if r.task in asked)
        of_some = "" if is_of_all else f" with {', '.join(models)}"
        yield f"Not as in MARBLE but {words}: {', '.join(asked)}{of_some}."


def _version_notes(results: Sequence[ProbeResult]) -> Iterable[str]:
    """Which data made here were used, and which results do not compare."""
    versions = sorted({r.data_version for r in results if r.data_version})
    if versions:
        yield f"Version of the free benchmark, a hash over its audio and labels: {', '.join(versions)}."
    if len(versions) > 1:
        for result in results:
            if result.data_version:
                yield f"{result.model}, {result.title}: version {result.data_version}."
        yield "Rows of different versions do not compare. Probe again, or give each version its own --out."


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def _latex_line(cells: Iterable[str]) -> str:
    return " & ".join(cell.translate(LATEX).replace("±", r"$\pm$") for cell in cells) + r" \\"
