"""Layers that are compiled: the same training but for rounding, and a word where nothing can be compiled."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from solfa import checkpoint
from solfa.config import override, save_config
from solfa.errors import ArgumentError
from solfa.objectives import build_objective
from solfa.recipes import recipe
from solfa.training import RunConfig
from solfa.training.compiling import check_compiler, compile_layers

CPU = torch.device("cpu")


@pytest.mark.slow
def test_a_run_of_compiled_layers_is_the_run_but_for_rounding(small_run: RunConfig, tmp_path: Path) -> None:
    """Outside of pytest, which has shapes checked in what is compiled; without dropout, whose lots differ."""
    changes = {
        "n_steps": 2,
        "data.valid_manifest": "",
        "optim.eps": 1e-3,
        "objective.encoder.conformer.dropout": 0.0,
    }
    save_config(override(small_run, changes), tmp_path / "config.json")

    def weights(*options: str) -> dict[str, Tensor]:
        run = tmp_path / f"run{len(options)}"
        command = ["train", tmp_path / "config.json", "--out", run, "--clips-per-device", "2", *options]
        done = subprocess.run(
            [sys.executable, "-m", "solfa", *command], capture_output=True, text=True, check=False,
            env=os.environ | {"TORCH_LOGS": "graph_breaks"},
        )  # fmt: skip
        if "Install a C++ compiler" in done.stderr:
            pytest.skip(done.stderr)
        assert done.returncode == 0, done.stderr
        assert "Graph break" not in done.stderr, done.stderr  # each layer is one graph
        return load_file(checkpoint.step_folder(run, 2) / checkpoint.WEIGHTS)

    plain, compiled = weights(), weights("--compile")
    assert plain.keys() == compiled.keys()  # so one may go on where the other stopped
    for name, value in plain.items():
        torch.testing.assert_close(compiled[name], value, atol=1e-4, rtol=1e-3)


def test_an_objective_without_layers_is_refused() -> None:
    with pytest.raises(ArgumentError, match=r"Train without --compile"):
        compile_layers(build_objective(recipe("mel_rvq").objective), CPU)


def test_a_machine_without_a_compiler_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(function: object) -> object:
        raise RuntimeError("No working C++ compiler found.\nA trace that nobody reads.")

    monkeypatch.setattr(torch, "compile", missing)
    with pytest.raises(
        ArgumentError, match=r"here: No working C\+\+ compiler found\. Install a C\+\+ compiler"
    ):
        check_compiler(CPU)


def test_layers_of_the_predictor_are_compiled_too() -> None:
    objective = build_objective(recipe("solfa_small").objective)
    assert len(objective.layers_to_compile()) == 7 + 2
