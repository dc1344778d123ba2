"""Dataclass <-> JSON, dotted overrides; refuses unknown keys."""

import dataclasses
import difflib
import json
import sys
import types
import typing
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import ConfigDict, TypeAdapter, ValidationError

from solfa.errors import SolfaError
from solfa.json_files import ContentError, read_json_object, write_json

C = TypeVar("C", bound="Config")


@dataclasses.dataclass(frozen=True)
class Between:
    """Bounds of a number, both included; they stand beside the type of a field.

    A number of which weights tell whether it is true says by what: they have no fewer ``tensors``, or at
    least one of them an ``axis`` that is as long.
    """

    low: int | float
    high: int | float
    held_by: Literal["", "tensors", "axis"] = ""

    def __str__(self) -> str:
        if self.high >= sys.float_info.max:
            return {0.0: "a number from 0 on", -self.high: "a number"}.get(self.low, "a number above 0")
        return f"it from {self.low:,} to {self.high:,}"


# What numbers of a configuration can be. The bounds are far beyond any model, and far within any machine:
# without them a slip of the finger, or a damaged config.json, would fill the memory.
Layers = Annotated[int, Between(1, 1_000, "tensors")]
LayersFromZero = Annotated[int, Between(0, 1_000, "tensors")]
Width = Annotated[int, Between(1, 2**16, "axis")]  # dimensions, channels, heads, lengths of kernels
Entries = Annotated[int, Between(1, 2**20, "axis")]  # of a codebook
Codebooks = Annotated[int, Between(1, 1_000)]
Bins = Annotated[int, Between(1, 2**11)]  # of a spectrum
Window = Annotated[int, Between(2, 2**15)]  # samples that are transformed together
Hop = Annotated[int, Between(1, 2**17)]  # samples
Stride = Annotated[int, Between(1, 2**10)]  # strides, dilations
Hertz = Annotated[int, Between(1, 2**20)]
Pitch = Annotated[float, Between(0.1, 2**19)]  # Hz
Count = Annotated[int, Between(1, 10**9)]
CountFromZero = Annotated[int, Between(0, 10**9)]
Seed = Annotated[int, Between(0, 2**63 - 1)]
Precision = Literal["float32", "bfloat16", "float16"]  # of products; see ``solfa.precision``
PrecisionWish = Literal["auto", "float32", "bfloat16", "float16"]  # auto: what the device gains by
Seconds = Annotated[float, Between(1e-6, 86_400)]
SecondsFromZero = Annotated[float, Between(0, 86_400)]
LayerNumber = Annotated[int, Between(-1_000, 1_000)]  # below zero: counted from the last
Share = Annotated[float, Between(0, 1)]
Positive = Annotated[float, Between(sys.float_info.min, sys.float_info.max)]
NotNegative = Annotated[float, Between(0, sys.float_info.max)]
Finite = Annotated[float, Between(-sys.float_info.max, sys.float_info.max)]


class ConfigError(SolfaError, ValueError):
    """A configuration that cannot be used; the message names the key and the cure."""


class Config:
    """Base of every configuration: a frozen dataclass whose unknown keys are errors.

    A configuration that is a member of a union carries ``kind``, a literal by which JSON names it. Numbers
    are held against their bounds, however they are given; a class with more to check calls this one first.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    def __post_init__(self) -> None:
        for name, bounds in _bounds(type(self)).items():  # type: ignore[arg-type]
            value = getattr(self, name)
            for part in value if isinstance(value, tuple | list) else (value,):
                if part is None:
                    continue
                if isinstance(part, bool) or not isinstance(part, int | float):
                    raise ConfigError(f"{name} is {part!r:.60}; choose {bounds}.")
                if not bounds.low <= part <= bounds.high:
                    shown = "far too large" if abs(part) > 1e30 else part
                    raise ConfigError(f"{name} is {shown}; choose {bounds}.")


@cache
def _bounds(kind: Any) -> dict[str, Between]:
    """Fields of a configuration that have bounds."""
    found = {field.name: _bounds_of(field.type) for field in dataclasses.fields(kind)}
    return {name: bounds for name, bounds in found.items() if bounds}


def numbers(config: Any, name: str = "") -> Iterator[tuple[str, int | float, Between]]:
    """Every number of a configuration that has bounds, by its dotted key."""
    if isinstance(config, tuple | list):
        for place, part in enumerate(config):
            yield from numbers(part, f"{name}.{place}")
    if not isinstance(config, Config):
        return
    bounds = _bounds(type(config))  # type: ignore[arg-type]
    for field in dataclasses.fields(config):  # type: ignore[arg-type]
        key, value = f"{name}.{field.name}" if name else field.name, getattr(config, field.name)
        if field.name in bounds:
            parts = value if isinstance(value, tuple | list) else (value,)
            yield from ((key, part, bounds[field.name]) for part in parts if part is not None)
        else:
            yield from numbers(value, key)


def _bounds_of(hint: Any) -> Between | None:
    """The bounds of a type, of what a tuple of it holds, or of it where it may be None."""
    if typing.get_origin(hint) is Annotated:
        return next((extra for extra in hint.__metadata__ if isinstance(extra, Between)), None)
    return next((bounds for part in typing.get_args(hint) if (bounds := _bounds_of(part))), None)


def to_dict(config: Config) -> dict[str, Any]:
    """The configuration as plain JSON values, every default written out."""
    return TypeAdapter(type(config)).dump_python(config, mode="json")


LATER = {"later": True}  # metadata of a field that came later, whose default says what held before


def identity(config: Config) -> dict[str, Any]:
    """As ``to_dict``, without fields that came ``LATER`` and are at their default.

    What is stored under a hash of it keeps its name when a configuration gets another field.
    """
    return _without_defaults_that_came_later(config, to_dict(config))


def _without_defaults_that_came_later(config: Any, values: Any) -> Any:
    if isinstance(config, tuple | list):
        return [_without_defaults_that_came_later(*pair) for pair in zip(config, values, strict=True)]
    if not isinstance(config, Config):
        return values
    kept = {}
    for field in dataclasses.fields(config):  # type: ignore[arg-type]
        value = getattr(config, field.name)
        if not (field.metadata.get("later") and value == field.default):
            kept[field.name] = _without_defaults_that_came_later(value, values[field.name])
    return kept


def from_dict(kind: type[C], values: Mapping[str, Any]) -> C:
    """Build and check a configuration of type ``kind``; raises ConfigError naming key and cure."""
    try:
        # By way of JSON: there a list is read as a tuple, and 3.0 is not silently taken for 3 steps.
        return TypeAdapter(kind).validate_json(json.dumps(values))
    except ValidationError as error:
        raise ConfigError(_explain(kind, error)) from None


def save_config(config: Config, path: Path) -> None:
    """Write ``config`` as indented JSON, whole or not at all; not where the file says the same already."""
    write_json(path, to_dict(config))


def load_config(kind: type[C], path: Path) -> C:
    """Read a configuration that ``save_config`` wrote.

    Raises:
        ConfigError: it cannot be used; the message names the file, the key and the cure.
    """
    try:
        return from_dict(kind, read_json_object(path))
    except ContentError as error:
        raise ConfigError(f"{error} Write it anew, or copy it from where it is whole.") from None
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def override(config: C, changes: Mapping[str, Any]) -> C:
    """A copy of ``config`` with dotted keys replaced: ``{"objective.encoder.n_layers": 2}``.

    A number in a key selects an entry of a tuple. A replaced part may be given as a configuration.
    """
    values = to_dict(config)
    for key, value in changes.items():
        _set(values, key, to_dict(value) if isinstance(value, Config) else value)
    return from_dict(type(config), values)


def parse_assignment(text: str) -> tuple[str, Any]:
    """Read ``a.b=value`` of the command line: the value as JSON if it is JSON, else as a string."""
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise ConfigError(f"'{text}' is not an assignment. Write it as key=value, for instance optim.lr=1e-4")
    try:
        return key.strip(), json.loads(value)
    except (ValueError, RecursionError):  # numbers of thousands of digits, and lists in lists, besides texts
        return key.strip(), value


def _set(values: Any, key: str, value: Any) -> None:
    """Replace what a dotted key names inside nested dictionaries and lists; it must exist already."""
    *parents, last = key.split(".")
    node = values
    for part in parents:
        node = node[_index(node, part, key)]
    node[_index(node, last, key)] = value


def _index(node: Any, part: str, key: str) -> int | str:
    """How ``node`` is subscripted by one part of a dotted key."""
    if isinstance(node, list) and part.isdigit() and int(part) < len(node):
        return int(part)
    if isinstance(node, dict) and part in node:
        return part
    if isinstance(node, list):
        known = [str(i) for i in range(len(node))]
    else:
        known = list(node) if isinstance(node, dict) else []
    raise ConfigError(f"Unknown key '{key}': there is no '{part}'. {_known(part, known)}")


def _known(part: str, known: list[str]) -> str:
    """The cure for an unknown key: the nearest known one first, then all."""
    near = difflib.get_close_matches(part, known, n=1)
    hint = f"Did you mean '{near[0]}'? " if near else ""
    return f"{hint}Known here: {', '.join(known) or 'nothing (it is not a group)'}."


def _explain(kind: type[Config], error: ValidationError) -> str:
    lines = []
    for problem in _of_named_kind(error.errors()):
        # Which member of a union was looked at is no part of a key.
        place = ".".join(str(part) for part in problem["loc"] if not _is_class(part))
        message = problem["msg"].removeprefix("Value error, ")
        if problem["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
            fields = _fields_at(kind, problem["loc"][:-1])
            message = f"unknown key. {_known(str(problem['loc'][-1]), fields)}"
        lines.append(f"{place}: {message}" if place else message)
    return f"{kind.__name__} cannot be built from these values:\n  " + "\n  ".join(dict.fromkeys(lines))


def _of_named_kind(problems: list[Any]) -> list[Any]:
    """Without what the other members of a union find wrong with values that name their kind."""
    others = {p["loc"][:-1] for p in problems if p["loc"][-1:] == ("kind",) and p["type"] == "literal_error"}
    named = {  # where the members of a union stand of which one has that kind
        loc[:depth]
        for loc in (p["loc"] for p in problems)
        for depth in range(len(loc))
        if _is_class(loc[depth]) and loc[: depth + 1] not in others
    }
    return [
        p
        for p in problems
        if not any(
            p["loc"][: len(other)] == other and (other[:-1] in named or p["loc"] != (*other, "kind"))
            for other in others
        )
    ]


def _is_class(part: int | str) -> bool:
    return isinstance(part, str) and part.endswith("Config") and part[:1].isupper()


def _fields_at(kind: Any, location: tuple[int | str, ...]) -> list[str]:
    """Field names of the dataclass at a location of a pydantic error (union members appear by their kind)."""
    members = _members(kind)
    for part in location:
        if isinstance(part, int):
            continue
        named = [m for m in members if part == m.__name__ or part == getattr(m, "kind", None)]
        members = named or [
            found
            for member in members
            for name, hint in typing.get_type_hints(member).items()
            if name == part
            for found in _members(hint)
        ]
    return sorted({field.name for member in members for field in dataclasses.fields(member)})


def _members(hint: Any) -> list[type]:
    """Dataclasses that an annotation can hold."""
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return [hint]
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is not None:
        return [member for argument in typing.get_args(hint) for member in _members(argument)]
    return []
