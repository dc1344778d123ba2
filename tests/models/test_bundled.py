"""The models that come with solfa are small, complete, described, and need no network."""

import json
import socket
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F  # noqa: N812

import solfa
from solfa.models.bundled import ENCODER, MUSIC_TEXT, WEIGHTS, bundled, bundled_folder
from synth import tone

MOST_BYTES = 30_000_000


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*given: object) -> None:
        raise AssertionError("a model that comes with solfa asks for a network")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def test_both_are_here_and_small() -> None:
    assert bundled() == [ENCODER, MUSIC_TEXT]
    assert sum(path.stat().st_size for path in WEIGHTS.rglob("*") if path.is_file()) < MOST_BYTES


def test_without_a_name_the_encoder_is_loaded() -> None:
    encoder = solfa.load()
    assert (encoder.license, encoder.sample_rate, encoder.dim) == ("Apache-2.0", 24_000, 192)
    hidden = encoder(torch.from_numpy(tone(440.0, 1.0))[None])
    assert hidden.last.isfinite().all()


def test_the_music_text_model_hears_and_reads() -> None:
    mulan = solfa.load(MUSIC_TEXT)
    audio = mulan.embed_audio(torch.from_numpy(tone(440.0, 6.0))[None])
    text = mulan.embed_text(["calm piano", "heavy metal"])
    assert audio.shape[1] == text.shape[1]
    torch.testing.assert_close(text.norm(dim=-1), torch.ones(2))
    assert F.cosine_similarity(text[:1], text[1:]) < 0.9


@pytest.mark.parametrize("name", [ENCODER, MUSIC_TEXT])
def test_the_card_leaves_nothing_out(name: str) -> None:
    folder = bundled_folder(name)
    assert folder
    card = (folder / "README.md").read_text()
    assert "not stated" not in card
    said = json.loads((WEIGHTS / f"{name}.json").read_text())
    assert all(value in card for value in said.values())
    assert "solfa train" in said["recipe"] and f"--out src/solfa/weights/{name}" in said["recipe"]


@pytest.mark.parametrize("name", [ENCODER, MUSIC_TEXT])
def test_a_folder_of_that_name_goes_first(
    name: str, tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).symlink_to(tiny_run)
    assert solfa.load(name).dim != 192  # type: ignore[union-attr]


def test_what_is_installed_holds_the_weights() -> None:
    import tomllib

    settings = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    patterns = settings["tool"]["setuptools"]["package-data"]["solfa"]
    found = {path for pattern in patterns for path in WEIGHTS.parent.glob(pattern)}
    held = {path for name in (ENCODER, MUSIC_TEXT) for path in (WEIGHTS / name).rglob("*") if path.is_file()}
    assert held and held <= found
