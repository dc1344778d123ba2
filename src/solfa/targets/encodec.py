"""EncodecCodes: codes of a published neural codec."""

from dataclasses import dataclass
from math import prod
from typing import Any, Literal

import torch
from einops import rearrange
from torch import nn

from solfa.config import Codebooks, Config, Entries, Hertz, Stride, Width
from solfa.data.clips import Clips
from solfa.frames import FrameGrid
from solfa.precision import full_float32
from solfa.targets.base import Codes, CodesShape, Target, TargetError

INSTALL = 'pip install "solfa[encodec]"'


@dataclass(frozen=True, kw_only=True)
class EncodecCodesConfig(Config):
    """The acoustic teacher of MERT: EnCodec at 6 kbps; sizes are those of the published codec of 24 kHz."""

    kind: Literal["encodec"] = "encodec"
    source: str = "facebook/encodec_24khz"  # name on the hub, or a folder with config.json and weights
    sample_rate: Hertz = 24_000  # Hz
    n_codebooks: Codebooks = 8  # that are predicted, the first ones of those that the codec has
    codebook_size: Entries = 1024
    n_filters: Width = 32  # of the first convolution; each stride doubles them
    dim: Width = 128  # of the frames that are quantized
    strides: tuple[Stride, ...] = (8, 5, 4, 2)  # the first is that of the last convolution

    @property
    def grid(self) -> FrameGrid:
        """Where the codes lie."""
        return FrameGrid(self.sample_rate, prod(self.strides))

    @property
    def shape(self) -> CodesShape:
        """Codes or values of a frame."""
        return CodesShape(self.n_codebooks, self.codebook_size)


class EncodecCodes(Target):
    """Codes of EnCodec, by the transformers library; its decoder is not kept.

    Its weights are random until ``start`` fetches them; from then on they are part of a run's checkpoints.

    Source:
        EnCodec, arXiv:2210.13438, as a teacher in MERT, arXiv:2306.00107.

    Raises:
        ImportError: the extra ``encodec`` is not installed.
    """

    def __init__(self, config: EncodecCodesConfig) -> None:
        super().__init__()
        self.config = config
        self.grid = config.grid
        self.encoder, self.quantizer = self._parts(_library().EncodecModel(self._architecture()))

    def load_fitted(self) -> None:
        """Fetch the published weights.

        Raises:
            TargetError: there are none, or they are of another shape.
        """
        source, library = self.config.source, _library()
        try:
            codec = library.EncodecModel.from_pretrained(source)
        except (OSError, ValueError) as error:
            raise TargetError(
                f"EnCodec cannot be had from '{source}': {error} Without a network, name a folder that "
                "holds its config.json and model.safetensors: "
                "'--set objective.predictions.0.target.source=FOLDER'."
            ) from None
        encoder, quantizer = self._parts(codec)
        try:
            self.encoder.load_state_dict(encoder.state_dict())
            self.quantizer.load_state_dict(quantizer.state_dict())
        except RuntimeError as error:
            raise TargetError(
                f"The codec of '{source}' is not of the shape that this run wants, {self.config}. Set "
                f"objective.predictions.0.target to agree with its config.json. {error}"
            ) from None

    @torch.no_grad()
    def forward(self, clips: Clips) -> Codes:
        """Codes of the clean clips; a last hop that is not whole has a frame too."""
        # In half precision, neighbouring codes would be confused.
        with full_float32(clips.waveform.device):
            codes = self.quantizer.encode(self.encoder(clips.waveform.float()[:, None]))
        return Codes(
            rearrange(codes, "codebook clip frame -> clip codebook frame"), self.config.codebook_size
        )

    def _architecture(self) -> Any:
        config = self.config
        # The library makes as many codebooks as its highest rate pays for at 10 bits; half a one to be safe.
        bits_per_second = (config.n_codebooks + 0.5) * config.grid.frame_rate * 10
        return _library().EncodecConfig(
            sampling_rate=config.sample_rate,
            codebook_size=config.codebook_size,
            num_filters=config.n_filters,
            hidden_size=config.dim,
            codebook_dim=config.dim,
            upsampling_ratios=list(config.strides),
            target_bandwidths=[bits_per_second / 1000],
        )

    def _parts(self, codec: Any) -> tuple[nn.Module, Any]:
        """What makes codes: the encoder, and the codebooks that are predicted."""
        codec.quantizer.layers = codec.quantizer.layers[: self.config.n_codebooks]
        return codec.encoder.eval(), codec.quantizer.eval()


def _library() -> Any:
    try:
        import transformers
    except ImportError:
        raise ImportError(f"EnCodec needs the transformers library. Install it with: {INSTALL}") from None
    return transformers
