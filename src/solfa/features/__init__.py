"""Waveform -> fixed time-frequency frames; nothing here is learned."""

from solfa.features.cqt import ConstantQ, ConstantQConfig
from solfa.features.mel import LogMel, LogMelConfig

__all__ = ["ConstantQ", "ConstantQConfig", "LogMel", "LogMelConfig"]
