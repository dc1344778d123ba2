"""Decode a file to its end, and say what is wrong with it: by itself, or while somebody else reads it."""

import logging
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
from jaxtyping import Float

from solfa.data.audio import AudioError, AudioInfo, AudioReader, check_loudness, mix
from solfa.data.base import AGAIN, MISSING_SECONDS, Damage, DamagedError, Decoder, damaged
from solfa.data.containers import Contents, Part, count_mpeg_samples, look_into
from solfa.data.ends import music_end, open_music
from solfa.data.ffmpeg import AVDecoder
from solfa.data.ogg import ends_inside_page, find_damage
from solfa.data.promises import CLUSTERED, bytes_behind, second_beginning, share_there

log = logging.getLogger(__name__)

SILENCE_PEAK = 2.0**-15  # below the smallest step of 16 bits
CANCELLED_POWER = 1e-5  # of a mix beside its channels: 50 dB less; losses of codecs leave more than nothing
OVER_FULL_SCALE = {True: 1.1, False: 4.0}  # of floats, and of codecs with losses, which overshoot by nature
SHORTFALL_SECONDS = 0.02  # that an Ogg file may lack if one of its pages is numbered or summed wrong


def check_audio(path: Path, *, min_seconds: float = 0.0, take_damaged: bool = False) -> AudioInfo:
    """What ``path`` holds, its length counted while decoding all of it.

    This is the one judgement of a file: what it refuses is neither learned from nor embedded.

    Args:
        path: the file.
        min_seconds: shorter ones are refused.
        take_damaged: take what is whole of a file that is damaged or cut off; ``damage`` says what is not.

    Raises:
        AudioError: it is cut off, damaged, silent, too loud, shorter than ``min_seconds``, or not made of
            numbers.
        FileNotFoundError: it is gone.
    """
    try:
        return _listen(path, min_seconds)
    except DamagedError as error:
        if not take_damaged:
            raise
        return _listen(path, min_seconds, error)


def _listen(path: Path, min_seconds: float, known: DamagedError | None = None) -> AudioInfo:
    """What a file holds; of one whose damage is known, what is left."""
    with JudgingReader(path, known=known) as reader:
        reader.listen()
        return reader.judge(min_seconds=min_seconds)


class JudgingReader(AudioReader):
    """An open file that is judged by what is read of it, from its beginning to its end and without gaps.

    Args:
        path: the file.
        sample_rate: of what is read, in Hz; the file's own if None. The file is judged at its own.
        known: its damage, if that is known: what cannot be decoded is left out.

    Raises:
        AudioError: as ``check_audio``; here, while it is read, or by ``judge``.
    """

    def __init__(
        self, path: Path, *, sample_rate: int | None = None, known: DamagedError | None = None
    ) -> None:
        super().__init__(path, sample_rate=sample_rate, take_damaged=known is not None)
        self.known = known
        self._heard = _Heard(path)

    def __enter__(self) -> "JudgingReader":
        return self

    def listen(self) -> None:
        """Read the file to its end, only to judge it."""
        for _ in self._blocks(0, None):
            pass

    def judge(self, *, min_seconds: float = 0.0) -> AudioInfo:
        """What the file holds, when all of it has been read. Raises AudioError."""
        decoder, heard, known = self._decoder, self._heard, self.known
        info = AudioInfo(
            path=heard.path,
            n_samples=heard.n_samples,
            sample_rate=decoder.sample_rate,
            n_channels=decoder.n_channels,
            decoder=decoder.name,
            damage=() if known is None else tuple(getattr(decoder, "damage", ())) or (known.damage,),
        )
        if known is None:
            _check_whole(info, decoder, look_into(self.path))
        if not info.n_samples or info.seconds < min_seconds:
            raise AudioError(
                f"too short: {info.n_samples} samples, {info.seconds:.3g} s; remove it, or allow tracks "
                f"shorter than {min_seconds:g} s with --min-seconds",
                self.path,
            )
        heard.judge(holds_floats=getattr(decoder, "holds_floats", False))
        return info

    def _blocks(self, start: int, n_samples: int | None) -> Iterator[Float[np.ndarray, "sample channel"]]:
        for block in super()._blocks(start, n_samples):
            self._heard.add(block[max(0, self._heard.n_samples - start) :])  # once, though read twice
            start += len(block)
            yield block


class _Heard:
    """What was heard of a file: how long and loud, and whether its channels cancel each other."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.n_samples, self.peak = 0, 0.0
        self.lowest, self.highest = np.inf, -np.inf  # of the mix
        self.power_of_mix, self.power_of_channels = 0.0, 0.0

    def add(self, block: Float[np.ndarray, "sample channel"]) -> None:
        """Hear some more. Raises AudioError if it is no sound."""
        if not len(block):
            return
        peak = float(np.abs(block).max())
        check_loudness(peak, self.path)
        mixed = mix(block)
        self.n_samples += len(block)
        self.peak = max(self.peak, peak)
        self.lowest, self.highest = (
            min(self.lowest, float(mixed.min())),
            max(self.highest, float(mixed.max())),
        )
        self.power_of_mix += float(np.vdot(mixed, mixed))
        self.power_of_channels += float(np.square(block).sum()) / block.shape[1]

    def judge(self, *, holds_floats: bool) -> None:
        """Refuse what is silent as a mix. Raises AudioError."""
        if self.peak < SILENCE_PEAK:
            raise AudioError("silent from start to end; remove it or export it again", self.path)
        if self.power_of_mix < CANCELLED_POWER * self.power_of_channels:
            raise AudioError(
                "its channels are in opposite phase and cancel each other: their mix is silent; reverse one "
                "of them, or keep one channel",
                self.path,
            )
        if self.highest - self.lowest < SILENCE_PEAK and self.n_samples > 1:
            raise AudioError(
                f"silent from start to end: every sample is {self.highest:.3g}; remove it or export it again",
                self.path,
            )
        if self.peak > OVER_FULL_SCALE[holds_floats]:
            log.warning(
                "%r reaches %.3g times full scale; if it was not meant to, export it again.",
                str(self.path),
                self.peak,
            )


def _check_whole(info: AudioInfo, decoder: Decoder, contents: Contents) -> None:
    """Refuse a file that holds less than it promises, or more than is read. Raises AudioError."""
    path, end = info.path, Damage(info.seconds, 0.0)  # nobody knows how much is missing there
    promised = max(decoder.n_samples / decoder.sample_rate, _stated_seconds(decoder, contents))
    share = share_there(path, contents)
    if share < 1.0 and contents.kind not in CLUSTERED:
        promised = max(promised, info.seconds / max(share, 1e-9))
    if contents.kind == "ogg":
        _check_pages(path, promised - info.seconds, end)
    if isinstance(decoder, AVDecoder) and decoder.is_lossless and decoder.ends_broken and share == 1.0:
        raise DamagedError(f"truncated: the file ends inside a block of its codec; {AGAIN}", path, end)
    if promised - info.seconds > MISSING_SECONDS or (share < 1.0 and contents.kind not in CLUSTERED):
        raise DamagedError(
            f"truncated: {info.seconds:.1f} of {promised:.1f} s can be decoded; {AGAIN}",
            path,
            Damage(info.seconds, promised - info.seconds),
        )
    if share < 1.0:
        raise DamagedError(f"truncated: the file ends before its last block; {AGAIN}", path, end)
    _check_nothing_is_left(info, contents)


def _check_nothing_is_left(info: AudioInfo, contents: Contents) -> None:
    """Refuse a file that holds more than its header promises, and so more than is read. Raises AudioError."""
    with open_music(info.path) as file:
        place = second_beginning(file, contents)
    if place is not None:
        raise AudioError(
            f"two files in one: another begins at byte {place}, and would not be read; separate them, or "
            "convert each to FLAC",
            info.path,
        )
    n_promised, n_behind = bytes_behind(info.path, contents)
    there = info.seconds
    if contents.kind == "flac":
        with closing(AVDecoder(Part(info.path, stop=music_end(info.path)))) as other:
            there = other.n_samples / other.sample_rate
    elif n_promised:
        there *= 1 + n_behind / n_promised
    if there - info.seconds > MISSING_SECONDS:
        raise AudioError(
            f"its header promises {info.seconds:.1f} s, and there are {there:.1f} s; correct the header, or "
            "convert it to FLAC with a program that reads all of it",
            info.path,
        )


def _stated_seconds(decoder: Decoder, contents: Contents) -> float:
    """Length by a header that the decoder does not go by; 0 if there is none."""
    if contents.kind == "mpeg":
        counted = count_mpeg_samples(contents)
        return counted[0] / counted[1] if counted else 0.0
    if isinstance(decoder, AVDecoder):
        return decoder.n_samples / decoder.sample_rate + max(0.0, decoder.missing_seconds())
    return 0.0


def _check_pages(path: Path, missing_seconds: float, end: Damage) -> None:
    """Refuse an Ogg file with damaged or missing pages, or cut inside one. Raises AudioError."""
    with open_music(path) as file:
        damage = find_damage(file)
        if damage and (missing_seconds > SHORTFALL_SECONDS or not damage.is_gap):
            raise damaged(path, damage.start, max(0.0, missing_seconds), damage.what)
        if ends_inside_page(file, music_end(path)):
            raise DamagedError(f"truncated: the file ends before its last block; {AGAIN}", path, end)
