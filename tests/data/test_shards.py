"""Shards on this disk: the clips of the files to the bit, packing that goes on, and what damage does."""

import json
import pickle
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import zoo
from solfa.cli.main import app
from solfa.data import prepare_files, read_audio
from solfa.data.clips import ClipsConfig, RandomClips, batches
from solfa.data.manifest import Track, hash_content, write_manifest
from solfa.data.packing import Companions, pack
from solfa.data.shards import Shards, ShardsError, read_tracks, shards_in
from solfa.data.spectra import store_spectra
from solfa.data.stored_frames import CodesDescription, StoredCodeFrames, StoredFramesError

KINDS = ("wav", "flac", "ogg", "opus", "mp3", "m4a")


@pytest.fixture(scope="module")
def listed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A manifest of one track of each format."""
    folder = tmp_path_factory.mktemp("music")
    paths = [
        zoo.write(folder / f"{kind}.{kind}", zoo.music(3.0 + n / 4)[: -n or None], kind=kind)
        for n, kind in enumerate(KINDS)
    ]
    write_manifest(prepare_files(paths).tracks, folder / "tracks.jsonl")
    return folder / "tracks.jsonl"


@pytest.fixture(scope="module")
def packed(listed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shards of these tracks, of two files each or so."""
    out = tmp_path_factory.mktemp("packed") / "shards"
    pack(read_tracks(str(listed)), listed, str(out), Companions(), shard_bytes=200_000)
    return out


def row_of(manifest: Path, **changes: object) -> RandomClips:
    config = ClipsConfig(clip_seconds=1.0, channel="random", **changes)  # type: ignore[arg-type]
    return RandomClips(read_tracks(str(manifest)), config, 24_000, 7)


def same(a: RandomClips, b: RandomClips, n_clips: int = 30) -> bool:
    pairs = [(a[number], b[number]) for number in range(n_clips)]
    return all(torch.equal(x.waveform, y.waveform) and x[1:4] == y[1:4] for x, y in pairs)


def test_clips_are_those_of_the_files_to_the_bit(listed: Path, packed: Path) -> None:
    assert len(list(packed.glob("*.tar"))) > 1
    assert same(row_of(listed), row_of(packed))


def test_workers_read_the_same_clips(packed: Path) -> None:
    numbers = [[0, 1], [2, 3], [4, 5]]
    here = list(batches(row_of(packed), iter(numbers), 0))
    there = list(batches(row_of(packed), iter(numbers), 2))
    assert all(torch.equal(a.waveform, b.waveform) for a, b in zip(here, there, strict=True))


def test_shards_go_to_another_process_by_their_folder(packed: Path) -> None:
    tracks = pickle.loads(pickle.dumps(read_tracks(str(packed))))
    assert tracks[0].member.shards is shards_in(packed)


def test_a_shard_is_a_tar_with_the_files_as_they_were(listed: Path, packed: Path) -> None:
    originals = {track.content_hash for track in read_tracks(str(listed))}
    found = set()
    for shard in sorted(packed.glob("*.tar")):
        with tarfile.open(shard) as tar:
            for member in tar:
                content = tar.extractfile(member)
                assert content is not None
                if member.name.endswith(".json"):
                    assert json.load(content)["path"].split(".")[0] in KINDS
                else:
                    (shard.parent / "copy").write_bytes(content.read())
                    found.add(hash_content(shard.parent / "copy"))
    assert found == originals


def test_a_stretch_of_a_file_is_packed_once_and_read_from_its_place(listed: Path, tmp_path: Path) -> None:
    (whole, *_) = read_tracks(str(listed))
    halves = [replace(whole, seconds=1.5), replace(whole, seconds=1.5, start_seconds=1.5)]
    write_manifest(halves, tmp_path / "halves.jsonl")
    done = pack(halves, tmp_path / "halves.jsonl", str(tmp_path / "shards"), Companions())
    assert done.n_packed == 1
    assert same(row_of(tmp_path / "halves.jsonl"), row_of(tmp_path / "shards"))


def test_packing_that_was_broken_off_goes_on(listed: Path, packed: Path, tmp_path: Path) -> None:
    out, tracks = tmp_path / "shards", read_tracks(str(listed))

    def stop(n_done: int, name: str) -> None:
        if n_done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pack(tracks, listed, str(out), Companions(), shard_bytes=200_000, progress=stop)
    (out / ".packing-killed").mkdir()
    with pytest.raises(ShardsError, match=r"no whole shards.*finish them, with: solfa data shard"):
        read_tracks(str(out))
    before = {path: path.stat().st_mtime_ns for path in out.glob("*.tar")}
    assert before
    done = pack(tracks, listed, str(out), Companions(), shard_bytes=200_000)
    assert done.n_known and done.n_known + done.n_packed == len(tracks)
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in before.items())
    for path in packed.iterdir():
        if path.suffix in (".tar", ".jsonl"):
            assert (out / path.name).read_bytes() == path.read_bytes()
    assert not list(out.glob(".packing-*"))


def test_files_that_have_changed_are_reported_and_left_out(listed: Path, tmp_path: Path) -> None:
    tracks = read_tracks(str(listed))
    changed = zoo.write(tmp_path / "changed.wav", zoo.music(2.0))
    gone = replace(tracks[1], path=tmp_path / "gone.flac")
    manifest = tmp_path / "tracks.jsonl"
    write_manifest([tracks[0], replace(tracks[2], path=changed), gone], manifest)
    answer = CliRunner().invoke(
        app, ["data", "shard", str(manifest), "--out", str(tmp_path / "s"), "--strict"]
    )
    assert answer.exit_code == 1, answer.output
    reasons = (tmp_path / "s" / "refused.jsonl").read_text()
    assert "has changed since it was listed" in reasons and "gone" in reasons
    assert [track.content_hash for track in read_tracks(str(tmp_path / "s"))] == [tracks[0].content_hash]


def spoil(shards: Path, track: Track) -> None:
    """Turn a byte in the middle of a track's file."""
    member = Shards(shards).members("audio")[track.content_hash]
    with (shards / member.shard).open("r+b") as file:
        file.seek(member.offset + member.size // 2)
        byte = file.read(1)
        file.seek(-1, 1)
        file.write(bytes([byte[0] ^ 1]))


@pytest.fixture
def copied(listed: Path, tmp_path: Path) -> Path:
    """Shards of one file each, to be damaged; opened anew by each test."""
    pack(read_tracks(str(listed)), listed, str(tmp_path / "shards"), Companions(), shard_bytes=1)
    shards_in.cache_clear()
    return tmp_path / "shards"


def test_damage_in_a_shard_is_noticed_and_the_next_track_takes_its_place(copied: Path) -> None:
    tracks = read_tracks(str(copied))
    spoil(copied, tracks[0])
    row = row_of(copied)
    replaced = [number for number in range(40) if row[number].n_unreadable]
    assert replaced and all(row[number].track != 0 for number in range(40))
    with pytest.raises(ValueError, match="not those that were packed; copy the shard again"):
        read_audio(tracks[0].source)


def test_shards_that_are_gone_or_cut_are_counted_as_files_are(copied: Path) -> None:
    (copied / "shard-00001.tar").unlink()
    cut = copied / "shard-00003.tar"
    cut.write_bytes(cut.read_bytes()[:5000])
    row = row_of(copied)
    found = [row[number] for number in range(60)]
    assert {clip.track for clip in found} == {0, 2, 4, 5}
    assert sum(clip.n_unreadable for clip in found) > 10


@pytest.mark.parametrize("name", ["tracks.jsonl", "contents.jsonl", "shards.json"])
def test_a_damaged_table_is_named_with_the_cure(copied: Path, name: str) -> None:
    table = copied / name
    table.write_bytes(table.read_bytes()[:-9])
    with pytest.raises(ShardsError, match=r"is damaged.*Copy it again.*solfa data shard"):
        read_tracks(str(copied))


@pytest.mark.parametrize("name", ["../tracks.jsonl", "/tracks.jsonl", "a\\b.jsonl", ".."])
def test_a_table_that_lies_elsewhere_is_refused(copied: Path, name: str) -> None:
    """Tables of an address are written into the cache, and must not be written beside it."""
    described = json.loads((copied / "shards.json").read_text())
    described["tables"][0]["name"] = name
    (copied / "shards.json").write_text(json.dumps(described))
    with pytest.raises(ShardsError, match="is no name of a table"):
        Shards(copied)


def test_a_folder_without_shards_is_refused_with_the_cure(tmp_path: Path) -> None:
    with pytest.raises(ShardsError, match=r"no whole shards in .*Make them.*with: solfa data"):
        read_tracks(str(tmp_path))


def stored_codes(tracks: list[Track], folder: Path, seed: int = 0) -> Path:
    """Random codes, 25 frames a second."""
    description = CodesDescription(
        n_codebooks=2, codebook_size=64, sample_rate=24_000, hop_length=960, target="t", target_id=str(seed),
        source="audio",
    )  # fmt: skip
    folder.mkdir()
    codes = StoredCodeFrames.begin(folder, description)
    for n, track in enumerate(tracks):
        rng = np.random.default_rng([seed, n])
        codes.write(track.content_hash, rng.integers(0, 64, (int(track.seconds * 25), 2)))
    return folder


def test_codes_are_packed_with_the_files(listed: Path, tmp_path: Path) -> None:
    tracks, out = read_tracks(str(listed)), tmp_path / "shards"
    codes = stored_codes(tracks, tmp_path / "codes")
    pack(tracks, listed, str(out), Companions(codes=codes))
    plain = RandomClips(tracks, ClipsConfig(clip_seconds=1.0, codes=str(codes)), 24_000, 3)
    config = ClipsConfig(clip_seconds=1.0, codes=str(out))
    sharded = RandomClips(read_tracks(str(out)), config, 24_000, 3)
    for number in range(20):
        a, b = plain[number], sharded[number]
        assert torch.equal(a.waveform, b.waveform) and torch.equal(a.beside[0], b.beside[0])
    with pytest.raises(ShardsError, match=r"codes\.json differs"):
        others = Companions(codes=stored_codes(tracks, tmp_path / "others", seed=1))
        pack(tracks, listed, str(out), others)
    with pytest.raises(ShardsError, match="was packed of audio, codes"):
        pack(tracks, listed, str(out), Companions())
    with pytest.raises(StoredFramesError, match="There are no features"):
        RandomClips(tracks, ClipsConfig(clip_seconds=1.0, spectra=str(out)), 24_000, 3)


def test_spectra_are_packed_alone(listed: Path, tmp_path: Path) -> None:
    tracks, out = read_tracks(str(listed))[:2], tmp_path / "shards"
    store_spectra(tracks, tmp_path / "features")
    pack(tracks, listed, str(out), Companions(has_audio=False, spectra=tmp_path / "features"))
    rows = [
        RandomClips(found, ClipsConfig(clip_seconds=1.0, spectra=str(where)), 24_000, 3)
        for found, where in ((tracks, tmp_path / "features"), (read_tracks(str(out)), out))
    ]
    for number in range(8):
        a, b = (row[number].beside[0] for row in rows)
        assert torch.equal(a.mel, b.mel) and torch.equal(a.cqt, b.cqt)


def test_the_command_says_what_it_did(listed: Path, tmp_path: Path) -> None:
    answer = CliRunner().invoke(app, ["data", "shard", str(listed), "--out", str(tmp_path / "s")])
    assert answer.exit_code == 0
    assert "6 files packed, 0 were there already" in answer.output and "1 shards" in answer.output
