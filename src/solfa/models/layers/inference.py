"""When a layer may compute the same in another way: nobody asks for gradients, and nothing is learned."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from solfa.models.layers.normalization import BatchNorm


def is_plain_inference(layer: nn.Module, x: Tensor) -> bool:
    """Whether ``layer`` only answers, in float32 and on a CPU: eval mode, no gradients, no autocast.

    Programs that are traced or transformed (vmap, jacrev, forward gradients) cannot follow what is written
    into views, and take the plain way.
    """
    return (
        not torch.compiler.is_compiling()
        and not torch._C._are_functorch_transforms_active()
        and x.device.type == "cpu"
        and x.dtype == torch.float32
        and not torch.is_autocast_enabled("cpu")
        and not any(part.training for part in layer.modules())
        and not needs_gradient(layer, x)
    )


def needs_gradient(layer: nn.Module, x: Tensor) -> bool:
    """Whether what ``layer`` makes of ``x`` will be differentiated."""
    return torch.is_grad_enabled() and (
        x.requires_grad or any(parameter.requires_grad for parameter in layer.parameters())
    )


def folded(
    convolution: nn.Conv1d | nn.Conv2d, norm: BatchNorm
) -> tuple[Float[Tensor, "out channel *kernel"], Float[Tensor, " out"]]:
    """Weight and bias of a convolution that does the work of the norm after it, too, in eval mode.

    They are computed at each call, which takes a few milliseconds, and so follow every change of the weights.
    """
    assert norm.running_mean is not None and norm.running_var is not None
    scale = norm.weight * (norm.running_var + norm.eps).rsqrt()
    weight = convolution.weight * scale.view(-1, *[1] * (convolution.weight.ndim - 1))
    mean = norm.running_mean if convolution.bias is None else norm.running_mean - convolution.bias
    return weight, norm.bias - mean * scale
