"""Half precision: products are rounded; mel, norms, softmax and hidden states stay float32."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

import solfa
from golden_data import GOLDEN, MERT, MUQ, io_of
from solfa.features import ConstantQ, ConstantQConfig, LogMel, LogMelConfig
from solfa.models import AudioEncoder, ConformerConfig, MERTConfig, TransformerConfig, build_encoder
from solfa.models.layers.conformer import RotaryAttention
from solfa.models.layers.normalization import LayerNorm
from solfa.models.layers.transformer import Attention
from solfa.precision import attends_in_bfloat16

HALVES = (torch.bfloat16, torch.float16)
EXACT = ("norm", "softmax", "fft", "log10", "pow", "sqrt", "sum")  # in names of operations
PRODUCTS = ("convolution", "addmm", "mm")


class Dtypes(TorchDispatchMode):
    """Records in what types operations compute, after autocast has had its way."""

    def __init__(self) -> None:
        super().__init__()
        self.of: dict[str, set[torch.dtype]] = {}

    def __torch_dispatch__(
        self, operation: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name = operation._schema.name.removeprefix("aten::")
        self.of.setdefault(name, set()).update(
            arg.dtype for arg in args if isinstance(arg, Tensor) and arg.is_floating_point()
        )
        return operation(*args, **(kwargs or {}))

    def named(self, words: tuple[str, ...]) -> dict[str, set[torch.dtype]]:
        return {name: kinds for name, kinds in self.of.items() if any(word in name for word in words)}


def relaxed() -> AudioEncoder:
    """A tiny MERT whose softmax is written out."""
    torch.manual_seed(0)
    transformer = TransformerConfig(
        n_layers=1, dim=16, feed_forward_dim=24, n_heads=2, position_kernel_frames=8, position_groups=2,
        attention_relax=32.0,
    )  # fmt: skip
    return build_encoder(MERTConfig(transformer=transformer, normalize=True)).eval()


def cosines(encoder: AudioEncoder, waveform: Tensor, dtype: torch.dtype) -> list[float]:
    """Of each layer: computed in ``dtype`` against float32."""
    with torch.no_grad():
        exact = encoder(waveform).states
        with torch.autocast(waveform.device.type, dtype):
            rounded = encoder(waveform).states
    pairs = zip(exact, rounded, strict=True)
    return [float(torch.cosine_similarity(one.flatten(), other.flatten(), 0)) for one, other in pairs]


attention_in_bfloat16 = pytest.mark.skipif(
    not attends_in_bfloat16(),
    reason="PyTorch has no attention in bfloat16 on this processor, as it is played",
)


@pytest.mark.parametrize("dtype", [pytest.param(torch.bfloat16, marks=attention_in_bfloat16), torch.float16])
@pytest.mark.parametrize("case", [*MUQ, *MERT])
def test_layers_in_half_precision_point_where_those_in_float32_do(case: str, dtype: torch.dtype) -> None:
    assert min(cosines(solfa.load(GOLDEN / case), io_of(case)["wav"], dtype)) > 0.999


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("case", [*MUQ, *MERT])
def test_layers_in_half_precision_on_cuda_point_where_those_in_float32_do(
    case: str, dtype: torch.dtype
) -> None:
    assert min(cosines(solfa.load(GOLDEN / case, "cuda"), io_of(case)["wav"].cuda(), dtype)) > 0.999


@pytest.mark.parametrize("feature", [LogMel(LogMelConfig()), ConstantQ(ConstantQConfig())])
def test_a_feature_is_the_same_under_autocast(feature: nn.Module) -> None:
    waveform = 0.1 * torch.randn(1, 8_000, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", torch.bfloat16):
        under_autocast = feature(waveform)
    assert torch.equal(under_autocast, feature(waveform))


@attention_in_bfloat16
@pytest.mark.parametrize("case", [*MUQ, *MERT, "relaxed"])
def test_norms_and_softmax_stay_float32(case: str) -> None:
    encoder = relaxed() if case == "relaxed" else solfa.load(GOLDEN / case)
    waveform = 0.1 * torch.randn(1, 8_000, generator=torch.Generator().manual_seed(0))
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16), Dtypes() as seen:
        encoder(waveform.bfloat16())  # even of a clip that comes in half precision
    rounded = {name for name, kinds in seen.named(EXACT).items() if kinds - {torch.float32, torch.float64}}
    assert not rounded
    assert any(torch.bfloat16 in kinds for kinds in seen.named(PRODUCTS).values())
    assert "native_layer_norm" in seen.of


@attention_in_bfloat16
@pytest.mark.parametrize("case", [*MUQ, *MERT])
def test_hidden_states_add_up_in_float32(case: str) -> None:
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        states = solfa.load(GOLDEN / case)(io_of(case)["wav"]).states
    assert {state.dtype for state in states} == {torch.float32}
    assert not any(torch.equal(state, state.bfloat16().float()) for state in states[1:])


def test_a_layer_norm_of_half_precision_rounds_nothing() -> None:
    x = torch.randn(3, 16, generator=torch.Generator().manual_seed(0)).bfloat16()
    norm = LayerNorm(16)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(norm(x), nn.LayerNorm(16)(x.float()))


def attention_of_two(build: Callable[[], nn.Module]) -> tuple[nn.Module, Tensor]:
    """Attention whose logits are 256.5 for the first frame and 255.5 for the second: alike in bfloat16."""
    attention = build().eval()
    for linear in (attention.query, attention.key, attention.value, attention.out):
        nn.init.zeros_(linear.weight)
        nn.init.zeros_(linear.bias)
    with torch.no_grad():
        attention.query.bias[:2] = torch.tensor([16.0, 1.0])
        attention.key.bias[0] = 32.0
        attention.key.weight[1, 0] = 1.0  # the first value of a frame: 1 or -1
        attention.value.weight.copy_(torch.eye(4))
        attention.out.weight.copy_(torch.eye(4))
    return attention, torch.tensor([[[1.0, -1.0, 1.0, -1.0], [-1.0, 1.0, -1.0, 1.0]]])


def rotary() -> nn.Module:
    return RotaryAttention(ConformerConfig(dim=4, n_heads=1))


def plain() -> nn.Module:
    return Attention(TransformerConfig(dim=4, n_heads=1, position_groups=1))


@pytest.mark.parametrize("build", [rotary, plain])
def test_softmax_tells_logits_apart_that_half_precision_cannot(build: Callable[[], nn.Module]) -> None:
    attention, x = attention_of_two(build)
    unturned = torch.stack([torch.ones(2, 2), torch.zeros(2, 2)])
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        attended = attention(x, unturned, None) if build is rotary else attention(x, None)
    expected = torch.tensor([1.0, 0.0]).softmax(0) @ torch.tensor([1.0, -1.0])
    assert float(attended[0, 0, 0]) == pytest.approx(float(expected), abs=0.01)
