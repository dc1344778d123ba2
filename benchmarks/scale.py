"""The plan for a large run: what it costs, what it needs, and when its cards would wait for data.

    python benchmarks/scale.py cost                              card hours and memory of the published sizes
    python benchmarks/scale.py embed                             1, 10 and 100 million tracks
    python benchmarks/scale.py wait --cards 64 --readers 8       share of time that cards wait
    python benchmarks/scale.py wait --cards 512 --readers 12 --stall-share 0.001 --stall-seconds 5

Operations and bytes are counted: the encoder runs on PyTorch's `meta` device, where nothing is computed and
every operation is seen, forward and backward. What a card achieves, what it costs and what a link carries
are options whose defaults are assumptions; docs/scale.md says where each number comes from. `wait` plays
readers and cards by the clock: a step begins when the last of the cards has its clips, as gradients are
summed over all. Of strided convolutions PyTorch counts a backward pass somewhat too high.
"""

import argparse
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode

from solfa.models import build_encoder
from solfa.recipes import recipe

GIGA, TERA, HOUR = 1e9, 1e12, 3600
TRACK_SECONDS = 240.0
SEGMENT_SECONDS = 30.0


@dataclass(frozen=True)
class Run:
    """A published run: its recipe here, its clips, and how often it learned."""

    recipe: str
    clip_seconds: float
    clips_per_step: int
    n_steps: int
    clips_at_once: int  # in one pass of one card, as published

    @property
    def heard_seconds(self) -> float:
        """Audio heard in all."""
        return self.clip_seconds * self.clips_per_step * self.n_steps


# MuQ: 192 clips of 30 s; MERT: 64 cards of 2 M samples, and 64 of 900,000, eight times accumulated.
RUNS = (
    Run("muq_large", 30.0, 192, 400_000, 3),
    Run("mert_95m", 5.0, 1_024, 400_000, 16),
    Run("mert_330m", 5.12, 3_584, 400_000, 7),
)


@dataclass(frozen=True)
class Counted:
    """What a clip costs an encoder."""

    forward: float  # operations; a multiplication and its addition are two
    backward: float
    activations: float  # bytes that wait for the backward pass, in numbers of two bytes
    n_parameters: int
    n_layers: int
    width: int
    n_frames: int


def counted(run: Run) -> Counted:
    """Operations and bytes of one clip, by going through the encoder without computing."""
    config: Any = recipe(run.recipe).objective
    with torch.device("meta"):
        encoder = build_encoder(config.encoder).train()
    own = {p.untyped_storage()._cdata for p in encoder.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in own:
            kept[storage._cdata] = storage.nbytes()
        return tensor

    waveform = torch.empty(1, int(run.clip_seconds * encoder.sample_rate), device="meta")
    counter = FlopCounterMode(display=False)
    with counter, saved_tensors_hooks(keep, lambda tensor: tensor):
        frames, n_frames = encoder.frontend(waveform)
        states = encoder.context(frames, n_frames).last
        forward = counter.get_total_flops()
        states.sum().backward()
    return Counted(
        forward, counter.get_total_flops() - forward, sum(kept.values()) / 2,
        sum(p.numel() for p in encoder.parameters()), encoder.n_layers, encoder.dim, states.shape[1],
    )  # fmt: skip


def cost(arguments: argparse.Namespace) -> None:
    """Card hours, memory, and what gradients need of the links."""
    rate = arguments.peak * TERA * arguments.share
    print("run        hours heard  operations  card hours     cost  GB: states   clip  recomputed  gradients")
    for run in RUNS:
        of_clip = counted(run)
        total = (of_clip.forward + of_clip.backward) * run.clips_per_step * run.n_steps
        hours = total / rate / HOUR
        states = of_clip.n_parameters * (4 + 4 + 8) / GIGA  # float32 weights, gradients, two moments
        recomputed = 2 * of_clip.n_layers * of_clip.width * of_clip.n_frames / GIGA
        gradients = 4 * of_clip.n_parameters / GIGA
        print(
            f"{run.recipe:10} {run.heard_seconds / HOUR:11,.0f} {total:11.2e} {hours:11,.0f} "
            f"{hours * arguments.price:7,.0f} {states:11.1f} {of_clip.activations / GIGA:6.2f} "
            f"{recomputed:11.3f} {gradients:10.2f}"
        )
        for n_cards in arguments.cards:
            if n_cards > run.clips_per_step:
                print(f"  {n_cards:4} cards: more than a step of {run.clips_per_step} clips has work for")
                continue
            seconds = total / run.n_steps / rate / n_cards
            ring = 2 * (n_cards - 1) / n_cards * gradients / arguments.link
            of_a_card = run.clip_seconds * run.clips_per_step / n_cards / max(seconds, ring)
            print(
                f"  {n_cards:4} cards: {hours / n_cards / 24:7.2f} days, a step {1e3 * seconds:7.1f} ms, "
                f"its gradients {1e3 * ring:5.1f} ms, {run.clips_per_step / n_cards:7.1f} clips and "
                f"{of_a_card:7.0f} s of audio a second on each"
            )


def embed(arguments: argparse.Namespace) -> None:
    """What catalogues cost to embed and to keep."""
    rate = arguments.peak * TERA * arguments.share
    run = RUNS[0]
    of_clip = counted(run)
    per_track = of_clip.forward * TRACK_SECONDS / run.clip_seconds
    heard = rate / (of_clip.forward / run.clip_seconds)  # seconds of audio a second
    print(f"one card hears {heard:,.0f} s a second; {heard / arguments.decoding:.0f} cores decode for it")
    print("      tracks  card hours     cost  core hours to decode  TB of audio  GB: of tracks  of segments")
    for n_tracks in (10**6, 10**7, 10**8):
        hours = per_track * n_tracks / rate / HOUR
        cores = TRACK_SECONDS * n_tracks / arguments.decoding / HOUR
        audio = TRACK_SECONDS * n_tracks * arguments.kilobits * 125 / TERA
        vectors = 2 * of_clip.width * n_tracks / GIGA  # half precision
        print(
            f"{n_tracks:12,} {hours:11,.0f} {hours * arguments.price:8,.0f} {cores:21,.0f} {audio:12,.1f} "
            f"{vectors:14,.1f} {vectors * TRACK_SECONDS / SEGMENT_SECONDS:12,.1f}"
        )


@dataclass(frozen=True)
class Pipeline:
    """Readers that make the clips of cards."""

    n_cards: int
    n_readers: int  # of each card
    clips: int  # of each card in a step
    step_seconds: float
    clip_seconds_to_read: float  # by one reader, in the mean
    spread: float = 0.5  # of the logarithm of that time
    stall_share: float = 0.0  # of clips that take long
    stall_seconds: float = 0.0  # that they take longer
    prefetch: int = 2  # steps ahead, of each reader


def share_waiting(pipeline: Pipeline, n_steps: int, seed: int = 0) -> tuple[float, float]:
    """Share of time in which cards wait for clips: all of them for the slowest, and each for its own readers.

    Reader ``k`` of a card makes the clips of its steps ``k, k + n_readers, ...``, one after the other, and no
    more than ``prefetch`` of its own ahead of the card.
    """
    random = np.random.default_rng(seed)
    shape = (n_steps, pipeline.n_cards)
    mean = np.log(pipeline.clip_seconds_to_read) - pipeline.spread**2 / 2
    made = np.zeros(shape)
    for _ in range(pipeline.clips):
        stalled = random.random(shape) < pipeline.stall_share
        made += np.exp(random.normal(mean, pipeline.spread, shape)) + pipeline.stall_seconds * stalled
    together = _finish(pipeline, made, is_joint=True)
    alone = _finish(pipeline, made, is_joint=False)
    skipped = n_steps // 5  # queues fill first
    busy = (n_steps - skipped) * pipeline.step_seconds
    return tuple(1 - busy / float((end[-1] - end[skipped - 1]).mean()) for end in (together, alone))  # type: ignore[return-value]


def _finish(pipeline: Pipeline, made: np.ndarray, is_joint: bool) -> np.ndarray:
    """When each card has done each step, in seconds; where ``is_joint`` a step begins on all at once."""
    n_steps, readers = len(made), pipeline.n_readers
    ready, ended = np.zeros_like(made), np.zeros_like(made)
    for step in range(n_steps):
        free = ready[step - readers] if step >= readers else 0.0
        ahead = step - readers * pipeline.prefetch
        ready[step] = np.maximum(free, ended[ahead] if ahead >= 0 else 0.0) + made[step]
        begin = np.maximum(ready[step], ended[step - 1] if step else 0.0)
        ended[step] = (begin.max() if is_joint else begin) + pipeline.step_seconds
    return ended


def wait(arguments: argparse.Namespace) -> None:
    """How long cards of each number wait."""
    rate = arguments.peak * TERA * arguments.share
    run = next(run for run in RUNS if run.recipe == arguments.run)
    of_clip = counted(run)
    print(f"{run.recipe}: clips of {run.clip_seconds:g} s, decoded at {arguments.decoding:g} times real time")
    print("cards  readers  clips of a card  step ms  wait, all  wait, each alone  read MB/s, all")
    for n_cards in arguments.cards:
        clips = max(1, round(run.clips_per_step / n_cards))  # with more cards, steps are of more clips
        seconds = clips * (of_clip.forward + of_clip.backward) / rate
        for n_readers in arguments.readers:
            pipeline = Pipeline(
                n_cards, n_readers, clips, seconds, run.clip_seconds / arguments.decoding,
                stall_share=arguments.stall_share, stall_seconds=arguments.stall_seconds,
            )  # fmt: skip
            together, alone = share_waiting(pipeline, arguments.steps)
            read = n_cards * clips * run.clip_seconds * arguments.kilobits / 8e3 / (seconds / (1 - together))
            print(
                f"{n_cards:5} {n_readers:8} {clips:16} {1e3 * seconds:8.1f} {together:10.1%} {alone:17.1%} "
                f"{read:15,.0f}"
            )


def main() -> None:
    """Cost, catalogues, or waiting."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verbs = parser.add_subparsers(required=True)
    for name, verb in (("cost", cost), ("embed", embed), ("wait", wait)):
        part = verbs.add_parser(name)
        part.set_defaults(do=verb)
        part.add_argument(
            "--peak", type=float, default=989.0, help="a card's products, 1e12 operations a second"
        )
        part.add_argument("--share", type=float, default=0.4, help="of its peak that a card achieves")
        part.add_argument("--price", type=float, default=2.5, help="of a card for an hour")
        part.add_argument("--link", type=float, default=50.0, help="GB a second, between cards, each way")
        part.add_argument("--cards", type=int, nargs="+", default=[8, 64, 512])
        part.add_argument(
            "--decoding", type=float, default=237.0, help="times as fast as it sounds, one core"
        )
        part.add_argument("--kilobits", type=float, default=192.0, help="a second, of compressed audio")
    part.add_argument("--run", choices=[run.recipe for run in RUNS], default="muq_large")
    part.add_argument("--readers", type=int, nargs="+", default=[2, 4, 8, 16], help="processes of each card")
    part.add_argument("--stall-share", type=float, default=0.0, help="of clips whose storage answers late")
    part.add_argument("--stall-seconds", type=float, default=0.0)
    part.add_argument("--steps", type=int, default=400, help="that are played")
    arguments = parser.parse_args()
    arguments.do(arguments)


if __name__ == "__main__":
    main()
