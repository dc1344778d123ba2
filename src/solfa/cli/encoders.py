"""What a command embeds with: the model and the space that its options say."""

import torch

from solfa import models
from solfa.cli.device import chosen_device
from solfa.embedding import Pool, Precision, Space, default_windows, describe_space
from solfa.models import AudioEncoder


def load_encoder(model: str, device: str, threads: int) -> AudioEncoder:
    """The model that a user named, on the device that a user named."""
    if threads:
        torch.set_num_threads(threads)
    return models.load_encoder(model, chosen_device(device))


def space_of(
    encoder: AudioEncoder, model: str, layer: int | None, pool: Pool, precision: Precision = "float32"
) -> Space:
    """The space that the options of a command describe."""
    number, windows = encoder.layer_number(layer), default_windows(encoder)
    return describe_space(encoder, model, layer=number, pool=pool, windows=windows, precision=precision)
