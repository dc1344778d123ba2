"""Examples at the end of a command's --help, line by line as they are written."""

from collections.abc import Callable
from inspect import cleandoc
from typing import TypeVar

F = TypeVar("F", bound=Callable[..., None])


def examples(*lines: str) -> Callable[[F], F]:
    """Adds examples to the docstring of a command."""

    def add(command: F) -> F:
        # A paragraph that begins with a backspace is not wrapped: a convention of click.
        paragraphs = [f"\b\n  {line}" for line in lines]
        command.__doc__ = "\n\n".join([cleandoc(command.__doc__ or ""), "Examples:", *paragraphs])
        return command

    return add
