"""Linear: a linear map whose matrix product is the fastest one of the processor."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

FEWEST_ROWS = 64  # below, setting a convolution up costs more than it saves


class Linear(nn.Linear):
    """A linear map with weights, gradients and answers of ``nn.Linear``, but for rounding in float32.

    What is published is computed by ``nn.Linear``, and stays as it is to the bit.
    """

    def forward(self, input: Float[Tensor, "*axis dim"]) -> Float[Tensor, "*axis width"]:
        """The map of each row."""
        return linear_map(input, self.weight, self.bias)


def linear_map(
    x: Float[Tensor, "*axis dim"],
    weight: Float[Tensor, "width dim"],
    bias: Float[Tensor, " width"] | None = None,
) -> Float[Tensor, "*axis width"]:
    """Rows times the transposed weight, plus the bias: ``F.linear``, by oneDNN on processors in float32.

    PyTorch multiplies float32 matrices by MKL, which uses half the width of AVX-512 on processors of AMD.
    Its convolutions are oneDNN's, forward and backward, which use all of it.

    Args:
        x: rows.
        weight: of the map.
        bias: of the map; none if None.
    """
    if not _is_for_onednn(x, weight):
        return F.linear(x, weight, bias)
    # Rows lie side by side in an image one pixel high, channels last, which is how they lie in memory. A
    # kernel of one pixel has nothing to dilate, but with one thread only a dilated one is given to oneDNN.
    image = x.reshape(1, 1, -1, x.shape[-1]).permute(0, 3, 1, 2)
    answer = F.conv2d(image, weight[:, :, None, None], bias, dilation=2)
    return answer.permute(0, 2, 3, 1).reshape(*x.shape[:-1], len(weight))


def _is_for_onednn(x: Tensor, weight: Tensor) -> bool:
    """Enough rows, of numbers that no autocast rounds; in an exported program rows may be any: never."""
    return (
        not torch.compiler.is_compiling()
        and x.device.type == "cpu"
        and x.dtype == weight.dtype == torch.float32
        and x.numel() >= FEWEST_ROWS * x.shape[-1] > 0
        and not torch.is_autocast_enabled("cpu")
        and torch.backends.mkldnn.is_available()
        and torch.backends.mkl.is_available()
    )
