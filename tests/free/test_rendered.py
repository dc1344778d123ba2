import json
from pathlib import Path

import pytest
import soundfile

pytest.importorskip("tinysoundfont")

from sine_soundfont import write_sine_soundfont
from solfa_free.pieces import Piece, SingleNote
from solfa_free.rendered import Rendered, excerpt, find_pieces, render_pieces
from solfa_free.rendering import RenderingConfig
from solfa_free.score import Note, Score, ScoreError
from solfa_free.soundfonts import Soundfont, fetch_soundfont

PIECES = [SingleNote(program, 60) for program in range(3)]


@pytest.fixture(scope="module")
def soundfont(tmp_path_factory: pytest.TempPathFactory) -> Soundfont:
    return fetch_soundfont(str(write_sine_soundfont(tmp_path_factory.mktemp("sf") / "sine.sf2", range(8))))


def render(
    out: Path, soundfont: Soundfont, pieces: list[Piece] = PIECES, *, rate: int = 24_000, n_workers: int = 1
) -> Rendered:
    return render_pieces(
        pieces, soundfont, out, config=RenderingConfig(sample_rate=rate), n_workers=n_workers
    )


def test_audio_and_labels_of_every_piece_are_written(tmp_path: Path, soundfont: Soundfont) -> None:
    done = render(tmp_path, soundfont)
    rows = [json.loads(line) for line in (tmp_path / "labels.jsonl").read_text().splitlines()]
    assert [row["piece"] for row in rows] == [piece.name for piece in PIECES]
    assert [row["notes"][0][2:5] for row in rows] == [
        [60, SingleNote(program, 60).score().notes[0].velocity, program] for program in range(3)
    ]
    for path, row in zip(done.paths, rows, strict=True):
        assert tmp_path / row["path"] == path
        assert soundfile.info(path).duration == row["seconds"] == 2.0


def test_what_is_there_is_not_rendered_again(tmp_path: Path, soundfont: Soundfont) -> None:
    first = render(tmp_path, soundfont)
    first.paths[0].with_suffix(".json").unlink()
    written = [path.stat().st_mtime_ns for path in first.paths]
    second = render(tmp_path, soundfont)
    assert (second.n_known, second.version) == (2, first.version)
    assert [path.stat().st_mtime_ns for path in second.paths][1:] == written[1:]


def test_the_same_pieces_have_the_same_version_anywhere(tmp_path: Path, soundfont: Soundfont) -> None:
    versions = {render(tmp_path / name, soundfont).version for name in ("here", "there")}
    assert len(versions) == 1
    assert render(tmp_path / "fewer", soundfont, PIECES[:2]).version not in versions


def test_a_piece_that_fails_does_not_stop_the_others(tmp_path: Path, soundfont: Soundfont) -> None:
    done = render(tmp_path, soundfont, [SingleNote(90, 60), *PIECES])
    assert list(done.failures) == ["note-090-060"]
    assert "lacks program 90" in done.failures["note-090-060"]
    assert len(done.paths) == 3


def test_a_folder_of_another_rendering_is_refused_with_the_cure(tmp_path: Path, soundfont: Soundfont) -> None:
    render(tmp_path, soundfont)
    with pytest.raises(ScoreError, match="Give another folder"):
        render(tmp_path, soundfont, rate=16_000)


def test_no_piece_at_all_is_an_error(tmp_path: Path, soundfont: Soundfont) -> None:
    with pytest.raises(ScoreError, match="lacks program 90"):
        render(tmp_path, soundfont, [SingleNote(90, 60)])


def test_tags_say_what_a_split_and_an_attribution_need(tmp_path: Path, soundfont: Soundfont) -> None:
    done = render(tmp_path, soundfont, PIECES[:1])
    assert done.tags(done.paths[0]) == {
        "piece": "note-000-060",
        "split": "train",
        "soundfont": "sine",
        "soundfont_licence": "unknown",
        "corpus": "notes",
    }


@pytest.mark.slow
def test_processes_side_by_side_give_what_one_gives(tmp_path: Path, soundfont: Soundfont) -> None:
    alone, together = (render(tmp_path / str(n), soundfont, n_workers=n) for n in (1, 2))
    assert alone.version == together.version


def test_an_excerpt_begins_just_before_a_downbeat() -> None:
    notes = (Note(start=0.0, end=100.0, pitch=60),)
    score = Score(
        name="piece", notes=notes, seconds=100.0, downbeats=tuple(float(k) for k in range(0, 100, 3))
    )
    part = excerpt(score, 30.0)
    assert part.seconds == 30.0
    assert part.downbeats[0] == pytest.approx(0.05)


def test_a_piece_shorter_than_the_excerpt_is_kept_whole() -> None:
    score = SingleNote(0, 60).score()
    assert excerpt(score, 30.0) is score


def test_a_corpus_that_is_not_there_is_answered_with_the_cure(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="or 'notes'"):
        find_pieces(str(tmp_path / "nowhere"))
