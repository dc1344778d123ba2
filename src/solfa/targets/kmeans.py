"""KMeansCodes: which of some clusters a log-mel or chroma frame is nearest to."""

from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, assert_never

import torch
from jaxtyping import Float, Int
from torch import Tensor

from solfa import runs
from solfa.config import Config, Entries, from_dict
from solfa.data.clips import Clips
from solfa.features import Chroma, ChromaConfig, LogMel, LogMelConfig
from solfa.frames import FrameGrid
from solfa.precision import full_float32
from solfa.runs import Run
from solfa.targets.base import Codes, CodesShape, Target, TargetError

ROWS_AT_ONCE = 2**15  # frames compared with all centres in one go: bounds the memory


@dataclass(frozen=True, kw_only=True)
class LogMelFramesConfig(Config):
    """Log-mel frames. One mean and one scale serve all bins, and so move no frame to another cluster."""

    kind: Literal["log_mel"] = "log_mel"
    mel: LogMelConfig = field(default_factory=lambda: LogMelConfig(hop_length=320, n_mels=229))

    @property
    def grid(self) -> FrameGrid:
        """Where the frames lie."""
        return self.mel.grid

    @property
    def dim(self) -> int:
        """Width of a frame."""
        return self.mel.n_mels

    @property
    def context_samples(self) -> int:
        """Audio on each side that the window of a frame covers."""
        return self.mel.n_fft // 2


@dataclass(frozen=True, kw_only=True)
class ChromaFramesConfig(Config):
    """Chroma frames, each of length one."""

    kind: Literal["chroma"] = "chroma"
    chroma: ChromaConfig = field(default_factory=ChromaConfig)

    @property
    def grid(self) -> FrameGrid:
        """Where the frames lie."""
        return self.chroma.grid

    @property
    def dim(self) -> int:
        """Width of a frame."""
        return self.chroma.n_bins

    @property
    def context_samples(self) -> int:
        """Audio on each side that the window of a frame covers."""
        return self.chroma.n_fft // 2


@dataclass(frozen=True, kw_only=True)
class KMeansCodesConfig(Config):
    """Clusters of frames that were fitted to music beforehand: the acoustic teachers of MERT-v0."""

    kind: Literal["kmeans"] = "kmeans"
    features: LogMelFramesConfig | ChromaFramesConfig = field(default_factory=LogMelFramesConfig)
    n_clusters: Entries = 300
    fitted: str = ""  # run folder of kmeans_v0 or kmeans_75hz; given on the command line

    @property
    def shape(self) -> CodesShape:
        """Codes or values of a frame."""
        return CodesShape(1, self.n_clusters)


class KMeansCodes(Target):
    """The number of the nearest centre, in one codebook; nearest by Euclidean distance, in float32.

    Before ``start`` or a fit all centres are zero, and every code is 0.

    Source:
        k-means of features as in HuBERT, arXiv:2106.07447; of log-mel and chroma in MERT, arXiv:2306.00107.
    """

    centres: Tensor
    counts: Tensor

    def __init__(self, config: KMeansCodesConfig) -> None:
        super().__init__()
        self.config = config
        self.grid = config.features.grid
        self.features = _build_features(config.features)
        self.register_buffer("centres", torch.zeros(config.n_clusters, config.features.dim))
        self.register_buffer("counts", torch.zeros(config.n_clusters))  # frames that a centre is the mean of

    @property
    def context_samples(self) -> int:
        """Half a window."""
        return self.config.features.context_samples

    def load_fitted(self) -> None:
        """Read the fitted centres.

        Raises:
            TargetError: no run was named, or none of its centres are of these features.
        """
        if not self.config.fitted:
            raise TargetError(
                "k-means targets need fitted centres. Fit them with 'solfa train kmeans_75hz --out RUN "
                "--set data.manifest=tracks.jsonl' (kmeans_v0 at 16 kHz) and name RUN for each such target: "
                "'--set objective.predictions.0.target.fitted=RUN'."
            )
        clusters = _fitted_clusters(self.config)
        with runs.explained(Path(self.config.fitted), TargetError):
            self.load_state_dict(clusters)

    @torch.no_grad()
    def forward(self, clips: Clips) -> Codes:
        """Codes of the clean clips."""
        return Codes(self.nearest(self.features(clips.waveform))[:, None], self.config.n_clusters)

    def nearest(self, frames: Float[Tensor, "clip frame dim"]) -> Int[Tensor, "clip frame"]:
        """The nearest centre of each frame."""
        with full_float32(frames.device):
            # |x - c|^2 without |x|^2, which is the same for all centres
            half_squares = 0.5 * self.centres.square().sum(-1)
            rows = frames.float().flatten(0, 1).split(ROWS_AT_ONCE)
            codes = [(half_squares - part @ self.centres.T).argmin(-1) for part in rows]
            return torch.cat(codes).view(frames.shape[:2])


def _build_features(config: LogMelFramesConfig | ChromaFramesConfig) -> LogMel | Chroma:
    match config:
        case LogMelFramesConfig():
            return LogMel(config.mel)
        case ChromaFramesConfig():
            return Chroma(config.chroma)
        case _:
            assert_never(config)


def cluster_settings(config: KMeansCodesConfig) -> KMeansCodesConfig:
    """The settings of the clusters that the run ``config.fitted`` has of such features; as given if of none.

    Raises:
        TargetError: there is no such run.
    """
    with _fitted_run(config) as run:
        there = [
            replace(found, fitted=config.fitted)
            for found in _targets_of_run(run).values()
            if type(found.features) is type(config.features)
        ]
    return config if config in there or len(there) != 1 else there[0]


def _fitted_clusters(config: KMeansCodesConfig) -> dict[str, Tensor]:
    """State of the target, in the run ``config.fitted``, of the same features and as many clusters."""
    with _fitted_run(config) as run:
        there = _targets_of_run(run)
        for prefix, found in there.items():
            if replace(found, fitted=config.fitted) == config:
                part = run.part(prefix)
                return {name: part[name] for name in ("centres", "counts")}
        known = "; ".join(f"{found.n_clusters} clusters of {found.features}" for found in there.values())
        raise TargetError(
            f"The run in {run.folder} has no {config.n_clusters} clusters of {config.features}. It has: "
            f"{known or 'none'}. Set features and n_clusters of the target to agree with it, or fit others."
        )


def _fitted_run(config: KMeansCodesConfig) -> AbstractContextManager[Run]:
    folder = Path(config.fitted)
    cure = f"No centres at {folder}. Fit them with: solfa train kmeans_75hz --out {folder}"
    return runs.opened(folder, TargetError, cure)


def _targets_of_run(run: Run) -> dict[str, KMeansCodesConfig]:
    """The k-means targets of a run by what the names of their weights begin with."""
    return {
        target.prefix: from_dict(KMeansCodesConfig, target.settings)
        for target in run.targets
        if target.settings["kind"] == "kmeans"
    }
