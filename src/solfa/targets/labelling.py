"""Fitted target + tracks -> stored codes; a bad file is refused with its reason, the rest goes on.

It stands here, and not where hidden states are stored, because it needs targets and clips, and no encoder.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Int
from torch import Tensor

from solfa import checkpoint, runs
from solfa.config import Config, from_dict, identity
from solfa.data.audio import read_padded
from solfa.data.clips import Clips
from solfa.data.manifest import Track
from solfa.data.prepare import write_refused
from solfa.data.refused import Refused, refusal
from solfa.data.stored_frames import (
    ClipStates,
    CodesDescription,
    StoredCodeFrames,
    StoredFramesError,
    StoredHiddenStates,
)
from solfa.files import FolderLock
from solfa.frames import seconds_to_samples
from solfa.runs import Run
from solfa.targets import (
    Codes,
    CodesShape,
    StoredCodesConfig,
    Target,
    TargetConfig,
    TargetError,
    Values,
    build_target,
)
from solfa.targets.hidden import HiddenRVQ, HiddenRVQConfig
from solfa.targets.teacher import TeacherCodes

WINDOW_SECONDS = 30.0  # labelled in one go, besides context
STRETCH = "a stretch of a file, and codes are of whole files; prepare the stretch as a file"
ROWS_AT_ONCE = 10_000  # stored hidden states, likewise
REFUSED = "refused.jsonl"
CURE = "Name a run of mel_rvq, rvq_vae, kmeans_75hz or hidden_rvq, or of an encoder trained on codes."


@dataclass
class Labelled:
    """What one run did."""

    n_labelled: int = 0
    n_known: int = 0  # were there already
    refused: list[Refused] = field(default_factory=list)


class AudioSource:
    """Windows of audio with context on both sides; zeros beyond the ends of a track, as in training.

    Args:
        target: to be given its reach as context.
        windows_at_once: in one forward pass.
        device: of the target.
    """

    id = "audio"

    def __init__(self, target: Target, windows_at_once: int, device: torch.device) -> None:
        self.grid, self.windows_at_once, self.device = target.grid, windows_at_once, device
        self.context_frames = -(-target.context_samples // target.grid.hop_length)

    def n_frames(self, track: Track) -> int:
        """Whole hops of a track."""
        return seconds_to_samples(track.seconds, self.grid.sample_rate) // self.grid.hop_length

    def pieces(self, track: Track) -> Iterator[Clips]:
        """Windows of equal length; the last one goes on in silence."""
        n_frames, hop = self.n_frames(track), self.grid.hop_length
        window = min(self.grid.seconds_to_frames(WINDOW_SECONDS), n_frames)
        context = self.context_frames * hop
        starts = range(0, n_frames, window)
        for number in range(0, len(starts), self.windows_at_once):
            # Each is read by itself: what is resampled in one go may round otherwise than in parts.
            read = [
                read_padded(
                    track.path, sample_rate=self.grid.sample_rate, start=first * hop - context,
                    n_samples=window * hop + 2 * context,
                    end=seconds_to_samples(track.seconds, self.grid.sample_rate),
                    take_damaged=bool(track.damage),
                )
                for first in starts[number : number + self.windows_at_once]
            ]  # fmt: skip
            heard = torch.from_numpy(np.stack(read))
            waveform = heard[:, context : context + window * hop]
            none = torch.zeros(len(read), dtype=torch.long)
            clips = Clips(
                waveform, self.grid.sample_rate, none, none, surroundings=heard, context_samples=context
            )
            yield clips.to(self.device)


class HiddenSource:
    """Stored hidden states; no frame needs its neighbours."""

    def __init__(self, states: StoredHiddenStates, device: torch.device) -> None:
        self.states, self.device, self.id = states, device, states.source

    def n_frames(self, track: Track) -> int:
        """Stored frames of a track."""
        return self.states.n_frames(track.content_hash)

    def pieces(self, track: Track) -> Iterator[Clips]:
        """Clips of one piece each, without audio."""
        n_frames, none = self.n_frames(track), torch.zeros(1, dtype=torch.long)
        for start in range(0, n_frames, ROWS_AT_ONCE):
            rows = self.states.rows(track.content_hash, start, min(start + ROWS_AT_ONCE, n_frames))
            hidden = ClipStates(torch.from_numpy(rows[None]), self.states.grid, self.states.source)
            clips = Clips(torch.zeros(1, 0), self.states.grid.sample_rate, none, none, hidden=hidden)
            yield clips.to(self.device)


Source = AudioSource | HiddenSource  # ``pieces`` lie one after the other, and hold all frames or some more


@dataclass(frozen=True, kw_only=True)
class RunTarget:
    """A target of codes as a run left it."""

    target: Target
    shape: CodesShape
    config: TargetConfig | HiddenRVQConfig  # of the target
    run: Path
    frames_layer: int | None  # of stored hidden states, that the run was fitted to

    @property
    def id(self) -> str:
        """SHA-256 of configuration and weights."""
        values = {
            name: value for name, value in identity(self.config).items() if name != "fitted"
        }  # a path, no matter
        digest = hashlib.sha256(json.dumps(values, sort_keys=True).encode())
        for name, tensor in sorted(self.target.state_dict().items()):
            digest.update(name.encode())
            digest.update(tensor.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
        return digest.hexdigest()


@dataclass(frozen=True, kw_only=True)
class _Chosen(Config):
    target: TargetConfig | HiddenRVQConfig


def load_target(run: Path, number: int | None = None) -> RunTarget:
    """The target that the run in ``run`` fitted, or learned from; frozen, in eval mode.

    Args:
        run: a run folder, or one of its ``step-*`` folders.
        number: which of its targets; if None the first that gives codes.

    Raises:
        TargetError: there is none that gives codes.
    """
    with runs.opened(run, TargetError, f"There is no run at {run}. {CURE}") as there:
        return _load_target(there, number)


def _load_target(run: Run, number: int | None) -> RunTarget:
    found = [from_dict(_Chosen, {"target": stored.settings}).target for stored in run.targets]
    shapes = [_shape(config) for config in found]
    if number is None:
        number = next((i for i, shape in enumerate(shapes) if shape), 0)
    shape = shapes[number] if number < len(shapes) else None
    if shape is None:
        raise TargetError(
            f"The run in {run.folder} has {len(found)} targets, and number {number}, counted from 0, is none "
            f"that gives codes of audio or of hidden states. {CURE}"
        )
    config = found[number]
    is_codec = "codec" in run.objective  # then its codes fetch the weights themselves
    weights = {} if is_codec else run.part(run.targets[number].prefix)
    if not is_codec:
        checkpoint.check_sizes(config, weights)
    target = HiddenRVQ(config) if isinstance(config, HiddenRVQConfig) else build_target(config)
    if is_codec:
        target.load_fitted()
    else:
        target.load_state_dict(weights)
    return RunTarget(
        target=target.eval().requires_grad_(False), shape=shape, config=config, run=run.folder,
        frames_layer=run.values.get("data", {}).get("frames_layer"),
    )  # fmt: skip


def label_tracks(
    tracks: Sequence[Track],
    fitted: RunTarget,
    out: Path,
    *,
    frames: Path | None = None,
    windows_at_once: int = 4,
    device: torch.device | str = "cpu",
    progress: Callable[[int, str], None] | None = None,
) -> Labelled:
    """Store the codes of tracks that are not there yet; bad files are reported and left out.

    A code is the one that the target gives in training, where it hears enough context
    (``data.context_seconds`` of its reach at least). Interrupted at any moment, all whole tracks are kept.

    Args:
        tracks: known by the content that their manifest states.
        fitted: what gives the codes.
        out: the folder to fill.
        frames: folder of stored hidden states, for a target that is made for them.
        windows_at_once: windows of 30 s in one forward pass.
        device: that computes.
        progress: told how many tracks are done, and the name of the last.

    Raises:
        TargetError: the target needs hidden states and gets none or others, or the other way round.
        StoredFramesError: ``out`` holds codes of another target, or ``frames`` is not of use.
        BlockingIOError: another process is writing to ``out``.
    """
    device = torch.device(device)
    target = fitted.target.to(device)
    source = _source(fitted, frames, windows_at_once, device)
    done = Labelled()
    with FolderLock(out):
        stored = StoredCodeFrames.begin(out, _description(fitted, source))
        for n_done, track in enumerate(tracks, start=1):
            if _is_known(track, stored, source):
                done.n_known += 1
            elif isinstance(codes := _codes(track, target, source), Refused):
                done.refused.append(codes)
            else:
                stored.write(track.content_hash, codes)
                done.n_labelled += 1
            if progress:
                progress(n_done, track.path.name)
        write_refused(done.refused, out / REFUSED)
    return done


def _is_known(track: Track, stored: StoredCodeFrames, source: Source) -> bool:
    """Whether all codes of a track are there."""
    n_frames = source.n_frames(track) if isinstance(source, AudioSource) else 1
    return not track.start_seconds and stored.holds(track.content_hash, n_frames)


def _codes(track: Track, target: Target, source: Source) -> Int[np.ndarray, "frame codebook"] | Refused:
    """The codes of a track, or why there are none."""
    if track.start_seconds:
        return Refused(path=track.path, reason=STRETCH)
    try:
        n_frames = source.n_frames(track)
        if not n_frames:
            return Refused(path=track.path, reason="shorter than a frame; take it out of the manifest")
        parts = [_rows(target.with_context(clips)) for clips in source.pieces(track)]
    except StoredFramesError as error:
        return Refused(path=track.path, reason=str(error))
    except Exception as error:  # of whatever class: no file ends the labelling of the others
        return refusal(track.path, error)
    return torch.cat(parts)[:n_frames].numpy()


def _rows(codes: Codes | Values) -> Int[Tensor, "frame codebook"]:
    return rearrange(codes.values, "clip codebook frame -> (clip frame) codebook").to(torch.int16).cpu()


def _source(fitted: RunTarget, frames: Path | None, windows_at_once: int, device: torch.device) -> Source:
    if isinstance(fitted.target, TeacherCodes):
        raise TargetError(
            f"The target of {fitted.run} is codes of a teacher, which 'solfa train distill' alone makes. Fit "
            "hidden_rvq to stored hidden states of that teacher, and name its run."
        )
    wants_frames = isinstance(fitted.target, HiddenRVQ)
    if wants_frames and frames is None:
        raise TargetError(
            f"The target of {fitted.run} is made for stored hidden states. Name their folder with --frames."
        )
    if frames is None:
        return AudioSource(fitted.target, windows_at_once, device)
    if not wants_frames:
        raise TargetError(f"The target of {fitted.run} hears audio. Leave out --frames.")
    return HiddenSource(StoredHiddenStates(frames, fitted.frames_layer), device)


def _description(fitted: RunTarget, source: Source) -> CodesDescription:
    return CodesDescription(
        n_codebooks=fitted.shape.n_codebooks,
        codebook_size=fitted.shape.codebook_size,
        sample_rate=fitted.target.grid.sample_rate,
        hop_length=fitted.target.grid.hop_length,
        target=str(fitted.run),
        target_id=fitted.id,
        source=source.id,
        license=source.states.license if isinstance(source, HiddenSource) else "",
    )


def _shape(config: TargetConfig | HiddenRVQConfig) -> CodesShape | None:
    """Shape of the codes that a target stores, if it stores any."""
    is_stored = isinstance(config, StoredCodesConfig)
    return config.shape if isinstance(config.shape, CodesShape) and not is_stored else None
