"""The layer for a task: what published probes took, by name or architecture, and nothing beyond."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import pytest
import torch

from golden_data import GOLDEN
from solfa.models import AudioEncoder, MERTConfig, MuQConfig, TransformerConfig, build_encoder, load_encoder
from solfa.models.layer_guide import LayerGuideError, guided_layer
from solfa.models.published import CHECKPOINTS
from solfa.models.published.format import GuidedTask

DOCS = Path(__file__).parents[2] / "docs" / "use.md"
PROBED = [(name, probed) for name, checkpoint in CHECKPOINTS.items() for probed in checkpoint.layers]
LARGE = TransformerConfig(n_layers=24, dim=1024, feed_forward_dim=4096, n_heads=16, norm="before")


@pytest.fixture(scope="module")
def encoder_of() -> Callable[[str], AudioEncoder]:
    """An encoder of a published size, without weights."""
    configs = {
        "OpenMuQ/MuQ-large-msd-iter": MuQConfig(),
        "m-a-p/MERT-v1-95M": MERTConfig(),
        "m-a-p/MERT-v1-330M": MERTConfig(transformer=LARGE),
        "m-a-p/MERT-v0": MERTConfig(sample_rate=16_000),
    }
    with torch.device("meta"):
        encoders = {name: build_encoder(config) for name, config in configs.items()}
    return encoders.__getitem__


@pytest.mark.parametrize(
    ("name", "task", "layer"),
    [
        ("m-a-p/MERT-v1-95M", "key", 8),
        ("m-a-p/MERT-v1-95M", "genre", 7),
        ("m-a-p/MERT-v1-95M", "emotion", 5),
        ("m-a-p/MERT-v1-95M", "instrument", 6),
        ("m-a-p/MERT-v1-95M", "pitch", 1),
        ("m-a-p/MERT-v1-95M", "singer", 2),
        ("m-a-p/MERT-v1-95M", "technique", 9),
        ("m-a-p/MERT-v1-95M", "mood-tags", 6),
        ("m-a-p/MERT-v1-330M", "genre", 10),
        ("OpenMuQ/MuQ-large-msd-iter", "genre", 6),
        ("OpenMuQ/MuQ-large-msd-iter", "emotion", 6),
    ],
)
def test_a_published_name_gives_the_layer_of_its_probe(
    encoder_of: Callable[[str], AudioEncoder], name: str, task: GuidedTask, layer: int
) -> None:
    found = guided_layer(encoder_of(name), name, task)
    assert found.number == layer
    assert found.reason.startswith("MARBLE v") and found.reason.endswith(f"with {name}")


def test_a_folder_is_known_by_its_architecture(
    encoder_of: Callable[[str], AudioEncoder], tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "mert_model"}')
    found = guided_layer(encoder_of("m-a-p/MERT-v1-330M"), tmp_path, "genre")
    assert (found.number, found.reason) == (
        10, "MARBLE v1, GTZAN, with m-a-p/MERT-v1-330M, whose architecture this model has",
    )  # fmt: skip


def test_every_layer_of_the_guide_is_one_that_its_checkpoint_has() -> None:
    for name, probed in PROBED:
        architecture = CHECKPOINTS[name].architecture
        assert architecture is not None
        assert probed.layer is None or 1 <= probed.layer <= architecture[1]


def test_no_task_of_a_checkpoint_is_listed_twice() -> None:
    tasks = [(name, probed.task) for name, probed in PROBED]
    assert len(tasks) == len(set(tasks))


@pytest.mark.parametrize("task", ["key", "tagging", "beat"])
def test_a_probe_that_mixed_all_layers_is_refused_with_what_is_known(
    encoder_of: Callable[[str], AudioEncoder], task: GuidedTask
) -> None:
    name = "OpenMuQ/MuQ-large-msd-iter"
    with pytest.raises(LayerGuideError, match=f"For '{task}', the probe of {name} mixed all layers") as error:
        guided_layer(encoder_of(name), name, task)
    assert "layers for genre 6, emotion 6; all layers mixed for key, tagging, beat" in str(error.value)
    assert "--layer N, or keep several with --frames --frame-layer" in str(error.value)


def test_a_task_without_a_probe_is_refused_with_what_is_known(
    encoder_of: Callable[[str], AudioEncoder],
) -> None:
    with pytest.raises(LayerGuideError, match=r"No published probe .* 'key' .*layers for genre 10\. Choose"):
        guided_layer(encoder_of("m-a-p/MERT-v1-330M"), "m-a-p/MERT-v1-330M", "key")


@pytest.mark.parametrize("name", ["m-a-p/MERT-v0", "m-a-p/MERT-v0-public"])
def test_nothing_is_claimed_of_checkpoints_without_findings(
    encoder_of: Callable[[str], AudioEncoder], name: str
) -> None:
    with pytest.raises(LayerGuideError, match=r"Known of it: nothing\. Choose one of its 12 layers"):
        guided_layer(encoder_of("m-a-p/MERT-v0"), name, "genre")


def test_another_architecture_is_refused_with_the_known_checkpoints() -> None:
    folder = GOLDEN / "mert_95m_style"
    with pytest.raises(LayerGuideError, match=r"no checkpoint whose layers are known\. Those are: OpenMuQ"):
        guided_layer(load_encoder(folder), folder, "key")


def test_a_run_of_ones_own_is_refused_whatever_its_architecture(
    encoder_of: Callable[[str], AudioEncoder], tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text('{"objective": {}}')
    with pytest.raises(LayerGuideError, match=r"a run of your own.*--layer N"):
        guided_layer(encoder_of("m-a-p/MERT-v1-95M"), tmp_path, "key")


def test_an_unknown_task_is_refused_with_the_known_ones(encoder_of: Callable[[str], AudioEncoder]) -> None:
    with pytest.raises(LayerGuideError, match=r"no task 'tempo'\. Known are: key, genre, emotion"):
        guided_layer(encoder_of("m-a-p/MERT-v1-95M"), None, "tempo")


def test_the_table_in_the_docs_says_what_the_code_says() -> None:
    lines = re.findall(
        r"^\| `([\w-]+)`[^|]* \| (\S+) \| (\S+) \| (\S+) \| (\S+) \| (\S+) \|$",
        DOCS.read_text(),
        re.MULTILINE,
    )
    rows = {line[0]: line[1:] for line in lines if line[0] in get_args(GuidedTask)}
    names = ("MERT-v1-95M", "MERT-v1-330M", "MERT-v2-30s", "MERT-v2-FullSong")
    columns = ["OpenMuQ/MuQ-large-msd-iter", *(f"m-a-p/{name}" for name in names)]
    said = {
        (name, task): cell
        for task, cells in rows.items()
        for name, cell in zip(columns, cells, strict=True)
        if cell != "-"
    }
    expected = {
        (name, probed.task): "mixed" if probed.layer is None else str(probed.layer) for name, probed in PROBED
    }
    assert said == expected
