"""describe_space: which space the vectors of an encoder are of."""

from pathlib import Path

from solfa.config import Precision
from solfa.embedding.space import POOLS, Pool, Space, WindowConfig, check_pool
from solfa.models import AudioEncoder
from solfa.models.fingerprint import fingerprint


def describe_space(
    encoder: AudioEncoder,
    model: str | Path,
    *,
    layer: int,
    pool: Pool,
    windows: WindowConfig,
    precision: Precision = "float32",
) -> Space:
    """The space of the vectors that ``encoder``, loaded as ``model``, gives; hashes its weights.

    Raises:
        ValueError: no such pool or layer.
    """
    check_pool(pool)
    return Space(
        model=str(Path(model).resolve()) if Path(model).is_dir() else str(model),
        weights=fingerprint(encoder),
        license=encoder.license,
        layer=encoder.layer_number(layer),
        pool=pool,
        dim=POOLS[pool] * encoder.dim,
        sample_rate=encoder.sample_rate,
        frame_rate=encoder.frame_rate,
        window_seconds=windows.window_seconds,
        context_seconds=windows.context_seconds,
        wraps=windows.wraps,
        precision=precision,
    )
