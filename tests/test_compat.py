"""The call styles of the originals: their documented examples run, and give the originals' numbers."""

import functools
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import solfa
from golden_data import GOLDEN, MERT, MUQ, config_of, io_of, relative_error
from solfa import checkpoint, compat
from solfa.config import override, save_config
from solfa.features import LogMelConfig
from solfa.models import MERTConfig, ModelError, TransformerConfig, WaveformConvolutionsConfig, build_encoder
from solfa.models.mert2 import MERT2Config
from solfa.recipes import recipe

PAGE = (Path(__file__).parent.parent / "docs" / "compat.md").read_text()


@functools.cache
def muq(case: str = "muq_vq_25hz") -> compat.MuQ:
    return compat.MuQ.from_pretrained(GOLDEN / case)


@functools.cache
def mert(case: str = "mert_95m_style") -> compat.MERTModel:
    return compat.MERTModel.from_pretrained(GOLDEN / case)


@functools.cache
def mulan() -> compat.MuQMuLan:
    return compat.MuQMuLan.from_pretrained(GOLDEN / "muq_mulan")


def extractor(do_normalize: bool = False) -> compat.Wav2Vec2FeatureExtractor:
    return compat.Wav2Vec2FeatureExtractor(24_000, do_normalize)


def standardising_folder(tmp_path: Path, case: str) -> Path:
    """As the golden folder of a MERT, with a feature extractor that standardises."""
    folder = tmp_path / case
    shutil.copytree(GOLDEN / case, folder)
    stated = {"do_normalize": True, "sampling_rate": config_of(case)["sample_rate"]}
    (folder / "preprocessor_config.json").write_text(json.dumps(stated))
    return folder


def layers_of(io: dict[str, Tensor]) -> list[Tensor]:
    return [io[name] for name in sorted(io) if name.startswith("hidden_")]


def largest_error(original: list[Tensor], ours: tuple[Tensor, ...]) -> float:
    return max(relative_error(o, h) for o, h in zip(original, ours, strict=True))


def test_the_documented_example_of_muq_runs_after_changing_the_import() -> None:
    from solfa.compat import MuQ

    device = "cpu"
    wav = io_of("muq_vq_25hz")["wav"][0].numpy()
    wavs = torch.tensor(wav).unsqueeze(0).to(device)
    muq = MuQ.from_pretrained(str(GOLDEN / "muq_vq_25hz"))
    muq = muq.to(device).eval()
    with torch.no_grad():
        output = muq(wavs, output_hidden_states=True)
    assert len(output.hidden_states) == 2
    assert output.last_hidden_state.shape == (1, 30, 32)


def test_the_documented_example_of_mulan_runs_after_changing_the_import() -> None:
    from solfa.compat import MuQMuLan

    device = "cpu"
    mulan = MuQMuLan.from_pretrained(str(GOLDEN / "muq_mulan"))
    mulan = mulan.to(device).eval()
    wavs = io_of("muq_mulan")["wav"].to(device)
    with torch.no_grad():
        audio_embeds = mulan(wavs=wavs)
    texts = ["classical genres, hopeful mood, piano.", "一首适合海边风景的小提琴曲"]
    with torch.no_grad():
        text_embeds = mulan(texts=texts)
    sim = mulan.calc_similarity(audio_embeds, text_embeds)
    assert torch.equal(sim, audio_embeds @ text_embeds.T)


def test_the_documented_example_of_mert_runs_after_changing_the_import() -> None:
    from solfa.compat import MERTModel as AutoModel
    from solfa.compat import Wav2Vec2FeatureExtractor

    name, n_layers = str(GOLDEN / "mert_95m_style"), 3
    model = AutoModel.from_pretrained(name, trust_remote_code=True)
    processor = Wav2Vec2FeatureExtractor.from_pretrained(name, trust_remote_code=True)
    resample_rate = processor.sampling_rate
    input_audio = io_of("mert_95m_style")["wav"][0].numpy()
    inputs = processor(input_audio, sampling_rate=resample_rate, return_tensors="pt")
    with torch.no_grad():
        outputs = model(**inputs, output_hidden_states=True)
    all_layer_hidden_states = torch.stack(outputs.hidden_states).squeeze()
    assert all_layer_hidden_states.shape == (n_layers, 149, 32)
    time_reduced_hidden_states = all_layer_hidden_states.mean(-2)
    aggregator = nn.Conv1d(in_channels=n_layers, out_channels=1, kernel_size=1)
    weighted_avg_hidden_states = aggregator(time_reduced_hidden_states.unsqueeze(0)).squeeze()
    assert weighted_avg_hidden_states.shape == (32,)


@pytest.mark.parametrize("case", MUQ)
def test_muq_gives_every_layer_of_the_original(case: str) -> None:
    io = io_of(case)
    assert largest_error(layers_of(io), muq(case)(io["wav"]).hidden_states) < 1e-4


@pytest.mark.parametrize("case", MERT)
def test_mert_gives_every_layer_of_the_original(case: str) -> None:
    io = io_of(case)
    processor = compat.Wav2Vec2FeatureExtractor.from_pretrained(GOLDEN / case)
    inputs = processor(io["wav"], sampling_rate=config_of(case)["sample_rate"])
    output = mert(case)(**inputs, output_hidden_states=True)
    assert largest_error(layers_of(io), output.hidden_states) < 1e-4


def test_mulan_gives_the_vectors_of_the_original() -> None:
    io = io_of("muq_mulan")
    assert relative_error(io["audio_embeds"], mulan()(wavs=io["wav"])) < 1e-4
    assert (
        relative_error(io["text_embeds_one_at_a_time"], mulan()(texts=config_of("muq_mulan")["texts"])) < 1e-4
    )


def test_layers_come_only_if_asked_for() -> None:
    waveform = torch.randn(1, 8_000)
    assert muq()(waveform, output_hidden_states=False).hidden_states is None
    assert mert()(waveform).hidden_states is None
    assert torch.equal(mert()(waveform).last_hidden_state, mert()(waveform, output_hidden_states=True)[1][-1])


def test_an_answer_is_read_by_name_and_by_position() -> None:
    output = muq()(torch.randn(1, 8_000))
    assert output["last_hidden_state"] is output[0] is output.last_hidden_state
    assert output["hidden_states"] is output[1] is output.to_tuple()[1]
    assert list(output) == ["last_hidden_state", "hidden_states"]


def test_what_an_answer_lacks_has_no_position() -> None:
    output = muq()(torch.randn(1, 8_000), output_hidden_states=False)
    assert len(output) == len(output.to_tuple()) == 1
    assert "hidden_states" not in output


@pytest.mark.parametrize("model", [muq, mert])
def test_with_a_mask_a_clip_has_the_features_that_it_has_alone(model: Callable[[], nn.Module]) -> None:
    long, short = torch.randn(1, 30_000), torch.randn(1, 20_000)
    inputs = extractor()([long[0], short[0]], padding=True)
    together = model()(*inputs.to_tuple(), output_hidden_states=False)[0]
    for i, clip in enumerate((long, short)):
        alone = model()(clip)[0][0]
        assert (together[i, : len(alone)] - alone).abs().max() < 1e-5
        assert not together[i, len(alone) :].any()


@pytest.mark.parametrize("kind", [torch.bool, torch.int64, torch.float32, torch.uint8])
def test_a_mask_may_be_of_any_type(kind: torch.dtype) -> None:
    waveform = torch.randn(1, 8_000)
    mask = (torch.arange(8_000) < 6_000)[None]
    assert torch.equal(muq()(waveform, mask.to(kind))[0], muq()(waveform, mask)[0])


def test_a_mask_with_a_gap_is_refused_with_the_cure() -> None:
    mask = torch.ones(3, 8_000)
    mask[1, 100:200] = mask[2, :10] = 0
    with pytest.raises(ValueError, match=r"clips \[1, 2\] has a 0 before a 1(.|\n)*pad on the right"):
        muq()(torch.randn(3, 8_000), mask)


def test_a_mask_of_frames_is_refused() -> None:
    with pytest.raises(ValueError, match=r"shape of the waveform, \(1, 8000\), not \(1, 8\)"):
        mert()(torch.randn(1, 8_000), torch.ones(1, 8))


def test_a_model_is_in_eval_mode_and_can_be_trained_further() -> None:
    for model in (muq(), mert(), mulan()):
        assert not model.training
    muq()(torch.randn(1, 8_000)).last_hidden_state.sum().backward()
    assert all(weight.grad is not None for weight in muq().parameters())


def test_the_class_of_another_model_is_refused_by_name() -> None:
    with pytest.raises(
        ModelError, match=r"is a MERT, and solfa\.compat\.MuQ holds a MuQ\. Take the other class"
    ):
        compat.MuQ.from_pretrained(GOLDEN / "mert_95m_style")


@pytest.mark.parametrize("kind", [compat.MERTModel, compat.Wav2Vec2FeatureExtractor])
def test_unknown_options_of_the_hub_are_named(
    kind: type[compat.MERTModel] | type[compat.Wav2Vec2FeatureExtractor], caplog: pytest.LogCaptureFixture
) -> None:
    kind.from_pretrained(GOLDEN / "mert_95m_style", revision="main", cache_dir="x", trust_remote_code=True)
    assert "no notice of cache_dir, revision;" in caplog.text


@pytest.mark.parametrize(
    ("arguments", "which"), [({}, "neither"), ({"wavs": torch.zeros(1, 48_000), "texts": ["a"]}, "both")]
)
def test_mulan_takes_either_audio_or_texts(arguments: dict[str, Any], which: str) -> None:
    with pytest.raises(ValueError, match=f"not {which}.*call twice"):
        mulan()(**arguments)


def test_parallel_processing_changes_nothing() -> None:
    wavs = io_of("muq_mulan")["wav"]
    assert torch.equal(mulan()(wavs=wavs), mulan()(wavs=wavs, parallel_processing=True))
    assert torch.equal(mulan()(wavs=wavs), mulan().extract_audio_latents(wavs, parallel_processing=True))


def test_similarity_has_the_axes_that_its_arguments_have() -> None:
    audio, text = torch.randn(2, 16), torch.randn(3, 16)
    similarity = mulan().calc_similarity
    expected = audio @ text.T
    torch.testing.assert_close(similarity(audio, text), expected)
    torch.testing.assert_close(similarity(audio[1], text), expected[1])
    torch.testing.assert_close(similarity(audio, text[2]), expected[:, 2])
    torch.testing.assert_close(similarity(audio[1], text[2]), expected[1, 2])


def test_mulan_says_its_rate_and_clip_in_numbers_that_count_samples() -> None:
    assert len(torch.zeros(100_000)[: mulan().sr * mulan().clip_secs]) == 48_000
    assert mulan().device == torch.device("cpu")


def test_mert_says_its_sizes_by_the_names_of_the_original() -> None:
    for case in ("mert_95m_style", "mert_16khz_cqt_input"):
        published, config = config_of(case), mert(case).config
        for name in ("hidden_size", "num_hidden_layers", "sample_rate", "feature_extractor_cqt"):
            assert getattr(config, name) == published[name]


def test_mert_does_not_standardise_what_the_feature_extractor_gives(tmp_path: Path) -> None:
    case = "mert_16khz_cqt_input"  # the constant-Q frames keep the gain
    model = compat.MERTModel.from_pretrained(standardising_folder(tmp_path, case))
    io = io_of(case)
    assert largest_error(layers_of(io), model(io["wav"], output_hidden_states=True).hidden_states) < 1e-4


def test_feature_extractor_and_mert_together_give_what_load_gives(tmp_path: Path) -> None:
    folder = standardising_folder(tmp_path, "mert_16khz_cqt_input")
    waveform = 0.01 * torch.randn(1, 16_000) + 0.1
    processor = compat.Wav2Vec2FeatureExtractor.from_pretrained(folder)
    output = compat.MERTModel.from_pretrained(folder)(**processor(waveform[0].numpy(), sampling_rate=16_000))
    assert torch.equal(output.last_hidden_state, solfa.load(folder)(waveform).last)


def test_mert_gives_a_plain_tuple_if_asked_for() -> None:
    waveform = torch.randn(1, 8_000)
    answer = mert()(waveform, output_hidden_states=True, return_dict=False)
    assert type(answer) is tuple
    assert torch.equal(answer[0], mert()(waveform).last_hidden_state)


def test_attention_weights_are_refused() -> None:
    with pytest.raises(ValueError, match="Leave output_attentions out"):
        mert()(torch.randn(1, 8_000), output_attentions=True)


@pytest.mark.parametrize("do_normalize", [False, True])
def test_the_feature_extractor_equals_that_of_transformers(do_normalize: bool) -> None:
    from transformers import Wav2Vec2FeatureExtractor

    theirs = Wav2Vec2FeatureExtractor(
        sampling_rate=24_000, do_normalize=do_normalize, return_attention_mask=True
    )
    generator = np.random.default_rng(0)
    clips = [0.2 + 1e-3 * generator.standard_normal(1_000), 0.1 * generator.standard_normal(700)]
    arguments: dict[str, Any] = {"sampling_rate": 24_000, "padding": True, "return_tensors": "pt"}
    expected, ours = theirs(clips, **arguments), extractor(do_normalize)(clips, **arguments)
    torch.testing.assert_close(ours.input_values, expected.input_values, rtol=0, atol=1e-4)
    torch.testing.assert_close(ours.attention_mask, expected.attention_mask)


def test_a_clip_is_standardised_over_its_own_samples() -> None:
    clips = [np.float32([1, 2, 3, 4]), np.float32([5e-4, -5e-4])]
    inputs = extractor(do_normalize=True)(clips, padding=True)
    for row, clip in zip(inputs.input_values.numpy(), clips, strict=True):
        expected = (clip - clip.mean()) / np.sqrt(clip.var() + 1e-7)
        np.testing.assert_allclose(row[: len(clip)], expected, rtol=1e-5)
        assert not row[len(clip) :].any()


def test_shorter_clips_are_filled_up_with_zeros_at_their_end() -> None:
    inputs = extractor()([[0.1, 0.2, 0.3], [0.4]], padding=True)
    torch.testing.assert_close(inputs.input_values, torch.tensor([[0.1, 0.2, 0.3], [0.4, 0.0, 0.0]]))
    assert inputs.attention_mask.tolist() == [[1, 1, 1], [1, 0, 0]]


def test_different_lengths_without_padding_are_refused_with_the_cure() -> None:
    with pytest.raises(ValueError, match=r"\[3, 1\] samples make no batch\. Give padding=True"):
        extractor()([[0.1, 0.2, 0.3], [0.4]])


def test_another_sampling_rate_is_refused_with_the_cure() -> None:
    with pytest.raises(ValueError, match=r"24000 Hz, not at 44100 Hz.*soxr\.resample\(audio, 44100, 24000\)"):
        extractor()([0.0] * 500, sampling_rate=44_100)


@pytest.mark.parametrize("option", [{"padding": "max_length"}, {"return_tensors": "np"}])
def test_options_that_would_change_the_answer_are_refused(option: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="is not known here"):
        extractor()([0.0] * 500, **option)  # type: ignore[arg-type]


@pytest.mark.parametrize("as_kind", [list, np.float32, np.float64, torch.tensor])
def test_clips_may_be_lists_arrays_or_tensors(as_kind: Callable[[list[float]], Any]) -> None:
    clip, expected = [0.5, -0.25], torch.tensor([[0.5, -0.25]])
    assert torch.equal(extractor()(as_kind(clip)).input_values, expected)
    assert torch.equal(extractor()([as_kind(clip)]).input_values, expected)


def test_an_array_that_cannot_be_written_is_read_without_complaint() -> None:
    clip = np.zeros(500, dtype=np.float32)
    clip.flags.writeable = False
    assert extractor()(clip).input_values.shape == (1, 500)


@pytest.mark.parametrize(
    ("audio", "cure"),
    [
        ([np.zeros((2, 500), dtype=np.float32)], "take the mean of the channels"),
        (np.zeros(500, dtype=np.int16), "Divide integers by full scale"),
        ([0.0, float("nan")], "Leave such clips out"),
        ([], "Leave it out"),
        ([[0.1], []], "Leave it out"),
    ],
)
def test_samples_of_no_meaning_are_refused_with_the_cure(audio: Any, cure: str) -> None:
    with pytest.raises(ValueError, match=cure):
        extractor()(audio, padding=True)


def test_inputs_move_in_place() -> None:
    inputs = extractor()([0.5, -0.25])
    assert inputs.to("meta") is inputs
    assert inputs["input_values"].device == inputs.attention_mask.device == torch.device("meta")


def test_the_preprocessor_file_decides_unless_it_is_overruled(tmp_path: Path) -> None:
    folder = standardising_folder(tmp_path, "mert_16khz_cqt_input")
    stated = compat.Wav2Vec2FeatureExtractor.from_pretrained(folder)
    assert (stated.sampling_rate, stated.do_normalize) == (16_000, True)
    assert not compat.Wav2Vec2FeatureExtractor.from_pretrained(folder, do_normalize=False).do_normalize
    assert not compat.Wav2Vec2FeatureExtractor.from_pretrained(GOLDEN / "mert_95m_style").do_normalize


@pytest.mark.parametrize("layout", ["run", "saved"])
def test_a_mert_of_our_own_has_its_feature_extractor(tmp_path: Path, layout: str) -> None:
    transformer = TransformerConfig(
        n_layers=1, dim=16, feed_forward_dim=24, n_heads=2, position_kernel_frames=8, position_groups=2
    )
    config = MERTConfig(
        sample_rate=16_000,
        normalize=True,
        convolutions=WaveformConvolutionsConfig(n_channels=8),
        transformer=transformer,
    )
    encoder = build_encoder(config).eval()
    if layout == "saved":
        encoder.save_pretrained(tmp_path)
    else:
        weights = {f"encoder.{name}": weight for name, weight in encoder.state_dict().items()}
        checkpoint.save(tmp_path, 1, weights, {})
        save_config(override(recipe("muq_tiny"), {"objective.encoder": config}), tmp_path / checkpoint.CONFIG)
    processor = compat.Wav2Vec2FeatureExtractor.from_pretrained(tmp_path)
    output = compat.MERTModel.from_pretrained(tmp_path)(**processor([0.5, -0.25] * 4_000))
    assert torch.equal(output.last_hidden_state, encoder(torch.tensor([[0.5, -0.25] * 4_000])).last)


def test_a_model_without_feature_extractor_is_refused() -> None:
    with pytest.raises(ModelError, match="is no MERT"):
        compat.Wav2Vec2FeatureExtractor.from_pretrained(GOLDEN / "muq_vq_25hz")


def test_an_unknown_name_is_refused_with_the_cure() -> None:
    with pytest.raises(ModelError, match="solfa models"):
        compat.Wav2Vec2FeatureExtractor.from_pretrained("no-such-model")


def blocks() -> list[str]:
    """The Python of docs/compat.md, with golden folders in place of published names."""
    page = PAGE.replace("OpenMuQ/MuQ-large-msd-iter", str(GOLDEN / "muq_vq_25hz"))
    page = page.replace("OpenMuQ/MuQ-MuLan-large", str(GOLDEN / "muq_mulan"))
    page = page.replace("m-a-p/MERT-v1-95M", str(GOLDEN / "mert_95m_style"))
    return re.findall(
        r"```python\n(.*?)```", page.replace(".hidden_states[10]", ".hidden_states[1]"), re.DOTALL
    )


@pytest.mark.parametrize("block", blocks())
def test_the_examples_of_the_page_run(block: str, tmp_path: Path) -> None:
    if "MERT-v2" in block:
        sizes = {"stage_dims": (16, 16), "stage_layers": (1, 1), "dim": 16, "feed_forward_dim": 24}
        config = MERT2Config(mel=LogMelConfig(n_mels=16), n_layers=2, n_heads=2, **sizes)
        saved = build_encoder(config).eval().save_pretrained(tmp_path / "mert2")
        block = block.replace("m-a-p/MERT-v2-30s", str(saved))
    given = {"torch": torch, "device": "cpu", "wavs": torch.randn(2, 60_000), "audio": np.zeros(24_000)}
    exec(block, given)


def test_the_import_lines_of_the_page_run() -> None:
    lines = re.findall(r"`(from solfa\.compat import [^`]*)`", PAGE)
    assert len(lines) == 4
    for line in lines:
        exec(line, {})


def test_the_encoder_for_marble_gives_clips_layers_frames_and_dims() -> None:
    names: dict[str, Any] = {}
    exec(next(block for block in blocks() if "class SolfaEncoder" in block), names)
    encoder = names["SolfaEncoder"](GOLDEN / "muq_vq_25hz").train()
    io = io_of("muq_vq_25hz")
    assert not encoder.encoder.training
    assert relative_error(torch.stack(layers_of(io), 1), encoder(io["wav"])) < 1e-4
