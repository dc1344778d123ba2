"""Decode a file to its end, and say what is wrong with it."""

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np

from solfa.data.audio import NOT_NUMBERS, AudioError, AudioInfo, probe_audio
from solfa.data.decoders import open_decoder

SILENCE_PEAK = 2.0**-15  # below the smallest step of 16 bits
MISSING_SECONDS = 0.5  # what a file may lack of its promised length: encoders pad and round


def check_audio(path: Path, *, min_seconds: float) -> AudioInfo:
    """What ``path`` holds, its length counted while decoding all of it.

    Raises AudioError if it is cut off, damaged, silent, shorter than ``min_seconds`` or not made of numbers.
    """
    promised = probe_audio(path)
    info = replace(promised, n_samples=_listen(path))
    if promised.seconds - info.seconds > MISSING_SECONDS:
        raise AudioError(
            f"truncated: {info.seconds:.1f} of {promised.seconds:.1f} s can be decoded; copy or download it "
            "again",
            path,
        )
    if _is_cut_off(path):
        raise AudioError("truncated: the file ends before its last block; copy or download it again", path)
    if not info.n_samples or info.seconds < min_seconds:
        raise AudioError(
            f"too short: {info.n_samples} samples, {info.seconds:.3g} s; remove it, or allow tracks shorter "
            f"than {min_seconds:g} s with --min-seconds",
            path,
        )
    return info


def _listen(path: Path) -> int:
    """How many samples can be decoded. Raises AudioError if they are silence, or not numbers."""
    n_samples, peak = 0, 0.0
    with closing(open_decoder(path)) as decoder:
        for block in decoder.blocks(0, None):
            n_samples += len(block)
            loudest = float(np.abs(block).max(initial=0.0))
            if not np.isfinite(loudest):
                raise AudioError(NOT_NUMBERS, path)
            peak = max(peak, loudest)
    if n_samples and peak < SILENCE_PEAK:
        raise AudioError("silent from start to end; remove it or export it again", path)
    return n_samples


def _is_cut_off(path: Path) -> bool:
    """Whether a container whose length libsndfile takes from what is there ends too early."""
    with path.open("rb") as file:
        head = file.read(12)
        size = path.stat().st_size
        if head[:4] == b"RIFF":
            promised = int.from_bytes(head[4:8], "little") + 8
            return (
                promised - 8 not in (0, 0xFFFFFFFF) and size < promised - 1
            )  # those two: "unknown", by streaming
        if head[:4] == b"FORM":
            return size < int.from_bytes(head[4:8], "big") + 8 - 1
        if head[:4] == b"OggS":
            file.seek(max(0, size - 2**17))  # a page has at most 65,307 bytes
            return not _ends_with_whole_page(file.read())
    return False


def _ends_with_whole_page(tail: bytes) -> bool:
    """Whether an Ogg stream is cut between pages, if at all; good ones may lack the mark of a last page."""
    page = tail.rfind(b"OggS")
    if page < 0 or len(tail) < page + 27:
        return False
    n_segments = tail[page + 26]
    n_bytes = 27 + n_segments + sum(tail[page + 27 : page + 27 + n_segments])
    return len(tail) >= page + n_bytes
