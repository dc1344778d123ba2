"""A trial of what comes with solfa: every bundled model is asked, and a made library is searched."""

import tempfile
import wave
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from solfa.embedding import default_windows, describe_space
from solfa.models import AudioEncoder, MuLan, load, load_encoder
from solfa.models.bundled import ENCODER, MUSIC_TEXT, bundled
from solfa.retrieval.library import Library
from solfa.retrieval.search import Searcher

RATE, SECONDS = 24_000, 5.0
QUERY = "calm piano"

Verdict = Literal["ok", "FAILS", "not tried"]


@dataclass(frozen=True)
class Trial:
    """One thing that was tried."""

    name: str
    verdict: Verdict
    said: str  # what came out, or what is wrong and what to do


def try_bundled() -> Iterator[Trial]:
    """Load and ask each model that comes with solfa, then make a library with one and search it.

    A model whose extra is not installed is not tried; nothing else that goes wrong ends the trial.
    """
    if not bundled():
        yield Trial("models", "FAILS", "None came with this installation. Install solfa again.")
    verdicts = {}
    for name in bundled():
        trial = _tried(name, partial(_ask, name))
        verdicts[name] = trial.verdict
        yield trial
    of = MUSIC_TEXT if verdicts.get(MUSIC_TEXT) == "ok" else ENCODER
    if verdicts.get(of) == "ok":
        yield _tried(f"search with {of}", partial(_search, of))


def _tried(name: str, attempt: Callable[[], str]) -> Trial:
    try:
        return Trial(name, "ok", attempt())
    except ImportError as error:
        return Trial(name, "not tried", str(error))
    except Exception as error:  # whatever it is, it is what a user wants to be told
        return Trial(name, "FAILS", f"{type(error).__name__}: {error}")


def _ask(name: str) -> str:
    """Load a model, which compares its answer with the saved one, and hear a made sound with it."""
    model = load(name)
    waveform = torch.from_numpy(_sounds()["chord"])[None]
    if isinstance(model, MuLan):
        vectors = torch.cat([model.embed_audio(waveform), model.embed_text([QUERY])])
        said = f"{model.dim} numbers for a sound and for a text"
    else:
        hidden = model(waveform)
        vectors, said = hidden.last[0], f"{hidden.last.shape[1]} frames of {model.dim} for {SECONDS:g} s"
    if not bool(torch.isfinite(vectors).all()):
        raise ArithmeticError("It answers with numbers that are not finite. Install PyTorch and solfa again.")
    return said


def _search(name: str) -> str:
    """Find three made tracks by quieter halves of them, and by words if the model knows words."""
    encoder = load_encoder(name)
    with tempfile.TemporaryDirectory() as folder:
        music, library = Path(folder, "music"), Path(folder, "library.sqlite")
        music.mkdir()
        for sound, waveform in _sounds().items():
            _write(music / f"{sound}.wav", waveform)
            _write(music.parent / f"{sound}.wav", waveform[: len(waveform) // 2] / 2)
        _fill(library, music, encoder, name)
        with Searcher(library, load(name) if name == MUSIC_TEXT else encoder) as searcher:
            for sound in _sounds():
                found = searcher.search(str(music.parent / f"{sound}.wav"), n=1)[0].track.path.stem
                if found != sound:
                    raise ArithmeticError(f"A part of '{sound}' is said to sound most like '{found}'.")
            if name == MUSIC_TEXT and len(searcher.search(f'"{QUERY}"')) != len(_sounds()):
                raise ArithmeticError("A query in words does not find all tracks.")
    return f"{len(_sounds())} tracks made, indexed and found again"


def _fill(library: Path, music: Path, encoder: AudioEncoder, name: str) -> None:
    layer, windows = encoder.default_layer, default_windows(encoder)
    space = describe_space(encoder, name, layer=layer, pool="mean", windows=windows)
    with Library(library, space) as opened:
        changes = opened.update([music], encoder)
    if changes.refused:
        raise ArithmeticError(f"A made file is refused: {changes.refused[0].reason}")


def _write(path: Path, waveform: np.ndarray) -> None:
    with wave.open(str(path), "wb") as file:  # of Python itself, so that it is reading that is tried
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((waveform * 32_767).astype("<i2").tobytes())


def _sounds() -> dict[str, np.ndarray]:
    """A chord, noise, and clicks: nothing that a working model would take for another."""
    time = np.arange(int(SECONDS * RATE)) / RATE
    chord = np.sin(2 * np.pi * np.array([[220.0], [277.2], [329.6]]) * time).sum(0) / 6
    noise = np.random.default_rng(0).uniform(-0.3, 0.3, len(time))
    clicks = 0.5 * np.exp(-60 * (time % 0.5)) * np.sin(2 * np.pi * 1_000 * time)
    return {"chord": chord.astype(np.float32), "noise": noise.astype(np.float32),
            "clicks": clicks.astype(np.float32)}  # fmt: skip
