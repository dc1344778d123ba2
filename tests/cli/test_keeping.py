"""The library that is meant, what is in it, what people keep in it, and folders that are watched."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from command_line import solfa
from solfa.cli import place, watch
from solfa.cli.main import COMMANDS, Commands, app
from solfa.retrieval import Library
from solfa.retrieval.playlists import UnknownPlaylistError
from synth import melody

WriteWav = Callable[[Path, np.ndarray], Path]


def values(*arguments: object) -> Any:
    return json.loads(solfa(*arguments, "--json").stdout)


@pytest.fixture
def music(tmp_path: Path, write_wav: WriteWav) -> Path:
    for n, name in enumerate(("a", "b", "live/c")):
        write_wav(tmp_path / "music" / f"{name}.wav", melody(1.2, seed=n))
    (tmp_path / "music" / "words.mp3").write_text("words " * 99)
    return tmp_path / "music"


@pytest.fixture
def library(music: Path, tmp_path: Path, tiny_run: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A library of three tracks, which SOLFA_LIBRARY names."""
    monkeypatch.setenv(place.VARIABLE, str(tmp_path / "library.sqlite"))
    solfa("index", music, "--model", tiny_run, "--quiet")
    return tmp_path / "library.sqlite"


def test_without_a_name_it_is_the_library_of_the_variable_or_of_the_user(
    library: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert values("library", "info")["library"] == str(library)
    assert values("library", "info", library)["tracks"] == 3
    assert values("library", "info", "--library", library)["tracks"] == 3
    solfa("library", "info", library, "--library", tmp_path / "other.sqlite", exit_code=2)
    monkeypatch.delenv(place.VARIABLE)
    monkeypatch.setattr(place, "user_data_path", lambda name, appauthor: tmp_path / name)
    assert place.place_of(None) == tmp_path / "solfa" / "music.sqlite"


def test_the_roots_are_remembered(library: Path, music: Path, write_wav: WriteWav, tmp_path: Path) -> None:
    write_wav(music / "d.wav", melody(1.2, seed=9))
    assert values("index")["added"] == 1
    more = tmp_path / "more"
    write_wav(more / "e.wav", melody(1.2, seed=10))
    solfa("index", more)
    roots = values("library", "roots")["roots"]
    assert [(root["path"], root["tracks"]) for root in roots] == [(str(more), 1), (str(music), 4)]
    more.rename(tmp_path / "away")
    assert values("index")["n_tracks"] == 5  # a disk that is not there keeps its tracks
    assert "not there" in solfa("library", "roots").stdout
    assert values("library", "roots", "--forget", more)["roots"] == roots[1:]
    solfa("library", "roots", "--forget", more, exit_code=2)


def test_an_update_of_nothing_known_names_the_cure(tmp_path: Path) -> None:
    result = solfa("index", "--library", tmp_path / "deep" / "none.sqlite", exit_code=2)
    assert "solfa index MUSIC" in result.output.replace("\n", " ")
    assert not (tmp_path / "deep").exists()


def test_an_update_that_fails_leaves_nothing_behind(tmp_path: Path, tiny_run: Path, music: Path) -> None:
    place = tmp_path / "deep" / "er" / "library.sqlite"
    for wrong in ((tmp_path / "none",), (music, "--model", tmp_path / "none"), (music, "--layer", 99)):
        result = CliRunner().invoke(app, ["index", *map(str, wrong), "--library", str(place)])
        assert result.exit_code
        assert not (tmp_path / "deep").exists()


def test_quiet_says_what_went_wrong_and_nothing_else(library: Path, music: Path) -> None:
    assert solfa("index", "--quiet").output == ""  # the refused file is known
    assert solfa("index", "--quiet", "--strict", exit_code=1).output == ""
    (music / "noise.mp3").write_text("noise " * 99)
    assert solfa("index", "--quiet").stdout.startswith("refused ")


def test_what_is_in_a_library(library: Path, music: Path) -> None:
    about = values("library", "info")
    assert (about["tracks"], about["refused"], about["playlists"], about["liked"]) == (3, 1, 0, 0)
    assert about["roots"] == [str(music)] and "tracks      3" in solfa("library", "info").stdout
    (refused,) = values("library", "refused")["refused"]
    assert refused["path"] == str(music / "words.mp3") and "not audio" in refused["reason"]
    assert values("library", "export", "--out", library.with_name("out.jsonl"))["n_tracks"] == 3
    assert len(values("library", "map")["points"]) == 3


def test_tracks_are_removed_by_number_file_and_folder(library: Path, music: Path) -> None:
    with Library(library) as opened:
        known = {track.title: track.id for track in opened.tracks()}
    assert values("library", "remove", known["a"], music / "b.wav") == {"removed": 2, "roots_forgotten": 0}
    assert values("library", "remove", music) == {"removed": 1, "roots_forgotten": 1}
    solfa("library", "remove", music / "a.wav", exit_code=2)


def test_playlists_are_made_changed_and_written(library: Path, music: Path, tmp_path: Path) -> None:
    with Library(library) as opened:
        known = {track.title: track.id for track in opened.tracks()}
    command = ("library", "playlists")
    assert values(*command, "make", "rain", known["c"], known["a"])["n_tracks"] == 2
    assert values(*command, "add", "rain", known["b"])["n_tracks"] == 3
    assert values(*command, "take", "rain", known["a"])["n_tracks"] == 2
    assert values(*command, "add", "Liked", known["a"])["is_of_likes"]
    solfa(*command, "rename", "rain", "snow")
    assert [track["title"] for track in values(*command, "show", "snow")["tracks"]] == ["c", "b"]
    assert [item["name"] for item in values(*command, "list")["playlists"]] == ["Liked", "snow"]
    liked = [match["id"] for match in values("similar", "--playlist", "Liked")["matches"]]
    assert sorted(liked) == sorted(id for name, id in known.items() if name != "a")
    with pytest.raises(UnknownPlaylistError, match="It has: 'Liked', 'snow'"):
        solfa("similar", "--playlist", "none")
    solfa("similar", exit_code=2)
    out = tmp_path / "lists"
    values(*command, "export", "snow", "--out", out / "snow.m3u8", "--relative")
    assert (out / "snow.m3u8").read_text().splitlines()[2] == "./../music/live/c.wav"
    written = values(*command, "export", "--all", "--out", out, "--prefix", f"{music}=/mnt")["written"]
    assert [Path(item["out"]).name for item in written] == ["Liked.m3u8", "snow.m3u8"]
    assert (out / "snow.m3u8").read_text().splitlines()[2] == "/mnt/live/c.wav"
    solfa(*command, "export", "snow", "--relative", "--prefix", f"{music}=/mnt", exit_code=2)
    solfa(*command, "remove", "snow")
    assert [item["name"] for item in values(*command, "list")["playlists"]] == ["Liked"]


def test_one_library_is_merged_into_another(
    library: Path, music: Path, tiny_run: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.sqlite"
    solfa("index", music / "live", "--model", tiny_run, "--library", other, "--quiet")
    merged = values("library", "merge", other, "--prefix", f"{music / 'live'}=/mnt/live")
    assert merged == {"n_tracks": 4, "tracks": 1, "known": 0, "playlists": 0}


def test_a_search_writes_playlists_for_another_machine(library: Path, music: Path, tmp_path: Path) -> None:
    out = tmp_path / "found.m3u8"
    solfa("similar", music / "a.wav", "--m3u", out, "--prefix", f"{music}=/mnt")
    assert sorted(out.read_text().splitlines()[2::2]) == ["/mnt/b.wav", "/mnt/live/c.wav"]
    solfa("similar", music / "a.wav", "--m3u", out, "--relative")
    assert sorted(out.read_text().splitlines()[2::2]) == ["./music/b.wav", "./music/live/c.wav"]


def test_a_library_follows_its_folders(
    library: Path, music: Path, write_wav: WriteWav, monkeypatch: pytest.MonkeyPatch
) -> None:
    def changes_of(*folders: Path, watch_filter: Callable[[object, str], bool], **_: Any) -> Iterator[None]:
        assert folders == (music,)
        assert not watch_filter(None, f"{library}-wal") and watch_filter(None, str(music / "d.wav"))
        write_wav(music / "d.wav", melody(1.2, seed=9))
        yield
        (music / "a.wav").unlink()
        yield

    monkeypatch.setattr(watch, "_watcher", lambda: changes_of)
    lines = [line for line in solfa("watch").stdout.splitlines() if "tracks (" in line]
    assert [line.split(": ")[1][:8] for line in lines] == ["3 tracks", "4 tracks", "3 tracks"]


def test_watching_names_its_extra(library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "watchfiles", None)
    result = CliRunner().invoke(app, ["watch"])
    assert isinstance(result.exception, ImportError) and "solfa[watch]" in str(result.exception)


def commands(name: str, command: Any) -> Iterator[tuple[list[str], Any]]:
    """A command and those below it, with the words that call them."""
    yield [name], command
    for below, inner in getattr(command, "commands", {}).items():
        for words, one in commands(below, inner):
            yield [name, *words], one


@pytest.mark.parametrize("name", COMMANDS)
def test_help_shows_square_brackets_as_they_are_written(name: str) -> None:
    for words, command in commands(name, Commands()[name]):
        helps = [command.help or "", *(getattr(one, "help", None) or "" for one in command.params)]
        shown = " ".join(solfa(*words, "--help").output.split())
        for text in helps:
            for word in text.split():
                if "[" in word and not word.startswith("["):  # those in front are the metavars of usage
                    assert word in shown, (words, word)


@pytest.mark.parametrize(
    ("typed", "found"), [("solfa ind", "index"), ("solfa library playlists ren", "rename")]
)
def test_the_shell_completes_commands(typed: str, found: str) -> None:
    environment = {
        **os.environ, "_SOLFA_COMPLETE": "complete_bash", "COMP_WORDS": typed,
        "COMP_CWORD": str(len(typed.split()) - 1),
    }  # fmt: skip
    code = "import sys; sys.argv[0] = 'solfa'; from solfa.cli.main import app; app(prog_name='solfa')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.stdout.split() == [found], done.stderr


def test_completion_of_commands_imports_none() -> None:
    found = typer.main.get_command(app).shell_complete(typer.Context(typer.main.get_command(app)), "ind")
    assert [item.value for item in found] == ["index"]
