"""LogConstantQ: level, place and edges of its frames."""

import pytest
import torch

from solfa.features import LogConstantQ, LogConstantQConfig
from synth import tone


def test_a_tone_of_amplitude_one_has_zero_decibels_in_its_bin() -> None:
    config = LogConstantQConfig()
    feature = LogConstantQ(config)
    for number in (72, 144, 200):
        wave = torch.sin(torch.arange(48_000) * 2 * torch.pi * config.constant_q.frequency(number) / 24_000)
        frame = feature(wave[None])[0, 25]
        assert int(frame.argmax()) == number
        assert float(frame.max()) == pytest.approx(0.0, abs=0.1)


def test_frames_are_centred_in_their_hops() -> None:
    wave = torch.zeros(1, 24_000)
    wave[0, 10 * 960 + 480] = 1.0  # a click in the middle of hop 10
    loudness = LogConstantQ(LogConstantQConfig())(wave)[0, :, -36:].mean(1)
    assert int(loudness.argmax()) == 10
    torch.testing.assert_close(loudness[9], loudness[11], atol=0.1, rtol=0)


def test_silence_lies_on_the_floor_and_a_clip_is_the_same_padded() -> None:
    feature = LogConstantQ(LogConstantQConfig())
    assert bool((feature(torch.zeros(1, 4_800)) == -80).all())
    clip = torch.from_numpy(tone(330, 0.5))[None]
    padded = feature(torch.nn.functional.pad(clip, (0, 9_600)), torch.tensor([clip.shape[1]]))
    alone = feature(clip)
    assert alone.shape[1] == clip.shape[1] // 960
    torch.testing.assert_close(padded[:, : alone.shape[1]], alone, atol=1e-2, rtol=0)


def test_a_clip_shorter_than_a_frame_is_refused() -> None:
    with pytest.raises(ValueError, match="too short"):
        LogConstantQ(LogConstantQConfig())(torch.zeros(1, 900))
