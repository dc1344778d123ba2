"""Timbres by lot, what an ensemble makes of them, and patches as a soundfont."""

import math
import struct
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tinysoundfont")

from free.test_rendered_audio import peak_hz
from sine_soundfont import write_sine_soundfont
from solfa_free.effects import KNOTS_HZ, coloured, sounding_level
from solfa_free.ensembles import Ensemble
from solfa_free.patches import build_soundfont, read_patch
from solfa_free.pieces import SingleNote
from solfa_free.rendering import Renderer, RenderingConfig
from solfa_free.score import DRUM_CHANNEL, FAMILIES, Note, Score, ScoreError
from solfa_free.soundfonts import fetch_soundfont
from solfa_free.timbres import Colour, Timbre, TimbreConfig, draw_timbre

RATE = RenderingConfig.sample_rate
FLAT = (0.0,) * len(KNOTS_HZ)
NOTHING = TimbreConfig(
    family_probability=0.0, anywhere_probability=0.0, detune_cents=0.0, velocity_exponents=(1.0, 1.0),
    level_db=0.0, equaliser_db=0.0, reverberation_probability=0.0, low_pass_probability=0.0,
)  # fmt: skip


def draw(name: str, config: TimbreConfig = TimbreConfig(), seed: int = 0, **given: object) -> Timbre:  # noqa: B008
    notes = tuple(Note(start=0.0, end=1.0, pitch=60, program=8 * k, channel=k) for k in range(9))
    drums = Note(start=0.0, end=1.0, pitch=36, channel=DRUM_CHANNEL)
    arguments: dict = {"n_soundfonts": 3, "n_rooms": 3, "n_knots": 5, "has": lambda *_: True} | given
    return draw_timbre(Score(name=name, notes=(*notes, drums), seconds=1.0), seed, config, **arguments)


def tone(hz: float, seconds: float = 1.0) -> np.ndarray:
    return np.sin(2 * np.pi * hz * np.arange(round(seconds * RATE)) / RATE).astype(np.float32)


def gain_db(before: np.ndarray, after: np.ndarray) -> float:
    """In the middle, where a filter has settled."""
    middle = slice(len(before) // 4, 3 * len(before) // 4)
    return 10 * math.log10(np.square(after[middle]).mean() / np.square(before[middle]).mean())


def test_a_timbre_is_that_of_the_seed_and_the_piece() -> None:
    assert draw("a") == draw("a")
    assert draw("a") != draw("b")
    assert draw("a") != draw("a", seed=1)


def test_every_channel_draws_a_soundfont_of_its_own() -> None:
    counts = Counter(player for k in range(100) for player in draw(str(k)).players.values())
    assert {player: 250 < n < 420 for player, n in counts.items()} == dict.fromkeys(range(3), True)
    assert any(len(set(draw(str(k)).players.values())) > 1 for k in range(3))


def test_programs_are_replaced_as_often_as_is_asked() -> None:
    kinds: Counter[str] = Counter()
    for k in range(200):
        for (channel, program), new in draw(str(k)).programs.items():
            if channel == DRUM_CHANNEL:
                assert new == program
            elif new == program:
                kinds["kept"] += 1
            else:
                kinds["family" if new // 8 == program // 8 else "anywhere"] += 1
    shares = {kind: n / kinds.total() for kind, n in kinds.items()}
    assert shares["family"] == pytest.approx(0.7, abs=0.04)
    assert shares["anywhere"] == pytest.approx(0.1, abs=0.03)


def test_a_channel_goes_to_a_soundfont_that_has_its_program() -> None:
    played = draw("a", has=lambda player, program, is_drums: player == 2)
    assert set(played.players.values()) == {2}
    kept = draw("a", has=lambda player, program, is_drums: is_drums or program % 8 == 0)
    assert all(new % 8 == 0 for (channel, _), new in kept.programs.items() if channel != DRUM_CHANNEL)
    with pytest.raises(ScoreError, match="General MIDI"):
        draw("a", has=lambda *_: False)


def test_labels_hold_the_instruments_that_play() -> None:
    score = SingleNote(0, 60).score()
    timbre = Timbre(
        players={0: 0}, programs={(0, 0): 73}, cents={0: 0.0}, velocity_exponent=2.0, levels_db=(0.0,),
        colour=Colour(equaliser_db=FLAT),
    )  # fmt: skip
    [note] = timbre.dress(score).notes
    assert (note.program, note.family) == (73, "pipe")
    assert note.velocity == round(127 * (score.notes[0].velocity / 127) ** 2)


@pytest.mark.parametrize("cents", [-30.0, 0.0, 25.0])
def test_a_channel_is_out_of_tune_by_its_cents(tmp_path: Path, cents: float) -> None:
    renderer = Renderer(write_sine_soundfont(tmp_path / "sine.sf2"), RenderingConfig())
    score = Score(name="a4", notes=(Note(start=0.0, end=2.0, pitch=69),), seconds=2.0)
    assert peak_hz(renderer.sound(score, {0: cents})) == pytest.approx(440 * 2 ** (cents / 1200), abs=0.15)
    assert peak_hz(renderer.render(score)) == pytest.approx(440, abs=0.15)  # it is in tune again


def test_an_ensemble_with_nothing_drawn_plays_as_one_soundfont(tmp_path: Path) -> None:
    font = fetch_soundfont(str(write_sine_soundfont(tmp_path / "sine.sf2", range(8 * len(FAMILIES)))))
    config = RenderingConfig()
    band = Ensemble(soundfonts=(font, font), config=config, timbre=NOTHING, seed=0)
    piece = SingleNote(3, 60)
    played = band.open()(piece)
    alone = Renderer(font.path, config).render(piece.score())
    assert np.abs(played.waveform - alone).max() < 2e-3
    assert played.score.notes == piece.score().notes


def test_colour_moves_nothing_in_time() -> None:
    click = np.zeros(RATE, np.float32)
    click[5_000] = 1.0
    colour = Colour(
        equaliser_db=(3.0, -4.0, 5.0, -2.0, 1.0), room=2, reverberation_db=-9.0, low_pass_hz=9_000.0
    )
    heard = coloured(click, colour, RATE)
    assert len(heard) == len(click)
    assert int(np.abs(heard).argmax()) == 5_000
    assert np.abs(coloured(click, Colour(equaliser_db=FLAT), RATE) - click).max() < 1e-3


@pytest.mark.parametrize("knot", range(len(KNOTS_HZ)))
def test_the_equaliser_gives_each_knot_its_decibels(knot: int) -> None:
    gains = (6.0, -6.0, 3.0, -3.0, 5.0)
    before = tone(KNOTS_HZ[knot], 2.0)
    after = coloured(before, Colour(equaliser_db=gains), RATE)
    assert gain_db(before, after) == pytest.approx(gains[knot], abs=0.5)


def test_a_low_pass_leaves_what_is_below_and_takes_what_is_above() -> None:
    colour = Colour(equaliser_db=FLAT, low_pass_hz=8_000.0)
    assert gain_db(tone(4_000), coloured(tone(4_000), colour, RATE)) == pytest.approx(0, abs=0.2)
    assert gain_db(tone(11_500), coloured(tone(11_500), colour, RATE)) < -20


@pytest.mark.parametrize(("room", "seconds"), list(enumerate((0.4, 1.0, 2.2))))
def test_a_room_is_60_db_softer_after_its_time(room: int, seconds: float) -> None:
    click = np.zeros(4 * RATE, np.float32)
    click[0] = 1.0
    heard = coloured(click, Colour(equaliser_db=FLAT, room=room, reverberation_db=0.0), RATE)

    def level(at: float) -> float:
        part = heard[round((at + 0.02) * RATE) :][: RATE // 20]
        return 10 * math.log10(float(np.square(part).mean()) + 1e-20)

    assert level(0.0) - level(0.5 * seconds) == pytest.approx(30, abs=3)


def test_rests_do_not_lower_the_level_of_what_sounds() -> None:
    whole = tone(440, 1.0)
    assert sounding_level(np.concatenate((whole, np.zeros(9 * RATE))), RATE) == pytest.approx(
        0.5**0.5, rel=1e-2
    )
    assert sounding_level(np.zeros(RATE), RATE) == 0.0


def patch(root_hz: float, low: int, high: int, *, modes: int = 0b1100101, rate: int = 44_000) -> bytes:
    """A patch of one sine of 440 Hz that says its pitch is ``root_hz``; it is looped from crest to crest."""
    sine = (20_000 * np.sin(2 * np.pi * np.arange(2_000) / 100)).astype("<i2").tobytes()
    hz = [round(1000 * 440 * 2 ** ((pitch - 69) / 12)) for pitch in (low - 0.4, high + 0.4)]
    header = struct.pack(
        "<7sBIIIHIIIhB6B6B3B3BBhH36x", b"sine", 0, len(sine), 50, 3_850, rate, *hz, round(1000 * root_hz),
        0, 7,
        *(63, 63, 63, 141, 63, 63), *(246, 246, 246, 0, 0, 0), *(0,) * 6, modes, 60, 1024,
    )  # fmt: skip
    content = bytearray(239)
    content[:12], content[82], content[151], content[198] = b"GF1PATCH110\0", 1, 1, 1
    return bytes(content) + header + sine


@pytest.mark.parametrize("pitch", [57, 69, 76])
@pytest.mark.parametrize("modes", [0b1100101, 0b1101101])
def test_patches_become_a_soundfont_that_is_in_tune(tmp_path: Path, pitch: int, modes: int) -> None:
    tones = {5: read_patch(patch(440.0, 40, 90, modes=modes), "tone")}
    (tmp_path / "made.sf2").write_bytes(
        build_soundfont(tones, {36: read_patch(patch(440.0, 36, 36), "drum")})
    )
    renderer = Renderer(tmp_path / "made.sf2", RenderingConfig())
    assert (renderer.has(5, False), renderer.has(6, False), renderer.has(0, True)) == (True, False, True)
    score = Score(name="n", notes=(Note(start=0.0, end=1.0, pitch=pitch, program=5),), seconds=1.0)
    assert peak_hz(renderer.render(score)) == pytest.approx(440 * 2 ** ((pitch - 69) / 12), abs=0.4)


def test_a_sample_between_two_pitches_is_put_in_tune(tmp_path: Path) -> None:
    sharp = read_patch(patch(440.0 * 2 ** (0.3 / 12), 40, 90, rate=round(44_000 * 2 ** (0.3 / 12))), "tone")
    (tmp_path / "made.sf2").write_bytes(build_soundfont({0: sharp}, {}))
    score = Score(name="n", notes=(Note(start=0.0, end=1.0, pitch=69),), seconds=1.0)
    heard = peak_hz(Renderer(tmp_path / "made.sf2", RenderingConfig()).render(score))
    assert heard == pytest.approx(440, abs=0.4)


def test_what_is_no_patch_is_refused() -> None:
    with pytest.raises(ScoreError, match="no patch"):
        read_patch(b"RIFF", "a.pat")
    with pytest.raises(ScoreError, match="damaged"):
        read_patch(patch(440.0, 40, 90)[:-100], "a.pat")
