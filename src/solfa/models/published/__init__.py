"""Layouts in which models of others are published: a file each, and a line each here."""

from collections.abc import Mapping
from typing import Any

from torch import nn

from solfa.models.published.format import Checkpoint, Format, WritableFormat
from solfa.models.published.mert import MERTFormat
from solfa.models.published.mulan import MuLanFormat
from solfa.models.published.muq import MuQFormat

FORMATS: tuple[Format, ...] = (MuQFormat(), MERTFormat(), MuLanFormat())
CHECKPOINTS: dict[str, Checkpoint] = {name: one for f in FORMATS for name, one in f.checkpoints.items()}


def find_format(values: Mapping[str, Any]) -> Format | None:
    """The layout that a ``config.json`` is of; None if it is of none."""
    return next((one for one in FORMATS if one.recognises(values)), None)


def writable_format(model: nn.Module) -> WritableFormat | None:
    """The layout in which a model can be written; None if there is none."""
    written = (one for one in FORMATS if isinstance(one, WritableFormat) and one.model is type(model))
    return next(written, None)
