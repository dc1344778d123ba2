"""A run that is packed in two files and unpacked elsewhere has its weights, rounded, and its quantizers."""

import json
import subprocess
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

TOOL = Path(__file__).parents[1] / "tools" / "carry_run.py"


def carry(*words: str | Path) -> None:
    subprocess.run([sys.executable, TOOL, *words], check=True)


def test_a_run_is_carried_in_two_files(tmp_path: Path) -> None:
    run, fitted = tmp_path / "run", tmp_path / "fitted"
    weights = {
        name: torch.randn(3, 4, generator=torch.Generator().manual_seed(number))
        for number, name in enumerate(("encoder.a", "predictor.b", "targets.0.quantizer.codebooks"))
    }
    (run / "step-00000030").mkdir(parents=True)
    save_file(weights | {"targets.0.counts": torch.arange(3)}, run / "step-00000030" / "model.safetensors")
    ahead = weights["predictor.b"] + 1  # of the mean that is saved as the weights
    torch.save({"average": {"weights": {"predictor.b": ahead}}}, run / "step-00000030" / "training.pt")
    weights["predictor.b"] = ahead
    (run / "config.json").write_text(
        json.dumps({"objective": {"predictions": [{"target": {"fitted": str(fitted)}}, {"target": {}}]}})
    )
    fitted.mkdir()
    (fitted / "config.json").write_text("{}")

    carry("pack", run, tmp_path / "packed")
    carry("unpack", tmp_path / "packed", tmp_path / "begun")

    found = load_file(tmp_path / "begun" / "step-00000030" / "model.safetensors")
    assert found.keys() == {*weights, "targets.0.counts"}
    for name, weight in weights.items():
        assert torch.equal(found[name], weight.half().float())
    assert found["targets.0.counts"].tolist() == [0, 1, 2]
    quantizer = load_file(tmp_path / "begun-quantizer-0" / "step-00000001" / "model.safetensors")
    assert quantizer.keys() == {"target.quantizer.codebooks", "target.counts"}
    assert (tmp_path / "begun-quantizer-0" / "config.json").read_text() == "{}"
    assert not (tmp_path / "begun-quantizer-1").exists()
