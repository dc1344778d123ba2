import torch

from solfa.targets import EMAResidualQuantizer, EMAResidualQuantizerConfig
from solfa.targets.ema_quantizer import EMAVectorQuantizer

CONFIG = EMAResidualQuantizerConfig(dim=4, n_codebooks=3, codebook_size=16, free_steps=0)


def blobs(seed: int = 0) -> torch.Tensor:
    """Frames around 16 places, far apart."""
    generator = torch.Generator().manual_seed(seed)
    centres = 10 * torch.randn(16, 4, generator=torch.Generator().manual_seed(7))
    which = torch.randint(16, (4, 100), generator=generator)
    return centres[which] + 0.1 * torch.randn(4, 100, 4, generator=generator)


def fitted(config: EMAResidualQuantizerConfig = CONFIG, n_steps: int = 60) -> EMAResidualQuantizer:
    torch.manual_seed(0)
    quantizer = EMAResidualQuantizer(config).train()
    for step in range(n_steps):
        quantizer(blobs(step))
    return quantizer.eval()


def test_an_entry_is_the_nearest_one() -> None:
    torch.manual_seed(0)
    stage = EMAVectorQuantizer(CONFIG).eval()
    frames = torch.randn(2, 50, 4)
    codes = stage.encode(frames)[:, 0]
    torch.testing.assert_close(codes, torch.cdist(frames.flatten(0, 1), stage.codebook).argmin(1).view(2, 50))


def test_codebooks_find_the_places_where_frames_are() -> None:
    frames = blobs(99)
    rebuilt = fitted().decode(fitted().encode(frames))
    assert (frames - rebuilt).square().mean() < 0.01 < frames.var()


def test_each_codebook_lowers_the_error() -> None:
    quantizer, frames = fitted(), blobs(99)
    codes = quantizer.encode(frames)
    errors = [float((frames - quantizer.decode(codes[:, :n])).square().mean()) for n in (1, 2, 3)]
    assert errors == sorted(errors, reverse=True)
    assert errors[2] < 0.7 * errors[0]


def test_an_entry_follows_the_mean_of_its_frames() -> None:
    torch.manual_seed(0)
    stage = EMAVectorQuantizer(EMAResidualQuantizerConfig(dim=1, codebook_size=2, decay=0.9)).train()
    stage(torch.tensor([[[0.0], [10.0]]]))
    for _ in range(200):
        stage(torch.tensor([[[1.0], [12.0]]]))
    torch.testing.assert_close(stage.codebook.sort(0).values, torch.tensor([[1.0], [12.0]]))


def test_an_unused_entry_is_given_to_a_frame() -> None:
    torch.manual_seed(0)
    stage = EMAVectorQuantizer(EMAResidualQuantizerConfig(dim=1, codebook_size=2, stale_steps=5)).train()
    stage(torch.tensor([[[0.0], [100.0]]]))
    for _ in range(4):
        stage(torch.tensor([[[0.0], [1.0]]]))
    assert stage.codebook.max() > 50
    stage(torch.tensor([[[0.0], [1.0]]]))
    assert stage.codebook.max() < 2


def test_gradients_pass_straight_through() -> None:
    quantizer = fitted().train()
    frames = blobs(3).requires_grad_()
    quantizer(frames).frames.sum().backward()
    torch.testing.assert_close(frames.grad, torch.ones_like(frames))


def test_commitment_draws_frames_to_their_entries() -> None:
    stage = fitted().stages[0]
    frames = blobs(3).requires_grad_()
    quantized = stage(frames)
    quantized.commitment_loss.backward()
    assert frames.grad is not None
    towards = quantized.frames.detach() - frames.detach()
    torch.testing.assert_close(-frames.grad * frames.numel() / 2, towards)


def test_the_first_batches_pass_as_they_are() -> None:
    torch.manual_seed(0)
    config = EMAResidualQuantizerConfig(dim=4, n_codebooks=2, codebook_size=16, free_steps=2)
    quantizer = EMAResidualQuantizer(config).train()
    assert torch.equal(quantizer(blobs()).frames, blobs())
    assert torch.equal(quantizer(blobs()).frames, blobs())
    assert not torch.equal(quantizer(blobs()).frames, blobs())


def test_in_eval_mode_nothing_is_learned() -> None:
    quantizer = fitted()
    before = {name: value.clone() for name, value in quantizer.state_dict().items()}
    quantizer(blobs(50) + 3)
    assert all(torch.equal(before[name], value) for name, value in quantizer.state_dict().items())
