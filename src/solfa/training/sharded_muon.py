"""ShardedMuon: Muon of matrices of which each rank holds some rows."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from solfa import distributed
from solfa.training.muon import Muon, orthogonal_update


class ShardedMuon(Muon):
    """Muon whose momentum is shared out as the matrices are; an update is made orthogonal as a whole.

    So many matrices at a time as there are ranks: each rank is given all rows of one of them, makes them
    orthogonal, and gives the rows back. No rank computes what another one does.

    Source:
        Muon (Jordan et al., 2024); ranks that take whole matrices as in Moonlight, arXiv:2502.16982.
    """

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """Update all matrices that have a gradient; a call is collective."""
        for group in self.param_groups:
            learning = [matrix for matrix in group["params"] if matrix.grad is not None]
            for first in range(0, len(learning), distributed.world_size()):
                self._update(learning[first : first + distributed.world_size()], group)

    def _update(self, matrices: list[Tensor], group: dict[str, Any]) -> None:
        """Update as many matrices as there are ranks, or fewer."""
        n_ranks, rank = distributed.world_size(), distributed.rank()
        own = [self._with_momentum(matrix, group["momentum"]) for matrix in matrices]
        none = own[0].new_empty(0)
        idle = [none] * (n_ranks - len(own))
        n_columns = matrices[rank].shape[1] if rank < len(matrices) else 0
        n_rows = len(matrices[rank]) if rank < len(matrices) else 0
        shapes = [(distributed.n_rows_of(n_rows, number), n_columns) for number in range(n_ranks)]
        whole = torch.cat(distributed.exchange([*own, *idle], shapes))
        made = orthogonal_update(whole, group) if len(whole) else whole
        returned = list(made.split([rows for rows, _ in shapes]))
        steps = distributed.exchange(returned, [*(tuple(part.shape) for part in own), *((0,) for _ in idle)])
        for matrix, step in zip(matrices, steps, strict=False):
            self._follow(matrix, step, group)

    def _own(self, matrix: Tensor) -> Tensor:
        """This rank's rows."""
        return distributed.local(matrix)
