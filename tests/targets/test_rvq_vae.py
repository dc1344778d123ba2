from pathlib import Path

import pytest
import torch

from solfa.config import override
from solfa.data.clips import Clips
from solfa.objectives import CodecFit, CodecFitConfig
from solfa.recipes.codec import rvq_vae_tiny
from solfa.targets import (
    RVQVAE,
    ResidualVectorQuantizerConfig,
    RVQVAECodes,
    RVQVAECodesConfig,
    RVQVAEConfig,
    TargetError,
    load_codec,
    rvq_vae,
)

TINY = RVQVAEConfig(n_channels=(8, 8, 16, 16))
ODD = RVQVAEConfig(strides=(5, 4, 3), n_channels=(8, 8, 8), dilations=(1,))


@pytest.fixture(scope="module", params=[TINY, ODD], ids=["published strides", "odd strides"])
def codec(request: pytest.FixtureRequest) -> RVQVAE:
    torch.manual_seed(0)
    return RVQVAE(request.param).eval()


def noise(n_samples: int, n_clips: int = 1) -> torch.Tensor:
    return 0.1 * torch.randn(n_clips, n_samples, generator=torch.Generator().manual_seed(1))


def test_codes_come_at_75_hz_and_6_kilobits() -> None:
    config = RVQVAEConfig()
    assert config.grid.frame_rate == 75
    bits_of_code = (config.quantizer.codebook_size - 1).bit_length()
    assert config.quantizer.n_codebooks * bits_of_code * config.grid.frame_rate == 6000


@pytest.mark.parametrize("n_samples", [1, 319, 320, 321, 24_000])
def test_a_waveform_comes_back_as_long_as_it_was(codec: RVQVAE, n_samples: int) -> None:
    waveform = noise(n_samples, 2)
    assert codec.encode(waveform).shape == (2, 8, -(-n_samples // codec.grid.hop_length))
    assert codec.roundtrip(waveform).shape == waveform.shape


def test_pieces_are_coded_as_the_whole(codec: RVQVAE, monkeypatch: pytest.MonkeyPatch) -> None:
    waveform = noise(100 * codec.grid.hop_length + 7)
    codes = codec.encode(waveform)
    whole = codec.decode(codes)
    monkeypatch.setattr(rvq_vae, "FRAMES_AT_ONCE", 9)
    assert torch.equal(codec.encode(waveform), codes)
    torch.testing.assert_close(codec.decode(codes), whole, rtol=0, atol=1e-6)


def test_the_margin_is_all_that_a_frame_hears(codec: RVQVAE) -> None:
    hop, margin = codec.grid.hop_length, codec.margin_frames
    waveform = noise(120 * hop)
    changed = waveform.clone()
    changed[:, 60 * hop : 61 * hop] += 1
    difference = (codec.frames(waveform) - codec.frames(changed)).abs().amax((0, 2))
    far = torch.arange(120).sub(60).abs() > margin
    assert difference[far].max() == 0 < difference[~far].max()
    frames = codec.frames(waveform)
    moved = frames.clone()
    moved[:, 60] += 1
    back = (codec.waveform(frames) - codec.waveform(moved)).abs().view(120, hop).amax(1)
    assert back[far].max() < 1e-7 < back[~far].max()


def test_soft_and_loud_frames_have_the_same_power() -> None:
    torch.manual_seed(0)
    codec = RVQVAE(TINY).eval()
    with torch.no_grad():  # as after some training: at first frames are hardly more than nothing
        codec.encoder[-2].weight.mul_(1000)
    for gain in (0.01, 1.0):
        power = codec.frames(gain * noise(9_600)).square().mean(2)
        torch.testing.assert_close(power, torch.ones_like(power), rtol=1e-2, atol=1e-2)


def test_silence_gives_numbers(codec: RVQVAE) -> None:
    assert codec.roundtrip(torch.zeros(1, 2_000)).isfinite().all()


def test_a_clip_is_coded_the_same_alone_and_among_others(codec: RVQVAE) -> None:
    waveform = noise(4_800, 3)
    together = codec.encode(waveform)
    assert all(torch.equal(together[[i]], codec.encode(waveform[[i]])) for i in range(3))


def test_codebooks_may_learn_by_gradient() -> None:
    config = override(TINY, {"quantizer": {"kind": "rvq", "dim": 32, "codebook_size": 16, "codebook_dim": 4}})
    assert isinstance(config.quantizer, ResidualVectorQuantizerConfig)
    objective = CodecFit(CodecFitConfig(codec=config)).train()
    step = objective(Clips(noise(9_600, 2), 24_000, torch.arange(2), torch.zeros(2, dtype=torch.long)))
    step.loss.backward()
    assert float(step.sums["codebook_loss"]) > 0
    assert all(stage.codebook.weight.grad is not None for stage in objective.codec.quantizer.stages)


def test_strides_and_channels_must_agree() -> None:
    with pytest.raises(ValueError, match="name as many of each"):
        RVQVAEConfig(strides=(8, 5), n_channels=(8,))


# --- as a target --------------------------------------------------------------------------------------------


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run folder as the trainer leaves it."""
    from safetensors.torch import save_file

    from solfa.checkpoint import CONFIG, WEIGHTS
    from solfa.config import save_config

    torch.manual_seed(3)
    config = override(rvq_vae_tiny(), {"objective.codec.n_channels": (8, 8, 16, 16)})
    folder = tmp_path / "rvq_vae"
    (folder / "step-00000001").mkdir(parents=True)
    save_config(config, folder / CONFIG)
    save_file(CodecFit(config.objective).state_dict(), folder / "step-00000001" / WEIGHTS)  # type: ignore[arg-type]
    return folder


def fitting(run: Path) -> RVQVAECodesConfig:
    return RVQVAECodesConfig(codec=load_codec(run).config, fitted=str(run))


def test_the_target_gives_the_codes_of_the_fitted_codec(run: Path) -> None:
    torch.manual_seed(9)
    target = RVQVAECodes(fitting(run))
    clips = Clips(noise(24_000, 2), 24_000, torch.arange(2), torch.zeros(2, dtype=torch.long))
    assert not torch.equal(target(clips).values, load_codec(run).encode(clips.waveform))
    target.load_fitted()
    assert torch.equal(target(clips).values, load_codec(run).encode(clips.waveform))
    assert not any(name.startswith("decoder") for name in target.state_dict())


def test_a_target_without_a_codec_says_how_to_fit_one(run: Path) -> None:
    with pytest.raises(TargetError, match="solfa train rvq_vae"):
        RVQVAECodes(RVQVAECodesConfig(codec=TINY)).load_fitted()
    with pytest.raises(TargetError, match="solfa train rvq_vae"):
        RVQVAECodes(RVQVAECodesConfig(codec=TINY, fitted=str(run / "nowhere"))).load_fitted()
    with pytest.raises(TargetError, match=r"target\.codec"):
        RVQVAECodes(RVQVAECodesConfig(codec=TINY, fitted=str(run))).load_fitted()
