"""Spectra that are given to an encoder: targets must be made of the same, and stored ones be the same."""

from dataclasses import replace

from solfa.errors import ArgumentError
from solfa.features import MelCQTConfig
from solfa.targets import TargetConfig, TargetError


def refuse_other_spectra(target: TargetConfig, given: MelCQTConfig) -> None:
    """Raise TargetError if a target is made of spectra, and these are not those that the encoder is given."""
    frames = getattr(target, "frames", None)
    mel, log_cqt = getattr(frames, "mel", given.mel), getattr(frames, "log_cqt", given.log_cqt)
    as_given = replace(mel, mean_db=given.mel.mean_db, std_db=given.mel.std_db)  # both apply to decibels
    if as_given != given.mel or log_cqt != given.log_cqt:
        raise TargetError(
            f"The target {target.kind} is made of other spectra than the encoder is given. Make mel or "
            "log_cqt of its frames those of objective.encoder.spectra, and fit its quantizer to them."
        )


def refuse_other_stored(stored: MelCQTConfig | None, taken: MelCQTConfig | None) -> None:
    """Raise ArgumentError if clips have stored spectra, and these are not those that the encoder takes."""
    if stored is None:
        return
    if taken is None:
        raise ArgumentError("This encoder hears audio, and data.spectra stand in its place. Leave them out.")
    mel = replace(stored.mel, mean_db=taken.mel.mean_db, std_db=taken.mel.std_db)  # both apply to decibels
    if replace(stored, mel=mel) != taken:
        raise ArgumentError(
            f"data.spectra are {stored}, and the encoder takes {taken}. Store those that it takes in another "
            "folder, or make objective.encoder.spectra those that are stored."
        )
