"""Layouts in which models of others are published: a file each, and a name each in the registry."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from torch import nn

from solfa.models.published.format import Checkpoint, Format, WritableFormat
from solfa.models.registry import PUBLISHED

FORMATS: tuple[Format, ...] = tuple(
    getattr(import_module(f"{__name__}.{module}"), name)() for module, name in PUBLISHED.items()
)
CHECKPOINTS: dict[str, Checkpoint] = {name: one for f in FORMATS for name, one in f.checkpoints.items()}


def find_format(values: Mapping[str, Any]) -> Format | None:
    """The layout that a ``config.json`` is of; None if it is of none."""
    return next((one for one in FORMATS if one.recognises(values)), None)


def writable_format(model: nn.Module) -> WritableFormat | None:
    """The layout in which a model can be written; None if there is none."""
    written = (one for one in FORMATS if isinstance(one, WritableFormat) and one.model is type(model))
    return next(written, None)
