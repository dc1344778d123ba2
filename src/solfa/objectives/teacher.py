"""Teacher: a frozen encoder that hears clips, for another that learns what it makes of them."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from solfa.data.clips import Clips
from solfa.data.stored_frames import ClipStates, source_of
from solfa.errors import ArgumentError
from solfa.models import AudioEncoder, MuLan, load
from solfa.models.fingerprint import fingerprint
from solfa.precision import full_float32
from solfa.targets import TargetError

CLIPS_AT_ONCE = 4  # that the teacher hears together: a large one needs much memory for long clips


def load_teacher(name: str, sample_rate: int) -> AudioEncoder:
    """The encoder of that name, if it can teach one that hears ``sample_rate`` Hz.

    Raises:
        ModelError: nothing of that name.
        ArgumentError: a music-text model, an encoder without layers, or one of another sample rate.
    """
    encoder = load(name)
    if isinstance(encoder, MuLan):
        raise ArgumentError(
            f"{name} is a music-text model, whose audio side gives one vector a clip. Name an encoder that "
            "gives frames: a MuQ or a MERT."
        )
    if not encoder.n_layers:
        raise ArgumentError(f"{name} has no layers to learn from. Name a MuQ, a MERT or a run of either.")
    if encoder.sample_rate != sample_rate:
        raise ArgumentError(
            f"{name} hears {encoder.sample_rate} Hz, and the encoder that learns {sample_rate} Hz, of the "
            f"same clips. Name a teacher that hears {sample_rate} Hz, or make the encoder one that hears "
            f"{encoder.sample_rate} Hz: sample_rate of objective.encoder and of the targets."
        )
    return encoder


def layers_to_teach(encoder: AudioEncoder, wanted: Sequence[int]) -> tuple[int, ...]:
    """Numbers of the layers to be taught; without a wish the middle one and the encoder's default."""
    if wanted:
        return encoder.layer_numbers(wanted)
    return tuple(dict.fromkeys((encoder.n_layers // 2, encoder.default_layer)))


class Teacher:
    """Clips -> clips that carry hidden states of some layers of a frozen encoder.

    No module: it neither learns nor is part of a checkpoint. It is known by its weights.

    Args:
        encoder: in eval mode.
        layers: numbers of its layers, in the order in which they stand side by side.
    """

    def __init__(self, encoder: AudioEncoder, layers: Sequence[int]) -> None:
        self.encoder, self.layers = encoder, tuple(layers)
        self.source = source_of(fingerprint(encoder), self.layers)

    @torch.no_grad()
    def hear(self, clips: Clips) -> Clips:
        """The same clips with the teacher's frames, which have heard what is around them.

        Raises:
            TargetError: the context is no whole number of the teacher's frames, or it gives one frame a clip.
        """
        grid, surrounded = self.encoder.grid, clips.surrounded()
        if clips.context_samples % grid.hop_length:
            raise TargetError(
                f"data.context_seconds is no whole number of the teacher's frames. Make it a multiple of "
                f"{grid.hop_length / grid.sample_rate:g}."
            )
        first = clips.context_samples // grid.hop_length
        n_frames = -(-clips.waveform.shape[1] // grid.hop_length)
        self.encoder.to(clips.waveform.device)
        parts = [self._states(part)[:, first : first + n_frames] for part in _parts(surrounded.waveform)]
        states = torch.cat(parts)
        if states.shape[1] < 2:
            raise TargetError(
                f"The teacher gives one vector for a clip, every {1 / grid.frame_rate:g} s, and no frames. "
                "Name an encoder that gives frames, a MuQ or a MERT, or raise data.clip_seconds."
            )
        return replace(clips, hidden=ClipStates(states, grid, self.source))

    def _states(self, waveform: Float[Tensor, "clip sample"]) -> Float[Tensor, "clip frame dim"]:
        with full_float32(waveform.device):
            return torch.cat(self.encoder(waveform.float(), layers=self.layers).states, dim=-1)


def _parts(waveform: Float[Tensor, "clip sample"]) -> tuple[Tensor, ...]:
    return waveform.split(CLIPS_AT_ONCE)
