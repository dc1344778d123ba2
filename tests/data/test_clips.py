"""Random clips: everything follows from seed and number."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from solfa.data.clips import Clips, ClipsConfig, RandomClips, batches, spread_turns
from solfa.data.manifest import Track
from solfa.data.seeds import derived_seed


def track(folder: Path, name: str, seconds: float, n_channels: int = 1) -> Track:
    """A track in which every sample tells its own second, and every channel its own number."""
    n = round(seconds * 24_000)
    wave = np.stack([np.arange(n) / n * 0.5 + 0.25 * c for c in range(n_channels)], axis=1)
    soundfile.write(folder / name, wave, 24_000, subtype="FLOAT")
    return Track(
        path=folder / name, seconds=seconds, sample_rate=24_000, n_channels=n_channels, content_hash=name,
        tags={}, decoder="soundfile",
    )  # fmt: skip


@pytest.fixture
def tracks(tmp_path: Path) -> list[Track]:
    return [
        track(tmp_path, "short.wav", 0.5),
        track(tmp_path, "one.wav", 1.2),
        track(tmp_path, "three.wav", 3.4),
    ]


def clips(tracks: list[Track], seed: int = 0, **changes: object) -> RandomClips:
    return RandomClips(tracks, ClipsConfig(clip_seconds=1.0, **changes), 24_000, seed)  # type: ignore[arg-type]


def test_an_epoch_has_a_track_once_for_every_clip_it_holds(tracks: list[Track]) -> None:
    row = clips(tracks)
    assert sorted(row[number][2] for number in range(4)) == [1, 2, 2, 2]
    assert row.n_left_out == 1


def test_a_clip_follows_from_seed_and_number(tracks: list[Track]) -> None:
    a, b = clips(tracks)[7], clips(tracks)[7]
    assert torch.equal(a[0], b[0]) and a[1:] == b[1:]
    assert not torch.equal(a[0], clips(tracks, seed=1)[7][0])


def test_clips_in_a_row_can_be_cut_from_one_track_each_at_its_own_place(tracks: list[Track]) -> None:
    row = clips(tracks, clips_per_track=3)
    assert sorted(row[number][2] for number in range(12)) == [1] * 3 + [2] * 9
    assert all(len({row[turn + n][2] for n in range(3)}) == 1 for turn in range(0, 12, 3))
    assert not torch.equal(row[0][0], row[1][0])


def heard(row: RandomClips, n_epochs: int) -> dict[int, float]:
    """Turns of each track in an epoch, on average."""
    counts = Counter(int(place) for epoch in range(n_epochs) for place in row.turns(epoch))
    return {place: count / n_epochs for place, count in counts.items()}


def test_weights_of_one_leave_the_row_as_it_was(tracks: list[Track]) -> None:
    row = clips(tracks)
    # Recorded before tracks had weights.
    assert [row[number].track for number in range(12)] == [2, 1, 2, 2, 2, 1, 2, 2, 2, 2, 1, 2]
    assert all(np.array_equal(row.turns(epoch), [1, 2, 2, 2]) for epoch in range(20))
    assert all(
        np.array_equal(clips([replace(t, weight=3.0) for t in tracks]).turns(e), [1, 2, 2, 2]) for e in (0, 5)
    )


@pytest.mark.parametrize("turns", ["by_length", "one_each"])
def test_a_weight_multiplies_how_often_a_track_is_heard(tracks: list[Track], turns: str) -> None:
    weighed = [tracks[0], replace(tracks[1], weight=0.35), tracks[2]]
    row = clips(weighed, turns=turns)
    lengths = {1: 0.35, 2: 3.0 if turns == "by_length" else 1.0}
    expected = {place: length * row.n_turns / sum(lengths.values()) for place, length in lengths.items()}
    assert heard(row, 1000) == pytest.approx(expected, rel=0.01)
    assert row.n_left_out == 1 and row.n_turns == clips(tracks, turns=turns).n_turns


def test_every_epoch_rounds_a_rate_up_or_down_and_none_waits_long() -> None:
    rates = np.array([0.0, 0.31, 2.62, 0.07, 5.0, 0.0])
    per_epoch = np.array([np.bincount(spread_turns(rates, 8, 3, e), minlength=6) for e in range(400)])
    assert (per_epoch.sum(1) == 8).all()
    assert (np.abs(per_epoch - rates) < 1).all()
    assert np.abs(per_epoch.cumsum(0) - rates * np.arange(1, 401)[:, None]).max() < 5


def test_a_row_with_weights_follows_from_seed_and_number_too(tracks: list[Track]) -> None:
    weighed = [replace(t, weight=w) for t, w in zip(tracks, (1.0, 0.4, 1.7), strict=True)]
    straight, jumping = clips(weighed), clips(weighed)
    places = {number: straight[number].track for number in range(40)}
    assert {number: jumping[number].track for number in (33, 2, 17, 39)} == {
        n: places[n] for n in (33, 2, 17, 39)
    }
    assert set(places.values()) == {1, 2}


def test_epochs_differ_in_order_and_cuts(tracks: list[Track]) -> None:
    row = clips(tracks)
    first, second = ([row[n][0][0].item() for n in range(start, start + 4)] for start in (0, 4))
    assert sorted(first) != sorted(second)


def test_cuts_are_spread_over_the_track(tracks: list[Track]) -> None:
    row = clips(tracks[2:])
    starts = torch.tensor([float(row[n][0][0]) for n in range(300)]) / 0.5 * 3.4
    assert starts.min() < 0.05 and starts.max() > 2.35
    assert float(starts.mean()) == pytest.approx(1.2, abs=0.12)


def test_a_random_channel_is_one_channel_and_the_mean_is_all(tmp_path: Path) -> None:
    stereo = [track(tmp_path, "stereo.wav", 1.0, n_channels=2)]
    chosen = {round(float(clips(stereo, channel="random")[n][0][0]), 3) for n in range(20)}
    assert chosen == {0.0, 0.25}
    assert float(clips(stereo)[0][0][0]) == pytest.approx(0.125)


@pytest.mark.parametrize("n_workers", [0, 2])
def test_batches_hold_the_numbers_asked_for(tracks: list[Track], n_workers: int) -> None:
    made = list(batches(clips(tracks), iter([[3, 1], [2]]), n_workers))
    assert [batch.numbers.tolist() for batch in made] == [[3, 1], [2]]
    assert torch.equal(made[0].waveform[1], clips(tracks)[1][0])


def test_streams_of_randomness_differ_by_clip_and_purpose() -> None:
    numbers = torch.tensor([4, 5])
    some = Clips(torch.zeros(2, 1), 24_000, numbers, numbers, seed=9)
    draws = [torch.rand(1, generator=g).item() for purpose in (1, 2) for g in some.generators(purpose)]
    assert len(set(draws)) == 4
    assert derived_seed(9, 4, 1) == derived_seed(9, 4, 1) != derived_seed(9, 4, 2)


def test_an_unreadable_track_is_replaced_and_counted(tracks: list[Track]) -> None:
    tracks[1].path.write_bytes(b"no music")
    row = clips(tracks)
    damaged = next(n for n in range(4) if row[n][3])
    assert row[damaged][2] == 2
