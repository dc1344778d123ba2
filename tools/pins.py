"""The oldest versions that pyproject.toml allows, as a constraints file for pip: python tools/pins.py > FILE.

torch is left out and pinned by the Makefile, since its oldest builds come with gigabytes of CUDA libraries.
"""

import re
import sys
import tomllib
from pathlib import Path

LEFT_OUT = ("torch", "librosa", "setuptools")  # librosa is held from both sides


def oldest(requirement: str) -> str | None:
    """``name>=1.2,<3`` -> ``name==1.2``; None if nothing is said of the oldest."""
    found = re.match(r"([\w.-]+)>=([\w.]+)", requirement)
    return f"{found[1]}=={found[2]}" if found and found[1] not in LEFT_OUT else None


def main() -> None:
    """Write a line for each requirement of the package and of its extras."""
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    wanted = [
        *project["dependencies"],
        *(r for extra in project["optional-dependencies"].values() for r in extra),
    ]
    sys.stdout.write("\n".join(sorted({pin for one in wanted if (pin := oldest(one))})) + "\n")


if __name__ == "__main__":
    main()
