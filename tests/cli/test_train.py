"""What solfa train says when a run is done, by which of several processes, and when another one fails."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from solfa import distributed
from solfa.cli import train
from solfa.cli.main import app
from solfa.recipes import recipe
from solfa.training import Trainer

WORDS = ["train", "muq_tiny", "--device", "cpu", "--out"]


class Finished(Trainer):
    """A run that is over as soon as it begins."""

    def __init__(self, config: Any, place: Any, on_step: Any) -> None:
        self.config, self.place, self.best, self.step = config, place, SimpleNamespace(step=0), 1

    def train(self, resume: bool = False) -> Path:
        return self.place.run


@pytest.fixture
def as_rank(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes this process, while it is in a group and no longer, one of several."""

    def pretend(rank: int) -> None:
        @contextmanager
        def group(device: torch.device) -> Iterator[None]:
            with pytest.MonkeyPatch.context() as inside:
                inside.setattr(distributed, "rank", lambda: rank)
                yield

        monkeypatch.setattr(distributed, "process_group", group)

    monkeypatch.setattr(train, "Trainer", Finished)
    monkeypatch.setattr(train, "draw_curves", lambda run: run / "curves.png")
    return pretend


@pytest.mark.parametrize(("rank", "says"), [(0, True), (1, False)])
def test_of_several_processes_the_first_says_what_to_do_next(
    rank: int, says: bool, as_rank: Any, tmp_path: Path
) -> None:
    as_rank(rank)
    result = CliRunner().invoke(app, [*WORDS, str(tmp_path / "run")])
    assert result.exit_code == 0, result.output
    assert ("Done: " in result.output, "Curves: " in result.output) == (says, says)


def test_a_process_that_ends_because_of_another_says_nothing(
    as_rank: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_rank(1)

    def fail(self: Finished, resume: bool = False) -> Path:
        raise distributed.EndedByAnother("Another process has failed; what it says is the cause.")

    monkeypatch.setattr(Finished, "train", fail)
    result = CliRunner().invoke(app, [*WORDS, str(tmp_path / "run")])
    assert result.exit_code == 3
    assert "fail" not in result.output and "Traceback" not in result.output


def test_every_recipe_says_what_to_do_next_with_its_run() -> None:
    for name in ("muq_tiny", "mel_rvq", "kmeans_75hz", "rvq_vae", "hidden_rvq", "mulan_tiny"):
        said = train.how_to_use(Path("RUN"), recipe(name))
        assert said.startswith("Done: RUN.") and ("solfa.load" in said) == (
            name in ("muq_tiny", "mulan_tiny")
        )


def test_a_quantizer_is_named_where_a_recipe_has_a_place_for_it() -> None:
    for name, learner in (("mel_rvq", "muq_small"), ("cqt_rvq_small", "solfa_small")):
        said = train.how_to_use(Path("RUN"), recipe(name))
        place = int(said.split("objective.predictions.")[1][0])
        target = recipe(learner).objective.predictions[place].target  # type: ignore[union-attr]
        assert f"solfa train {learner} " in said
        assert target.kind == recipe(name).objective.target.kind  # type: ignore[union-attr]
