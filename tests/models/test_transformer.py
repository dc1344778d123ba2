"""Transformer: what keeps it stable when it is deep."""

import pytest
import torch

from solfa.models.layers.transformer import Transformer, TransformerConfig, relaxed_attention


def moved_by_a_first_step(norm: str, n_layers: int, lr: float = 1e-3) -> float:
    """How far Adam's first step, which is ``lr`` for every weight of the layers, moves the last states."""
    torch.manual_seed(0)
    config = TransformerConfig(
        n_layers=n_layers, dim=128, feed_forward_dim=256, n_heads=4, position_kernel_frames=8,
        position_groups=4, norm=norm, dropout=0.0, attention_dropout=0.0,
    )  # fmt: skip
    transformer = Transformer(config)
    frames, goal, n_frames = torch.randn(2, 12, 128), torch.randn(2, 12, 128), torch.tensor([12, 12])
    before = transformer(frames, n_frames).last
    (before * goal).sum(-1).mean().backward()
    with torch.no_grad():
        for parameter in transformer.layers.parameters():
            parameter -= lr * parameter.grad.sign()
        after = transformer(frames, n_frames).last
        return float((after - before).norm() / before.norm())


def test_deepnorm_keeps_the_first_step_of_a_deep_transformer_small() -> None:
    plain, deep = (moved_by_a_first_step(norm, 32) for norm in ("after", "deep"))
    assert plain > 0.5 and deep < 0.15  # measured: 0.56 and 0.13 of the length of the states


def test_with_deepnorm_a_step_grows_more_slowly_than_the_depth() -> None:
    plain, deep = (
        moved_by_a_first_step(norm, 32) / moved_by_a_first_step(norm, 2) for norm in ("after", "deep")
    )
    assert plain == pytest.approx(16, rel=0.2)  # as the depth
    assert deep < 10


def test_weights_of_attention_add_up_to_one_in_float32_where_half_precision_overflows() -> None:
    generator = torch.Generator().manual_seed(0)
    query, key = (500 * torch.randn(1, 2, 6, 8, generator=generator).half() for _ in range(2))
    plain = (query / 8**0.5) @ key.mT
    assert torch.isinf(plain).any()
    weights = relaxed_attention(query, key, None, 32.0)
    assert weights.dtype == torch.float32
    assert torch.allclose(weights.sum(-1), torch.ones(1, 2, 6))
    exact = ((query.double() / 8**0.5) @ key.double().mT).softmax(-1)
    assert torch.equal(weights.argmax(-1), exact.argmax(-1))
