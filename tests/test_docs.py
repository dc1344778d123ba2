"""README and docs say only what is there: commands, options, recipes, files."""

import re
import shlex
from pathlib import Path

import pytest
import typer

from solfa.cli.main import app
from solfa.recipes import RECIPES

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def commands() -> list[tuple[str, list[str]]]:
    """Every ``solfa ...`` line of a code block, continued lines joined."""
    found = []
    for page in PAGES:
        for block in re.findall(r"```\w*\n(.*?)```", page.read_text(), re.DOTALL):
            for line in block.replace("\\\n", " ").splitlines():
                match = re.match(r"\s*(?:\$ )?solfa (?!:)(.*)", line)
                if match and not match[1].startswith(("-", "0.")):
                    found.append((page.name, shlex.split(match[1].split("  ")[0], comments=True)))
    return found


@pytest.mark.parametrize(
    ("page", "words"), commands(), ids=lambda value: " ".join(value) if isinstance(value, list) else value
)
def test_a_command_in_the_docs_exists_with_its_options(page: str, words: list[str]) -> None:
    command = typer.main.get_command(app)
    while words and hasattr(command, "commands"):
        assert words[0] in command.commands, f"{page}: solfa {words[0]}"
        command, words = command.commands[words[0]], words[1:]
    known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
    unknown = [word for word in words if word.startswith("--") and word.split("=")[0] not in known]
    assert not unknown, f"{page}: {command.name} has no {unknown}"
    if command.name == "train":
        assert words[0] in RECIPES or words[0].endswith(".json") or words[0].isupper(), words[0]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_to_a_file_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)\)", page.read_text())
    broken = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert not broken
