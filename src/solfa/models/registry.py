"""Which kinds of encoders there are, and in which layouts they are published.

A new encoder is its own module, a line in ``ENCODERS`` and one in ``EncoderConfig``; its published layout, if
it has one, is a module of ``solfa.models.published`` and a line in ``PUBLISHED``.
"""

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


def build_encoder(config: EncoderConfig, license: str = "") -> AudioEncoder:
    """The encoder that ``config`` describes, with random weights."""
    return ENCODERS[type(config)](config, license)  # type: ignore[arg-type]  # each takes its own
