"""A training step waits for its device only where this is known and meant."""

import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from solfa.config import override
from solfa.training import RunConfig
from training.test_mert_objective import mert_run  # noqa: F401  a fixture
from training.test_small_run import small
from training.test_trainer import train

# What makes a program wait for its device, because the next thing to do depends on numbers there.
WAITS = (
    "_local_scalar_dense", "nonzero", "masked_select", "_unique2", "unique_dim", "equal", "is_nonzero",
    "repeat_interleave",
)  # fmt: skip
# Masks, mixtures and seeds are drawn by the processor, out of tensors of its own.
ON_THE_HOST = (
    "generators", "sample", "sample_span_mask", "sample_spread_mask", "thin_out", "spans", "_draw", "_views",
)  # fmt: skip
# Per step: the norm and what was unreadable; the frames that are hidden, of states, of their gradients and of
# targets; of two steps also which clips are left whole, and of others the frames that are visible.
COMMON = {"_follow": 2, "forward": 1, "loss": 1, "_train_step": 1}
MEANT = {
    "muq": COMMON,
    "mert": COMMON | {"loss": 2},
    "solfa_small_one_step": COMMON,
    "solfa_small": COMMON | {"forward": 3, "visible_states": 4, "with_something_visible": 2},
}


class Waiting(TorchDispatchMode):
    """Counts, by function of solfa, what would wait for a device inside."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = function._schema.name.removeprefix("aten::")
        if name in WAITS or (name in ("index", "index_put", "index_put_") and _by_truth(args[1])):
            self.counts[_place()] += 1
        return function(*args, **(kwargs or {}))


def _by_truth(indices: Any) -> bool:
    return any(index is not None and index.dtype in (torch.bool, torch.uint8) for index in indices)


def _place() -> str:
    """The innermost function of solfa that is running; "" if the processor draws there."""
    running = [frame.name for frame in traceback.extract_stack() if "/solfa/" in frame.filename]
    return "" if not running or set(running) & set(ON_THE_HOST) else running[-1]


def of_a_step(config: RunConfig, folder: Path) -> Counter[str]:
    """How often a step waits: what two more steps add, halved."""
    never = {"log_every": 100, "validate_every": 100, "checkpoint_every": 100, "data.valid_manifest": ""}
    counts = []
    for n_steps in (1, 3):
        with Waiting() as waiting:
            train(override(config, never | {"n_steps": n_steps}), folder / str(n_steps))
        counts.append(waiting.counts)
    more = counts[1] - counts[0]
    del more[""]
    return Counter({place: -(-count // 2) for place, count in more.items()})


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("name", MEANT)
def test_a_step_waits_for_its_device_no_more_often_than_is_meant(
    name: str, small_run: RunConfig, manifest: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    made: dict[str, Callable[[], RunConfig]] = {
        "muq": lambda: small_run,
        "mert": lambda: request.getfixturevalue("mert_run"),
    }
    config = made[name]() if name in made else small(name, manifest)
    found = of_a_step(config, tmp_path)
    assert found and not found - Counter(MEANT[name]), found
