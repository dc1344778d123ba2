"""Shares of tracks in what is heard: by tags, and by clusters of sound."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner, Result

from solfa.cli.main import app
from solfa.data.clips import ClipsConfig, RandomClips
from solfa.data.clusters import BalanceConfig, MelOfAudio, MelOfSpectra, balanced_weights, describe_pieces
from solfa.data.manifest import Track, read_manifest, write_manifest
from solfa.data.spectra import store_spectra
from solfa.data.stored_spectra import StoredSpectra
from solfa.data.weighing import ArgumentError, join_manifests, parse_share, share_out


def track(name: str, seconds: float, weight: float = 1.0, **tags: str) -> Track:
    return Track(
        path=Path("/music") / name, seconds=seconds, sample_rate=24_000, n_channels=1, content_hash=name,
        tags=tags, weight=weight,
    )  # fmt: skip


TRACKS = [
    track("a.ogg", 300.0, package="one"),
    track("b.ogg", 500.0, package="two"),
    track("c.flac", 24.0, corpus="notes"),
    track("d.flac", 24.0, corpus="notes"),
    track("e.flac", 152.0, corpus="songs"),
]


def weighed(*shares: str, clip_seconds: float | None = None, tracks: list[Track] = TRACKS) -> list[Track]:
    asked = [parse_share(text) for text in shares]
    return share_out(tracks, np.ones(len(tracks)), asked, clip_seconds=clip_seconds)[0]


def parts(tracks: list[Track], tag: str) -> dict[str, float]:
    """Share of what is heard, by the value of a tag."""
    seconds = Counter[str]()
    for one in tracks:
        seconds[one.tags.get(tag, "")] += one.weight * one.seconds
    return {value: part / sum(seconds.values()) for value, part in seconds.items()}


def test_a_group_has_the_share_that_is_asked_and_the_rest_keeps_its_proportions() -> None:
    tracks = weighed("corpus=notes:0.2")
    assert parts(tracks, "corpus")["notes"] == pytest.approx(0.2, rel=1e-5)
    assert len({one.weight for one in tracks if one.tags.get("corpus") != "notes"}) == 1
    assert sum(one.weight * one.seconds for one in tracks) == pytest.approx(1000, rel=1e-5)


def test_a_star_is_any_value_of_a_tag() -> None:
    tracks = weighed("package=*:0.5", "corpus=songs:0.3")
    assert parts(tracks, "package") == pytest.approx({"one": 0.1875, "two": 0.3125, "": 0.5}, rel=1e-5)
    assert parts(tracks, "corpus")["notes"] == pytest.approx(0.2, rel=1e-5)


def test_weights_that_are_there_count_and_asking_again_changes_nothing() -> None:
    once = weighed("corpus=notes:0.2", tracks=[replace(one, weight=one.seconds) for one in TRACKS])
    assert once[1].weight / once[0].weight == pytest.approx(5 / 3, rel=1e-5)
    again = weighed("corpus=notes:0.2", tracks=once)
    assert [one.weight for one in again] == pytest.approx([one.weight for one in once], rel=1e-4)


def test_shares_are_those_of_the_clips_that_are_drawn_if_clips_have_a_length() -> None:
    clip_seconds = 10.0  # of which 24 s hold two
    tracks = weighed("corpus=notes:0.2", clip_seconds=clip_seconds)
    row = RandomClips(tracks, ClipsConfig(clip_seconds=clip_seconds), 24_000, seed=0)
    turns = np.concatenate([row.turns(epoch) for epoch in range(100)])
    is_note = [tracks[place].tags.get("corpus") == "notes" for place in turns]
    assert np.mean(is_note) == pytest.approx(0.2, abs=0.002)


def test_a_track_that_is_too_short_for_a_clip_keeps_its_weight() -> None:
    tracks = weighed("corpus=notes:0.2", clip_seconds=10.0, tracks=[*TRACKS, track("f.wav", 3.0, 0.5)])
    assert tracks[-1].weight == 0.5


@pytest.mark.parametrize(
    ("shares", "message"),
    [
        (["corpus=notes:1.2"], "above 0 and at most 1"),
        (["corpus=notes:0"], "above 0 and at most 1"),
        (["corpus=notes"], "TAG=VALUE:SHARE"),
        (["notes:0.3"], "TAG=VALUE:SHARE"),
        (["corpus=bells:0.3"], "No track has corpus=bells. Values of 'corpus' are notes, songs"),
        (["genre=jazz:0.3"], "No track has the tag 'genre'. Tags are corpus, package"),
        (["corpus=notes:0.6", "corpus=songs:0.6"], "1.2 together. Lower some"),
        (["corpus=notes:0.6", "corpus=songs:0.4"], "leave nothing to tracks that have none"),
        (["corpus=*:0.3", "corpus=songs:0.3"], r"is of corpus=\* and of corpus=songs"),
        (["corpus=*:0.3", "package=*:0.3"], "0.6 together. Raise some"),
    ],
)
def test_shares_that_cannot_be_had_are_refused_with_the_cure(shares: list[str], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        weighed(*shares)


def test_short_tracks_beside_shares_that_are_1_spoil_no_weight() -> None:
    tracks = weighed("corpus=notes:0.6", "corpus=songs:0.4", clip_seconds=10.0,
                     tracks=[*TRACKS[2:], track("short.wav", 3.0, 0.5)])  # fmt: skip
    assert [one.weight for one in tracks] == pytest.approx([2.85, 2.85, 0.506667, 0.5], rel=1e-5)
    with pytest.raises(ArgumentError, match=r"None of the 1 tracks is as long as a clip\. Lower"):
        weighed(clip_seconds=10.0, tracks=[track("short.wav", 3.0)])


def test_a_share_of_tracks_without_a_clip_is_refused() -> None:
    with pytest.raises(ArgumentError, match=r"as long as a clip\. Lower --clip-seconds"):
        weighed("corpus=notes:0.2", clip_seconds=30.0)


def test_a_track_that_stands_in_two_lists_is_refused(tmp_path: Path) -> None:
    for name in ("one.jsonl", "two.jsonl"):
        write_manifest(TRACKS[:2], tmp_path / name)
    with pytest.raises(ArgumentError, match=r"a.ogg stands in the lists twice"):
        join_manifests([tmp_path / "one.jsonl", tmp_path / "two.jsonl"])


@pytest.fixture
def sounds(tmp_path: Path) -> list[Track]:
    """Nine tracks of 40 s like each other, low tones, and one of noise."""
    time = np.arange(40 * 24_000) / 24_000
    rng = np.random.default_rng(0)
    tracks = []
    for number in range(10):
        wave = 0.1 * np.sin(2 * np.pi * (200 + number) * time) + 1e-3 * rng.standard_normal(len(time))
        wave = 0.1 * rng.standard_normal(len(time)) if number == 9 else wave
        path = tmp_path / f"{number}.wav"
        soundfile.write(path, wave, 24_000)
        tracks.append(replace(track(str(number), 40.0, kind="noise" if number == 9 else "tone"), path=path))
    return tracks


@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0])
def test_clusters_are_evened_out_by_their_exponent(sounds: list[Track], exponent: float) -> None:
    weights = balanced_weights(sounds, MelOfAudio(), BalanceConfig(n_clusters=2, exponent=exponent))
    tracks, _ = share_out(sounds, weights, [])
    assert parts(tracks, "kind")["noise"] == pytest.approx(
        0.1**exponent / (0.1**exponent + 0.9**exponent), 1e-4
    )


def test_stored_spectra_describe_a_piece_as_its_audio_does(tmp_path: Path, sounds: list[Track]) -> None:
    store_spectra(sounds[8:], tmp_path / "spectra")
    stored = MelOfSpectra(StoredSpectra(tmp_path / "spectra"), sounds[8:])
    for one in sounds[8:]:
        of_audio, of_stored = (list(describe_pieces(one, source)) for source in (MelOfAudio(), stored))
        assert len(of_audio) == len(of_stored) == 1
        assert np.abs(of_audio[0] - of_stored[0]).max() < 0.5  # dB; a step is 0.64


def test_a_track_is_cut_into_pieces_of_half_a_length_at_least(sounds: list[Track]) -> None:
    lengths = {20.0: 1, 30.0: 1, 44.0: 1, 46.0: 2, 75.0: 3}
    assert {
        s: len(list(describe_pieces(replace(sounds[0], seconds=s), Silence()))) for s in lengths
    } == lengths


class Silence:
    def mel(self, track: Track, start: float, end: float) -> np.ndarray:
        assert 15 <= end - start < 46
        return np.zeros((3, 128))


def test_more_clusters_than_pieces_are_refused(sounds: list[Track]) -> None:
    with pytest.raises(ArgumentError, match=r"have 10 different pieces of 30 s. Lower --clusters"):
        balanced_weights(sounds, MelOfAudio(), BalanceConfig(n_clusters=11))


def solfa(*arguments: object, exit_code: int = 0) -> Result:
    result = CliRunner().invoke(app, [str(one) for one in arguments])
    assert result.exit_code == exit_code, result.output
    return result


def test_the_command_joins_lists_and_says_shares_before_and_after(
    tmp_path: Path, sounds: list[Track]
) -> None:
    write_manifest(sounds[:5], tmp_path / "one.jsonl")
    write_manifest(sounds[5:], tmp_path / "two.jsonl")
    out = tmp_path / "mix" / "out.jsonl"
    lists = (tmp_path / "one.jsonl", tmp_path / "two.jsonl")
    answer = solfa("data", "weigh", *lists, "--out", out, "--share", "kind=noise:0.4", "--clusters", 2)
    rows = [[cell.strip() for cell in line.strip("│").split("│")] for line in answer.output.splitlines()]
    assert ["kind=noise", "1", "0.01", "10.00 %", "40.00 %"] in rows
    assert ["the rest", "9", "0.10", "90.00 %", "60.00 %"] in rows
    tracks = read_manifest(out)
    assert [one.path for one in tracks] == [one.path for one in sounds]
    assert parts(tracks, "kind")["noise"] == pytest.approx(0.4, rel=1e-4)


def test_spectra_without_clusters_are_a_slip(tmp_path: Path) -> None:
    write_manifest(TRACKS, tmp_path / "a.jsonl")
    options = ("--out", tmp_path / "b.jsonl", "--spectra", tmp_path)
    assert "--clusters" in solfa("data", "weigh", tmp_path / "a.jsonl", *options, exit_code=2).output
