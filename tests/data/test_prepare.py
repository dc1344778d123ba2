import hashlib
import os
from pathlib import Path

import pytest
import soundfile

import zoo
from solfa.data.manifest import read_manifest, write_manifest
from solfa.data.prepare import NoAudioError, prepare_folder, write_refused


@pytest.fixture(scope="module")
def bad_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bad files")
    for name, (make, _, _) in zoo.BAD.items():
        make(folder / name)
    zoo.write(folder / "good.ogg", zoo.music(2.0))
    return folder


@pytest.fixture(scope="module")
def refusals(bad_files: Path) -> dict[str, str]:
    return {item.path.name: item.reason for item in prepare_folder(bad_files).refused}


@pytest.mark.parametrize("name", zoo.BAD)
def test_a_bad_file_is_refused_with_reason_and_cure(refusals: dict[str, str], name: str) -> None:
    _, reason, cure = zoo.BAD[name]
    assert reason in refusals[name]
    assert cure in refusals[name]


def test_bad_files_do_not_cost_the_good_one(bad_files: Path) -> None:
    assert [track.path.name for track in prepare_folder(bad_files).tracks] == ["good.ogg"]


@pytest.mark.parametrize("kind", zoo.FORMATS)
def test_a_good_file_is_described(tmp_path: Path, kind: str) -> None:
    path = zoo.write(tmp_path / f"a.{kind}", zoo.music(2.0, 48000), 48000)
    (track,) = prepare_folder(tmp_path).tracks
    assert track.seconds == pytest.approx(2.0, abs=0.08)
    assert (track.sample_rate, track.n_channels) == (48000, 2)
    assert track.content_hash == hashlib.sha256(path.read_bytes()).hexdigest()
    assert track.decoder


def test_tags_of_a_file_are_kept(tmp_path: Path) -> None:
    with soundfile.SoundFile(tmp_path / "a.flac", "w", 48000, 2, format="FLAC") as file:
        file.title, file.artist = "Prelude", "Somebody"
        file.write(zoo.music(1.5))
    (track,) = prepare_folder(tmp_path, tags=lambda path: {"licence": "CC0"}).tracks
    assert track.tags == {"title": "Prelude", "artist": "Somebody", "licence": "CC0"}


@pytest.mark.parametrize(
    "name", ["two words.wav", "\N{MUSICAL KEYBOARD}.wav", "line\nbreak.wav", os.fsdecode(b"caf\xe9.wav")]
)
def test_odd_names_come_through_to_the_manifest(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    zoo.write(tmp_path / "plain.wav", zoo.music(1.0)).rename(path)
    write_manifest(prepare_folder(tmp_path).tracks, tmp_path / "tracks.jsonl")
    assert read_manifest(tmp_path / "tracks.jsonl")[0].path == path


def test_a_refused_file_of_an_odd_name_is_reported(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"caf\xe9\n.mp3")).touch()
    refused = prepare_folder(tmp_path).refused
    write_refused(refused, tmp_path / "refused.jsonl")
    assert "0 bytes" in (tmp_path / "refused.jsonl").read_text()


def test_a_loop_of_links_is_walked_once(tmp_path: Path) -> None:
    (tmp_path / "album").mkdir()
    zoo.write(tmp_path / "album" / "a.wav", zoo.music(1.0))
    (tmp_path / "album" / "again").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "self.wav").symlink_to(tmp_path / "self.wav")
    prepared = prepare_folder(tmp_path)
    assert [track.path for track in prepared.tracks] == [tmp_path / "album" / "a.wav"]


def test_a_link_to_nothing_is_refused_with_the_cure(tmp_path: Path) -> None:
    zoo.write(tmp_path / "a.wav", zoo.music(1.0))
    (tmp_path / "gone.wav").symlink_to(tmp_path / "nowhere.wav")
    (refused,) = prepare_folder(tmp_path).refused
    assert "link to nothing" in refused.reason and "check the file" in refused.reason


def test_linked_folders_are_entered(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "music").mkdir()
    zoo.write(tmp_path / "elsewhere" / "a.wav", zoo.music(1.0))
    (tmp_path / "music" / "link").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    assert len(prepare_folder(tmp_path / "music").tracks) == 1


def test_covers_and_texts_are_counted_and_passed_over(tmp_path: Path) -> None:
    zoo.write(tmp_path / "a.wav", zoo.music(1.0))
    (tmp_path / "cover.jpg").touch()
    (tmp_path / "words.txt").touch()
    prepared = prepare_folder(tmp_path)
    assert (len(prepared.tracks), prepared.refused, prepared.n_skipped) == (1, [], 2)


def test_shorter_files_are_taken_if_allowed(tmp_path: Path) -> None:
    zoo.write(tmp_path / "note.wav", zoo.music(0.2))
    assert len(prepare_folder(tmp_path, min_seconds=0.1).tracks) == 1


def test_the_answer_does_not_depend_on_the_number_of_workers(bad_files: Path) -> None:
    assert prepare_folder(bad_files, n_workers=1) == prepare_folder(bad_files, n_workers=4)


def test_progress_counts_every_file(bad_files: Path) -> None:
    told: list[tuple[int, int]] = []
    prepare_folder(bad_files, progress=lambda n_done, n_all: told.append((n_done, n_all)))
    n_files = len(zoo.BAD) + 1
    assert told == [(number, n_files) for number in range(1, n_files + 1)]


def test_a_folder_that_does_not_exist_is_named_with_the_cure(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere' does not exist\. Give a folder"):
        prepare_folder(tmp_path / "nowhere")


def test_an_empty_folder_is_named_with_the_cure(tmp_path: Path) -> None:
    with pytest.raises(NoAudioError, match=r"is empty\. Give a folder"):
        prepare_folder(tmp_path)


def test_a_folder_without_audio_is_named_with_the_cure(tmp_path: Path) -> None:
    (tmp_path / "words.txt").touch()
    with pytest.raises(
        NoAudioError, match=r"1 files but no audio\. Give a folder with files that end on .*\.flac"
    ):
        prepare_folder(tmp_path)
