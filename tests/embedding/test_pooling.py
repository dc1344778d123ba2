from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from solfa.config import override
from solfa.data.audio import read_audio, write_audio
from solfa.data.manifest import Track
from solfa.data.pooled_vectors import PooledVectors
from solfa.data.prepare import prepare_folder
from solfa.data.spectra import store_spectra
from solfa.data.stored_frames import StoredFramesError
from solfa.data.stored_spectra import StoredSpectra
from solfa.embedding.pooling import pool_tracks
from solfa.errors import ArgumentError
from solfa.models import AudioEncoder, build_encoder
from solfa.models.layers.pooling import mean_and_deviation
from solfa.recipes import recipe
from synth import melody

RATE = 24_000


@pytest.fixture(scope="module")
def encoder() -> AudioEncoder:
    torch.manual_seed(0)
    return build_encoder(recipe("muq_tiny").objective.encoder).eval()  # type: ignore[union-attr]


@pytest.fixture(scope="module")
def excerpts(tmp_path_factory: pytest.TempPathFactory) -> list[Track]:
    folder = tmp_path_factory.mktemp("music")
    for number in range(2):
        write_audio(folder / f"{number}.wav", melody(9.0, seed=number), RATE)
    tracks = sorted(prepare_folder(folder).tracks, key=lambda track: track.path.name)
    return [replace(t, start_seconds=float(s), seconds=3.0) for t in tracks for s in (0, 3, 6)]


def test_a_vector_is_mean_and_deviation_of_each_layer_of_the_excerpt(
    excerpts: list[Track], encoder: AudioEncoder, tmp_path: Path
) -> None:
    done = pool_tracks(excerpts, tmp_path, encoder, [0, -1])
    assert not done.refused, done.refused[0].reason
    assert (done.n_stored, done.n_known) == (6, 0)
    stored = PooledVectors(tmp_path)
    wave = np.asarray(read_audio(excerpts[4].path, sample_rate=RATE)).ravel()[3 * RATE : 6 * RATE]
    with torch.inference_mode():
        states = encoder(torch.from_numpy(wave)[None], layers=[0, -1]).states
    expected = torch.cat([mean_and_deviation(of_layer, None) for of_layer in states], dim=1)[0]
    np.testing.assert_allclose(stored[excerpts[4]], expected, rtol=1e-4, atol=1e-5)


def test_what_was_stored_is_not_computed_again_and_half_a_line_is_cut_off(
    excerpts: list[Track], encoder: AudioEncoder, tmp_path: Path
) -> None:
    pool_tracks(excerpts[:4], tmp_path, encoder, [1])
    first = np.array(PooledVectors(tmp_path)[excerpts[0]])
    with (tmp_path / "rows.jsonl").open("a") as file:
        file.write('{"content_hash": "kil')  # a killed run
    done = pool_tracks(excerpts, tmp_path, encoder, [1])
    assert (done.n_stored, done.n_known) == (2, 4)
    stored = PooledVectors(tmp_path)
    stored.require(excerpts)
    np.testing.assert_array_equal(stored[excerpts[0]], first)


def test_other_layers_a_missing_file_and_a_missing_vector_are_told(
    excerpts: list[Track], encoder: AudioEncoder, tmp_path: Path
) -> None:
    gone = replace(excerpts[0], path=tmp_path / "gone.wav", content_hash="f" * 64)
    done = pool_tracks([gone, *excerpts[:2]], tmp_path, encoder, [1])
    assert [r.path for r in done.refused] == [gone.path] and done.n_stored == 2
    with pytest.raises(StoredFramesError, match="other layers"):
        pool_tracks(excerpts, tmp_path, encoder, [0])
    with pytest.raises(StoredFramesError, match="solfa data pool"):
        PooledVectors(tmp_path).require(excerpts)
    with pytest.raises(StoredFramesError, match="solfa data pool"):
        PooledVectors(tmp_path / "nowhere")


@pytest.fixture(scope="module")
def small() -> AudioEncoder:
    torch.manual_seed(0)
    layers = {"n_layers": 2, "dim": 32, "n_heads": 2}
    config = override(
        recipe("solfa_small").objective.encoder, {f"transformer.{k}": v for k, v in layers.items()}
    )  # type: ignore[union-attr]
    return build_encoder(config).eval()


@pytest.fixture(scope="module")
def spectra(excerpts: list[Track], tmp_path_factory: pytest.TempPathFactory) -> StoredSpectra:
    folder = tmp_path_factory.mktemp("spectra")
    whole = {track.path: replace(track, start_seconds=0.0, seconds=9.0) for track in excerpts}
    store_spectra(list(whole.values()), folder, n_workers=1)
    return StoredSpectra(folder)


def test_stored_spectra_give_nearly_the_vectors_of_audio(
    excerpts: list[Track], small: AudioEncoder, spectra: StoredSpectra, tmp_path: Path
) -> None:
    for name, given in (("audio", None), ("spectra", spectra)):
        done = pool_tracks(excerpts, tmp_path / name, small, [0, 2], spectra=given)
        assert not done.refused and done.n_stored == 6
    by_audio, by_spectra = (PooledVectors(tmp_path / name) for name in ("audio", "spectra"))
    for track in excerpts:
        a, b = by_audio[track], by_spectra[track]
        # Windows at the ends of a stretch hear what is beside it, and spectra are rounded to half a decibel.
        assert np.linalg.norm(a - b) < 0.05 * np.linalg.norm(a)
    other = max(np.linalg.norm(by_audio[excerpts[0]] - by_audio[t]) for t in excerpts[1:])
    assert other > 0.1 * np.linalg.norm(by_audio[excerpts[0]])


def test_spectra_that_do_not_fit_are_refused(
    excerpts: list[Track], small: AudioEncoder, encoder: AudioEncoder, spectra: StoredSpectra, tmp_path: Path
) -> None:
    with pytest.raises(ArgumentError, match="takes no spectra"):
        pool_tracks(excerpts, tmp_path / "a", encoder, [0], spectra=spectra)
    between = [replace(excerpts[0], start_seconds=1.01)]
    with pytest.raises(ArgumentError, match="between two frames"):
        pool_tracks(between, tmp_path / "b", small, [0], spectra=spectra)
    with pytest.raises(StoredFramesError, match="solfa data features"):
        pool_tracks([replace(excerpts[0], content_hash="none")], tmp_path / "c", small, [0], spectra=spectra)
    assert not (tmp_path / "a").exists() and not (tmp_path / "b").exists() and not (tmp_path / "c").exists()
