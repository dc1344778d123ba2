"""What is to be float32 to the last bit neither rounds to half precision nor to TF32, and leaves no trace."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import solfa.precision
from solfa.errors import ArgumentError
from solfa.precision import (
    check_precision,
    chosen_precision,
    full_float32,
    half_precision,
    multiplies_bfloat16,
)

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


@pytest.fixture
def processor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, float], None]]:
    """Makes the processor say some flags, and a trial find that bfloat16 is so many times as fast."""
    multiplies_bfloat16.cache_clear()

    def be(flags: str, gain: float) -> None:
        (tmp_path / "cpuinfo").write_text(f"processor\t: 0\nmodel name\t: bf16\n{flags}\n\nprocessor\t: 1\n")
        monkeypatch.setattr(solfa.precision, "CPU_INFO", tmp_path / "cpuinfo")
        monkeypatch.setattr(solfa.precision, "_gain_of_bfloat16", lambda: gain)
        monkeypatch.setattr(solfa.precision, "attends_in_bfloat16", lambda: True)

    yield be
    multiplies_bfloat16.cache_clear()


@pytest.mark.parametrize(
    ("flags", "gain", "expected"),
    [
        ("flags\t\t: fpu amx_bf16 amx_tile", 6.0, "bfloat16"),
        ("flags\t\t: fpu avx512_bf16", 2.0, "bfloat16"),
        ("Features\t: fp asimd bf16 i8mm", 2.0, "bfloat16"),
        ("flags\t\t: fpu avx512f", 6.0, "float32"),  # it does not say so: an emulation is not even tried
        ("flags\t\t: fpu amx_bf16", 0.01, "float32"),  # it says so, and a library does not use it
        ("", 6.0, "float32"),
    ],
)
def test_auto_is_bfloat16_where_the_processor_says_and_shows_it(
    processor: Callable[[str, float], None], flags: str, gain: float, expected: str
) -> None:
    processor(flags, gain)
    assert chosen_precision("auto", CPU) == expected
    assert chosen_precision("float32", CPU) == "float32"


def test_bfloat16_is_refused_where_it_is_emulated(processor: Callable[[str, float], None]) -> None:
    processor("flags\t\t: fpu amx_bf16", 2.0)
    check_precision("bfloat16", CPU)
    with pytest.raises(ArgumentError, match=r"float16 is for CUDA devices.*Use float32 or auto"):
        check_precision("float16", CPU)
    multiplies_bfloat16.cache_clear()
    processor("flags\t\t: fpu", 2.0)
    with pytest.raises(ArgumentError, match=r"bfloat16 is for CUDA devices.*Use float32 or auto"):
        check_precision("bfloat16", CPU)


def test_a_system_that_does_not_say_what_its_processor_can_gets_float32(
    processor: Callable[[str, float], None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    processor("flags\t\t: fpu amx_bf16", 2.0)
    monkeypatch.setattr(solfa.precision, "CPU_INFO", tmp_path / "none")
    assert chosen_precision("auto", CPU) == "float32"


def test_no_bfloat16_where_attention_has_none(
    processor: Callable[[str, float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_attention(*_: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("pack_vnni2 is only supported when avx512 is supported")

    attends = solfa.precision.attends_in_bfloat16.__wrapped__  # without what it found before
    processor("flags\t\t: fpu amx_bf16", 2.0)
    monkeypatch.setattr(solfa.precision, "attends_in_bfloat16", attends)
    monkeypatch.setattr(solfa.precision.functional, "scaled_dot_product_attention", no_attention)
    assert chosen_precision("auto", CPU) == "float32"


def test_the_trial_compares_what_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(solfa.precision, "TRIAL_SIZE", (4, 16, 16))  # quick where it is emulated, too
    assert 0 < solfa.precision._gain_of_bfloat16() < 1_000
