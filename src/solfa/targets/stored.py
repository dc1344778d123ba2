"""StoredCodes: codes computed beforehand and carried by the clips."""

from dataclasses import dataclass
from typing import Literal

from solfa.config import Codebooks, Config, Entries, Hertz, Hop
from solfa.data.clips import Clips
from solfa.frames import FrameGrid
from solfa.targets.base import Codes, CodesShape, Target, TargetError


@dataclass(frozen=True, kw_only=True)
class StoredCodesConfig(Config):
    """Codes out of the folder that ``data.codes`` names; sizes are those of its ``codes.json``."""

    kind: Literal["stored_codes"] = "stored_codes"
    n_codebooks: Codebooks = 8
    codebook_size: Entries = 1024
    sample_rate: Hertz = 24_000  # Hz
    hop_length: Hop = 960  # samples

    @property
    def grid(self) -> FrameGrid:
        """Where the codes lie."""
        return FrameGrid(self.sample_rate, self.hop_length)

    @property
    def shape(self) -> CodesShape:
        """Codes or values of a frame."""
        return CodesShape(self.n_codebooks, self.codebook_size)


class StoredCodes(Target):
    """Codes that come with the clips."""

    def __init__(self, config: StoredCodesConfig) -> None:
        super().__init__()
        self.config = config
        self.grid = config.grid

    @property
    def context_samples(self) -> int:
        """Zero: codes are read, and no audio is."""
        return 0

    def forward(self, clips: Clips) -> Codes:
        """The codes of clips.

        Raises:
            TargetError: the clips carry none, or others than the configuration says.
        """
        stored, config = clips.codes, self.config
        if stored is None:
            raise TargetError(
                "Stored codes are to be predicted, but the clips carry none. Make them with 'solfa data "
                "label MANIFEST --target RUN --out CODES' and name them with '--set data.codes=CODES'."
            )
        found = (stored.values.shape[1], stored.codebook_size, stored.grid)
        if found != (config.n_codebooks, config.codebook_size, config.grid):
            raise TargetError(
                f"The stored codes are of {found[0]} codebooks of {found[1]} at {found[2]}, but this run "
                f"wants {config.n_codebooks} of {config.codebook_size} at {config.grid}. Set "
                "objective.predictions.0.target to agree with their codes.json."
            )
        return Codes(stored.values, stored.codebook_size)
