"""Fine-tuning: what learns and what does not, LoRA, and the three kinds of label."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from solfa.config import override
from solfa.data.clips import Clips
from solfa.models import LabelsConfig, LoRAConfig, TaggerConfig, load
from solfa.models.layers.low_rank import merge_lora
from solfa.models.tagger import Tagger
from solfa.objectives import (
    FineTuning,
    FineTuningConfig,
    FrozenConfig,
    FullConfig,
    LastLayersConfig,
    build_objective,
)
from solfa.objectives.finetuning import LearnsConfig, label_losses

ALL_LINEAR = LoRAConfig(rank=2, matrices=("query", "key", "value", "out", "widen", "narrow"))
CLASSES = LabelsConfig(names=("low", "high"))


def clips(n: int = 4, labels: tuple[str, ...] = ("low", "high", "high", "low")) -> Clips:
    waveform = 0.1 * torch.randn(n, 24_000, generator=torch.Generator().manual_seed(0))
    return Clips(waveform, 24_000, torch.arange(n), torch.arange(n), labels=labels)


def objective(
    tiny_run: Path, learns: LearnsConfig, labels: LabelsConfig = CLASSES, **head: object
) -> FineTuning:
    tagger = TaggerConfig(encoder=load(tiny_run).config, labels=labels)  # type: ignore[arg-type]
    config = FineTuningConfig(start=str(tiny_run), tagger=tagger, learns=learns)
    torch.manual_seed(0)
    built = build_objective(override(config, {f"tagger.head.{name}": value for name, value in head.items()}))
    assert isinstance(built, FineTuning)
    built.start(clips())
    return built


def changed(built: FineTuning) -> set[str]:
    """Names of all that three steps change, statistics included."""
    before = {name: value.clone() for name, value in built.state_dict().items()}
    optimizer = torch.optim.Adam([p for p in built.parameters() if p.requires_grad], lr=1e-2)
    for _ in range(3):
        built.train()
        built(clips()).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return {name for name, value in built.state_dict().items() if not torch.equal(value, before[name])}


def learning(built: FineTuning) -> set[str]:
    return {name for name, parameter in built.named_parameters() if parameter.requires_grad}


@pytest.mark.parametrize(
    ("learns", "beginnings"),
    [
        (FrozenConfig(), ()),
        (LastLayersConfig(n_layers=1), ("tagger.context.layers.1.",)),
        (FullConfig(), ("tagger.frontend.", "tagger.context.")),
    ],
)
def test_each_way_changes_the_parameters_that_it_names_and_no_other(
    tiny_run: Path, learns: LearnsConfig, beginnings: tuple[str, ...]
) -> None:
    built = objective(tiny_run, learns)
    parameters = {name for name, _ in built.named_parameters()}
    wanted = {name for name in parameters if name.startswith(("tagger.head.", *beginnings))}
    assert learning(built) == wanted
    # What all dimensions of a normalised vector share cannot be seen behind it, so that it need not change.
    assert changed(built) <= wanted
    assert {name.split(".")[1] for name in changed(built)} == {name.split(".")[1] for name in wanted}


def test_lora_changes_thin_matrices_and_the_head(tiny_run: Path) -> None:
    names = changed(objective(tiny_run, LoRAConfig(rank=2)))
    encoder = {name for name in names if not name.startswith("tagger.head.")}
    assert encoder and all(name.endswith((".down", ".up")) for name in encoder)
    assert {name.split(".")[-2] for name in encoder} == {"query", "value"}


def test_what_the_head_does_not_hear_does_not_learn(tiny_run: Path) -> None:
    names = learning(objective(tiny_run, FullConfig(), layer=1))
    assert any(name.startswith("tagger.context.layers.0.") for name in names)
    assert not any(name.startswith(("tagger.context.layers.1.", "tagger.context.norm.")) for name in names)


@pytest.mark.parametrize("learns", [FrozenConfig(), FullConfig(), ALL_LINEAR])
def test_every_way_starts_as_the_encoder_that_it_was_given(tiny_run: Path, learns: LearnsConfig) -> None:
    built = objective(tiny_run, learns).eval()
    waveform = clips().waveform
    with torch.no_grad():
        assert torch.equal(built.tagger(waveform).layers, load(tiny_run)(waveform).layers)


def test_merged_matrices_answer_as_thin_ones_beside_them(tiny_run: Path) -> None:
    built = objective(tiny_run, ALL_LINEAR)
    changed(built)
    weights = {name.removeprefix("tagger."): value for name, value in built.eval().state_dict().items()}
    merged = Tagger(built.config.tagger).eval()
    merged.load_state_dict(merge_lora(weights, ALL_LINEAR))
    with torch.no_grad():
        expected, found = built.tagger.logits(clips().waveform), merged.logits(clips().waveform)
    assert (expected - built.tagger.head.out.bias).abs().max() > 1e-3
    assert torch.allclose(found, expected, rtol=0, atol=1e-6 * float(expected.abs().max().clamp(min=1)))


def test_matrices_that_are_not_there_are_refused_with_those_that_are(tiny_run: Path) -> None:
    with pytest.raises(ValueError, match=r"names q\..*query"):
        objective(tiny_run, LoRAConfig(matrices=("q",)))


def test_more_layers_than_there_are_cannot_learn(tiny_run: Path) -> None:
    with pytest.raises(ValueError, match=r"the head hears 2 layers\. Choose"):
        objective(tiny_run, LastLayersConfig(n_layers=3))


def test_an_objective_without_labels_says_how_to_name_them() -> None:
    with pytest.raises(ValueError, match=r"data\.labels=labels\.csv"):
        build_objective(FineTuningConfig())


def test_head_and_encoder_learn_at_rates_of_their_own(tiny_run: Path) -> None:
    built = objective(tiny_run, LastLayersConfig(n_layers=1))
    (head, whole), (rest, share) = built.groups()
    assert (whole, share) == (1.0, 0.1)
    assert len(head) + len(rest) == len(learning(built))


def test_inputs_of_the_head_have_mean_zero_and_about_deviation_one(tiny_run: Path) -> None:
    head = objective(tiny_run, FrozenConfig()).eval().tagger.head
    pooled = head.pool(load(tiny_run)(clips().waveform))
    scaled = (pooled - head.mean) / head.deviation
    assert scaled.mean(0).abs().max() < 1e-3
    assert 0.3 < float(scaled.std(0, unbiased=False).mean()) <= 1.0


def test_losses_of_one_who_guesses() -> None:
    logits = torch.zeros(2, 4)
    one_hot, several = torch.eye(4)[:2], torch.tensor([[1.0, 1, 0, 0], [0, 0, 0, 0]])
    assert torch.allclose(label_losses(logits, one_hot, "classes"), torch.tensor(4.0).log())
    assert torch.allclose(label_losses(logits, several, "tags"), torch.tensor(2.0).log())
    assert torch.allclose(label_losses(logits, several, "numbers"), torch.tensor([0.5, 0.0]))


@pytest.mark.parametrize(
    ("labels", "texts", "expected"),
    [
        (LabelsConfig(names=("a", "b;c")), ("b;c", "a"), [[0.0, 1.0], [1.0, 0.0]]),
        (LabelsConfig(kind="tags", names=("a", "b")), ("b;a", ""), [[1.0, 1.0], [0.0, 0.0]]),
        (
            LabelsConfig(kind="numbers", names=("x",), means=(2.0,), deviations=(0.5,)),
            ("3.0", "2.0"),
            [[2.0], [0.0]],
        ),
    ],
)
def test_texts_become_what_a_head_should_say(
    labels: LabelsConfig, texts: tuple[str, ...], expected: list[list[float]]
) -> None:
    assert labels.encode(texts).tolist() == expected


def test_a_label_that_the_head_does_not_know_is_refused() -> None:
    with pytest.raises(ValueError, match="label 'c', and the head knows a, b"):
        LabelsConfig(names=("a", "b")).encode(("c",))


def test_numbers_are_answered_in_their_own_unit(tiny_run: Path) -> None:
    labels = LabelsConfig(kind="numbers", names=("x", "y"), means=(5.0, -3.0), deviations=(2.0, 4.0))
    tagger = objective(tiny_run, FrozenConfig(), labels).eval().tagger
    waveform: Tensor = clips().waveform
    expected = tagger.logits(waveform) * torch.tensor([2.0, 4.0]) + torch.tensor([5.0, -3.0])
    assert torch.allclose(tagger.predict(waveform), expected.detach())
