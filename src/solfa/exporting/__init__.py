"""Models as graphs that other programs run."""

from solfa.exporting.onnx_graph import Weights
from solfa.exporting.writing import Checked, Exported, ExportError, export_onnx

__all__ = ["Checked", "ExportError", "Exported", "Weights", "export_onnx"]
