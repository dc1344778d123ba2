"""What commands import that only read a library, or ask it in words: nothing that computes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = (
    *("torch", "transformers", "scipy", "sklearn", "mir_eval", "librosa", "matplotlib", "onnxruntime"),
    *("av", "soundfile", "soxr", "huggingface_hub"),
)
RUN = """
import contextlib, io, json, sys
from solfa.cli.main import app
commands, heavy = json.loads(sys.argv[1])
for words in commands:
    said, code = io.StringIO(), None
    with contextlib.redirect_stdout(said):
        try:
            app(words)
        except SystemExit as end:
            code = end.code
    print(json.dumps([code, said.getvalue(), [name for name in heavy if name in sys.modules]]))
"""


def check_light(commands: list[list[str]]) -> list[str]:
    """Run commands in a fresh process; gives what they say."""
    asked = [sys.executable, "-c", RUN, json.dumps([commands, HEAVY])]
    done = subprocess.run(asked, capture_output=True, text=True, check=True)
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(found) == len(commands)
    for words, (code, said, heavy) in zip(commands, found, strict=True):
        assert (words, code, heavy) == (words, 0, []), said
    return [said for _, said, _ in found]


def test_a_query_in_words_imports_nothing_that_computes(bundled_library: Path) -> None:
    at = ["--library", str(bundled_library)]
    said = check_light(
        [
            ["search", "calm piano", *at],
            ["search", "calm piano + choir - drums", *at, "--filter", "seconds=1-", "--json"],
            ["search", "0.5 * happy - 3", *at, "--centred"],
        ]
    )
    assert len(json.loads(said[1])["matches"]) == 10
    assert len(said[2].splitlines()) >= 5


def test_what_is_stored_is_read_without_what_computes(library_path: Path) -> None:
    at, path = ["--library", str(library_path)], str(library_path)
    tune = library_path.parent / "music" / "tune.wav"
    said = check_light(
        [
            ["search", "3", *at],
            ["search", "2@0:01 + 0.5 * 4 - 1", *at],
            ["search", "named: tune", *at],
            ["similar", str(tune), *at],
            ["path", "1", "5", *at],
            ["library", "info", path],
            ["library", "roots", path],
            ["library", "refused", path],
            ["library", "playlists", "make", "mine", "1", "2", *at],
            ["library", "playlists", "show", "mine", *at],
            ["library", "export", path, "--out", str(library_path.with_suffix(".jsonl"))],
            ["library", "remove", "6", *at],
        ]
    )
    assert "tune.wav" in said[2] and "noise.wav" in said[3]


@pytest.mark.parametrize("name", ["search", "similar", "path", "library"])
def test_help_of_a_command_that_reads_imports_nothing_that_computes(name: str) -> None:
    assert "Usage" in check_light([[name, "--help"]])[0]
