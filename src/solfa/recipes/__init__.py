"""Complete, named runs."""

import difflib
from collections.abc import Callable

from solfa.config import ConfigError
from solfa.recipes.mert import mel_rvq_75hz, mert_95m, mert_330m, mert_small, mert_tiny
from solfa.recipes.muq import mel_rvq, muq_base, muq_large, muq_small, muq_tiny
from solfa.training import RunConfig

RECIPES: dict[str, Callable[[], RunConfig]] = {
    recipe.__name__: recipe
    for recipe in (
        mel_rvq,
        muq_large,
        muq_base,
        muq_small,
        muq_tiny,
        mel_rvq_75hz,
        mert_330m,
        mert_95m,
        mert_small,
        mert_tiny,
    )
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


__all__ = [
    "RECIPES",
    "mel_rvq",
    "mel_rvq_75hz",
    "mert_330m",
    "mert_95m",
    "mert_small",
    "mert_tiny",
    "muq_base",
    "muq_large",
    "muq_small",
    "muq_tiny",
    "recipe",
]
