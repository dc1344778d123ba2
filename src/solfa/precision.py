"""Precision: in what numbers is multiplied. Weights, norms, sums and hidden states are always float32.

What is ``precision`` in a configuration or an option is that of products, by autocast: on CUDA, and for
encoding also bfloat16 on processors that multiply it by themselves. Others emulate it, hundreds of times
slower than float32; so ``multiplies_bfloat16`` asks the processor, and then tries.

TF32, which CUDA devices use instead of float32 unless they are forbidden to, keeps 10 bits of a number's 23.
Our policy:

- **Teachers, quantizers and known answers** never use it, nor half precision: neighbouring codes would be
  confused, and an answer would differ from the one that was written down. They compute in ``full_float32``.
- **All else** is left to PyTorch's own setting, which is: convolutions may use TF32, matrix products may not.
  So a training in ``float32`` rounds the inputs of its convolutions, as the published ones did, and is some
  times faster for it. Whoever wants none of it sets ``torch.backends.cudnn.conv.fp32_precision = "ieee"``
  (before PyTorch 2.9 ``torch.backends.cudnn.allow_tf32 = False``).
"""

import math
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional

from solfa.config import Precision, PrecisionWish
from solfa.errors import ArgumentError

DTYPES: dict[Precision, torch.dtype] = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


# What Linux calls it among the flags of a processor: AMX and AVX-512 of x86, and Arm's.
BFLOAT16_FLAGS = frozenset(("amx_bf16", "avx512_bf16", "bf16"))
FLAGS_LINE = re.compile(r"^(?:flags|Features)\s*:(.*)$", re.MULTILINE)
CPU_INFO = Path("/proc/cpuinfo")
LEAST_GAIN = 1.5  # times as fast as float32, for a product alone: what surrounds it gains nothing
TRIAL_SECONDS = 0.05
TRIAL_SIZE = (128, 768, 768)  # rows, inputs and outputs of the product that is tried
ATTENTION_SIZE = (1, 1, 512, 64)  # clips, heads, frames, values: enough frames for values to be packed


def check_precision(precision: Precision, device: torch.device) -> None:
    """Refuse half precision where it gains nothing."""
    if precision == "float32" or device.type == "cuda":
        return
    if precision == "bfloat16" and device.type == "cpu" and multiplies_bfloat16():
        return
    raise ArgumentError(
        f"{precision} is for CUDA devices, and bfloat16 also for processors that multiply it by themselves; "
        f"on this device ({device.type}) it would round the vectors and gain nothing. Use float32 or auto, "
        "or name a CUDA device."
    )


def chosen_precision(wish: PrecisionWish, device: torch.device) -> Precision:
    """What is wished; for "auto" bfloat16 on a device that gains by it, else float32."""
    if wish != "auto":
        return wish
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    return "bfloat16" if device.type == "cpu" and multiplies_bfloat16() else "float32"


@cache
def multiplies_bfloat16() -> bool:
    """Whether the processor says that it multiplies bfloat16 by itself, and a trial of 50 ms shows it.

    False where it cannot be asked, which is everywhere but on Linux.
    """
    return _says_bfloat16() and attends_in_bfloat16() and _gain_of_bfloat16() >= LEAST_GAIN


def _says_bfloat16() -> bool:
    try:
        found = FLAGS_LINE.search(CPU_INFO.read_text())
    except OSError:
        return False
    return found is not None and not BFLOAT16_FLAGS.isdisjoint(found[1].split())


@cache
@torch.inference_mode()
def attends_in_bfloat16() -> bool:
    """Whether PyTorch computes attention in bfloat16 here at all.

    It does not where ``ATEN_CPU_CAPABILITY`` takes AVX-512 from a processor with AMX: values are then packed
    for AMX by a kernel that was left out.
    """
    values = torch.ones(ATTENTION_SIZE, dtype=torch.bfloat16)
    try:
        functional.scaled_dot_product_attention(values, values, values)
    except RuntimeError:
        return False
    return True


@torch.inference_mode()
def _gain_of_bfloat16() -> float:
    """How many times as fast a product in bfloat16 is as one in float32.

    They take turns by this thread's processor time, and the fastest of each counts: other programs may be in
    the way. One round is all that an emulation gets.
    """
    n_rows, n_in, n_out = TRIAL_SIZE
    fastest = dict.fromkeys((torch.float32, torch.bfloat16), math.inf)
    pairs = {
        dtype: (torch.ones(n_rows, n_in, dtype=dtype), torch.ones(n_in, n_out, dtype=dtype))
        for dtype in fastest
    }
    begun = time.thread_time()
    for is_warm in (False, *[True] * 100):  # what is made ready at the first product does not count
        for dtype, (rows, weights) in pairs.items():
            start = time.thread_time()
            rows @ weights
            if is_warm:
                fastest[dtype] = min(fastest[dtype], time.thread_time() - start)
        if is_warm and time.thread_time() - begun > TRIAL_SECONDS:
            break
    return fastest[torch.float32] / fastest[torch.bfloat16]


def computing_in(precision: Precision, device: torch.device) -> AbstractContextManager[object]:
    """What is computed inside is computed in ``precision``, whatever holds outside."""
    return torch.autocast(device.type, DTYPES[precision], enabled=precision != "float32")


def half_precision(precision: Precision, device: torch.device) -> torch.dtype | None:
    """Of products in training, on CUDA only."""
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
