"""solfa models: what can be loaded here."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from huggingface_hub import scan_cache_dir
from huggingface_hub.errors import CacheNotFound

from solfa import checkpoint, runs
from solfa.cli.help import examples
from solfa.cli.options import JsonOption
from solfa.cli.reports import show_json
from solfa.models.bundled import bundled
from solfa.models.folders import MODEL, model_folder
from solfa.models.loading import use_without_encoder
from solfa.models.published import CHECKPOINTS

GIGABYTE = 1e9
HEAD = ("name", "what", "size", "licence")
Row = tuple[str, ...]
Known = tuple[str, str, int | None, str]  # name, what, bytes if they are known, licence


@examples("solfa models", "solfa models --runs ~/experiments", "solfa models --json")
def models(
    runs: Annotated[Path, typer.Option(help="A folder of run folders.")] = Path("runs"),
    as_json: JsonOption = False,
) -> None:
    """List what --model and solfa.load accept here.

    Models that come with solfa, runs, models in the hub's cache, and published names.
    """
    known = [*_bundled(), *_runs(runs), *_cached(), *_published()]
    if as_json:
        names = ("name", "what", "n_bytes", "licence")
        show_json({"models": [dict(zip(names, row, strict=True)) for row in known]})
        return
    sizes = ("" if n_bytes is None else gigabytes(n_bytes) for _, _, n_bytes, _ in known)
    rows = [(name, what, size, licence) for (name, what, _, licence), size in zip(known, sizes, strict=True)]
    print_table([HEAD, *rows])


def _bundled() -> Iterator[Known]:
    for name in bundled():
        folder = model_folder(name)
        values = runs.read_values(folder)
        size = runs.weights_file(folder).stat().st_size
        yield name, f"{_describe(values)}; comes with solfa", size, _licence(values)


def _runs(folder: Path) -> Iterator[Known]:
    if not folder.is_dir():
        return
    for run in sorted(path.parent for path in folder.glob(f"*/{checkpoint.CONFIG}")):
        row: Known
        try:
            with runs.explained(run, checkpoint.CheckpointError):
                values = runs.read_values(run)
                size = runs.weights_file(run).stat().st_size
                row = str(run), _describe(values), size, str(_licence(values))
        except (checkpoint.CheckpointError, OSError) as error:
            row = str(run), f"cannot be loaded: {error}", None, ""
        yield row


def _licence(values: dict[str, Any]) -> str:
    return runs.licence(values) or "not stated"


def _describe(values: dict[str, Any]) -> str:
    objective = values.get("objective", {})
    parts = (objective.get(name) for name in ("encoder", "tagger", "mulan"))
    model = next((part for part in parts if part), values.get(MODEL))
    if not model:
        return use_without_encoder(objective)
    if "labels" in model:
        return f"{_sizes(model['encoder'])}, with a head for {len(model['labels']['names'])} labels"
    return _sizes(model)


def _sizes(model: dict[str, Any]) -> str:
    context = model.get("conformer") or model.get("transformer")
    if not context:
        return f"{model.get('kind')}, music and text in {model.get('dim')} dimensions"
    return f"{model.get('kind')}, {context.get('n_layers')} layers of {context.get('dim')}"


def _cached() -> Iterator[Known]:
    """Models in the hub's cache of which both configuration and weights are there."""
    try:
        repositories = scan_cache_dir().repos
    except CacheNotFound:
        return
    for repository in sorted(repositories, key=lambda found: found.repo_id):
        files = {file.file_name for revision in repository.revisions for file in revision.files}
        if {checkpoint.CONFIG, checkpoint.WEIGHTS} <= files:
            known = CHECKPOINTS.get(repository.repo_id)
            licence = known.licence if known else "see its card"
            yield repository.repo_id, "in the local cache", repository.size_on_disk, licence


def _published() -> Iterator[Known]:
    for name, known in CHECKPOINTS.items():
        yield name, "published; fetched when first used", known.n_bytes or None, known.licence


def gigabytes(n_bytes: int) -> str:
    """A size as people read it."""
    return f"{n_bytes / GIGABYTE:.1f} GB" if n_bytes >= GIGABYTE else f"{n_bytes / 1e6:.1f} MB"


def print_table(rows: Sequence[Row]) -> None:
    """Rows with their columns aligned."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))] if rows else []
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        typer.echo("  ".join(cells).rstrip())
