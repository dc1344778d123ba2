import json
import logging
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import Tensor

import solfa
from golden_data import GOLDEN, MUQ, config_of, io_of, weights_of
from solfa.models import ModelError, MuLan, MuLanClipsConfig, load_encoder
from solfa.models.mulan import cut_clips
from solfa.models.published.mulan import mulan_config, mulan_weights

TEXTS = config_of("muq_mulan")["texts"]
WAVEFORM = io_of("muq_mulan")["wav"]


@pytest.fixture(scope="module")
def mulan() -> MuLan:
    model = solfa.load(GOLDEN / "muq_mulan")
    assert isinstance(model, MuLan)
    return model


def official_folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(GOLDEN / "muq_mulan", tmp_path / "mulan"))


def distance(a: Tensor, b: Tensor) -> float:
    return float((a - b).abs().max())


def test_audio_and_text_get_the_published_vectors(mulan: MuLan) -> None:
    io = io_of("muq_mulan")
    assert distance(mulan.embed_audio(WAVEFORM), io["audio_embeds"]) < 1e-6
    assert distance(mulan.embed_text(TEXTS), io["text_embeds_one_at_a_time"]) < 1e-6


@settings(max_examples=25, deadline=None)
@given(st.lists(st.sampled_from([*TEXTS, "a", "calm piano " * 20]), min_size=1, max_size=6))
def test_a_text_has_the_same_vector_whatever_stands_beside_it(texts: list[str]) -> None:
    model = solfa.load(GOLDEN / "muq_mulan")
    alone = torch.cat([model.embed_text([text]) for text in texts])
    assert distance(model.embed_text(texts), alone) < 1e-5


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.integers(9_000, 130_000), min_size=1, max_size=4),
    st.integers(0, 20_000),
    st.sampled_from(["wrap", "end"]),
)
def test_a_recording_has_the_same_vector_alone_padded_and_among_others(
    lengths: list[int], n_padding: int, last: Any
) -> None:
    model, clips = solfa.load(GOLDEN / "muq_mulan"), MuLanClipsConfig(seconds=2.0, last=last)
    generator = torch.Generator().manual_seed(sum(lengths))
    recordings = [torch.randn(n, generator=generator) * 0.1 for n in lengths]
    batch = torch.full((len(lengths), max(lengths) + n_padding), 0.5)  # padding need not be zero
    for row, recording in zip(batch, recordings, strict=True):
        row[: len(recording)] = recording
    together = model.embed_audio(batch, torch.tensor(lengths), clips)
    alone = torch.cat([model.embed_audio(recording[None], clips=clips) for recording in recordings])
    assert distance(together, alone) < 1e-5


def test_the_last_clip_is_filled_up_from_the_beginning() -> None:
    clips = list(cut_clips(torch.arange(25.0), 10, MuLanClipsConfig(seconds=1.0)))
    assert [len(clip) for clip in clips] == [10, 10, 10]
    assert clips[2].tolist() == [20, 21, 22, 23, 24, 0, 1, 2, 3, 4]


def test_audio_of_less_than_half_a_clip_is_heard_twice_as_published() -> None:
    (clip,) = cut_clips(torch.arange(3.0), 10, MuLanClipsConfig(seconds=1.0))
    assert clip.tolist() == [0, 1, 2, 0, 1, 2]


def test_by_the_other_rule_the_last_clip_ends_with_the_audio() -> None:
    rule = MuLanClipsConfig(seconds=1.0, last="end")
    assert [clip.tolist()[0] for clip in cut_clips(torch.arange(25.0), 10, rule)] == [0, 10, 15]
    assert [len(clip) for clip in cut_clips(torch.arange(3.0), 10, rule)] == [3]
    assert len(list(cut_clips(torch.arange(20.0), 10, rule))) == 2


def test_the_vector_of_a_recording_is_the_mean_of_unit_vectors(mulan: MuLan) -> None:
    whole = WAVEFORM[:1, :48_000]
    assert float(mulan.embed_audio(whole).norm()) == pytest.approx(1, abs=1e-6)
    assert float(mulan.embed_audio(WAVEFORM[:1]).norm()) < 1 - 1e-4


def test_a_string_in_place_of_a_list_is_refused(mulan: MuLan) -> None:
    with pytest.raises(ValueError, match=r"takes a list of strings.*embed_text\(\[text\]\)"):
        mulan.embed_text("calm piano")
    assert mulan.embed_text([]).shape == (0, 16)


def test_a_recording_without_samples_is_refused(mulan: MuLan) -> None:
    with pytest.raises(ValueError, match=r"without samples has no vector. Leave it out"):
        mulan.embed_audio(WAVEFORM, torch.tensor([9_000, 0]))


def test_a_text_longer_than_the_language_model_reads_is_cut_with_a_warning(
    mulan: MuLan, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "solfa"):
        vectors = mulan.embed_text(["piano " * 200, "piano " * 500])
    assert "is cut to the 128 that the language model can read" in caplog.text
    assert distance(vectors[0], vectors[1]) < 1e-6


def test_only_the_settings_of_the_parts_are_fetched_besides_the_one_file(tmp_path: Path) -> None:
    """The published model stands on two others; their weights are in its own file."""
    folder = official_folder(tmp_path)
    values = json.loads((folder / "config.json").read_text())
    audio = folder / "MuQ-tiny"
    audio.mkdir()
    (audio / "config.json").write_text(json.dumps(values.pop("muq_config")))
    (folder / "config.json").write_text(json.dumps(values))
    (folder / "text_tower-xlm-roberta-tiny" / "model.safetensors").unlink()
    assert (
        distance(solfa.load(folder).embed_text(TEXTS), io_of("muq_mulan")["text_embeds_one_at_a_time"]) < 1e-6
    )


def test_a_folder_without_its_tokenizer_is_refused(tmp_path: Path) -> None:
    folder = official_folder(tmp_path)
    for name in ("config.json", "tokenizer.json"):
        (folder / "text_tower-xlm-roberta-tiny" / name).unlink()
    with pytest.raises(ModelError, match=r"holds no language model: it needs config.json.*Fetch them again"):
        solfa.load(folder)


def test_names_that_are_not_of_a_mulan_are_refused_and_known_ones_beside_it_are_not() -> None:
    weights = weights_of("muq_mulan")
    assert not any("aggregator" in name or "temperatures" in name for name in mulan_weights(weights))
    with pytest.raises(ValueError, match=r"not of a MuQ-MuLan model: mulan\.strange"):
        mulan_weights(weights | {"mulan.strange": torch.zeros(1)})


def test_missing_weights_are_reported_by_name(tmp_path: Path) -> None:
    folder = official_folder(tmp_path)
    weights = load_file(folder / "model.safetensors")
    del weights["mulan.text_to_latents.bias"]
    save_file(weights, folder / "model.safetensors")
    with pytest.raises(ModelError, match=r"missing: text\.to_shared\.bias"):
        solfa.load(folder)


@pytest.mark.parametrize(
    ("part", "key", "value", "message"),
    [
        ("text_model", "use_layer_idx", 3, "text_model.use_layer_idx 3, known: -1"),
        ("mulan", "sr", 16_000, "mulan.sr 16000, while its MuQ has 24000"),
        ("audio_model", "model_dim", 64, "audio_model.model_dim 64, while its MuQ has 32"),
    ],
)
def test_a_published_setting_that_we_do_not_build_is_refused(
    part: str, key: str, value: int, message: str
) -> None:
    published = config_of("muq_mulan")
    published[part][key] = value
    with pytest.raises(ValueError, match=message):
        mulan_config(published, published["muq_config"])


def test_its_audio_side_is_an_encoder_whose_frames_are_clips(mulan: MuLan) -> None:
    encoder = load_encoder(GOLDEN / "muq_mulan")
    clips = WAVEFORM[:, :48_000]
    assert (encoder.n_layers, encoder.dim, encoder.frame_rate) == (0, 16, 0.5)
    assert torch.equal(encoder(clips).last[:, 0], mulan.embed_clips(clips))


WITHOUT_TRANSFORMERS = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "transformers":
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Absent())
import torch, solfa
print(solfa.load(sys.argv[1])(torch.zeros(1, 9_600)).last.shape[1])
try:
    solfa.load(sys.argv[2])
except ImportError as error:
    print(error)
"""


def test_without_transformers_encoders_load_and_text_names_the_extra() -> None:
    command = [sys.executable, "-c", WITHOUT_TRANSFORMERS, str(GOLDEN / MUQ[0]), str(GOLDEN / "muq_mulan")]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    assert lines == [
        "10",
        'Text needs the transformers library. Install it with: pip install "solfa[text]"',
    ]
