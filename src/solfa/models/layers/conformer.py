"""Conformer: self-attention with rotary positions between two half feed-forwards, and a convolution."""

from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from solfa.config import Config, Layers, Positive, Share, Width
from solfa.errors import ArgumentError
from solfa.features.exact import exact
from solfa.models.encoder import Context, HiddenStates, padding_mask
from solfa.models.layers.inference import folded, is_plain_inference
from solfa.models.layers.normalization import BatchNorm, LayerNorm
from solfa.models.layers.places import at_places, taken
from solfa.models.layers.rotary import rotary_angles, rotate


@dataclass(frozen=True, kw_only=True)
class ConformerConfig(Config):
    """Sizes of a Conformer."""

    n_layers: Layers = 12
    dim: Width = 1024
    feed_forward_dim: Width = 4096
    n_heads: Width = 16
    kernel_frames: Width = 31  # odd: of the depthwise convolution
    rotary_base: Positive = 10_000.0
    norm_eps: Positive = 1e-5
    dropout: Share = 0.1  # of inputs, attention weights, activations and outputs alike


class Conformer(Context):
    """Frames -> hidden states.

    Source:
        Conformer, arXiv:2005.08100, with rotary positions, arXiv:2104.09864, as MuQ uses it. As in the
        published weights, positions are rotated before the query and key projections, not after them.
    """

    def __init__(self, config: ConformerConfig) -> None:
        super().__init__()
        if config.dim % config.n_heads or (config.dim // config.n_heads) % 2:
            raise ArgumentError(f"dim {config.dim} does not split into {config.n_heads} heads of even width.")
        self.config = config
        self.n_layers, self.dim = config.n_layers, config.dim
        self.dropout = nn.Dropout(config.dropout)
        self.layers = nn.ModuleList(ConformerLayer(config) for _ in range(config.n_layers))
        self.norm = LayerNorm(config.dim, config.norm_eps)

    def forward(
        self,
        frames: Float[Tensor, "clip frame dim"],
        n_frames: Int[Tensor, " clip"] | None,
        highest: int | None = None,
        places: Int[Tensor, "clip frame"] | None = None,
    ) -> HiddenStates:
        """Hidden states; frames beyond a clip's end are neither seen nor given."""
        gap = None if n_frames is None else padding_mask(n_frames, frames.shape[1])
        head_dim = self.config.dim // self.config.n_heads
        # What layers add to stays float32 under any autocast: half precision would round it each time.
        states = [self.dropout(_without(exact(frames), gap))]
        rotation = rotary_angles(frames.shape[1], head_dim, self.config.rotary_base, states[0], places)
        for layer in self.layers[:highest]:
            states.append(_without(layer(states[-1], rotation, gap, places), gap))
        if len(states) > self.n_layers:
            states[-1] = _without(self.norm(states[-1]), gap)
        return HiddenStates.of(states, n_frames)


class ConformerLayer(nn.Module):
    """Half feed-forward, attention, convolution, half feed-forward, normalisation."""

    def __init__(self, config: ConformerConfig) -> None:
        super().__init__()
        self.feed_forward_in = FeedForward(config)
        self.attention = RotaryAttention(config)
        self.convolution = ConvolutionModule(config)
        self.feed_forward_out = FeedForward(config)
        self.norm = LayerNorm(config.dim, config.norm_eps)

    def forward(
        self,
        x: Float[Tensor, "clip frame dim"],
        rotation: Float[Tensor, "2 *_ frame half"],
        padding: Bool[Tensor, "clip frame"] | None,
        places: Int[Tensor, "clip frame"] | None,
    ) -> Float[Tensor, "clip frame dim"]:
        """The next hidden state."""
        x = x + 0.5 * self.feed_forward_in(x)
        x = x + self.attention(x, rotation, padding)
        x = x + self.convolution(x, padding, places)
        x = x + 0.5 * self.feed_forward_out(x)
        return self.norm(x)


class FeedForward(nn.Module):
    """Normalise, widen, swish, narrow."""

    def __init__(self, config: ConformerConfig) -> None:
        super().__init__()
        self.norm = LayerNorm(config.dim, config.norm_eps)
        self.widen = nn.Linear(config.dim, config.feed_forward_dim)
        self.narrow = nn.Linear(config.feed_forward_dim, config.dim)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Float[Tensor, "clip frame dim"]) -> Float[Tensor, "clip frame dim"]:
        """The residual to be halved and added."""
        return self.dropout(self.narrow(self.dropout(F.silu(self.widen(self.norm(x))))))


class RotaryAttention(nn.Module):
    """Multi-head self-attention whose queries and keys are projected from rotated inputs."""

    def __init__(self, config: ConformerConfig) -> None:
        super().__init__()
        self.n_heads = config.n_heads
        self.norm = LayerNorm(config.dim, config.norm_eps)
        self.query = nn.Linear(config.dim, config.dim)
        self.key = nn.Linear(config.dim, config.dim)
        self.value = nn.Linear(config.dim, config.dim)
        self.out = nn.Linear(config.dim, config.dim)
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self,
        x: Float[Tensor, "clip frame dim"],
        rotation: Float[Tensor, "2 *_ frame half"],
        padding: Bool[Tensor, "clip frame"] | None,
    ) -> Float[Tensor, "clip frame dim"]:
        """The residual; no frame attends to padding."""
        x = self.norm(x)
        rotated = rotate(x, rotation, self.n_heads)
        query, key, value = (
            rearrange(y, "clip frame (head part) -> clip head frame part", head=self.n_heads)
            for y in (self.query(rotated), self.key(rotated), self.value(x))
        )
        audible = None if padding is None else ~padding[:, None, None, :]
        attended = F.scaled_dot_product_attention(
            query, key, value, audible, dropout_p=self.dropout.p if self.training else 0.0
        )
        joined = rearrange(attended, "clip head frame part -> clip frame (head part)")
        return self.dropout(self.out(joined))


class ConvolutionModule(nn.Module):
    """Gated pointwise convolution, depthwise convolution in time, normalisation, swish, pointwise."""

    def __init__(self, config: ConformerConfig) -> None:
        super().__init__()
        self.norm = LayerNorm(config.dim, config.norm_eps)
        self.gated = nn.Linear(config.dim, 2 * config.dim, bias=False)
        self.depthwise = nn.Conv1d(
            config.dim, config.dim, config.kernel_frames, padding=config.kernel_frames // 2,
            groups=config.dim, bias=False,
        )  # fmt: skip
        self.batch_norm = BatchNorm(config.dim)
        self.mix = nn.Linear(config.dim, config.dim, bias=False)
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self,
        x: Float[Tensor, "clip frame dim"],
        padding: Bool[Tensor, "clip frame"] | None,
        places: Int[Tensor, "clip frame"] | None,
    ) -> Float[Tensor, "clip frame dim"]:
        """The residual; the kernel finds zeros beyond a clip's end, as when the clip is alone."""
        gated = _without(F.glu(self.gated(self.norm(x)), dim=-1), padding)
        if places is not None:
            along_time = self._around_gaps(gated, padding, places)
        elif is_plain_inference(self, gated):
            along_time = self._folded_depthwise(gated)
        else:
            along_time = self.batch_norm(self.depthwise(gated.transpose(1, 2))).transpose(1, 2)
        return self.dropout(self.mix(F.silu(along_time)))

    def _around_gaps(
        self,
        gated: Float[Tensor, "clip frame dim"],
        padding: Bool[Tensor, "clip frame"] | None,
        places: Int[Tensor, "clip frame"],
    ) -> Float[Tensor, "clip frame dim"]:
        """Depthwise convolution with zeros where no frame is given, normalised over the frames that are."""
        whole = self.depthwise(at_places(gated, places).transpose(1, 2)).transpose(1, 2)
        given = taken(whole, places)
        if padding is None:
            return self.batch_norm(given.transpose(1, 2)).transpose(1, 2)
        # Padding would be counted in the statistics, and how much there is depends on the other clips.
        return torch.zeros_like(given).masked_scatter(~padding[..., None], self.batch_norm(given[~padding]))

    def _folded_depthwise(self, gated: Float[Tensor, "clip frame dim"]) -> Float[Tensor, "clip frame dim"]:
        """Depthwise convolution and normalisation in one.

        On an image of one row, whose channels are last in memory as they come, it is ten times as fast as
        with time last.
        """
        weight, bias = folded(self.depthwise, self.batch_norm)
        row = rearrange(gated, "clip frame dim -> clip dim 1 frame")
        padding, n_groups = (0, weight.shape[2] // 2), weight.shape[0]
        along_time = F.conv2d(row, weight[:, :, None], bias, padding=padding, groups=n_groups)
        return rearrange(along_time, "clip dim 1 frame -> clip frame dim")


def _without(
    x: Float[Tensor, "clip frame dim"], padding: Bool[Tensor, "clip frame"] | None
) -> Float[Tensor, "clip frame dim"]:
    """Zero where there is no audio."""
    return x if padding is None else x.masked_fill(padding[..., None], 0)
