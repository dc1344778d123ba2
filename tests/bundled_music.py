"""A library of the bundled music-text model."""

from pathlib import Path

import soundfile

from solfa.embedding import default_windows, describe_space
from solfa.models import ClipEncoder, MuLan, load
from solfa.models.bundled import MUSIC_TEXT
from solfa.retrieval import Library
from synth import chord, clicks, melody, noise

NOISE = "recipe of a cake"


def make_library(folder: Path) -> Path:
    """Of fourteen short tracks: chords, beats, two tunes, and noise that is called as no music sounds."""
    sounds = [chord(root, kind, 2.5) for root in (45, 52, 60, 67) for kind in ("maj", "min")]
    sounds += [clicks(tempo_bpm, 2.5) for tempo_bpm in (60, 120, 180)]
    sounds += [noise(2.5), melody(6.0, seed=1), melody(6.0, seed=2)]
    (folder / "music").mkdir()
    names = {11: NOISE}
    for number, sound in enumerate(sounds):
        soundfile.write(
            folder / "music" / f"{names.get(number, number)}.wav", sound, 24_000, subtype="PCM_16"
        )
    model = load(MUSIC_TEXT)
    assert isinstance(model, MuLan)
    encoder = ClipEncoder(model).eval()
    space = describe_space(encoder, MUSIC_TEXT, layer=0, pool="mean", windows=default_windows(encoder))
    with Library(folder / "library.sqlite", space) as library:
        library.update([folder / "music"], encoder)
    return folder / "library.sqlite"
