"""Tracks of any length become hidden states and vectors, whatever the batch, order or interruption."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import solfa
from solfa.data.audio import AudioError
from solfa.data.manifest import read_manifest, write_manifest
from solfa.data.prepare import prepare_folder
from solfa.embedding import (
    Batching,
    EmbeddingStore,
    SpaceError,
    StoreError,
    WindowConfig,
    describe_space,
    hidden_states,
    read_frames,
    read_store,
    store,
)
from solfa.embedding.windows import cut_windows
from solfa.frames import FrameGrid
from solfa.models import AudioEncoder
from synth import melody, noise

WriteWav = Callable[[Path, np.ndarray], Path]
SHORT = WindowConfig(window_seconds=4.0, context_seconds=1.0)
GRID = FrameGrid(24_000, 960)


@pytest.fixture
def music(tmp_path: Path, write_wav: WriteWav) -> Path:
    """A folder of five tracks of 2 to 6 seconds."""
    for n in range(5):
        write_wav(tmp_path / "music" / f"track {n}.wav", melody(2.0 + n, seed=n))
    return tmp_path / "music"


def space_of(encoder: AudioEncoder, layer: int = 2) -> solfa.embedding.Space:
    return describe_space(encoder, "tiny", layer=layer, pool="mean", windows=SHORT)


def extend(
    folder: Path, music: Path, encoder: AudioEncoder, **arguments: object
) -> solfa.embedding.Extraction:
    with EmbeddingStore(folder, space_of(encoder)) as store:
        return store.extend(sorted(music.iterdir()), encoder, **arguments)  # type: ignore[arg-type]


# Windows


@pytest.mark.parametrize("seconds", [0.1, 1.0, 3.99, 4.0, 4.01, 5.9, 6.0, 6.02, 13.7])
def test_windows_take_every_frame_once(tmp_path: Path, seconds: float) -> None:
    n_samples = round(seconds * 24_000)
    ramp = np.linspace(-1, 1, n_samples).astype(np.float32)
    soundfile.write(tmp_path / "ramp.wav", ramp, 24_000, subtype="FLOAT")
    taken = []
    for window in cut_windows(tmp_path / "ramp.wav", GRID, SHORT):
        first_sample = int(np.searchsorted(ramp, window.waveform[0]))
        assert first_sample % 960 == 0
        n_frames = -(-len(window.waveform) // 960)
        taken += [first_sample // 960 + frame for frame in range(n_frames)[window.taken]]
        assert len(window.waveform) <= 4 * 24_000
    assert taken == list(range(-(-n_samples // 960)))


def test_every_frame_inside_a_track_has_context_on_both_sides(tmp_path: Path, write_wav: WriteWav) -> None:
    path = write_wav(tmp_path / "a.wav", noise(13.7))
    windows = list(cut_windows(path, GRID, SHORT))
    assert all(window.taken.start >= 25 for window in windows[1:])
    assert all(window.taken.stop <= 100 - 25 for window in windows[:-1])


def test_a_window_without_a_centre_is_refused() -> None:
    with pytest.raises(ValueError, match="Make window_seconds more than twice context_seconds"):
        WindowConfig(window_seconds=10.0, context_seconds=5.0)


@pytest.mark.parametrize("seconds", [1.0, 3.99])
def test_a_track_shorter_than_a_window_is_exact(
    tmp_path: Path, tiny_encoder: AudioEncoder, write_wav: WriteWav, seconds: float
) -> None:
    path = write_wav(tmp_path / "a.wav", melody(seconds))
    waveform = torch.from_numpy(soundfile.read(path, dtype="float32")[0])
    states = hidden_states(path, tiny_encoder, [0, 1, 2], windows=SHORT).states
    torch.testing.assert_close(states, tiny_encoder(waveform[None]).layers[:, 0], rtol=0, atol=1e-6)


def test_windows_lie_on_the_frame_grid_of_the_whole_track(
    tmp_path: Path, tiny_encoder: AudioEncoder, write_wav: WriteWav
) -> None:
    path = write_wav(tmp_path / "a.wav", melody(13.7))
    whole = hidden_states(path, tiny_encoder, [0], windows=WindowConfig(window_seconds=60.0)).states
    cut = hidden_states(path, tiny_encoder, [0], windows=SHORT).states
    torch.testing.assert_close(cut, whole, rtol=0, atol=1e-5)  # layer 0 sees less than the context


def test_stitched_windows_stay_close_to_a_longer_window(
    tmp_path: Path, tiny_encoder: AudioEncoder, write_wav: WriteWav
) -> None:
    path = write_wav(tmp_path / "a.wav", melody(13.7))
    whole = hidden_states(path, tiny_encoder, [2], windows=WindowConfig(window_seconds=60.0)).states
    cut = hidden_states(path, tiny_encoder, [2], windows=SHORT).states
    assert torch.cosine_similarity(cut, whole, dim=-1).min() > 0.99


def test_frame_times_are_those_of_the_frame_rate(
    tmp_path: Path, tiny_encoder: AudioEncoder, write_wav: WriteWav
) -> None:
    found = hidden_states(write_wav(tmp_path / "a.wav", melody(5.0)), tiny_encoder, [-1], windows=SHORT)
    np.testing.assert_allclose(found.times, np.arange(125) / 25)
    assert found.states.shape == (1, 125, 16)


def test_another_sample_rate_gives_nearly_the_same_vector(tmp_path: Path, tiny_encoder: AudioEncoder) -> None:
    for rate in (24_000, 44_100):
        soundfile.write(tmp_path / f"{rate}.flac", melody(9.0, sample_rate=rate), rate)
    low, high = solfa.embed(sorted(tmp_path.iterdir()), tiny_encoder, windows=SHORT)
    assert torch.cosine_similarity(low, high, dim=0) > 0.99


# Vectors


def test_a_vector_is_the_mean_of_all_frames(tiny_encoder: AudioEncoder, music: Path) -> None:
    for path, vector in zip(
        sorted(music.iterdir()), solfa.embed(music, tiny_encoder, windows=SHORT), strict=True
    ):
        states = hidden_states(path, tiny_encoder, [tiny_encoder.default_layer], windows=SHORT).states
        torch.testing.assert_close(vector, states[0].mean(0), rtol=1e-5, atol=1e-6)


def test_mean_and_deviation_are_joined(tiny_encoder: AudioEncoder, music: Path) -> None:
    path = music / "track 4.wav"
    states = hidden_states(path, tiny_encoder, [1], windows=SHORT).states[0]
    vector = solfa.embed(path, tiny_encoder, layer=1, pool="mean+std", windows=SHORT)
    expected = torch.cat([states.mean(0), states.std(0, correction=0)])
    torch.testing.assert_close(vector[0], expected, rtol=1e-4, atol=1e-5)
    assert vector.dtype == torch.float32


def test_a_vector_depends_neither_on_batch_nor_on_order(tiny_encoder: AudioEncoder, music: Path) -> None:
    paths = sorted(music.iterdir())
    alone = torch.cat([solfa.embed(path, tiny_encoder, windows=SHORT) for path in paths])
    together = solfa.embed(paths, tiny_encoder, windows=SHORT, windows_at_once=7)
    backwards = solfa.embed(paths[::-1], tiny_encoder, windows=SHORT, windows_at_once=3)
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-5)
    torch.testing.assert_close(backwards.flip(0), alone, rtol=0, atol=1e-5)


def test_embed_takes_names_folders_and_manifests(tiny_run: Path, music: Path, tmp_path: Path) -> None:
    write_manifest(prepare_folder(music).tracks, tmp_path / "tracks.jsonl")
    of_folder = solfa.embed(str(music), str(tiny_run))
    of_manifest = solfa.embed(tmp_path / "tracks.jsonl", tiny_run)
    assert of_folder.shape == (5, 16)
    torch.testing.assert_close(of_folder, of_manifest)


def test_embed_says_which_file_is_bad(tiny_encoder: AudioEncoder, music: Path) -> None:
    (music / "track 5.wav").write_text("words")
    with pytest.raises(AudioError, match=r"track 5.wav"):
        solfa.embed(music, tiny_encoder)


def test_a_track_too_short_for_the_encoder_is_refused(
    tmp_path: Path, tiny_encoder: AudioEncoder, write_wav: WriteWav
) -> None:
    with pytest.raises(AudioError, match=r"a.wav.*too short.*Pad it with zeros, or leave it out"):
        solfa.embed(write_wav(tmp_path / "a.wav", noise(0.02)), tiny_encoder)


def test_a_file_shorter_than_it_promises_is_refused(tiny_encoder: AudioEncoder, tmp_path: Path) -> None:
    path = tmp_path / "a.flac"
    soundfile.write(path, melody(8.0), 24_000)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(AudioError, match=r"truncated|damaged"):
        solfa.embed(path, tiny_encoder)


def test_a_missing_file_is_named(tiny_encoder: AudioEncoder, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no file or folder.*gone.wav"):
        solfa.embed(tmp_path / "gone.wav", tiny_encoder)


def test_an_unknown_layer_is_refused(tiny_encoder: AudioEncoder, music: Path) -> None:
    with pytest.raises(ValueError, match="no layer 3: this encoder has 2 layers, numbered 1 to 2"):
        solfa.embed(music, tiny_encoder, layer=3)


def test_an_encoder_in_training_mode_is_refused(tiny_run: Path, music: Path) -> None:
    with pytest.raises(ValueError, match=r"Call encoder.eval\(\)"):
        solfa.embed(music, solfa.load(tiny_run).train())


# Store


def test_a_store_holds_the_vectors_that_embed_gives(
    tiny_encoder: AudioEncoder, music: Path, tmp_path: Path
) -> None:
    done = extend(tmp_path / "store", music, tiny_encoder)
    tracks, vectors = read_store(tmp_path / "store")
    assert (done.n_embedded, done.n_known, done.refused) == (5, 0, [])
    assert [track.path for track in tracks] == sorted(music.iterdir())
    torch.testing.assert_close(vectors, solfa.embed(music, tiny_encoder, windows=SHORT), rtol=0, atol=1e-5)


def test_the_list_of_a_store_is_a_manifest(tiny_encoder: AudioEncoder, music: Path, tmp_path: Path) -> None:
    extend(tmp_path / "store", music, tiny_encoder)
    tracks = read_manifest(tmp_path / "store" / "tracks.jsonl")
    assert tracks == read_store(tmp_path / "store")[0]


def test_a_store_says_how_it_was_made(tiny_encoder: AudioEncoder, music: Path, tmp_path: Path) -> None:
    extend(tmp_path / "store", music, tiny_encoder)
    said = json.loads((tmp_path / "store" / "store.json").read_text())
    assert said["space"]["sample_rate"] == 24_000 and said["space"]["frame_rate"] == 25.0
    assert len(said["space"]["weights"]) == 64
    assert said["made_with"].keys() == {"solfa", "torch", "resampler"}


def test_a_second_run_computes_nothing(tiny_encoder: AudioEncoder, music: Path, tmp_path: Path) -> None:
    extend(tmp_path / "store", music, tiny_encoder)
    before = (tmp_path / "store" / "vectors.npy").read_bytes()
    done = extend(tmp_path / "store", music, tiny_encoder)
    assert (done.n_embedded, done.n_known) == (0, 5)
    assert (tmp_path / "store" / "vectors.npy").read_bytes() == before


def test_an_interrupted_run_goes_on_where_it_was(
    tiny_encoder: AudioEncoder, music: Path, tmp_path: Path
) -> None:
    def interrupt(n_done: int, name: str) -> None:
        if n_done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        extend(tmp_path / "store", music, tiny_encoder, progress=interrupt)
    done = extend(tmp_path / "store", music, tiny_encoder)
    assert (done.n_embedded, done.n_known) == (3, 2)
    vectors = read_store(tmp_path / "store")[1]
    torch.testing.assert_close(vectors, solfa.embed(music, tiny_encoder, windows=SHORT), rtol=0, atol=1e-5)


def test_what_a_killed_run_left_half_written_is_cut_off(
    tiny_encoder: AudioEncoder, music: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "store"
    extend(folder, music, tiny_encoder)
    expected = read_store(folder)[1]
    with (folder / "vectors.npy").open("ab") as file:
        file.write(b"half a row")
    with (folder / "tracks.jsonl").open("rb+") as file:
        file.truncate((folder / "tracks.jsonl").stat().st_size - 20)
    assert len(read_store(folder)[0]) == 4
    done = extend(folder, music, tiny_encoder)
    assert done.n_embedded == 1
    torch.testing.assert_close(read_store(folder)[1], expected)
    assert np.load(folder / "vectors.npy").shape == (5, 16)


def test_bad_files_are_reported_and_the_rest_goes_on(
    tiny_encoder: AudioEncoder, music: Path, tmp_path: Path, write_wav: WriteWav
) -> None:
    (music / "track 0b.mp3").write_text("These are words.\n" * 99)
    (music / "track 1b.wav").touch()
    write_wav(music / "track 2b.wav", noise(0.01))
    write_wav(music / "track 3b.wav", np.zeros(48_000))
    done = extend(tmp_path / "store", music, tiny_encoder, batching=Batching(windows_at_once=3, n_workers=2))
    assert done.n_embedded == 5
    report = [json.loads(line) for line in (tmp_path / "store" / "refused.jsonl").read_text().splitlines()]
    reasons = {Path(line["path"]).name: line["reason"] for line in report}
    assert reasons.keys() == {"track 0b.mp3", "track 1b.wav", "track 2b.wav", "track 3b.wav"}
    for name, word in (
        ("0b.mp3", "not audio"),
        ("1b.wav", "0 bytes"),
        ("2b.wav", "too short"),
        ("3b.wav", "silent"),
    ):
        assert word in reasons[f"track {name}"]


def test_a_file_that_vanishes_is_reported_and_the_rest_goes_on(
    tiny_encoder: AudioEncoder, music: Path, tmp_path: Path
) -> None:
    with EmbeddingStore(tmp_path / "store", space_of(tiny_encoder)) as opened:
        paths = sorted(music.iterdir())
        paths[2].unlink()
        done = opened.extend(paths, tiny_encoder)
    assert done.n_embedded == 4
    assert [refused.path for refused in done.refused] == [paths[2]]


def test_a_mended_file_is_taken_by_the_next_run(
    tiny_encoder: AudioEncoder, music: Path, tmp_path: Path, write_wav: WriteWav
) -> None:
    (music / "new.wav").write_text("half downloaded")
    assert len(extend(tmp_path / "store", music, tiny_encoder).refused) == 1
    write_wav(music / "new.wav", melody(2.0, seed=9))
    done = extend(tmp_path / "store", music, tiny_encoder)
    assert (done.n_embedded, done.refused) == (1, [])
    assert not (tmp_path / "store" / "refused.jsonl").exists()


def test_a_moved_file_keeps_its_vector(tiny_encoder: AudioEncoder, music: Path, tmp_path: Path) -> None:
    extend(tmp_path / "store", music, tiny_encoder)
    (music / "track 0.wav").rename(music / "renamed.wav")
    done = extend(tmp_path / "store", music, tiny_encoder)
    assert (done.n_embedded, done.n_known) == (0, 5)
    tracks, vectors = read_store(tmp_path / "store")
    at = {track.path.name: row for row, track in enumerate(tracks)}
    assert torch.equal(vectors[at["renamed.wav"]], vectors[at["track 0.wav"]])


def test_a_changed_file_gets_a_new_vector(
    tiny_encoder: AudioEncoder, music: Path, tmp_path: Path, write_wav: WriteWav
) -> None:
    extend(tmp_path / "store", music, tiny_encoder)
    write_wav(music / "track 0.wav", melody(3.0, seed=77))
    assert extend(tmp_path / "store", music, tiny_encoder).n_embedded == 1
    tracks, vectors = read_store(tmp_path / "store")
    assert len(tracks) == 5
    row = [track.path.name for track in tracks].index("track 0.wav")
    expected = solfa.embed(music / "track 0.wav", tiny_encoder, windows=SHORT)[0]
    torch.testing.assert_close(vectors[row], expected, rtol=0, atol=1e-5)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
def test_any_file_name_survives(tiny_encoder: AudioEncoder, tmp_path: Path, write_wav: WriteWav) -> None:
    names = ["emoji \U0001f3b5.wav", "new\nline.wav", 'quote".wav', os.fsdecode(b"bytes \xff.wav")]
    for n, name in enumerate(names):
        write_wav(tmp_path / "a.wav", melody(1.0, seed=n)).rename(tmp_path / name)
    paths = [tmp_path / name for name in names]
    with EmbeddingStore(tmp_path / "store", space_of(tiny_encoder)) as opened:
        assert opened.extend(paths, tiny_encoder).n_embedded == 4
    assert [track.path for track in read_store(tmp_path / "store")[0]] == paths


def test_a_store_refuses_vectors_of_another_space(
    tiny_encoder: AudioEncoder, other_run: Path, music: Path, tmp_path: Path
) -> None:
    extend(tmp_path / "store", music, tiny_encoder)
    other = describe_space(solfa.load(other_run), "other", layer=2, pool="mean", windows=SHORT)
    with pytest.raises(SpaceError, match=r"of tiny .*of other .*weights .*or another place"):
        EmbeddingStore(tmp_path / "store", other)
    with pytest.raises(SpaceError, match="layer 1 instead of 2"):
        EmbeddingStore(tmp_path / "store", space_of(tiny_encoder, layer=1))


def test_the_name_of_a_model_makes_no_other_space(tiny_encoder: AudioEncoder) -> None:
    first, second = (
        describe_space(tiny_encoder, name, layer=1, pool="mean", windows=SHORT) for name in ("one", "two")
    )
    assert first.id == second.id
    first.check_same(second, Path("store"))


def test_a_store_that_is_being_written_is_refused(tiny_encoder: AudioEncoder, tmp_path: Path) -> None:
    with (
        EmbeddingStore(tmp_path / "store", space_of(tiny_encoder)),
        pytest.raises(BlockingIOError, match=r"Another process is writing.*give another folder"),
    ):
        EmbeddingStore(tmp_path / "store", space_of(tiny_encoder))


def test_hidden_states_are_kept_when_asked_for(
    tiny_encoder: AudioEncoder, music: Path, tmp_path: Path
) -> None:
    with EmbeddingStore(tmp_path / "store", space_of(tiny_encoder), frame_layers=(0, 2)) as opened:
        opened.extend(
            sorted(music.iterdir()), tiny_encoder, batching=Batching(windows_at_once=4, n_workers=2)
        )
    for track in read_store(tmp_path / "store")[0]:
        kept = torch.from_numpy(read_frames(tmp_path / "store", track.content_hash).copy())
        expected = hidden_states(track.path, tiny_encoder, [0, 2], windows=SHORT).states
        torch.testing.assert_close(kept, expected, rtol=0, atol=1e-5)


def test_a_store_without_hidden_states_says_so(
    tiny_encoder: AudioEncoder, music: Path, tmp_path: Path
) -> None:
    extend(tmp_path / "store", music, tiny_encoder)
    with pytest.raises(StoreError, match=r"keeps no hidden states.*--frames"):
        read_frames(tmp_path / "store", read_store(tmp_path / "store")[0][0].content_hash)
    with pytest.raises(StoreError, match="no layer, and now those of layers 1"):
        EmbeddingStore(tmp_path / "store", space_of(tiny_encoder), frame_layers=(1,))


@pytest.mark.parametrize("write", ["append", "flush"])
def test_a_full_disk_is_named_and_nothing_is_lost(
    tiny_encoder: AudioEncoder, music: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: str
) -> None:
    def fail(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    def keep_frames(folder: Path) -> solfa.embedding.Extraction:
        with EmbeddingStore(folder, space_of(tiny_encoder), frame_layers=(1,)) as opened:
            return opened.extend(sorted(music.iterdir()), tiny_encoder)

    with (
        monkeypatch.context() as patch,
        pytest.raises(StoreError, match=r"No space left.*run the same command"),
    ):
        patch.setattr(store.GrowingArray, write, fail)
        keep_frames(tmp_path / "store")
    assert keep_frames(tmp_path / "store").n_embedded == 5


def test_a_folder_without_a_store_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"no store in .*solfa embed MUSIC"):
        read_store(tmp_path)


KILLED = """
import os, random, signal, sys, time
from pathlib import Path
import solfa
from solfa.embedding import EmbeddingStore, WindowConfig, describe_space, store

run, music, out = map(Path, sys.argv[1:])
store.SECONDS_BETWEEN_COMMITS = 0.0
n_kills = 0
for seed in range(12):
    child = os.fork()
    if not child:
        encoder = solfa.load(run)
        windows = WindowConfig(window_seconds=4.0, context_seconds=1.0)
        space = describe_space(encoder, "tiny", layer=2, pool="mean", windows=windows)
        with EmbeddingStore(out, space, frame_layers=(1,)) as opened:
            opened.extend(sorted(music.iterdir()), encoder)
        os._exit(0)
    time.sleep(random.Random(seed).uniform(0.1, 0.6))
    os.kill(child, signal.SIGKILL)
    n_kills += os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
print(n_kills)
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_run_killed_at_any_moment_is_finished_by_the_next(
    tiny_encoder: AudioEncoder, tiny_run: Path, tmp_path: Path, write_wav: WriteWav
) -> None:
    for n in range(60):
        write_wav(tmp_path / "music" / f"{n:02d}.wav", melody(5.0, seed=n))
    command = [sys.executable, "-c", KILLED, str(tiny_run), str(tmp_path / "music"), str(tmp_path / "store")]
    assert int(subprocess.run(command, check=True, capture_output=True, text=True).stdout) > 1
    with EmbeddingStore(tmp_path / "store", space_of(tiny_encoder), frame_layers=(1,)) as opened:
        opened.extend(sorted((tmp_path / "music").iterdir()), tiny_encoder)
    tracks, vectors = read_store(tmp_path / "store")
    expected = solfa.embed([track.path for track in tracks], tiny_encoder, windows=SHORT)
    assert len(tracks) == 60
    torch.testing.assert_close(vectors, expected, rtol=0, atol=1e-5)
    assert len(list((tmp_path / "store" / "frames").iterdir())) == 60


VECTOR = """
import sys
import solfa, torch
torch.set_num_threads(int(sys.argv[3]))
print(solfa.embed([sys.argv[2]], sys.argv[1])[0].tolist())
"""


@pytest.mark.slow
def test_two_processes_and_more_threads_give_the_same_vector(
    tiny_run: Path, tmp_path: Path, write_wav: WriteWav
) -> None:
    path = write_wav(tmp_path / "a.wav", melody(5.0))
    vectors = []
    for n_threads in (1, 1, 4):
        command = [sys.executable, "-c", VECTOR, str(tiny_run), str(path), str(n_threads)]
        said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        vectors.append(torch.tensor(json.loads(said)))
    assert torch.equal(vectors[0], vectors[1])
    assert float((vectors[2] - vectors[0]).norm() / vectors[0].norm()) < 1e-5


MEASURED = """
import sys
import solfa
solfa.embed(sys.argv[2], sys.argv[1])
print(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1])
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux for its memory")
def test_memory_does_not_grow_with_the_length_of_a_track(tiny_run: Path, tmp_path: Path) -> None:
    """The longer track's samples alone would take a quarter of a gigabyte more than the shorter one's."""
    peaks = []
    for minutes in (5, 50):
        path = tmp_path / f"{minutes}.flac"
        soundfile.write(path, np.tile(noise(60.0), minutes), 24_000)
        command = [sys.executable, "-c", MEASURED, str(tiny_run), str(path)]
        # One arena: with several, memory that threads freed stays in each, as much as they happen to leave.
        measured = subprocess.run(
            command, check=True, capture_output=True, text=True, env=os.environ | {"MALLOC_ARENA_MAX": "1"}
        )
        peaks.append(int(measured.stdout))
        path.unlink()
    samples_kilobytes = 45 * 60 * 24_000 * 4 / 1024
    assert peaks[1] - peaks[0] < samples_kilobytes / 4
