"""Shards in an object store: the clips of the files, a cache that is bounded, and a store that fails."""

import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import zoo
from object_store import ObjectStore, served
from solfa.data import prepare_files, storage
from solfa.data.block_cache import BlockCache, digest_of
from solfa.data.clips import ClipsConfig, RandomClips, batches
from solfa.data.manifest import Track, write_manifest
from solfa.data.packing import Companions, pack
from solfa.data.shards import Shards, ShardsError, fetched, read_tracks
from solfa.data.storage import Storage, StorageError
from solfa.errors import ArgumentError

moto = pytest.importorskip("moto.server", reason="moto is what answers as S3 does")
fsspec = pytest.importorskip("fsspec")
pytest.importorskip("s3fs", reason="the extra shards is not installed")
boto3 = pytest.importorskip("boto3")

BUCKETS = (f"music-{n}" for n in itertools.count())
USER = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}


@pytest.fixture(scope="module")
def running() -> Iterator[ObjectStore]:
    """An S3 that runs here."""
    with served(moto.DomainDispatcherApplication(moto.create_backend_app)) as store:
        yield store


@pytest.fixture
def store(running: ObjectStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ObjectStore:
    """It, as the only S3 that is known, without faults; and a cache of our own."""
    running.faults, running.always, running.n_asked = [], "", 0
    user = {"key": USER["aws_access_key_id"], "secret": USER["aws_secret_access_key"]}
    # The storage's own tries would hide how many are ours.
    options = {"config_kwargs": {"retries": {"max_attempts": 0}}, "endpoint_url": running.address, **user}
    monkeypatch.setitem(fsspec.config.conf, "s3", options)
    monkeypatch.setattr("s3fs.S3FileSystem.retries", 1)
    monkeypatch.setattr(storage, "PATIENCE", (1.0, 1.0, 1.0, 5.0))
    monkeypatch.setattr(storage, "PAUSE", 0.01)
    monkeypatch.setenv("SOLFA_SHARD_CACHE", str(tmp_path / "cache"))
    return running


@pytest.fixture(scope="module")
def listed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A manifest of a few tracks; the WAV has three blocks."""
    folder = tmp_path_factory.mktemp("music")
    kinds = {"wav": 12.0, "flac": 2.0, "ogg": 2.5, "mp3": 3.0}
    paths = [zoo.write(folder / f"{kind}.{kind}", zoo.music(s), kind=kind) for kind, s in kinds.items()]
    write_manifest(prepare_files(paths).tracks, folder / "tracks.jsonl")
    return folder / "tracks.jsonl"


@pytest.fixture
def address(store: ObjectStore, listed: Path) -> str:
    """Shards of these tracks, in a bucket of their own."""
    bucket = next(BUCKETS)
    boto3.client("s3", endpoint_url=store.address, **USER).create_bucket(Bucket=bucket)
    pack(read_tracks(str(listed)), listed, f"s3://{bucket}/shards", Companions(), shard_bytes=10**6)
    return f"s3://{bucket}/shards"


def row_of(tracks: list[Track]) -> RandomClips:
    return RandomClips(tracks, ClipsConfig(clip_seconds=1.0), 24_000, 7)


def heard(tracks: list[Track], n_clips: int = 15) -> list[torch.Tensor]:
    row = row_of(tracks)
    return [row[number].waveform for number in range(n_clips)]


def test_clips_of_a_store_are_those_of_the_files_to_the_bit(
    store: ObjectStore, address: str, listed: Path
) -> None:
    far = read_tracks(address)
    assert all(map(torch.equal, heard(far), heard(read_tracks(str(listed)))))
    asked = store.n_asked
    assert asked
    assert all(map(torch.equal, heard(Shards(fetched(address)).tracks()), heard(far)))
    assert store.n_asked == asked  # another process finds all of it in the cache


def test_packing_into_a_store_goes_on_where_it_ended(store: ObjectStore, address: str, listed: Path) -> None:
    done = pack(read_tracks(str(listed)), listed, address, Companions(), shard_bytes=10**6)
    assert (done.n_packed, done.n_known) == (0, 4)


def test_shards_are_read_by_plain_http_too(listed: Path, address: str, store: ObjectStore) -> None:
    pytest.importorskip("aiohttp")
    bucket, plain = address.split("/")[2], address.replace("s3://", f"{store.address}/")
    everybody = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject"}
    rights = {"Statement": [{**everybody, "Resource": f"arn:aws:s3:::{bucket}/*"}]}
    client = boto3.client("s3", endpoint_url=store.address, **USER)
    client.put_bucket_policy(Bucket=bucket, Policy=json.dumps(rights))
    assert all(map(torch.equal, heard(read_tracks(plain)), heard(read_tracks(str(listed)))))


@pytest.mark.parametrize("fault", ["dropped", "busy", "slow", "spoiled", "cut"])
def test_passing_failures_change_no_clip(store: ObjectStore, address: str, listed: Path, fault: str) -> None:
    far = read_tracks(address)
    store.faults = [fault, ""] * 3
    assert all(map(torch.equal, heard(far), heard(read_tracks(str(listed)))))
    assert len(store.faults) < 6


def test_workers_read_the_same_clips_and_say_what_failed(
    store: ObjectStore, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    row, numbers = row_of(read_tracks(address)), [[0, 1], [2, 3]]
    here = list(batches(row, iter(numbers), 0))
    monkeypatch.setenv("SOLFA_SHARD_CACHE_GB", "0")
    monkeypatch.setattr(storage, "PATIENCE", (0.5,) * 4)
    row = row_of(Shards(fetched(address)).tracks())
    assert all(
        torch.equal(a.waveform, b.waveform) for a, b in zip(here, batches(row, iter(numbers), 1), strict=True)
    )
    store.always = "busy"
    with pytest.raises(StorageError, match=r"^s3://.*cannot be reached \(4 tries"):
        list(batches(row, iter(numbers), 1))


@pytest.mark.parametrize("fault", ["dropped", "busy", "slow"])
def test_a_store_that_stays_away_ends_the_run_with_a_named_error(
    store: ObjectStore, address: str, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "PATIENCE", (0.3,) * 4)
    row = row_of(read_tracks(address))
    store.always = fault
    with pytest.raises(StorageError, match=r"shard-0000.*cannot be reached \(4 tries; the last.*--resume"):
        [row[number] for number in range(15)]


def test_what_is_damaged_in_the_store_is_counted_and_replaced(store: ObjectStore, address: str) -> None:
    row = row_of(read_tracks(address))
    client = boto3.client("s3", endpoint_url=store.address, **USER)
    bucket, _, folder = address.removeprefix("s3://").partition("/")
    client.put_object(Bucket=bucket, Key=f"{folder}/shard-00000.tar", Body=bytes(3 * 10**6))
    clips = [row[number] for number in range(15)]
    assert sum(clip.n_unreadable for clip in clips) and all(clip.track != 0 for clip in clips)


def test_a_cache_stays_within_its_bound_and_keeps_what_fits(tmp_path: Path) -> None:
    cache, blocks = BlockCache(tmp_path / "blocks", 3), [bytes([n]) * 1000 for n in range(7)]
    for number, block in enumerate(blocks):
        cache.put(number, block)
    found = [cache.get(n, digest_of(block)) == block for n, block in enumerate(blocks)]
    assert found == [False] * 4 + [True] * 3
    assert len(list((tmp_path / "blocks").iterdir())) == 3
    (tmp_path / "blocks" / "0").write_bytes(b"half")
    assert cache.get(6, digest_of(blocks[6])) is None


def test_a_cache_without_room_is_none(tmp_path: Path) -> None:
    cache = BlockCache(tmp_path / "file" / "blocks", 3)
    (tmp_path / "file").write_bytes(b"")
    cache.put(0, b"block")
    assert cache.get(0, digest_of(b"block")) is None


@pytest.mark.parametrize("size", ["much", "-1", "inf"])
def test_a_cache_of_no_size_is_refused(monkeypatch: pytest.MonkeyPatch, address: str, size: str) -> None:
    monkeypatch.setenv("SOLFA_SHARD_CACHE_GB", size)
    with pytest.raises(ArgumentError, match=r"SOLFA_SHARD_CACHE_GB.*a number of GB"):
        Shards(fetched(address))


def test_an_address_without_shards_is_refused_with_the_cure(store: ObjectStore, address: str) -> None:
    with pytest.raises(ShardsError, match=r"no whole shards at s3://.*solfa data shard"):
        read_tracks(f"{address}/elsewhere")
    with pytest.raises(ArgumentError, match="no address that can be read"):
        Storage("nowhere://music").read("shards.json")
