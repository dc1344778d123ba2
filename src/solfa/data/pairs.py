"""What goes with clips of pairs: texts, facts and what they fit, and pooled vectors in place of audio."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from solfa.data.captions import CaptionsConfig, FactTextsConfig, check_captions, cure, draw_caption
from solfa.data.companion import Companion, Cut
from solfa.data.fact_texts import ClipFacts, FactTexts, Vocabulary, draw_fact_texts, facts_of
from solfa.data.manifest import Track
from solfa.data.pooled_vectors import PooledVectors, key_of
from solfa.data.seeds import CAPTION, derived_seed
from solfa.data.stored_frames import StoredFramesError
from solfa.errors import ArgumentError


@dataclass(frozen=True)
class ClipVectors:
    """Pooled vectors of clips."""

    values: Float[Tensor, "clip pooled"]
    encoder: str  # SHA-256 of its configuration and weights
    layers: tuple[int, ...]


class TextsBeside(Companion):
    """The text of each clip: decided by seed and number, as its place in the track is."""

    def __init__(self, config: CaptionsConfig) -> None:
        self.config = config

    def check(self, tracks: Sequence[Track], sample_rate: int, context_samples: int) -> None:
        """Refuse tracks of which nothing can be said."""
        check_captions(tracks, self.config)

    def cut(self, cut: Cut) -> str:
        """The text of one clip."""
        rng = np.random.default_rng(derived_seed(cut.seed, cut.number, CAPTION))
        return draw_caption(cut.track, self.config, rng)

    def join(self, parts: Sequence[str]) -> dict[str, Any]:
        """The texts of clips."""
        return {"texts": tuple(parts)}


class FactTextsBeside(Companion):
    """A text about each clip that is made of facts, those facts, and texts that are not true of it."""

    vocabulary: Vocabulary

    def __init__(self, config: CaptionsConfig, facts: FactTextsConfig) -> None:
        self.config, self.n_versions = config, max(1, facts.n_versions)
        # Of a track the same few come up again and again.
        self._drawn: dict[tuple[str, float, int, int], tuple[FactTexts, Bool[np.ndarray, " fact"]]] = {}

    def check(self, tracks: Sequence[Track], sample_rate: int, context_samples: int) -> None:
        """Learn which facts there are, and refuse tracks of which none is known."""
        self.vocabulary = Vocabulary(tracks, self.config.fields)
        silent = [track for track in tracks if not facts_of(track, self.config.fields)]
        if silent:
            raise ArgumentError(
                f"{len(silent)} of {len(tracks)} tracks have no facts, as {silent[0].path}. "
                + cure(self.config.fields)
            )

    def cut(self, cut: Cut) -> tuple[FactTexts, Bool[np.ndarray, " fact"]]:
        """The texts of one clip, and what is true of it."""
        content, start, _ = key_of(cut.track)
        version = derived_seed(cut.seed, cut.number, CAPTION) % self.n_versions
        if (content, start, cut.seed, version) not in self._drawn:
            self._drawn[content, start, cut.seed, version] = self._draw(cut, version)
        return self._drawn[content, start, cut.seed, version]

    def _draw(self, cut: Cut, version: int) -> tuple[FactTexts, Bool[np.ndarray, " fact"]]:
        content, start, _ = key_of(cut.track)
        track = int.from_bytes(content[:12].encode()), round(1000 * start)
        rng = np.random.default_rng(derived_seed(cut.seed, *track, CAPTION, version))
        has = self.vocabulary.row(facts_of(cut.track, self.config.fields))
        return draw_fact_texts(cut.track, self.vocabulary, self.config, rng), has

    def join(self, parts: Sequence[tuple[FactTexts, Bool[np.ndarray, " fact"]]]) -> dict[str, Any]:
        """The texts of clips, and how far each fits each."""
        said = np.stack([self.vocabulary.row(texts.right.facts) for texts, _ in parts])
        facts = ClipFacts(
            has=torch.from_numpy(np.stack([has for _, has in parts])),
            said=torch.from_numpy(said),
            contradictions=torch.from_numpy(self.vocabulary.contradictions),
            wrong_texts=tuple(tuple(wrong.text for wrong in texts.wrong) for texts, _ in parts),
        )
        return {"texts": tuple(texts.right.text for texts, _ in parts), "facts": facts}


class PooledBeside(Companion):
    """The pooled vector of each track, in place of audio: its clip is the whole of it."""

    replaces_audio = True

    def __init__(self, folder: Path, clip_seconds: float) -> None:
        self.stored, self.clip_seconds = PooledVectors(folder), clip_seconds

    def check(self, tracks: Sequence[Track], sample_rate: int, context_samples: int) -> None:
        """Refuse tracks of which a clip is only a part, or whose vector is missing.

        Raises:
            StoredFramesError: the message names the cure.
        """
        description = self.stored.description
        longest = max(track.seconds for track in tracks)
        if longest > self.clip_seconds + 0.5 or description.sample_rate != sample_rate:
            raise StoredFramesError(
                f"data.pooled are vectors of whole tracks at {description.sample_rate} Hz. These last up to "
                f"{longest:g} s, clips {self.clip_seconds:g} s at {sample_rate} Hz: cut tracks into excerpts "
                "as long as a clip with 'solfa data hear'."
            )
        self.stored.require(tracks)

    def cut(self, cut: Cut) -> Float[Tensor, " pooled"]:
        """The vector of one clip's track."""
        return torch.from_numpy(np.array(self.stored[cut.track]))

    def join(self, parts: Sequence[Float[Tensor, " pooled"]]) -> dict[str, Any]:
        """The vectors of clips."""
        of = self.stored.description
        return {"pooled": ClipVectors(torch.stack(list(parts)), of.encoder, of.layers)}
