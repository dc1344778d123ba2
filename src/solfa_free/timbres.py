"""How a rendering sounds, drawn by lot: who plays each channel, how far out of tune, in which room.

All is decided by a seed and the name of the piece, channel by channel, so that it is the same anywhere.
"""

import random
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace

from solfa_free.score import DRUM_CHANNEL, FAMILIES, Score, ScoreError

FAMILY_PROGRAMS = 8
Has = Callable[[int, int, bool], bool]  # place of a soundfont, program, of drums? -> whether it has it


@dataclass(frozen=True, kw_only=True)
class TimbreConfig:
    """How far the sound of a rendering may be from what its score asks for."""

    family_probability: float = 0.7  # that a program is replaced by another of its family
    anywhere_probability: float = 0.1  # that it is replaced by any, effects of sound left out
    detune_cents: float = 30.0  # of a channel, up or down
    velocity_exponents: tuple[float, float] = (0.7, 1.5)  # of velocities in (0, 1], lowest and highest
    level_db: float = 4.0  # of what one soundfont plays against the others, up or down
    equaliser_db: float = 6.0  # at each knot, up or down
    reverberation_probability: float = 0.6
    reverberation_db: tuple[float, float] = (-18.0, -6.0)  # against what is heard directly
    low_pass_probability: float = 0.3
    low_pass_hz: tuple[float, float] = (8_000.0, 12_000.0)


@dataclass(frozen=True, kw_only=True)
class Colour:
    """What happens to a rendering as a whole; see ``solfa_free.effects``."""

    equaliser_db: tuple[float, ...]  # at the knots
    room: int | None = None  # which of the impulse responses; none if None
    reverberation_db: float = 0.0
    low_pass_hz: float | None = None


@dataclass(frozen=True, kw_only=True)
class Timbre:
    """Who plays what, and how."""

    players: dict[int, int]  # channel -> place of its soundfont
    programs: dict[tuple[int, int], int]  # channel and program of the score -> program that plays
    cents: dict[int, float]  # by which a channel is out of tune
    velocity_exponent: float
    levels_db: tuple[float, ...]  # of each soundfont's part
    colour: Colour

    def dress(self, score: Score) -> Score:
        """``score`` with the programs and velocities that are played: its labels stay exact."""
        return replace(
            score,
            notes=tuple(
                replace(
                    note,
                    program=self.programs[note.channel, note.program],
                    velocity=max(1, round(127 * (note.velocity / 127) ** self.velocity_exponent)),
                )
                for note in score.notes
            ),
        )


def draw_timbre(
    score: Score,
    seed: int,
    config: TimbreConfig,
    *,
    n_soundfonts: int,
    n_rooms: int,
    n_knots: int,
    has: Has,
    keeps_programs: bool = False,
) -> Timbre:
    """The timbre of the rendering that is called ``score.name``.

    Args:
        score: what will be played.
        seed: another one, another timbre of every piece.
        config: how far it may go.
        n_soundfonts: how many there are to draw from.
        n_rooms: how many impulse responses.
        n_knots: of the equaliser.
        has: whether a soundfont has a program; many are not complete.
        keeps_programs: whether instruments stay those of the score.

    Raises:
        ScoreError: no soundfont can play a channel, even with the programs of the score.
    """
    used: dict[int, set[int]] = defaultdict(set)
    for note in score.notes:
        used[note.channel].add(note.program)
    players: dict[int, int] = {}
    programs: dict[tuple[int, int], int] = {}
    cents: dict[int, float] = {}
    for channel, own in sorted(used.items()):
        chance = random.Random(f"timbre {seed} {score.name} channel {channel}")
        cents[channel] = chance.uniform(-config.detune_cents, config.detune_cents)
        drawn = {program: program if keeps_programs else _program(program, channel, config, chance)
                 for program in sorted(own)}  # fmt: skip
        order = chance.sample(range(n_soundfonts), n_soundfonts)
        players[channel], played = _player(drawn, channel, order, has, score.name)
        programs |= {(channel, program): new for program, new in played.items()}
    chance = random.Random(f"timbre {seed} {score.name}")
    return Timbre(
        players=players,
        programs=programs,
        cents=cents,
        velocity_exponent=chance.uniform(*config.velocity_exponents),
        levels_db=tuple(chance.uniform(-config.level_db, config.level_db) for _ in range(n_soundfonts)),
        colour=_colour(chance, config, n_rooms, n_knots),
    )


def _program(program: int, channel: int, config: TimbreConfig, chance: random.Random) -> int:
    draw, other = chance.random(), chance.random()
    if channel == DRUM_CHANNEL:
        return program
    if draw < config.anywhere_probability:
        return int(other * FAMILY_PROGRAMS * (len(FAMILIES) - 1))
    if draw < config.anywhere_probability + config.family_probability:
        step = 1 + int(other * (FAMILY_PROGRAMS - 1))
        family, place = divmod(program, FAMILY_PROGRAMS)
        return family * FAMILY_PROGRAMS + (place + step) % FAMILY_PROGRAMS
    return program


def _player(
    drawn: dict[int, int], channel: int, order: list[int], has: Has, name: str
) -> tuple[int, dict[int, int]]:
    """The first soundfont that has all programs of a channel; those of the score if none has those drawn."""
    is_drums = channel == DRUM_CHANNEL
    for programs in (drawn, {program: program for program in drawn}):
        for player in order:
            if all(has(player, program, is_drums) for program in programs.values()):
                return player, programs
    raise ScoreError(
        f"No soundfont can play channel {channel} of {name} (programs {sorted(drawn)}). Leave the piece out, "
        "or take a soundfont of General MIDI."
    )


def _colour(chance: random.Random, config: TimbreConfig, n_rooms: int, n_knots: int) -> Colour:
    equaliser = tuple(chance.uniform(-config.equaliser_db, config.equaliser_db) for _ in range(n_knots))
    reverberates = chance.random() < config.reverberation_probability
    room, reverberation_db = chance.randrange(n_rooms), chance.uniform(*config.reverberation_db)
    is_dull, low_pass_hz = chance.random() < config.low_pass_probability, chance.uniform(*config.low_pass_hz)
    return Colour(
        equaliser_db=equaliser,
        room=room if reverberates else None,
        reverberation_db=reverberation_db if reverberates else 0.0,
        low_pass_hz=low_pass_hz if is_dull else None,
    )
