"""What goes with a clip: codes, hidden states, spectra and labels; and what all of a run's clips have.

A companion is asked twice: about one clip, in the process that makes it, and about clips that are joined.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from solfa.config import LATER, Config, LayerNumber
from solfa.data.audio import AudioError
from solfa.data.augmenting import STILL, Augmentation, AugmentationConfig, frames_needed
from solfa.data.captions import CaptionsConfig
from solfa.data.companion import ANYWHERE, Companion, Cut
from solfa.data.manifest import LABEL, Track
from solfa.data.pairs import FactTextsBeside, PooledBeside, TextsBeside
from solfa.data.shards import fetched
from solfa.data.stored_frames import (
    ClipCodes,
    ClipStates,
    StoredCodeFrames,
    StoredFrames,
    StoredFramesError,
    StoredHiddenStates,
    source_of,
    stored_layers,
)
from solfa.data.stored_spectra import StoredSpectra
from solfa.data.stored_teachers import ClipTeaching, StoredTeacher, refuse_restricted, stored_teachers
from solfa.errors import ArgumentError
from solfa.features import MelCQTFrames
from solfa.frames import samples_to_seconds

Stored = TypeVar("Stored", bound=StoredFrames)


@dataclass(frozen=True, kw_only=True)
class CompanionsConfig(Config):
    """What goes with the clips of a run; nothing, as in pre-training from audio alone."""

    codes: str = ""  # folder of 'solfa data label', whose codes go with the clips
    frames: str = ""  # folder of 'solfa embed --frames', whose hidden states stand in place of audio
    frames_layer: LayerNumber | None = None  # which of them; may be null where there is one only
    labels: str = ""  # of fine-tuning: a CSV with the columns path and label, or the name of a task
    captions: CaptionsConfig | None = None  # of pairs of music and text
    spectra: str = ""  # folder of 'solfa data features', whose frames stand in place of audio
    teacher: str = ""  # folder of 'solfa embed --frames', whose frames go with the clips; of a distillation
    teacher_layers: tuple[LayerNumber, ...] = ()  # which of them, side by side; all that are kept if empty
    augmentation: AugmentationConfig | None = None  # of such frames; never of held-out clips
    teachers: str = field(
        default="", metadata=LATER
    )  # folder of 'solfa data teach', for heads on whole clips
    restricted_teachers: bool = field(default=False, metadata=LATER)  # may be among them; the card says so
    # Folder of 'solfa data pool', whose vectors of whole tracks stand in place of audio; of pairs with texts.
    pooled: str = field(default="", metadata=LATER)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.spectra and (self.codes or self.frames):
            raise ArgumentError(
                "data.spectra stand in place of audio, and neither codes nor frames go with them: set one of "
                "the three."
            )
        if self.pooled and (self.codes or self.frames or self.spectra or self.teacher):
            raise ArgumentError(
                "data.pooled stand in place of audio, and no codes, frames, spectra or teacher go with them."
            )
        if self.teacher and (self.frames or self.augmentation):
            raise ArgumentError(
                "data.teacher are frames of clips as they are: neither data.frames nor data.augmentation go "
                "with them. Leave these out."
            )
        if self.teachers and (self.frames or self.augmentation):
            raise ArgumentError(
                "data.teachers speak of clips as they are: neither data.frames nor data.augmentation go with "
                "them. Leave these out."
            )
        if self.augmentation and not self.spectra:
            raise ArgumentError(
                "data.augmentation changes stored spectra, and there are none. Make them with "
                "'solfa data features', and name their folder with data.spectra."
            )
        if self.codes and self.frames:
            raise ArgumentError(
                "data.frames stand in place of audio, and codes are for audio: set one of them."
            )


class StoredBeside(Companion, Generic[Stored]):
    """Rows of stored frames.

    Args:
        stored: the folder that has them.
    """

    def __init__(self, stored: Stored) -> None:
        self.stored, self.grid = stored, stored.grid

    def check(self, tracks: Sequence[Track], sample_rate: int, context_samples: int) -> None:
        """Refuse frames that are missing, or that lie elsewhere.

        Raises:
            StoredFramesError: the message names the cure.
        """
        stored, grid = self.stored, self.stored.grid
        if grid.sample_rate != sample_rate:
            raise StoredFramesError(
                f"{stored.folder} is of audio at {grid.sample_rate} Hz, and this run hears "
                f"{sample_rate} Hz. Make its frames with a model at {sample_rate} Hz."
            )
        if context_samples % grid.hop_length:
            seconds = samples_to_seconds(grid.hop_length, sample_rate)
            raise StoredFramesError(
                f"data.context_seconds is not a whole number of the frames in {stored.folder}. Make it a "
                f"multiple of {seconds:g}."
            )
        stored.require(tracks)

    def last_start(self, track: Track, n_samples: int) -> int:
        """Where the last clip starts of which all frames are stored.

        Raises:
            AudioError: the stored frames of the track are fewer than those of a clip.
        """
        hop = self.stored.grid.hop_length
        n_more = self.stored.n_frames(track.content_hash) - n_samples // hop
        if n_more < 0:  # the last frame was not whole
            raise AudioError("its stored frames are fewer than those of a clip; use shorter clips")
        return n_more * hop

    def rows(self, cut: Cut, context_samples: int) -> Shaped[np.ndarray, "frame ..."]:
        """The frames of a clip with some context."""
        hop = self.stored.grid.hop_length
        first, n_context = cut.start // hop, context_samples // hop
        last = first + cut.n_samples // hop
        return self.stored.rows(cut.track.content_hash, first - n_context, last + n_context)


class CodesBeside(StoredBeside[StoredCodeFrames]):
    """Stored codes, of a clip and its context."""

    def cut(self, cut: Cut) -> Int[Tensor, "codebook frame"]:
        """The codes of one clip."""
        return torch.from_numpy(self.rows(cut, cut.context_samples).T.astype(np.int64))

    def join(self, parts: Sequence[Int[Tensor, "codebook frame"]]) -> dict[str, Any]:
        """The codes of clips."""
        size = self.stored.description.codebook_size
        return {"codes": ClipCodes(torch.stack(list(parts)), size, self.stored.grid)}


class StatesBeside(StoredBeside[StoredHiddenStates]):
    """Stored hidden states, in place of audio; what they are of heard its context."""

    replaces_audio = True

    def cut(self, cut: Cut) -> Float[Tensor, "frame dim"]:
        """The states of one clip."""
        return torch.from_numpy(self.rows(cut, 0).astype(np.float32))

    def join(self, parts: Sequence[Float[Tensor, "frame dim"]]) -> dict[str, Any]:
        """The states of clips."""
        return {"hidden": ClipStates(torch.stack(list(parts)), self.stored.grid, self.stored.source)}


class TeacherBeside(StoredBeside[StoredHiddenStates]):
    """Stored hidden states of some layers, side by side, of the clip; what they are of heard its context.

    Args:
        folder: that has them.
        layers: their numbers; all that it keeps if there are none.
    """

    def __init__(self, folder: Path, layers: Sequence[int]) -> None:
        self.layers = [StoredHiddenStates(folder, layer) for layer in layers or stored_layers(folder)]
        super().__init__(self.layers[0])
        self.source = source_of(self.stored.encoder, [one.layer for one in self.layers])

    def cut(self, cut: Cut) -> Float[Tensor, "frame dim"]:
        """The states of one clip."""
        hop = self.stored.grid.hop_length
        first, n_frames = cut.start // hop, -(-cut.n_samples // hop)
        rows = [one.rows(cut.track.content_hash, first, first + n_frames) for one in self.layers]
        return torch.from_numpy(np.concatenate(rows, axis=1).astype(np.float32))

    def join(self, parts: Sequence[Float[Tensor, "frame dim"]]) -> dict[str, Any]:
        """The states of clips."""
        return {"hidden": ClipStates(torch.stack(list(parts)), self.stored.grid, self.source)}


class TeachersBeside(Companion):
    """What stored teachers say of the clip, each in columns of its own.

    Args:
        folder: that has them.
        takes_restricted: teachers whose licence binds what learns from them.
    """

    def __init__(self, folder: Path, takes_restricted: bool) -> None:
        self.teachers = [StoredBeside(stored) for stored in stored_teachers(folder)]
        self.grid = self.teachers[0].grid
        if not takes_restricted:
            descriptions = [one.stored.description for one in self.teachers]
            refuse_restricted(descriptions, "set data.restricted_teachers to true")

    def check(self, tracks: Sequence[Track], sample_rate: int, context_samples: int) -> None:
        """Refuse teachers that miss tracks, but for those that never know all; errors as of other frames."""
        for one in self.teachers:
            is_partial = one.stored.description.is_partial
            known = one.stored.arrays.keys()
            asked = [track for track in tracks if track.content_hash in known] if is_partial else tracks
            one.check(asked, sample_rate, context_samples)

    def last_start(self, track: Track, n_samples: int) -> int:
        """Where the last clip starts of which all that is stored is there."""
        return min((one.last_start(track, n_samples) for one in self._of(track)), default=ANYWHERE)

    def cut(self, cut: Cut) -> dict[str, Float[Tensor, "frame column"]]:
        """What each says of one clip; NaN of a track of which it says nothing."""
        known, said = self._of(cut.track), {}
        for one in self.teachers:
            description, hop = one.stored.description, one.stored.grid.hop_length
            first, n_frames = cut.start // hop, cut.n_samples // hop
            if one in known:
                values = one.stored.values(cut.track.content_hash, first, first + n_frames)
            else:
                values = np.full((n_frames, description.width), np.nan, np.float32)
            said[description.name] = torch.from_numpy(values)
        return said

    def join(self, parts: Sequence[dict[str, Float[Tensor, "frame column"]]]) -> dict[str, Any]:
        """What each says of clips."""
        descriptions = [one.stored.description for one in self.teachers]
        return {
            "taught": {
                one.name: ClipTeaching(torch.stack([part[one.name] for part in parts]), one)
                for one in descriptions
            }
        }

    def _of(self, track: Track) -> list[StoredBeside[StoredTeacher]]:
        """Those that say something of a track."""
        return [one for one in self.teachers if one.stored.path(track.content_hash).exists()]


class SpectraBeside(StoredBeside[StoredSpectra]):
    """Stored spectra, in place of audio; they are of the whole track, and heard what is around a clip.

    Args:
        stored: the folder that has them.
        augmentation: what is changed of them; nothing if None.
    """

    replaces_audio = True

    def __init__(self, stored: StoredSpectra, augmentation: AugmentationConfig | None = None) -> None:
        super().__init__(stored)
        self.augmentation = augmentation and Augmentation(augmentation, stored.description)

    def cut(self, cut: Cut) -> MelCQTFrames:
        """The spectra of one clip."""
        first = cut.start // self.stored.grid.hop_length
        n_frames = cut.n_samples // self.stored.grid.hop_length
        content = cut.track.content_hash
        if not self.augmentation:
            return self.stored.spectra(content, first, first + n_frames)
        warp = self.augmentation.warp_of(content, cut.seed, cut.epoch)
        n_stored, n_needed = self.stored.n_frames(content), frames_needed(n_frames, warp)
        if n_needed > n_stored:  # too short to be heard faster
            warp, n_needed = STILL, n_frames
        first = min(first, n_stored - n_needed)  # a clip too near to the end begins earlier
        frames = self.stored.spectra(content, first, first + n_needed)
        warped = self.augmentation.warped(frames, warp, n_frames)
        return self.augmentation.coloured(warped, cut.seed, cut.number)

    def join(self, parts: Sequence[MelCQTFrames]) -> dict[str, Any]:
        """The spectra of clips."""
        mel, cqt = torch.cat([one.mel for one in parts]), torch.cat([one.cqt for one in parts])
        return {"spectra": MelCQTFrames(mel, cqt), "spectra_are": self.stored.description.spectra}


class LabelsBeside(Companion):
    """The label of each clip's track."""

    def cut(self, cut: Cut) -> str:
        """The label of one clip."""
        return cut.track.tags[LABEL]

    def join(self, parts: Sequence[str]) -> dict[str, Any]:
        """The labels of clips."""
        return {"labels": tuple(parts)}


def companions(config: CompanionsConfig, clip_seconds: float) -> tuple[Companion, ...]:
    """What goes with the clips that ``config`` describes.

    Raises:
        StoredFramesError: a folder that holds no frames of the kind.
    """
    found: list[Companion] = []
    if config.captions:
        facts = config.captions.facts
        found.append(FactTextsBeside(config.captions, facts) if facts else TextsBeside(config.captions))
    if config.codes:
        found.append(CodesBeside(StoredCodeFrames(fetched(config.codes))))
    if config.frames:
        found.append(StatesBeside(StoredHiddenStates(Path(config.frames), config.frames_layer)))
    if config.teacher:
        found.append(TeacherBeside(Path(config.teacher), config.teacher_layers))
    if config.teachers:
        found.append(TeachersBeside(Path(config.teachers), config.restricted_teachers))
    if config.pooled:
        found.append(PooledBeside(Path(config.pooled), clip_seconds))
    if config.spectra:
        found.append(SpectraBeside(StoredSpectra(fetched(config.spectra)), config.augmentation))
    if config.labels:
        found.append(LabelsBeside())
    return tuple(found)
