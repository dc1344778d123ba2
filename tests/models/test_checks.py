"""Hidden states that are not finite: the error names the layer, whose fault it is, and the cure."""

from collections.abc import Callable

import pytest
import torch

from solfa.models import (
    AudioEncoder,
    ConformerConfig,
    ConvStemConfig,
    MERTConfig,
    MuQConfig,
    TransformerConfig,
    build_encoder,
)
from solfa.models.checks import NotFiniteError, broken_weights

CLIP = 0.1 * torch.randn(2, 8_000, generator=torch.Generator().manual_seed(0))


def tiny_muq() -> AudioEncoder:
    conformer = ConformerConfig(n_layers=3, dim=16, feed_forward_dim=24, n_heads=2)
    return build_encoder(MuQConfig(stem=ConvStemConfig(n_channels=4), conformer=conformer)).eval()


def tiny_mert() -> AudioEncoder:
    transformer = TransformerConfig(
        n_layers=3, dim=16, feed_forward_dim=24, n_heads=2, position_kernel_frames=8, position_groups=2,
        norm="before",
    )  # fmt: skip
    return build_encoder(MERTConfig(transformer=transformer)).eval()


def fill(encoder: AudioEncoder, name: str, value: float) -> AudioEncoder:
    """The encoder with a weight that holds ``value`` once."""
    encoder.state_dict()[name].view(-1)[0] = value
    return encoder


@pytest.mark.parametrize("build", [tiny_muq, tiny_mert])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_damaged_weight_and_its_layer_are_named(build: Callable[[], AudioEncoder], value: float) -> None:
    name = "context.layers.1.attention.value.bias"
    with pytest.raises(NotFiniteError) as error:
        fill(build(), name, value)(CLIP)
    assert str(error.value) == (
        f"The hidden states are not finite, first in layer 2 of 3: {name} hold NaN or infinity. The weights "
        "are damaged; fetch them again."
    )


def test_a_damaged_frontend_is_named() -> None:
    encoder = fill(tiny_mert(), "frontend.projection.bias", float("nan"))
    with pytest.raises(NotFiniteError, match=r"already in what enters layer 1: frontend\.projection\.bias"):
        encoder(CLIP)


def test_of_many_damaged_weights_the_first_are_named() -> None:
    encoder = tiny_muq()
    for parameter in encoder.context.parameters():
        torch.nn.init.constant_(parameter, float("nan"))
    n_more = len(broken_weights(encoder)) - 3
    with pytest.raises(NotFiniteError, match=rf"first in layer 1 of 3.* and {n_more} more hold NaN"):
        encoder(CLIP)


def test_damaged_running_statistics_are_named() -> None:
    name = "context.layers.2.convolution.batch_norm.running_var"
    with pytest.raises(NotFiniteError, match=f"layer 3 of 3: {name}"):
        fill(tiny_muq(), name, float("nan"))(CLIP)


def overflowing(build: Callable[[], AudioEncoder]) -> AudioEncoder:
    """An encoder whose third layer reaches a million, which float16 does not."""
    return fill(build(), "context.layers.2.feed_forward.narrow.bias", 1e6)


@pytest.mark.parametrize(
    ("dtype", "cure"),
    [
        (torch.float16, r"layer 3 of 3: float16 ends at 65,504\. Compute in bfloat16"),
        (None, None),
        (torch.bfloat16, None),
    ],
)
def test_what_float16_cannot_hold_is_blamed_on_it(dtype: torch.dtype | None, cure: str | None) -> None:
    encoder = overflowing(tiny_mert)
    with torch.no_grad(), torch.autocast("cpu", dtype or torch.bfloat16, enabled=dtype is not None):
        if cure is None:
            assert torch.isfinite(encoder(CLIP).last).all()
        else:
            with pytest.raises(NotFiniteError, match=cure):
                encoder(CLIP)


@pytest.mark.parametrize(("enabled", "cure"), [(True, "try float32"), (False, "finite but of no meaning")])
def test_finite_weights_that_overflow_are_blamed_on_nothing_else(enabled: bool, cure: str) -> None:
    encoder = tiny_mert()
    torch.nn.init.constant_(encoder.get_parameter("context.layers.0.feed_forward.narrow.bias"), 3e38)
    torch.nn.init.constant_(encoder.get_parameter("context.layers.1.feed_forward.narrow.bias"), 3e38)
    with torch.autocast("cpu", torch.bfloat16, enabled=enabled), pytest.raises(NotFiniteError, match=cure):
        encoder(CLIP)


def test_samples_beyond_all_reason_are_the_fault_of_the_clip() -> None:
    with pytest.raises(ValueError, match=r"the waveform reaches .*e\+29 .*Divide integers") as error:
        tiny_muq()(1e30 * CLIP)
    assert not isinstance(error.value, NotFiniteError)


def test_a_training_is_left_to_its_own_check() -> None:
    encoder = fill(tiny_muq(), "context.norm.bias", float("nan")).train()
    assert torch.isnan(encoder(CLIP).last).any()


def test_damaged_weights_are_listed_by_name() -> None:
    assert broken_weights(tiny_muq()) == []
    assert broken_weights(fill(tiny_muq(), "context.norm.bias", float("inf"))) == ["context.norm.bias"]
