"""Spectra mixed into each other, and a loss from stored spectra that is the loss from audio."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from contracts.test_encoders import MUQ, SMALL
from objectives.test_two_step import BASE, clips, objective, with_spectra
from solfa.data import prepare_files
from solfa.data.clips import Clips, ClipsConfig, RandomClips
from solfa.data.spectra import store_spectra
from solfa.data.stored_spectra import SpectraDescription
from solfa.errors import ArgumentError
from solfa.features import MelCQT, MelCQTConfig, MelCQTFrames
from solfa.objectives import BlockMaskingConfig, SpectraMixingConfig
from solfa.objectives.spectra_mixing import DECIBELS, SpectraMixing, sum_of

ALWAYS = SpectraMixingConfig(mixing_probability=1.0, least_db=6.0, most_db=6.0)
SPECTRA = MelCQTConfig()
Write = Callable[[Path, np.ndarray], Path]


def noisy(n: int = 4) -> tuple[Clips, MelCQTFrames]:
    """Clips of noise, each louder than the one before; every second one begins a track."""
    given = clips(n, 24_000)
    waveform = given.waveform * (1 + torch.arange(n))[:, None]
    return replace(given, waveform=waveform), MelCQT(SPECTRA)(waveform)


def level(mel: torch.Tensor) -> torch.Tensor:
    return 10 * (10 ** (mel / 10)).mean((1, 2)).log10()


def test_powers_add_up_and_a_floor_adds_nothing() -> None:
    own, other = torch.tensor([[0.0, 0.0, 0.0]]), torch.tensor([[0.0, 10.0, -100.0]])
    both = sum_of(own, other, torch.tensor(-3.0), -100.0)
    expected = [10 * math.log10(1 + 10**-0.3), 10 * math.log10(1 + 10**0.7), 0.0]
    assert both[0].tolist() == pytest.approx(expected, abs=1e-5)


def test_a_mixture_on_frames_is_one_of_audio() -> None:
    """Of two noises: in the mean power, since in single frames waves add up, and not powers."""
    given, spectra = noisy(2)
    given = replace(given, tracks=torch.arange(2))
    mixed = SpectraMixing(ALWAYS, SPECTRA)(given, spectra)
    first, second = given.waveform
    gain = 10 ** (-6 / 20) * (first.square().mean() / second.square().mean()).sqrt()
    heard = MelCQT(SPECTRA)((first + gain * second)[None])
    assert level(mixed.mel)[0] == pytest.approx(float(level(heard.mel)), abs=0.1)
    inner = (slice(0, 1), slice(5, -5), slice(60, None))
    assert level(mixed.cqt[inner]) == pytest.approx(float(level(heard.cqt[inner])), abs=0.3)
    assert float(level(mixed.mel)[0] - level(spectra.mel)[0]) == pytest.approx(0.97, abs=0.02)  # 1 + 10^-0.6


def test_others_are_of_other_tracks_and_as_they_were() -> None:
    given, spectra = noisy(4)  # tracks 0, 0, 1, 1
    mixed = SpectraMixing(ALWAYS, SPECTRA)(given, spectra)
    for row in range(4):
        added = 10 ** (mixed.mel[row] / 10) - 10 ** (spectra.mel[row] / 10)
        levels = level(spectra.mel)
        fits = []
        for other in range(4):
            by_db = levels[row] - levels[other] - 6.0
            off = (added - 10 ** ((spectra.mel[other] + by_db) / 10)).abs().max()
            fits.append(bool(off < 0.02 * added.max()))
        assert fits.index(True) // 2 != row // 2
        assert sum(fits) == 1
    alone = replace(given, tracks=torch.zeros(4, dtype=torch.long))
    unmixed = SpectraMixing(ALWAYS, SPECTRA)(alone, spectra)
    assert torch.equal(unmixed.mel, spectra.mel)


def test_mixing_is_as_often_and_as_soft_as_is_asked() -> None:
    n = 60
    given = replace(clips(n, 4_800), tracks=torch.arange(n))
    spectra = MelCQT(SPECTRA)(given.waveform)
    mixed = SpectraMixing(SpectraMixingConfig(), SPECTRA)(given, spectra)
    raised = level(mixed.mel) - level(spectra.mel)
    changed = raised > 1e-4
    assert changed.float().mean() == pytest.approx(0.3, abs=0.13)
    softer = -DECIBELS * torch.log(10 ** (raised[changed] / 10) - 1)
    assert float(softer.min()) > 2.9 and float(softer.max()) < 15.1


def test_a_clip_is_mixed_alike_in_any_order() -> None:
    given, spectra = noisy(4)
    order = torch.tensor([2, 0, 3, 1])
    turned = replace(
        given, waveform=given.waveform[order], numbers=given.numbers[order], tracks=given.tracks[order]
    )
    mixing = SpectraMixing(ALWAYS, SPECTRA)
    mixed = mixing(given, spectra)
    assert torch.equal(mixing(turned, spectra.mapped(lambda half: half[order])).cqt, mixed.cqt[order])


def test_targets_are_of_the_clips_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    model = objective(spectra_mixing=SpectraMixingConfig(mixing_probability=1.0))
    known = with_spectra(model, clips())
    seen: list[MelCQTFrames] = []
    targeted: list[MelCQTFrames | None] = []
    embed, target_of = model.encoder.frontend.embed, model.targets[0].with_context

    def see(spectra: MelCQTFrames, withheld: torch.Tensor | None = None) -> torch.Tensor:
        seen.append(spectra)
        return embed(spectra, withheld)

    def aim(given: Clips) -> object:
        targeted.append(given.spectra)
        return target_of(given)

    monkeypatch.setattr(model.encoder.frontend, "embed", see)
    monkeypatch.setattr(model.targets[0], "with_context", aim)
    model.train()(known)
    assert targeted[0] is known.spectra
    assert not torch.equal(seen[0].mel, known.spectra.mel)
    with torch.no_grad():
        model.eval()(known)
    assert seen[1] is known.spectra


def test_what_cannot_be_mixed_is_refused() -> None:
    with pytest.raises(ArgumentError, match=r"objective\.mixing"):
        objective(encoder=MUQ, masking=BlockMaskingConfig(), predictor=None, spectra_mixing=ALWAYS)
    with pytest.raises(ArgumentError, match="least_db"):
        SpectraMixingConfig(least_db=10.0, most_db=5.0)


@pytest.fixture
def stored(tmp_path: Path, write_wav: Write) -> Callable[[str], Clips]:
    """Four tracks of 3 s as clips of all of them: of audio, or of frames."""
    time, rng = np.arange(72_000) / 24_000, np.random.default_rng(0)
    noise, tones = rng.standard_normal((4, 72_000)), [np.sin(900 * (k + 1) * time) for k in range(4)]
    waves = [0.05 * one + 0.2 * tone for one, tone in zip(noise, tones, strict=True)]
    paths = [write_wav(tmp_path / f"{k}.wav", wave) for k, wave in enumerate(waves)]
    tracks = prepare_files(paths).tracks
    store_spectra(tracks, tmp_path / "features", description=SpectraDescription(spectra=SMALL.spectra))

    def made(spectra: str) -> Clips:
        config = ClipsConfig(clip_seconds=3.0, spectra=str(tmp_path / "features") if spectra else "")
        source = RandomClips(tracks, config, 24_000, 0)
        return source.join([source[number] for number in range(4)])

    return made


def test_stored_frames_give_the_targets_and_the_loss_of_audio(stored: Callable[[str], Clips]) -> None:
    model = objective().eval()
    of_audio, of_frames = stored(""), stored("features")
    assert of_frames.waveform.numel() == 0
    with torch.no_grad():
        heard, read = model(of_audio), model(of_frames)
        codes = [
            model.targets[0].with_context(model._with_spectra(given)).values
            for given in (of_audio, of_frames)
        ]
    assert (codes[0] == codes[1]).float().mean() > 0.97  # rounding moves a frame across the border of a cell
    assert heard.count == read.count
    assert float(read.loss) == pytest.approx(float(heard.loss), rel=0.01)


def test_stored_frames_that_the_encoder_does_not_take_are_refused(stored: Callable[[str], Clips]) -> None:
    other = replace(BASE.encoder, spectra=replace(SPECTRA, mel=replace(SPECTRA.mel, n_fft=1024)))
    assert other.spectra != SMALL.spectra
    with pytest.raises(ArgumentError, match=r"objective\.encoder\.spectra"):
        objective(encoder=other, predictions=())(stored("features"))
    with pytest.raises(ArgumentError, match="hears audio"):
        objective(encoder=MUQ, masking=BlockMaskingConfig(), predictor=None)(stored("features"))
