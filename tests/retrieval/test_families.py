"""Tags of families: compared within themselves and with any music, a few or none."""

import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from solfa.models import MuLan
from solfa.retrieval.families import FAMILIES, SHARPNESS, SURE, FamilyTagger


@pytest.fixture(scope="module")
def tagger(mulan: MuLan) -> FamilyTagger:
    return FamilyTagger(mulan)


def test_a_confidence_is_a_share_of_the_family_beside_any_music(tagger: FamilyTagger, mulan: MuLan) -> None:
    audio = torch.randn(3, mulan.dim, generator=torch.Generator().manual_seed(0))
    confidences = tagger.confidences(audio)
    assert confidences.shape == (3, len(tagger.labels)) == (3, sum(map(len, FAMILIES.values())))
    small = FamilyTagger(mulan, {"one": ["piano", "rain"], "two": ["drums"]}, ["{}"])
    texts = mulan.embed_text(["piano", "rain", "drums", "music"])
    cosines = F.normalize(audio, dim=-1) @ texts.T
    first = torch.softmax(SHARPNESS * cosines[:, [0, 1, 3]], 1)[:, :2]
    second = torch.sigmoid(SHARPNESS * (cosines[:, 2] - cosines[:, 3]))
    torch.testing.assert_close(
        small.confidences(audio), torch.cat([first, second[:, None]], 1), atol=1e-4, rtol=0
    )


def with_values(tagger: FamilyTagger, **values: float) -> torch.Tensor:
    confidences = torch.zeros(len(tagger.labels))
    for tag, value in values.items():
        confidences[tagger.labels.index(tag.replace("_", " "))] = value
    return confidences


def test_few_tags_are_sure_or_none(tagger: FamilyTagger) -> None:
    assert tagger.sure(with_values(tagger, calm=SURE - 0.01, piano=0.29)) == {}
    four = with_values(tagger, calm=0.9, piano=0.8, jazz=0.4, rock=0.39, slow=0.95, singing=0.95)
    assert list(tagger.sure(four)) == ["calm", "piano", "jazz"]  # one genre is enough, and no tempo or voice
    many = with_values(tagger, calm=0.5, dreamy=0.45, dark=0.44, piano=0.6, harp=0.4, bells=0.39, jazz=0.9)
    assert list(tagger.sure(many)) == ["jazz", "piano", "calm", "dreamy", "harp"]
    own = FamilyTagger(tagger.mulan, {"yours": ["rain", "wind"]})
    assert list(own.sure(torch.tensor([0.31, 0.6]))) == ["wind", "rain"]


def test_no_tags_are_told(mulan: MuLan) -> None:
    with pytest.raises(ValueError, match="empty"):
        FamilyTagger(mulan, {"mood": ["calm", " "]})
