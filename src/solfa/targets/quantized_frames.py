"""QuantizedFrames: codes of fixed frames, by a quantizer that was fitted to such frames beforehand."""

from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from solfa.config import from_dict
from solfa.data.clips import Clips
from solfa.targets.base import Codes, FittableTarget, Origin, TargetError
from solfa.targets.residual_kmeans import ResidualKMeans
from solfa.targets.stored_quantizer import FittedQuantizer, build_quantizer, fitted_settings, load_quantizer


class QuantizedFrames(FittableTarget):
    """Codes of the frames that ``frames_to_quantize`` gives.

    Its configuration has ``frames``, ``quantizer`` and ``fitted``: what the frames are, what quantizes them,
    and the run in which that was fitted.
    """

    title: ClassVar[str]  # in messages
    recipe: ClassVar[str]  # that fits such a quantizer
    quantizer: FittedQuantizer

    def __init__(self, config: Any, frames: nn.Module) -> None:
        super().__init__()
        self.config = config
        self.grid = config.frames.grid
        self.frames = frames
        self.quantizer = build_quantizer(config.quantizer)

    def load_fitted(self) -> None:
        """Read the fitted quantizer.

        Raises:
            TargetError: none was named, or it does not fit this configuration.
        """
        if not self.config.fitted:
            raise TargetError(
                f"{self.title} targets need a fitted quantizer. Fit one with 'solfa train {self.recipe} "
                "--out RUN --set data.manifest=tracks.jsonl' and name it with "
                "'--set objective.predictions.0.target.fitted=RUN'."
            )
        fitted = load_quantizer(Path(self.config.fitted), self.config.kind)
        if fitted.config != self.config.quantizer:
            raise TargetError(
                f"The quantizer of {self.config.fitted} is {fitted.config}, but this run wants "
                f"{self.config.quantizer}. Set objective.predictions.0.target.quantizer to agree with it."
            )
        self._check_frames()
        self.quantizer.load_state_dict(fitted.state_dict())

    def _check_frames(self) -> None:
        """Refuse a quantizer that was fitted to other frames: its codes would mean little, in silence."""
        run, wanted = self.config.fitted, self.config.frames
        there = fitted_settings(Path(run), self.config.kind).get("frames")
        fitted_to = replace(wanted, level="kept") if there is None else from_dict(type(wanted), there)
        if fitted_to != wanted or self.config.quantizer.dim != wanted.dim:
            raise TargetError(
                f"The quantizer of {run} is for frames {self.config.quantizer.dim} wide of {fitted_to}, but "
                f"this run would give it frames {wanted.dim} wide of {wanted}. Set "
                "objective.predictions.0.target.frames to agree with it, or fit another."
            )

    @property
    def context_samples(self) -> int:
        """As far as its frames hear."""
        reach: int = self.config.frames.context_samples
        return reach

    @torch.no_grad()
    def forward(self, clips: Clips) -> Codes:
        """Codes of the clean clips."""
        return self.codes_of(self.frames_to_quantize(clips))

    def codes_of(self, frames: Float[Tensor, "clip frame dim"]) -> Codes:
        """Codes of frames, whether these were just made of audio or stored before."""
        origin = None
        if isinstance(self.quantizer, ResidualKMeans):
            origin = Origin(frames, self.quantizer.squared_distances)
        return Codes(self.quantizer.encode(frames), self.config.quantizer.codebook_size, origin)
