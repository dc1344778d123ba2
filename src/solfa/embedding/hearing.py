"""Tracks -> excerpts with facts about how they sound, as captions need them; a bad file is refused."""

from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soxr
import torch
from jaxtyping import Float

from solfa.data.audio import AudioReader
from solfa.data.excerpts import ExcerptsConfig, with_facts
from solfa.data.heard import Heard, heard_facts
from solfa.data.manifest import Track, write_manifest
from solfa.data.prepare import write_refused
from solfa.data.refused import Refused, refusal
from solfa.errors import ArgumentError
from solfa.features import Measurements
from solfa.files import FolderLock
from solfa.frames import seconds_to_samples
from solfa.json_files import append_lines, mend_lines, read_lines
from solfa.models.musicnn import MusiCNN, PatchFrontend

NUMBERS, EXCERPTS, REFUSED = "numbers.jsonl", "excerpts.jsonl", "refused.jsonl"


@dataclass(frozen=True)
class HeardTracks:
    """Excerpts of tracks, with facts in their tags, and what could not be heard."""

    excerpts: list[Track]
    n_silent: int  # excerpts in which there is nothing
    refused: list[Refused]


class Listener:
    """Waveforms at the rate of its measurements -> Heard.

    Args:
        taggers: musicnn, by the name of its weights; without any, only what can be measured is said.
    """

    def __init__(self, taggers: Mapping[str, MusiCNN]) -> None:
        self.measurements = Measurements()
        self.sample_rate = self.measurements.sample_rate
        self.taggers = frozenset(taggers)
        self._patches = {name: PatchFrontend(network.eval()) for name, network in taggers.items()}

    def hear(self, waveform: Float[np.ndarray, " sample"]) -> Heard | None:
        """Numbers about an excerpt; None if it is silent."""
        measured = self.measurements(waveform)
        if measured is None:
            return None
        return Heard(measured, {name: self._tags(name, waveform) for name in self._patches})

    @torch.inference_mode()
    def _tags(self, name: str, waveform: Float[np.ndarray, " sample"]) -> dict[str, float]:
        """Probabilities of the tags, as means over patches."""
        patches = self._patches[name]
        network = patches.network
        resampled = soxr.resample(waveform, self.sample_rate, network.config.sample_rate)
        logits = network(patches.patches(torch.from_numpy(resampled)[None].float())).logits
        means = logits.sigmoid().mean(0).tolist()
        return {tag: round(p, 4) for tag, p in zip(network.tag_names, means, strict=True)}


def hear_tracks(
    tracks: Sequence[Track],
    out: Path,
    listener: Listener,
    *,
    config: ExcerptsConfig | None = None,
    progress: Callable[[int, str], None] | None = None,
) -> HeardTracks:
    """Cut tracks into excerpts, listen to each, and say of each what stands out among all; all in ``out``.

    Interrupted at any moment, all whole tracks are kept, and the same call goes on. Facts depend on all
    excerpts together, so they are written when every track has been heard.

    Args:
        tracks: known by the content that their manifest states.
        out: the folder for ``numbers.jsonl`` (a line for each track), ``excerpts.jsonl`` (a manifest whose
            tags are facts, for 'solfa data caption') and ``refused.jsonl``.
        listener: what hears.
        config: how tracks are cut; excerpts of 10 s, one after the other, if None.
        progress: told how many tracks are done, and the name of the last.

    Raises:
        ArgumentError: there are too few excerpts, or ``out`` holds others, or what other taggers said.
        BlockingIOError: another process is filling ``out``.
    """
    config = config or ExcerptsConfig()
    refused: list[Refused] = []
    with FolderLock(out):
        known = _known(out / NUMBERS, config, listener.taggers)
        for number, track in enumerate(tracks, start=1):
            known_row = known.get(_name(track), {"heard": []})
            if len(known_row["heard"]) < len(config.starts(track.seconds)):  # or of a shorter stretch
                try:
                    row = _row(track, listener, config)
                except Exception as error:  # of whatever class: no file ends the hearing of the others
                    refused.append(refusal(track.path, error))
                else:
                    append_lines(out / NUMBERS, [row])
                    known[row["track"]] = row
            if progress:
                progress(number, track.path.name)
        write_refused(refused, out / REFUSED)
        heard = list(_excerpts(tracks, known, config))
        excerpts = [
            with_facts(t, f) for (t, _), f in zip(heard, heard_facts([h for _, h in heard]), strict=True)
        ]
        write_manifest(excerpts, out / EXCERPTS)
    n_silent = sum(row["heard"].count(None) for row in (known[_name(t)] for t in tracks if _name(t) in known))
    return HeardTracks(excerpts, n_silent, refused)


def _known(path: Path, config: ExcerptsConfig, taggers: Set[str]) -> dict[str, dict[str, Any]]:
    """Lines of tracks that have been heard. Raises ArgumentError if excerpts or taggers were others."""
    mend_lines(path)
    rows = {row["track"]: row for row in read_lines(path)}
    for row in rows.values():
        if (row["seconds"], row["every_seconds"]) != (config.seconds, config.every_seconds):
            raise ArgumentError(
                f"{path} holds excerpts of {row['seconds']:g} s every {row['every_seconds']:g} s. Choose the "
                "same, or another folder."
            )
        asked = next((heard["tags"].keys() for heard in row["heard"] if heard), taggers)
        if asked != taggers:
            before, now = (", ".join(sorted(names)) or "no tagger" for names in (asked, taggers))
            raise ArgumentError(
                f"{path} holds what {before} said of excerpts, and {now} is asked now. Facts compare all "
                "excerpts: choose the same, or another folder."
            )
    return rows


def _row(track: Track, listener: Listener, config: ExcerptsConfig) -> dict[str, Any]:
    rate = listener.sample_rate
    n_samples = seconds_to_samples(min(config.seconds, track.seconds), rate)
    with AudioReader(track.path, sample_rate=rate, take_damaged=bool(track.damage)) as reader:
        heard = [
            listener.hear(reader.read(seconds_to_samples(track.start_seconds + start, rate), n_samples))
            for start in config.starts(track.seconds)
        ]
    return {
        "track": _name(track),
        "seconds": config.seconds,
        "every_seconds": config.every_seconds,
        "heard": [h and h.values() for h in heard],
    }


def _excerpts(
    tracks: Sequence[Track], known: Mapping[str, dict[str, Any]], config: ExcerptsConfig
) -> Iterator[tuple[Track, Heard]]:
    """Excerpts that are not silent, as tracks of their own, with what was heard."""
    for track in tracks:
        values = known.get(_name(track), {"heard": []})["heard"]
        for excerpt, of in zip(config.cut(track), values, strict=False):
            if of is not None:
                yield excerpt, Heard.of(of)


def _name(track: Track) -> str:
    """What a track is known by: its content, and where in its file it lies."""
    return f"{track.content_hash} {track.start_seconds:g}"
