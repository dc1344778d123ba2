"""Dataclass <-> JSON, dotted overrides; refuses unknown keys."""

import dataclasses
import difflib
import json
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ConfigDict, TypeAdapter, ValidationError

from solfa.json_files import ContentError, read_json_object, write_json

C = TypeVar("C", bound="Config")


class Config:
    """Base of every configuration: a frozen dataclass whose unknown keys are errors.

    A configuration that is a member of a union carries ``kind``, a literal by which JSON names it.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")


class ConfigError(ValueError):
    """A configuration that cannot be used; the message names the key and the cure."""


def to_dict(config: Config) -> dict[str, Any]:
    """The configuration as plain JSON values, every default written out."""
    return TypeAdapter(type(config)).dump_python(config, mode="json")


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
    except json.JSONDecodeError:
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
    for problem in error.errors():
        place = ".".join(str(part) for part in problem["loc"])
        message = problem["msg"]
        if problem["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
            fields = _fields_at(kind, problem["loc"][:-1])
            message = f"unknown key. {_known(str(problem['loc'][-1]), fields)}"
        lines.append(f"{place}: {message}")
    return f"{kind.__name__} cannot be built from these values:\n  " + "\n  ".join(lines)


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
