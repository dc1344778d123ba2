"""OnnxModel: what ``solfa export onnx`` wrote, run by ONNX Runtime and NumPy, without PyTorch.

The file needs no other part of solfa, and may be copied into a program of one's own.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

FORMAT = 1
TEXTS_AT_ONCE = 64


class OnnxModel:
    """Waveform -> hidden states and vectors; of a music-text model also texts -> vectors of the same space.

    Args:
        folder: that ``solfa export onnx`` filled.
        threads: that ONNX Runtime computes with; as many as it likes if 0.

    Raises:
        ImportError: ONNX Runtime is not installed.
        ValueError: the folder was written by another version.
    """

    def __init__(self, folder: str | Path, threads: int = 0) -> None:
        self.folder, self.threads = Path(folder), threads
        self.about: dict[str, Any] = json.loads((self.folder / "model.json").read_text(encoding="utf-8"))
        if self.about.get("format") != FORMAT:
            raise ValueError(f"{folder} was written by another version of solfa. Export the model again.")
        self.sample_rate: int = self.about["sample_rate"]  # Hz
        self._audio = self._session("audio.onnx")
        self._text: Any = None

    def __call__(self, waveform: np.ndarray) -> dict[str, np.ndarray]:
        """What the graph gives for clips of one length (clip, sample): "layer_N" and "vector"."""
        waveform = np.ascontiguousarray(waveform, np.float32)
        if waveform.ndim != 2 or not np.isfinite(waveform).all():
            raise ValueError(
                "Clips are finite samples of the shape (clip, sample). Of one write waveform[None]."
            )
        if waveform.shape[1] < self.about["fewest_samples"]:
            raise ValueError(
                f"A clip has at least {self.about['fewest_samples']} samples. Pad it with zeros."
            )
        names = [output.name for output in self._audio.get_outputs()]
        return dict(zip(names, self._audio.run(names, {"waveform": waveform}), strict=True))

    def hidden_states(self, waveform: np.ndarray) -> dict[int, np.ndarray]:
        """Hidden states (frame, dim) by layer, of a mono track (sample) of any length at ``sample_rate``."""
        layers: list[int] = self.about["layers"]
        parts: dict[int, list[np.ndarray]] = {layer: [] for layer in layers}
        for window, taken in windows(np.asarray(waveform), **self.about["windows"]):
            found = self(window[None])
            for layer in layers:
                parts[layer].append(found[f"layer_{layer}"][0, taken])
        return {layer: np.concatenate(of_layer) for layer, of_layer in parts.items()}

    def embed(self, waveform: np.ndarray) -> np.ndarray:
        """The vector of a track, as ``solfa.embed`` gives it: the mean over all frames of the first layer."""
        states = self.hidden_states(waveform)[self.about["layers"][0]]
        return states.mean(0, dtype=np.float64).astype(np.float32)

    def embed_text(self, texts: Sequence[str]) -> np.ndarray:
        """Unit vectors (text, dim); the higher their product with a track's vector, the better they fit."""
        if self.about["text"] is None:
            raise ValueError("This model knows no words. Export a music-text model.")
        parts = [self._read(texts[n : n + TEXTS_AT_ONCE]) for n in range(0, len(texts), TEXTS_AT_ONCE)]
        return np.concatenate([np.zeros((0, self.about["dim"]), np.float32), *parts])

    def _read(self, texts: Sequence[str]) -> np.ndarray:
        if self._text is None:
            from tokenizers import Tokenizer

            tokenizer = Tokenizer.from_file(str(self.folder / "tokenizer.json"))
            tokenizer.enable_truncation(self.about["text"]["most_tokens"])
            tokenizer.enable_padding(pad_id=self.about["text"]["pad_id"])
            self._text = tokenizer, self._session("text.onnx")
        tokenizer, session = self._text
        rows = tokenizer.encode_batch(list(texts))
        ids, mask = (np.array([getattr(r, name) for r in rows]) for name in ("ids", "attention_mask"))
        vectors: np.ndarray = session.run(None, {"ids": ids, "mask": mask})[0]
        return vectors

    def _session(self, name: str) -> Any:
        try:
            import onnxruntime
        except ImportError:
            raise ImportError('This takes ONNX Runtime: pip install "solfa[onnx]"') from None
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads
        return onnxruntime.InferenceSession(self.folder / name, options, ["CPUExecutionProvider"])


def windows(
    track: np.ndarray, hop_length: int, n_frames: int, n_context: int, wraps: bool
) -> Iterator[tuple[np.ndarray, slice]]:
    """Windows of a track (sample), and which of their frames are taken, so that each frame comes once.

    They are ``n_frames`` long and overlap by two contexts. The last one ends with the track; or, if it wraps,
    it begins where the one before ended, and is filled up from the beginning.
    """
    longest, step, start = n_frames * hop_length, (n_frames - 2 * n_context) * hop_length, 0
    while len(track) > start + longest:
        yield track[start : start + longest], slice(n_context if start else 0, n_frames - n_context)
        start += step
    if n_frames == 1:  # a window is a frame, which may begin anywhere
        last = start if wraps else max(0, len(track) - longest)
        yield (
            np.concatenate([track[last:], track[: longest - len(track) + last if wraps else 0]]),
            slice(None),
        )
        return
    last = max(0, -(-(len(track) - longest) // hop_length) * hop_length)
    yield track[last:], slice((start - last) // hop_length + n_context if start else 0, None)
