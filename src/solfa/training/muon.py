"""Muon, in a type that the device multiplies by itself."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


class Muon(torch.optim.Muon):
    """Muon whose updates are made orthogonal in bfloat16 on CUDA, and in float32 on processors.

    PyTorch's own takes bfloat16 everywhere, which most processors emulate: on one of them it took 28 times
    as long. State and settings are those of PyTorch's, and so are its steps but for rounding.

    Source:
        Muon (Jordan et al., 2024); scale of the updates from Moonlight, arXiv:2502.16982.
    """

    def __init__(self, params: Any, *, lr: float, momentum: float = 0.95, weight_decay: float = 0.0) -> None:
        super().__init__(
            params, lr=lr, momentum=momentum, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw"
        )

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """Update all matrices that have a gradient."""
        for group in self.param_groups:
            for matrix in group["params"]:
                if matrix.grad is not None:
                    update = orthogonal_update(self._with_momentum(matrix, group["momentum"]), group)
                    self._follow(matrix, update, group)

    def _with_momentum(self, matrix: Tensor, momentum: float) -> Tensor:
        """The gradient and its running mean, as Nesterov joins them."""
        assert matrix.grad is not None
        state = self.state[matrix]
        if not state:
            state["momentum_buffer"] = torch.zeros_like(matrix)
        gradient, mean = self._own(matrix.grad), self._own(state["momentum_buffer"])
        mean.lerp_(gradient, 1 - momentum)
        return gradient.lerp(mean, momentum)

    def _follow(self, matrix: Tensor, update: Tensor, group: dict[str, Any]) -> None:
        """Shrink a matrix by its decay, and take the step."""
        own = self._own(matrix)
        own.mul_(1 - group["lr"] * group["weight_decay"]).sub_(update, alpha=group["lr"])

    def _own(self, matrix: Tensor) -> Tensor:
        """The rows that are held here: all of them."""
        return matrix


def orthogonal_update(gradient: Tensor, group: dict[str, Any]) -> Tensor:
    """The step of a matrix at a rate of one: its gradient made orthogonal, as large as one of AdamW's.

    Args:
        gradient: of a whole matrix, with momentum.
        group: settings of the optimiser, of which ``ns_coefficients``, ``ns_steps`` and ``eps`` are read.
    """
    size = 0.2 * math.sqrt(max(gradient.shape))
    return size * orthogonal(gradient, group["ns_coefficients"], group["ns_steps"], group["eps"])


def orthogonal(
    matrix: Tensor, coefficients: tuple[float, float, float], n_steps: int, eps: float = 1e-7
) -> Tensor:
    """A matrix whose singular values are all near one, and whose singular vectors are those of ``matrix``.

    Args:
        matrix: of any shape; bfloat16 is computed on CUDA, float32 elsewhere.
        coefficients: a, b and c of the polynomial that each singular value s passes through.
        n_steps: how often.
        eps: least norm to divide by.

    Source:
        Newton-Schulz iteration with the coefficients of Muon (Jordan et al., 2024).
    """
    linear, cubic, quintic = coefficients
    x = matrix.bfloat16() if matrix.is_cuda else matrix.float()
    is_tall = x.shape[0] > x.shape[1]
    x = x.T if is_tall else x  # so that the squares are of the shorter side
    x = x / x.norm().clamp(min=eps)
    for _ in range(n_steps):
        # With s for a singular value: a s + b s^3 + c s^5, where x x' has the squares of all s.
        squares = x @ x.T
        factor = torch.addmm(squares, squares, squares, beta=cubic, alpha=quintic)
        x = torch.addmm(x, factor, x, beta=linear)
    return (x.T if is_tall else x).to(matrix.dtype)
