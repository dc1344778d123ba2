"""EncodecCodes: its codes are the codec's, and what is said when there is no codec."""

import math
import sys
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F  # noqa: N812
from transformers import EncodecConfig, EncodecModel

from solfa.data.clips import Clips
from solfa.targets import EncodecCodes, EncodecCodesConfig, TargetError

TINY = EncodecCodesConfig(n_filters=4, dim=16)


@pytest.fixture(scope="module")
def codec(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as the hub has it: a small codec of 32 codebooks with random weights."""
    torch.manual_seed(0)
    model = EncodecModel(EncodecConfig(num_filters=4, hidden_size=16, codebook_dim=16))
    for layer in model.quantizer.layers:
        layer.codebook.embed.copy_(0.1 * F.normalize(torch.randn(1024, 16), dim=1))
    folder = tmp_path_factory.mktemp("codec")
    model.save_pretrained(folder)
    return folder


def target(codec: Path) -> EncodecCodes:
    config = EncodecCodesConfig(n_filters=4, dim=16, source=str(codec))
    built = EncodecCodes(config)
    built.load_fitted()
    return built.eval()


def clips(n_samples: int = 24_000) -> Clips:
    waveform = 0.1 * torch.randn(2, n_samples, generator=torch.Generator().manual_seed(1))
    return Clips(waveform, 24_000, torch.arange(2), torch.zeros(2, dtype=torch.long))


def test_codes_are_those_of_the_codec_at_6_kbps(codec: Path) -> None:
    model = EncodecModel.from_pretrained(codec).eval()
    with torch.no_grad():
        expected = model.encode(clips().waveform[:, None], bandwidth=6.0).audio_codes[0]
    assert expected.shape[1] == 8 and len(expected.unique()) > 16
    assert torch.equal(target(codec)(clips()).values, expected)


def test_at_6_kbps_there_are_8_codes_of_1024_75_times_a_second() -> None:
    config = EncodecCodesConfig()
    assert config.grid.frame_rate == 75
    assert config.n_codebooks * math.log2(config.codebook_size) * config.grid.frame_rate == 6000


def test_codebooks_beyond_those_predicted_are_not_kept(codec: Path) -> None:
    assert len(target(codec).quantizer.layers) == 8


def test_codes_are_made_in_float32_under_autocast(codec: Path) -> None:
    encodec = target(codec)
    expected = encodec(clips()).values
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(encodec(clips()).values, expected)


def test_what_was_fetched_is_in_the_state_of_the_target(codec: Path) -> None:
    fetched, fresh = target(codec), EncodecCodes(TINY).eval()
    fresh.load_state_dict(fetched.state_dict())
    assert torch.equal(fresh(clips()).values, fetched(clips()).values)


def test_a_folder_without_a_codec_is_refused_with_the_cure(tmp_path: Path) -> None:
    missing = EncodecCodes(EncodecCodesConfig(n_filters=4, dim=16, source=str(tmp_path)))
    with pytest.raises(TargetError, match=r"cannot be had from.*name a folder.*target\.source=FOLDER"):
        missing.load_fitted()


def test_a_codec_of_another_shape_is_refused_with_the_cure(codec: Path) -> None:
    wider = EncodecCodes(EncodecCodesConfig(n_filters=8, dim=16, source=str(codec)))
    with pytest.raises(TargetError, match=r"not of the shape.*agree with its config\.json"):
        wider.load_fitted()


def test_without_the_library_the_install_command_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ImportError, match=r"pip install \"solfa\[encodec\]\""):
        EncodecCodes(TINY)
