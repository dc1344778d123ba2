"""What a program that reads damaged files, each with limits of memory and time, wrote of them."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any


def run_cases(program: str, folder: Path, n_cases: int, seed: int) -> list[dict[str, Any]]:
    """Lines of what was begun and what was done, by a process of its own that came to its end."""
    tests = Path(__file__).parent
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tests), *sys.path])}
    command = [sys.executable, str(tests / program), str(folder), str(n_cases), str(seed)]
    answer = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    found = [json.loads(line) for line in (folder / "cases.jsonl").read_text().splitlines()]
    assert answer.returncode == 0, f"{answer.returncode} at {found[-1:]}: {answer.stderr[-2_000:]}"
    return found
