"""solfa doctor: whether this machine decodes, loads and answers right."""

import json
import os
import platform
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict
from fractions import Fraction
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Annotated

import av
import numpy as np
import soundfile
import torch
import typer
from huggingface_hub import constants

from solfa.cli.help import examples
from solfa.cli.models import Row, gigabytes, print_table
from solfa.data.audio import RESAMPLER, AudioError, probe_audio, read_audio
from solfa.retrieval.trial import Trial, Verdict, try_bundled

TONE_HZ, RATE, SECONDS = 440.0, 48_000, 1.0
SUBTYPES = {"wav": ("WAV", "PCM_16"), "flac": ("FLAC", "PCM_16"), "ogg": ("OGG", "VORBIS"),
            "opus": ("OGG", "OPUS"), "mp3": ("MP3", "MPEG_LAYER_III")}  # fmt: skip


@examples("solfa doctor", "solfa doctor --json")
def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of tables.")] = False,
) -> None:
    """Tell whether this machine decodes, loads and answers right.

    A sound is made and decoded in each format; every model that comes with solfa is loaded, compared with the
    answer that it gave when it was saved, and asked; a made library is searched.

    Exit code: 0 if all of this works, 1 if something fails. What is not tried, for want of an extra, is no
    failure, and the table says how to install it.
    """
    machine = _machine()
    formats = [Trial(name, *_try_format(name, write)) for name, write in WRITERS.items()]
    models = list(try_bundled())
    extras = list(_extras())
    is_well = all(trial.verdict != "FAILS" for trial in (*formats, *models))
    if as_json:
        typer.echo(json.dumps(_values(machine, formats, models, extras, is_well), indent=2))
    else:
        print_table(machine)
        for title, trials in (("Formats", formats), ("Models", models)):
            typer.echo(f"\n{title}")
            print_table([(trial.name, trial.verdict, trial.said) for trial in trials])
        typer.echo("\nExtras")
        print_table(extras)
        typer.echo("\nAll is well." if is_well else "\nSomething FAILS; see above.")
    raise typer.Exit(0 if is_well else 1)


def _values(
    machine: list[Row], formats: list[Trial], models: list[Trial], extras: list[Row], is_well: bool
) -> dict[str, object]:
    return {
        "is_well": is_well,
        "machine": {row[0]: row[1] for row in machine},
        "formats": [asdict(trial) for trial in formats],
        "models": [asdict(trial) for trial in models],
        "extras": {row[0]: row[1] for row in extras},
    }


def _machine() -> list[Row]:
    cache = Path(constants.HF_HUB_CACHE)
    is_cached = "there" if cache.is_dir() else "not there yet"
    return [
        ("solfa", version("solfa")),
        ("Python", f"{platform.python_version()} on {platform.system()} {platform.machine()}"),
        ("PyTorch", f"{torch.__version__}, {torch.get_num_threads()} threads on {os.cpu_count()} cores"),
        ("Instructions", torch.backends.cpu.get_cpu_capability()),
        ("CUDA", _cuda()),
        ("Resampler", RESAMPLER),
        ("Disk", f"{gigabytes(shutil.disk_usage(Path.cwd()).free)} free in this folder"),
        ("Hub cache", f"{_from_home(cache)} ({is_cached}), {gigabytes(_free_above(cache))} free"),
    ]


def _cuda() -> str:
    if not torch.cuda.is_available():
        return "no device that PyTorch can use; everything runs on the CPU"
    devices = [torch.cuda.get_device_properties(n) for n in range(torch.cuda.device_count())]
    return ", ".join(f"{device.name} with {gigabytes(device.total_memory)}" for device in devices)


def _from_home(path: Path) -> str:
    return f"~/{path.relative_to(Path.home())}" if path.is_relative_to(Path.home()) else str(path)


def _free_above(path: Path) -> int:
    """Free bytes where ``path`` is or would be."""
    return shutil.disk_usage(next(folder for folder in (path, *path.parents) if folder.is_dir())).free


def _try_format(name: str, write: Callable[[Path, np.ndarray], None]) -> tuple[Verdict, str]:
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
