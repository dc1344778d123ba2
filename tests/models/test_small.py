"""SolfaSmall: its size, what it hears, what is withheld, and that its frames depend on themselves alone."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

import solfa
from solfa.features import LogConstantQ, LogMel, MelCQTFrames
from solfa.models import RotaryTransformerConfig, SolfaSmall, SolfaSmallConfig
from solfa.models.small import CQT_LEVELS, MEL_LEVELS, Levels, LevelsConfig

TINY = SolfaSmallConfig(transformer=RotaryTransformerConfig(n_layers=2, dim=16, n_heads=2))
CLIPS = 0.1 * torch.randn(2, 24_000, generator=torch.Generator().manual_seed(0))


def built(config: SolfaSmallConfig = TINY) -> SolfaSmall:
    torch.manual_seed(0)
    return SolfaSmall(config).eval()


def generators(n: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(number) for number in range(n)]


def test_it_has_less_than_six_million_parameters_and_twelve_megabytes_in_half_precision(
    tmp_path: Path,
) -> None:
    encoder = SolfaSmall(SolfaSmallConfig()).eval()
    assert 5.6e6 < sum(p.numel() for p in encoder.parameters()) < 5.8e6
    assert encoder.frame_rate == 25 and encoder.n_layers == 7 and encoder.dim == 256
    folder = encoder.save_pretrained(tmp_path / "small", is_half=True)
    assert (folder / "model.safetensors").stat().st_size < 12e6
    loaded = solfa.load(folder)
    torch.testing.assert_close(loaded(CLIPS).last, encoder(CLIPS).last, atol=0.05, rtol=0)
    assert "encoder, SolfaSmall" in (folder / "README.md").read_text()


def test_audio_and_its_spectra_give_the_same_frames() -> None:
    encoder = built()
    spectra = MelCQTFrames(
        LogMel(TINY.spectra.mel).decibels(CLIPS), LogConstantQ(TINY.spectra.log_cqt)(CLIPS)
    )
    with torch.no_grad():
        assert torch.equal(encoder.frontend.embed(spectra), encoder.frontend(CLIPS)[0])


def test_a_frame_depends_on_its_own_spectra_alone() -> None:
    frontend = built().frontend
    spectra = frontend.spectra_of(CLIPS)
    changed = MelCQTFrames(spectra.mel.clone(), spectra.cqt.clone())
    changed.mel[:, 40:48] += 10
    changed.cqt[:, 10:12] += 10
    with torch.no_grad():
        moved = (frontend.embed(changed) - frontend.embed(spectra)).abs().amax((0, 2)) > 0
    assert moved.nonzero()[:, 0].tolist() == [10, 11]


@pytest.mark.parametrize(("name", "n_bands", "levels"), [("mel", 128, MEL_LEVELS), ("cqt", 252, CQT_LEVELS)])
def test_levels_lie_on_straight_lines_between_the_points(
    name: str, n_bands: int, levels: LevelsConfig
) -> None:
    normalise = Levels(levels, n_bands)
    assert normalise.mean[[0, -1]].tolist() == pytest.approx([levels.mean_db[0], levels.mean_db[-1]])
    normalised = normalise((normalise.mean + 2 * normalise.std)[None, None])
    torch.testing.assert_close(normalised, torch.full_like(normalised, 2.0))
    assert len({round(float(step), 3) for step in normalise.mean.diff()[:10]}) == 1


def test_a_clip_lacks_one_half_at_most_and_as_often_as_configured() -> None:
    frontend = built().frontend
    withheld = frontend.draw_withheld(generators(4_000))
    assert withheld is not None and not withheld.all(1).any()
    assert withheld.float().mean(0).tolist() == pytest.approx([0.15, 0.15], abs=0.02)
    assert torch.equal(withheld, frontend.draw_withheld(generators(4_000)))
    assert built(replace(TINY, halves=("mel",))).frontend.draw_withheld(generators(3)) is None


def test_what_is_withheld_is_not_heard_and_its_vector_learns() -> None:
    frontend = built().frontend
    spectra = frontend.spectra_of(CLIPS)
    other = MelCQTFrames(spectra.mel + torch.rand_like(spectra.mel), spectra.cqt)
    withheld = torch.tensor([[True, False], [False, False]])
    frames, of_other = frontend.embed(spectra, withheld), frontend.embed(other, withheld)
    assert torch.equal(frames[0], of_other[0]) and not torch.equal(frames[1], of_other[1])
    frames[:, 0, 0].sum().backward()
    assert frontend.withheld.grad[0].any() and not frontend.withheld.grad[1].any()


def test_half_of_it_hears_its_half_alone() -> None:
    encoder = built(replace(TINY, halves=("mel",)))
    spectra = encoder.frontend.spectra_of(CLIPS)
    silent = MelCQTFrames(spectra.mel, torch.full_like(spectra.cqt, -80))
    assert torch.equal(encoder.frontend.embed(spectra), encoder.frontend.embed(silent))
    assert not any("cqt" in name or "withheld" in name for name in encoder.state_dict())


@pytest.mark.parametrize(
    ("wrong", "cure"),
    [
        ({"halves": ()}, "one or both of mel and cqt"),
        ({"halves": ("mel", "mel")}, "each once"),
        ({"withheld_share": 0.6}, "at most 0.5"),
        ({"transformer": {"dim": 18, "n_heads": 4}}, "heads of even width"),
        ({"mel_levels": {"mean_db": (0.0,), "std_db": (1.0, 2.0)}}, "as many of both"),
    ],
)
def test_what_cannot_be_is_refused_with_the_cure(wrong: dict, cure: str) -> None:
    parts = {"transformer": RotaryTransformerConfig, "mel_levels": LevelsConfig}
    with pytest.raises(ValueError, match=cure):
        replace(TINY, **{k: parts[k](**v) if k in parts else v for k, v in wrong.items()})
