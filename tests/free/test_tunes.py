"""Tunes of music21's corpus: what may be used of it, and what is read from it."""

import zipfile
from pathlib import Path

import pytest

from solfa_free.score import ScoreError
from solfa_free.tunes import LEAST_SECONDS, Tune, find_corpus, read_tunes

TUNE = """X:{number}
T:Our Own {number}
M:3/4
L:1/4
Q:1/4=120
K:{key}
c|"Am"A2 B|c d e|1 A3:|2 e2 A|]
"""


def write_tunes(root: Path) -> Path:
    """A corpus of twelve tunes that may be used, and of some that may not."""
    for name in ("airdsAirs", "oneills1850", "essenFolksong", "bach"):
        (root / name).mkdir(parents=True, exist_ok=True)
    tunes = [TUNE.format(number=number, key=key) for number, key in enumerate(["Am", "Ador", "G"] * 4)]
    (root / "airdsAirs" / "book1.abc").write_text("% A book\n\n" + "\n".join(tunes))
    (root / "oneills1850" / "claimed.abc").write_text("% Copyright 1999 by somebody\n\n" + tunes[0])
    (root / "essenFolksong" / "a.abc").write_text(tunes[0])
    for name, words in {"bwv1.mxl": "<a/>", "bwv2.mxl": "<a>used by permission</a>"}.items():
        with zipfile.ZipFile(root / "bach" / name, "w") as archive:
            archive.writestr("score.xml", words)
    return root


@pytest.fixture
def tunes(tmp_path: Path) -> list[Tune]:
    return list(read_tunes(write_tunes(tmp_path)))


def test_files_that_state_a_claim_and_other_collections_are_left_out(tunes: list[Tune]) -> None:
    assert [tune.name for tune in tunes] == [
        *(f"music21-airdsAirs-book1-{number:03d}" for number in range(1, 13)), "music21-bach-bwv1-001",
    ]  # fmt: skip
    assert tunes[0].group == "tune-our-own-0"


def test_a_corpus_without_tunes_says_how_to_get_some(tmp_path: Path) -> None:
    with pytest.raises(ScoreError, match=r"pip install 'solfa\[tunes\]'"):
        list(read_tunes(tmp_path))


def test_a_missing_music21_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("solfa_free.tunes.find_spec", lambda name: None)
    with pytest.raises(FileNotFoundError, match=r"pip install 'solfa\[tunes\]'"):
        find_corpus()


def test_a_tune_is_played_with_its_repeats_as_it_is_written(tunes: list[Tune]) -> None:
    pytest.importorskip("music21")
    score = tunes[0].score()
    once = [60, 57, 59, 60, 62, 64, 57]  # one bar is c, d, e; A of the first ending
    pitches = [note.pitch for note in score.notes]
    assert [pitch % 12 for pitch in pitches[:7]] == [pitch % 12 for pitch in once]
    assert pitches[7:13] == pitches[:6]  # the repeat, with its upbeat; then the second ending
    assert score.seconds >= LEAST_SECONDS
    assert score.tempo_bpm == pytest.approx(120)
    assert score.beats[:4] == pytest.approx((0.0, 0.5, 1.0, 1.5))
    assert score.downbeats[0] == pytest.approx(0.5)  # after the upbeat
    assert score.notes[1].end - score.notes[1].start == pytest.approx(0.95)
    assert [key.name for key in score.keys] == ["A minor"]
    assert score.tags["collection"] == "airdsAirs"


def test_a_key_that_is_neither_major_nor_minor_is_none(tunes: list[Tune]) -> None:
    pytest.importorskip("music21")
    assert tunes[1].score().keys == ()
    assert [key.name for key in tunes[2].score().keys] == ["G major"]


def test_what_music21_cannot_read_is_said(tunes: list[Tune]) -> None:
    pytest.importorskip("music21")
    with pytest.raises(ScoreError, match="Leave it out"):
        tunes[-1].score()
