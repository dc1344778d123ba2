"""ConvStem: a mel spectrogram halved in time and frequency by residual 2-D convolutions."""

from dataclasses import dataclass

from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from solfa.config import Config, Stride, Width
from solfa.models.encoder import padding_mask
from solfa.models.layers.inference import folded, is_plain_inference
from solfa.models.layers.minimal_filtering import add_convolution_, filter_transform
from solfa.models.layers.normalization import BatchNorm

# From here on a block is faster by minimal filtering. Filters are transformed at each call, which takes as
# long as the convolution of some 500 pixels: what is not kept is never stale.
FEWEST_CHANNELS, FEWEST_PIXELS = 192, 2_048
CHANNELS_LAST = "clip channel bin frame -> clip bin frame channel"


@dataclass(frozen=True, kw_only=True)
class ConvStemConfig(Config):
    """Two residual blocks; each halves the mel axis, and time by its own stride."""

    n_channels: Width = 512
    time_strides: tuple[Stride, ...] = (2, 2)


class ConvStem(nn.Module):
    """Mel frames -> frames of ``dim``, at the mel rate divided by the strides.

    Source:
        MuQ, arXiv:2501.01108, and MusicFM, arXiv:2311.03318: convolutional subsampling.
    """

    def __init__(self, config: ConvStemConfig, n_mels: int, dim: int) -> None:
        super().__init__()
        widths = [1] + [config.n_channels] * len(config.time_strides)
        self.blocks = nn.ModuleList(
            ResidualBlock(n_in, n_out, stride)
            for n_in, n_out, stride in zip(widths[:-1], widths[1:], config.time_strides, strict=True)
        )
        n_bins = n_mels
        for _ in config.time_strides:
            n_bins = -(-n_bins // 2)
        self.projection = nn.Linear(config.n_channels * n_bins, dim)

    def forward(
        self, mel: Float[Tensor, "clip frame mel"], n_frames: Int[Tensor, " clip"] | None
    ) -> tuple[Float[Tensor, "clip shorter dim"], Int[Tensor, " clip"] | None]:
        """Frames, and how many of each clip hold audio; what lies beyond a clip's end stays zero."""
        image = rearrange(mel, "clip frame mel -> clip 1 mel frame")
        image = _silence_padding(image, n_frames)
        for block in self.blocks:
            image, n_frames = block(image, n_frames)
        frames = self.projection(rearrange(image, "clip channel bin frame -> clip frame (channel bin)"))
        return frames, n_frames


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions with batch normalisation, and a third one on the way around them."""

    def __init__(self, n_in: int, n_out: int, time_stride: int) -> None:
        super().__init__()
        self.time_stride = time_stride
        stride = (2, time_stride)
        self.conv_in = nn.Conv2d(n_in, n_out, 3, stride, padding=1)
        self.norm_in = BatchNorm(n_out)
        self.conv_out = nn.Conv2d(n_out, n_out, 3, padding=1)
        self.norm_out = BatchNorm(n_out)
        self.conv_skip = nn.Conv2d(n_in, n_out, 3, stride, padding=1)
        self.norm_skip = BatchNorm(n_out)

    def forward(
        self, image: Float[Tensor, "clip channel bin frame"], n_frames: Int[Tensor, " clip"] | None
    ) -> tuple[Float[Tensor, "clip channel_out bin_out frame_out"], Int[Tensor, " clip"] | None]:
        """The image halved, and its valid lengths."""
        n_frames = None if n_frames is None else -(-n_frames // self.time_stride)
        if self._can_be_filtered(image):
            return self._filtered(image, n_frames), n_frames
        hidden = F.relu(self.norm_in(self.conv_in(image)))
        hidden = self.norm_out(self.conv_out(_silence_padding(hidden, n_frames)))
        hidden = F.relu(hidden + self.norm_skip(self.conv_skip(image)))
        return _silence_padding(hidden, n_frames), n_frames

    def _can_be_filtered(self, image: Float[Tensor, "clip channel bin frame"]) -> bool:
        """Whether ``_filtered`` gives the same within rounding, and is faster."""
        n_pixels = image[:, 0].numel() // (2 * self.time_stride)
        return (
            self.conv_out.out_channels >= FEWEST_CHANNELS
            and n_pixels >= FEWEST_PIXELS
            and is_plain_inference(self, image)
        )

    def _filtered(
        self, image: Float[Tensor, "clip channel bin frame"], n_frames: Int[Tensor, " clip"] | None
    ) -> Float[Tensor, "clip channel_out bin_out frame_out"]:
        """As ``forward``: norms folded into the convolutions, ``conv_out`` by minimal filtering."""
        hidden = F.relu_(_halved(image, self.conv_in, self.norm_in))
        total = _halved(image, self.conv_skip, self.norm_skip)
        weight, bias = folded(self.conv_out, self.norm_out)
        add_convolution_(
            rearrange(total.add_(bias[:, None, None]), CHANNELS_LAST),
            rearrange(_silence_padding(hidden, n_frames), CHANNELS_LAST),
            filter_transform(weight),
        )
        return _silence_padding(F.relu_(total), n_frames)


def _halved(
    image: Float[Tensor, "clip channel bin frame"], convolution: nn.Conv2d, norm: BatchNorm
) -> Float[Tensor, "clip channel_out bin_out frame_out"]:
    """The image convolved and normalised, with its channels last in memory."""
    weight, bias = folded(convolution, norm)
    if image.shape[1] > 1:
        return F.conv2d(image, weight, bias, convolution.stride, padding=1)
    patches = F.unfold(image, 3, padding=1, stride=convolution.stride)
    pixels = F.linear(patches.transpose(1, 2), weight.flatten(1), bias)
    n_frames = -(-image.shape[3] // convolution.stride[1])
    return rearrange(pixels, "clip (bin frame) channel -> clip channel bin frame", frame=n_frames)


def _silence_padding(
    image: Float[Tensor, "clip channel bin frame"], n_frames: Int[Tensor, " clip"] | None
) -> Float[Tensor, "clip channel bin frame"]:
    """Zero beyond each clip's end: what a convolution sees there when the clip is alone."""
    if n_frames is None:
        return image
    return image.masked_fill(padding_mask(n_frames, image.shape[-1])[:, None, None], 0)
