"""README and docs say only what is there: commands, options, recipes, files."""

import ast
import re
import shlex
from collections.abc import Iterator
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


def defined_in(path: Path) -> Iterator[str]:
    """Names that a file defines, those of a class after its own: ``Trainer``, ``Trainer.train``."""

    def of(body: list[ast.stmt], prefix: str) -> Iterator[str]:
        for node in body:
            match node:
                case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                    yield prefix + name
                case ast.ClassDef(name=name, body=inner):
                    yield prefix + name
                    yield from of(inner, f"{prefix}{name}.")
                case ast.Assign(targets=targets):
                    yield from (prefix + target.id for target in targets if isinstance(target, ast.Name))
                case ast.AnnAssign(target=ast.Name(id=name)):
                    yield prefix + name

    return of(ast.parse(path.read_text()).body, "")


def test_the_architecture_names_files_and_what_they_define() -> None:
    """``file.py::name``; a ``::name`` alone belongs to the file named last."""
    page, places = (ROOT / "docs" / "architecture.md").read_text(), (ROOT / "src" / "solfa", ROOT / "src")
    named = re.findall(r"(?<![\w/])([a-z0-9_/]+\.py)\b|::(\w+(?:\.\w+)*)", page.split("## ", 1)[1])
    wrong, file = [], Path()
    for name_of_file, name in named:
        if name_of_file:
            found = [place / name_of_file for place in places if (place / name_of_file).is_file()]
            file = found[0] if found else Path()
            wrong += [] if found else [name_of_file]
        elif file == Path() or name not in set(defined_in(file)):
            wrong.append(f"{file.name}::{name}")
    assert len(named) > 100 and not wrong
