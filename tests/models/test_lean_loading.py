"""Loading gives weights to a model without copying them twice: nothing else about the model is different."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

import solfa
from golden_data import GOLDEN, MERT, MUQ, io_of, weights_of
from solfa.models import MuLan, build_encoder
from solfa.models.folders import PICKLED_WEIGHTS
from solfa.models.text import TextModel


def as_safetensors(folder: Path, weights: dict[str, torch.Tensor]) -> None:
    save_file(weights, folder / "model.safetensors")


def as_pickle(folder: Path, weights: dict[str, torch.Tensor]) -> None:
    """All tensors are parts of one memory, as a program may have left them."""
    ends = torch.tensor([w.numel() for w in weights.values()]).cumsum(0).tolist()
    memory = torch.cat([w.flatten().float() for w in weights.values()])
    parts = zip(weights.items(), ends, strict=True)
    shared = {name: memory[end - w.numel() : end].view(w.shape) for (name, w), end in parts}
    torch.save(shared, folder / PICKLED_WEIGHTS)
    (folder / "model.safetensors").unlink()


@pytest.mark.parametrize("case", [*MUQ, *MERT])
def test_a_loaded_encoder_equals_one_that_was_built_and_then_filled(case: str) -> None:
    loaded, waveform = solfa.load(GOLDEN / case), io_of(case)["wav"]
    filled = build_encoder(loaded.config).eval().requires_grad_(False)
    filled.load_state_dict(loaded.state_dict())
    assert torch.equal(loaded(waveform).layers, filled(waveform).layers)


def test_a_loaded_music_text_model_equals_one_that_was_built_and_then_filled() -> None:
    loaded, waveform = solfa.load(GOLDEN / "muq_mulan"), io_of("muq_mulan")["wav"]
    assert isinstance(loaded, MuLan)
    filled = MuLan(loaded.config, TextModel(loaded.text.language.folder)).eval().requires_grad_(False)
    filled.load_state_dict(loaded.state_dict())
    texts = ["calm solo piano", "fast rock song"]
    assert torch.equal(loaded.embed_audio(waveform), filled.embed_audio(waveform))
    assert torch.equal(loaded.embed_text(texts), filled.embed_text(texts))


@pytest.mark.parametrize("case", [*MUQ, *MERT])
def test_buffers_that_are_in_no_file_are_those_of_a_model_built_without_one(case: str) -> None:
    loaded = solfa.load(GOLDEN / case)
    built = dict(build_encoder(loaded.config).named_buffers())
    besides = [name for name, _ in loaded.named_buffers() if name not in loaded.state_dict()]
    assert all(torch.equal(loaded.get_buffer(name), built[name]) for name in besides)


def test_every_number_is_that_of_the_file() -> None:
    published = weights_of(MUQ[0])
    loaded = solfa.load(GOLDEN / MUQ[0]).state_dict()
    assert torch.equal(loaded["frontend.stem.projection.weight"], published["model.conv.linear.weight"])
    assert torch.equal(
        loaded["frontend.stem.blocks.1.norm_out.running_var"],
        published["model.conv.conv.1.bn2.running_var"],
    )


@pytest.mark.parametrize("write", [as_safetensors, as_pickle])
def test_a_file_in_half_precision_becomes_float32(
    write: Callable[[Path, dict[str, torch.Tensor]], None], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(GOLDEN / MUQ[0], tmp_path / "half"))
    weights = {n: w.half() if w.is_floating_point() else w for n, w in weights_of(MUQ[0]).items()}
    write(folder, weights)
    loaded, waveform = solfa.load(folder), io_of(MUQ[0])["wav"]
    assert {w.dtype for w in loaded.state_dict().values()} == {torch.float32, torch.int64}
    rounded = solfa.load(GOLDEN / MUQ[0])
    rounded.load_state_dict(
        {n: w.half() if w.is_floating_point() else w for n, w in rounded.state_dict().items()}
    )
    assert torch.equal(loaded(waveform).layers, rounded(waveform).layers)


@pytest.mark.parametrize("write", [as_safetensors, as_pickle])
def test_every_weight_has_memory_of_its_own(
    write: Callable[[Path, dict[str, torch.Tensor]], None], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(GOLDEN / MUQ[0], tmp_path / "model"))
    write(folder, weights_of(MUQ[0]))
    weights = solfa.load(folder).state_dict().values()
    assert all(w.untyped_storage().nbytes() == w.nbytes for w in weights)
    assert len({w.data_ptr() for w in weights}) == len(weights)


def test_a_model_does_not_change_when_its_file_does(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(GOLDEN / MUQ[0], tmp_path / "model"))
    loaded, waveform = solfa.load(folder), io_of(MUQ[0])["wav"]
    before = loaded(waveform).layers
    with (folder / "model.safetensors").open("r+b") as file:
        file.seek(4096)
        file.write(bytes((folder / "model.safetensors").stat().st_size - 4096))
    assert torch.equal(loaded(waveform).layers, before)


def test_a_model_can_be_saved_over_its_own_file(tmp_path: Path) -> None:
    waveform = io_of(MUQ[0])["wav"]
    folder = solfa.load(GOLDEN / MUQ[0]).save_pretrained(tmp_path / "saved")
    again = solfa.load(solfa.load(folder).save_pretrained(folder))
    assert torch.equal(again(waveform).layers, solfa.load(GOLDEN / MUQ[0])(waveform).layers)


def test_loading_draws_no_random_numbers() -> None:
    before = torch.get_rng_state()
    solfa.load(GOLDEN / MUQ[0])
    assert torch.equal(torch.get_rng_state(), before)


def test_a_loaded_encoder_can_learn_again() -> None:
    encoder = solfa.load(GOLDEN / MUQ[0]).requires_grad_(True)
    encoder(io_of(MUQ[0])["wav"]).last.square().sum().backward()
    optimizer = torch.optim.SGD(encoder.parameters(), lr=0.1)
    before = encoder.frontend.stem.projection.weight.detach().clone()
    optimizer.step()
    assert not torch.equal(encoder.frontend.stem.projection.weight, before)
