"""Solfa learns, probes and searches music."""

from solfa import targets
from solfa.embedding import embed
from solfa.models import AudioEncoder, HiddenStates, MuQ, load

__all__ = ["AudioEncoder", "HiddenStates", "MuQ", "embed", "load", "targets"]
