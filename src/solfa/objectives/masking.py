"""Which frames are hidden, and how: blocks of samples become noise, spans of frames a learned vector."""

from dataclasses import dataclass
from typing import Literal, assert_never

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from solfa import distributed
from solfa.config import Config, Count, NotNegative, Seconds, Share
from solfa.data.clips import Clips
from solfa.data.seeds import MASK, NOISE
from solfa.errors import ArgumentError
from solfa.frames import FrameGrid


@dataclass(frozen=True, kw_only=True)
class BlockMaskingConfig(Config):
    """Hide whole blocks of the waveform (MuQ)."""

    kind: Literal["block"] = "block"
    block_seconds: Seconds = 0.4
    probability: Share = 0.6  # that a block is hidden
    noise_std: NotNegative = 0.1  # of the noise put in its place


@dataclass(frozen=True, kw_only=True)
class SpanMaskingConfig(Config):
    """Hide spans of frames wherever they fall (MERT)."""

    kind: Literal["span"] = "span"
    span_frames: Count = 5
    drawn_share: NotNegative = 0.8  # spans, end to end, over the clip; as they overlap, less is hidden (0.58)
    min_spans: Count = 2  # in a clip, however short

    def __post_init__(self) -> None:
        if self.span_frames < 1 or self.min_spans < 1:
            raise ArgumentError("masking.span_frames and masking.min_spans must be at least 1.")
        super().__post_init__()


@dataclass(frozen=True, kw_only=True)
class SpreadSpanMaskingConfig(Config):
    """Hide spans of several lengths, which do not overlap, and leave a share of the clips whole."""

    kind: Literal["spread_span"] = "spread_span"
    hidden_share: Share = 0.75  # of the frames of a clip, exactly but for rounding
    span_seconds: tuple[Seconds, ...] = (0.4, 0.8, 1.6)  # each as likely
    whole_share: Share = 0.1  # of clips of which nothing is hidden; they count in agreement alone

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.span_seconds or not 0 < self.hidden_share < 1 or self.whole_share == 1:
            raise ArgumentError(
                "masking.span_seconds must name a length, and masking.hidden_share lie between 0 and 1, "
                "neither included; masking.whole_share must be below 1: else there is nothing to learn."
            )


MaskingConfig = BlockMaskingConfig | SpanMaskingConfig | SpreadSpanMaskingConfig


class Masking(nn.Module):
    """Decides which frames are to be predicted, and hides them from the encoder."""

    hides_frames: bool = True  # by hide_frames; else by hide_samples alone

    def sample(self, clips: Clips, n_frames: int) -> Bool[Tensor, "clip frame"]:
        """Frames to predict: True where hidden. In training a call is collective: every rank makes it."""
        raise NotImplementedError

    def hide_samples(self, clips: Clips, mask: Bool[Tensor, "clip frame"]) -> Float[Tensor, "clip sample"]:
        """The waveform that the frontend is given."""
        return clips.waveform

    def hide_frames(
        self, frames: Float[Tensor, "clip longer dim"], mask: Bool[Tensor, "clip frame"]
    ) -> Float[Tensor, "clip longer dim"]:
        """The frames that the context is given."""
        return frames

    def clip_weights(self, mask: Bool[Tensor, "clip frame"]) -> Shaped[Tensor, " clip"]:
        """What a loss of whole clips counts for each of them, in hidden frames: as many as it has."""
        return mask.sum(1)


class BlockMasking(Masking):
    """Hides blocks of clips: which ones is decided clip by clip, from the clip's own randomness.

    Source:
        Block masking of MuQ, arXiv:2501.01108, after BEST-RQ, arXiv:2202.01855.
    """

    hides_frames = False

    def __init__(self, config: BlockMaskingConfig, grid: FrameGrid) -> None:
        super().__init__()
        self.config = config
        self.block_frames = grid.seconds_to_frames(config.block_seconds)
        self.block_samples = self.block_frames * grid.hop_length

    def sample(self, clips: Clips, n_frames: int) -> Bool[Tensor, "clip frame"]:
        """Frames to predict: True where hidden; the last block may be cut short."""
        rows = [
            sample_block_mask(
                n_frames,
                block_frames=self.block_frames,
                probability=self.config.probability,
                generator=generator,
            )
            for generator in clips.generators(MASK)
        ]
        return torch.stack(rows).to(clips.waveform.device)

    def hide_samples(self, clips: Clips, mask: Bool[Tensor, "clip frame"]) -> Float[Tensor, "clip sample"]:
        """The waveform with noise under the hidden frames; the clips themselves stay as they are."""
        waveform = clips.waveform
        hidden = mask.repeat_interleave(self.block_samples // self.block_frames, dim=1)
        hidden = F.pad(hidden, (0, max(0, waveform.shape[1] - hidden.shape[1])))
        noise = torch.stack(
            [
                torch.randn(waveform.shape[1], generator=generator, device=waveform.device)
                for generator in clips.generators(NOISE, waveform.device)
            ]
        )
        return torch.where(hidden[:, : waveform.shape[1]], self.config.noise_std * noise, waveform)


class SpanMasking(Masking):
    """Puts one learned vector in place of spans of frames, from each clip's own randomness.

    In training all clips of a forward pass, on all ranks, hide as many frames: of those that a clip would
    hide more than the clip with the fewest, some drawn at random stay visible. Departs from the code: there
    the fewest of one rank count, and validation does likewise; here its masks are as they were drawn, so that
    its figures do not depend on how clips are shared out.

    Source:
        wav2vec 2.0, arXiv:2006.11477, as MERT, arXiv:2306.00107, uses it.
    """

    def __init__(self, config: SpanMaskingConfig, dim: int | None) -> None:
        super().__init__()
        self.config = config
        self.vector = None if dim is None else nn.Parameter(torch.rand(dim))

    def sample(self, clips: Clips, n_frames: int) -> Bool[Tensor, "clip frame"]:
        """Frames to predict: True where hidden."""
        config, device = self.config, clips.waveform.device
        generators = clips.generators(MASK)
        rows = [
            sample_span_mask(
                n_frames,
                span_frames=config.span_frames,
                drawn_share=config.drawn_share,
                min_spans=config.min_spans,
                generator=generator,
            )
            for generator in generators
        ]
        if self.training:
            fewest_here = torch.tensor([min(int(row.sum()) for row in rows)], device=device)
            fewest = int(distributed.all_gather(fewest_here).min())
            rows = [
                thin_out(row, fewest, generator=generator)
                for row, generator in zip(rows, generators, strict=True)
            ]
        return torch.stack(rows).to(device)

    def hide_frames(
        self, frames: Float[Tensor, "clip longer dim"], mask: Bool[Tensor, "clip frame"]
    ) -> Float[Tensor, "clip longer dim"]:
        """Frames, with the learned vector where they are hidden."""
        return _with_vector(frames, mask, self.vector)


class SpreadSpanMasking(Masking):
    """Puts one learned vector in place of spans of frames that lie apart, from each clip's own randomness.

    All clips of a length hide as many frames, but for those that are left whole. Frames stay visible between
    any two spans, as far as there are enough of them.

    Source:
        Ours; a high share that is hidden as in masked autoencoders for audio, arXiv:2207.06405.
    """

    def __init__(self, config: SpreadSpanMaskingConfig, grid: FrameGrid, dim: int | None) -> None:
        super().__init__()
        self.config = config
        self.span_frames = tuple(grid.seconds_to_frames(seconds) for seconds in config.span_seconds)
        self.vector = None if dim is None else nn.Parameter(torch.randn(dim))

    def sample(self, clips: Clips, n_frames: int) -> Bool[Tensor, "clip frame"]:
        """Frames to predict: True where hidden; nowhere in clips that are left whole."""
        rows = []
        for generator in clips.generators(MASK):
            is_whole = float(torch.rand((), generator=generator)) < self.config.whole_share
            n_hidden = 0 if is_whole else self._n_hidden(n_frames)
            rows.append(
                sample_spread_mask(
                    n_frames, n_hidden=n_hidden, span_frames=self.span_frames, generator=generator
                )
            )
        return torch.stack(rows).to(clips.waveform.device)

    def _n_hidden(self, n_frames: int) -> int:
        """Frames that are hidden of a clip that is not left whole; one at least stays visible."""
        return min(max(1, round(self.config.hidden_share * n_frames)), n_frames - 1)

    def hide_frames(
        self, frames: Float[Tensor, "clip longer dim"], mask: Bool[Tensor, "clip frame"]
    ) -> Float[Tensor, "clip longer dim"]:
        """Frames, with the learned vector where they are hidden."""
        return _with_vector(frames, mask, self.vector)

    def clip_weights(self, mask: Bool[Tensor, "clip frame"]) -> Shaped[Tensor, " clip"]:
        """As many for every clip, whether it is whole or not: the mean over all of them."""
        mean = (1 - self.config.whole_share) * self._n_hidden(mask.shape[1])
        return torch.full((len(mask),), mean, device=mask.device)


def _with_vector(
    frames: Float[Tensor, "clip longer dim"],
    mask: Bool[Tensor, "clip frame"],
    vector: Float[Tensor, " dim"] | None,
) -> Float[Tensor, "clip longer dim"]:
    """Frames, with a vector where they are hidden."""
    assert vector is not None, "where hidden frames are left out, nothing stands in their place"
    hidden = F.pad(mask, (0, frames.shape[1] - mask.shape[1]))
    return torch.where(hidden[..., None], vector.to(frames.dtype), frames)


def build_masking(config: MaskingConfig, grid: FrameGrid, dim: int | None) -> Masking:
    """The masking that ``config`` describes.

    Args:
        config: which frames are hidden.
        grid: where frames lie.
        dim: their width; None if hidden frames are left out, and nothing stands in their place.
    """
    match config:
        case BlockMaskingConfig():
            return BlockMasking(config, grid)
        case SpanMaskingConfig():
            return SpanMasking(config, dim)
        case SpreadSpanMaskingConfig():
            return SpreadSpanMasking(config, grid, dim)
        case _:
            assert_never(config)


def sample_block_mask(
    n_frames: int, *, block_frames: int, probability: float, generator: torch.Generator | None = None
) -> Bool[Tensor, " frame"]:
    """Draw the frames of one clip to predict: whole blocks, each hidden with the same probability.

    The clip is cut into blocks of ``block_frames`` frames that do not overlap, and every block is hidden or
    kept as one. The expected share of hidden frames is therefore ``probability`` itself, which is not so for
    overlapping spans.

    Args:
        n_frames: encoder frames of the clip; the last block may be cut short.
        block_frames: length of a block in frames (MuQ: 0.4 s, 10 frames at 25 Hz).
        probability: chance that a block is hidden, in [0, 1] (MuQ: 0.6).
        generator: source of randomness; the global one if omitted.

    Returns:
        True where the encoder must predict, False where it may look.

    Source:
        Block masking of MuQ, arXiv:2501.01108.
    """
    n_blocks = -(-n_frames // block_frames)
    hidden = torch.rand(n_blocks, generator=generator) < probability
    return hidden.repeat_interleave(block_frames)[:n_frames]


def sample_span_mask(
    n_frames: int,
    *,
    span_frames: int,
    drawn_share: float,
    min_spans: int,
    generator: torch.Generator | None = None,
) -> Bool[Tensor, " frame"]:
    """Draw the frames of one clip to predict: spans that begin anywhere and may overlap.

    The number of spans is ``drawn_share * n_frames / span_frames``, rounded up or down at random so that this
    is its mean. No two begin at the same frame. As published, none reaches the last frame of a clip.

    Args:
        n_frames: encoder frames of the clip.
        span_frames: length of a span (MERT: 5, 67 ms at 75 Hz).
        drawn_share: length of all spans together, over the clip's (MERT: 0.8).
        min_spans: at least so many (MERT: 2).
        generator: source of randomness; the global one if omitted.

    Returns:
        True where the encoder must predict, False where it may look.
    """
    rounding = float(torch.rand((), generator=generator))
    n_spans = max(min_spans, int(drawn_share * n_frames / span_frames + rounding))
    n_starts = n_frames - span_frames
    if n_starts <= n_spans:  # a clip hardly longer than its spans: they begin later, and end with it
        n_starts = min(n_spans + 1, n_frames)
    starts = torch.randperm(n_starts, generator=generator)[:n_spans]
    frames = (starts[:, None] + torch.arange(span_frames)).flatten()
    mask = torch.zeros(n_frames + span_frames, dtype=torch.bool)
    mask[frames] = True
    return mask[:n_frames]


def sample_spread_mask(
    n_frames: int,
    *,
    n_hidden: int,
    span_frames: tuple[int, ...],
    generator: torch.Generator | None = None,
) -> Bool[Tensor, " frame"]:
    """Draw the frames of one clip to predict: spans of several lengths, as many frames as are wanted.

    Lengths are drawn until the frames are spent, the last one cut short; their order is random. Spans lie on
    the clip as on a ring, so that each of its places is hidden as often; one may begin at its end and end at
    its beginning. What stays visible is shared out between them, each way of doing so as likely, after each
    two neighbours have got a frame between them, if there are enough.

    Args:
        n_frames: encoder frames of the clip.
        n_hidden: frames to hide.
        span_frames: lengths of a span, each as likely.
        generator: source of randomness; the global one if omitted.

    Returns:
        True where the encoder must predict, False where it may look.
    """
    lengths: list[int] = []
    while sum(lengths) < n_hidden:
        drawn = span_frames[int(torch.randint(len(span_frames), (), generator=generator))]
        lengths.append(min(drawn, n_hidden - sum(lengths)))
    n_spans, n_visible = len(lengths), n_frames - n_hidden
    if not lengths:
        return torch.zeros(n_frames, dtype=torch.bool)
    apart = 1 if n_visible >= n_spans else 0
    n_free = n_visible - apart * n_spans
    # A way to share n_free frames out to n_spans places is a choice of n_spans - 1 bars among both together.
    bars = torch.randperm(n_free + n_spans - 1, generator=generator)[: n_spans - 1].sort().values
    ends = torch.tensor([-1, *bars.tolist(), n_free + n_spans - 1])
    gaps = ends.diff() - 1 + apart
    order = torch.randperm(n_spans, generator=generator)
    pieces = torch.stack([torch.tensor(lengths)[order], gaps], dim=1).flatten()
    ring = torch.tensor([True, False]).repeat(n_spans).repeat_interleave(pieces)
    return ring.roll(int(torch.randint(n_frames, (), generator=generator)))


def thin_out(
    mask: Bool[Tensor, " frame"], n_hidden: int, *, generator: torch.Generator | None = None
) -> Bool[Tensor, " frame"]:
    """Leave ``n_hidden`` frames of a mask hidden, drawn at random."""
    hidden = mask.nonzero()[:, 0]
    kept = hidden[torch.randperm(len(hidden), generator=generator)[:n_hidden]]
    return torch.zeros_like(mask).index_fill(0, kept, True)
