import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile

from solfa_free.debian import PackageError
from solfa_free.real_sounds import choose_drums, choose_tracks, drum_kind, sound_kind
from solfa_free.recordings import CutConfig, Files, Recorded, Recording, choose_by_lot, cut_recordings
from synth import tone

needs_dpkg = pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="needs dpkg-deb")
KITS = "usr/share/hydrogen/data/drumkits"


def build_drums(folder: Path, sounds: dict[str, np.ndarray], package: str = "hydrogen-drumkits") -> Path:
    """A .deb with these sounds."""
    root = folder / "root" / package
    (root / "DEBIAN").mkdir(parents=True)
    (root / "DEBIAN" / "control").write_text(
        f"Package: {package}\nVersion: 1\nArchitecture: all\nDescription: x\nMaintainer: N <n@example.org>\n"
    )
    for name, waveform in sounds.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, waveform, 44_100)
    deb = folder / f"{package}_1_all.deb"
    subprocess.run(["dpkg-deb", "--build", "-Znone", str(root), str(deb)], check=True, capture_output=True)
    return deb


def beep(hz: float, seconds: float = 0.7) -> np.ndarray:
    return tone(hz, seconds, sample_rate=44_100)


def cut(tmp_path: Path, packages: Sequence[str] = ("hydrogen-drumkits",), **options: object) -> Recorded:
    config = CutConfig(**options)  # type: ignore[arg-type]
    return cut_recordings(packages, choose_drums, tmp_path / "out", config=config, cache=tmp_path)


def rows(tmp_path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (tmp_path / "out" / "labels.jsonl").read_text().splitlines()]


@needs_dpkg
def test_a_drum_is_cut_and_keeps_its_kit_and_its_source(tmp_path: Path) -> None:
    build_drums(tmp_path, {f"{KITS}/Audiophob/kick.wav": beep(440, 3.0)})
    assert cut(tmp_path).n_recordings == 1
    (row,) = rows(tmp_path)
    assert (row["split"], row["group"], row["seconds"]) == ("train", "kit Audiophob", 2.0)
    assert row["source"] == f"{KITS}/Audiophob/kick.wav"
    waveform, rate = soundfile.read(tmp_path / "out" / str(row["path"]))
    spectrum = np.abs(np.fft.rfft(waveform))
    assert rate == 24_000
    assert np.argmax(spectrum) / 2.0 == pytest.approx(440, abs=1)


@needs_dpkg
def test_a_short_sound_is_followed_by_silence_and_a_silent_one_left_out(tmp_path: Path) -> None:
    sounds = {
        f"{KITS}/Audiophob/kick.wav": beep(440, 0.1),
        f"{KITS}/Audiophob/snare.wav": np.zeros(9000),
    }
    build_drums(tmp_path, sounds)
    done = cut(tmp_path)
    assert [row["seconds"] for row in rows(tmp_path)] == [0.5]
    assert [why for name, why in done.failures.items() if "snare" in name] == [
        "cannot be used (silent); it is left out"
    ]


@needs_dpkg
def test_the_same_sound_is_kept_once_and_not_at_all_under_two_kinds(tmp_path: Path) -> None:
    sounds = {
        f"{KITS}/Audiophob/kick.wav": beep(440),
        f"{KITS}/ForzeeStereo/kick.wav": beep(440),
        f"{KITS}/Audiophob/clap.wav": beep(500),
        f"{KITS}/Audiophob/snare.wav": beep(500),
    }
    build_drums(tmp_path, sounds)
    assert cut(tmp_path).n_repeated == 3
    assert [row["tags"]["kind"] for row in rows(tmp_path)] == ["kick"]  # type: ignore[index]


@needs_dpkg
def test_a_complete_package_is_not_opened_again(tmp_path: Path) -> None:
    deb = build_drums(tmp_path, {f"{KITS}/Audiophob/kick.wav": beep(440)})
    cut(tmp_path)
    deb.write_bytes(b"broken")
    assert cut(tmp_path).n_known == 1


@needs_dpkg
def test_a_package_that_fails_does_not_stop_the_others(tmp_path: Path) -> None:
    build_drums(tmp_path, {f"{KITS}/Audiophob/kick.wav": beep(440)})
    (tmp_path / "lmms-common_1_all.deb").write_bytes(b"broken")
    done = cut(tmp_path, ("lmms-common", "hydrogen-drumkits"))
    assert done.n_recordings == 1
    assert "Delete it and run" in done.failures["lmms-common"]


def test_a_folder_holds_one_way_of_cutting(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "recorded.json").write_text('{"sample_rate": 8000}')
    with pytest.raises(PackageError, match="Give another folder"):
        cut(tmp_path)


def test_the_lot_is_the_same_each_time_and_for_each_kind() -> None:
    def one(number: int) -> Recording:
        tags = {"kind": "ab"[number % 2]}
        return Recording(
            package="p", path=f"{number}.wav", split="train", group="g", licence="", tags=tags, seconds=1.0
        )

    chosen = choose_by_lot([one(n) for n in range(10)], 2)
    assert sorted(r.tags["kind"] for r in chosen) == ["a", "a", "b", "b"]
    assert {r.name for r in choose_by_lot([one(n) for n in reversed(range(10))], 2)} == {
        r.name for r in chosen
    }


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("kits/Kit/Hihat Closed 1.wav", "hat"),
        ("kits/Kit/HH_Open.wav", "open hat"),
        ("kits/Kit/SideStick.flac", "rim"),
        ("kits/Millo_MultiLayered3/ft_01.flac", "tom"),
        ("lmms/samples/drums/bassdrum01.ogg", "kick"),
        ("lmms/samples/beats/house_loop01.ogg", None),
        ("lmms/samples/bassloops/kick01.ogg", None),
        ("kits/Kit/whistle.wav", None),
    ],
)
def test_names_say_the_kind_of_a_drum(path: str, kind: str | None) -> None:
    assert drum_kind(path) == kind


@pytest.mark.parametrize(
    ("path", "is_music", "kind"),
    [
        ("usr/share/games/hedgewars/Data/Sounds/voices/Pirate/Boo.ogg", False, "voice"),
        ("usr/share/games/hedgewars/Data/Sounds/explosion.ogg", False, "effect"),
        ("usr/share/games/hedgewars/Data/Music/Castle.ogg", True, "music"),
        ("usr/share/games/x/music/jingle.ogg", False, None),
    ],
)
def test_folders_say_what_a_sound_is(path: str, is_music: bool, kind: str | None) -> None:
    assert sound_kind(path, is_music=is_music) == kind


def test_a_track_stands_for_its_game_and_for_the_scene_in_its_name() -> None:
    files: Files = list
    tracks = choose_tracks("naev-data", files)
    assert {one.tags["game"] for one in tracks} == {"naev"}
    assert {"train", "valid", "test"} <= {one.tags["turn"] for one in tracks}
    assert any("battle" in one.tags["scenes"] for one in tracks if "combat" in one.path)
    assert len({one.name for one in tracks}) == len(tracks)
