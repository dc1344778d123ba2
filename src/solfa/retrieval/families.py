"""FamilyTagger: a few tags with confidence, compared within their families and with any music."""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from solfa.models import MuLan
from solfa.retrieval.zero_shot import PROMPTS, ZeroShotTagger

FAMILIES: Mapping[str, tuple[str, ...]] = {
    "mood": (
        *("calm", "happy", "sad", "dark", "energetic", "dramatic", "dreamy", "tense", "romantic", "epic"),
        *("mysterious", "playful"),
    ),
    "genre": (
        *("rock", "metal", "electronic", "classical", "jazz", "folk", "ambient", "chiptune", "pop"),
        *("hip hop", "techno", "film music"),
    ),
    "instrument": (
        *("piano", "guitar", "electric guitar", "violin", "strings", "orchestra", "synthesizer", "drums"),
        *("bass", "choir", "flute", "brass", "harp", "organ", "bells", "percussion"),
    ),
    "voice": ("instrumental", "singing", "choir singing", "a male voice", "a female voice"),
    "tempo": ("slow", "moderate", "fast"),
}
# That are shown. None of voice and tempo: on held-out recordings these were right less often than by chance.
MOST_OF_FAMILY = {"mood": 2, "genre": 1, "instrument": 2, "voice": 0, "tempo": 0}
NEUTRAL = "music"  # what every family is compared with besides
SHARPNESS = 20.0  # of cosines, before they become shares; docs/answers.md has the figures
SURE = 0.3  # confidence from which a tag is shown
MOST_SHOWN = 5


class FamilyTagger(ZeroShotTagger):
    """Tags of families. The confidence of a tag is its share beside its family and music of any kind.

    Cosines of tags of two families cannot be compared: all music is nearer to some kinds of words. Inside a
    family, and beside the neutral word, they can. A confidence is no probability: how often tags are right by
    their confidence was measured, see docs/answers.md.

    Args:
        mulan: in eval mode.
        families: the tags of each.
        prompts: each with one ``{}`` for the tag.

    Raises:
        ValueError: no tags, or a prompt without a place for one.
    """

    def __init__(
        self,
        mulan: MuLan,
        families: Mapping[str, Sequence[str]] = FAMILIES,
        prompts: Sequence[str] = PROMPTS,
    ) -> None:
        super().__init__(mulan, [*(tag for tags in families.values() for tag in tags), NEUTRAL], prompts)
        self.neutral, self.vectors = self.vectors[-1:], self.vectors[:-1]
        self.labels = self.labels[:-1]
        self.families = tuple(family for family, tags in families.items() for _ in tags)

    @torch.no_grad()
    def confidences(self, audio: Float[Tensor, "track dim"]) -> Float[Tensor, "track tag"]:
        """Of every tag, in [0, 1]; those of a family sum to less than 1, and the rest is any music."""
        scores = self.scores(audio)
        neutral = self.scores_of(audio, self.neutral)
        parts = []
        for family in dict.fromkeys(self.families):
            columns = [n for n, its in enumerate(self.families) if its == family]
            beside = torch.cat([scores[:, columns], neutral], 1)
            parts.append(torch.softmax(SHARPNESS * beside, 1)[:, :-1])
        return torch.cat(parts, 1)

    def answers(self, heard: Float[Tensor, "clip dim"]) -> Float[Tensor, "clip tag"]:
        """The confidences."""
        return self.confidences(heard)

    def sure(self, confidences: Float[Tensor, " tag"]) -> dict[str, float]:
        """At most five tags of which the tagger is sure, surest first; none if it is sure of none."""
        values = confidences.tolist()
        chosen: list[int] = []
        for n in sorted(range(len(values)), key=lambda n: -values[n]):
            of_family = sum(self.families[one] == self.families[n] for one in chosen)
            if values[n] >= SURE and of_family < MOST_OF_FAMILY.get(self.families[n], MOST_SHOWN):
                chosen.append(n)
        chosen = chosen[:MOST_SHOWN]
        return {self.labels[n]: values[n] for n in chosen}
