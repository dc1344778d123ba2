"""Results of several encoders and tasks as one table, beside what others published."""

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from solfa.config import load_config, to_dict
from solfa.files import write_text
from solfa.json_files import ContentError, read_json_object, write_json
from solfa.probing.answers import SUFFIX as ANSWERS
from solfa.probing.answers import KeptAnswers, save_answers
from solfa.probing.grid import ProbeConfig
from solfa.probing.probe import ProbeResult, Score
from solfa.probing.published import MUSICFM, MUSICFM_NOTE, PUBLISHED, SOURCE_NOTE, Column, PublishedRow
from solfa.probing.scoring import metric
from solfa.tasks import TASKS

NOT_RUN, NOT_PUBLISHED, THIS_RUN = "not run", "-", "this run"
ONCE_ALWAYS_RICH = ("log-mel", "mfcc-chroma")  # read by mean and deviation, and neighbours, before all were
READOUT_NOTE = (
    "Readout, the same for models and baselines: mean or mean and deviation (mean+std) over a clip, with "
    "autocorrelations of its changes (acf); where "
    "labels are in time single frames, or (±2) a frame beside two neighbours on each side."
)
WIDTH = 4  # columns of scores that stand side by side on a page
SPACE = 2  # between columns
OVER_SEEDS = " ± half its 95 % interval (Student's t)"
OVER_TRACKS = " [95 % interval over drawings of the test tracks]."
CHOICE_NOTE = "Layer, rate and epoch were chosen on validation; test was looked at once."
SUFFIX, ROW_SUFFIX = ".result.json", ".row.json"
LATEX = str.maketrans({"_": r"\_", "%": r"\%", "&": r"\&", "#": r"\#", "^": r"\^{}", "~": r"\~{}"})


@dataclass(frozen=True)
class Table:
    """A table of words, and what must be said below it."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...]
    n_names: int = 2  # columns that name a row; those of scores follow


def make_table(
    results: Sequence[ProbeResult],
    *,
    has_published: bool = True,
    others: Sequence[PublishedRow] = (),
    is_short: bool = False,
) -> Table:
    """A row for each encoder and readout, a column for each task and metric; turned where that is less wide.

    A score is the mean over seeds; behind it half of its 95 % interval over seeds, then in brackets the 95 %
    interval over drawings of the test tracks.

    Args:
        results: of any encoders and tasks; of the same encoder, readout and task the last one counts.
        has_published: whether rows of papers follow that have one of the tasks.
        others: rows of programs that are no encoders; those that have one of the tasks follow ours.
        is_short: whether to leave out the interval over seeds, for a narrow place.
    """
    results = in_task_order(results)
    columns = list(dict.fromkeys((r.task, s.metric) for r in results for s in r.scores))
    rows = []
    for known_by in dict.fromkeys((result.model, result.probe.readout) for result in results):
        of_row = [result for result in results if (result.model, result.probe.readout) == known_by]
        found = {(r.task, s.metric): s for r in of_row for s in r.scores}
        cells = (_cell(found[column], is_short) if column in found else NOT_RUN for column in columns)
        rows.append((known_by[0], THIS_RUN, known_by[1], *cells))
    rows += _other_rows(others, columns)
    if has_published:
        rows += _other_rows(PUBLISHED, columns)
    told = f"Mean over seeds{'' if is_short else OVER_SEEDS}{OVER_TRACKS}"
    notes = (told, CHOICE_NOTE, READOUT_NOTE, *_notes(results, rows))
    if len(columns) > len(rows):
        return _turned(columns, rows, notes)
    titles = {(r.task, s.metric): f"{r.title}, {metric(s.metric).title}" for r in results for s in r.scores}
    return Table(("model", "source", "readout", *(titles[c] for c in columns)), tuple(rows), notes, n_names=3)


def in_task_order(results: Sequence[ProbeResult]) -> list[ProbeResult]:
    """Tasks as ``solfa probe --list`` has them, then others; encoders as they were."""
    places = {name: place for place, name in enumerate(TASKS)}
    return sorted(results, key=lambda result: places.get(result.task, len(places)))


def _turned(columns: Sequence[Column], rows: Sequence[tuple[str, ...]], notes: tuple[str, ...]) -> Table:
    """A row for each task and metric, a column for each encoder; sources stand in the first row."""
    models, sources, readouts, *scores = zip(*rows, strict=True)
    names = (f"{task}, {metric(name).title}" for task, name in columns)
    turned = [(name, *of_metric) for name, of_metric in zip(names, scores, strict=True)]
    turned.insert(0, ("readout", *readouts))
    if set(sources) != {THIS_RUN}:
        turned.insert(0, ("source", *sources))
    return Table(("task", *models), tuple(turned), notes, n_names=1)


def to_markdown(table: Table) -> str:
    """The table for a page, in parts that fit its width."""
    lines = []
    for part in narrow_tables(table):
        lines += [_line(part.columns), _line(["---"] * len(part.columns)), *map(_line, part.rows), ""]
    return "\n".join([*lines, *(f"- {note}" for note in table.notes)]) + "\n"


def narrow_tables(table: Table, n_chars: int | None = None) -> list[Table]:
    """Parts with few columns of scores each, without rows of others that say nothing there; no notes.

    Args:
        table: of any width.
        n_chars: width of a part where each stands on one line; four columns of scores each if None.
    """
    parts, n_names = [], table.n_names
    for start, end in _cuts(table, n_chars):
        rows = [(*row[:n_names], *row[start:end]) for row in table.rows]
        told = [row for row in rows if THIS_RUN in row[:n_names] or set(row[n_names:]) != {NOT_PUBLISHED}]
        parts.append(Table((*table.columns[:n_names], *table.columns[start:end]), tuple(told), (), n_names))
    return parts


def _cuts(table: Table, n_chars: int | None) -> Iterator[tuple[int, int]]:
    """First and last column of scores of each part."""
    lines, start = (table.columns, *table.rows), table.n_names
    widths = [SPACE + max(len(line[n]) for line in lines) for n in range(len(table.columns))]
    while start < len(table.columns):
        end = start + (WIDTH if n_chars is None else 1)
        left = (n_chars or 0) + SPACE - sum(widths[: table.n_names]) - sum(widths[start:end])
        while end < len(widths) and n_chars is not None and left >= widths[end]:
            left, end = left - widths[end], end + 1
        yield start, min(end, len(widths))
        start = end


def to_latex(table: Table) -> str:
    """The table for a paper; needs the package booktabs."""
    lines = [
        rf"\begin{{tabular}}{{{'l' * table.n_names}{'r' * (len(table.columns) - table.n_names)}}}",
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
    """Write a result where ``load_results`` finds it, over one of the same weights, readout and task."""
    config = result.probe
    is_usual = config.readout == ProbeConfig().readout
    readout = "" if is_usual else f"-{config.pool}-{config.reach_frames}"
    path = folder / f"{result.task}-{result.weights[:12]}{readout}{SUFFIX}"
    write_json(path, to_dict(result))
    return path


def save_kept(result: ProbeResult, answers: KeptAnswers | None, folder: Path) -> Path:
    """As ``save_result``, with what was said of each test track beside it."""
    path = save_result(result, folder)
    place = answers_path(path)
    if answers is None:
        place.unlink(missing_ok=True)  # of an earlier probe, whose scores they were
    else:
        save_answers(answers, place)
    return path


def answers_path(result: Path) -> Path:
    """Where the answers are that go with a result."""
    return result.with_name(result.name.removesuffix(SUFFIX) + ANSWERS)


def load_results(folder: Path) -> list[ProbeResult]:
    """All results that were saved in a folder, the oldest first."""
    return [load_result(path) for path in result_paths(folder)]


def load_result(path: Path) -> ProbeResult:
    """A result that was saved, whatever version wrote it."""
    return _with_old_readout(load_config(ProbeResult, path), path)


def result_paths(folder: Path) -> list[Path]:
    """Of all results that were saved in a folder, the oldest first."""
    return sorted(folder.glob(f"*{SUFFIX}"), key=lambda path: (path.stat().st_mtime_ns, path.name))


def _with_old_readout(result: ProbeResult, path: Path) -> ProbeResult:
    """Results from before readouts were named: encoders were read by means, two baselines always by more."""
    if result.model not in ONCE_ALWAYS_RICH or "pool" in read_json_object(path)["probe"]:
        return result
    return replace(result, probe=replace(result.probe, pool="mean+std", reach_frames=2))


def save_row(row: PublishedRow, folder: Path) -> Path:
    """Write the row of a program that is no encoder where ``save_report`` finds it for its table."""
    path = folder / f"{row.model}{ROW_SUFFIX}"
    scores = [{"task": task, "metric": name, "score": value} for (task, name), value in row.scores.items()]
    values = {"model": row.model, "source": row.source, "scores": scores}
    write_json(path, values)
    return path


def load_rows(folder: Path) -> list[PublishedRow]:
    """All rows that were saved in a folder, by name."""
    rows = []
    for path in sorted(folder.glob(f"*{ROW_SUFFIX}")):
        values = read_json_object(path)
        try:
            scores = {(one["task"], one["metric"]): one["score"] for one in values["scores"]}
            rows.append(PublishedRow(values["model"], values["source"], scores))
        except (KeyError, TypeError) as error:
            raise ContentError(
                f"{path} is no row of a table ({error!r}). Remove it, or write it anew."
            ) from None
    return rows


def save_report(results: Sequence[ProbeResult], folder: Path) -> Table:
    """Write the table as table.md, table.tex and results.json, and give it back."""
    table = make_table(results, others=load_rows(folder))
    write_text(folder / "table.md", to_markdown(table))
    write_text(folder / "table.tex", to_latex(table))
    write_text(folder / "results.json", to_json(results))
    return table


def _cell(score: Score, is_short: bool) -> str:
    scale = metric(score.metric).scale
    words = f"{scale * score.mean:.1f}"
    if is_short and scale > 1:
        return f"{words} [{round(scale * score.low)}, {round(scale * score.high)}]"
    if not is_short and not math.isnan(score.seed_margin):
        words += f" ± {scale * score.seed_margin:.1f}"
    return f"{words} [{scale * score.low:.1f}, {scale * score.high:.1f}]"


def _printed(value: float | None) -> str:
    return NOT_PUBLISHED if value is None else f"{value:.1f}"


def _other_rows(others: Sequence[PublishedRow], columns: Sequence[Column]) -> list[tuple[str, ...]]:
    return [
        (row.model, row.source, NOT_PUBLISHED, *(_printed(row.scores.get(column)) for column in columns))
        for row in others
        if row.scores.keys() & set(columns)
    ]


def _notes(results: Sequence[ProbeResult], rows: Sequence[tuple[str, ...]]) -> Iterable[str]:
    """What a reader must know before he compares."""
    for model in dict.fromkeys(result.model for result in results):
        yield from _notes_on_choices([result for result in results if result.model == model])
    yield from _protocol_notes(results)
    yield from _version_notes(results)
    for task in dict.fromkeys(result.task for result in results):
        yield from _notes_on_items([result for result in results if result.task == task])
    sources = {row[1] for row in rows} & {row.source for row in PUBLISHED}
    if sources:
        yield SOURCE_NOTE
    if MUSICFM in sources:
        yield MUSICFM_NOTE


def _notes_on_choices(results: Sequence[ProbeResult]) -> Iterable[str]:
    """Layers and rates of an encoder."""
    for n_seeds in dict.fromkeys(len(result.probe.seeds) for result in results):
        words = ", ".join(
            f"{result.task} {result.layer} {result.lr:g}"
            for result in results
            if len(result.probe.seeds) == n_seeds
        )
        yield f"{results[0].model}, {n_seeds} {'seed' if n_seeds == 1 else 'seeds'}, layer and rate: {words}."


def _notes_on_items(results: Sequence[ProbeResult]) -> Iterable[str]:
    """What was learned and asked in a task, once if all encoders had the same, and its faults."""
    models: dict[str, list[str]] = {}
    for result in results:
        n_train, n_valid, n_test = result.n_items
        words = f"{n_train} items to train, {n_valid} to validate, {n_test} to test"
        words += "." if result.n_test_tracks == n_test else f" ({result.n_test_tracks} tracks)."
        if result.n_refused:
            words += f" {result.n_refused} items could not be used, so the test is not the published one."
        if result.left_out:
            names = ", ".join(result.left_out)
            words += f" Left out of the mean over tags, since no or every test track has them: {names}."
        models.setdefault(words, []).append(result.model)
    for words, having in models.items():
        of_some = f" ({', '.join(dict.fromkeys(having))})" if len(models) > 1 else ""
        yield f"{results[0].title}{of_some}: {words} {results[0].faults}"


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
