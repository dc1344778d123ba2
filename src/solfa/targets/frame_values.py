"""FrameValues: fixed frames themselves, to be regressed."""

from typing import Any

import torch
from torch import nn

from solfa.data.clips import Clips
from solfa.targets.base import Target, Values


class FrameValues(Target):
    """The frames that a module makes of clips; its configuration has ``frames``, which says what they are."""

    def __init__(self, config: Any, frames: nn.Module) -> None:
        super().__init__()
        self.config = config
        self.grid = config.frames.grid
        self.frames: Any = frames

    @property
    def context_samples(self) -> int:
        """As far as its frames hear."""
        reach: int = self.config.frames.context_samples
        return reach

    @torch.no_grad()
    def forward(self, clips: Clips) -> Values:
        """Frames of the clean clips, or of the spectra that go with them."""
        return Values(self.frames.of(clips))
