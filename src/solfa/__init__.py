"""Solfa learns, probes and searches music."""

from solfa import compat, targets
from solfa.embedding import embed
from solfa.models import AudioEncoder, HiddenStates, MuLan, MuQ, load

__all__ = ["AudioEncoder", "HiddenStates", "MuLan", "MuQ", "compat", "embed", "load", "targets"]
