"""How far processors differ in the known answer of saved models, and how far what it must catch is off.

    python benchmarks/known_answer.py [--model FOLDER_OR_NAME ...] [--out FILE.json]

Each model answers the sound of ``solfa.models.known_answer`` once in every setting of the processor that can
be played here (a process each): instruction sets of ATen, oneDNN and MKL, without oneDNN, one and two
threads, float64. Then faults are made in the model: a layer of zeros, a transposed matrix, a wrong mel
constant, another rotary base, a normalisation left out. Distances are those that are compared at load. The
sound that was asked before (``--old``) is measured in the same way.
"""

import argparse
import copy
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import solfa
from solfa.features import LogMel
from solfa.models import known_answer
from solfa.models.checks import NotFiniteError
from solfa.models.folders import LIMIT
from solfa.models.known_answer import OLD_LIMIT, answer_of, asked, distance
from solfa.models.layers.conformer import Conformer
from solfa.models.layers.normalization import BatchNorm

GOLDEN = Path(__file__).parents[1] / "tests" / "golden"
MODELS = (
    "solfa-small", "solfa-mulan-small",
    *(str(GOLDEN / name) for name in ("muq_rvq_25hz", "muq_mulan", "mert_95m_style", "mert_330m_style",
                                      "mert_layer_norm_extractor")),
)  # fmt: skip
SETTINGS: dict[str, dict[str, str]] = {
    "as it is, 1 thread": {},
    "2 threads": {"OMP_NUM_THREADS": "2"},
    "ATen default": {"ATEN_CPU_CAPABILITY": "default"},
    "ATen avx2": {"ATEN_CPU_CAPABILITY": "avx2"},
    "ATen avx512": {"ATEN_CPU_CAPABILITY": "avx512"},
    "oneDNN SSE4.1": {"ONEDNN_MAX_CPU_ISA": "SSE41"},
    "oneDNN AVX": {"ONEDNN_MAX_CPU_ISA": "AVX"},
    "oneDNN AVX2": {"ONEDNN_MAX_CPU_ISA": "AVX2"},
    "without oneDNN": {"SOLFA_WITHOUT_ONEDNN": "1"},
    "MKL compatible": {"MKL_CBWR": "COMPATIBLE"},
    "MKL AVX": {"MKL_CBWR": "AVX"},
    "MKL AVX2": {"MKL_CBWR": "AVX2"},
    "MKL SSE4.2": {"MKL_ENABLE_INSTRUCTIONS": "SSE4_2"},
    "all of the oldest": {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41",
                          "MKL_CBWR": "COMPATIBLE"},
    "float64": {"SOLFA_FLOAT64": "1"},
}  # fmt: skip
NOT_HERE = {"ATen avx512": "avx512f"}  # setting -> what the processor must have


class LeftOut(nn.Module):
    """What stands where a normalisation was; it takes lengths beside the frames, as some of them do."""

    def forward(self, x: Tensor, *lengths: Tensor) -> Tensor:
        """The frames as they come."""
        return x


def _main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", nargs="*", default=MODELS)
    parser.add_argument("--old", action="store_true", help="ask the sound of before")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    wish = parser.parse_args()
    if wish.child:
        print(json.dumps({name: in_this_setting(name, wish.old) for name in wish.model}))
        return
    answers = {setting: _answers_in(setting, wish) for setting in SETTINGS if _can_be_played(setting)}
    report: dict[str, Any] = {"torch": torch.__version__, "processor": _processor(), "models": {}}
    for name in wish.model:
        exact = torch.tensor(answers["float64"][name], dtype=torch.float64)
        rows = {setting: torch.tensor(one[name], dtype=torch.float64) for setting, one in answers.items()}
        exact = rows.pop("float64")
        spread = {setting: distance(one, exact) for setting, one in rows.items()}
        between = max(distance(one, other) for one in rows.values() for other in rows.values())
        faults = dict(faulty(name, wish.old))
        short = Path(name).name
        report["models"][short] = {"from float64": spread, "between settings": between, "faults": faults}
        _show(short, spread, between, faults, OLD_LIMIT if wish.old else LIMIT)
    if wish.out:
        wish.out.write_text(json.dumps(report, indent=1) + "\n")


def _sound_for(model: Any, is_old: bool) -> Tensor:
    return known_answer._old_sound(model.sample_rate) if is_old else asked(model.sample_rate)


def in_this_setting(name: str, is_old: bool) -> list[list[float]]:
    """The answer of a model in this process, whose environment is a setting."""
    model = read(name)
    if os.environ.get("SOLFA_WITHOUT_ONEDNN"):
        torch.backends.mkldnn.enabled = False  # type: ignore[assignment]
    if os.environ.get("SOLFA_FLOAT64"):
        # What the package computes in float32 on purpose becomes float64 in this process.
        torch.Tensor.float = torch.Tensor.double  # type: ignore[method-assign,assignment]
        model = model.double()
        return answer_of(model, _sound_for(model, is_old).double()).tolist()
    return answer_of(model, _sound_for(model, is_old)).tolist()


def read(name: str) -> Any:
    """A model, loaded without its own check: what is measured here must not refuse it."""
    from solfa.models import loading

    loading._check_answer = lambda *given: None  # type: ignore[assignment]
    return solfa.load(name)


def _answers_in(setting: str, wish: argparse.Namespace) -> dict[str, list[list[float]]]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **SETTINGS[setting]}
    command = [sys.executable, __file__, "--child", "--model", *wish.model, *(["--old"] if wish.old else [])]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def _can_be_played(setting: str) -> bool:
    flags = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").is_file() else ""
    if setting in NOT_HERE and NOT_HERE[setting] not in flags:
        print(f"{setting}: not run, the processor has no {NOT_HERE[setting]}")
        return False
    return True


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").is_file() else []
    named = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "unknown")
    return f"{named}, {torch.backends.cpu.get_cpu_capability()}"


def faulty(name: str, is_old: bool) -> Iterator[tuple[str, dict[str, float]]]:
    """Each kind of fault -> the places where it was made, and how far the answer is off with each."""
    model = read(name)
    sound = _sound_for(model, is_old)
    good = answer_of(model, sound)
    for fault, make in FAULTS.items():
        if places := {place: _off_by(broken, sound, good) for place, broken in make(model)}:
            yield fault, places


def _off_by(broken: nn.Module, sound: Tensor, good: Tensor) -> float:
    try:
        return distance(answer_of(broken, sound), good)
    except NotFiniteError:  # refused before it is compared
        return float("inf")


def zeroed_layers(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Each matrix of the blocks in turn as zeros."""
    for name, weight in model.named_parameters():
        if weight.ndim >= 2 and float(weight.abs().max()) > 0 and is_heard(name):
            yield name, _with_weight(model, name, torch.zeros_like(weight))


def transposed_matrices(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Each square matrix in turn."""
    for name, weight in model.named_parameters():
        if weight.ndim == 2 and weight.shape[0] == weight.shape[1] and is_heard(name):
            yield name, _with_weight(model, name, weight.T.contiguous())


def is_heard(name: str) -> bool:
    """Whether a weight matters for one sound and one text: vectors of most words do not."""
    return "embedding" not in name


def _with_weight(model: nn.Module, name: str, weight: Tensor) -> nn.Module:
    broken = copy.deepcopy(model)
    broken.get_parameter(name).data = weight
    return broken


def wrong_mel(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """A mean half a decibel off, a deviation 2 % off, filters one bin off."""
    for part in (name for name, module in model.named_modules() if isinstance(module, LogMel)):
        config = model.get_submodule(part).config
        wrongs = {
            "mean": replace(config, mean_db=config.mean_db + 0.5),
            "std": replace(config, std_db=config.std_db * 1.02),
        }
        for what, wrong in wrongs.items():
            broken = copy.deepcopy(model)
            broken.get_submodule(part).config = wrong
            yield what, broken
        broken = copy.deepcopy(model)
        power = broken.get_submodule(part).power
        power.filters = power.filters.roll(1, 0)
        yield "filters", broken


def another_rotary_base(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """10,000 -> 1,000 and 100,000."""
    for part in (name for name, module in model.named_modules() if isinstance(module, Conformer)):
        for base in (1e3, 1e5):
            broken = copy.deepcopy(model)
            conformer = broken.get_submodule(part)
            conformer.config = replace(conformer.config, rotary_base=base)
            yield f"{base:g}", broken


def normalisation_left_out(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Each normalisation in turn; of one over the batch the statistics, which are folded into a neighbour."""
    for name, module in model.named_modules():
        if isinstance(module, BatchNorm) and module.running_mean is not None:
            broken = copy.deepcopy(model)
            norm = broken.get_submodule(name)
            norm.running_mean.zero_()
            norm.running_var.fill_(1.0)
            yield name, broken
        elif isinstance(module, nn.LayerNorm | nn.GroupNorm) and is_heard(name):
            broken = copy.deepcopy(model)
            parent, _, leaf = name.rpartition(".")
            setattr(broken.get_submodule(parent), leaf, LeftOut())
            yield name, broken


FAULTS: dict[str, Callable[[nn.Module], Iterator[tuple[str, nn.Module]]]] = {
    "a layer zeroed": zeroed_layers,
    "a matrix transposed": transposed_matrices,
    "a wrong mel constant": wrong_mel,
    "another rotary base": another_rotary_base,
    "a normalisation left out": normalisation_left_out,
}


def _show(
    name: str, spread: dict[str, float], between: float, faults: dict[str, dict[str, float]], limit: float
) -> None:
    print(f"\n{name}")
    for setting, off in spread.items():
        print(f"  {setting:26} {off:.1e} from float64")
    print(f"  {'between two settings':26} {between:.1e} at most; limit {limit:g} = {limit / between:.0f} x")
    for fault, places in faults.items():
        missed = {place: off for place, off in places.items() if off <= limit}
        caught = {place: off for place, off in places.items() if off > limit}
        least = min(caught, key=lambda place: caught[place])
        figure = f"{caught[least]:.1e} at least, {caught[least] / limit:.0f} limits ({least})"
        print(f"  {fault:26} {figure}; caught {len(caught)} of {len(places)}")
        for place, off in missed.items():
            print(f"    not caught: {place}, {off:.1e}")


if __name__ == "__main__":
    _main()
