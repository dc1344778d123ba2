"""The house: floors, bans, file and function sizes, no cycles, and what every recipe must survive."""

import ast
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from solfa.config import from_dict, to_dict
from solfa.recipes import RECIPES
from solfa.training import RunConfig

PACKAGE = Path(__file__).parent.parent / "src" / "solfa"
WING = PACKAGE.parent / "solfa_free"  # music that is free: it stands on the house, and the house not on it
SOURCES = sorted(PACKAGE.rglob("*.py"))
EVERYTHING = SOURCES + sorted(WING.rglob("*.py"))

STYLE = Path(__file__).parent.parent / "docs" / "style.md"


def floors() -> list[set[str]]:
    """Ground floor first, as the page says; rooms of one floor do not know each other."""
    (drawn,) = re.findall(r"```floors\n(.*?)```", STYLE.read_text(), re.DOTALL)
    return [set(line.split(" | ")) for line in reversed(drawn.splitlines())]


FLOORS = floors()
NEVER = {
    "models": {"data"},
    "objectives": {"tasks"},
    "training": {"models", "targets", "tasks"},
    "probing": {"training", "objectives", "targets"},
    "retrieval": {"training", "objectives", "targets"},
    "serving": {"training", "objectives", "targets"},
}
OUTSIDE = {"__init__", "__main__"}  # the package's own face and its command


def room_of(module: str) -> str:
    return module.split(".")[1] if "." in module else "__init__"


def imports_between_rooms() -> Iterator[tuple[str, str, str]]:
    for path in SOURCES:
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        room = parts[0]
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module]
                if node.module == "solfa":
                    names = [f"solfa.{alias.name}" for alias in node.names]
            for name in names:
                if name.startswith("solfa.") and room_of(name) != room and room not in OUTSIDE:
                    yield "/".join(parts), room, room_of(name)


def functions() -> Iterator[tuple[str, int]]:
    for path in EVERYTHING:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                end = node.end_lineno or node.lineno
                yield f"{path.relative_to(PACKAGE.parent)}:{node.name}", end - node.lineno + 1


def test_imports_run_downwards() -> None:
    floor_of = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
    wrong = [
        f"{path}: {room} may not import {used}"
        for path, room, used in imports_between_rooms()
        if floor_of[used] >= floor_of[room] or used in NEVER.get(room, ())
    ]
    assert not wrong, "\n".join(wrong)


def test_no_room_knows_the_wing() -> None:
    assert [path for path in SOURCES if "solfa_free" in path.read_text()] == []


def test_every_room_has_a_floor() -> None:
    rooms = {path.relative_to(PACKAGE).with_suffix("").parts[0] for path in SOURCES} - OUTSIDE
    assert rooms == set().union(*FLOORS)


def test_every_room_is_in_the_table_of_the_page() -> None:
    listed = set(re.findall(r"^\| `(\w+)` \| ", STYLE.read_text(), re.MULTILINE))
    assert set().union(*FLOORS) <= listed


def test_files_keep_within_400_lines() -> None:
    long = {
        str(p.relative_to(PACKAGE.parent)): n
        for p in EVERYTHING
        if (n := len(p.read_text().splitlines())) > 400
    }
    assert not long


def test_functions_keep_within_50_lines() -> None:
    assert not {name: n for name, n in functions() if n > 50}


def test_only_the_command_line_prints() -> None:
    printing = [
        str(path.relative_to(PACKAGE.parent))
        for path in EVERYTHING
        if "cli" not in path.parts
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]
    assert not printing


def test_every_file_says_what_it_is_for() -> None:
    silent = [str(p) for p in EVERYTHING if not ast.get_docstring(ast.parse(p.read_text()))]
    assert not silent


ON_DEMAND = [
    path.parent.name for path in PACKAGE.glob("*/__init__.py") if "names_on_demand" in path.read_text()
]


@pytest.mark.parametrize("room", ON_DEMAND)
def test_a_room_gives_the_names_that_its_types_are_read_from(room: str) -> None:
    tree = ast.parse((PACKAGE / room / "__init__.py").read_text())
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    read = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    module = import_module(f"solfa.{room}")
    assert sorted(alias.name for node in read for alias in node.names) == sorted(module.__all__)
    assert set(module.__all__) <= set(dir(module))
    for node in read:
        for alias in node.names:
            assert getattr(module, alias.name) is getattr(import_module(str(node.module)), alias.name)
    with pytest.raises(AttributeError, match="no attribute 'lode'"):
        module.lode  # noqa: B018


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_survives_the_way_to_json_and_back(name: str) -> None:
    run = RECIPES[name]()
    assert from_dict(RunConfig, to_dict(run)) == run
