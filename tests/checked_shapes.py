"""Shapes and types are checked in the modules that state shapes; of the others mypy has seen the types.

Checking every call of all modules took half of the time of the tests.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from jaxtyping import config, install_import_hook

PACKAGES = ("solfa", "solfa_free")


def modules_with_shapes() -> list[str]:
    """The modules that import jaxtyping, found without importing any of them."""
    found = []
    for package in PACKAGES:
        spec = find_spec(package)
        assert spec is not None and spec.origin is not None
        root = Path(spec.origin).parent
        for file in sorted(root.rglob("*.py")):
            if "from jaxtyping import" in file.read_text(encoding="utf-8"):
                parts = (package, *file.relative_to(root).with_suffix("").parts)
                found.append(".".join(parts).removesuffix(".__init__"))
    return found


@contextmanager
def unchecked_shapes() -> Iterator[None]:
    """Inside, nothing is checked: which would fix shapes in traced programs and slows long trainings."""
    before = config.jaxtyping_disable
    config.update("jaxtyping_disable", True)
    try:
        yield
    finally:
        config.update("jaxtyping_disable", before)


if os.environ.get("SOLFA_UNCHECKED") != "1":
    install_import_hook(modules_with_shapes(), "beartype.beartype")
