"""Several soundfonts that play a piece together, each its own channels: another band for every piece."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float

from solfa_free.effects import KNOTS_HZ, ROOMS_SECONDS, coloured, sounding_level
from solfa_free.pieces import Piece
from solfa_free.rendered import Perform, Performance
from solfa_free.rendering import Renderer, RenderingConfig, levelled
from solfa_free.score import Score
from solfa_free.soundfonts import Soundfont
from solfa_free.timbres import Timbre, TimbreConfig, draw_timbre

SOUNDING_LEVEL = 0.1  # RMS of a soundfont's part while it sounds, before its own level is added


@dataclass(frozen=True, kw_only=True)
class Ensemble:
    """Plays each piece by soundfonts, programs and in a room that are drawn for it."""

    soundfonts: tuple[Soundfont, ...]
    config: RenderingConfig
    timbre: TimbreConfig
    seed: int
    keeps_programs: tuple[str, ...] = ()  # corpora whose instruments are played as they are

    @property
    def setup(self) -> dict[str, Any]:
        """Soundfonts, seed, and how far timbres go; as JSON gives it back."""
        return {
            "soundfonts": {font.name: font.content_hash for font in self.soundfonts},
            "seed": self.seed,
            "keeps_programs": list(self.keeps_programs),
            "timbre": {
                name: list(value) if isinstance(value, tuple) else value
                for name, value in asdict(self.timbre).items()
            },
            **asdict(self.config),
        }

    def open(self) -> Perform:
        """As every player."""
        renderers = [Renderer(font.path, self.config) for font in self.soundfonts]
        return lambda piece: self._play(piece, renderers)

    def _play(self, piece: Piece, renderers: Sequence[Renderer]) -> Performance:
        score = replace(piece.score(), name=piece.name)
        timbre = draw_timbre(
            score,
            self.seed,
            self.timbre,
            n_soundfonts=len(renderers),
            n_rooms=len(ROOMS_SECONDS),
            n_knots=len(KNOTS_HZ),
            has=lambda player, program, is_drums: renderers[player].has(program, is_drums),
            keeps_programs=score.tags.get("corpus") in self.keeps_programs,
        )
        dressed = timbre.dress(score)
        together = coloured(_together(dressed, timbre, renderers), timbre.colour, self.config.sample_rate)
        heard = [self.soundfonts[player] for player in sorted(set(timbre.players.values()))]
        return Performance(
            score=dressed,
            waveform=levelled(together, self.config, f"{piece.name} is silent"),
            soundfont="+".join(font.name for font in heard),
            soundfont_licence=" + ".join(dict.fromkeys(font.licence for font in heard)),
        )


def _together(score: Score, timbre: Timbre, renderers: Sequence[Renderer]) -> Float[np.ndarray, " sample"]:
    """The parts of all soundfonts, each as loud as the others while it sounds, but for its drawn level."""
    parts = []
    for player, renderer in enumerate(renderers):
        own = {channel for channel, who in timbre.players.items() if who == player}
        if not own:
            continue
        part = replace(
            score,
            notes=tuple(note for note in score.notes if note.channel in own),
            controls=tuple(control for control in score.controls if control.channel in own),
        )
        waveform = renderer.sound(part, {channel: timbre.cents[channel] for channel in own})
        level = sounding_level(waveform, renderer.config.sample_rate)
        if level > 0:
            parts.append(waveform * (SOUNDING_LEVEL / level * 10 ** (timbre.levels_db[player] / 20)))
    return np.asarray(sum(parts), np.float32).reshape(-1) if parts else np.zeros(0, np.float32)
