"""GaussianGuard: vectors of clips should vary in all directions alike, as a Gaussian does."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from solfa import distributed
from solfa.config import Config, Count, NotNegative
from solfa.models.layers.pooling import mean_state

FURTHEST, POINTS = 5.0, 17  # of the integral over frequencies: beyond it the weight is below 4e-6


@dataclass(frozen=True, kw_only=True)
class GaussianGuardConfig(Config):
    """Strength by which mean states of clips are kept from collapsing into a few directions."""

    weight: NotNegative = 0.02  # of its loss in the sum
    n_directions: Count = 64  # on which they are looked at, new ones in every pass


class GaussianGuard(nn.Module):
    """Mean visible states of clips -> how far they are from a Gaussian of mean 0 and deviation 1.

    On a random direction u the projections h of n clips have the characteristic function
    f(t) = mean of exp(i t h). The loss is the form of Epps and Pulley, the integral of
    |f(t) - exp(-t^2 / 2)|^2 exp(-t^2 / 2) over t, averaged over directions: zero for the Gaussian alone. A
    collapse of all clips into one vector costs most, and no clip need be compared with another. It is not
    multiplied by n, as the test of that name is: the loss means the same for batches of all sizes.

    Source:
        Sketched isotropic Gaussian regularisation (SIGReg) of LeJEPA, arXiv:2511.08544; Epps and Pulley 1983.
    """

    def __init__(self, config: GaussianGuardConfig) -> None:
        super().__init__()
        self.config = config

    def forward(
        self, states: Float[Tensor, "clip frame dim"], visible: Bool[Tensor, "clip frame"] | None = None
    ) -> Float[Tensor, ""]:
        """The loss of all clips together; in training of those of all ranks, and every rank has it whole.

        Args:
            states: of the encoder, at their places.
            visible: frames that the encoder saw; all if None.
        """
        with torch.autocast(states.device.type, enabled=False):
            pooled = mean_state(states.float(), visible)
            directions = self._directions(pooled)
            if self.training:  # in validation ranks may make unequal numbers of passes, and wait forever
                pooled, _ = distributed.gather_with_gradient(pooled)
                directions = distributed.broadcast(directions)
            return epps_pulley(pooled @ directions).mean()

    def _directions(self, pooled: Float[Tensor, "clip dim"]) -> Float[Tensor, "dim direction"]:
        """Unit vectors: drawn anew in training, always the same in validation."""
        generator = None if self.training else torch.Generator(pooled.device).manual_seed(0)
        shape = (pooled.shape[1], self.config.n_directions)
        return F.normalize(torch.randn(shape, generator=generator, device=pooled.device), dim=0)


def epps_pulley(projections: Float[Tensor, "clip direction"]) -> Float[Tensor, " direction"]:
    """Distance of the projections on each direction from a standard Gaussian; zero at best."""
    t = torch.linspace(-FURTHEST, FURTHEST, POINTS, device=projections.device)
    gaussian = (-t.square() / 2).exp()  # its characteristic function, and the weight of the integral too
    angles = projections[..., None] * t
    # The distance of two complex numbers, of which the Gaussian's is real.
    squares = (angles.cos().mean(0) - gaussian).square() + angles.sin().mean(0).square()
    return torch.trapezoid(squares * gaussian, t, dim=-1)
