"""Half precision in embedding: only where it gains, never by accident, and never mixed with float32."""

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch

import solfa
from solfa.embedding import (
    EmbeddingStore,
    Precision,
    Space,
    SpaceError,
    WindowConfig,
    describe_space,
    hidden_states,
    space_from_values,
)
from solfa.embedding.encoding import encode
from solfa.embedding.windows import cut_windows
from solfa.models import AudioEncoder
from synth import melody

WriteWav = Callable[[Path, np.ndarray], Path]


def space_of(encoder: AudioEncoder, precision: Precision) -> Space:
    return describe_space(encoder, "tiny", layer=2, pool="mean", windows=WindowConfig(), precision=precision)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_on_a_processor_is_refused_with_the_cure(
    tiny_encoder: AudioEncoder,
    tmp_path: Path,
    write_wav: WriteWav,
    precision: Precision,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("solfa.precision.multiplies_bfloat16", lambda: False)
    path = write_wav(tmp_path / "a.wav", melody(1.0))
    cure = rf"{precision} is for CUDA devices.*on this device \(cpu\).*Use float32"
    with pytest.raises(ValueError, match=cure):
        solfa.embed(path, tiny_encoder, precision=precision)
    with pytest.raises(ValueError, match=cure):
        hidden_states(path, tiny_encoder, [1], precision=precision)
    with (
        EmbeddingStore(tmp_path / "store", space_of(tiny_encoder, precision)) as store,
        pytest.raises(ValueError, match=cure),
    ):
        store.extend([path], tiny_encoder)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_rounds_states_a_little(
    tiny_encoder: AudioEncoder, tmp_path: Path, write_wav: WriteWav, precision: Precision
) -> None:
    path = write_wav(tmp_path / "a.wav", melody(2.0))
    windows = [("a", window) for window in cut_windows(path, tiny_encoder.grid, WindowConfig())]
    [(_, exact)] = encode(windows, tiny_encoder, [2], 1)
    [(_, rounded)] = encode(windows, tiny_encoder, [2], 1, precision)
    assert not torch.equal(exact.states, rounded.states)
    assert torch.cosine_similarity(exact.states, rounded.states, dim=-1).min() > 0.999


def test_float32_is_float32_whatever_holds_around_it(
    tiny_encoder: AudioEncoder, tmp_path: Path, write_wav: WriteWav
) -> None:
    path = write_wav(tmp_path / "a.wav", melody(2.0))
    expected = solfa.embed(path, tiny_encoder)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(solfa.embed(path, tiny_encoder), expected)


def test_vectors_of_another_precision_are_of_another_space(tiny_encoder: AudioEncoder) -> None:
    exact, rounded = space_of(tiny_encoder, "float32"), space_of(tiny_encoder, "bfloat16")
    assert exact.id != rounded.id
    with pytest.raises(SpaceError, match=r"precision bfloat16 instead of float32.*layer and precision"):
        exact.check_same(rounded, Path("store"))


def test_a_store_tells_its_precision(tiny_encoder: AudioEncoder, tmp_path: Path) -> None:
    with EmbeddingStore(tmp_path, space_of(tiny_encoder, "bfloat16")):
        pass
    assert json.loads((tmp_path / "store.json").read_text())["space"]["precision"] == "bfloat16"


def test_a_store_that_tells_no_precision_is_float32(tiny_encoder: AudioEncoder) -> None:
    space = space_of(tiny_encoder, "float32")
    values = asdict(space)
    del values["precision"]
    assert space_from_values(values, Path("store")) == space
    assert space_from_values(asdict(replace(space, precision="float16")), Path("store")) != space


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_vectors_in_half_precision_point_where_those_in_float32_do(
    tiny_run: Path, tmp_path: Path, write_wav: WriteWav, precision: Precision
) -> None:
    path = write_wav(tmp_path / "a.wav", melody(2.0))
    exact = solfa.embed(path, tiny_run, device="cuda")
    rounded = solfa.embed(path, tiny_run, device="cuda", precision=precision)
    assert torch.cosine_similarity(exact, rounded).min() > 0.999


def test_auto_makes_vectors_in_bfloat16_where_the_processor_gains_and_exact_ones_elsewhere(
    tiny_encoder: AudioEncoder, tmp_path: Path, write_wav: WriteWav, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_wav(tmp_path / "a.wav", melody(1.0))
    exact = solfa.embed(path, tiny_encoder)
    monkeypatch.setattr("solfa.precision.multiplies_bfloat16", lambda: False)
    assert torch.equal(solfa.embed(path, tiny_encoder, precision="auto"), exact)
    monkeypatch.setattr("solfa.precision.multiplies_bfloat16", lambda: True)
    rounded = solfa.embed(path, tiny_encoder, precision="auto")
    assert not torch.equal(rounded, exact)
    torch.testing.assert_close(rounded, exact, rtol=0.1, atol=0.1)
