"""Precision: in what numbers is multiplied. Weights, norms, sums and hidden states are always float32.

What is ``precision`` in a configuration or an option is that of products, by autocast, on CUDA.

TF32, which CUDA devices use instead of float32 unless they are forbidden to, keeps 10 bits of a number's 23.
Our policy:

- **Teachers, quantizers and known answers** never use it, nor half precision: neighbouring codes would be
  confused, and an answer would differ from the one that was written down. They compute in ``full_float32``.
- **All else** is left to PyTorch's own setting, which is: convolutions may use TF32, matrix products may not.
  So a training in ``float32`` rounds the inputs of its convolutions, as the published ones did, and is some
  times faster for it. Whoever wants none of it sets ``torch.backends.cudnn.conv.fp32_precision = "ieee"``
  (before PyTorch 2.9 ``torch.backends.cudnn.allow_tf32 = False``).
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch

from solfa.errors import ArgumentError

Precision = Literal["float32", "bfloat16", "float16"]
DTYPES: dict[Precision, torch.dtype] = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


def check_precision(precision: Precision, device: torch.device) -> None:
    """Refuse half precision where it gains nothing."""
    if precision != "float32" and device.type != "cuda":
        raise ArgumentError(
            f"{precision} is for CUDA devices; on this device ({device.type}) it would round the vectors and "
            "gain nothing. Use float32, or name a CUDA device."
        )


def computing_in(precision: Precision, device: torch.device) -> AbstractContextManager[object]:
    """What is computed inside is computed in ``precision``, whatever holds outside."""
    return torch.autocast(device.type, DTYPES[precision], enabled=precision != "float32")


def half_precision(precision: Precision, device: torch.device) -> torch.dtype | None:
    """Of products in training, on CUDA only: where a CPU emulates it, it is hundreds of times slower."""
    return None if precision == "float32" or device.type != "cuda" else DTYPES[precision]


@contextmanager
def full_float32(device: torch.device) -> Iterator[None]:
    """What is computed inside on ``device`` is float32 to its last bit: neither autocast nor TF32."""
    with torch.autocast(device.type, enabled=False), _without_tf32:
        yield


@dataclass(frozen=True)
class _Setting:
    """One of PyTorch's settings of what may be rounded, and its value for nothing."""

    get: Callable[[], Any]
    set: Callable[[Any], None]
    exact: Any

    def now(self) -> Any:
        """Its value; None where newer settings contradict this older one, which has no say then."""
        try:
            return self.get()
        except RuntimeError:
            return None


class _WithoutTF32:
    """Forbids TF32 to all devices from the first that enters until the last has left, in whatever thread."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.n_inside = 0
        self.before: list[tuple[_Setting, Any]] = []

    def __enter__(self) -> None:
        with self.lock:
            self.n_inside += 1
            if self.n_inside == 1:
                self.before = [(setting, setting.now()) for setting in _settings()]
                for setting, _ in self.before:
                    setting.set(setting.exact)

    def __exit__(self, *_: object) -> None:
        with self.lock:
            self.n_inside -= 1
            if self.n_inside == 0:
                for setting, before in self.before:
                    if before is not None:
                        setting.set(before)
                self.before = []


_without_tf32 = _WithoutTF32()


def _settings() -> list[_Setting]:
    """All of them; since PyTorch 2.9 there are newer ones, which the older ones change as they are set."""
    backends: Any = torch.backends  # whose stubs know the newer settings of no backend
    products = _Setting(torch.get_float32_matmul_precision, torch.set_float32_matmul_precision, "highest")
    older = [products, _attribute(backends.cudnn, "allow_tf32", False)]
    if not hasattr(backends.cudnn, "conv"):
        return older
    places = (
        backends.cudnn.conv, backends.cudnn.rnn, backends.cuda.matmul,
        backends.mkldnn.conv, backends.mkldnn.rnn, backends.mkldnn.matmul,
    )  # fmt: skip
    return older + [_attribute(place, "fp32_precision", "ieee") for place in places]


def _attribute(place: Any, name: str, exact: Any) -> _Setting:
    return _Setting(lambda: getattr(place, name), lambda value: setattr(place, name, value), exact)
