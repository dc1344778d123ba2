"""The known answer: what a saved model gives for one fixed sound, and how far another machine may be from it.

Two faults are told apart. Damage is a matter of bytes, and found by the SHA-256 of the weights. The known
answer finds a program or a machine that computes something else. ``benchmarks/known_answer.py`` measures both
sides of its limit; docs/models.md has the table.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from solfa.models.folders import LIMIT
from solfa.precision import full_float32

SECONDS, STEP_SECONDS = 1.0, 0.05
SOUND = "noise in steps"  # the name of the sound in a saved answer
DIGITS = 7  # of a saved value: float32 has no more

# What was asked before there was SOUND, and its limit. Between the partials its bands hold nothing but the
# rounding of a Fourier transform, so that good weights were 0.003 off on another processor.
OLD_SECONDS, OLD_HZ, OLD_LIMIT = 1.0, (110.0, 440.0, 1_760.0), 0.05


def asked(sample_rate: int) -> Float[Tensor, " sample"]:
    """The sound that is asked: noise whose loudness changes in steps, and that is quiet in no band.

    Only integers are added, multiplied and shifted, so that every machine makes the same samples. Steps of
    6 dB make the answer depend on the order of things, as white noise alone would not.

    Args:
        sample_rate: of the model, in Hz.
    """
    number = np.arange(round(SECONDS * sample_rate), dtype=np.uint32)
    noise = (_scrambled(number) >> 16).astype(np.int32) - 2**15
    step = number // np.uint32(max(1, round(STEP_SECONDS * sample_rate)))
    halvings = 1 + (_scrambled(step + np.uint32(2**20)) >> 30).astype(np.int32)  # 1 to 4
    return torch.from_numpy((noise >> halvings).astype(np.float32) / 2**15)


def _scrambled(number: np.ndarray) -> np.ndarray:
    """Each number -> one that looks random, by 32-bit products and shifts (the finaliser of MurmurHash3)."""
    mixed = number * np.uint32(0x9E3779B1)
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        mixed = (mixed ^ (mixed >> np.uint32(shift))) * np.uint32(factor)
    return mixed ^ (mixed >> np.uint32(16))


def _old_sound(sample_rate: int) -> Float[Tensor, " sample"]:
    time = torch.arange(round(OLD_SECONDS * sample_rate), dtype=torch.float64) / sample_rate
    tones = torch.stack([torch.sin(2 * torch.pi * hz * time) for hz in OLD_HZ]).sum(0)
    return (tones * time.flip(0) / 4).float()


@torch.no_grad()
def answer_of(model: nn.Module, sound: Float[Tensor, " sample"]) -> Float[Tensor, "row value"]:
    """What ``model.answer`` gives for a sound, in eval mode, in neither half precision nor TF32."""
    device = next(model.parameters()).device
    was_training = model.training
    with full_float32(device):
        answer = model.eval().answer(sound[None].to(device)).float().cpu()  # type: ignore[operator]
    model.train(was_training)
    return answer


def known_answer(model: nn.Module, sample_rate: int) -> dict[str, Any]:
    """The answer of a model as its ``config.json`` keeps it."""
    rows = answer_of(model, asked(sample_rate)).tolist()
    return {"sound": SOUND, "values": [[float(f"{value:.{DIGITS}g}") for value in row] for row in rows]}


def departure(
    model: nn.Module, sample_rate: int, saved: Mapping[str, Any] | Sequence[Sequence[float]]
) -> tuple[float, float]:
    """How far a model's answer is from a saved one, and how far it may be.

    Args:
        saved: what ``known_answer`` gave; a list is from before, answers another sound and has a wider limit.

    Returns:
        The largest of the rows' distances, each relative to the length of the row; and the limit.
    """
    if isinstance(saved, Mapping):
        sound, values, limit = asked(sample_rate), saved["values"], LIMIT
    else:
        sound, values, limit = _old_sound(sample_rate), saved, OLD_LIMIT
    known = torch.tensor(values)
    now = answer_of(model, sound)[:, : known.shape[-1]]
    if known.shape != now.shape:
        return float("inf"), limit
    return distance(now, known), limit


def distance(now: Float[Tensor, "row value"], known: Float[Tensor, "row value"]) -> float:
    """The largest distance of two rows, relative to the known one; infinite where there is NaN."""
    apart = (now - known).norm(dim=1) / known.norm(dim=1).clamp(min=1e-12)
    return float(apart.nan_to_num(torch.inf).max())
