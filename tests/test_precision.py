"""What is to be float32 to the last bit neither rounds to half precision nor to TF32, and leaves no trace."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from solfa.precision import full_float32, half_precision

CPU = torch.device("cpu")
BACKENDS: Any = torch.backends


def settings() -> list[Any]:
    """All that PyTorch says about what it may round."""
    backends = BACKENDS
    said = [torch.get_float32_matmul_precision(), backends.cudnn.allow_tf32, backends.cuda.matmul.allow_tf32]
    if hasattr(backends.cudnn, "conv"):
        said += [
            place.fp32_precision
            for place in (backends.cudnn.conv, backends.cudnn.rnn, backends.cuda.matmul,
                          backends.mkldnn.conv, backends.mkldnn.rnn, backends.mkldnn.matmul)
        ]  # fmt: skip
    return said


@pytest.fixture(autouse=True)
def settings_as_before() -> Iterator[None]:
    before = torch.get_float32_matmul_precision(), BACKENDS.cudnn.allow_tf32
    yield
    torch.set_float32_matmul_precision(before[0])
    BACKENDS.cudnn.allow_tf32 = before[1]


@pytest.mark.parametrize("products", ["highest", "high", "medium"])
@pytest.mark.parametrize("convolutions", [True, False])
def test_tf32_is_forbidden_inside_and_as_before_outside(products: str, convolutions: bool) -> None:
    torch.set_float32_matmul_precision(products)
    BACKENDS.cudnn.allow_tf32 = convolutions
    before = settings()
    with full_float32(CPU):
        assert {*settings()} <= {"highest", False, "ieee"}
    assert settings() == before


def test_tf32_is_forbidden_until_the_last_of_several_threads_has_left() -> None:
    entered, may_leave = threading.Event(), threading.Event()

    def stay() -> None:
        with full_float32(CPU):
            entered.set()
            may_leave.wait(10)

    BACKENDS.cudnn.allow_tf32 = True
    with full_float32(CPU):
        other = threading.Thread(target=stay)
        other.start()
        assert entered.wait(10)
    assert not BACKENDS.cudnn.allow_tf32
    may_leave.set()
    other.join()
    assert BACKENDS.cudnn.allow_tf32


def test_it_is_as_before_after_an_error() -> None:
    before = settings()
    with pytest.raises(ZeroDivisionError), full_float32(CPU):
        raise ZeroDivisionError
    assert settings() == before


def test_autocast_has_no_say_inside() -> None:
    linear = torch.nn.Linear(2, 2)
    with torch.autocast("cpu", torch.bfloat16):
        with full_float32(CPU):
            assert linear(torch.zeros(1, 2)).dtype == torch.float32
        assert linear(torch.zeros(1, 2)).dtype == torch.bfloat16


def test_half_precision_is_for_cuda_only() -> None:
    assert half_precision("bfloat16", CPU) is None
    assert half_precision("bfloat16", torch.device("cuda", 0)) == torch.bfloat16
    assert half_precision("float32", torch.device("cuda", 0)) is None


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_a_convolution_on_cuda_is_that_of_the_processor() -> None:
    x = torch.randn(1, 64, 4096, generator=torch.Generator().manual_seed(0))
    w = torch.randn(64, 64, 9, generator=torch.Generator().manual_seed(1))
    expected = torch.nn.functional.conv1d(x.double(), w.double())
    with full_float32(torch.device("cuda")):
        found = torch.nn.functional.conv1d(x.cuda(), w.cuda()).cpu()
    assert (found - expected).abs().max() / expected.abs().max() < 1e-5  # TF32: about 1e-3
