"""BatchMixing: how often, how long, from where; and that tones of other clips are heard."""

import logging

import numpy as np
import pytest
import torch

from solfa.data.clips import Clips
from solfa.data.seeds import derived_seed
from solfa.frames import FrameGrid
from solfa.objectives.mixing import BatchMixing, BatchMixingConfig, MixedSpan
from synth import tone

GRID = FrameGrid(24_000, 320)
TONES = (440.0, 1000.0, 2500.0, 5000.0)  # Hz, one for each clip


def mixing(**settings: float) -> BatchMixing:
    return BatchMixing(BatchMixingConfig(**settings), GRID)


def tones(seconds: float = 2.0, seed: int = 3) -> Clips:
    waveform = torch.stack([torch.from_numpy(tone(hz, seconds)) for hz in TONES])
    return Clips(waveform, 24_000, torch.arange(10, 14), torch.zeros(4, dtype=torch.long), seed)


def drawn(n: int = 3000, probability: float = 0.5) -> list[list[MixedSpan]]:
    mix = mixing(mixing_probability=probability)
    generators = (torch.Generator().manual_seed(derived_seed(number)) for number in range(n))
    return [list(mix.spans(120_000, 15 * 120_000, generator)) for generator in generators]


def loudness(waveform: torch.Tensor, hz: float) -> float:
    """Amplitude of a tone in the spectrum of a waveform."""
    spectrum = np.abs(np.fft.rfft(waveform.numpy())) / (len(waveform) / 2)
    return float(spectrum[round(hz * len(waveform) / 24_000)])


def test_half_of_the_clips_are_mixed() -> None:
    assert np.mean([bool(spans) for spans in drawn()]) == pytest.approx(0.5, abs=0.03)


def test_the_probability_is_that_of_mixing() -> None:
    assert np.mean([bool(spans) for spans in drawn(probability=0.9)]) == pytest.approx(0.9, abs=0.02)


def test_one_two_and_three_pieces_are_as_likely() -> None:
    counts = [len(spans) for spans in drawn(probability=1.0)]
    assert np.bincount(counts)[1:] / len(counts) == pytest.approx([1 / 3] * 3, abs=0.03)


def test_pieces_last_half_a_second_to_a_second() -> None:
    lengths = [span.n_samples for spans in drawn() for span in spans]
    assert min(lengths) >= 12_000 and max(lengths) <= 24_000
    assert np.mean(lengths) == pytest.approx(18_000, rel=0.01)


def test_pieces_come_from_everywhere_and_go_everywhere() -> None:
    spans = [span for spans in drawn() for span in spans]
    starts, free = [p.start for p in spans], [p.position / (120_000 - p.n_samples) for p in spans]
    assert np.mean(starts) == pytest.approx((15 * 120_000 - 24_000) / 2, rel=0.03)
    assert np.mean(free) == pytest.approx(0.5, abs=0.02)


def test_the_tone_of_another_clip_is_found_in_the_spectrum() -> None:
    clean, mixed = tones(), mixing(mixing_probability=1.0)(tones())
    added = mixed.waveform[0] - clean.waveform[0]
    others = max(loudness(added, hz) for hz in TONES[1:])
    assert others > 0.05
    assert loudness(added, TONES[0]) < 0.1 * others
    assert loudness(mixed.waveform[0], TONES[0]) == pytest.approx(0.3, rel=0.05)


def test_a_piece_is_added_as_loud_as_it_is() -> None:
    clips = tones()
    mixed = mixing(mixing_probability=1.0, max_pieces=1)(clips).waveform[0] - clips.waveform[0]
    inside = mixed[mixed.abs() > 1e-6]
    assert float(inside.std()) == pytest.approx(0.3 / 2**0.5, rel=0.05)


def test_clips_themselves_stay_clean() -> None:
    clips = tones()
    mixing(mixing_probability=1.0)(clips)
    assert torch.equal(clips.waveform, tones().waveform)


def test_pieces_are_of_the_clips_before_mixing() -> None:
    # Clip 0 is silent; what it gets from others must not hold what these got themselves: each sample of one
    # span is a sample of a clean clip.
    clips = tones()
    clips.waveform[0] = 0
    clips.waveform[1:] = torch.tensor([1.0, 10.0, 100.0])[:, None]
    got = mixing(mixing_probability=1.0, max_pieces=1)(clips).waveform[0]
    assert set(got.unique().tolist()) <= {0.0, 1.0, 10.0, 100.0}


def test_a_clip_gets_nothing_of_itself() -> None:
    clips = tones()
    for row in range(4):
        only = torch.zeros_like(clips.waveform)
        only[row] = 1
        alone = Clips(only, 24_000, clips.numbers, clips.tracks, clips.seed)
        assert torch.equal(mixing(mixing_probability=1.0)(alone).waveform[row], only[row])


def test_the_order_of_the_batch_makes_no_difference() -> None:
    clips, order = tones(), torch.tensor([2, 0, 3, 1])
    shuffled = Clips(clips.waveform[order], 24_000, clips.numbers[order], clips.tracks, clips.seed)
    assert torch.equal(mixing()(shuffled).waveform, mixing()(clips).waveform[order])


def test_the_same_seed_mixes_alike_and_another_does_not() -> None:
    mix = mixing(mixing_probability=1.0)
    assert torch.equal(mix(tones()).waveform, mix(tones()).waveform)
    assert not torch.equal(mix(tones()).waveform, mix(tones(seed=4)).waveform)


def test_a_clip_alone_stays_clean_and_is_told_of_once(caplog: pytest.LogCaptureFixture) -> None:
    mix, clips = mixing(mixing_probability=1.0), tones()
    alone = Clips(clips.waveform[:1], 24_000, clips.numbers[:1], clips.tracks[:1])
    with caplog.at_level(logging.WARNING):
        assert torch.equal(mix(alone).waveform, alone.waveform)
        mix(alone)
    assert [record.message for record in caplog.records] == [
        "A forward pass of one clip has no others to mix in; raise --clips-per-device."
    ]


def test_clips_shorter_than_a_piece_are_refused_with_the_cure() -> None:
    with pytest.raises(ValueError, match=r"Lower objective\.mixing\.max_seconds"):
        mixing()(tones(seconds=0.9))


def test_lengths_the_wrong_way_round_are_refused() -> None:
    with pytest.raises(ValueError, match=r"not above mixing\.max_seconds"):
        BatchMixingConfig(min_seconds=2.0)
