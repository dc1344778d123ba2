"""Cards that wait for clips: as long as arithmetic says, and together for the slowest of them."""

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path

import pytest

SPEC = importlib.util.spec_from_file_location("scale", Path(__file__).parents[1] / "benchmarks" / "scale.py")
assert SPEC and SPEC.loader
scale = importlib.util.module_from_spec(SPEC)
sys.modules["scale"] = scale
SPEC.loader.exec_module(scale)

EVEN = scale.Pipeline(
    n_cards=4, n_readers=2, clips=3, step_seconds=0.1, clip_seconds_to_read=0.01, spread=0.0
)


def test_nobody_waits_for_readers_that_are_fast_enough() -> None:
    assert scale.share_waiting(EVEN, 200) == pytest.approx((0, 0), abs=1e-9)


@pytest.mark.parametrize("slower", [2, 4])
def test_cards_wait_for_what_readers_lack(slower: int) -> None:
    # Two readers make a step of three clips in 0.015 s times so much; a card needs one each 0.1 s.
    pipeline = replace(EVEN, clip_seconds_to_read=slower * 0.1 * 2 / 3)
    assert scale.share_waiting(pipeline, 400) == pytest.approx((1 - 1 / slower,) * 2, abs=0.01)


def test_all_wait_for_the_slowest() -> None:
    uneven = replace(EVEN, clip_seconds_to_read=0.06, spread=1.0, n_cards=32)
    together, alone = scale.share_waiting(uneven, 300)
    assert together > 1.5 * alone > 0


def test_late_answers_of_a_storage_make_cards_wait() -> None:
    stalled = replace(EVEN, stall_share=0.01, stall_seconds=5.0)
    assert scale.share_waiting(stalled, 300)[0] > 0.3


def test_operations_are_counted_without_computing() -> None:
    run = scale.Run("muq_small", 4.0, 8, 10, 1)
    short, long = scale.counted(run), scale.counted(replace(run, clip_seconds=8.0))
    # Nearly every parameter multiplies once in each frame, and those of convolutions do oftener.
    assert short.forward > 2 * 0.5 * short.n_parameters * short.n_frames
    assert 2 * short.forward < long.forward < 2.5 * short.forward  # attention grows faster than the clip
    assert 1.9 * short.forward < short.backward < 3.0 * short.forward
    assert 1.9 * short.activations < long.activations < 2.5 * short.activations
