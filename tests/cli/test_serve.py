"""solfa serve: errors that name their cure; tests/serving has the server itself."""

import socket
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from solfa.cli.main import app
from solfa.embedding import WindowConfig, describe_space
from solfa.errors import ArgumentError
from solfa.models import AudioEncoder
from solfa.retrieval import Library, LibraryError


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


@pytest.mark.parametrize(
    "options",
    [
        ["--host", ""], ["--host", " "], ["--name", ""], ["--name", "two words"], ["--name", "http://attic"],
        ["--name", "attic.local:8765"], ["--name", "."], ["--name", "*"], ["--port", "-1"],
        ["--port", "65536"], ["--port", "9" * 30], ["--trusted-proxy", "proxy.local"],
        ["--trusted-proxy", "*"], ["--log-format", "xml"], ["--rate-limit", "-1"], ["--max-upload-mb", "0"],
        ["--decoders", "0"],
    ],
)  # fmt: skip
def test_an_address_or_a_name_that_is_none_is_a_usage_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str]
) -> None:
    """An empty address would be all of the machine's, and an empty name that of requests from nowhere."""
    pytest.importorskip("fastapi")
    monkeypatch.setattr("solfa.serving.listen", lambda *_: pytest.fail("listened"))
    result = CliRunner().invoke(app, ["serve", str(tmp_path / "none.sqlite"), *options])
    assert result.exit_code == 2 and options[0] in result.output


@pytest.fixture
def path(tmp_path: Path, tiny_encoder: AudioEncoder) -> Path:
    """An empty library whose model is gone."""
    space = describe_space(tiny_encoder, "/gone/model", layer=2, pool="mean", windows=WindowConfig())
    Library(tmp_path / "library.sqlite", space).close()
    return tmp_path / "library.sqlite"


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The apps that are served from now on; none of them answers anybody."""
    pytest.importorskip("fastapi")
    apps: list[Any] = []
    monkeypatch.setattr("solfa.serving.listen", lambda host, port: socket.socket())
    monkeypatch.setattr("solfa.serving.serve", lambda app, listener: (apps.append(app), listener.close()))
    return apps


@pytest.mark.parametrize(
    ("options", "tells"),
    [
        ([], True), (["--host", "::1"], True), (["--host", "0.0.0.0"], False),
        (["--name", "attic.local"], False), (["--trusted-proxy", "127.0.0.1"], False),
    ],
)  # fmt: skip
def test_places_are_told_to_this_machine_alone(
    path: Path, served: list[Any], options: list[str], tells: bool
) -> None:
    result = CliRunner().invoke(app, ["serve", str(path), *options])
    assert result.exit_code == 0, result.output
    assert served[0].state.desk.config.is_private is tells
    assert "/gone/model" in result.output  # who keeps the server may know


def test_a_service_is_told_its_limits(path: Path, served: list[Any]) -> None:
    options = (
        "--root-path /music/ --trusted-proxy 127.0.0.1 --trusted-proxy 10.0.0.0/8 --log-queries "
        "--rate-limit 90 --limit-concurrency 7 --max-waiting 3 --max-upload-mb 5 --decoders 4"
    )
    result = CliRunner().invoke(app, ["serve", str(path), *options.split()])
    assert result.exit_code == 0, result.output
    config = served[0].state.desk.config
    assert (config.root_path, config.trusted_proxies) == ("/music", ("127.0.0.1", "10.0.0.0/8"))
    assert (config.per_minute, config.most_at_once, config.most_waiting) == (90, 7, 3)
    assert (config.upload_bytes, config.n_decoders, config.tells_queries) == (5_000_000, 4, True)


def test_metrics_without_their_extra_name_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("fastapi")
    monkeypatch.setattr("solfa.cli.serve.find_spec", lambda name: None)
    result = CliRunner().invoke(app, ["serve", str(tmp_path / "none.sqlite"), "--metrics", "anybody"])
    assert isinstance(result.exception, ImportError)
    assert "pip install 'solfa[service]'" in str(result.exception)


def test_a_root_path_that_is_none_names_one(tmp_path: Path) -> None:
    pytest.importorskip("fastapi")
    result = CliRunner().invoke(app, ["serve", str(tmp_path / "none.sqlite"), "--root-path", "music"])
    assert isinstance(result.exception, ArgumentError) and "/music" in str(result.exception)


def test_a_password_comes_from_a_file_and_is_not_too_short(
    path: Path, served: list[Any], tmp_path: Path
) -> None:
    file = tmp_path / "password"
    for text, words in (
        (None, "cannot be read"),
        (b"\xff\n", "cannot be read"),
        (b"", "0"),
        (b"short\n", "5"),
    ):
        file.unlink(missing_ok=True)
        if text is not None:
            file.write_bytes(text)
        result = CliRunner().invoke(app, ["serve", str(path), "--password-file", str(file)])
        assert result.exit_code == 2 and words in result.output
    file.write_text("a longer one \nanother line\n")
    assert CliRunner().invoke(app, ["serve", str(path), "--password-file", str(file)]).exit_code == 0
    assert served[0].state.desk.config.password == "a longer one"


def test_nothing_is_loaded_for_a_library_that_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("fastapi")
    monkeypatch.setattr("solfa.cli.encoders.load_encoder", lambda *_: pytest.fail("loaded a model"))
    monkeypatch.setattr("solfa.cli.search.LanceIndex", lambda *_: pytest.fail("made an index"))
    path = str(tmp_path / "none" / "none.sqlite")
    for command in (
        ["serve", path, "--model", "any"],
        ["search", "1", "--library", path, "--model", "any"],
        ["search", "1", "--library", path, "--index", "lance"],
        ["similar", "song.mp3", "--library", path, "--index", "lance"],
    ):
        result = CliRunner().invoke(app, command)
        assert isinstance(result.exception, LibraryError) and "solfa index" in str(result.exception)
    assert not list(tmp_path.iterdir())
