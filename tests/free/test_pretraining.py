"""The rendered corpus to pre-train on: nothing of the benchmark, by many bands, the same anywhere."""

import hashlib
import itertools
import json
import shutil
from collections import Counter
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner, Result

pytest.importorskip("tinysoundfont")

from free.test_mma import PROGRAM
from free.test_scores import song_files
from free.test_tunes import write_tunes
from sine_soundfont import write_sine_soundfont
from solfa.cli.main import app
from solfa.data.manifest import read_manifest
from solfa.files import FolderLock
from solfa_free import mma, pretraining
from solfa_free.free_benchmark import PARTS, SOUNDFONTS, Sources
from solfa_free.mma import STYLES, Accompaniment, accompaniments
from solfa_free.phrases import PHRASE_SECONDS, TRAINING_PROGRAMS, DrumPattern, NotePhrase, SteadyPhrase
from solfa_free.pop909 import Song, read_songs
from solfa_free.pretraining import benchmark_songs, make_pretraining, plan, probe_grooves
from solfa_free.score import FAMILIES, ScoreError
from solfa_free.sides import VALID_SHARE, Sides, draw
from solfa_free.soundfonts import Soundfont, fetch_soundfont

HOURS = 0.06
HAS_TUNES = find_spec("music21") is not None
SONGS = [Song(f"{number:03d}", {}) for number in range(1, 801)]


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sources:
    """Three songs of POP909 that the benchmark leaves, MMA that plays four notes, sines for soundfonts."""
    sine = fetch_soundfont(
        str(write_sine_soundfont(tmp_path / "sine.sf2", range(len(FAMILIES) * 8), has_drums=True))
    )

    def fetch(name: str, folder: Path | None) -> Soundfont:
        return replace(sine, name=name, licence=f"licence of {name}")

    monkeypatch.setattr(pretraining, "fetch_soundfont", fetch)
    played = benchmark_songs([])
    own = [song.number for song in SONGS if song.split == "train" and song.name not in played][:3]
    for name in played:  # which would fail if they were played
        (tmp_path / "POP909" / name[-3:]).mkdir(parents=True)
        (tmp_path / "POP909" / name[-3:] / "beat_midi.txt").write_text("")
    for number in own:
        folder = tmp_path / "POP909" / number
        folder.mkdir(parents=True)
        for name, content in song_files().items():
            (folder / name.replace("007", number)).write_bytes(content)
    if HAS_TUNES:
        tunes = write_tunes(tmp_path / "tunes")
        shutil.rmtree(tunes / "bach")  # of which one cannot be read
        monkeypatch.setattr(pretraining, "find_corpus", lambda: tunes)
    root = tmp_path / "cache" / "mma"
    (root / mma.PROGRAM).parent.mkdir(parents=True)
    (root / mma.PROGRAM).write_text(PROGRAM)
    for style in STYLES.values():
        for file in (*style.train, *style.valid, *style.test):
            path = root / mma.HOME / "lib" / f"{file}.mma"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"DefGroove {file.partition('/')[2]}A\n")
    return Sources(pop909=tmp_path / "POP909", cache=tmp_path / "cache", n_workers=1)


def solfa(*arguments: object, exit_code: int = 0) -> Result:
    result = CliRunner().invoke(app, [str(one) for one in arguments], catch_exceptions=False)
    assert result.exit_code == exit_code, result.output
    return result


def test_a_folder_has_manifests_by_song_labels_and_licences(tmp_path: Path, sources: Sources) -> None:
    out = tmp_path / "out"
    corpus = make_pretraining(out, sources, hours=HOURS)
    assert set(corpus.left_out) == (set() if HAS_TUNES else {"music21"})
    assert not corpus.failures and not corpus.refused
    tracks = read_manifest(out / "tracks.jsonl")
    assert sum(track.seconds for track in tracks) == pytest.approx(HOURS * 3600, abs=100)
    assert {track.tags["corpus"] for track in tracks} == {
        *("POP909", "mma", "notes", "drums"), *(["music21"] if HAS_TUNES else []),
    }  # fmt: skip
    sides = [{track.path for track in corpus.splits[name]} for name in ("train", "valid")]
    assert sides[0] | sides[1] == {track.path for track in tracks} and not sides[0] & sides[1]
    attribution = (out / "ATTRIBUTION.tsv").read_text().splitlines()
    assert len(attribution) == 1 + len(tracks)
    assert all("licence of" in line for line in attribution[1:])
    assert f"{sum(track.seconds for track in tracks) / 3600:.2f} hours" in (out / "README.md").read_text()
    labels = [json.loads(line) for line in (out / "labels.jsonl").read_text().splitlines()]
    assert all(
        soundfile.info(out / row["path"]).duration == pytest.approx(row["seconds"], abs=1e-3)
        for row in labels
    )


def test_takes_of_a_song_stand_on_one_side(sources: Sources) -> None:
    takes, _ = plan(pretraining.PARTS[:1], sources, 1.0)
    assert Counter(take.group for take in takes) == dict.fromkeys({take.group for take in takes}, 3)
    assert len({take.name for take in takes}) == len(takes) == 9
    assert len({(take.group, take.split) for take in takes}) == 3


def test_every_part_has_its_least_share_on_the_valid_side(sources: Sources) -> None:
    for part in pretraining.PARTS[1:4]:  # of songs there are three
        takes, _ = plan([part], sources, 1.5)
        seconds = Counter[str]()
        for take in takes:
            seconds[take.split] += take.seconds
        assert 0.03 <= seconds["valid"] / seconds.total() < 0.12
        sides = {(take.group, take.split) for take in takes}
        assert len(sides) == len({group for group, _ in sides})


def test_a_group_stays_on_the_side_that_a_folder_has_heard_it_on(tmp_path: Path, sources: Sources) -> None:
    out = tmp_path / "out"
    first = make_pretraining(out, sources, hours=HOURS).splits
    for path in (out / "audio").glob("*.json"):  # as a folder that was made when sides were drawn otherwise
        values = json.loads(path.read_text())
        path.write_text(json.dumps(values | {"split": "train"}) + "\n")
    grown = make_pretraining(out, sources, hours=3 * HOURS).splits
    heard = {track.path for track in first["tracks"]}
    assert not heard & {track.path for track in grown["valid"]}
    assert grown["valid"]
    groups = {
        name: {json.loads(t.path.with_suffix(".json").read_text())["group"] for t in grown[name]}
        for name in grown
    }
    assert not groups["train"] & groups["valid"]


def test_groups_that_are_drawn_valid_are_valid_wherever_they_come() -> None:
    drawn = [f"g{k}" for k in range(400) if draw("pretraining valid", f"g{k}") < VALID_SHARE]
    sides = Sides({})
    assert {name for name in (f"g{k}" for k in range(400)) if sides.of(name, 1.0) == "valid"} >= set(drawn)
    again = Sides(sides.sides)
    assert all(again.of(f"g{k}", 1.0) == sides.sides[f"g{k}"] for k in range(400))


def test_any_number_of_workers_and_any_interruption_give_the_same(tmp_path: Path, sources: Sources) -> None:
    make_pretraining(tmp_path / "one", sources, hours=HOURS)
    make_pretraining(tmp_path / "many", replace(sources, n_workers=2), hours=HOURS)
    make_pretraining(tmp_path / "cut", sources, hours=HOURS / 2)
    next((tmp_path / "cut" / "audio").glob("*.json")).unlink()
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "cut" / "audio").glob("*.json")}
    make_pretraining(tmp_path / "cut", sources, hours=HOURS)
    lists = {
        (tmp_path / name / "labels.jsonl").read_text() + (tmp_path / name / "ATTRIBUTION.tsv").read_text()
        for name in ("one", "many", "cut")
    }
    assert len(lists) == 1
    assert {path: path.stat().st_mtime_ns for path in kept} == kept


def test_another_seed_plays_the_same_pieces_otherwise(tmp_path: Path, sources: Sources) -> None:
    for seed in (0, 1):
        make_pretraining(tmp_path / str(seed), sources, hours=HOURS / 2, seed=seed)
    rows = [
        [json.loads(line) for line in (tmp_path / str(seed) / "labels.jsonl").read_text().splitlines()]
        for seed in (0, 1)
    ]
    assert [row["piece"] for row in rows[0]] == [row["piece"] for row in rows[1]]
    assert not {row["content_hash"] for row in rows[0]} & {row["content_hash"] for row in rows[1]}
    with pytest.raises(ScoreError, match="Give another folder"):
        make_pretraining(tmp_path / "0", sources, hours=HOURS / 2, seed=1)


def test_more_hours_add_to_what_fewer_gave(sources: Sources) -> None:
    few, many = (
        [take.name for take in plan(pretraining.PARTS, sources, hours)[0]] for hours in (HOURS, 3 * HOURS)
    )
    assert many[: len(few)] == few


def test_one_bad_song_does_not_end_it(tmp_path: Path, sources: Sources) -> None:
    assert sources.pop909 is not None
    bad = next(path.parent for path in sorted(sources.pop909.glob("*/*.mid")))
    (bad / f"{bad.name}.mid").write_bytes(b"no notes")
    corpus = make_pretraining(tmp_path / "out", sources, hours=HOURS)
    assert corpus.failures
    assert {name.split("-take")[0] for name in corpus.failures} == {f"pop909-{bad.name}"}
    assert len(corpus.splits["tracks"]) > 5


def test_no_song_of_the_benchmark_is_played_whatever_part_of_pop909_is_there() -> None:
    [part] = [part for part in PARTS if part.name == "pop909"]
    for number in (800, 909):
        songs = [Song(f"{k:03d}", {}) for k in range(1, number + 1)]
        chosen = {song.name for player in SOUNDFONTS for song in part.choose(songs, player)}
        assert len(chosen) == 400
        assert chosen <= benchmark_songs(SONGS)
    own = {song.name for song in SONGS if song.split == "train"} - benchmark_songs(SONGS)
    assert len(own) > 200


def test_only_songs_of_the_side_train_are_played(sources: Sources) -> None:
    assert sources.pop909 is not None
    folder = next(sources.pop909.glob("*/*.mid")).parent
    before = len(list(read_songs(sources.pop909)))
    played = benchmark_songs([])
    for other in ("test", "valid"):
        number = next(song.number for song in SONGS if song.split == other and song.name not in played)
        shutil.copytree(folder, sources.pop909 / number)
    assert len(list(read_songs(sources.pop909))) == before + 2
    takes, _ = plan(pretraining.PARTS[:1], sources, 1.0)
    assert {take.piece.split for take in takes} == {"train"}


def test_charts_are_new_and_their_grooves_are_the_probes_neither(sources: Sources) -> None:
    takes, _ = plan(pretraining.PARTS[1:2], sources, 3.0)
    pieces = [take.piece for take in takes if isinstance(take.piece, Accompaniment)]
    assert len(pieces) == len(takes) > 100
    of_benchmark = accompaniments(sources.cache)
    assert not {piece.name for piece in pieces} & {piece.name for piece in of_benchmark}
    assert not {piece.chart().progression for piece in pieces} & {p.chart().progression for p in of_benchmark}
    files = {piece.file for piece in pieces}
    assert files <= {file for style in STYLES.values() for file in style.train}
    assert not files & probe_grooves()
    assert all(piece.chart().seconds >= pretraining.CHART_SECONDS for piece in pieces)


def test_a_quarter_of_the_training_grooves_is_left_to_probes() -> None:
    n_grooves = sum(len(style.train) for style in STYLES.values())
    assert 0.15 < len(probe_grooves()) / n_grooves < 0.35


def test_soundfonts_that_judge_are_never_played() -> None:
    judges = {name for name, splits in SOUNDFONTS.items() if splits == ("test",)}
    assert judges == {"timgm6mb"}
    assert not judges & set(pretraining.SOUNDFONTS)


def test_phrases_keep_to_instruments_that_are_trained_on() -> None:
    programs = {note.program for k in range(200) for note in NotePhrase(k).score().notes}
    assert programs == set(TRAINING_PROGRAMS)
    assert not {program % 8 for program in programs} & {3, 4}
    score = NotePhrase(0).score()
    assert all(0 <= note.start < note.end <= score.seconds for note in score.notes)


def test_phrases_that_were_rendered_before_there_were_others_are_the_same() -> None:
    notes = [
        (n.start, n.end, n.pitch, n.velocity, n.program)
        for k in range(3)
        for n in NotePhrase(k).score().notes
    ]
    assert hashlib.sha256(repr(notes).encode()).hexdigest()[:16] == "0a849838210b400b"


STEADY = {  # manner -> phrases of it
    name: [SteadyPhrase(number).score() for number in range(place, 200, 5)]
    for place, name in enumerate(("long", "repeated", "scale", "chord", "single"))
}


@pytest.mark.parametrize("manner", STEADY)
def test_steady_phrases_fill_their_time_with_notes_of_one_instrument(manner: str) -> None:
    for score in STEADY[manner]:
        assert {note.program for note in score.notes} <= set(TRAINING_PROGRAMS)
        assert len({note.program for note in score.notes}) == 1
        assert all(0 <= note.start < note.end <= PHRASE_SECONDS for note in score.notes)
        assert all(21 <= note.pitch <= 108 for note in score.notes)
        assert score.notes[-1].start > PHRASE_SECONDS - 7.1
        assert [note.start for note in score.notes] == sorted(note.start for note in score.notes)


def test_long_notes_are_held_and_rests_between_them_are_short() -> None:
    for score in STEADY["long"]:
        spans = sorted({(note.start, note.end) for note in score.notes})
        assert all(1.0 <= end - start <= 6.0 for start, end in spans[:-1])
        assert all(0 <= later[0] - now[1] <= 1.0 for now, later in itertools.pairwise(spans))


@pytest.mark.parametrize("manner", ["repeated", "scale", "chord"])
def test_steps_of_a_rhythm_are_equal(manner: str) -> None:
    for score in STEADY[manner]:
        gaps = np.diff(sorted({note.start for note in score.notes}))
        assert np.ptp(gaps) < 1e-9 and 1 / 8.01 < gaps[0] < 1 / 1.49
        assert np.ptp([note.end - note.start for note in score.notes]) < 1e-9


def test_repeated_notes_repeat_and_scales_step() -> None:
    for score in STEADY["repeated"]:
        chords = [
            tuple(n.pitch for n in score.notes if n.start == start)
            for start in sorted({note.start for note in score.notes})
        ]
        assert np.mean([now == later for now, later in itertools.pairwise(chords)]) > 0.5
    for score in STEADY["scale"]:
        steps = np.abs(np.diff([note.pitch for note in score.notes]))
        assert np.mean(steps <= 3) > 0.7


def test_a_figure_comes_back_as_it_was() -> None:
    likeness = []  # of a phrase and itself some notes later
    for score in (*STEADY["scale"], *STEADY["chord"]):
        pitches = [note.pitch for note in score.notes]
        later = range(2, len(pitches) // 2 + 1)
        likeness.append(max(np.mean(np.equal(pitches[p:], pitches[:-p])) for p in later))
    assert np.median(likeness) > 0.4  # by lot it would be less than 0.1


def test_a_single_note_has_silence_until_its_cell_is_over() -> None:
    for score in STEADY["single"]:
        assert [note.start // 4.0 for note in score.notes] == [0, 1, 2, 3, 4, 5]
        assert all(note.end % 4.0 <= 3.2 for note in score.notes)


def test_notes_are_of_both_kinds_by_turns(sources: Sources) -> None:
    [part] = [part for part in pretraining.PARTS if part.name == "notes"]
    names = [take.name for take in plan([part], sources, 0.03)[0]]
    assert names == ["notes-00000", "steady-00000", "notes-00001", "steady-00001", "notes-00002"]


def test_strokes_of_a_pattern_fall_on_a_grid_of_its_beats() -> None:
    score = DrumPattern(3).score()
    step = (score.beats[1] - score.beats[0]) / 4
    places = np.array([note.start for note in score.notes]) / step
    assert np.abs(places - places.round()).max() < 1e-9
    assert set(score.downbeats) <= set(score.beats)
    assert {note.family for note in score.notes} == {"drums"}


def test_a_part_that_is_missing_is_said_with_its_cure(tmp_path: Path, sources: Sources) -> None:
    said = solfa(
        *("data", "render", "pretraining", "--out", tmp_path / "out", "--hours", 0.02, "--workers", 1),
        *("--cache", sources.cache),
    ).stdout.replace("\n", " ")
    assert "left out pop909" in said
    assert "--pop909" in said
    assert read_manifest(tmp_path / "out" / "train.jsonl")


def test_pretraining_chooses_its_soundfonts_itself(tmp_path: Path) -> None:
    options = ("--out", tmp_path, "--soundfont", "timgm6mb")
    assert "itself" in solfa("data", "render", "pretraining", *options, exit_code=2).output


def test_two_commands_do_not_fill_one_folder(tmp_path: Path, sources: Sources) -> None:
    with FolderLock(tmp_path / "out"), pytest.raises(BlockingIOError, match="another folder"):
        make_pretraining(tmp_path / "out", sources, hours=HOURS)
