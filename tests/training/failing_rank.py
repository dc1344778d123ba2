"""One process of a training in which one of two fails; run by test_failing_rank.py.

python failing_rank.py CASE train CONFIG --out RUN ...
"""

import os
import sys
import time
from collections.abc import Callable
from typing import Any

import torch

from solfa import checkpoint, distributed
from solfa.cli import main as command
from solfa.data.clips import RandomClips
from solfa.objectives import MaskedPrediction
from solfa.targets import TargetError

FIRST, SECOND = 0, 1
plain_forward = MaskedPrediction.forward


def failing(message: str) -> Callable[..., Any]:
    def fail(*_: Any, **__: Any) -> Any:
        raise TargetError(message)

    return fail


def not_a_number(self: MaskedPrediction, clips: Any) -> Any:
    step = plain_forward(self, clips)
    return type(step)(step.loss * torch.nan, step.count, step.sums)


def waiting(*_: Any, **__: Any) -> Any:
    """As inside a library that waits for the others, and for half an hour: Python is not asked."""
    while True:
        time.sleep(60)


# case -> who is different, and how
CASES: dict[str, dict[int, Callable[[], None]]] = {
    "start": {SECOND: lambda: setattr(MaskedPrediction, "start", failing("no teacher here"))},
    "data": {SECOND: lambda: setattr(RandomClips, "__getitem__", failing("no such clip here"))},
    "loss": {SECOND: lambda: setattr(MaskedPrediction, "forward", not_a_number)},
    "disk": {FIRST: lambda: setattr(checkpoint, "save", failing("no space left"))},
    "stuck": {
        FIRST: lambda: setattr(MaskedPrediction, "forward", waiting),
        SECOND: lambda: setattr(RandomClips, "__getitem__", failing("no such clip here")),
    },
}


def main() -> None:
    torch.set_num_threads(1)
    distributed.SECONDS_TO_END = 2.0
    CASES[sys.argv.pop(1)].get(int(os.environ["RANK"]), lambda: None)()
    command.run()


main()
