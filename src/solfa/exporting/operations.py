"""What operations of our own consist of in ONNX."""

from collections.abc import Sequence
from typing import Any

from onnxscript import opset18

op: Any = opset18  # whose annotations ask for more than its operations
N_TABLES = 7  # of an octave: the buffers of ``MatrixOctave``


def constant_q_in_onnx(
    waveform: Any, tables: Sequence[Any], valid: Sequence[int], hop: int, n_bins: int
) -> Any:
    """Constant-Q magnitudes of clips, as ``MatrixConstantQ`` describes them."""
    one, size = op.Constant(value_ints=[1]), op.Constant(value_ints=[hop])
    n_samples = op.Shape(waveform, start=1, end=2)
    n_frames = op.Add(op.Div(n_samples, size), one)
    # Hops of samples, one more than frames: the last one is zero, for where there is no clip.
    missing = op.Sub(op.Mul(op.Add(n_frames, one), size), n_samples)
    longer = op.Pad(waveform, op.Concat(op.Constant(value_ints=[0, 0, 0]), missing, axis=0))
    hops = op.Reshape(longer, op.Constant(value_ints=[0, -1, hop]))
    octaves = [
        _octave(hops, n_frames, tables[N_TABLES * n : N_TABLES * (n + 1)], n_valid)
        for n, n_valid in enumerate(valid)
    ]
    return op.Concat(*octaves, axis=2) if len(octaves) > 1 else octaves[0]


def _octave(hops: Any, n_frames: Any, tables: Sequence[Any], n_valid: int) -> Any:
    place, down, cos, sin, along, kernels, back = tables
    zero, step = op.Constant(value_int=0), op.Constant(value_int=n_valid)
    # Where blocks begin: as many as frames need.
    first = op.Range(zero, op.Squeeze(n_frames), step)
    needed = op.Add(op.Unsqueeze(first, op.Constant(value_ints=[1])), place)
    is_there = op.And(op.GreaterOrEqual(needed, zero), op.Less(needed, n_frames))
    blocks = op.Gather(hops, op.Where(is_there, needed, n_frames), axis=1)
    real, imaginary = op.Split(op.MatMul(down, blocks), num_outputs=2, axis=2)  # clip block row column
    turned = op.Concat(
        op.Sub(op.Mul(real, cos), op.Mul(imaginary, sin)),
        op.Add(op.Mul(real, sin), op.Mul(imaginary, cos)),
        axis=3,
    )
    pieces = op.Transpose(op.MatMul(turned, along), perm=[0, 2, 1, 3])  # clip row block (part piece)
    real, imaginary = op.Split(op.MatMul(pieces, kernels), num_outputs=2, axis=3)  # clip row block bin
    spectra = op.Transpose(op.Concat(real, imaginary, axis=1), perm=[0, 2, 3, 1])  # clip block bin (part row)
    real, imaginary = op.Split(op.MatMul(spectra, back), num_outputs=2, axis=3)  # clip block bin frame
    magnitudes = op.Sqrt(op.Add(op.Mul(real, real), op.Mul(imaginary, imaginary)))
    frames = op.Transpose(magnitudes, perm=[0, 1, 3, 2])  # clip block frame bin
    # Shapes cannot be inferred: ONNX does not know that a bin follows.
    in_a_row = op.Reshape(
        frames,
        op.Concat(
            op.Shape(hops, start=0, end=1),
            op.Constant(value_ints=[-1]),
            op.Shape(frames, start=3, end=4),
            axis=0,
        ),
    )
    return op.Slice(in_a_row, op.Constant(value_ints=[0]), n_frames, op.Constant(value_ints=[1]))
