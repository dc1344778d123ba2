import csv
import errno
import shutil
import stat
from pathlib import Path

import pytest

import zoo
from solfa.data.prepare import prepare_folder
from solfa_free.debian import PackageError
from solfa_free.free_music import (
    CORE,
    HELD_OUT,
    MID,
    fetch_free_music,
    is_held_out,
    list_tracks,
    package_and_composer,
)

needs_dpkg = pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="needs dpkg-deb")
BUBBLE = "frozen-bubble-data"  # three tracks
NEXUIZ = "nexuiz-music"  # its tracks are inside a zip archive


def fake_apt(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put an apt-get first on the path that runs ``script``; $3 is -q's follower, the package."""
    folder.mkdir(exist_ok=True)
    program = folder / "apt-get"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}:/usr/local/bin:/usr/bin:/bin")


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    folder = tmp_path / "cache"
    folder.mkdir()
    zoo.build_package(BUBBLE, folder)
    return folder


@needs_dpkg
def test_the_music_of_a_package_is_fetched_and_nothing_else(tmp_path: Path, cache: Path) -> None:
    fetch_free_music(tmp_path / "out", packages=[BUBBLE], cache=cache)
    folder = tmp_path / "out" / "audio" / BUBBLE
    names = {path.name for path in folder.rglob("*")}
    assert names == {"copyright", "frozen-mainzik-1p.ogg", "frozen-mainzik-2p.ogg", "introzik.ogg"}


@needs_dpkg
def test_music_inside_an_archive_of_a_package_is_fetched(tmp_path: Path) -> None:
    zoo.build_package(NEXUIZ, tmp_path)
    fetched = fetch_free_music(tmp_path / "out", packages=[NEXUIZ], cache=tmp_path)
    assert not fetched.failures
    assert len(fetched.tracks) == len(list_tracks([NEXUIZ])) == 18


@needs_dpkg
def test_fetched_files_carry_package_and_licence_into_the_manifest(tmp_path: Path, cache: Path) -> None:
    fetched = fetch_free_music(tmp_path / "out", packages=[BUBBLE], cache=cache)
    tracks = prepare_folder(tmp_path / "out" / "audio", tags=fetched.tags).tracks
    assert {(track.tags["package"], track.tags["licence"]) for track in tracks} == {(BUBBLE, "GPL-2")}


@needs_dpkg
def test_every_fetched_file_is_attributed(tmp_path: Path, cache: Path) -> None:
    fetched = fetch_free_music(tmp_path / "out", packages=[BUBBLE], cache=cache)
    with (tmp_path / "out" / "ATTRIBUTION.tsv").open(newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    assert [tmp_path / "out" / row["path"] for row in rows] == list(fetched.tracks)
    assert {row["licence"] for row in rows} == {"GPL-2"}


@needs_dpkg
def test_a_complete_package_is_not_fetched_again(tmp_path: Path, cache: Path) -> None:
    first = fetch_free_music(tmp_path / "out", packages=[BUBBLE], cache=cache)
    shutil.rmtree(cache)
    assert fetch_free_music(tmp_path / "out", packages=[BUBBLE], cache=cache) == first


@needs_dpkg
def test_an_interrupted_fetch_goes_on(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*args: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("solfa_free.free_music._place", interrupted)
        with pytest.raises(KeyboardInterrupt):
            fetch_free_music(tmp_path / "out", packages=[BUBBLE], cache=cache)
    assert not (tmp_path / "out" / "audio" / BUBBLE).exists()
    assert len(fetch_free_music(tmp_path / "out", packages=[BUBBLE], cache=cache).tracks) == 3
    assert not list((tmp_path / "out").glob(".*"))


@needs_dpkg
def test_more_hours_complete_a_package_that_was_fetched_in_part(tmp_path: Path, cache: Path) -> None:
    few = fetch_free_music(tmp_path / "out", packages=[BUBBLE], hours=0.05, cache=cache)
    all_ = fetch_free_music(tmp_path / "out", packages=[BUBBLE], cache=cache)
    assert (len(few.tracks), len(all_.tracks)) == (1, 3)


@needs_dpkg
def test_a_download_is_deleted_unless_there_is_a_cache(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_apt(tmp_path / "bin", f"cp {cache}/$3_1_all.deb .", monkeypatch)
    fetch_free_music(tmp_path / "out", packages=[BUBBLE])
    assert not list((tmp_path / "out").rglob("*.deb"))
    fetch_free_music(tmp_path / "again", packages=[BUBBLE], cache=tmp_path / "kept")
    assert [path.name for path in (tmp_path / "kept").iterdir()] == [f"{BUBBLE}_1_all.deb"]


@needs_dpkg
def test_a_track_that_the_package_has_no_longer_is_reported(tmp_path: Path) -> None:
    zoo.build_package(BUBBLE, tmp_path, n_tracks=2)
    fetched = fetch_free_music(tmp_path / "out", packages=[BUBBLE], cache=tmp_path)
    ((name, why),) = fetched.failures.items()
    assert "introzik.ogg" in name and "not in this version of the package" in why


@needs_dpkg
def test_a_damaged_package_does_not_stop_the_others(tmp_path: Path, cache: Path) -> None:
    zoo.build_package(NEXUIZ, tmp_path).rename(cache / f"{NEXUIZ}_1_all.deb")
    zoo.truncate(cache / f"{NEXUIZ}_1_all.deb")
    fetched = fetch_free_music(tmp_path / "out", packages=[NEXUIZ, BUBBLE], cache=cache)
    assert "is damaged" in fetched.failures[NEXUIZ] and "Delete it and run" in fetched.failures[NEXUIZ]
    assert len(fetched.tracks) == 3


def test_empty_package_lists_are_answered_with_the_cure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_apt(tmp_path / "bin", "echo 'E: Unable to locate package x' >&2; exit 100", monkeypatch)
    fetched = fetch_free_music(tmp_path / "out", packages=[BUBBLE])
    assert "apt-get update" in fetched.failures[BUBBLE]


def test_a_failed_download_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_apt(tmp_path / "bin", "touch half.deb; echo 'E: No space left on device' >&2; exit 100", monkeypatch)
    fetched = fetch_free_music(tmp_path / "out", packages=[BUBBLE])
    assert "No space left on device" in fetched.failures[BUBBLE]
    assert "run again" in fetched.failures[BUBBLE]


def test_a_machine_without_apt_is_told_what_it_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    fetched = fetch_free_music(tmp_path / "out", packages=[BUBBLE])
    assert "Run this on Debian or Ubuntu" in fetched.failures[BUBBLE]


@needs_dpkg
def test_a_full_disk_is_named_with_the_cure(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("shutil.copyfileobj", full)
    with pytest.raises(PackageError, match=r"No space left on device\)\. Make room"):
        fetch_free_music(tmp_path / "out", packages=[BUBBLE], cache=cache)


def test_an_unknown_package_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(PackageError, match=r"known in nonsense\. Give 'core'.*zaz-data"):
        fetch_free_music(tmp_path, packages=["nonsense"])


def test_core_has_the_hours_it_promises() -> None:
    tracks = list_tracks(CORE)
    assert len(CORE) == 25
    assert 24.5 < sum(track.seconds for track in tracks) / 3600 < 25.5


def test_mid_has_the_hours_it_promises() -> None:
    assert 32 < sum(track.seconds for track in list_tracks(MID)) / 3600 < 33.5


def test_oddly_licensed_tracks_are_left_out() -> None:
    names = {Path(track.path).name for track in list_tracks(["trackballs-data"])}
    assert len(names) == 6
    assert not names & {"c64revival.ogg", "crazy.ogg", "eurovision.ogg"}


@pytest.mark.parametrize(
    "package", ["drascula-music", "btanks-data", "searchandrescue-data", "cavepacker-data"]
)
def test_a_package_without_usable_music_is_not_offered(package: str) -> None:
    with pytest.raises(PackageError) as caught:
        list_tracks([package])
    assert package not in str(caught.value).partition("names out of:")[2]


def test_a_recording_is_listed_once() -> None:
    names = [track.path.rpartition("/")[2] for track in list_tracks(["warzone2100-music"])]
    assert "track3.opus" in names and "track3_enhanced.opus" not in names
    assert not any(track.path.endswith("guitar.ogg") for track in list_tracks(CORE))


def test_hours_are_filled_in_the_order_of_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_apt(tmp_path / "bin", "exit 1", monkeypatch)
    fetched = fetch_free_music(tmp_path, packages=["zaz-data", BUBBLE], hours=0.2)
    assert list(fetched.failures) == ["zaz-data"]


@pytest.mark.parametrize(
    "package", ["wesnoth-1.16-music", "hyperrogue-music", "0ad-data", "naev-data", "openclonk-data"]
)
def test_packages_for_retrieval_are_held_out(package: str) -> None:
    assert package.startswith(HELD_OUT)
    assert is_held_out({"package": package})


def test_a_split_keeps_packages_and_composers_whole() -> None:
    assert package_and_composer({"package": "zaz-data", "artist": "Paniq"}) == ["zaz-data", "paniq"]
    assert package_and_composer({"package": "zaz-data"}) == ["zaz-data"]


def test_titles_with_quotation_marks_are_read_as_they_are() -> None:
    assert 'Christian "Crystan" Hoffmann' in {track.artist for track in list_tracks(["ufoai-music"])}
