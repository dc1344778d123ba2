"""LayerNorm, RMSNorm and BatchNorm in float32 under any autocast; batches are those of all ranks."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from solfa import distributed
from solfa.errors import ArgumentError
from solfa.features.exact import HALVES, exact, unrounded


class LayerNorm(nn.LayerNorm):
    """Layer normalisation that is float32 under any autocast, and so is what it gives.

    CUDA's autocast does the same; that of the CPU would normalise in half precision, and round.
    """

    def forward(self, input: Float[Tensor, "*axis dim"]) -> Float[Tensor, "*axis dim"]:
        """Normalised input."""
        bias = None if self.bias is None else exact(self.bias)
        return F.layer_norm(exact(input), self.normalized_shape, exact(self.weight), bias, self.eps)


class RMSNorm(nn.RMSNorm):
    """Division by the root of the mean square, float32 under any autocast, and so is what it gives.

    Source:
        arXiv:1910.07467.
    """

    def forward(self, x: Float[Tensor, "*axis dim"]) -> Float[Tensor, "*axis dim"]:
        """Input of length one a dimension, times the learned weight."""
        return F.rms_norm(exact(x), self.normalized_shape, exact(self.weight), self.eps)


class BatchNorm(nn.modules.batchnorm._BatchNorm):
    """Batch normalisation over all axes but the second; on several ranks, over the joined batch.

    Statistics are float32 under any autocast. Two ranks therefore give the gradients of one rank with twice
    the clips. In eval mode it is the fixed affine map of the running statistics.
    """

    def _check_input_dim(self, input: Tensor) -> None:
        if input.ndim < 2:
            raise ArgumentError(f"expected at least 2 axes, got {input.ndim}")

    def forward(self, input: Tensor) -> Tensor:
        """Normalised input, in its own type."""
        with unrounded(input.device):
            if not self.training:
                return self._normalize_as_known(exact(input)).to(input.dtype)
            if self.weight.dtype in HALVES:
                raise ArgumentError(
                    f"The weights are {self.weight.dtype}, in which statistics of batches cannot be learned. "
                    "Train in float32: load the model again, and compute under torch.autocast."
                )
            if distributed.world_size() > 1:
                return self._normalize_over_ranks(exact(input)).to(input.dtype)
            return super().forward(exact(input)).to(input.dtype)

    def _normalize_as_known(self, input: Tensor) -> Tensor:
        assert self.running_mean is not None and self.running_var is not None
        mean, variance = exact(self.running_mean), exact(self.running_var)
        return F.batch_norm(input, mean, variance, exact(self.weight), exact(self.bias), eps=self.eps)

    def _normalize_over_ranks(self, input: Tensor) -> Tensor:
        assert self.running_mean is not None and self.running_var is not None
        assert self.num_batches_tracked is not None and self.momentum is not None
        axes = [axis for axis in range(input.ndim) if axis != 1]
        shape = [1, -1, *[1] * (input.ndim - 2)]
        count = input.numel() / input.shape[1]
        sums = torch.cat([input.sum(axes), input.new_tensor([count])])
        *total, n = distributed.sum_over_ranks(sums).split([input.shape[1], 1])
        mean = total[0] / n
        deviation = input - mean.view(shape)
        variance = distributed.sum_over_ranks(deviation.square().sum(axes)) / n
        with torch.no_grad():
            self.num_batches_tracked.add_(1)
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * n / (n - 1), self.momentum)
        return deviation * (variance + self.eps).rsqrt().view(shape) * self.weight.view(
            shape
        ) + self.bias.view(shape)
