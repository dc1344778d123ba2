"""What callers say of an embedding: wrong options are errors before any work; each name listed has a row."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

import solfa
from golden_data import GOLDEN
from solfa.data.audio import AudioError
from solfa.embedding import Batching, WindowConfig, describe_space, hidden_states, vectors
from solfa.models import AudioEncoder, ClipEncoder
from synth import melody

WriteWav = Callable[[Path, np.ndarray], Path]


@pytest.fixture
def music(tmp_path: Path, write_wav: WriteWav) -> list[Path]:
    return [write_wav(tmp_path / "music" / f"{n}.wav", melody(1.0, seed=n)) for n in range(3)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pool": "max"}, "no pool 'max'. Known are 'mean' and 'mean.std'"),
        ({"pool": None}, "no pool None"),
        ({"layer": 3.0}, "A layer is a whole number, not 3.0"),
        ({"layer": True}, "A layer is a whole number, not True"),
        ({"layer": "last"}, "A layer is a whole number, not 'last'"),
        ({"layer": 99}, "no layer 99: this encoder has 2 layers"),
        ({"layer": 1, "task": "genre"}, "Leave one out"),
        ({"task": "cooking"}, "no task 'cooking'. Known are: key"),
        ({"precision": "int8"}, "no precision 'int8'. Known are auto, float32, bfloat16 and float16"),
        ({"precision": "float16"}, "is for CUDA devices"),
        ({"windows": 30.0}, "windows is a WindowConfig, not 30.0"),
        ({"windows_at_once": 0}, "windows_at_once is a whole number of at least 1, not 0"),
        ({"windows_at_once": 2.5}, "windows_at_once is a whole number of at least 1, not 2.5"),
    ],
)
def test_a_wrong_option_is_an_error_before_any_file_is_read(
    tiny_encoder: AudioEncoder, music: list[Path], monkeypatch: pytest.MonkeyPatch,
    options: dict[str, Any], message: str,
) -> None:  # fmt: skip
    monkeypatch.setattr(vectors, "cut_judged", lambda *_, **__: pytest.fail("a file was read"))
    with pytest.raises(ValueError, match=message):
        solfa.embed(music, tiny_encoder, **options)


@pytest.mark.parametrize("device", ["banana", "cuda:99", 3.0])
def test_a_wrong_device_is_an_error_before_a_model_is_read(
    music: list[Path], monkeypatch: pytest.MonkeyPatch, device: Any
) -> None:
    monkeypatch.setattr("solfa.embedding.options.load_encoder", lambda *_: pytest.fail("a model was read"))
    with pytest.raises(ValueError, match="There is no device"):
        solfa.embed(music, "solfa-small", device=device)


@pytest.mark.parametrize("model", [3, None, torch.zeros(1, 24_000)])
def test_what_is_no_model_is_refused(music: list[Path], model: Any) -> None:
    with pytest.raises(ValueError, match=r"A model is a name, a folder, or what solfa\.load gave, not a"):
        solfa.embed(music, model)


@pytest.mark.parametrize("paths", [None, 3, [None], torch.zeros(1, 4), np.zeros((1, 4))])
def test_what_is_no_path_is_refused(tiny_encoder: AudioEncoder, paths: Any) -> None:
    with pytest.raises(ValueError, match=r"Of a waveform: encoder\(waveform\)"):
        solfa.embed(paths, tiny_encoder)


def test_a_list_has_a_row_for_each_name_and_each_file_is_computed_once(
    tiny_encoder: AudioEncoder, music: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    read, check = [], vectors.cut_judged
    monkeypatch.setattr(
        vectors, "cut_judged", lambda path, *options: (read.append(path), check(path, *options))[1]
    )
    a, b, c = music
    rows = solfa.embed([a, b, str(a), c, a.parent / ".." / "music" / "1.wav"], tiny_encoder)
    assert rows.shape == (5, 16) and read == [a, b, c]
    assert torch.equal(rows[2], rows[0]) and torch.equal(rows[4], rows[1])
    assert not torch.equal(rows[0], rows[1])


def test_what_a_folder_only_repeats_is_left_out(tiny_encoder: AudioEncoder, music: list[Path]) -> None:
    folder = music[0].parent
    assert len(solfa.embed([folder, folder], tiny_encoder)) == 3
    assert len(solfa.embed([music[0], folder], tiny_encoder)) == 3
    assert len(solfa.embed([folder, music[0]], tiny_encoder)) == 4  # it is named


def test_without_paths_there_are_no_rows(tiny_encoder: AudioEncoder) -> None:
    assert solfa.embed([], tiny_encoder).shape == (0, 16)
    assert solfa.embed([], tiny_encoder, pool="mean+std").shape == (0, 32)


def test_a_loaded_music_text_model_embeds_as_its_name_does_and_keeps_its_modes(music: list[Path]) -> None:
    mulan = solfa.load(GOLDEN / "muq_mulan")
    assert torch.equal(solfa.embed(music, mulan), solfa.embed(music, GOLDEN / "muq_mulan"))
    assert torch.equal(hidden_states(music[0], mulan, [0]).states.mean(1), solfa.embed(music[0], mulan))
    mulan.train()
    assert ClipEncoder(mulan).training and mulan.text.training
    with pytest.raises(ValueError, match=r"Call encoder.eval\(\)"):
        solfa.embed(music, mulan)


def test_hidden_states_take_a_name(tiny_encoder: AudioEncoder, tiny_run: Path, music: list[Path]) -> None:
    for name in (tiny_run, str(tiny_run)):
        named = hidden_states(music[0], name, [0, -1])
        assert torch.equal(named.states, hidden_states(music[0], tiny_encoder, [0, 2]).states)
    with pytest.raises(ValueError, match=r"Of one layer write \[4\]"):
        hidden_states(music[0], tiny_encoder, 0)
    with pytest.raises(FileNotFoundError, match=r"gone\.wav"):
        hidden_states("gone.wav", tiny_encoder, [0])


@pytest.mark.parametrize("kind", ["truncated", "silent", "integers"])
def test_files_that_the_command_refuses_are_refused_here_too(
    tiny_encoder: AudioEncoder, tmp_path: Path, kind: str
) -> None:
    path, tune = tmp_path / "a.wav", melody(2.0)
    samples = {"truncated": tune, "silent": np.zeros(48_000), "integers": tune * 32_767}[kind]
    soundfile.write(path, samples, 24_000, subtype="FLOAT" if kind == "integers" else "PCM_16")
    if kind == "truncated":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    for ask in (lambda: solfa.embed(path, tiny_encoder), lambda: hidden_states(path, tiny_encoder, [0])):
        with pytest.raises(AudioError, match=r"a\.wav"):
            ask()


def test_sisters_of_these_options_are_checked_where_they_are_given(tiny_encoder: AudioEncoder) -> None:
    for options in ({"windows_at_once": 0}, {"n_workers": -1}):
        with pytest.raises(ValueError, match="whole number of at least 1"):
            Batching(**options)
    with pytest.raises(ValueError, match="There is no layer 9"):
        describe_space(tiny_encoder, "tiny", layer=9, pool="mean", windows=WindowConfig())
    with pytest.raises(ValueError, match="Windows last some seconds"):
        WindowConfig(window_seconds=float("inf"))
