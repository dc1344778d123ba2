"""One compressed file behind one shape: libsndfile, or FFmpeg for what libsndfile cannot read.

A decoder gives blocks of samples from any point on. What it gives equals the same samples of a decode from
the beginning: where a codec remembers the past, decoding starts early and the first samples are dropped.
"""

from functools import partial

import av
import soundfile

from solfa.data.base import HIGHEST_RATE, LOWEST_RATE, AudioError, Decoder, Source
from solfa.data.containers import Contents, Part, look_into, parts_of
from solfa.data.ends import music_end
from solfa.data.ffmpeg import AV_CONTAINERS, AVDecoder
from solfa.data.joined import JoinedDecoder
from solfa.data.sndfile import LengthUnknownError, SoundFileDecoder

__all__ = ["AV_CONTAINERS", "AudioError", "Decoder", "open_decoder"]


def open_decoder(path: Source, *, take_damaged: bool = False) -> Decoder:
    """Open ``path`` with the library that can read what is in it, whatever its name says.

    Args:
        path: a file.
        take_damaged: leave out what cannot be decoded, instead of raising an error there.

    Raises:
        AudioError: no library can read it, or its rate is out of bounds.
        FileNotFoundError: there is none.
    """
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {str(path)!r} (any more). Prepare its folder again.")
    if path.stat().st_size == 0:
        raise AudioError("empty file (0 bytes); copy or download it again", path)
    contents = look_into(path)
    end = music_end(path, contents)
    parts = parts_of(path, contents.kind, end)
    n_zeros = path.stat().st_size - end
    known = f"{n_zeros} zeros lie at its end; cut them off" if n_zeros else ""
    open_part = partial(_open_part, contents=contents, take_damaged=take_damaged, known=known)
    if len(parts) == 1:
        return open_part(parts[0])
    return JoinedDecoder(parts, open_part, take_damaged=take_damaged)


def _open_part(part: Part, contents: Contents, take_damaged: bool, known: str) -> Decoder:
    decoder = _first_that_can(part, contents, take_damaged, known)
    if not LOWEST_RATE <= decoder.sample_rate <= HIGHEST_RATE:
        decoder.close()
        raise AudioError(
            f"its sample rate is {decoder.sample_rate} Hz, and those from {LOWEST_RATE} to {HIGHEST_RATE} Hz "
            "are read; convert it to 48000 Hz, or correct its header",
            part.path,
        )
    return decoder


def _first_that_can(part: Part, contents: Contents, take_damaged: bool, known: str) -> Decoder:
    def open_other(detail: str) -> Decoder:
        try:
            return AVDecoder(part, detail=detail)
        except (av.FFmpegError, ValueError):
            raise AudioError(
                f"damaged ({detail.rstrip('.')}); copy or download it again", part.path
            ) from None

    if contents.is_for_libsndfile and not take_damaged:
        try:
            return SoundFileDecoder(part, open_other)
        except (soundfile.LibsndfileError, LengthUnknownError):
            pass
    try:
        return AVDecoder(part, take_damaged=take_damaged, detail=known)
    except AudioError:
        raise
    except (av.FFmpegError, ValueError) as error:
        raise AudioError(_why_unreadable(contents, error), part.path) from None


def _why_unreadable(contents: Contents, error: Exception) -> str:
    if contents.kind == "mp4":
        return "truncated: its index (the end of the file) is missing; copy or download it again"
    if contents.kind in ("riff", "flac", "ogg", "aiff", "matroska", "caf", "w64") or contents.tag_bytes:
        return "cut short inside its header, or damaged; copy or download it again"
    detail = error.strerror if isinstance(error, av.FFmpegError) else str(error)
    return f"not audio, or a format that no decoder knows ({detail}); convert it to FLAC or remove it"
