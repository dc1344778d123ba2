"""A module -> a graph of ONNX; its weights are stored as float32, float16 or int8."""

import logging
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn

from solfa.errors import ArgumentError
from solfa.features.exact import Fixed

Weights = Literal["float32", "float16", "int8"]
INSTALL = 'pip install "solfa[export]"'
NEEDED = ("onnx", "onnxscript", "onnxruntime")
OPSET = 18


def check_weights(weights: Any) -> None:
    """Refuse a way of storing weights that nobody knows."""
    if weights not in get_args(Weights):
        raise ArgumentError(f"Weights cannot be stored as {weights!r:.80}. Known are float32, float16, int8.")


def check_is_installed() -> None:
    """Raise ImportError with the command if what exporting needs is not installed."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise ImportError(f"To export a model takes {', '.join(missing)}. Install it with: {INSTALL}")


def trace(
    module: nn.Module,
    example: Sequence[Tensor],
    axes: Sequence[Sequence[int]],
    inputs: Sequence[str],
    outputs: Sequence[str],
) -> Any:
    """The ONNX model of a module in eval mode.

    Args:
        module: takes and gives tensors.
        example: what it may be given.
        axes: of each input, those that may be of any length.
        inputs: names.
        outputs: names.
    """
    from solfa.exporting.operations import constant_q_in_onnx

    any_length = [dict.fromkeys(numbers, torch.export.Dim.DYNAMIC) for numbers in axes]
    with torch.no_grad(), _quiet():
        program = torch.export.export(module, tuple(example), strict=False, dynamic_shapes=tuple(any_length))
        made = torch.onnx.export(
            program,
            input_names=list(inputs),
            output_names=list(outputs),
            opset_version=OPSET,
            custom_translation_table={torch.ops.solfa.constant_q.default: constant_q_in_onnx},
            verbose=False,
        )
    assert made is not None
    return made.model_proto


def with_weights_as(model: Any, weights: Weights, module: nn.Module, *, has_tables: bool = False) -> Any:
    """The model with its weights stored as they should be; features stay exact.

    Args:
        model: from ``trace``.
        weights: float16 are turned back before they are multiplied; int8 is the dynamic quantisation of
            ONNX Runtime, with a scale for each output of a linear map, and float16 for what is no such map.
        module: that the model was traced from.
        has_tables: whether rows are looked up in weights, as those of words are: int8 takes them, too.
    """
    exact = {
        f"{name}.{buffer}"
        for name, part in module.named_modules()
        if isinstance(part, Fixed)
        for buffer, _ in part.named_buffers(recurse=False)
    }
    if weights == "int8":
        model = _quantized(model, exact, ["MatMul", *(["Gather"] if has_tables else [])])
    return model if weights == "float32" else _halved(model, exact)


def _halved(model: Any, exact: set[str]) -> Any:
    """Tables of float32 as float16, each with an operation that turns it back when the model is loaded."""
    from onnx import TensorProto, helper, numpy_helper

    casts = []
    for stored in model.graph.initializer:
        if stored.data_type != TensorProto.FLOAT or stored.name in exact or len(stored.dims) < 2:
            continue
        name, most = stored.name, np.finfo(np.float16).max
        half = numpy_helper.to_array(stored).clip(-most, most).astype(np.float16)
        stored.CopyFrom(numpy_helper.from_array(half, f"{name}.half"))
        casts.append(helper.make_node("Cast", [f"{name}.half"], [name], f"{name}.cast", to=TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return model


def _quantized(model: Any, exact: set[str], operations: list[str]) -> Any:
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    kept = [node.name for node in model.graph.node if exact & set(node.input)]
    with tempfile.TemporaryDirectory() as folder, _quiet():
        path = Path(folder) / "model.onnx"
        quantize_dynamic(
            model, path, op_types_to_quantize=operations, per_channel=True, weight_type=QuantType.QInt8,
            reduce_range=True,  # 7 bits: processors without VNNI add up two products in 16 bits
            nodes_to_exclude=kept,
        )  # fmt: skip
        return onnx.load(path)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what tracing says of itself, which is of no use to whoever exports."""
    logs = [
        logging.getLogger(name) for name in ("torch.onnx", "torch.export", "onnxscript", "onnx_ir", "root")
    ]
    before = [log.level for log in logs]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for log in logs:
            log.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for log, level in zip(logs, before, strict=True):
                log.setLevel(level)
