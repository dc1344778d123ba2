"""Charts and their accompaniments: exact labels, and nothing shared between splits."""

import os
import re
import shutil
import stat
import sys
from collections import Counter
from pathlib import Path

import mir_eval
import numpy as np
import pytest

from solfa.embedding import exact_labels
from solfa.tasks.harmony import KEYS, chord_number
from solfa_free import mma
from solfa_free.charts import MIN_SECONDS, Chart, draw_chart
from solfa_free.debian import PackageError, list_files
from solfa_free.midi import read_midi
from solfa_free.mma import STYLES, accompaniments, fetch_mma, main_grooves
from solfa_free.rendered import find_pieces
from solfa_free.score import ScoreError

mido = pytest.importorskip("mido")
needs_dpkg = pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="needs dpkg-deb")
SPLITS = ("train", "valid", "test")
# Stands for MMA: four notes of what it was told, to be read back.
PROGRAM = """
import sys
import mido
chart, out = sys.argv[-1], sys.argv[sys.argv.index("-f") + 1]
lines = open(chart).read().splitlines()
if "Groove Broken" in lines:
    sys.exit("no such groove")
track = mido.MidiTrack([mido.MetaMessage("text", text="\\n".join(lines))])
for pitch in (60, 64, 67, 72):
    track += [mido.Message("note_on", note=pitch), mido.Message("note_off", note=pitch, time=480)]
mido.MidiFile(tracks=[track]).save(out)
"""


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A folder with a program in MMA's place, and its library."""
    root = tmp_path / "cache" / "mma"
    (root / mma.PROGRAM).parent.mkdir(parents=True)
    (root / mma.PROGRAM).write_text(PROGRAM)
    for style in STYLES.values():
        for file in (*style.train, *style.valid, *style.test):
            path = root / mma.HOME / "lib" / f"{file}.mma"
            path.parent.mkdir(parents=True, exist_ok=True)
            name = file.partition("/")[2]
            path.write_text(f"DefGroove {name}A\nDefGroove {name}Intro\n  defgroove {name}B  // louder\n")
    return tmp_path / "cache"


def chart(name: str = "piece", split: str = "train", **given: object) -> Chart:
    arguments: dict = {"harmony": "triads", "beats_per_bar": 4, "tempi": (90, 120)} | given
    return draw_chart(name, split, **arguments)


def test_a_chart_is_the_same_each_time_and_another_for_each_piece() -> None:
    assert chart("a") == chart("a")
    assert len({chart(name).progression for name in "abcdefgh"}) == 8


def test_no_progression_stands_in_two_splits_whatever_the_key() -> None:
    found = {s: {chart(f"{s} {k}", s, harmony="blues").progression for k in range(40)} for s in SPLITS}
    assert not found["train"] & found["valid"]
    assert not (found["train"] | found["valid"]) & found["test"]


@pytest.mark.parametrize("harmony", ["triads", "sevenths", "blues"])
def test_a_chart_begins_and_ends_on_its_tonic_after_the_dominant(harmony: str) -> None:
    for k in range(20):
        drawn = chart(str(k), harmony=harmony)
        names = [stretch.name for stretch in drawn.chords]
        tonic, *_ = drawn.key.split()
        assert {names[0].split(":")[0], names[-1].split(":")[0]} == {tonic}
        mode = "maj" if drawn.mode == "major" else "min"
        assert chord_number(names[0]) == chord_number(f"{tonic}:{mode}")
        roots = [mir_eval.chord.encode(name)[0] for name in names]
        assert (roots[-2] - roots[-1]) % 12 == 7
        assert drawn.key in KEYS


def test_chords_and_beats_fill_the_chart_without_a_gap() -> None:
    for k in range(10):
        drawn = chart(str(k), beats_per_bar=4)
        assert [c.start for c in drawn.chords[1:]] == pytest.approx([c.end for c in drawn.chords[:-1]])
        assert drawn.chords[-1].end == pytest.approx(drawn.seconds)
        assert drawn.seconds >= MIN_SECONDS
        assert np.diff(drawn.beats) == pytest.approx(60 / drawn.tempo_bpm)
        assert len(drawn.beats) == 4 * len(drawn.bars)
        assert all(min(abs(c.start - beat) for beat in drawn.beats) < 1e-6 for c in drawn.chords)


def test_charts_use_every_key_and_all_tempi() -> None:
    drawn = [chart(str(k)) for k in range(300)]
    assert {c.key for c in drawn} == set(KEYS)
    assert {c.tempo_bpm for c in drawn} == set(range(90, 121))


def test_no_groove_stands_in_two_splits_or_two_styles() -> None:
    files = Counter(file for style in STYLES.values() for split in SPLITS for file in style.files(split))
    assert max(files.values()) == 1
    assert all(style.files(split) for style in STYLES.values() for split in SPLITS)
    assert 12 <= len(STYLES) <= 20


def test_every_style_has_as_many_pieces(cache: Path) -> None:
    pieces = accompaniments(cache)
    counts = Counter((piece.style, piece.split) for piece in pieces)
    assert {(s, n) for (_, s), n in counts.items()} == {("train", 70), ("valid", 10), ("test", 20)}
    assert len({piece.name for piece in pieces}) == len(pieces) == 100 * len(STYLES)
    assert {piece.split for piece in pieces if piece.group == "mma-casio/polka"} == {"test"}


def test_pieces_stay_out_of_introductions(cache: Path) -> None:
    assert main_grooves(cache / "mma", "casio/polka") == ["polkaA", "polkaB"]
    assert {p.groove for p in accompaniments(cache) if p.file == "casio/polka"} == {"polkaA", "polkaB"}


def test_a_score_has_the_labels_of_its_chart(cache: Path) -> None:
    piece = next(p for p in find_pieces("mma", cache) if p.style == "waltz")
    score, drawn = piece.score(), piece.chart()
    assert (score.seconds, score.beats, score.chords) == (drawn.seconds, drawn.beats, drawn.chords)
    assert score.downbeats == drawn.beats[::3]
    assert [stretch.name for stretch in score.keys] == [drawn.key]
    assert score.tempo_bpm == pytest.approx(drawn.tempo_bpm)
    assert score.tags["corpus"] == "mma" and score.tags["style"] == "waltz"
    assert [note.pitch for note in score.notes] == [60, 64, 67, 72]


def test_the_program_is_told_the_chords_of_the_labels(cache: Path) -> None:
    piece = next(p for p in accompaniments(cache) if p.style == "bossa nova")
    piece.score()
    [midi] = (cache / "midi").glob("*.mid")
    [text] = [m.text for m in mido.MidiFile(midi).tracks[0] if m.type == "text"]
    told = [re.sub(r"[ /]+", " ", line).split()[1:] for line in text.splitlines() if line[0].isdigit()]
    words = {"": "maj", "m": "min", "M7": "maj7", "m7": "min7", "7": "7"}
    parts = [re.fullmatch(r"([A-G]b?)(.*)", chord) for bar in told for chord in bar]
    assert [f"{p[1]}:{words[p[2]]}" for p in parts if p] == [c.name for c in piece.chart().chords]
    assert f"Tempo {piece.chart().tempo_bpm}" in text


def test_a_cache_may_be_named_from_where_one_stands(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(cache.parent)
    assert accompaniments(Path(cache.name))[0].score().notes


def test_the_program_runs_once_for_all_soundfonts(cache: Path) -> None:
    piece = accompaniments(cache)[0]
    first = piece.score()
    (cache / "mma" / mma.PROGRAM).write_text("raise SystemExit(1)")
    assert piece.score() == first


def test_what_the_program_refuses_is_told_with_its_words(cache: Path) -> None:
    piece = accompaniments(cache)[0]
    broken = mma.Accompaniment(
        root=piece.root, style=piece.style, split=piece.split, number=0, file=piece.file, groove="Broken"
    )
    with pytest.raises(ScoreError, match="no such groove"):
        broken.score()


def test_a_library_of_another_version_is_refused_with_the_cure(cache: Path) -> None:
    (cache / "mma" / mma.HOME / "lib" / "casio" / "polka.mma").unlink()
    with pytest.raises(PackageError, match=r"no grooves casio/polka.*Debian 12"):
        accompaniments(cache)


@needs_dpkg
def test_a_package_without_the_program_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "dpkg-deb"
    program.write_text(f"#!/bin/sh\ncd {tmp_path} && tar c files\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "readme").write_text("nothing")
    (tmp_path / "mma_1_all.deb").touch()
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert list_files(tmp_path / "mma_1_all.deb") == ["files/readme"]
    with pytest.raises(PackageError, match="holds no usr/bin/mma"):
        fetch_mma(tmp_path)
    assert not list(tmp_path.glob(".mma*"))


@pytest.mark.slow
@pytest.mark.network
@needs_dpkg
@pytest.mark.parametrize("style", ["waltz", "march", "electronic dance"])
def test_the_real_program_keeps_the_metre_and_the_chords(tmp_path: Path, style: str) -> None:
    piece = next(p for p in accompaniments(tmp_path) if p.style == style)
    score, drawn = piece.score(), piece.chart()
    assert sys.executable
    [midi] = (tmp_path / "midi").glob("*.mid")
    clock = read_midi(midi.read_bytes(), "clock")
    n = min(len(clock.beats), len(score.beats))
    assert n >= len(score.beats) - drawn.beats_per_bar
    assert clock.beats[:n] == pytest.approx(score.beats[:n], abs=1e-3)
    tonic = mir_eval.chord.encode(score.chords[0].name)[0]
    lowest = [n.pitch % 12 for n in score.notes if n.family == "bass" and n.start < 60 / drawn.tempo_bpm / 2]
    assert set(lowest) <= {tonic}


def test_all_styles_are_among_those_that_exact_labels_teach() -> None:
    assert tuple(STYLES) == exact_labels.STYLES
