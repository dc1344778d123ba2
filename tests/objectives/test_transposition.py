"""Transposition: bins move as notes do, ends tell nothing, and the loss knows intervals."""

import pytest
import torch

from solfa.data.clips import Clips
from solfa.errors import ArgumentError
from solfa.features import ConstantQConfig, LogConstantQ, LogConstantQConfig, MelCQTFrames
from solfa.objectives.transposition import (
    HIGHEST,
    LOWEST,
    Transposition,
    TranspositionConfig,
    _distance,
    _interval,
    _turn,
    transposed,
)


def loss(first: torch.Tensor, second: torch.Tensor, semitones: torch.Tensor) -> torch.Tensor:
    turns = torch.stack([_turn(first, second, circle) for circle in (1, 7)], dim=1)
    return _distance(turns, semitones)


def sure(*classes: int) -> torch.Tensor:
    return torch.nn.functional.one_hot(torch.tensor(classes), 12).float()


def clips(n: int) -> Clips:
    return Clips(torch.zeros(n, 0), 24_000, torch.arange(n), torch.zeros(n, dtype=torch.long))


def spectra(n: int, n_frames: int = 5) -> MelCQTFrames:
    generator = torch.Generator().manual_seed(0)
    cqt = -80 * torch.rand(n, n_frames, 252, generator=generator)
    return MelCQTFrames(torch.zeros(n, 4 * n_frames, 128), cqt)


@pytest.mark.parametrize("semitones", [-5, -1, 1, 6])
def test_moved_bins_are_those_of_the_transposed_sound(semitones: int) -> None:
    time, log_cqt = torch.arange(48_000) / 24_000, LogConstantQ(LogConstantQConfig())
    chord = (220, 277.2, 329.6)  # Hz
    tone, higher = (
        log_cqt(sum(torch.sin(2 * torch.pi * f * 2 ** (k / 12) * time) for f in chord)[None] / 3)
        for k in (0, semitones)
    )
    moved = transposed(tone, torch.tensor([semitones]), 3, -80.0)
    inside = slice(18, 252 - 15)
    # Where the sound is: elsewhere the skirts of a kernel are not exactly as wide in bins at every pitch.
    loud = higher[0, 25, inside] > -30
    assert int(loud.sum()) > 6
    difference = (moved[0, 25, inside] - higher[0, 25, inside])[loud]
    assert float(difference.abs().max()) < 1.0


def test_each_clip_is_moved_by_its_own_number_and_none_by_zero() -> None:
    given = spectra(3).cqt
    moved = transposed(given, torch.tensor([0, 6, -5]), 3, -80.0)
    assert torch.equal(moved[0, :, 18:237], given[0, :, 18:237])
    assert torch.equal(moved[1, :, 18:237], given[1, :, 0:219])
    assert torch.equal(moved[2, :, 18:237], given[2, :, 33:252])


def test_the_ends_tell_nothing_of_the_interval() -> None:
    for k in range(LOWEST, HIGHEST + 1):
        moved = transposed(spectra(1).cqt, torch.tensor([k]), 3, -80.0)
        assert bool((moved[..., :18] == -80).all() and (moved[..., 237:] == -80).all())
        assert bool((moved[..., 18:237] > -80).all())


@pytest.mark.parametrize("k", range(12))
def test_sure_classes_that_lie_as_far_apart_cost_nothing(k: int) -> None:
    given = loss(sure(3), sure((3 + k) % 12), torch.tensor([k]))
    torch.testing.assert_close(given, torch.zeros(1), atol=1e-6, rtol=0)
    wrong = loss(sure(3), sure((4 + k) % 12), torch.tensor([k]))
    assert float(wrong) > 0.5


def test_a_fifth_is_near_on_one_circle_and_a_semitone_on_the_other() -> None:
    off_by = [float(loss(sure(0), sure(k), torch.tensor([0]))) for k in range(12)]
    assert off_by[6] == max(off_by) and off_by[1] == pytest.approx(off_by[7], abs=1e-5)


def test_who_says_nothing_pays_one_half() -> None:
    nothing = torch.full((1, 12), 1 / 12)
    assert float(loss(nothing, nothing, torch.tensor([5]))) == pytest.approx(0.5, abs=1e-6)


def test_the_interval_is_read_from_the_turns() -> None:
    turns = torch.stack([_turn(sure(2, 2, 11), sure(2, 9, 4), circle) for circle in (1, 7)], dim=1)
    assert _interval(turns).tolist() == [0, 7, 5]


def test_one_clip_in_so_many_is_chosen_and_views_depend_on_nothing_else() -> None:
    torch.manual_seed(0)
    part = Transposition(TranspositionConfig(one_clip_in=3), 252, LogConstantQConfig())

    def encode(given: MelCQTFrames, visible: torch.Tensor) -> torch.Tensor:
        return given.cqt / 80

    def answers(rows: slice) -> dict[int, float]:
        given, some = spectra(8), clips(8)
        of = Clips(some.waveform[rows], 24_000, some.numbers[rows], some.tracks[rows])
        visible = torch.ones(len(of), 5, dtype=torch.bool)
        said = part(of, given.mapped(lambda values: values[rows]), visible, encode)
        numbers = of.numbers[said.rows].tolist()
        return dict(zip(numbers, said.losses.tolist(), strict=True))

    whole, parts = answers(slice(8)), answers(slice(4)) | answers(slice(4, 8))
    assert whole.keys() == {0, 3, 6}
    assert whole == pytest.approx(parts, rel=1e-5)
    assert answers(slice(1, 3)) == {}


def test_a_head_learns_intervals_of_frames_that_move() -> None:
    """Chords at any height: pitch is in the bins, and a linear encoder suffices to see it."""
    torch.manual_seed(0)
    part = Transposition(TranspositionConfig(one_clip_in=1), 219, LogConstantQConfig())
    optimizer = torch.optim.Adam(part.parameters(), lr=2e-3)

    def encode(given: MelCQTFrames, visible: torch.Tensor) -> torch.Tensor:
        return (given.cqt[..., 18:237] + 80) / 20

    shares = []
    for step in range(150):
        cqt = torch.full((32, 1, 252), -80.0)
        roots = torch.randint(0, 12, (32,))
        for row, root in enumerate(roots.tolist()):
            cqt[row, 0, [3 * (24 + root), 3 * (31 + root), 3 * (36 + root), 3 * (48 + root)]] = -10.0
        batch = Clips(
            torch.zeros(32, 0), 24_000, torch.arange(32) + 32 * step, torch.zeros(32, dtype=torch.long)
        )
        said = part(
            batch, MelCQTFrames(torch.zeros(32, 4, 128), cqt), torch.ones(32, 1, dtype=torch.bool), encode
        )
        optimizer.zero_grad()
        said.losses.mean().backward()
        optimizer.step()
        shares.append(float(said.is_right.float().mean()))
    assert sum(shares[:5]) / 5 < 0.4 and sum(shares[-10:]) / 10 > 0.8


def test_bins_that_are_no_part_of_a_semitone_are_refused() -> None:
    odd = LogConstantQConfig(constant_q=ConstantQConfig(hop_length=960, n_bins=70, bins_per_octave=10))
    with pytest.raises(ArgumentError, match="multiple of 12"):
        Transposition(TranspositionConfig(), 8, odd)


def test_too_few_bins_are_refused() -> None:
    with pytest.raises(ArgumentError, match="Raise n_bins"):
        transposed(torch.zeros(1, 2, 33), torch.tensor([1]), 3, -80.0)
