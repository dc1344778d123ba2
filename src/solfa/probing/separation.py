"""Sources out of a mixture: a recurrent head on frozen frames makes masks, which are scored window by window.

Known of MARBLE's head: three layers of a one-way LSTM with 512 units, a spectrum of 2048 samples every 320,
clips of 6 s. All else is ours: the learned sum of layers, masks from a sigmoid on the mixture's magnitudes,
its phase, the loss, rate and stop.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Complex, Float
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from solfa.config import Config, Count, CountFromZero, Hop, Layers, NotNegative, Width, Window
from solfa.data.audio import read_audio
from solfa.errors import ArgumentError
from solfa.metrics import separation_ratios
from solfa.precision import full_float32
from solfa.probing.features import Features
from solfa.probing.splits import CPU, Predictions
from solfa.tasks.base import Item, Split, Task
from solfa.tasks.kinds import Stems

SMALL = 1e-6  # magnitude beside which a mixture counts as silent


@dataclass(frozen=True, kw_only=True)
class SeparationConfig(Config):
    """A head that separates sources, and how it is fitted."""

    hidden_dim: Width = 512
    n_layers: Layers = 3
    n_fft: Window = 2048
    hop_length: Hop = 320  # samples of the encoder's rate
    lr: NotNegative = 1e-3
    batch: Count = 16  # clips
    n_clips: Count = 512  # in an epoch at most; each epoch draws others
    n_epochs: Count = 50  # at most
    stop_patience: CountFromZero = 8  # epochs without a smaller loss on validation


class SeparationHead(nn.Module):
    """Frames of all layers -> a mask for each source, on the spectrum of the mixture."""

    def __init__(self, n_layers: int, dim: int, n_sources: int, config: SeparationConfig) -> None:
        super().__init__()
        n_bins = config.n_fft // 2 + 1
        self.n_sources = n_sources
        self.mix = nn.Parameter(torch.zeros(n_layers))
        self.norm = nn.LayerNorm(dim)
        self.recurrent = nn.LSTM(dim, config.hidden_dim, config.n_layers, batch_first=True)
        self.out = nn.Linear(config.hidden_dim, n_sources * n_bins)

    def forward(
        self, features: Float[Tensor, "clip frame layer dim"], n_frames: int
    ) -> Float[Tensor, "clip source bin step"]:
        """Masks in [0, 1] for ``n_frames`` frames of the spectrum, to which features are stretched."""
        mixed = self.norm(torch.einsum("l,cfld->cfd", self.mix.softmax(0), features))
        stretched = F.interpolate(mixed.transpose(1, 2), n_frames, mode="linear").transpose(1, 2)
        masks = self.out(self.recurrent(stretched)[0]).sigmoid()
        return masks.unflatten(2, (self.n_sources, -1)).permute(0, 2, 3, 1)


@dataclass(frozen=True)
class Separated:
    """Result of one head."""

    epoch: int  # the best one on validation, from 1
    valid: Predictions
    test: Predictions


@dataclass(frozen=True)
class _Clip:
    """A stretch of an item: its rows among the features, and its samples."""

    item: Item
    rows: np.ndarray
    start: int  # sample of the file
    n_samples: int


class SeparationData:
    """Clips of a task with sources, their features and their sounds.

    Args:
        task: its labels are paths of the sources.
        features: of its items; their frames.
        config: of the spectrum.
        device: where heads are fitted, and so what they are given lies.
    """

    def __init__(
        self, task: Task, features: Features, config: SeparationConfig, device: torch.device = CPU
    ) -> None:
        self.task, self.features, self.config, self.device = task, features, config, device
        self.sample_rate = features.config.sample_rate
        self.window = torch.hann_window(config.n_fft).to(device)

    def items(self, split: Split) -> list[list[_Clip]]:
        """The clips of each item. Raises ValueError if there are none."""
        found = [
            list(self._clips(item, self.features.array(key)))
            for item, key in self.features.kept
            if item.split == split
        ]
        if not found:
            raise ArgumentError(f"{self.task.name} has no {split} items with features. Check its folder.")
        return found

    def batch(
        self, clips: Sequence[_Clip]
    ) -> tuple[Float[Tensor, "clip frame layer dim"], Float[Tensor, "clip sound sample"]]:
        """Features, and the mixture followed by its sources; shorter clips are filled with zeros."""
        n_rows, n_samples = max(len(clip.rows) for clip in clips), max(clip.n_samples for clip in clips)
        features = np.zeros((len(clips), n_rows, *clips[0].rows.shape[1:]), np.float32)
        sounds = np.zeros((len(clips), 1 + len(self.task.kind.names), n_samples), np.float32)
        for n, clip in enumerate(clips):
            features[n, : len(clip.rows)] = clip.rows
            for sound, path in zip(sounds[n], (clip.item.path, *clip.item.label), strict=True):  # type: ignore[misc]
                samples = read_audio(
                    path, sample_rate=self.sample_rate, start=clip.start, n_samples=clip.n_samples,
                    channel=0 if self.features.config.channel == "first" else None,
                )  # fmt: skip
                sound[: len(samples)] = samples
        return torch.from_numpy(features).to(self.device), torch.from_numpy(sounds).to(self.device)

    def spectra(self, sounds: Float[Tensor, "*sound sample"]) -> Complex[Tensor, "*sound bin step"]:
        """Short-time spectra."""
        flat = torch.stft(
            sounds.flatten(0, -2), self.config.n_fft, self.config.hop_length,
            window=self.window, pad_mode="constant", return_complex=True,
        )  # fmt: skip
        return flat.unflatten(0, sounds.shape[:-1])

    def sounds(
        self, spectra: Complex[Tensor, "*sound bin step"], n_samples: int
    ) -> Float[Tensor, "*sound sample"]:
        """Waveforms of short-time spectra."""
        flat = torch.istft(
            spectra.flatten(0, -3), self.config.n_fft, self.config.hop_length,
            window=self.window, length=n_samples,
        )  # fmt: skip
        return flat.unflatten(0, spectra.shape[:-2])

    def _clips(self, item: Item, rows: np.ndarray) -> Iterator[_Clip]:
        described, begin = self.features.config, round(item.start * self.sample_rate)
        grid = described.grid
        if described.clip_seconds is None or described.frames_per_clip is None:
            yield _Clip(item, rows, begin, len(rows) * grid.hop_length)
            return
        for start in range(0, len(rows), described.frames_per_clip):
            part = rows[start : start + described.frames_per_clip]
            first = grid.seconds_to_samples(start // described.frames_per_clip * described.clip_seconds)
            is_whole = len(part) == described.frames_per_clip
            length = (
                grid.seconds_to_samples(described.clip_seconds) if is_whole else len(part) * grid.hop_length
            )
            yield _Clip(item, part, begin + first, length)


def fit_separation(
    data: SeparationData, seed: int, tell: Callable[[int], None] = lambda epoch: None
) -> Separated:
    """Fit a head on train, choose its epoch by the loss on validation, and separate validation and test.

    Args:
        data: the task.
        seed: of weights and draws.
        tell: is told each epoch that is done.
    """
    with full_float32(data.device):  # recurrent layers would use TF32, and no device should score otherwise
        return _fit_separation(data, seed, tell)


def _fit_separation(data: SeparationData, seed: int, tell: Callable[[int], None]) -> Separated:
    config, random = data.config, np.random.default_rng(seed)
    train, valid, test = (data.items(split) for split in ("train", "valid", "test"))
    head = _begin(data, train[0][0], seed)
    adam = torch.optim.Adam(head.parameters(), lr=config.lr)
    training, validating = ([clip for clips in split for clip in clips] for split in (train, valid))
    best, best_epoch, kept = math.inf, 0, head.state_dict()
    for epoch in range(1, config.n_epochs + 1):
        order = random.permutation(len(training))[: config.n_clips]
        for start in range(0, len(order), config.batch):
            loss = _loss(head, data, [training[n] for n in order[start : start + config.batch]])
            adam.zero_grad()
            loss.backward()
            adam.step()
        found = _mean_loss(head, data, validating)
        if found < best:
            kept = {name: value.clone() for name, value in head.state_dict().items()}
            best, best_epoch = found, epoch
        tell(epoch)
        if epoch - best_epoch >= config.stop_patience:
            break
    head.load_state_dict(kept)
    return Separated(best_epoch, separate(head, data, valid), separate(head, data, test))


@torch.no_grad()
def separate(head: SeparationHead, data: SeparationData, items: Sequence[Sequence[_Clip]]) -> Predictions:
    """Ratios of each source in each window of each item, beside the names of the tracks.

    What lies behind the last clip of an item has no features and is not scored.
    """
    ratios = []
    for clips in items:
        parts = []
        for clip in clips:
            features, sounds = data.batch([clip])
            spectra = data.spectra(sounds)
            estimated = head(features, spectra.shape[-1]) * spectra[:, :1]
            parts.append(torch.stack([sounds[0, 1:], data.sounds(estimated, clip.n_samples)[0]]))
        reference, estimates = torch.cat(parts, 2).cpu().numpy()
        ratios.append(separation_ratios(reference, estimates, data.sample_rate))
    return Predictions(data.task.kind, [clips[0].item.track for clips in items], ratios)


def _begin(data: SeparationData, clip: _Clip, seed: int) -> SeparationHead:
    assert isinstance(data.task.kind, Stems)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        n_layers, dim = clip.rows.shape[1:]
        return SeparationHead(n_layers, dim, len(data.task.kind.names), data.config).to(data.device)


def _loss(head: SeparationHead, data: SeparationData, clips: Sequence[_Clip]) -> Float[Tensor, ""]:
    """Mean error of the sources' magnitudes, as a share of the mixture's."""
    features, sounds = data.batch(clips)
    mixture, sources = data.spectra(sounds).abs().split([1, sounds.shape[1] - 1], 1)
    masks = head(features, mixture.shape[-1])
    return (masks * mixture - sources).abs().mean() / mixture.mean().clamp(min=SMALL)


@torch.no_grad()
def _mean_loss(head: SeparationHead, data: SeparationData, clips: Sequence[_Clip]) -> float:
    batch = data.config.batch
    parts = [clips[start : start + batch] for start in range(0, len(clips), batch)]
    return float(np.mean([float(_loss(head, data, part)) for part in parts]))
