"""What surrounds a clip, where clips start, and the stored frames that go with them."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from solfa.data.clips import Clips, ClipsConfig, RandomClips, batches
from solfa.data.manifest import Track
from solfa.data.stored_frames import CodesDescription, StoredCodeFrames, StoredFramesError

HOP = 960


@pytest.fixture
def tracks(tmp_path: Path) -> list[Track]:
    """Two tracks in which every sample tells its place."""
    made = []
    for name, seconds in (("a", 2.05), ("b", 1.31)):
        n = round(seconds * 24_000)
        soundfile.write(tmp_path / f"{name}.wav", (1 + np.arange(n)) / 2**17, 24_000, subtype="FLOAT")
        made.append(
            Track(path=tmp_path / f"{name}.wav", seconds=seconds, sample_rate=24_000, n_channels=1,
                  content_hash=name)
        )  # fmt: skip
    return made


@pytest.fixture
def codes(tmp_path: Path, tracks: list[Track]) -> Path:
    """Codes that tell the number of their frame, from 1; the second codebook is 500 ahead."""
    description = CodesDescription(
        n_codebooks=2, codebook_size=1024, sample_rate=24_000, hop_length=HOP, target="runs/rvq",
        target_id="1", source="audio",
    )  # fmt: skip
    stored = StoredCodeFrames.begin(tmp_path / "codes", description)
    for track in tracks:
        n_frames = round(track.seconds * 24_000) // HOP
        stored.write(track.content_hash, np.arange(1, n_frames + 1)[:, None] + np.array([0, 500]))
    return tmp_path / "codes"


def made(tracks: list[Track], n: int = 12, n_workers: int = 0, **changes: object) -> Clips:
    clips = RandomClips(tracks, ClipsConfig(clip_seconds=0.4, **changes), 24_000, seed=3)  # type: ignore[arg-type]
    return next(iter(batches(clips, iter([list(range(n))]), n_workers)))


def places(waveform: torch.Tensor) -> torch.Tensor:
    """Which samples of their track those of a waveform are; -1 where there is none."""
    return (waveform.double() * 2**17).round().long() - 1


def test_surroundings_are_the_clip_with_what_is_around_it(tracks: list[Track]) -> None:
    clips = made(tracks, context_seconds=0.2)
    assert clips.surroundings is not None and clips.context_samples == 4800
    assert clips.surroundings.shape[1] == clips.waveform.shape[1] + 2 * 4800
    assert torch.equal(clips.surroundings[:, 4800:-4800], clips.waveform)
    inside = places(clips.surroundings)
    steps = inside.diff(dim=1)[(inside[:, 1:] >= 0) & (inside[:, :-1] >= 0)]
    assert torch.equal(steps, torch.ones_like(steps))


def test_beyond_the_ends_of_a_track_there_are_zeros(tracks: list[Track]) -> None:
    clips = made(tracks, context_seconds=2.0)
    assert clips.surroundings is not None
    assert bool((clips.surroundings[:, 0] == 0).all() and (clips.surroundings[:, -1] == 0).all())
    n_samples = torch.tensor([[49_200, 31_440][int(track)] for track in clips.tracks])
    assert torch.equal((places(clips.surroundings) >= 0).sum(1), n_samples)


def test_a_clip_is_the_same_with_and_without_surroundings(tracks: list[Track]) -> None:
    assert torch.equal(made(tracks).waveform, made(tracks, context_seconds=0.2).waveform)
    assert made(tracks).surroundings is None


def test_clips_start_on_the_grid_that_is_asked_for_and_everywhere_on_it(tracks: list[Track]) -> None:
    starts = places(made(tracks[1:], n=400, start_samples=4800).waveform)[:, 0]
    assert set(starts.tolist()) == {0, 4800, 9600, 14400, 19200}


def test_codes_are_those_of_the_clip(tracks: list[Track], codes: Path) -> None:
    clips = made(tracks, codes=str(codes), n_workers=1)
    assert clips.codes is not None and clips.codes.values.shape == (12, 2, 10)
    starts = places(clips.waveform)[:, :1]
    assert bool((starts % HOP == 0).all()) and len(starts.unique()) > 3
    assert torch.equal(clips.codes.values[:, 0], starts // HOP + 1 + torch.arange(10))
    assert torch.equal(clips.codes.values[:, 1], clips.codes.values[:, 0] + 500)


def test_codes_reach_as_far_as_the_surroundings(tracks: list[Track], codes: Path) -> None:
    clips = made(tracks, codes=str(codes), context_seconds=0.08)
    assert clips.codes is not None
    assert torch.equal(
        clips.codes.values[:, 0, 2:-2], places(clips.waveform)[:, :1] // HOP + 1 + torch.arange(10)
    )
    assert clips.codes.values.shape[2] == 14


def test_a_clip_on_frames_is_the_same_with_codes_and_without(tracks: list[Track], codes: Path) -> None:
    assert torch.equal(made(tracks, codes=str(codes)).waveform, made(tracks, start_samples=HOP).waveform)


def test_a_track_with_fewer_frames_than_a_clip_is_replaced_and_counted(
    tracks: list[Track], codes: Path
) -> None:
    StoredCodeFrames(codes).write("b", np.zeros((9, 2), int))
    clips = made(tracks, codes=str(codes))
    assert set(clips.tracks.tolist()) == {0} and clips.n_unreadable > 0


def test_a_track_without_codes_is_refused_before_the_first_clip(tracks: list[Track], codes: Path) -> None:
    (codes / "frames" / "b.npy").unlink()
    with pytest.raises(StoredFramesError, match=r"1 of 2 tracks.*solfa data label"):
        made(tracks, codes=str(codes))


def test_context_that_ends_inside_a_frame_is_refused_with_the_cure(tracks: list[Track], codes: Path) -> None:
    with pytest.raises(StoredFramesError, match=r"data\.context_seconds.*multiple of 0\.04"):
        made(tracks, codes=str(codes), context_seconds=0.05)


def test_codes_at_another_sample_rate_are_refused_with_the_cure(tracks: list[Track], codes: Path) -> None:
    with pytest.raises(StoredFramesError, match="24000 Hz, and this run hears 16000 Hz"):
        RandomClips(tracks, ClipsConfig(clip_seconds=0.4, codes=str(codes)), 16_000, seed=0)


@pytest.mark.parametrize(
    ("changes", "cure"),
    [
        ({"codes": "codes", "channel": "random"}, "Set data.channel to mean"),
        ({"codes": "codes", "frames": "hidden"}, "set one of them"),
        ({"context_seconds": -1.0}, "at least 0"),
        ({"start_samples": 0}, "at least 1"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(changes: dict[str, object], cure: str) -> None:
    with pytest.raises(ValueError, match=cure):
        ClipsConfig(**changes)  # type: ignore[arg-type]
