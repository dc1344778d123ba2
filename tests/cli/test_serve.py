"""solfa serve: errors that name their cure; tests/serving has the server itself."""

import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from solfa.cli.main import app
from solfa.retrieval import LibraryError


def test_a_missing_extra_names_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[:2] == ["solfa", "serving"]]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "fastapi", None)
    result = CliRunner().invoke(app, ["serve", str(tmp_path / "none.sqlite")])
    assert isinstance(result.exception, ImportError)
    assert "pip install 'solfa[serve]'" in str(result.exception)


def test_a_library_that_is_not_there_names_the_command(tmp_path: Path) -> None:
    pytest.importorskip("fastapi")
    result = CliRunner().invoke(app, ["serve", str(tmp_path / "none.sqlite")])
    assert isinstance(result.exception, LibraryError) and "solfa index" in str(result.exception)
