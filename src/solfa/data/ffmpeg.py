"""MP3, AAC (m4a), Matroska and all else, by the FFmpeg libraries inside PyAV."""

import logging
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from fractions import Fraction
from functools import cached_property
from typing import Any, NamedTuple

import av
import numpy as np
from jaxtyping import Float

from solfa.data.base import MISSING_SECONDS, PREROLL_SAMPLES, AudioError, Damage, damaged
from solfa.data.containers import Part, name_codec
from solfa.data.forward import ForwardReader, Leveller, Placed
from solfa.errors import ArgumentError

# By name, so that no text file is taken for a playlist and no playlist leads out of the folder.
AV_CONTAINERS = (
    "aac,ac3,aiff,amr,ape,asf,au,avi,caf,dsf,dts,eac3,flac,flv,iff,"
    "matroska,mlp,mov,mp3,mpc,mpc8,mpeg,mpegts,ogg,oma,rm,shn,tak,truehd,tta,w64,wav,wv"
)
FULL_SCALE = {"u8": 2.0**7, "s16": 2.0**15, "s32": 2.0**31, "flt": 1.0, "dbl": 1.0}
SAMPLES_AT_ONCE = 2**14  # frames are joined to so many: each block costs time
LEAP_SECONDS = 30.0  # over so much, a new beginning that decodes nothing in between is faster
LOSSLESS = (
    "flac",
    "alac",
    "wavpack",
    "tta",
    "ape",
    "pcm_",
    "mlp",
    "truehd",
    "dsd_",
    "shorten",
    "tak",
    "wmalossless",
)
STATING = {"tta", "wv", "ape", "flac", "mpc", "mpc8", "dsf", "tak", "rm"}  # their length, by the header
JITTER_SECONDS = 0.05  # of time stamps in containers with a coarse clock

logging.getLogger("libav").setLevel(
    logging.CRITICAL
)  # it warns per damaged packet; we answer once, by AudioError


class _Frame(NamedTuple):
    """What came out of a decoder at once."""

    tick: int | None  # where it begins by its time stamp
    samples: Float[np.ndarray, "channel sample"]
    sample_rate: int


class AVDecoder:
    """A file by FFmpeg.

    What cannot be decoded raises an error that says at which second. Up to ``MISSING_SECONDS`` of a codec
    with losses is silence instead, as in every player: of an MP3 a broken frame is often all that is wrong.

    Args:
        part: the file.
        take_damaged: leave out what cannot be decoded, of any length; what follows moves up.
        detail: what is known about its damage: what another decoder said, or what lies behind the music.
    """

    name = f"PyAV {av.__version__} (FFmpeg {av.ffmpeg_version_info})"

    def __init__(self, part: Part, *, take_damaged: bool = False, detail: str = "") -> None:
        self.part, self.path, self.take_damaged, self._detail = part, part.path, take_damaged, detail
        self.damage: list[Damage] = []  # what was left out so far
        self.ends_broken = False  # what came last could not be decoded
        self._failed_seconds = 0.0  # of packets that could not be decoded since the last that could
        self._open_files = ExitStack()
        try:
            self._open()
            codec = self.stream.codec_context
            if codec is None:
                raise AudioError(
                    f"its codec ({name_codec(self.path)}) is known to no decoder here; convert it to FLAC, "
                    "or remove it",
                    self.path,
                )
            self.sample_rate, self.n_channels = codec.sample_rate, codec.channels
            if not self.sample_rate or not self.n_channels:
                raise ArgumentError("no audio stream")
            self.is_lossless = codec.name.startswith(LOSSLESS)
            self.holds_floats = codec.name.startswith("pcm_f")
            kinds = self.container.format.name.split(",")
            # MP4 lists its packets; other containers are read from the beginning, without decoding what is
            # not wanted; and where the clock is coarser than a sample (Matroska), all is decoded.
            self._is_indexed = "mp4" in kinds and not take_damaged
            self._is_mpeg = "mp3" in kinds
            clock = Fraction(self.stream.time_base or 1)  # seconds per tick
            self._ticks = 1 / (clock * self.sample_rate)  # per sample
            self._ticks_per_second = float(1 / clock)
            self._is_exact = self._ticks.denominator == 1 and "ogg" not in kinds
            # What FFmpeg makes of Opus never forgets what came before to the bit.
            self._skips = self._is_exact and not take_damaged and codec.name != "opus"
            self._first_tick = self.stream.start_time or 0
            leap = round(LEAP_SECONDS * self.sample_rate) if self._skips else None
            self._reader = ForwardReader(self._decode, leap)
        except BaseException:
            self.close()
            raise

    def blocks(self, start: int, n_samples: int | None) -> Iterator[Float[np.ndarray, "sample channel"]]:
        """Samples from ``start`` on, in blocks of the codec's own frames."""
        stop = None if n_samples is None else start + n_samples
        if self._is_indexed:  # after these comes the encoder's padding
            stop = self.n_samples if stop is None else min(stop, self.n_samples)
        try:
            yield from self._reader.blocks(start, stop)
        except av.FFmpegError as error:
            raise damaged(self.path, start / self.sample_rate, detail=error.strerror or "") from None

    def close(self) -> None:
        """Let go of the file."""
        self._open_files.close()

    @cached_property
    def n_samples(self) -> int:
        """Samples by the container's count; found only when asked for, since some must be walked through."""
        if self._is_indexed and self.stream.duration:
            return round(self.stream.duration / self._ticks)
        end = self._first_tick
        with suppress(av.FFmpegError):  # who decodes it will say where it breaks
            for packet, begins in self._packets(0):  # not decoded, so this is quick
                is_junk = self._is_mpeg and bytes(memoryview(packet)[:2]) < b"\xff\xe0"
                if packet.size and not is_junk:
                    end = max(end, begins + (packet.duration or 0) - self._padding(packet))
        return round((end - self._first_tick) / self._ticks)

    def missing_seconds(self) -> float:
        """What its header promises beyond its last packet, of whatever stream; 0 if it promises nothing."""
        kinds = set(self.container.format.name.split(","))
        if kinds & {"matroska", "flv"} and self.container.duration:
            return self.container.duration / av.time_base - self._end_of_all_streams()
        if kinds & STATING and self.stream.duration:
            return float(self.stream.duration / self._ticks_per_second) - self.n_samples / self.sample_rate
        return 0.0

    def _end_of_all_streams(self) -> float:
        """Where the last packet ends, in seconds."""
        if len(self.container.streams) == 1:
            return self.n_samples / self.sample_rate
        self._open()
        self._is_at_beginning = False
        ends = (
            (packet.pts + (packet.duration or 0)) * packet.time_base
            for packet in self.container.demux()
            if packet.pts is not None
        )
        return float(max(ends, default=0))

    def _open(self) -> None:
        """Open the file anew, at its beginning."""
        self._open_files.close()
        # An open file rather than a name: names are bytes, and some look like addresses.
        file = self._open_files.enter_context(self.part.open())
        options = {"format_whitelist": AV_CONTAINERS}
        self.container: Any = self._open_files.enter_context(
            av.open(file, options=options, metadata_errors="replace")
        )
        if not self.container.streams.audio:
            raise ArgumentError("no audio stream")
        self.stream = self.container.streams.audio[0]
        self._is_at_beginning = True

    def _decode(self, start: int) -> Iterator[Placed]:
        """Blocks from sample ``start`` on, or an earlier one, without gaps."""
        begin = max(0, start - PREROLL_SAMPLES) if self._skips else 0
        leveller, position = Leveller(self.sample_rate, self.n_channels), 0
        for number, frame in enumerate(_joined(self._without_gaps(begin))):
            place = None if frame.tick is None else round((frame.tick - self._first_tick) / self._ticks)
            if begin and not number:
                if place is None or leveller.is_change(frame.sample_rate):
                    # Another stretch: only a decode of all says where its samples lie.
                    yield from self._decode(0)
                    return
                position = place
            if leveller.is_change(frame.sample_rate):
                rest = leveller.rest()
                if self._skips and place is not None:
                    rest = _fitted(rest, place - position)
                yield position, rest
                position += len(rest)
            block = leveller.level(frame.samples.T, frame.sample_rate)
            # The codec remembers too little for what comes before ``start``.
            n_early = min(len(block), max(0, start - position)) if begin else 0
            yield position + n_early, block[n_early:]
            position += len(block)
        yield position, leveller.rest()

    def _without_gaps(self, begin: int) -> Iterator[_Frame]:
        """Frames from one that holds sample ``begin`` on, with silence for the little that is lost."""
        lost = 0.0  # s, of silence so far
        expected = None if begin else float(self._first_tick)
        frames = self._frames(begin)
        while True:
            try:
                frame = next(frames)
            except StopIteration:
                self.ends_broken = bool(self._failed_seconds)
                return
            except av.FFmpegError as error:  # the container makes no sense from here on
                at = ((expected or 0.0) - self._first_tick) / self._ticks_per_second
                self.damage.append(Damage(at, 0.0))
                if self.take_damaged:
                    return
                raise damaged(self.path, at, detail=self._detail or error.strerror or "") from None
            gap = self._gap(frame.tick, expected)
            if gap:
                at = ((expected or 0.0) - self._first_tick) / self._ticks_per_second
                lost += gap
                if self.take_damaged:
                    self.damage.append(Damage(at, gap))
                elif self.is_lossless or lost > MISSING_SECONDS:
                    raise damaged(self.path, at, gap, self._detail)
                elif self._skips:
                    n_silent = round(gap * frame.sample_rate)
                    silence = np.zeros((len(frame.samples), n_silent), np.float32)
                    yield _Frame(round(expected or 0), silence, frame.sample_rate)
            yield frame
            begins = expected if frame.tick is None else frame.tick
            length = frame.samples.shape[1] / frame.sample_rate * self._ticks_per_second
            expected = None if begins is None else begins + length

    def _gap(self, tick: int | None, expected: float | None) -> float:
        """Seconds that are missing before a frame."""
        failed, self._failed_seconds = self._failed_seconds, 0.0
        if expected is None:
            return 0.0
        if tick is None:
            return failed
        by_stamps = (tick - expected) / self._ticks_per_second
        if self._is_exact:
            return by_stamps if by_stamps * self.sample_rate >= 1 else 0.0
        return by_stamps if by_stamps > (JITTER_SECONDS if self.is_lossless else MISSING_SECONDS) else failed

    def _frames(self, begin: int) -> Iterator[_Frame]:
        """What the codec makes of the packets; those that it cannot decode are counted."""
        self._failed_seconds = 0.0
        for packet, begins in self._packets(begin):
            try:
                frames = packet.decode()
            except av.FFmpegError:
                self._failed_seconds += (packet.duration or 1) / self._ticks_per_second
                continue
            shift = 0 if packet.pts is None else begins - packet.pts
            for frame in frames:
                tick = None if frame.pts is None else frame.pts + shift
                yield _Frame(tick, _floats(frame), frame.sample_rate or self.sample_rate)

    def _packets(self, begin: int) -> Iterator[tuple[Any, int]]:
        """Packets in their order and where they begin, in ticks of a clock that never goes back.

        Those that end before sample ``begin`` are left out where that is safe.
        """
        if not self._is_at_beginning:
            self._open()
        self._is_at_beginning = False
        wanted = int(self._first_tick + begin * self._ticks)  # a comparison of fractions takes long
        if self._is_indexed and begin:
            self.container.seek(wanted, stream=self.stream)
        shift, next_tick = 0, None
        back = MISSING_SECONDS * self._ticks_per_second
        for packet in self.container.demux(self.stream):
            begins = packet.pts + shift if packet.pts is not None else next_tick or self._first_tick
            if next_tick is not None and begins < next_tick - back:  # another file, joined to this one
                shift += next_tick - begins
                begins = next_tick
            next_tick = begins + (packet.duration or 0)
            # The first packet says how much of the beginning is no music, also of packets after it.
            if not begin or next_tick > wanted or not packet.size or not self._skips:
                yield packet, begins

    def _padding(self, packet: Any) -> int:
        """Ticks at the end of a packet that are not played."""
        if not packet.has_sidedata("skip_samples"):
            return 0
        n_samples = int.from_bytes(bytes(packet.get_sidedata("skip_samples"))[4:8], "little")
        return round(n_samples * self._ticks)


def _joined(frames: Iterator[_Frame]) -> Iterator[_Frame]:
    """The same samples in fewer frames; what was joined comes before an error."""
    waiting: list[_Frame] = []
    n_waiting = 0
    try:
        for frame in frames:
            first = waiting[0] if waiting else frame
            is_alike = first.sample_rate == frame.sample_rate and len(first.samples) == len(frame.samples)
            if not is_alike or n_waiting >= SAMPLES_AT_ONCE:
                yield _as_one(waiting)
                waiting, n_waiting = [], 0
            waiting.append(frame)
            n_waiting += frame.samples.shape[1]
    except (AudioError, av.FFmpegError, OSError) as error:
        if waiting:
            yield _as_one(waiting)
        raise error
    if waiting:
        yield _as_one(waiting)


def _as_one(frames: list[_Frame]) -> _Frame:
    return frames[0]._replace(samples=np.concatenate([frame.samples for frame in frames], axis=1))


def _fitted(rest: Float[np.ndarray, "sample channel"], n_samples: int) -> Float[np.ndarray, "sample channel"]:
    """A rest that is as long as the time stamps say: rounding may give or take a sample or two."""
    if not 0 < abs(n_samples - len(rest)) <= 2:
        return rest
    return np.pad(rest[:n_samples], ((0, max(0, n_samples - len(rest))), (0, 0)))


def _floats(frame: Any) -> Float[np.ndarray, "channel sample"]:
    """The samples of a frame with full scale at 1."""
    name = frame.format.name
    if name == "fltp":  # what most codecs give; as ``to_ndarray``, in a third of the time
        planes = [np.frombuffer(plane, np.float32, frame.samples) for plane in frame.planes]
        return np.concatenate(planes).reshape(len(planes), -1)
    if name.removesuffix("p") not in FULL_SCALE:
        (frame,) = av.AudioResampler(format="flt").resample(frame)
        name = "flt"
    values = frame.to_ndarray()
    if not frame.format.is_planar:
        values = values.reshape(-1, frame.layout.nb_channels).T
    if values.dtype == np.float32:
        return values
    samples = values.astype(np.float32)
    if values.dtype == np.uint8:
        samples -= np.float32(2**7)
    return samples * np.float32(1 / FULL_SCALE[name.removesuffix("p")])
