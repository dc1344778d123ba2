"""What commands import that only read a library, or ask it in words: nothing that computes."""

import json
import subprocess
import sys
from pathlib import Path

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
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            app(words)
        except SystemExit as end:
            code = end.code
    print(json.dumps([code, said.getvalue(), [name for name in heavy if name in sys.modules]]))
"""


def check_light(commands: list[list[str]], exit_code: int = 0) -> list[str]:
    """Run commands in a fresh process, which imports nothing heavy; gives what they say."""
    asked = [sys.executable, "-c", RUN, json.dumps([commands, HEAVY])]
    done = subprocess.run(asked, capture_output=True, text=True, check=True)
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(found) == len(commands)
    for words, (code, said, heavy) in zip(commands, found, strict=True):
        assert (words, code, heavy) == (words, exit_code, []), said
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


def test_help_of_commands_for_daily_use_imports_nothing_that_computes() -> None:
    names = ("search", "similar", "path", "library", "tag", "index", "watch", "embed", "serve")
    said = check_light([[name, "--help"] for name in names])
    assert all("Usage" in text for text in said)


def test_wrong_options_are_told_by_nothing_that_computes(tmp_path: Path) -> None:
    gone, out = str(tmp_path / "gone.sqlite"), str(tmp_path / "out")
    said = check_light(
        [
            ["tag", "x.wav", "--out", "x.txt"],
            ["tag", "x.wav", "--tags", "piano,,choir"],
            ["tag"],
            ["index", "--library", gone],
            ["index", "--pool", "most"],
            ["embed", "x.wav", "--out", out, "--task", "key", "--layer", "1"],
            ["embed", "x.wav", "--out", out, "--frame-layer", "1"],
            ["serve", gone, "--host", " "],
            ["serve", gone, "--password-file", str(tmp_path / "none")],
            ["watch", "--settle", "0"],
        ],
        exit_code=2,
    )
    assert ".jsonl or .csv" in said[0] and "Name your music once" in said[3] and "--host is empty" in said[7]
