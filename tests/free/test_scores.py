import io
import itertools
import tarfile
from collections.abc import Sequence
from pathlib import Path

import mido
import numpy as np
import pytest

from solfa_free.debian import PackageError
from solfa_free.midi import read_midi
from solfa_free.pieces import MidiFile, choose_pieces, draw_split, midi_files, single_notes
from solfa_free.pop909 import Song, read_song, read_songs
from solfa_free.score import Control, Note, Score, ScoreError, Stretch
from solfa_free.soundfonts import SOURCES, fetch_soundfont

TICKS = 480
BEAT_SECONDS = 0.5


def midi_bytes(*messages: Sequence[object], name: str = "MELODY") -> bytes:
    """One track of (ticks since the last one, message)."""
    track = mido.MidiTrack([mido.MetaMessage("track_name", name=name, time=0)])
    track.extend(message.copy(time=ticks) for ticks, message in messages)
    file, out = mido.MidiFile(type=1, ticks_per_beat=TICKS, tracks=[track]), io.BytesIO()
    file.save(file=out)
    return out.getvalue()


def on(pitch: int, velocity: int = 80, channel: int = 0) -> "mido.Message":
    return mido.Message("note_on", note=pitch, velocity=velocity, channel=channel)


def off(pitch: int, channel: int = 0) -> "mido.Message":
    return mido.Message("note_off", note=pitch, channel=channel)


def read(*messages: Sequence[object]) -> Score:
    return read_midi(midi_bytes(*messages), "piece")


def tempo(bpm: float) -> "mido.MetaMessage":
    return mido.MetaMessage("set_tempo", tempo=mido.bpm2tempo(bpm))


def metre(numerator: int, denominator: int) -> "mido.MetaMessage":
    return mido.MetaMessage("time_signature", numerator=numerator, denominator=denominator)


def song_files(n_beats: int = 32) -> dict[str, bytes]:
    """A song of POP909's form: C major for four bars, then A minor; a chord each bar."""
    chords = list(
        itertools.islice(itertools.cycle((("C:maj", 60), ("F:maj", 65), ("G:maj", 67), ("A:min", 69))), 8)
    )
    notes = [(0, tempo(60 / BEAT_SECONDS))]
    for _, root in chords:
        notes += [(0, on(root)), (4 * TICKS, off(root))]
    beats = [f"{k * BEAT_SECONDS} {float(k % 2 == 0)} {float(k % 4 == 0)}" for k in range(n_beats)]
    spans = [f"{2.0 * k}\t{2.0 * k + 2.0}\t{name}" for k, (name, _) in enumerate(chords)]
    keys = "0.31\t8.06\tC:maj\n8.06\t15.9\tA:min\n"
    return {
        "007.mid": midi_bytes(*notes),
        "beat_midi.txt": "\n".join(beats).encode(),
        "chord_midi.txt": "\n".join(spans).encode(),
        "key_audio.txt": keys.encode(),
    }


def test_notes_follow_changes_of_tempo() -> None:
    score = read(
        (0, tempo(120)), (0, on(60)), (TICKS, off(60)), (0, tempo(60)), (0, on(62)), (TICKS, off(62))
    )
    assert [(note.start, note.end) for note in score.notes] == [(0.0, 0.5), (0.5, 1.5)]
    assert score.beats == (0.0, 0.5)


def test_a_note_on_without_velocity_ends_a_note() -> None:
    assert read((0, on(60)), (TICKS, on(60, velocity=0))).notes[0].end == 0.5


def test_a_program_holds_for_the_notes_after_it() -> None:
    change = mido.Message("program_change", program=40)
    score = read((0, on(60)), (TICKS, off(60)), (0, change), (0, on(62)), (TICKS, off(62)))
    assert [note.family for note in score.notes] == ["piano", "strings"]


def test_the_tenth_channel_is_drums() -> None:
    assert read((0, on(38, channel=9)), (TICKS, off(38, channel=9))).notes[0].family == "drums"


@pytest.mark.parametrize(
    ("signature", "beats", "downbeats"),
    [((4, 4), 8, 2), ((3, 4), 8, 3), ((6, 8), 6, 3), ((2, 2), 4, 2)],
)
def test_beats_are_those_of_the_metre(signature: tuple[int, int], beats: int, downbeats: int) -> None:
    score = read((0, metre(*signature)), (0, on(60)), (8 * TICKS, off(60)))
    assert (len(score.beats), len(score.downbeats)) == (beats, downbeats)


def test_tempo_is_that_of_the_beats() -> None:
    score = read((0, tempo(132)), (0, on(60)), (8 * TICKS, off(60)))
    assert score.tempo_bpm == pytest.approx(132, abs=0.01)


def test_what_is_no_midi_file_is_refused_with_the_cure() -> None:
    with pytest.raises(ScoreError, match="Leave it out"):
        read_midi(b"MThd nothing", "piece")


def test_a_file_without_notes_is_refused() -> None:
    with pytest.raises(ScoreError, match="holds no notes"):
        read((0, tempo(120)))


def test_an_excerpt_begins_at_zero_and_knows_what_was_set_before() -> None:
    score = Score(
        name="piece",
        notes=(Note(start=0.0, end=2.0, pitch=60), Note(start=3.0, end=9.0, pitch=62)),
        seconds=10.0,
        controls=(Control(seconds=0.5, channel=0, number=7, value=50),),
        beats=(0.0, 2.0, 4.0),
        downbeats=(0.0, 4.0),
        chords=(Stretch(start=0.0, end=3.0, name="C:maj"), Stretch(start=3.0, end=10.0, name="G:maj")),
    )
    part = score.crop(1.0, 4.0)
    assert [(note.start, note.end) for note in part.notes] == [(0.0, 1.0), (2.0, 4.0)]
    assert (part.seconds, part.beats, part.downbeats) == (4.0, (1.0, 3.0), (3.0,))
    assert [(chord.start, chord.end) for chord in part.chords] == [(0.0, 2.0), (2.0, 4.0)]
    assert part.controls == (Control(seconds=0.0, channel=0, number=7, value=50),)


def test_a_melody_sings_one_note_at_a_time() -> None:
    notes = (
        Note(start=0.0, end=2.0, pitch=60, part="MELODY"),
        Note(start=1.0, end=3.0, pitch=62, part="MELODY"),
        Note(start=1.0, end=3.0, pitch=50, part="MELODY"),
        Note(start=1.5, end=3.0, pitch=40, part="PIANO"),
    )
    line = Score(name="piece", notes=notes, seconds=3.0, melody="MELODY").melody_line()
    assert [(note.start, note.end, note.pitch) for note in line] == [(0.0, 1.0, 60), (1.0, 3.0, 62)]


def test_a_song_of_pop909_has_its_labels_on_the_clock_of_its_notes() -> None:
    score = read_song(Song("007", song_files()))
    assert {note.start for note in score.notes} <= set(score.downbeats)
    assert [chord.start for chord in score.chords] == [note.start for note in score.notes]
    assert len(score.melody_line()) == 8


def test_keys_of_pop909_change_at_a_downbeat_of_the_notes() -> None:
    keys = read_song(Song("007", song_files())).keys
    assert [(key.start, key.end, key.name) for key in keys] == [(0.0, 8.0, "C major"), (8.0, 16.0, "A minor")]


def test_an_archive_of_pop909_gives_what_its_folder_gives(tmp_path: Path) -> None:
    folder = tmp_path / "POP909" / "007"
    folder.mkdir(parents=True)
    for name, content in song_files().items():
        (folder / name).write_bytes(content)
    with tarfile.open(tmp_path / "songs.tar.xz", "w:xz") as archive:
        archive.add(tmp_path / "POP909", "POP909")
    from_folder, from_archive = (list(read_songs(tmp_path / name)) for name in ("POP909", "songs.tar.xz"))
    assert from_folder == from_archive
    assert [song.name for song in from_folder] == ["pop909-007"]


@pytest.mark.parametrize("name", ["beat_midi.txt", "key_audio.txt", "007.mid"])
def test_a_song_that_lacks_a_file_is_refused_with_the_cure(name: str) -> None:
    files = song_files()
    del files[name]
    with pytest.raises(ScoreError, match=rf"lacks {name}.*Fetch"):
        read_song(Song("007", files))


@pytest.mark.parametrize("name", ["beat_midi.txt", "chord_midi.txt", "key_audio.txt"])
def test_broken_labels_of_a_song_are_refused_by_name(name: str) -> None:
    with pytest.raises(ScoreError, match=rf"{name} of song 007"):
        read_song(Song("007", song_files() | {name: b"nothing of the kind\n"}))


def test_an_archive_of_something_else_is_refused_with_the_cure(tmp_path: Path) -> None:
    (tmp_path / "other.tar").write_bytes(b"no archive at all")
    with pytest.raises(ScoreError, match="POP909-Dataset"):
        list(read_songs(tmp_path / "other.tar"))


def test_splits_have_their_shares_and_do_not_depend_on_others() -> None:
    drawn = [draw_split(f"piece {k}") for k in range(4000)]
    shares = [drawn.count(split) / len(drawn) for split in ("train", "valid", "test")]
    assert np.allclose(shares, (0.7, 0.1, 0.2), atol=0.02)


def test_fewer_pieces_are_some_of_more() -> None:
    pieces = single_notes()
    few, many = choose_pieces(pieces, 10), choose_pieces(pieces, 100)
    assert few == many[:10]
    assert {piece.split for piece in choose_pieces(pieces, 50, "test")} == {"test"}


def test_no_instrument_of_single_notes_stands_on_two_sides() -> None:
    sides = {(piece.group, piece.split) for piece in single_notes()}
    assert len(sides) == len({group for group, _ in sides}) == 60


def test_midi_files_of_like_names_stay_apart(tmp_path: Path) -> None:
    for name in ("a b.mid", "a-b.mid"):
        (tmp_path / name).touch()
    pieces = midi_files(tmp_path)
    assert all(isinstance(piece, MidiFile) for piece in pieces)
    assert len({piece.name for piece in pieces}) == 2


def test_a_folder_without_midi_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ScoreError, match="Give a folder that does"):
        midi_files(tmp_path)


def test_an_unknown_soundfont_is_answered_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(PackageError, match="timgm6mb, musescore-lite, fluidr3"):
        fetch_soundfont("nonsense", tmp_path)


def test_another_version_of_a_soundfont_is_refused_with_the_cure(tmp_path: Path) -> None:
    (tmp_path / Path(SOURCES["timgm6mb"].path).name).write_bytes(b"RIFF another")
    with pytest.raises(PackageError, match="Delete it and fetch timgm6mb-soundfont"):
        fetch_soundfont("timgm6mb", tmp_path)


def test_a_soundfont_of_ones_own_is_taken_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "Mine.sf2"
    path.write_bytes(b"RIFF")
    assert fetch_soundfont(str(path)).name == "mine"
