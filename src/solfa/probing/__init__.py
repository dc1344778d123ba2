"""What frozen hidden states know of labels."""

from solfa.probing.baselines import Baseline, is_baseline, load_baseline
from solfa.probing.features import Features, extract, has_frames
from solfa.probing.grid import ProbeConfig, protocol
from solfa.probing.pictures import draw_heat_map, draw_layers
from solfa.probing.probe import ProbeResult, Score, probe, probe_features
from solfa.probing.published import PUBLISHED
from solfa.probing.report import (
    Table,
    load_results,
    load_rows,
    make_table,
    save_report,
    save_result,
    save_row,
    to_json,
    to_latex,
    to_markdown,
)
from solfa.probing.scoring import METRICS, ScoringError, score

__all__ = [
    "METRICS",
    "PUBLISHED",
    "Baseline",
    "Features",
    "ProbeConfig",
    "ProbeResult",
    "Score",
    "ScoringError",
    "Table",
    "draw_heat_map",
    "draw_layers",
    "extract",
    "has_frames",
    "is_baseline",
    "load_baseline",
    "load_results",
    "load_rows",
    "make_table",
    "probe",
    "probe_features",
    "protocol",
    "save_report",
    "save_result",
    "save_row",
    "score",
    "to_json",
    "to_latex",
    "to_markdown",
]
