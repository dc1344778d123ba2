"""Waveform -> fixed time-frequency frames; nothing here is learned."""

from solfa.features.mel import LogMel, LogMelConfig

__all__ = ["LogMel", "LogMelConfig"]
