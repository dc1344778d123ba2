"""Every encoder takes what callers hand it, or says what to do, and answers the same however it is asked."""

import copy
import functools
import logging
import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import solfa
from contracts.graphs import see_one_graph
from golden_data import GOLDEN
from solfa import compat
from solfa.features import ConstantQConfig, LogMelConfig
from solfa.models import (
    AudioEncoder,
    ClipEncoder,
    ConformerConfig,
    ConvStemConfig,
    LabelsConfig,
    MERTConfig,
    MuQConfig,
    Tagger,
    TaggerConfig,
    TransformerConfig,
    WaveformConvolutionsConfig,
    build_encoder,
    input,
)
from solfa.models.layers.rotary_transformer import RotaryTransformerConfig
from solfa.models.mert2 import MERT2Config
from solfa.models.musicnn import FrameFrontend, MusiCNN, MusiCNNConfig, MusiCNNEncoder, PatchFrontend
from solfa.models.small import SolfaSmallConfig
from solfa.probing import load_baseline
from training.ranks import run_ranks

MUQ = MuQConfig(
    stem=ConvStemConfig(n_channels=4),
    conformer=ConformerConfig(n_layers=3, dim=16, feed_forward_dim=24, n_heads=2),
)
CONVOLUTIONS = WaveformConvolutionsConfig(n_channels=8)
TRANSFORMER = TransformerConfig(
    n_layers=3, dim=16, feed_forward_dim=24, n_heads=2, position_kernel_frames=8, position_groups=2
)
MERT = MERTConfig(convolutions=CONVOLUTIONS, transformer=TRANSFORMER)
MERT_LARGE = MERTConfig(  # in its way: norms before, over channels, softmax written out
    convolutions=replace(CONVOLUTIONS, norm="channels", has_bias=True),
    transformer=replace(TRANSFORMER, norm="before", attention_relax=32.0),
)
MERT_CQT = replace(MERT, normalize=True, constant_q=ConstantQConfig(n_bins=96, f_min=523.25))
MERT2 = MERT2Config(
    mel=LogMelConfig(n_mels=16), stage_dims=(16, 16, 16), stage_layers=(1, 1, 2), n_layers=3, dim=16,
    feed_forward_dim=24, n_heads=2, kernel_frames=5,
)  # fmt: skip
SMALL = SolfaSmallConfig(transformer=RotaryTransformerConfig(n_layers=3, dim=16, n_heads=2))
CNN = MusiCNNConfig(
    n_timbral=6, n_temporal=3, temporal_frames=(16, 8, 4), n_middle=4, penultimate_dim=8, n_tags=5,
    patch_frames=20,
)  # fmt: skip


def musicnn(frontend: type) -> AudioEncoder:
    return MusiCNNEncoder(frontend(MusiCNN(CNN))).eval()


def tagger() -> AudioEncoder:
    labels = LabelsConfig(names=("quiet", "loud"))
    return Tagger(TaggerConfig(encoder=replace(MUQ, default_layer=0), labels=labels)).eval()


ENCODERS: dict[str, Callable[[], AudioEncoder]] = {
    "muq": lambda: build_encoder(MUQ).eval(),
    "mert": lambda: build_encoder(MERT).eval(),
    "mert_large": lambda: build_encoder(MERT_LARGE).eval(),
    "mert_cqt": lambda: build_encoder(MERT_CQT).eval(),
    "mert2": lambda: build_encoder(MERT2).eval(),
    "small": lambda: build_encoder(SMALL).eval(),
    "small, mel": lambda: build_encoder(replace(SMALL, halves=("mel",))).eval(),
    "tagger": tagger,
    "clips of a music-text model": lambda: ClipEncoder(solfa.load(GOLDEN / "muq_mulan")),
    "musicnn, patches": lambda: musicnn(PatchFrontend),
    "musicnn, frames": lambda: musicnn(FrameFrontend),
    "log-mel": lambda: load_baseline("log-mel").frames,  # type: ignore[union-attr]
    "mfcc-chroma": lambda: load_baseline("mfcc-chroma").frames,  # type: ignore[union-attr]
}
COMPAT: dict[str, Callable[[], nn.Module]] = {
    "compat.MuQ": lambda: compat.MuQ(build_encoder(MUQ)).eval(),
    "compat.MERTModel": lambda: compat.MERTModel(build_encoder(MERT)).eval(),
    "compat.MERT2Model": lambda: compat.MERT2Model(build_encoder(MERT2)).eval(),
}
LEARNED = [name for name in ENCODERS if name not in ("log-mel", "mfcc-chroma")]
DEEP = (
    "muq",
    "mert",
    "mert_large",
    "mert_cqt",
    "mert2",
    "small",
    "small, mel",
    "tagger",
)  # that have several layers
OTHERS = [name for name in (*ENCODERS, *COMPAT) if name != "muq"]
every_encoder = pytest.mark.parametrize("name", [*ENCODERS, *COMPAT])
every_own_encoder = pytest.mark.parametrize("name", ENCODERS)
CLIPS = 0.1 * torch.randn(2, 12_000, generator=torch.Generator().manual_seed(1))
ENDS = [12_000, 9_000]


@functools.cache
def shared(name: str) -> Any:
    """The encoder, which nobody changes: weights do not learn."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return (ENCODERS | COMPAT)[name]().requires_grad_(False)


def own(name: str) -> Any:
    return copy.deepcopy(shared(name))


def last(answer: Any) -> Tensor:
    return (
        answer.last_hidden_state
        if isinstance(answer, compat.BaseModelOutput | compat.MERT2Output)
        else answer.last
    )


def off(answer: Any, expected: Any) -> float:
    """The largest difference of last hidden states, relative to the largest value."""
    one, other = last(answer).detach().double(), last(expected).detach().double()
    assert one.shape == other.shape
    return float((one - other).abs().max() / other.abs().max())


# What is handed in


@every_encoder
def test_an_array_is_heard_as_the_tensor_is(name: str) -> None:
    encoder, array = shared(name), CLIPS.numpy()
    expected = encoder(CLIPS)
    read_only = array.copy()
    read_only.flags.writeable = False
    backwards = np.ascontiguousarray(array[:, ::-1])[:, ::-1]
    for given in (array, read_only, backwards, array.astype(">f4"), array.astype(np.float64)):
        assert off(encoder(given), expected) == 0


@every_encoder
def test_any_type_and_layout_of_floats_is_heard(name: str) -> None:
    encoder, expected = shared(name), shared(name)(CLIPS)
    every_other = CLIPS.repeat_interleave(2, 1)[:, ::2]
    assert not every_other.is_contiguous()
    assert off(encoder(every_other), expected) == off(encoder(CLIPS.double()), expected) == 0
    assert off(encoder(CLIPS.half()), encoder(CLIPS.half().float())) == 0
    with torch.inference_mode():
        assert off(encoder(CLIPS), expected) < 1e-5


@every_own_encoder
def test_lengths_may_be_a_list_an_array_or_a_tensor_of_whole_numbers(name: str) -> None:
    encoder = shared(name)
    expected = encoder(CLIPS, torch.tensor(ENDS))
    kinds = (ENDS, tuple(ENDS), np.array(ENDS), np.array(ENDS, np.int32), torch.tensor(ENDS).double())
    for given in kinds:
        answer = encoder(CLIPS, given)
        assert off(answer, expected) == 0 and torch.equal(answer.n_frames, expected.n_frames)
    assert off(encoder(CLIPS, [12_000, 12_000]), encoder(CLIPS)) == 0


@every_own_encoder
@pytest.mark.parametrize(
    ("lengths", "cure"),
    [
        ([12_001, 9_000], r"1 to at most 12000 samples for each of 2 clips, not \[12001, 9000\]"),
        ([12_000, 0], r"at most 12000 samples.*Leave it out"),
        ([12_000, -3], "at most 12000 samples"),
        ([12_000], r"for each of 2 clips, not numbers of the shape \(1,\)"),
        (12_000, "for each of 2 clips"),
        ([1.0, 0.75], r"whole numbers, not \[1.0, 0.75\].* multiplied by its samples"),
        ([12_000.0, float("nan")], "whole numbers"),
        (["12000", "9000"], "for each of 2 clips"),
        ([[12_000], [1, 2]], "for each of 2 clips"),
        (torch.ones(2, 12_000, dtype=torch.bool), r"mask\.sum\(1\)"),
    ],
)
def test_lengths_that_cannot_be_are_refused(name: str, lengths: Any, cure: str) -> None:
    with pytest.raises(ValueError, match=cure):
        shared(name)(CLIPS, lengths)


@every_encoder
def test_without_clips_the_answer_has_no_clips(name: str) -> None:
    encoder = shared(name)
    empty, expected = last(encoder(CLIPS[:0])), last(encoder(CLIPS))
    assert empty.shape == (0, *expected.shape[1:]) and empty.dtype == torch.float32
    if name in ENCODERS:
        answer = encoder(np.zeros((0, 12_000), np.float32), [])
        assert answer.last.shape == empty.shape and answer.n_frames.shape == (0,)


@every_encoder
@pytest.mark.parametrize(
    ("given", "cure"),
    [
        (CLIPS[0], r"shape \(clip, sample\), not \(12000,\)\. For one mono clip use waveform\[None\]"),
        (CLIPS[:, None], r"take the mean of the channels first: of \(clip, channel, sample\) .*\.mean\(1\)"),
        (CLIPS.T, r"looks like \(sample, channel\), as files are read: waveform\.mean\(1\)\[None\]"),
        (torch.tensor(0.5), r"shape \(clip, sample\), not \(\)"),
        ((CLIPS * 32_767).short(), r"not int16\. Divide integers by full scale: waveform / 32768"),
        ((CLIPS * 32_767).int().numpy(), r"not int32\. Divide .*: waveform / 2147483648"),
        ((CLIPS * 127 + 128).byte(), r"not uint8\. .*\(waveform\.float\(\) - 128\) / 128"),
        ((CLIPS * 32_767).long(), r"not int64\. .*16 bits by 32768"),
        (CLIPS > 0, r"not bool.*mask\.sum\(1\)"),
        (torch.fft.rfft(CLIPS), r"real, not complex64.*waveform\.real"),
        (CLIPS.tolist(), r"not a list.*torch\.stack\(clips\).*lengths=.*pad_sequence"),
        ("song.mp3", r"not a str.*solfa\.embed\(path, model\)"),
        (np.array([["a"]]), "not an array of <U1"),
        (CLIPS[:, :20], "too short.*Pad it with zeros, or leave it out"),
        (CLIPS[:, :0], "too short"),
    ],
)
def test_what_is_no_batch_of_clips_is_refused_with_the_cure(name: str, given: Any, cure: str) -> None:
    with pytest.raises(ValueError, match=cure):
        shared(name)(given)


@every_own_encoder
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_samples_that_are_no_numbers_are_refused(name: str, value: float) -> None:
    clips = CLIPS.clone()
    clips[1, 5_000] = value
    with pytest.raises(ValueError, match="Leave such clips out"):
        shared(name)(clips)


@every_own_encoder
def test_integers_that_were_made_floats_are_refused_before_any_work(name: str) -> None:
    encoder = own(name)
    encoder.frontend.forward = None  # which would be the first work
    with pytest.raises(ValueError, match=r"the waveform reaches .*16 bits by 32768"):
        encoder((CLIPS * 32_767).short().float())


def test_samples_above_full_scale_are_warned_of_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(input, "_has_warned_of_loud", False)
    with caplog.at_level(logging.WARNING, "solfa"):
        shared("muq")(CLIPS / CLIPS.abs().max() * 1.3)  # as decoders of lossy files make them
        assert not caplog.records
        for _ in range(3):
            shared("muq")(CLIPS / CLIPS.abs().max() * 5)
        shared("mert")(CLIPS / CLIPS.abs().max() * 50)
    assert [record.getMessage()[:24] for record in caplog.records] == ["A waveform reaches 5, an"]


def test_what_a_feature_extractor_has_standardised_has_no_full_scale(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(input, "_has_warned_of_loud", False)
    click = torch.zeros(1, 48_000)
    click[0, 24_000] = 0.5
    extractor = compat.Wav2Vec2FeatureExtractor(24_000, do_normalize=True)
    inputs = extractor(click.numpy(), sampling_rate=24_000)
    assert float(inputs.input_values.max()) > 150
    with caplog.at_level(logging.WARNING, "solfa"):
        assert shared("compat.MERTModel")(**inputs).last_hidden_state.isfinite().all()
    assert not caplog.records


# What comes back


@pytest.mark.parametrize("name", [*LEARNED, *COMPAT])
def test_gradients_flow_to_the_waveform(name: str) -> None:
    """Along a direction, in float64, the slope is the one that differences give."""
    encoder, generator = own(name).double(), torch.Generator().manual_seed(2)
    clips = CLIPS.double().requires_grad_()
    direction = 0.1 * torch.randn(CLIPS.shape, generator=generator, dtype=torch.float64)
    weights = torch.randn(last(encoder(CLIPS)).shape, generator=generator, dtype=torch.float64)

    def figure(waveform: Tensor) -> Tensor:
        return (last(encoder(waveform)) * weights).sum()

    figure(clips).backward()
    step = 1e-7
    slope = (figure(CLIPS + step * direction) - figure(CLIPS - step * direction)) / (2 * step)
    assert float((clips.grad * direction).sum()) == pytest.approx(float(slope), rel=1e-3)


@every_encoder
def test_the_gradient_of_silence_is_finite(name: str) -> None:
    silence = torch.zeros(1, 12_000, requires_grad=True)
    last(shared(name)(silence)).sum().backward()
    assert silence.grad is not None and silence.grad.isfinite().all()


@every_encoder
def test_a_copy_gives_the_same_answer(name: str) -> None:
    expected = shared(name)(CLIPS)
    assert off(copy.deepcopy(shared(name))(CLIPS), expected) == 0
    assert off(pickle.loads(pickle.dumps(shared(name)))(CLIPS), expected) == 0


@every_encoder
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_weights_in_half_precision_give_nearly_the_same_answer_in_float32(
    name: str, dtype: torch.dtype
) -> None:
    encoder, expected = own(name).to(dtype), last(shared(name)(CLIPS))
    answer = last(encoder(CLIPS.to(dtype)))
    assert answer.dtype == torch.float32
    assert float(torch.cosine_similarity(answer.flatten(), expected.flatten(), 0)) > 0.999


@every_encoder
def test_weights_in_float64_give_the_same_answer_in_float64(name: str) -> None:
    encoder = own(name).double()
    assert last(encoder(CLIPS)).dtype == torch.float64
    assert off(encoder(CLIPS.double()), shared(name)(CLIPS)) < 1e-4
    assert off(encoder.to(torch.float32)(CLIPS), shared(name)(CLIPS)) < 1e-5


@pytest.mark.parametrize("name", DEEP)
def test_layers_that_are_named_are_those_of_all(name: str) -> None:
    encoder = shared(name)
    states = encoder(CLIPS, ENDS).states
    for wanted in ([1], [2, 0], [-1], [-2, 3], [0], (1, 1), np.array([1, 2]), torch.tensor([3])):
        answer = encoder(CLIPS, ENDS, layers=wanted)
        expected = torch.stack([states[int(number)] for number in wanted])
        assert torch.equal(answer.layers, expected) and torch.equal(answer.last, expected[-1])


@pytest.mark.parametrize("name", DEEP)
def test_nothing_above_the_highest_layer_is_computed(name: str) -> None:
    encoder, computed = own(name), []
    for number, layer in enumerate(encoder.context.layers, 1):
        layer.register_forward_hook(lambda *_, number=number: computed.append(number))
    encoder(CLIPS, layers=[0, 2])
    assert computed == [1, 2]


@every_own_encoder
@pytest.mark.parametrize("layers", [[99], [-99], [1.5], ["last"], [True], [], 0, "01"])
def test_layers_that_are_none_are_refused_before_any_work(name: str, layers: Any) -> None:
    encoder = own(name)
    encoder.frontend.forward = None
    with pytest.raises(ValueError, match=r"this encoder has|write \[4\]"):
        encoder(CLIPS, layers=layers)


@pytest.mark.parametrize("name", COMPAT)
def test_an_original_gives_the_layers_that_are_named_too(name: str) -> None:
    model = shared(name)
    answer, whole = (
        model(CLIPS, output_hidden_states=True, layers=layers) for layers in ([2, 1], [0, 1, 2, 3])
    )
    assert torch.equal(torch.stack(answer.hidden_states), torch.stack(whole.hidden_states)[[2, 1]])
    assert torch.equal(answer.last_hidden_state, whole.hidden_states[1])


@every_own_encoder
def test_its_default_layer_is_one_of_its_own(name: str) -> None:
    encoder = shared(name)
    expected = 0 if name == "tagger" else encoder.n_layers  # whose encoder says so
    assert encoder.default_layer == encoder.layer_number(None) == expected
    assert encoder.layer_number(-1) == encoder.n_layers


# Where and how it runs


@every_own_encoder
def test_lengths_and_waveform_are_brought_to_the_encoder(name: str) -> None:
    """The meta device computes shapes only, and refuses what was left on another one, as CUDA does."""
    encoder, expected = own(name).to("meta"), shared(name)(CLIPS, ENDS).last.shape
    for clips, lengths in ((CLIPS, ENDS), (CLIPS.to("meta"), torch.tensor(ENDS)), (CLIPS, None)):
        answer = encoder(clips, lengths)
        assert answer.last.is_meta and answer.n_frames.is_meta and answer.last.shape == expected


@every_own_encoder
def test_threads_share_an_encoder(name: str) -> None:
    encoder = shared(name)
    expected = [encoder(CLIPS * scale) for scale in (0.2, 0.4, 0.6, 0.8)]
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda scale: encoder(CLIPS * scale), (0.2, 0.4, 0.6, 0.8)))
    assert all(off(answer, one) == 0 for answer, one in zip(answers, expected, strict=True))


@every_encoder
def test_a_call_leaves_modes_and_weights_as_they_are(name: str) -> None:
    encoder = own(name).train()
    encoder.eval()
    before = {key: value.clone() for key, value in encoder.state_dict().items()}
    encoder(CLIPS)
    assert not any(module.training for module in encoder.modules())
    assert all(torch.equal(value, before[key]) for key, value in encoder.state_dict().items())


@pytest.mark.parametrize("name", ["muq", *(pytest.param(name, marks=pytest.mark.slow) for name in OTHERS)])
@pytest.mark.usefixtures("unchecked")
def test_an_exported_program_takes_clips_of_any_number_and_length(name: str) -> None:
    encoder, any_size = shared(name), torch.export.Dim.AUTO
    first = "waveform" if name in ENCODERS else "x" if name == "compat.MuQ" else "input_values"
    program = torch.export.export(
        encoder, (CLIPS,), strict=False, dynamic_shapes={first: {0: any_size, 1: any_size}}
    ).module()
    for clips in (CLIPS, torch.cat([CLIPS, CLIPS[:1]])[:, :11_111], CLIPS.repeat(1, 3)):
        assert off(program(clips), encoder(clips)) < 1e-5


@pytest.mark.parametrize(
    "name",
    [
        "log-mel",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("muq", "mert_cqt", "mert2", "small")),
    ],
)
def test_a_compiler_sees_an_encoder_as_one_graph(name: str, tmp_path: Path) -> None:
    run_ranks(see_one_graph, name, n_processes=1, folder=tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["muq", "mert", "musicnn, patches"])
@pytest.mark.usefixtures("unchecked")
def test_an_exported_program_takes_lengths(name: str) -> None:
    encoder, any_size = shared(name), torch.export.Dim.AUTO
    shapes = {"waveform": {0: any_size, 1: any_size}, "lengths": {0: any_size}}
    program = torch.export.export(encoder, (CLIPS, torch.tensor(ENDS)), strict=False, dynamic_shapes=shapes)
    clips, ends = torch.cat([CLIPS, CLIPS[:1]])[:, :11_111], torch.tensor([11_111, 8_000, 9_876])
    assert off(program.module()(clips, ends), encoder(clips, ends)) < 1e-5


@every_own_encoder
@pytest.mark.usefixtures("unchecked")
@pytest.mark.filterwarnings("ignore:There is a performance drop")
def test_an_encoder_can_be_mapped_and_called_with_other_weights(name: str) -> None:
    encoder = shared(name)
    mapped = torch.func.vmap(lambda clip: encoder(clip[None]).last[0])(CLIPS)
    assert float((mapped - encoder(CLIPS).last).abs().max() / mapped.abs().max()) < 1e-5
    weights = dict(encoder.named_parameters()) | dict(encoder.named_buffers())
    assert off(torch.func.functional_call(encoder, weights, (CLIPS,)), encoder(CLIPS)) == 0


@pytest.mark.parametrize("name", ["muq", "mert_large"])
@pytest.mark.usefixtures("unchecked")
@pytest.mark.filterwarnings("ignore:There is a performance drop")
def test_a_jacobian_has_rows_that_are_gradients(name: str) -> None:
    encoder, clip = shared(name), CLIPS[:1].clone().requires_grad_()
    jacobian = torch.func.jacrev(lambda waveform: encoder(waveform).last.sum((0, 1))[:2])(CLIPS[:1])
    encoder(clip).last.sum((0, 1))[1].backward()
    torch.testing.assert_close(jacobian[1], clip.grad, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("case", ["muq_vq_25hz", "mert_95m_style", "mert_16khz_cqt_input"])
def test_loading_does_not_depend_on_defaults_of_the_caller(case: str) -> None:
    expected, clips = solfa.load(GOLDEN / case), CLIPS
    torch.set_default_dtype(torch.float64)
    try:
        with torch.inference_mode(), torch.device("meta"):
            loaded = solfa.load(GOLDEN / case)
        assert torch.get_default_dtype() == torch.float64
        answer = loaded(clips, ENDS)
    finally:
        torch.set_default_dtype(torch.float32)
    assert {weight.dtype for weight in loaded.parameters()} == {torch.float32}
    assert torch.equal(answer.layers, expected(clips, ENDS).layers)
    loaded.requires_grad_(True)  # which what is loaded inside inference mode would refuse
    buffers = zip(loaded.buffers(), expected.buffers(), strict=True)
    assert all(torch.equal(one, other) for one, other in buffers)
