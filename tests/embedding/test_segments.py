"""Segments of a track: tails belong to what comes before, and silence is nothing to be found."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from golden_data import GOLDEN
from solfa.embedding import Embedded, WindowConfig, default_windows, describe_space, embed_files
from solfa.embedding.moments import SegmentMoments
from solfa.frames import FrameGrid
from solfa.models import AudioEncoder, ClipEncoder, MuLan, load
from solfa.retrieval import Library, Searcher
from solfa.retrieval.moments import best_segment
from synth import melody

WriteWav = Callable[[Path, np.ndarray], Path]
RATE = 24_000


@pytest.fixture(scope="module")
def clips() -> ClipEncoder:
    """The audio side of a music-text model; clips of 2 s."""
    mulan = load(GOLDEN / "muq_mulan")
    assert isinstance(mulan, MuLan)
    return ClipEncoder(mulan).eval()


def embedded(path: Path, encoder: AudioEncoder) -> Embedded:
    windows = default_windows(encoder) if isinstance(encoder, ClipEncoder) else WindowConfig()
    layer = encoder.n_layers
    space = describe_space(encoder, "any", layer=layer, pool="mean", windows=windows)
    (outcome,) = embed_files([path], encoder, space)
    assert isinstance(outcome, Embedded), outcome
    return outcome


def bounds(outcome: Embedded) -> list[tuple[float, float]]:
    return [(round(part.start, 4), round(part.end, 4)) for part in outcome.segments]


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (4.0007, [(0, 2), (2, 4.0007)]),  # 17 samples are no clip
        (4.9, [(0, 2), (2, 4.9)]),
        (5.1, [(0, 2), (2, 4), (4, 5.1)]),
        (0.5, [(0, 0.5)]),
        (2.1, [(0, 2.1)]),
    ],
)
def test_a_short_tail_belongs_to_the_clip_before_it(
    tmp_path: Path,
    clips: ClipEncoder,
    write_wav: WriteWav,
    seconds: float,
    expected: list[tuple[float, float]],
) -> None:
    outcome = embedded(write_wav(tmp_path / "a.wav", melody(seconds)), clips)
    np.testing.assert_allclose(bounds(outcome), expected, rtol=0, atol=1e-3)


def test_a_tail_counts_as_much_as_it_is_itself(
    tmp_path: Path, clips: ClipEncoder, write_wav: WriteWav
) -> None:
    whole = melody(4.5)
    last = embedded(write_wav(tmp_path / "a.wav", whole), clips).segments[-1].vector
    before = embedded(write_wav(tmp_path / "b.wav", whole[2 * RATE : 4 * RATE]), clips).vector
    filled = np.concatenate([whole[4 * RATE :], whole[: int(1.5 * RATE)]])
    tail = embedded(write_wav(tmp_path / "c.wav", filled), clips).vector
    torch.testing.assert_close(last, (before + 0.25 * tail) / 1.25, rtol=0, atol=1e-4)


def with_silence(seconds: float, start: float, end: float, level: float = 0.0) -> np.ndarray:
    waveform = melody(seconds)
    noise = level * np.random.default_rng(0).uniform(-1, 1, len(waveform))
    waveform[int(start * RATE) : int(end * RATE)] = noise[int(start * RATE) : int(end * RATE)]
    return waveform.astype(np.float32)


@pytest.mark.parametrize("level", [0.0, 2.0**-15])
def test_silent_clips_are_no_segments(
    tmp_path: Path, clips: ClipEncoder, write_wav: WriteWav, level: float
) -> None:
    path = write_wav(tmp_path / "a.wav", with_silence(10.0, 2.0, 6.0, level))
    assert bounds(embedded(path, clips)) == [(0, 2), (6, 8), (8, 10)]


def test_a_silent_tail_that_is_filled_up_with_music_is_silent(
    tmp_path: Path, clips: ClipEncoder, write_wav: WriteWav
) -> None:
    path = write_wav(tmp_path / "a.wav", with_silence(5.5, 4.0, 5.5))
    assert bounds(embedded(path, clips)) == [(0, 2), (2, 4)]


def test_what_is_60_db_below_the_rest_is_silence(
    tmp_path: Path, clips: ClipEncoder, write_wav: WriteWav
) -> None:
    """Tape noise between two pieces is nothing to be found, though it is no digital zero."""
    sound = with_silence(10.0, 2.0, 6.0, level=3e-4 * np.abs(melody(10.0)).max())
    assert np.abs(sound[3 * RATE : 5 * RATE]).max() > 2.0**-13
    assert bounds(embedded(write_wav(tmp_path / "a.wav", sound), clips)) == [(0, 2), (6, 8), (8, 10)]


@pytest.mark.parametrize(
    ("clip_seconds", "seconds", "expected"),
    [(0.5, 4.2, [(0, 2), (2, 4.2)]), (0.5, 5.2, [(0, 2), (2, 4), (4, 5.2)]), (1.5, 4.0, [(0, 4.0)])],
)
def test_short_clips_make_segments_of_more_than_a_second(
    clips: ClipEncoder, clip_seconds: float, seconds: float, expected: list[tuple[float, float]]
) -> None:
    class Short(ClipEncoder):
        def __init__(self) -> None:  # a grid is all that is asked for
            torch.nn.Module.__init__(self)

        @property
        def grid(self) -> FrameGrid:
            return FrameGrid(RATE, hop_length=int(clip_seconds * RATE))

    moments = SegmentMoments("mean", Short())
    n_clips = int(np.ceil(seconds / clip_seconds))
    moments.add(torch.ones(n_clips, 4), np.ones(n_clips, np.float32))
    assert [(part.start, part.end) for part in moments.pooled(seconds)] == expected


def test_silent_stretches_of_frames_are_no_segments(
    tmp_path: Path, tiny_encoder: AudioEncoder, write_wav: WriteWav
) -> None:
    path = write_wav(tmp_path / "a.wav", with_silence(62.0, 9.0, 41.0))
    assert bounds(embedded(path, tiny_encoder)) == [(0, 10), (40, 50), (50, 62)]


def test_a_track_that_is_quiet_throughout_keeps_its_segments(
    tmp_path: Path, tiny_encoder: AudioEncoder, write_wav: WriteWav
) -> None:
    path = write_wav(tmp_path / "a.wav", with_silence(20.0, 0.0, 20.0, level=3 * 2.0**-15))
    assert bounds(embedded(path, tiny_encoder)) == [(0, 10), (10, 20)]


def test_moments_that_an_earlier_version_stored_are_passed_over(
    tmp_path: Path, clips: ClipEncoder, write_wav: WriteWav
) -> None:
    write_wav(tmp_path / "music" / "a.wav", melody(4.0))
    space = describe_space(clips, "any", layer=0, pool="mean", windows=default_windows(clips))
    with Library(tmp_path / "library.sqlite", space) as library:
        library.update([tmp_path / "music"], clips)
        columns = "content_hash, 2, 4.0, 4.0007, 1, direction"
        library._rows(f"INSERT INTO segments SELECT {columns} FROM segments WHERE number = 1")
        track = library.track(1)
        direction = library.segments(track)[2].vector
        assert len(library.segments(track)) == 3
        best = best_segment(library, track, direction / np.linalg.norm(direction), np.zeros_like(direction))
        assert best.end - best.start >= 1


def test_the_best_segment_is_never_silent_or_a_moment(
    tmp_path: Path, clips: ClipEncoder, write_wav: WriteWav
) -> None:
    for n in range(3):
        sound = with_silence(8.0007, 2.0, 4.0 + n)
        write_wav(tmp_path / "music" / f"{n}.wav", np.roll(sound, n))
    space = describe_space(clips, "any", layer=0, pool="mean", windows=default_windows(clips))
    with Library(tmp_path / "library.sqlite", space) as library:
        library.update([tmp_path / "music"], clips)
    with Searcher(tmp_path / "library.sqlite", clips) as searcher:
        matches = [match for track in searcher.tracks() for match in searcher.similar(track.id)]
        matches += searcher.search("calm piano")
        assert matches and all(match.end - match.start > 1 for match in matches)
        assert not any(match.start == 2 for match in matches)
        assert [part.number for part in searcher.segments(1)] == list(range(len(searcher.segments(1))))
