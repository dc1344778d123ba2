"""Models as graphs of ONNX: the same answers as PyTorch, without PyTorch."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

pytest.importorskip("onnxscript", reason="exporting takes: pip install 'solfa[export]'")
pytest.importorskip("onnxruntime", reason="exporting takes: pip install 'solfa[export]'")

import solfa
from checked_shapes import unchecked_shapes
from golden_data import GOLDEN
from solfa import exporting
from solfa.cli.export import app
from solfa.embedding import WindowConfig
from solfa.embedding.windows import cut_waveform
from solfa.errors import ArgumentError
from solfa.exporting import ExportError, export_onnx, writing
from solfa.exporting.transforms import MatrixPower
from solfa.features import ConstantQConfig, LogConstantQ, LogMel, LogMelConfig
from solfa.features.log_cqt import LogConstantQConfig
from solfa.frames import FrameGrid
from solfa.models import (
    AudioEncoder,
    ConformerConfig,
    ConvStemConfig,
    EncoderConfig,
    MERTConfig,
    MuLan,
    MuQConfig,
    RotaryTransformerConfig,
    SolfaSmallConfig,
    TransformerConfig,
    WaveformConvolutionsConfig,
    build_encoder,
)
from solfa.models.mert2 import MERT2Config
from solfa.onnx import OnnxModel, windows
from synth import melody

MUQ = MuQConfig(
    stem=ConvStemConfig(n_channels=4),
    conformer=ConformerConfig(n_layers=1, dim=16, feed_forward_dim=24, n_heads=2),
)
TRANSFORMER = TransformerConfig(
    n_layers=2, dim=16, feed_forward_dim=24, n_heads=2, position_kernel_frames=8, position_groups=2
)
MERT = MERTConfig(convolutions=WaveformConvolutionsConfig(n_channels=8), transformer=TRANSFORMER)
MERT2 = MERT2Config(
    mel=LogMelConfig(n_mels=16), stage_dims=(16, 16, 16), stage_layers=(1, 1, 2), n_layers=2, dim=16,
    feed_forward_dim=24, n_heads=2, kernel_frames=5,
)  # fmt: skip
SMALL = SolfaSmallConfig(transformer=RotaryTransformerConfig(n_layers=2, dim=16, n_heads=2))
TEXTS = ["calm solo piano", "drums", ""]


@pytest.fixture(scope="module", autouse=True)
def unchecked() -> Iterator[None]:
    """Annotations are not compared with shapes, which would fix them in a traced program."""
    with unchecked_shapes():
        yield


@pytest.fixture(scope="module")
def encoder() -> AudioEncoder:
    torch.manual_seed(0)
    return build_encoder(MUQ, "MIT").eval()


@pytest.fixture(scope="module")
def exported(encoder: AudioEncoder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_onnx(encoder, "tiny", tmp_path_factory.mktemp("muq"), layers=[0, -1]).folder


@pytest.fixture
def traced(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The encoder counts as traced already, for layers 0 and 1."""
    import onnx

    monkeypatch.setattr(writing, "trace", lambda *_: onnx.load(exported / "audio.onnx"))


@pytest.fixture(scope="module")
def mulan() -> MuLan:
    return solfa.load(GOLDEN / "muq_mulan")  # type: ignore[return-value]


@pytest.fixture(scope="module")
def exported_mulan(mulan: MuLan, tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("tokenizers", reason="the text side takes: pip install 'solfa[export]'")
    return export_onnx(mulan, "words", tmp_path_factory.mktemp("mulan")).folder


def tune(seconds: float, sample_rate: int = 24_000) -> np.ndarray:
    return melody(seconds, seed=3, sample_rate=sample_rate).astype(np.float32)


def off(found: np.ndarray, expected: torch.Tensor) -> float:
    return float(np.abs(found - expected.numpy()).max() / expected.abs().max())


# What the graph computes


@torch.no_grad()
@pytest.mark.parametrize("n_clips, seconds", [(1, 1.0), (3, 4.567)])
def test_a_graph_answers_as_pytorch_for_any_number_and_length_of_clips(
    encoder: AudioEncoder, exported: Path, n_clips: int, seconds: float
) -> None:
    clips = np.stack([tune(seconds) * 0.3**n for n in range(n_clips)])
    found = OnnxModel(exported)(clips)
    expected = encoder(clips, layers=[0, -1])
    assert off(found["layer_0"], expected.states[0]) < 1e-4
    assert off(found["layer_1"], expected.states[1]) < 1e-4
    assert off(found["vector"], expected.states[0].mean(1)) < 1e-4


@torch.no_grad()
def test_matrix_products_give_the_spectra_of_fast_transforms() -> None:
    clips = torch.from_numpy(np.stack([tune(1.0), tune(1.0)[::-1]]))
    power = LogMel(LogMelConfig(n_fft=400, hop_length=160, n_mels=20, sample_rate=16_000)).power
    found = MatrixPower(power)(clips)
    assert found.shape == power(clips).shape
    assert off(found.numpy(), power(clips)) < 1e-5


@torch.no_grad()
def test_constant_q_in_a_graph_is_that_of_pytorch() -> None:
    import onnxruntime

    from solfa.exporting.onnx_graph import trace
    from solfa.exporting.transforms import without_fast_transforms

    config = ConstantQConfig(sample_rate=8_000, hop_length=320, f_min=110.0, n_bins=20, bins_per_octave=12)
    log_cqt = LogConstantQ(LogConstantQConfig(constant_q=config)).eval()
    clips = [tune(seconds, 8_000)[None] for seconds in (0.05, 1.0, 20.0)]
    expected = [log_cqt(torch.from_numpy(clip)) for clip in clips]
    graph = without_fast_transforms(log_cqt)
    made = trace(graph, [torch.zeros(2, 8_000)], [(0, 1)], ["waveform"], ["bins"])
    session = onnxruntime.InferenceSession(made.SerializeToString())
    for clip, bins in zip(clips, expected, strict=True):
        (found,) = session.run(None, {"waveform": clip})
        assert found.shape == bins.shape
        assert np.abs(found - bins.numpy()).max() < 0.01  # decibels


@pytest.mark.slow
@pytest.mark.parametrize("config", [MERT, MERT2, SMALL], ids=["mert", "mert2", "small"])
def test_every_kind_of_encoder_is_exported(config: EncoderConfig, tmp_path: Path) -> None:
    torch.manual_seed(0)
    done = export_onnx(build_encoder(config).eval(), "tiny", tmp_path / "out", layers=[-1, 0])
    assert max(row.difference for row in done.checked) < 1e-4
    assert OnnxModel(done.folder).embed(tune(3.3)).shape == (16,)


# The reader


@pytest.mark.parametrize("seconds", [0.5, 30.0, 30.1, 71.3])
@pytest.mark.parametrize(
    "config, hop",
    [
        (WindowConfig(), 960),
        (WindowConfig(window_seconds=5.0, context_seconds=0.0), 120_000),
        (WindowConfig(window_seconds=10.0, context_seconds=0.0, wraps=True), 240_000),
    ],
)
def test_windows_of_the_reader_are_those_of_solfa(config: WindowConfig, hop: int, seconds: float) -> None:
    track, grid = np.arange(round(24_000 * seconds), dtype=np.float32), FrameGrid(24_000, hop)
    expected = list(cut_waveform(track, grid, config))
    found = list(windows(track, **writing._window_frames(grid, config)))
    assert len(found) == len(expected)
    for (samples, taken), window in zip(found, expected, strict=True):
        np.testing.assert_array_equal(samples, window.waveform)
        frames = range(len(samples) // hop + 1)
        assert frames[taken] == frames[window.taken]


def test_a_track_gets_the_vector_that_solfa_gives(
    encoder: AudioEncoder, exported: Path, tmp_path: Path
) -> None:
    import soundfile

    track = tune(33.0)
    soundfile.write(tmp_path / "tune.wav", track, 24_000, subtype="FLOAT")
    expected = solfa.embed(tmp_path / "tune.wav", encoder, layer=0)[0]
    assert off(OnnxModel(exported).embed(track), expected) < 1e-4


def imported_by(program: str, folder: Path) -> str:
    """Which of the libraries that the reader must do without are imported by a program on a folder."""
    program = (
        f"import sys, numpy, solfa.onnx\nmodel = solfa.onnx.OnnxModel(sys.argv[1])\n{program}\n"
        "print([name for name in ('torch', 'transformers', 'onnx') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, folder], capture_output=True, text=True, check=False
    )
    assert not done.returncode, done.stderr
    return done.stdout.strip()


def test_the_reader_imports_no_pytorch(exported: Path) -> None:
    assert imported_by("assert model.embed(numpy.ones(24000)).shape == (16,)", exported) == "[]"


@pytest.mark.slow
def test_nor_does_it_to_read_words(exported_mulan: Path) -> None:
    program = "assert model.embed_text(['calm'])[0] @ model.embed(numpy.ones(24000)) < 1.01"
    assert imported_by(program, exported_mulan) == "[]"


@pytest.mark.slow
def test_texts_and_tracks_get_the_vectors_of_the_music_text_model(mulan: MuLan, exported_mulan: Path) -> None:
    reader, track = OnnxModel(exported_mulan), tune(17.0)
    with torch.no_grad():
        assert off(reader.embed_text(TEXTS), mulan.embed_text(TEXTS)) < 1e-4
        assert off(reader.embed(track), mulan.embed_audio(track[None])[0]) < 1e-4
    assert reader.embed_text([]).shape == (0, mulan.dim)


@pytest.mark.slow
def test_a_long_text_is_cut_as_the_model_cuts_it(mulan: MuLan, exported_mulan: Path) -> None:
    texts = ["piano " * 2_000]
    with torch.no_grad():
        assert off(OnnxModel(exported_mulan).embed_text(texts), mulan.embed_text(texts)) < 1e-4


def test_the_description_says_what_the_vectors_are(encoder: AudioEncoder, exported: Path) -> None:
    about = json.loads((exported / "model.json").read_text())
    space = solfa.embedding.describe_space(
        encoder, "tiny", layer=0, pool="mean", windows=WindowConfig()
    )  # fmt: skip
    assert about["space"] == space.id
    assert about["license"] == "MIT"
    assert (about["sample_rate"], about["frame_rate"], about["layers"]) == (24_000, 25.0, [0, 1])


@torch.no_grad()
def test_the_shortest_clip_is_the_one_that_the_encoder_takes(encoder: AudioEncoder, exported: Path) -> None:
    reader = OnnxModel(exported)
    fewest = reader.about["fewest_samples"]
    assert (
        encoder(torch.zeros(1, fewest)).last.shape[1] == reader(np.zeros((1, fewest)))["layer_1"].shape[1] > 0
    )
    with pytest.raises(ValueError, match="Pad it with zeros"):
        reader(np.zeros((1, fewest - 1)))


# Weights


@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize("weights, least", [("float16", 0.9999), ("int8", 0.99)])
def test_smaller_weights_answer_nearly_the_same(
    encoder: AudioEncoder, exported: Path, tmp_path: Path, weights: exporting.Weights, least: float
) -> None:
    done = export_onnx(encoder, "tiny", tmp_path / weights, layers=[0, -1], weights=weights)
    assert [row.output for row in done.checked] == ["layer_0", "layer_1", "vector"]
    assert all(row.cosine > least for row in done.checked)
    about = OnnxModel(done.folder).about
    assert about["space"].endswith(f"-{weights}") and about["weights"] == weights


# Refusals


@pytest.mark.usefixtures("traced")
def test_a_graph_that_computes_something_else_is_not_written(
    encoder: AudioEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "MOST_DIFFERENCE", 0.0)
    with pytest.raises(ExportError, match="Nothing was written"):
        export_onnx(encoder, "tiny", tmp_path / "out", layers=[0, -1])
    assert not (tmp_path / "out").exists()


def test_wrong_options_are_refused_before_any_work(encoder: AudioEncoder, tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="float32, float16, int8"):
        export_onnx(encoder, "tiny", tmp_path / "out", weights="int4")  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="no layer 7"):
        export_onnx(encoder, "tiny", tmp_path / "out", layers=[7])


def test_a_reader_refuses_what_it_cannot_read(exported: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="waveform\\[None\\]"):
        OnnxModel(exported)(tune(1.0))
    with pytest.raises(ValueError, match="Export a music-text model"):
        OnnxModel(exported).embed_text(["calm"])
    (tmp_path / "model.json").write_text('{"format": 99}')
    with pytest.raises(ValueError, match="Export the model again"):
        OnnxModel(tmp_path)


# The command


@pytest.mark.usefixtures("traced")
def test_the_command_says_what_the_check_found(
    encoder: AudioEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("solfa.cli.export.load", lambda _: encoder)
    done = CliRunner().invoke(
        app, ["onnx", "tiny", "--layer", "0", "--layer", "-1", "--out", str(tmp_path / "out")]
    )
    assert done.exit_code == 0, done.output
    assert "layer_1: difference" in done.output and "OnnxModel" in done.output
    assert (tmp_path / "out" / "audio.onnx").exists()
