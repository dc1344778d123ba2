"""A quantizer out of a run folder, or out of a folder in MuQ's official layout."""

from pathlib import Path
from typing import Any, assert_never

from torch import Tensor

from solfa import checkpoint, runs
from solfa.config import from_dict, to_dict
from solfa.runs import Run
from solfa.targets.base import TargetError
from solfa.targets.ema_quantizer import EMAResidualQuantizer, EMAResidualQuantizerConfig
from solfa.targets.quantizer import (
    RandomProjection,
    RandomProjectionConfig,
    ResidualVectorQuantizer,
    ResidualVectorQuantizerConfig,
    VectorQuantizer,
    VectorQuantizerConfig,
)
from solfa.targets.residual_kmeans import ResidualKMeans, ResidualKMeansConfig

FittedQuantizerConfig = ResidualVectorQuantizerConfig | VectorQuantizerConfig | ResidualKMeansConfig
FittedQuantizer = ResidualVectorQuantizer | VectorQuantizer | ResidualKMeans
StoredQuantizer = FittedQuantizer | RandomProjection | EMAResidualQuantizer
STACKED_MEL = {25: 4, 50: 2}  # label rate -> mel frames of 10 ms in a target frame, as published


def build_quantizer(config: FittedQuantizerConfig) -> FittedQuantizer:
    """The quantizer that ``config`` describes, before it is fitted."""
    match config:
        case ResidualVectorQuantizerConfig():
            return ResidualVectorQuantizer(config)
        case VectorQuantizerConfig():
            return VectorQuantizer(config)
        case ResidualKMeansConfig():
            return ResidualKMeans(config)
        case _:
            assert_never(config)


def load_quantizer(folder: str | Path, kind: str = "") -> StoredQuantizer:
    """The quantizer that made, or was made by, the run in ``folder``; frozen, in eval mode.

    Args:
        folder: a run folder of ``mel_rvq``, of a codec, or of an encoder that learned codes of either, one of
            its ``step-*`` folders, or a folder in the official layout of MuQ (``config.json`` and
            ``model.safetensors``).
        kind: of the target whose quantizer it is, where a run has several; the first that there is, if empty.

    Returns:
        A quantizer whose ``encode`` takes ``(clip frame dim)`` and gives ``(clip codebook frame)``.

    Raises:
        TargetError: there is no quantizer; the message names the cure.
    """
    folder = Path(folder)
    with runs.opened(folder, TargetError, _absent(folder)) as run:
        quantizer = _of_run(run, kind) if run.is_trained_here else _of_official_folder(run)
    return quantizer.eval().requires_grad_(False)


def fitted_settings(folder: Path, kind: str) -> dict[str, Any]:
    """Settings of the quantizer in ``folder``, and of the frames that it was fitted to, if it says so.

    Args:
        folder: as of ``load_quantizer``.
        kind: of the target that wants it, such as ``mel_rvq``.

    Raises:
        TargetError: there is no quantizer, or it was fitted for a target of another kind.
    """
    with runs.opened(folder, TargetError, _absent(folder)) as run:
        owner = {"kind": "mel_rvq"}
        if run.is_trained_here:
            owner, _ = _owner(run, kind)
        if owner.get("kind", kind) != kind:
            raise TargetError(
                f"The quantizer of {folder} was fitted for {owner['kind']}, and not for {kind}. Name a run "
                f"that fitted one for {kind}, or of an encoder that learned its codes."
            )
        if not run.is_trained_here:
            return {"quantizer": to_dict(load_quantizer(folder).config)}
        return {name: owner[name] for name in ("quantizer", "frames") if name in owner}


def _absent(folder: Path) -> str:
    return f"No quantizer at {folder}. Fit one with: solfa train mel_rvq --out {folder}"


def _of_run(run: Run, kind: str) -> StoredQuantizer:
    owner, prefix = _owner(run, kind)
    return _built(owner["quantizer"], run.part(f"{prefix}quantizer."))


def _owner(run: Run, kind: str) -> tuple[dict[str, Any], str]:
    """What has a quantizer in a run: its settings, and what the names of its weights begin with.

    The first target of that kind; the first that has a quantizer at all if there is none.
    """
    owners = [(target.settings.get("codec", target.settings), target.prefix) for target in run.targets]
    owners = [(owner, prefix) for owner, prefix in owners if "quantizer" in owner]
    if not owners:
        raise _without_quantizer(run.folder)
    return next((found for found in owners if found[0].get("kind") == kind), owners[0])


def _without_quantizer(folder: Path) -> TargetError:
    return TargetError(
        f"The run in {folder} has no quantizer. A run of mel_rvq, of a codec or of a MuQ has one; clusters "
        "of k-means are taken by the run's name: '--set objective.predictions.0.target.fitted=RUN'."
    )


def _of_official_folder(run: Run) -> StoredQuantizer:
    values = run.values
    dim = values["n_mels"] * STACKED_MEL[values["label_rate"]]
    rvq, random = run.part("model.rvq."), run.part("model.quantizer_melspec_2048.")
    if values.get("use_rvq_target") and rvq:
        n_codebooks, n_layers = values["rvq_n_codebooks"], values.get("rvq_multi_layer_num", 1)
        shape = {
            "codebook_size": 1024,
            "codebook_dim": values["codebook_dim"],
            "n_projection_layers": n_layers,
        }
        return _built({"kind": "rvq", "dim": dim, "n_codebooks": n_codebooks, **shape}, rvq)
    if values.get("use_vq_target") and rvq:
        size, width = rvq["codebook.weight"].shape
        return _built({"kind": "vq", "dim": dim, "codebook_size": size, "codebook_dim": width}, rvq)
    if random:
        size, width = random["codebook"].shape
        return _built(
            {"kind": "random_projection", "dim": dim, "codebook_size": size, "codebook_dim": width}, random
        )
    raise TargetError(
        f"The weights in {run.folder} hold no quantizer: it was trained on codes stored beforehand."
    )


def _built(config: dict[str, Any], weights: dict[str, Tensor]) -> StoredQuantizer:
    quantizer: StoredQuantizer
    match config["kind"]:
        case "rvq":
            residual = from_dict(ResidualVectorQuantizerConfig, config)
            checkpoint.check_sizes(residual, weights)
            quantizer = ResidualVectorQuantizer(residual)
        case "vq":
            single = from_dict(VectorQuantizerConfig, config)
            checkpoint.check_sizes(single, weights)
            quantizer = VectorQuantizer(single)
        case "random_projection":
            projection = from_dict(RandomProjectionConfig, config)
            checkpoint.check_sizes(projection, weights)
            quantizer = RandomProjection(projection)
        case "kmeans_rvq":
            centres = from_dict(ResidualKMeansConfig, config)
            checkpoint.check_sizes(centres, weights)
            quantizer = ResidualKMeans(centres)
        case "ema_rvq":
            following = from_dict(EMAResidualQuantizerConfig, config)
            checkpoint.check_sizes(following, weights)
            quantizer = EMAResidualQuantizer(following)
        case unknown:
            raise TargetError(
                f"A quantizer of the kind '{unknown}' is not known here: a newer solfa may have made it."
            )
    quantizer.load_state_dict(weights)
    return quantizer
