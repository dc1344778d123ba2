"""Float32 at least: what half precision would spoil, and how modules and numbers are kept from it."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

HALVES = (torch.float16, torch.bfloat16)
# Of torch: what makes floats of the default type always, and what does so if it is given floats.
ALWAYS_FLOATS = frozenset(
    ("empty", "zeros", "ones", "rand", "randn", "eye", "linspace", "logspace", "hann_window")
)
SOMETIMES_FLOATS = frozenset(("tensor", "arange", "full"))


def exact(x: Tensor) -> Tensor:
    """The same numbers in float32, or in float64 if they are that."""
    return x if x.dtype == torch.float64 else x.float()


def unrounded(device: torch.device) -> AbstractContextManager[object]:
    """Inside, no autocast rounds anything."""
    # On the meta device nothing is computed, and no autocast is known.
    return nullcontext() if device.type == "meta" else torch.autocast(device.type, enabled=False)


class Fixed(nn.Module):
    """A module whose buffers are numbers of a method, such as filters: half() leaves them exact."""

    def _apply(self, *args: Any, **kwargs: Any) -> "Fixed":
        before = dict(self._buffers)
        super()._apply(*args, **kwargs)
        for name, buffer in before.items():
            after = self._buffers[name]
            if buffer is not None and after is not None and after.dtype in HALVES:
                self._buffers[name] = buffer.to(after.device, torch.float32)
        return self


class InFloat32(TorchFunctionMode):
    """Inside, and in this thread only, new floats are float32, whatever torch.set_default_dtype says."""

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs, name = kwargs or {}, getattr(function, "__name__", "")
        if torch.get_default_dtype() == torch.float32 or kwargs.get("dtype") is not None:
            return function(*args, **kwargs)
        if name in ALWAYS_FLOATS:
            return function(*args, **{**kwargs, "dtype": torch.float32})
        made = function(*args, **kwargs)
        is_new = name in SOMETIMES_FLOATS and made.dtype == torch.get_default_dtype()
        return made.float() if is_new else made
