"""Stored frames: whole or absent, of the right track, and never mistaken for others."""

import json
from pathlib import Path

import numpy as np
import pytest

from solfa.data.manifest import Track
from solfa.data.stored_frames import (
    CodesDescription,
    StoredCodeFrames,
    StoredFramesError,
    StoredHiddenStates,
)
from solfa.frames import FrameGrid

DESCRIPTION = CodesDescription(
    n_codebooks=2, codebook_size=1024, sample_rate=24_000, hop_length=960, target="runs/rvq", target_id="1",
    source="audio",
)  # fmt: skip


def track(content_hash: str) -> Track:
    return Track(
        path=Path(f"{content_hash}.wav"), seconds=1.0, sample_rate=24_000, n_channels=1,
        content_hash=content_hash,
    )  # fmt: skip


def with_states(folder: Path, layers: list[int]) -> Path:
    """A store in the layout of ``solfa embed --frames``: 5 frames of width 3, equal to their layer."""
    (folder / "frames").mkdir(parents=True)
    space = {"sample_rate": 24_000, "frame_rate": 25.0, "weights": "abc"}
    (folder / "store.json").write_text(json.dumps({"space": space, "frame_layers": layers}))
    states = np.broadcast_to(np.array(layers, np.float32)[:, None], (5, len(layers), 3))
    np.save(folder / "frames" / "a.npy", states)
    return folder


def test_codes_come_back_as_they_were_written(tmp_path: Path) -> None:
    codes = np.arange(20).reshape(10, 2)
    StoredCodeFrames.begin(tmp_path, DESCRIPTION).write("a", codes)
    stored = StoredCodeFrames(tmp_path)
    assert stored.n_frames("a") == 10
    assert np.array_equal(stored.rows("a", 3, 7), codes[3:7])
    assert stored.grid == FrameGrid(24_000, 960)


def test_zeros_stand_beyond_the_ends_of_a_track(tmp_path: Path) -> None:
    stored = StoredCodeFrames.begin(tmp_path, DESCRIPTION)
    stored.write("a", np.arange(1, 7).reshape(3, 2))
    assert stored.rows("a", -2, 5).tolist() == [[0, 0], [0, 0], [1, 2], [3, 4], [5, 6], [0, 0], [0, 0]]
    assert stored.rows("a", 4, 6).tolist() == [[0, 0], [0, 0]]


def test_a_half_written_array_is_no_array_and_is_cleared_away(tmp_path: Path) -> None:
    stored = StoredCodeFrames.begin(tmp_path, DESCRIPTION)
    (tmp_path / "frames" / "a.npy.partial").write_bytes(b"half")
    with pytest.raises(StoredFramesError, match="solfa data label"):
        stored.rows("a", 0, 1)
    StoredCodeFrames.begin(tmp_path, DESCRIPTION)
    assert not list((tmp_path / "frames").iterdir())


def test_codes_of_two_targets_are_not_mixed(tmp_path: Path) -> None:
    StoredCodeFrames.begin(tmp_path, DESCRIPTION)
    other = CodesDescription(**{**vars(DESCRIPTION), "target": "runs/other", "target_id": "2"})
    with pytest.raises(StoredFramesError, match=r"runs/rvq; now they would be of runs/other.*another folder"):
        StoredCodeFrames.begin(tmp_path, other)


def test_a_codebook_too_large_for_16_bits_is_refused(tmp_path: Path) -> None:
    large = CodesDescription(**{**vars(DESCRIPTION), "codebook_size": 2**15 + 1})
    with pytest.raises(StoredFramesError, match="Use smaller codebooks"):
        StoredCodeFrames.begin(tmp_path, large)


def test_tracks_without_codes_are_counted_and_named_with_the_cure(tmp_path: Path) -> None:
    stored = StoredCodeFrames.begin(tmp_path, DESCRIPTION)
    stored.write("a", np.zeros((3, 2), int))
    stored.require([track("a")])
    with pytest.raises(StoredFramesError, match=r"1 of 2 tracks, for instance of b\.wav.*solfa data label"):
        stored.require([track("a"), track("b")])


def test_a_folder_without_codes_is_refused_with_the_cure(tmp_path: Path) -> None:
    with pytest.raises(StoredFramesError, match="solfa data label MANIFEST --target RUN --out"):
        StoredCodeFrames(tmp_path)


def test_a_damaged_array_is_named_with_the_cure(tmp_path: Path) -> None:
    stored = StoredCodeFrames.begin(tmp_path, DESCRIPTION)
    stored.path("a").write_bytes(b"no array")
    with pytest.raises(StoredFramesError, match=r"a\.npy is damaged.*Remove it"):
        stored.n_frames("a")


def test_the_layer_asked_for_is_the_one_that_is_read(tmp_path: Path) -> None:
    folder = with_states(tmp_path, [2, 4])
    assert np.array_equal(StoredHiddenStates(folder, 4).rows("a", 1, 3), np.full((2, 3), 4.0))
    assert StoredHiddenStates(folder, 2).source != StoredHiddenStates(folder, 4).source


def test_a_single_layer_need_not_be_named(tmp_path: Path) -> None:
    assert StoredHiddenStates(with_states(tmp_path, [5]), None).layer == 5


@pytest.mark.parametrize("layer", [None, 3])
def test_a_layer_that_is_not_there_or_not_named_is_refused_with_those_there_are(
    tmp_path: Path, layer: int | None
) -> None:
    with pytest.raises(StoredFramesError, match=r"layers 2, 4.*data\.frames_layer"):
        StoredHiddenStates(with_states(tmp_path, [2, 4]), layer)


def test_vectors_without_hidden_states_are_refused_with_the_cure(tmp_path: Path) -> None:
    with pytest.raises(StoredFramesError, match=r"solfa embed .* --frames"):
        StoredHiddenStates(with_states(tmp_path, []), None)
    with pytest.raises(StoredFramesError, match=r"solfa embed .* --frames"):
        StoredHiddenStates(tmp_path / "nowhere", None)
