"""Solfa learns, probes and searches music.

The parts are imported when they are first asked for: ``import solfa`` alone costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from solfa import compat, targets
    from solfa.embedding import embed
    from solfa.models import AudioEncoder, HiddenStates, MuLan, MuQ, load

__all__ = ["AudioEncoder", "HiddenStates", "MuLan", "MuQ", "compat", "embed", "load", "targets"]

_ROOM_OF = {
    "AudioEncoder": "solfa.models",
    "HiddenStates": "solfa.models",
    "MuLan": "solfa.models",
    "MuQ": "solfa.models",
    "embed": "solfa.embedding",
    "load": "solfa.models",
}


def __getattr__(name: str) -> Any:
    if name in ("compat", "targets"):
        return import_module(f"solfa.{name}")
    if name not in _ROOM_OF:
        raise AttributeError(f"module 'solfa' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_ROOM_OF[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
