"""RotaryTransformer: pre-norm self-attention with rotary positions, and feed-forward; no convolution."""

from dataclasses import dataclass

from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from solfa.config import Config, Layers, Positive, Width
from solfa.errors import ArgumentError
from solfa.features.exact import exact
from solfa.models.encoder import Context, HiddenStates, padding_mask
from solfa.models.layers.linear import Linear
from solfa.models.layers.normalization import RMSNorm
from solfa.models.layers.rotary import rotary_angles, rotate


@dataclass(frozen=True, kw_only=True)
class RotaryTransformerConfig(Config):
    """Sizes of a RotaryTransformer; the defaults are those of SolfaSmall."""

    n_layers: Layers = 7
    dim: Width = 256
    n_heads: Width = 4
    widening: Width = 4  # of the feed-forward, in dims
    rotary_base: Positive = 10_000.0
    norm_eps: Positive = 1e-6

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.dim % self.n_heads or (self.dim // self.n_heads) % 2:
            raise ArgumentError(
                f"dim {self.dim} does not split into {self.n_heads} heads of even width. Choose n_heads so "
                "that dim / n_heads is even."
            )


class RotaryTransformer(Context):
    """Frames -> hidden states: the residual stream after each layer, and only the last state normalised.

    A layer knows of time only how far apart two frames are. So it can be given a few frames of a clip
    with their true places, and is the same function of them.

    Source:
        Transformer, arXiv:1706.03762, normalised before each part; rotary positions, arXiv:2104.09864;
        normalised queries and keys, arXiv:2010.04245, here by root mean square with learned weights.
    """

    def __init__(self, config: RotaryTransformerConfig) -> None:
        super().__init__()
        self.config = config
        self.n_layers, self.dim = config.n_layers, config.dim
        self.layers = nn.ModuleList(RotaryTransformerLayer(config) for _ in range(config.n_layers))
        self.norm = RMSNorm(config.dim, config.norm_eps)

    def forward(
        self,
        frames: Float[Tensor, "clip frame dim"],
        n_frames: Int[Tensor, " clip"] | None,
        highest: int | None = None,
        places: Int[Tensor, "clip frame"] | None = None,
    ) -> HiddenStates:
        """Hidden states; frames beyond a clip's end are neither seen nor given."""
        gap = None if n_frames is None else padding_mask(n_frames, frames.shape[1])
        # What layers add to stays float32 under any autocast: half precision would round it each time.
        states = [_without(exact(frames), gap)]
        head_dim = self.dim // self.config.n_heads
        rotation = rotary_angles(frames.shape[1], head_dim, self.config.rotary_base, states[0], places)
        for layer in self.layers[:highest]:
            states.append(_without(layer(states[-1], rotation, gap), gap))
        if len(states) > self.n_layers:
            states[-1] = _without(self.norm(states[-1]), gap)
        return HiddenStates.of(states, n_frames)


class RotaryTransformerLayer(nn.Module):
    """Attention and feed-forward, each normalised before and with a way around it."""

    def __init__(self, config: RotaryTransformerConfig) -> None:
        super().__init__()
        self.attention_norm = RMSNorm(config.dim, config.norm_eps)
        self.attention = NormedAttention(config)
        self.feed_forward_norm = RMSNorm(config.dim, config.norm_eps)
        self.widen = Linear(config.dim, config.widening * config.dim, bias=False)
        self.narrow = Linear(config.widening * config.dim, config.dim, bias=False)
        for last in (self.attention.out, self.narrow):  # so that the stream grows as if there were one layer
            nn.init.normal_(last.weight, std=(2 * config.n_layers * last.in_features) ** -0.5)

    def forward(
        self,
        x: Float[Tensor, "clip frame dim"],
        rotation: Float[Tensor, "2 *_ frame half"],
        padding: Bool[Tensor, "clip frame"] | None,
    ) -> Float[Tensor, "clip frame dim"]:
        """The next hidden state."""
        x = x + self.attention(self.attention_norm(x), rotation, padding)
        return x + self.narrow(F.gelu(self.widen(self.feed_forward_norm(x))))


class NormedAttention(nn.Module):
    """Multi-head self-attention whose queries and keys are normalised, then turned by their positions."""

    def __init__(self, config: RotaryTransformerConfig) -> None:
        super().__init__()
        self.n_heads = config.n_heads
        self.query, self.key, self.value, self.out = (
            Linear(config.dim, config.dim, bias=False) for _ in range(4)
        )
        self.query_norm = RMSNorm(config.dim // config.n_heads, config.norm_eps)
        self.key_norm = RMSNorm(config.dim // config.n_heads, config.norm_eps)

    def forward(
        self,
        x: Float[Tensor, "clip frame dim"],
        rotation: Float[Tensor, "2 *_ frame half"],
        padding: Bool[Tensor, "clip frame"] | None,
    ) -> Float[Tensor, "clip frame dim"]:
        """The residual; no frame attends to padding."""
        value = self.value(x)
        query = self._turned(self.query_norm, self.query(x), rotation)
        key = self._turned(self.key_norm, self.key(x), rotation)
        query, key, value = (
            rearrange(y.to(value.dtype), "clip frame (head part) -> clip head frame part", head=self.n_heads)
            for y in (query, key, value)
        )
        audible = None if padding is None else ~padding[:, None, None, :]
        attended = F.scaled_dot_product_attention(query, key, value, audible)
        return self.out(rearrange(attended, "clip head frame part -> clip frame (head part)"))

    def _turned(
        self, norm: RMSNorm, x: Float[Tensor, "clip frame dim"], rotation: Float[Tensor, "2 *_ frame half"]
    ) -> Float[Tensor, "clip frame dim"]:
        """Each head's part of length one a dimension, turned by the angle of its frame."""
        return rotate(norm(x.unflatten(2, (self.n_heads, -1))).flatten(2), rotation, self.n_heads)


def _without(
    x: Float[Tensor, "clip frame dim"], padding: Bool[Tensor, "clip frame"] | None
) -> Float[Tensor, "clip frame dim"]:
    """Zero where there is no audio."""
    return x if padding is None else x.masked_fill(padding[..., None], 0)
