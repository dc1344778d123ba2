"""The layer that vectors are made of when nobody names one."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import solfa
from golden_data import GOLDEN
from solfa.embedding import fingerprint
from solfa.models import AudioEncoder
from synth import melody


@pytest.mark.parametrize(("stated", "number"), [(-1, 2), (0, 0), (1, 1), (-2, 1)])
def test_it_is_what_the_configuration_says(tmp_path: Path, stated: int, number: int) -> None:
    encoder = _encoder(stated)
    soundfile.write(tmp_path / "tune.wav", melody(1.0, seed=1).astype(np.float32), 24_000, subtype="FLOAT")
    assert encoder.default_layer == number
    named, unnamed = (solfa.embed(tmp_path / "tune.wav", encoder, layer) for layer in (number, None))
    assert torch.equal(named, unnamed)


def test_it_does_not_belong_to_the_identity_of_the_weights() -> None:
    assert fingerprint(_encoder(0)) == fingerprint(_encoder(-1))


def _encoder(stated: int) -> AudioEncoder:
    encoder = solfa.load(GOLDEN / "muq_rvq_25hz")
    encoder.config = replace(encoder.config, default_layer=stated)
    return encoder
