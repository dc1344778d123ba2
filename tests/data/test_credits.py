from pathlib import Path

import pytest
from typer.testing import CliRunner

from solfa.cli.main import app
from solfa.config import to_dict
from solfa.data.credits import write_credits
from solfa.data.manifest import Track, write_manifest
from solfa.data.stored_teachers import TEACHER, ColumnsConfig, TeacherDescription
from solfa.errors import ArgumentError
from solfa.json_files import write_json


def track(name: str, **tags: str) -> Track:
    return Track(
        path=Path(f"/music/{name}.ogg"), seconds=1800.0, sample_rate=44100, n_channels=2, content_hash=name,
        tags=tags,
    )  # fmt: skip


GAME = track("song", package="game", licence="CC-BY-3.0", title="A | song", artist="Somebody")
RENDERED = track(
    "piece", corpus="POP909", licence="MIT", title="pop909-001", soundfont="fluidr3+csound",
    soundfont_licence="MIT + public domain",
)  # fmt: skip


def test_every_track_and_soundfont_is_named_once_with_its_licence() -> None:
    page = write_credits([GAME, RENDERED, GAME], others={"all-MiniLM-L6-v2": "Apache-2.0"})
    assert "2 tracks, 1.0 hours" in page
    assert "### game: CC-BY-3.0\n\n1 tracks, 0.50 h: A / song (Somebody)" in page
    assert "| fluidr3+csound | MIT + public domain | 1 | 0.50 |" in page
    assert "### POP909: MIT" in page and "pop909-001" in page
    assert "| all-MiniLM-L6-v2 | Apache-2.0 |" in page


def test_a_track_without_licence_is_refused_by_name() -> None:
    with pytest.raises(ArgumentError, match=r"1 tracks state no licence, as /music/bare\.ogg"):
        write_credits([GAME, track("bare", package="game")])


def test_the_command_names_teachers_and_itself(tmp_path: Path) -> None:
    manifest, folder, out = tmp_path / "train.jsonl", tmp_path / "taught", tmp_path / "credits.md"
    write_manifest([GAME], manifest)
    teacher = TeacherDescription(
        name="musicnn-mtt", license="ISC", fingerprint="ab12", numbers="uint8",
        columns=(ColumnsConfig(name="tags", width=1, form="probability"),),
    )  # fmt: skip
    write_json(folder / "musicnn-mtt" / TEACHER, to_dict(teacher))
    words = ["data", "credits", str(manifest), "--teachers", str(folder), "--out", str(out)]
    answer = CliRunner().invoke(app, [*words, "--also", "mini: MIT"])
    assert answer.exit_code == 0, answer.output
    page = out.read_text()
    assert "| musicnn-mtt | ISC | `ab12` |" in page and "| mini | MIT |" in page
    assert f"solfa data credits {manifest} --teachers {folder} --also 'mini: MIT'" in page
    assert "names no licence" in str(CliRunner().invoke(app, [*words, "--also", "mini"]).exception)
