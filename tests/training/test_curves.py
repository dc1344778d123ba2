import json
from pathlib import Path

import pytest

from solfa.training import CurvesError, draw_curves

CODES = {"perplexity_by_codebook": [10.0, 20.0], "unigram_loss": 2.0, "unigram_accuracy": 0.1}
KINDS = {
    "codes": {"accuracy": 0.2, "loss_by_codebook": [3.0, 4.0], **CODES},
    "values": {"squared_error": 0.5, "squared_error_of_mean": 0.6, "gradient_norm": 1.0},
    "quantizer": {"explained_variance": 0.7, **CODES},
    "codec": {"log_mel": 0.4, **CODES},
    "labels": {"accuracy": 0.5, "gradient_norm": 1.0},
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_run_can_be_drawn(kind: str, tmp_path: Path) -> None:
    figures = KINDS[kind]
    held_out = {f"valid_{name}": value for name, value in figures.items()}
    lines = [{"step": 10, "loss": 2.0, **figures}, {"step": 20, "loss": 1.0, **figures, **held_out}]
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    picture = draw_curves(tmp_path)
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert picture.stat().st_size > 10_000


def test_a_run_without_a_log_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(CurvesError, match="Train a little longer"):
        draw_curves(tmp_path)
