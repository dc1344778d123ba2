"""Distances of separated sources from the true ones."""

import numpy as np
from jaxtyping import Float

SILENCE = 1e-7  # energy below which there is nothing to separate


def signal_to_distortion(
    reference: Float[np.ndarray, "sample"], estimated: Float[np.ndarray, "sample"]
) -> float:
    """Energy of a source over that of what is wrong in its estimate, in dB; NaN for a silent source.

    Source:
        SDR of BSS Eval version 4 (Stoeter, Liutkus, Ito: The 2018 Signal Separation Evaluation Campaign). Its
        filters part the error into interference and artefacts; the sum, which SDR counts, is the same.
    """
    energy, wrong = float(np.square(reference).sum()), float(np.square(reference - estimated).sum())
    return float("nan") if energy < SILENCE else 10 * float(np.log10(energy / max(wrong, SILENCE)))


def separation_ratios(
    reference: Float[np.ndarray, "source sample"], estimated: Float[np.ndarray, "source sample"], window: int
) -> Float[np.ndarray, "source window"]:
    """``signal_to_distortion`` in windows side by side; what is left at the end is not counted.

    As in museval, which has windows of one second, a window has no ratio (NaN) where any source or estimate
    is silent. A track shorter than a window is one.
    """
    n_windows = max(1, reference.shape[1] // window)
    pairs = [
        (reference[:, start : start + window], estimated[:, start : start + window])
        for start in range(0, n_windows * window, window)
    ]
    return np.array([_ratios(true, said) for true, said in pairs]).T


def _ratios(reference: np.ndarray, estimated: np.ndarray) -> list[float]:
    if min(np.square(one).sum(1).min() for one in (reference, estimated)) < SILENCE:
        return [float("nan")] * len(reference)
    return [signal_to_distortion(true, said) for true, said in zip(reference, estimated, strict=True)]
