"""No failure of one file ends a run, whatever its class and wherever: it is a line in the report."""

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import av
import pytest
import soundfile
import soxr

from golden_data import GOLDEN
from solfa import files as whole_files
from solfa.data import audio, prepare
from solfa.data.refused import Refused
from solfa.data.sndfile import SoundFileDecoder
from solfa.embedding import Embedded, EmbeddingStore, Space, WindowConfig, describe_space
from solfa.models import AudioEncoder, MuLan, load
from solfa.models.checks import NotFiniteError
from solfa.retrieval import Library
from solfa.retrieval.zero_shot import ZeroShotTagger
from synth import melody

CLASSES: list[Callable[[], Exception]] = [
    lambda: ValueError("a value"), lambda: AttributeError("an attribute"), lambda: RuntimeError("in a run"),
    lambda: MemoryError(), lambda: OSError(5, "Input/output error"), lambda: RecursionError("too deep"),
    lambda: KeyError("a key"), lambda: UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
    lambda: AssertionError(), lambda: soundfile.LibsndfileError(3), lambda: StopIteration(),
    lambda: av.error.InvalidDataError(1, "bad"), lambda: PermissionError(13, "Permission denied"),
    lambda: ZeroDivisionError(), lambda: TimeoutError(), lambda: EOFError(),
    lambda: NotImplementedError("not yet"),
]  # fmt: skip
NAMES = [f"{n:02d} {type(make()).__name__}.wav" for n, make in enumerate(CLASSES)]
NO_SIGN = {name for name, make in zip(NAMES, CLASSES, strict=True) if isinstance(make(), OSError)}  # no place
SHORTEST, STEP = 1.0, 0.04  # seconds; no two files are of the same length, or the same rate
STAGES = ("stat", "open", "hash", "tags", "header", "middle", "resample", "model", "store")


def rate_of(number: int) -> int:
    return 16_000 + 100 * number


def fail_for(name: object) -> None:
    """Fail if the file is one that should."""
    name = Path(os.fsdecode(name) if isinstance(name, bytes) else str(name)).name
    if name in NAMES:
        raise CLASSES[NAMES.index(name)]()


def fail_for_rate(rate: float) -> None:
    number = round((rate - rate_of(0)) / 100)
    fail_for(NAMES[number] if number < len(NAMES) else "")


def fail_for_length(seconds: float) -> None:
    number = round((seconds - SHORTEST) / STEP)
    fail_for(NAMES[number] if number < len(NAMES) else "")


@pytest.fixture(scope="module")
def music(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a file for each class, known by its name, rate and length; and with a good one."""
    folder = tmp_path_factory.mktemp("music")
    for number, name in enumerate([*NAMES, "good.wav"]):
        tune = melody(SHORTEST + STEP * number, seed=number, sample_rate=rate_of(number))
        soundfile.write(folder / name, tune, rate_of(number), subtype="PCM_16")
    return folder


@pytest.fixture(scope="module")
def tagger() -> ZeroShotTagger:
    mulan = load(GOLDEN / "muq_mulan")
    assert isinstance(mulan, MuLan)
    return ZeroShotTagger(mulan, ["piano"])


@pytest.fixture
def space(tiny_encoder: AudioEncoder) -> Space:
    return describe_space(tiny_encoder, "tiny", layer=2, pool="mean", windows=WindowConfig())


@pytest.fixture(params=STAGES)
def stage(
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    tiny_encoder: AudioEncoder,
    tagger: ZeroShotTagger,
) -> Iterator[str]:
    """Everything as it is, but that one step of the work fails for each file with a class of its own."""

    def first(owner: object, attribute: str, fail: Callable[..., None]) -> None:
        real = getattr(owner, attribute)

        def failing(*given: object, **named: object) -> object:
            fail(*given)
            return real(*given, **named)

        monkeypatch.setattr(owner, attribute, failing)

    def fail_in_model(model: object, waveform: object, *given: object) -> None:
        fail_for_length(waveform.shape[-1] / 24_000)  # type: ignore[attr-defined]

    name: str = request.param
    if name == "stat":
        first(Path, "stat", fail_for)
    elif name == "open":
        first(Path, "open", lambda path, *mode: fail_for(path))
    elif name == "hash":
        first(whole_files.hashlib, "file_digest", lambda file, kind: fail_for(file.name))
    elif name == "tags":
        first(prepare, "read_tags", fail_for)
    elif name == "header":
        first(audio, "open_decoder", fail_for)
    elif name == "middle":
        first(SoundFileDecoder, "blocks", lambda decoder, *given: fail_for(decoder.part.path))
    elif name == "resample":
        first(soxr, "resample", lambda waveform, rate, *given: fail_for_rate(rate))
    elif name == "model":
        first(type(tiny_encoder), "forward", fail_in_model)
        first(type(tagger), "tag", lambda self, path, *given: fail_for(path))
    else:
        first(EmbeddingStore, "_add_vector", lambda store, embedded: fail_for_track(embedded))
        first(Library, "_add", lambda library, embedded: fail_for_track(embedded))
    yield name


def fail_for_track(embedded: Embedded) -> None:
    if embedded.track.path.name not in NO_SIGN:  # those would be of the disk
        fail_for(embedded.track.path)


def check(refused: Sequence[Refused], stage: str) -> None:
    """Every file that failed is named once, with the class of its failure and the place."""
    expected = [name for name in NAMES if stage != "store" or name not in NO_SIGN]
    reasons = {item.path.name: item.reason for item in refused}
    assert sorted(reasons) == expected and len(refused) == len(expected)
    for name in expected:
        if stage == "middle" and "copy or download it again" in reasons[name]:
            continue  # a decoder knows what that means
        assert name[3:-4] in reasons[name], reasons[name]
        assert ".py:" in reasons[name] or name in NO_SIGN, reasons[name]


def test_a_manifest_is_written_of_what_is_left(music: Path, stage: str) -> None:
    if stage in ("resample", "model", "store"):
        pytest.skip("a manifest needs none")
    prepared = prepare.prepare_folder(music)
    assert [track.path.name for track in prepared.tracks] == ["good.wav"]
    check(prepared.refused, stage)


def test_a_store_is_filled_with_what_is_left(
    music: Path, stage: str, tmp_path: Path, tiny_encoder: AudioEncoder, space: Space
) -> None:
    with EmbeddingStore(tmp_path / "store", space) as store:
        done = store.extend(sorted(music.iterdir()), tiny_encoder)
    assert done.n_embedded == len(NAMES) + 1 - len(done.refused) and done.n_embedded > 0
    check(done.refused, stage)


def test_a_library_is_filled_with_what_is_left(
    music: Path, stage: str, tmp_path: Path, tiny_encoder: AudioEncoder, space: Space
) -> None:
    with Library(tmp_path / "library.sqlite", space) as library:
        changes = library.update([music], tiny_encoder)
        assert len(library) == len(NAMES) + 1 - len(changes.refused) and len(library) > 0
    check(changes.refused, stage)


def test_what_is_left_is_tagged(music: Path, stage: str, tagger: ZeroShotTagger) -> None:
    if stage in ("hash", "tags", "store", "open"):
        pytest.skip("tagging needs none")
    outcomes = list(tagger.tag_files(sorted(music.iterdir())))
    assert [one.path.name for one in outcomes if not isinstance(one, Refused)] == ["good.wav"]
    check([one for one in outcomes if isinstance(one, Refused)], stage)


def test_a_model_that_answers_with_nan_still_ends_the_run(
    music: Path, tmp_path: Path, tiny_encoder: AudioEncoder, space: Space, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*given: object) -> None:
        raise NotFiniteError("NaN in every answer")

    monkeypatch.setattr(type(tiny_encoder), "forward", fail)
    with EmbeddingStore(tmp_path / "store", space) as store, pytest.raises(NotFiniteError):
        store.extend(sorted(music.iterdir()), tiny_encoder)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_who_wants_to_stop_is_heard(
    music: Path, tmp_path: Path, tiny_encoder: AudioEncoder, space: Space, error: type[BaseException],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def stop(path: Path) -> None:
        raise error

    monkeypatch.setattr("solfa.data.manifest.check_is_file", stop)
    with EmbeddingStore(tmp_path / "store", space) as store, pytest.raises(error):
        store.extend(sorted(music.iterdir()), tiny_encoder)
