"""The text tower works with the oldest transformers that is allowed and with that of this environment."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

OLDEST = ("transformers==4.57.6", "tokenizers>=0.22,<0.23", "huggingface_hub>=0.34,<1.0")


@pytest.mark.slow
@pytest.mark.network
def test_the_text_tower_works_with_the_oldest_transformers(tmp_path: Path) -> None:
    install = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(tmp_path), *OLDEST]
    subprocess.run(install, check=True)
    tests = [str(Path(__file__).with_name(name)) for name in ("test_mulan.py", "test_sharing.py")]
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *tests],
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout[-3000:]
