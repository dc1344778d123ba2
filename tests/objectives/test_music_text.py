from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from music_and_words import LANGUAGE, tiny_mulan_run
from solfa.config import override
from solfa.data.clips import Clips
from solfa.objectives import MusicText, MusicTextConfig, SigmoidLossConfig, music_text

TEXTS = ("calm piano", "a fast drum with a long beat", "low", "slow strings", "low")


def objective(seed: int = 0, **changes: Any) -> MusicText:
    torch.manual_seed(seed)
    config = tiny_mulan_run(Path("m.jsonl"), **changes).objective
    assert isinstance(config, MusicTextConfig)
    return MusicText(config)


def clips(texts: tuple[str, ...] = TEXTS) -> Clips:
    waveform = 0.1 * torch.randn(len(texts), 12_000, generator=torch.Generator().manual_seed(3))
    numbers = torch.arange(len(texts))
    return Clips(waveform, 24_000, numbers, numbers, texts=texts)


def gradients(model: MusicText, batch: Clips) -> dict[str, Tensor]:
    model.zero_grad()
    model(batch).loss.backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def test_what_is_frozen_gets_no_gradient_and_what_learns_gets_one() -> None:
    frozen, learning = objective(objective__audio_rate=0), objective(objective__text_rate=0.1)
    names = gradients(frozen, clips()).keys()
    assert not any("encoder" in name or "language" in name for name in names)
    assert {"mulan.audio.to_shared.weight", "mulan.text.to_shared.weight", "loss.log_scale"} <= names
    names = gradients(learning, clips()).keys()
    assert any("audio.encoder" in name for name in names) and any("language" in name for name in names)


def test_everything_that_is_said_to_learn_gets_a_gradient() -> None:
    """What gets none stops a training on several processes."""
    model = objective(objective__mulan__audio__layer=0)
    learning = {name for name, p in model.named_parameters() if p.requires_grad}
    assert learning == gradients(model, clips()).keys()


def test_parts_have_their_own_share_of_the_learning_rate() -> None:
    model = objective(
        objective__audio_rate=0.1, objective__text_rate=0.01, objective__loss=SigmoidLossConfig()
    )
    groups = model.groups()
    assert [rate for _, rate in groups] == [1.0, 0.1, 0.01]
    learning = [id(p) for p in model.parameters() if p.requires_grad]
    assert sorted(id(p) for group, _ in groups for p in group) == sorted(learning)


def test_clips_that_go_through_a_trained_encoder_some_at_a_time_give_the_same_gradients() -> None:
    model = objective(objective__start="any")
    whole = gradients(model, clips())
    model.clips_at_once = 2
    parts = gradients(model, clips())
    assert whole.keys() == parts.keys()
    largest = max(float(reference.abs().max()) for reference in whole.values())
    for name, reference in whole.items():  # sums of gradients that cancel are rounded as the largest are
        torch.testing.assert_close(parts[name], reference, rtol=1e-4, atol=1e-5 * largest, msg=name)


def test_a_frozen_language_model_reads_each_text_once() -> None:
    model = objective()
    read: list[str] = []
    language = model.mulan.text.language
    plain, passes = language.each, 0

    def each(texts: list[str]) -> list[Tensor]:
        read.extend(texts)
        return plain(texts)

    def count(*_: Any) -> None:
        nonlocal passes
        passes += 1

    language.each = each
    language.model.register_forward_pre_hook(count)
    first, second = model(clips()).loss, model(clips()).loss
    assert read == list(dict.fromkeys(TEXTS))
    assert passes < len(read)
    assert float(first.detach()) == float(second.detach())


def test_states_of_texts_are_kept_in_the_main_memory_and_no_more_than_there_is_room_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(music_text, "TEXTS_KEPT", 3)
    model = objective()
    model(clips())
    assert list(model.known) == ["a fast drum with a long beat", "slow strings", "low"]
    assert {row.device.type for row in model.known.values()} == {"cpu"}


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_states_of_texts_that_were_read_on_cuda_lie_in_the_main_memory() -> None:
    model = objective().cuda()
    states, padding = model._known_states(TEXTS)
    assert states.device.type == padding.device.type == "cuda"
    assert {row.device.type for row in model.known.values()} == {"cpu"}


def test_remembered_texts_have_the_vectors_that_the_model_gives_them() -> None:
    model = objective().eval()
    torch.testing.assert_close(model._embed_text(TEXTS), model.mulan.embed_text(TEXTS), rtol=0, atol=1e-6)


def test_a_sentence_is_the_unit_mean_over_its_tokens_whatever_stands_beside_it() -> None:
    model = objective(objective__mulan__text__reads="sentence").eval()
    language = model.mulan.text.language
    (states, _) = language(["low"])
    mean = torch.nn.functional.normalize(states[0].mean(0), dim=0)
    torch.testing.assert_close(language.sentences(TEXTS)[2], mean, rtol=0, atol=1e-6)
    torch.testing.assert_close(model._embed_text(TEXTS), model.mulan.embed_text(TEXTS), rtol=0, atol=1e-6)


def test_clips_without_texts_are_refused_with_the_cure() -> None:
    with pytest.raises(ValueError, match=r"data.captions.*solfa data caption"):
        objective().start(clips(()))


def test_the_last_clip_of_a_validation_alone_does_not_count() -> None:
    step = objective().eval()(clips(("low",)))
    assert float(step.count) == float(step.loss) == 0


def test_a_language_model_of_a_package_cannot_learn() -> None:
    config = tiny_mulan_run(Path("m.jsonl")).objective
    with pytest.raises(ValueError, match=r"of a package stays as it is"):
        override(config, {"text_rate": 0.1, "mulan.text.language": "x"})


def test_a_language_model_of_another_width_is_refused_with_the_cure() -> None:
    with pytest.raises(ValueError, match=r"has 24 dimensions.*Set model_dim of the text tower to 24"):
        objective(objective__mulan__text__model_dim=32)
    assert LANGUAGE.is_dir()
