import torch

from solfa.config import override
from solfa.data.clips import Clips
from solfa.objectives import AdversaryConfig, CodecFit, CodecFitConfig
from solfa.objectives.discriminator import Adversary
from solfa.recipes.codec import rvq_vae_tiny
from solfa.training import MuonConfig
from solfa.training.optim import build_optimizers

TINY = override(rvq_vae_tiny().objective, {"codec.n_channels": (8, 8, 16, 16)})
WITH_ADVERSARY = override(TINY, {"adversary": AdversaryConfig(n_ffts=(512, 256), n_channels=4)})


def clips(n_samples: int = 9_600) -> Clips:
    time = torch.arange(n_samples) / 24_000
    waves = torch.stack([0.3 * torch.sin(2 * torch.pi * f * time) for f in (220.0, 330.0, 440.0, 550.0)])
    return Clips(waves, 24_000, torch.arange(4), torch.zeros(4, dtype=torch.long))


def built(config: CodecFitConfig) -> CodecFit:
    torch.manual_seed(0)
    return CodecFit(config).train()


def gradients(module: torch.nn.Module) -> list[torch.Tensor]:
    return [p.grad for p in module.parameters() if p.grad is not None]


def test_the_loss_is_the_weighted_sum_of_what_is_logged() -> None:
    objective = built(override(WITH_ADVERSARY, {"convergence_weight": 3.0}))
    step = objective(clips())
    weights = objective._weights
    assert weights["convergence"] == 3.0
    torch.testing.assert_close(step.loss.detach(), sum(weights[n] * value for n, value in step.sums.items()))
    assert float(step.count) == 4 * 30


def test_a_codec_overfits_four_tones() -> None:
    objective = built(override(rvq_vae_tiny().objective, {"codec.quantizer.free_steps": 20}))
    optimizers = build_optimizers(MuonConfig(lr=1e-2, adam_lr=2.5e-3, weight_decay=0.0), objective)
    found = []
    for _ in range(120):
        step = objective(clips())
        (step.loss / step.count).backward()
        torch.nn.utils.clip_grad_norm_(objective.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        found.append(float(step.sums["convergence"] / step.count))
    assert found[-1] < 0.5 < 0.9 < found[0]


def test_the_codec_is_not_moved_by_the_discriminators_loss() -> None:
    only = dict.fromkeys(("adversarial_weight", "feature_weight"), 0.0) | {"discriminator_weight": 1.0}
    objective = built(
        override(
            WITH_ADVERSARY,
            {f"adversary.{name}": value for name, value in only.items()}
            | {
                f"{name}_weight": 0.0
                for name in ("waveform", "convergence", "log_mel", "commitment", "codebook")
            },
        )
    )
    objective(clips()).loss.backward()
    assert all(float(g.abs().max()) == 0 for g in gradients(objective.codec))
    assert objective.adversary is not None
    assert any(float(g.abs().max()) > 0 for g in gradients(objective.adversary))


def test_the_discriminators_are_not_moved_by_the_codecs_losses() -> None:
    torch.manual_seed(0)
    adversary = Adversary(AdversaryConfig(n_ffts=(512,), n_channels=4))
    rebuilt = (0.1 * torch.randn(2, 4_800)).requires_grad_()
    losses = adversary(0.1 * torch.randn(2, 4_800), rebuilt)
    (losses["adversarial_loss"] + losses["feature_loss"]).backward()
    assert not gradients(adversary)
    assert rebuilt.grad is not None
    assert float(rebuilt.grad.abs().max()) > 0


def test_one_backward_pass_gives_the_gradients_of_two_turns() -> None:
    torch.manual_seed(0)
    adversary = Adversary(AdversaryConfig(n_ffts=(512,), n_channels=4))
    waveform, rebuilt = 0.1 * torch.randn(2, 4_800), (0.1 * torch.randn(2, 4_800)).requires_grad_()
    torch.stack(list(adversary(waveform, rebuilt).values())).sum().backward()
    both = [g.clone() for g in gradients(adversary)]
    adversary.zero_grad()
    adversary(waveform, rebuilt)["discriminator_loss"].backward()
    for together, alone in zip(both, gradients(adversary), strict=True):
        torch.testing.assert_close(together, alone)


def test_discriminators_learn_to_tell_noise_from_tones() -> None:
    torch.manual_seed(0)
    adversary = Adversary(AdversaryConfig(n_ffts=(512,), n_channels=8))
    optimizer = torch.optim.AdamW(adversary.parameters(), lr=1e-2)
    for _ in range(60):
        loss = adversary(clips().waveform, 0.1 * torch.randn(4, 9_600))["discriminator_loss"]
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    assert float(loss.detach()) < 0.2
