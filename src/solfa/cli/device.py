"""--device, --threads: on what a command computes."""

import torch
import typer

from solfa import distributed


def chosen_device(name: str) -> torch.device:
    """``cpu``, ``cuda`` (this process's among several), ``cuda:1``, or ``auto``: CUDA where there is one."""
    has_cuda = torch.cuda.is_available()
    if name == "auto":
        name = "cuda" if has_cuda else "cpu"
    if name.startswith("cuda") and not has_cuda:
        raise typer.BadParameter("This machine has no CUDA device that PyTorch can use. Try --device cpu.")
    try:
        device = torch.device("cuda", distributed.local_rank()) if name == "cuda" else torch.device(name)
    except RuntimeError:
        raise typer.BadParameter(
            f"There is no device {name!r:.60}. Name cpu, cuda, cuda:1 and so on, or auto."
        ) from None
    if device.type == "cuda":
        torch.cuda.set_device(device)
    return device
