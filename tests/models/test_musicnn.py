"""musicnn: the published variables all have a place, and the network computes what the paper draws."""

import hashlib
import io
import zipfile
from pathlib import Path

import librosa
import numpy as np
import pytest
import torch

import convert_musicnn
from convert_musicnn import ConversionError, musicnn_weights, read_tensorflow_checkpoint
from solfa.embedding import fingerprint
from solfa.models import ModelError
from solfa.models.musicnn import (
    FrameFrontend,
    MusiCNN,
    MusiCNNConfig,
    MusiCNNEncoder,
    PatchFrontend,
    slaney_filters,
)
from solfa.models.published.musicnn import load_musicnn
from synth import melody
from tensorflow_files import write_checkpoint

SMALL = MusiCNNConfig(
    n_mels=12, timbral_mels=(5, 8), n_timbral=3, temporal_frames=(8, 4, 3), n_temporal=2, n_middle=4,
    penultimate_dim=5, n_tags=3, patch_frames=20,
)  # fmt: skip
PUBLISHED_SHAPES = {
    "conv2d/kernel": (7, 38, 1, 204),
    "conv2d_1/kernel": (7, 67, 1, 204),
    "conv2d_2/kernel": (128, 1, 1, 51),
    "conv2d_3/kernel": (64, 1, 1, 51),
    "conv2d_4/kernel": (32, 1, 1, 51),
    "conv2d_5/kernel": (7, 561, 1, 64),
    "conv2d_6/kernel": (7, 64, 1, 64),
    "conv2d_7/kernel": (7, 64, 1, 64),
    "dense/kernel": (1506, 200),
    "dense_1/kernel": (200, 50),
}
PUBLISHED_NORMS = (1, 204, 204, 51, 51, 51, 64, 64, 64, 1506, 200)
NORM_PARTS = ("gamma", "beta", "moving_mean", "moving_variance")

Variables = dict[str, np.ndarray]


def numbered(kind: str, number: int) -> str:
    return f"{kind}_{number}" if number else kind


def made_variables(config: MusiCNNConfig) -> Variables:
    """Random numbers in TensorFlow's shapes and names."""
    random, variables = np.random.default_rng(0), {}
    kernels = [
        *[(config.timbral_frames, n, 1, config.n_timbral) for n in config.timbral_mels],
        *[(n, 1, 1, config.n_temporal) for n in config.temporal_frames],
        (config.middle_frames, config.n_front, 1, config.n_middle),
        *[(config.middle_frames, config.n_middle, 1, config.n_middle)] * 2,
    ]
    denses = [(2 * config.dim, config.penultimate_dim), (config.penultimate_dim, config.n_tags)]
    for kind, shapes in {"conv2d": kernels, "dense": denses}.items():
        for number, shape in enumerate(shapes):
            scale = 1 / np.sqrt(np.prod(shape[:-1]))
            variables[f"{numbered(kind, number)}/kernel"] = scale * random.standard_normal(shape)
            variables[f"{numbered(kind, number)}/bias"] = random.standard_normal(shape[-1]) / 4
    widths = (1, *(shape[-1] for shape in kernels), 2 * config.dim, config.penultimate_dim)
    for number, width in enumerate(widths):
        for part in NORM_PARTS:
            values = random.standard_normal(width) / 4
            variables[f"{numbered('batch_normalization', number)}/{part}"] = (
                np.exp(values) if part in ("gamma", "moving_variance") else values
            )
    return {name: value.astype(np.float32) for name, value in variables.items()}


def small_network() -> tuple[MusiCNN, Variables]:
    variables = made_variables(SMALL)
    network = MusiCNN(SMALL)
    weights = musicnn_weights({name: torch.from_numpy(value) for name, value in variables.items()})
    network.load_state_dict(weights, strict=False)
    return network.eval(), variables


def logits_by_hand(patch: np.ndarray, variables: Variables) -> np.ndarray:
    """The network in numpy, on TensorFlow's arrays and axes: (frame, mel) -> logits."""

    def norm(x: np.ndarray, number: int) -> np.ndarray:
        gamma, beta, mean, variance = (
            variables[f"{numbered('batch_normalization', number)}/{part}"] for part in NORM_PARTS
        )
        return (x - mean) / np.sqrt(variance + 1e-3) * gamma + beta

    def conv(image: np.ndarray, number: int) -> np.ndarray:
        kernel = variables[f"{numbered('conv2d', number)}/kernel"][:, :, 0]
        n_frames, n_mels = kernel.shape[:2]
        padded = np.pad(image, (((n_frames - 1) // 2, n_frames // 2), (0, 0)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (n_frames, n_mels))
        raw = np.einsum("tmij,ijo->tmo", windows, kernel) + variables[f"{numbered('conv2d', number)}/bias"]
        return norm(np.maximum(raw, 0), number + 1)

    image = norm(patch[..., None], 0)[..., 0]
    front = np.concatenate([conv(image, n).max(1) for n in range(5)], 1)
    first = conv(front, 5)[:, 0]
    second = first + conv(first, 6)[:, 0]
    third = second + conv(second, 7)[:, 0]
    frames = np.concatenate([front, first, second, third], 1)
    pooled = np.stack([frames.max(0), frames.mean(0)], 1).reshape(-1)
    hidden = np.maximum(norm(pooled, 9) @ variables["dense/kernel"] + variables["dense/bias"], 0)
    return norm(hidden, 10) @ variables["dense_1/kernel"] + variables["dense_1/bias"]


def wheel_of(variables: Variables) -> bytes:
    index, data = write_checkpoint({**variables, "beta1_power": np.zeros(()), "conv2d/bias/Adam": np.ones(3)})
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as wheel:
        for name in ("MSD_musicnn", "MTT_musicnn"):
            wheel.writestr(f"musicnn/{name}/.index", index)
            wheel.writestr(f"musicnn/{name}/.data-00000-of-00001", data)
        wheel.writestr(
            "musicnn/configuration.py", "SR = 16000\nMSD_LABELS = ['rock', 'pop']\nMTT_LABELS = ['slow']\n"
        )
    return file.getvalue()


def test_a_checkpoint_gives_back_what_was_written() -> None:
    random = np.random.default_rng(1)
    shapes = {f"layer_{n}/kernel": (n + 1, 3) for n in range(30)} | {"step": ()}
    variables = {name: np.asarray(random.standard_normal(s), np.float32) for name, s in shapes.items()}
    found = read_tensorflow_checkpoint(*write_checkpoint(variables))
    assert found.keys() == variables.keys()
    for name, value in variables.items():
        np.testing.assert_array_equal(found[name].numpy(), value)


@pytest.mark.parametrize(
    ("index", "data", "cure"),
    [
        (lambda index: b"no index" * 9, None, "ends in .index"),
        (lambda index: index[:10] + b"\xff" * 30 + index[40:], None, "Fetch it again"),
        (None, lambda data: data[:-1], "Fetch both again"),
    ],
)
def test_damaged_checkpoints_are_refused(index: object, data: object, cure: str) -> None:
    files = write_checkpoint({f"v{n}": np.ones((4, 4), np.float32) for n in range(9)})
    damaged = [
        change(file) if callable(change) else file for file, change in zip(files, (index, data), strict=True)
    ]
    with pytest.raises(ConversionError, match=cure):
        read_tensorflow_checkpoint(*damaged)


def test_numbers_of_another_type_are_refused() -> None:
    with pytest.raises(ConversionError, match="as float32"):
        read_tensorflow_checkpoint(*write_checkpoint({"a": np.ones(2, np.float32)}, kind=14))


def test_the_published_variables_are_those_of_the_default_configuration() -> None:
    shapes = {name: value.shape for name, value in made_variables(MusiCNNConfig()).items()}
    assert {name: shape for name, shape in shapes.items() if name.endswith("kernel")} == PUBLISHED_SHAPES
    norms = [shapes[f"{numbered('batch_normalization', n)}/gamma"] for n in range(len(PUBLISHED_NORMS))]
    assert norms == [(width,) for width in PUBLISHED_NORMS]
    learned = [shape for name, shape in shapes.items() if "moving" not in name]
    assert sum(int(np.prod(shape)) for shape in learned) == 787_159


def test_the_network_computes_what_the_paper_draws() -> None:
    network, variables = small_network()
    patches = np.random.default_rng(2).random((3, 20, 12)).astype(np.float32)
    found = network(torch.from_numpy(patches)).logits.detach()
    expected = np.stack([logits_by_hand(patch, variables) for patch in patches])
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_a_wheel_is_read_as_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    variables = made_variables(MusiCNNConfig())
    (tmp_path / "musicnn-0.1.0-py3-none-any.whl").write_bytes(wheel_of(variables))
    data = write_checkpoint({**variables, "beta1_power": np.zeros(()), "conv2d/bias/Adam": np.ones(3)})[1]
    for name in convert_musicnn.CONTENT_HASHES:
        monkeypatch.setitem(convert_musicnn.CONTENT_HASHES, name, hashlib.sha256(data).hexdigest())
    convert_musicnn.convert(tmp_path, tmp_path / "converted")
    network = load_musicnn("MSD_musicnn", tmp_path / "converted")
    assert (network.tag_names, network.training) == (("rock", "pop"), False)
    kernel = torch.from_numpy(variables["conv2d_1/kernel"])
    torch.testing.assert_close(network.state_dict()["timbral.1.conv.weight"][5, 0], kernel[:, :, 0, 5])


def test_other_weights_than_the_published_ones_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.whl").write_bytes(wheel_of(made_variables(SMALL)))
    with pytest.raises(ConversionError, match="pip download"):
        convert_musicnn.convert(tmp_path / "a.whl", tmp_path)
    (tmp_path / "MSD_musicnn.safetensors").write_bytes(b"cut short")
    with pytest.raises(ModelError, match=r"damaged.*pip download"):
        load_musicnn("MSD_musicnn", tmp_path)


def test_missing_weights_say_how_to_fetch_them(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"pip download --no-deps musicnn.*convert_musicnn"):
        load_musicnn("MSD_musicnn", tmp_path)
    with pytest.raises(ConversionError, match="pip download --no-deps musicnn"):
        convert_musicnn.convert(tmp_path, tmp_path)


def test_a_variable_without_a_place_is_refused() -> None:
    with pytest.raises(ConversionError, match="no variable dense_2/kernel"):
        musicnn_weights({"dense_2/kernel": torch.ones(2, 2)})


def test_mel_filters_equal_those_of_librosa() -> None:
    expected = librosa.filters.mel(sr=16_000, n_fft=512, n_mels=96)
    np.testing.assert_allclose(slaney_filters(96, 512, 16_000), expected, atol=1e-6)


@pytest.mark.parametrize("kind", [PatchFrontend, FrameFrontend])
def test_a_clip_has_the_same_frames_alone_padded_and_in_a_batch(kind: type) -> None:
    encoder = MusiCNNEncoder(kind(small_network()[0])).eval()
    clips = [torch.from_numpy(melody(seconds, seed=n)) for n, seconds in enumerate((1.0, 0.2, 1.4))]
    waveform = torch.nn.utils.rnn.pad_sequence(clips, batch_first=True)
    together = encoder(waveform, torch.tensor([len(clip) for clip in clips]))
    for row, clip in enumerate(clips):
        alone = encoder(clip[None])
        n_frames = alone.last.shape[1]
        assert together.n_frames[row] == n_frames == encoder.frontend.n_frames(len(clip))
        assert alone.last.shape[2] == encoder.dim
        torch.testing.assert_close(together.last[row, :n_frames], alone.last[0], atol=1e-4, rtol=1e-4)


def test_a_clip_shorter_than_a_patch_is_repeated() -> None:
    frontend = PatchFrontend(small_network()[0])
    clip = torch.from_numpy(melody(0.1))[None]
    lengths = torch.tensor([clip.shape[1]])
    [patch] = frontend.patches(clip, lengths)
    n_frames = int(frontend.mel.n_frames(lengths))
    assert n_frames < 20
    torch.testing.assert_close(patch[n_frames:], patch[: 20 - n_frames])


def test_patches_and_frames_are_one_model() -> None:
    network = small_network()[0]
    patches, frames = (MusiCNNEncoder(kind(network)) for kind in (PatchFrontend, FrameFrontend))
    assert fingerprint(patches) == fingerprint(frames)
