"""Damage is found by bytes; a program or machine that computes something else by the known answer."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import solfa
from golden_data import GOLDEN, MERT, MUQ
from solfa.features import LogMel, LogMelConfig
from solfa.files import sha256
from solfa.models import ModelError, known_answer
from solfa.models.bundled import WEIGHTS, bundled
from solfa.models.folders import ANSWER, SHA256


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return solfa.load(GOLDEN / MUQ[0]).save_pretrained(tmp_path / "saved")


def values_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "config.json").read_text())


def write_values(folder: Path, values: dict[str, Any]) -> None:
    (folder / "config.json").write_text(json.dumps(values))


def change_weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], None], *, sign: bool) -> None:
    """Change weights; ``sign`` says that the sum in config.json goes along, as if they were meant."""
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors")
    if sign:
        write_values(folder, values_of(folder) | {SHA256: sha256(folder / "model.safetensors")})


def test_the_sound_is_made_of_the_same_samples_everywhere() -> None:
    sound = known_answer.asked(24_000)
    assert hashlib.sha256(sound.numpy().tobytes()).hexdigest().startswith("7fef733ee3249680")
    assert 0.3 < float(sound.abs().max()) <= 0.5


@pytest.mark.parametrize("sample_rate", [16_000, 24_000])
def test_the_sound_is_quiet_in_no_band(sample_rate: int) -> None:
    levels = LogMel(LogMelConfig(sample_rate=sample_rate)).decibels(known_answer.asked(sample_rate)[None])
    assert float(levels.max() - levels.min()) < 75  # rounding of the transform lies 140 dB below
    assert float(levels.mean(1).max() - levels.mean(1).min()) < 20


def test_the_sound_is_heard_alike_in_float32_and_float64() -> None:
    """The tones that were asked before were not: between them lay nothing but rounding."""
    sound, old = known_answer.asked(24_000), known_answer._old_sound(24_000)
    assert mel_rounding(sound) < 1e-3 < mel_rounding(old)


def mel_rounding(sound: torch.Tensor) -> float:
    """Largest difference of normalised log-mel frames between float32 and float64."""
    mel = LogMel(LogMelConfig())
    padded = torch.nn.functional.pad(sound[None].double(), (1024, 1024), mode="reflect")[0]
    spectra = torch.fft.rfft(padded.unfold(0, 2048, 240)[: len(sound) // 240] * mel.power.window.double())
    power = spectra.abs().square() @ mel.power.filters.double()
    exact = (10 * power.clamp(min=1e-10).log10() - mel.config.mean_db) / mel.config.std_db
    return float((mel(sound[None])[0] - exact).abs().max())


@pytest.mark.parametrize("name", bundled())
def test_a_bundled_model_gives_its_answer_far_within_the_limit(name: str) -> None:
    off, limit = known_answer.departure(solfa.load(name), 24_000, values_of(WEIGHTS / name)[ANSWER])
    assert off < limit / 10


@pytest.mark.parametrize("byte", [-1, -100_001])
def test_one_flipped_bit_of_the_weights_is_damage(folder: Path, byte: int) -> None:
    data = bytearray((folder / "model.safetensors").read_bytes())
    data[byte] ^= 1
    (folder / "model.safetensors").write_bytes(data)
    with pytest.raises(ModelError, match=r"model.safetensors is damaged: its SHA-256.*Fetch the whole"):
        solfa.load(folder)


def test_a_folder_without_a_sum_loads(folder: Path) -> None:
    values = values_of(folder)
    del values[SHA256]
    write_values(folder, values)
    assert solfa.load(folder).dim


@pytest.mark.parametrize("fault", ["zeroed", "transposed"])
@pytest.mark.parametrize("case", [MUQ[0], MERT[0]])
def test_other_weights_are_noticed_by_their_answer(tmp_path: Path, case: str, fault: str) -> None:
    folder = solfa.load(GOLDEN / case).save_pretrained(tmp_path / "saved")

    def change(weights: dict[str, torch.Tensor]) -> None:
        name = next(n for n, w in weights.items() if "attention" in n and w.ndim == 2 and len(w) == len(w.T))
        weights[name] = torch.zeros_like(weights[name]) if fault == "zeroed" else weights[name].T.contiguous()

    change_weights(folder, change, sign=True)
    with pytest.raises(ModelError, match=r"does not give the answer.*Its weights are whole.*solfa doctor"):
        solfa.load(folder)


@pytest.mark.parametrize(
    ("part", "setting", "value"),
    [("mel", "mean_db", 7.3), ("mel", "std_db", 18.8), ("conformer", "rotary_base", 1_000.0),
     ("conformer", "norm_eps", 0.1)],
)  # fmt: skip
def test_other_settings_are_noticed_by_their_answer(
    folder: Path, part: str, setting: str, value: float
) -> None:
    values = values_of(folder)
    assert values["model"][part][setting] != value
    values["model"][part][setting] = value
    write_values(folder, values)
    with pytest.raises(ModelError, match=r"does not give the answer"):
        solfa.load(folder)


def with_an_old_answer(folder: Path, off: float) -> None:
    """As a folder was saved before: no sum, and eight values a layer of an answer to three tones."""
    model = solfa.load(folder)
    answer = known_answer.answer_of(model, known_answer._old_sound(model.sample_rate))[:, :8]
    values = values_of(folder) | {ANSWER: (answer * (1 + off)).tolist()}
    del values[SHA256]
    write_values(folder, values)


@pytest.mark.parametrize("off", [0.0, 0.02])
def test_an_old_answer_of_good_weights_is_taken_from_any_machine(folder: Path, off: float) -> None:
    with_an_old_answer(folder, off)
    assert solfa.load(folder).dim


def test_an_old_answer_still_refuses_weights_of_another_model(folder: Path) -> None:
    with_an_old_answer(folder, 0.0)

    def shuffle(weights: dict[str, torch.Tensor]) -> None:
        for name, weight in weights.items():
            if weight.ndim == 2:
                weights[name] = weight.flatten().flip(0).view_as(weight).contiguous()

    change_weights(folder, shuffle, sign=False)
    with pytest.raises(ModelError, match=r"does not give the answer.*may be damaged"):
        solfa.load(folder)


def test_an_answer_in_half_precision_is_not_asked_for(folder: Path) -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert solfa.load(folder).dim


def test_saving_again_says_the_same_answer(folder: Path, tmp_path: Path) -> None:
    again = solfa.load(folder).save_pretrained(tmp_path / "again")
    assert values_of(again)[SHA256] == values_of(folder)[SHA256]
    assert values_of(again)[ANSWER] == values_of(folder)[ANSWER]
