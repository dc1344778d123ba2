"""Complete, named runs: every public function of the modules below that takes nothing and gives a run."""

import difflib
import inspect
from collections.abc import Callable, Iterator
from types import ModuleType

from solfa.config import ConfigError
from solfa.recipes import codec, distilling, finetuning, mert, mulan, muq, quantizers, small
from solfa.training import RunConfig

__all__ = ["RECIPES", "recipe"]


def _recipes(module: ModuleType) -> Iterator[tuple[str, Callable[[], RunConfig]]]:
    for name, function in inspect.getmembers(module, inspect.isfunction):
        is_own = function.__module__ == module.__name__ and not name.startswith("_")
        if is_own and inspect.signature(function) == inspect.Signature(return_annotation=RunConfig):
            yield name, function


RECIPES: dict[str, Callable[[], RunConfig]] = {
    name: function
    for module in (muq, quantizers, small, distilling, mert, codec, finetuning, mulan)
    for name, function in _recipes(module)
}


def recipe(name: str) -> RunConfig:
    """The run of that name.

    Raises:
        ConfigError: there is none; the message lists those there are.
    """
    if name not in RECIPES:
        near = difflib.get_close_matches(name, RECIPES, n=1)
        hint = f"Did you mean '{near[0]}'? " if near else ""
        raise ConfigError(
            f"There is no recipe '{name}'. {hint}Known: {', '.join(RECIPES)}; or a config.json."
        )
    return RECIPES[name]()
