"""Complete, named runs."""

import difflib
from collections.abc import Callable

from solfa.config import ConfigError
from solfa.recipes.codec import rvq_vae, rvq_vae_adversarial, rvq_vae_tiny
from solfa.recipes.finetuning import finetune, finetune_lora
from solfa.recipes.mert import (
    kmeans_75hz,
    kmeans_v0,
    mel_rvq_75hz,
    mert_95m,
    mert_330m,
    mert_small,
    mert_tiny,
    mert_v0,
)
from solfa.recipes.mulan import mulan_large, mulan_small, mulan_tiny
from solfa.recipes.muq import (
    hidden_rvq,
    mel_rvq,
    muq_base,
    muq_iter2,
    muq_large,
    muq_small,
    muq_small_iter2,
    muq_tiny,
)
from solfa.training import RunConfig

RECIPES: dict[str, Callable[[], RunConfig]] = {
    recipe.__name__: recipe
    for recipe in (
        mel_rvq,
        muq_large,
        muq_base,
        muq_small,
        muq_tiny,
        hidden_rvq,
        muq_iter2,
        muq_small_iter2,
        rvq_vae,
        rvq_vae_adversarial,
        rvq_vae_tiny,
        mel_rvq_75hz,
        kmeans_v0,
        kmeans_75hz,
        mert_330m,
        mert_95m,
        mert_v0,
        mert_small,
        mert_tiny,
        finetune,
        finetune_lora,
        mulan_large,
        mulan_small,
        mulan_tiny,
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
    "finetune",
    "finetune_lora",
    "hidden_rvq",
    "kmeans_75hz",
    "kmeans_v0",
    "mel_rvq",
    "mel_rvq_75hz",
    "mert_330m",
    "mert_95m",
    "mert_small",
    "mert_tiny",
    "mert_v0",
    "mulan_large",
    "mulan_small",
    "mulan_tiny",
    "muq_base",
    "muq_iter2",
    "muq_large",
    "muq_small",
    "muq_small_iter2",
    "muq_tiny",
    "recipe",
    "rvq_vae",
    "rvq_vae_adversarial",
    "rvq_vae_tiny",
]
