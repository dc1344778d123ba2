"""Shares of weights, gradients and moments on each rank, and what each writes of them side by side.

Imported where weights are shared out or were: PyTorch takes a second to import what this needs.
"""

import shutil
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.distributed.checkpoint as shards_on_disk
from safetensors import SafetensorError
from torch import Tensor
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.metadata import TensorStorageMetadata
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, empty

from solfa import checkpoint, distributed
from solfa.checkpoint import CheckpointError
from solfa.errors import ArgumentError
from solfa.files import PARTIAL
from solfa.objectives import Objective

try:
    from torch.distributed.checkpoint import HuggingFaceStorageReader, HuggingFaceStorageWriter
except ImportError as error:
    raise ArgumentError(
        f"PyTorch {torch.__version__} writes no shards as safetensors. Install 2.13, with which this was "
        "tested, or train without --shard."
    ) from error

IN_SHARDS = "in shards"  # begins what stands in the training state in place of a tensor


def shard(objective: Objective, device: torch.device) -> None:
    """Leave each rank some rows of every weight that learns; layers are gathered when they compute.

    What is frozen stays whole on every rank. Parameters are others afterwards: optimisers come later.

    Source:
        Fully sharded data parallel, arXiv:2304.11277.

    Raises:
        ArgumentError: the objective does not allow for it.
    """
    layers = objective.layers_to_shard()
    if layers is None:
        raise ArgumentError(
            f"Weights of {type(objective).__name__} cannot be shared out among processes. Train without "
            "--shard: each process then holds all of them."
        )
    mesh = init_device_mesh(device.type, (distributed.world_size(),))
    frozen = {parameter for parameter in objective.parameters() if not parameter.requires_grad}
    for module in (*layers, objective):
        fully_shard(module, mesh=mesh, ignored_params=frozen)


# --- on the disk --------------------------------------------------------------------------------------------


def write_aside(run: Path, step: int, training: dict[str, Any]) -> tuple[dict[str, Any], Path | None]:
    """Write what ranks share out of a training state into a folder that is no checkpoint yet.

    A call is collective.

    Returns:
        The rest of the state, and the folder; None if nothing is shared out yet.

    Raises:
        CheckpointError: it cannot be written.
    """
    tensors: dict[str, Tensor] = {}
    rest = take_out(training, tensors)
    if not tensors:
        return rest, None
    folder = checkpoint.step_folder(run, step).with_suffix(f".{checkpoint.SHARDS}{PARTIAL}")
    if distributed.is_main():
        shutil.rmtree(folder, ignore_errors=True)  # which an interrupted program left
        folder.mkdir(parents=True)
    distributed.barrier()
    write(folder, tensors)
    return rest, folder


def read_back(folder: Path, training: dict[str, Any], like: Tensor | None) -> dict[str, Any]:
    """A training state with what lies in the shards of its checkpoint folder.

    Args:
        folder: of the checkpoint.
        training: what else it holds.
        like: a weight that is shared out, as the state is to be; it is whole if None.

    Raises:
        CheckpointError: shards are damaged or missing.
    """
    try:
        return put_back(training, read(folder / checkpoint.SHARDS, like))
    except KeyError as error:
        raise checkpoint.damaged(folder / checkpoint.SHARDS, f"its shards have no {error}") from error


def take_out(state: Any, taken: dict[str, Tensor], path: str = "") -> Any:
    """A training state with a note in place of each tensor that is shared out; those go into ``taken``."""
    if isinstance(state, Tensor) and distributed.is_shared_out(state):
        taken[path] = state
        return f"{IN_SHARDS}: {path}"
    if isinstance(state, dict):
        return {
            key: take_out(value, taken, f"{path}.{key}" if path else str(key)) for key, value in state.items()
        }
    if isinstance(state, list):
        return [take_out(value, taken, f"{path}.{number}") for number, value in enumerate(state)]
    return state


def put_back(state: Any, tensors: Mapping[str, Tensor]) -> Any:
    """A training state with tensors in place of their notes.

    Raises:
        KeyError: one is missing.
    """
    if isinstance(state, str) and state.startswith(f"{IN_SHARDS}: "):
        return tensors[state.removeprefix(f"{IN_SHARDS}: ")]
    if isinstance(state, dict):
        return {key: put_back(value, tensors) for key, value in state.items()}
    if isinstance(state, list):
        return [put_back(value, tensors) for value in state]
    return state


def write(folder: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write tensors of which each rank holds some rows: each its own, side by side; a call is collective.

    The files are safetensors, which hold no code.

    Raises:
        CheckpointError: a disk is full or does not accept files, or ranks write to different disks.
    """
    try:
        shards_on_disk.save(
            dict(tensors), storage_writer=HuggingFaceStorageWriter(str(folder), save_distributed=True)
        )
    except (CheckpointException, OSError, SafetensorError) as error:
        raise CheckpointError(f"Shards could not be written to {folder}: {error}") from error
    if distributed.is_main():
        found = _described(folder)
        for name, tensor in tensors.items():
            _check_complete(folder, name, found.get(name), tensor.shape)


def read(folder: Path, like: Tensor | None) -> dict[str, Tensor]:
    """Tensors by name, from the shards of however many ranks wrote them.

    Args:
        folder: of the shards.
        like: a weight that is shared out, as the tensors are to be; whole ones on the processor if None.

    Raises:
        CheckpointError: shards are damaged or missing.
    """
    checkpoint.check_sums(folder)
    tensors: dict[str, Tensor] = {}
    try:
        for name, found in _described(folder).items():
            _check_complete(folder, name, found, found.size)
            settings: dict[str, Any] = {"dtype": found.properties.dtype}
            if isinstance(like, DTensor):
                settings |= {"device_mesh": like.device_mesh, "placements": like.placements}
                tensors[name] = empty(found.size, **settings)
            else:
                tensors[name] = torch.empty(found.size, **settings)
        with warnings.catch_warnings():  # that each process reads by itself, which is what is wanted
            warnings.filterwarnings("ignore", "torch.distributed is disabled", UserWarning)
            shards_on_disk.load(tensors, storage_reader=HuggingFaceStorageReader(str(folder)), no_dist=True)
    except CheckpointError:
        raise
    except Exception as error:  # files that are damaged can raise anything
        raise checkpoint.damaged(
            folder, f"its shards cannot be read ({type(error).__name__}: {error})"
        ) from error
    return tensors


def _described(folder: Path) -> dict[str, TensorStorageMetadata]:
    """Sizes of the tensors in a folder of shards, and the parts that are there."""
    found = HuggingFaceStorageReader(str(folder)).read_metadata().state_dict_metadata
    return {name: one for name, one in found.items() if isinstance(one, TensorStorageMetadata)}


def _check_complete(folder: Path, name: str, found: TensorStorageMetadata | None, size: torch.Size) -> None:
    """Refuse a tensor of which rows are missing."""
    n_there = 0 if found is None else sum(chunk.sizes.numel() for chunk in found.chunks)
    if n_there != size.numel():
        raise CheckpointError(
            f"{folder} holds {n_there} of the {size.numel()} values of {name}. All processes have to write "
            "to one folder: put --out on a disk that all machines share."
        )
