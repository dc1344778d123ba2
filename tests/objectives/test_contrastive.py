import pytest
import torch
from torch import Tensor

from golden_data import io_of
from solfa.objectives.contrastive import (
    DecoupledLossConfig,
    PairLoss,
    PairLossConfig,
    SigmoidLossConfig,
    SoftmaxLossConfig,
)
from solfa.objectives.music_text import fitting_area

PUBLISHED = {
    "softmax": SoftmaxLossConfig(),
    "softmax_decoupled": DecoupledLossConfig(),
    "rank_softmax_decoupled": DecoupledLossConfig(),
    "sigmoid": SigmoidLossConfig(),
}


def unit_vectors(n: int, dim: int = 8, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.nn.functional.normalize(torch.randn(n, dim, generator=generator), dim=-1)


def mean_loss_and_gradients(config: PairLossConfig, audio: Tensor, text: Tensor) -> list[Tensor]:
    loss = PairLoss(config)
    audio, text = audio.clone().requires_grad_(), text.clone().requires_grad_()
    value = loss(audio, text)[0].mean()
    parameters = [audio, text, *loss.parameters()]
    return [value.detach(), *torch.autograd.grad(value, parameters)]


@pytest.mark.parametrize("name", PUBLISHED)
def test_losses_and_gradients_are_the_published_ones(name: str) -> None:
    io = io_of("contrastive")
    value, audio, text, *_ = mean_loss_and_gradients(PUBLISHED[name], io["audio"], io["text"])
    torch.testing.assert_close(value, io[name][0], rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(audio, io[f"{name}.grad_audio"], rtol=0, atol=1e-6)
    torch.testing.assert_close(text, io[f"{name}.grad_text"], rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", [SoftmaxLossConfig, DecoupledLossConfig, SigmoidLossConfig])
def test_similarities_in_parts_give_the_same_loss_and_gradients(kind: type) -> None:
    audio, text = unit_vectors(21), unit_vectors(21, seed=1)
    whole = mean_loss_and_gradients(kind(), audio, text)
    for reference, estimated in zip(
        whole, mean_loss_and_gradients(kind(pairs_at_once=4), audio, text), strict=True
    ):
        torch.testing.assert_close(estimated, reference, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("config", PUBLISHED.values())
def test_the_loss_falls_when_what_belongs_together_comes_together(config: PairLossConfig) -> None:
    loss, audio = PairLoss(config), unit_vectors(6)
    far, near = loss(audio, audio.roll(1, 0)), loss(audio, audio)
    assert near[0].mean() < far[0].mean()
    assert near[1].all() and not far[1].any()


def test_a_text_as_near_as_another_is_not_right() -> None:
    """Else a model that says the same of everything would be right everywhere."""
    same = unit_vectors(1).repeat(5, 1)
    assert not PairLoss(SoftmaxLossConfig())(same, same)[1].any()


def test_the_scale_begins_as_published_and_learns() -> None:
    loss = PairLoss(DecoupledLossConfig())
    assert float(loss.scale.detach()) == pytest.approx(10)
    loss(unit_vectors(6), unit_vectors(6))[0].sum().backward()
    assert loss.log_scale.grad is not None and float(loss.log_scale.grad.detach()) < 0


def test_a_pair_alone_is_refused() -> None:
    with pytest.raises(ValueError, match=r"Raise data.clips_per_step"):
        PairLoss(DecoupledLossConfig())(unit_vectors(1), unit_vectors(1))


def test_fits_of_the_sigmoid_loss_are_questions_answered_to_an_extent() -> None:
    torch.manual_seed(0)
    loss = PairLoss(SigmoidLossConfig(start_bias=-1.0)).eval()
    audio, text = (torch.nn.functional.normalize(torch.randn(4, 6), dim=1) for _ in range(2))
    alone, _ = loss(audio, text)
    same, _ = loss(audio, text, torch.eye(4))
    torch.testing.assert_close(same, alone)
    soft, _ = loss(audio, text, torch.full((4, 4), 0.25))  # where a pair meets itself, it fits
    answers = loss.scale * audio @ text.T + loss.bias
    wanted = torch.full((4, 4), 0.25).fill_diagonal_(1.0)
    exact = torch.nn.functional.binary_cross_entropy_with_logits(answers, wanted, reduction="none").sum(1)
    torch.testing.assert_close(soft, exact)
    wrong = loss.wrong_losses(audio, text[:, None].expand(4, 3, 6))
    torch.testing.assert_close(wrong, 3 * torch.nn.functional.softplus(answers.diagonal()))


def test_fits_go_with_no_other_loss() -> None:
    audio = torch.nn.functional.normalize(torch.randn(4, 6), dim=1)
    with pytest.raises(ValueError, match="sigmoid"):
        PairLoss(SoftmaxLossConfig())(audio, audio, torch.eye(4))


def test_texts_that_are_equally_near_count_half_in_the_area() -> None:
    """A model that says the same of everything knows nothing: its area is a half."""
    fit = torch.tensor([[1.0, 0.0, 0.0], [0.5, 1.0, 0.0], [1.0, 1.0, 1.0]])
    assert fitting_area(torch.full((3, 3), 0.7), fit).tolist() == [0.5, 0.5, 0.5]
    near = torch.tensor([[0.9, 0.1, 0.9], [0.0, 0.3, 0.2], [0.0, 0.0, 0.0]])
    assert fitting_area(near, fit).tolist() == [0.75, 1.0, 0.5]
