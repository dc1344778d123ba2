"""solfa models and solfa doctor: what can be loaded here, and what this machine can decode and run on."""

import os
import platform
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Annotated, Any

import av
import numpy as np
import soundfile
import torch
import typer
from huggingface_hub import constants, scan_cache_dir
from huggingface_hub.errors import CacheNotFound

from solfa import checkpoint
from solfa.cli.examples import examples
from solfa.data.audio import RESAMPLER, AudioError, probe_audio, read_audio
from solfa.models.bundled import bundled
from solfa.models.loading import PUBLISHED_LICENCES, model_folder
from solfa.models.sharing import MODEL

TONE_HZ, RATE, SECONDS = 440.0, 48_000, 1.0
SUBTYPES = {"wav": ("WAV", "PCM_16"), "flac": ("FLAC", "PCM_16"), "ogg": ("OGG", "VORBIS"),
            "opus": ("OGG", "OPUS"), "mp3": ("MP3", "MPEG_LAYER_III")}  # fmt: skip
GIGABYTE = 1e9
PUBLISHED_BYTES = {  # about, as float32
    "OpenMuQ/MuQ-large-msd-iter": 1_330_000_000,
    "OpenMuQ/MuQ-MuLan-large": 2_600_000_000,
    "m-a-p/MERT-v0": 380_000_000,
    "m-a-p/MERT-v0-public": 380_000_000,
    "m-a-p/MERT-v1-95M": 380_000_000,
    "m-a-p/MERT-v1-330M": 1_260_000_000,
}

Row = tuple[str, ...]


@examples("solfa models", "solfa models --runs ~/experiments")
def models(
    runs: Annotated[Path, typer.Option(help="A folder of run folders.")] = Path("runs"),
) -> None:
    """List what --model and solfa.load accept here.

    Models that come with solfa, runs, models in the hub's cache, and published names.
    """
    head = ("name", "what", "size", "licence")
    rows = [head, *_bundled(), *_runs(runs), *_cached(), *_published()]
    _print_table(rows)


@examples("solfa doctor")
def doctor() -> None:
    """Tell what this machine can decode and run on; a sound is made and decoded in each format.

    Exit code: 0 if every format is decoded, 1 if one is not.
    """
    _print_table(_machine())
    typer.echo("\nFormats")
    formats = [(name, *_try_format(name, write)) for name, write in WRITERS.items()]
    _print_table([(name, verdict, decoder) for name, verdict, decoder in formats])
    typer.echo("\nExtras")
    _print_table(list(_extras()))
    raise typer.Exit(1 if any(verdict == "FAILS" for _, verdict, _ in formats) else 0)


def _bundled() -> Iterator[Row]:
    for name in bundled():
        folder = model_folder(name)
        values = checkpoint.read_values(folder)
        size = _gigabytes(checkpoint.weights_file(folder).stat().st_size)
        yield name, f"{_describe(values)}; comes with solfa", size, _licence(values)


def _runs(folder: Path) -> Iterator[Row]:
    if not folder.is_dir():
        return
    for run in sorted(path.parent for path in folder.glob(f"*/{checkpoint.CONFIG}")):
        try:
            values = checkpoint.read_values(run)
            size = _gigabytes(checkpoint.weights_file(run).stat().st_size)
        except (checkpoint.CheckpointError, OSError) as error:
            yield str(run), f"cannot be loaded: {error}", "", ""
            continue
        yield str(run), _describe(values), size, _licence(values)


def _licence(values: dict[str, Any]) -> str:
    return values.get("license") or values.get("objective", {}).get("license") or "not stated"


def _describe(values: dict[str, Any]) -> str:
    objective = values.get("objective", {})
    model = objective.get("encoder") or objective.get("tagger") or values.get(MODEL)
    if not model:
        return f"quantizer ({objective.get('kind', '?')}), for solfa.targets.load_quantizer"
    if "labels" in model:
        return f"{_sizes(model['encoder'])}, with a head for {len(model['labels']['names'])} labels"
    return _sizes(model)


def _sizes(model: dict[str, Any]) -> str:
    context = model.get("conformer") or model.get("transformer")
    if not context:
        return f"{model.get('kind')}, music and text in {model.get('dim')} dimensions"
    return f"{model.get('kind')}, {context.get('n_layers')} layers of {context.get('dim')}"


def _cached() -> Iterator[Row]:
    """Models in the hub's cache of which both configuration and weights are there."""
    try:
        repositories = scan_cache_dir().repos
    except CacheNotFound:
        return
    for repository in sorted(repositories, key=lambda found: found.repo_id):
        files = {file.file_name for revision in repository.revisions for file in revision.files}
        if {checkpoint.CONFIG, checkpoint.WEIGHTS} <= files:
            licence = PUBLISHED_LICENCES.get(repository.repo_id, "see its card")
            yield repository.repo_id, "in the local cache", _gigabytes(repository.size_on_disk), licence


def _published() -> Iterator[Row]:
    for name, licence in PUBLISHED_LICENCES.items():
        size = _gigabytes(PUBLISHED_BYTES[name]) if name in PUBLISHED_BYTES else ""
        yield name, "published; fetched when first used", size, licence


def _machine() -> list[Row]:
    cache = Path(constants.HF_HUB_CACHE)
    is_cached = "there" if cache.is_dir() else "not there yet"
    return [
        ("solfa", version("solfa")),
        ("Python", f"{platform.python_version()} on {platform.system()} {platform.machine()}"),
        ("PyTorch", f"{torch.__version__}, {torch.get_num_threads()} threads on {os.cpu_count()} cores"),
        ("CUDA", _cuda()),
        ("Resampler", RESAMPLER),
        ("Disk", f"{_gigabytes(shutil.disk_usage(Path.cwd()).free)} free in this folder"),
        ("Hub cache", f"{_from_home(cache)} ({is_cached}), {_gigabytes(_free_above(cache))} free"),
    ]


def _cuda() -> str:
    if not torch.cuda.is_available():
        return "no device that PyTorch can use; everything runs on the CPU"
    devices = [torch.cuda.get_device_properties(n) for n in range(torch.cuda.device_count())]
    return ", ".join(f"{device.name} with {_gigabytes(device.total_memory)}" for device in devices)


def _from_home(path: Path) -> str:
    return f"~/{path.relative_to(Path.home())}" if path.is_relative_to(Path.home()) else str(path)


def _free_above(path: Path) -> int:
    """Free bytes where ``path`` is or would be."""
    return shutil.disk_usage(next(folder for folder in (path, *path.parents) if folder.is_dir())).free


def _try_format(name: str, write: Callable[[Path, np.ndarray], None]) -> tuple[str, str]:
    """Whether a format is decoded here, and by what."""
    tone = (0.3 * np.sin(2 * np.pi * TONE_HZ * np.arange(int(RATE * SECONDS)) / RATE)).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"tone.{name}")
        try:
            write(path, tone)
        except (soundfile.LibsndfileError, av.FFmpegError, ValueError) as error:
            return "not tried", f"this machine cannot make one ({error})"
        try:
            heard = read_audio(path, sample_rate=RATE)
            if abs(np.std(heard) / np.std(tone) - 1) > 0.1:
                return "FAILS", f"{probe_audio(path).decoder} gives another sound"
            return "ok", probe_audio(path).decoder
        except AudioError as error:
            return "FAILS", error.reason


def _write_soundfile(path: Path, tone: np.ndarray) -> None:
    container, subtype = SUBTYPES[path.suffix[1:]]
    soundfile.write(path, tone, RATE, format=container, subtype=subtype)


def _write_aac(path: Path, tone: np.ndarray) -> None:
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=RATE, layout="mono")
        for start in range(0, len(tone), 1024):
            frame = av.AudioFrame.from_ndarray(tone[None, start : start + 1024], format="fltp", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = RATE, start, Fraction(1, RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


WRITERS: dict[str, Callable[[Path, np.ndarray], None]] = dict.fromkeys(SUBTYPES, _write_soundfile) | {
    "m4a": _write_aac
}


def _extras() -> Iterator[Row]:
    """Optional packages: the version that is installed, or how to install one."""
    for requirement in requires("solfa") or []:
        found = re.match(r"""([\w.-]+).*extra == ['"](\w+)['"]""", requirement)
        if not found or found[2] == "dev":
            continue
        package, extra = found.groups()
        try:
            yield package, version(package)
        except PackageNotFoundError:
            yield (
                package,
                f'missing; install it with: {Path(sys.executable).name} -m pip install "solfa[{extra}]"',
            )


def _gigabytes(n_bytes: int) -> str:
    return f"{n_bytes / GIGABYTE:.1f} GB" if n_bytes >= GIGABYTE else f"{n_bytes / 1e6:.1f} MB"


def _print_table(rows: Sequence[Row]) -> None:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))] if rows else []
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        typer.echo("  ".join(cells).rstrip())
