"""All values of a tag are kept, in whatever container; a tag never costs a track, or its time."""

from pathlib import Path

import av
import numpy as np
import pytest

import zoo
from solfa.data import tags
from solfa.data.prepare import prepare_file
from solfa.data.tags import read_tags, values_of


def test_further_values_and_disc_and_track_numbers_are_kept(tmp_path: Path) -> None:
    path = zoo.write_tagged(
        tmp_path / "a.flac",
        [
            ("TITLE", "One; Two"), ("ARTIST", "A"), ("ARTIST", "B"), ("GENRE", "Rock"), ("GENRE", "Indie"),
            ("TRACKNUMBER", "3"), ("TRACKTOTAL", "12"), ("DISCNUMBER", "2"), ("DISCTOTAL", "2"),
            ("BPM", "128"), ("DATE", "2001-05-06"),
        ],
    )  # fmt: skip
    found = read_tags(path)
    assert found == {
        "title": "One; Two", "artist": "A; B", "genre": "Rock; Indie", "year": "2001-05-06", "track": "3",
        "track_total": "12", "disc": "2", "disc_total": "2", "bpm": "128",
    }  # fmt: skip
    assert values_of(found["artist"]) == ["A", "B"]


def test_names_that_stand_in_one_text_are_several(tmp_path: Path) -> None:
    path = zoo.write_tagged(tmp_path / "a.flac", [("ARTIST", "A;B"), ("TITLE", "A;B")])
    assert read_tags(path) == {"artist": "A; B", "title": "A;B"}


def test_tags_of_matroska_are_read(tmp_path: Path) -> None:
    samples = zoo.music(1.5)
    with av.open(tmp_path / "a.mka", "w", format="matroska") as container:
        container.metadata.update({"title": "Song", "artist": "A;B", "DISC": "2/3", "date": "1999"})
        stream = container.add_stream("pcm_s16le", rate=48000, layout="stereo")
        block = np.ascontiguousarray((samples * 32767).astype(np.int16).reshape(1, -1))
        frame = av.AudioFrame.from_ndarray(block, format="s16", layout="stereo")
        frame.sample_rate = 48000
        container.mux(stream.encode(frame))
    found = read_tags(tmp_path / "a.mka")
    assert (found["title"], found["artist"], found["year"]) == ("Song", "A; B", "1999")
    assert (found["disc"], found["disc_total"]) == ("2", "3")


def test_a_wrong_name_does_not_cost_the_tags(tmp_path: Path) -> None:
    path = zoo.write_tagged(tmp_path / "a.flac", [("TITLE", "Song")]).rename(tmp_path / "a.mp3")
    assert read_tags(path) == {"title": "Song"}


@pytest.mark.parametrize("error", [ValueError, AttributeError, MemoryError, RecursionError, UnicodeError])
def test_whatever_a_parser_raises_the_track_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def fail(*arguments: object, **named: object) -> None:
        raise error("of a parser")

    monkeypatch.setattr(tags.tinytag.TinyTag, "get", fail)
    track = prepare_file(zoo.write(tmp_path / "a.wav", zoo.music(1.5)))
    assert getattr(track, "tags", None) == {}


def test_empty_chunks_without_end_are_not_read_to_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = zoo.write(tmp_path / "a.wav", zoo.music(1.5))
    with path.open("r+b") as file:
        file.truncate(400_000_000)  # of zeros, which the disk does not hold
    reads = []
    read = tags._Patient.read
    monkeypatch.setattr(tags._Patient, "read", lambda file, size=-1: reads.append(size) or read(file, size))
    assert read_tags(path) == {}
    assert len(reads) < 2 * tags.MOST_READS  # of 50 million
