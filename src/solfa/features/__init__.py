"""Waveform -> fixed time-frequency frames; nothing here is learned."""

from solfa.features.chroma import Chroma, ChromaConfig
from solfa.features.cqt import ConstantQ, ConstantQConfig
from solfa.features.log_cqt import LogConstantQ, LogConstantQConfig
from solfa.features.measurements import LEAST_SECONDS, Measured, Measurements
from solfa.features.mel import LogMel, LogMelConfig
from solfa.features.mel_cqt import MelCQT, MelCQTConfig, MelCQTFrames
from solfa.features.mfcc import MFCC, MFCCConfig
from solfa.features.spectral_distance import Distances, SpectralDistance, SpectralDistanceConfig

__all__ = [
    "Chroma",
    "ChromaConfig",
    "ConstantQ",
    "ConstantQConfig",
    "Distances",
    "LEAST_SECONDS",
    "LogConstantQ",
    "LogConstantQConfig",
    "LogMel",
    "LogMelConfig",
    "MFCC",
    "MFCCConfig",
    "MelCQT",
    "MelCQTConfig",
    "Measured",
    "Measurements",
    "MelCQTFrames",
    "SpectralDistance",
    "SpectralDistanceConfig",
]
