"""An index on disk by LanceDB, for libraries of more than a million tracks: near enough instead of exact."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from solfa.errors import SolfaError
from solfa.retrieval.index import units
from solfa.retrieval.library import Library

TABLE = "vectors"
ROWS_AT_ONCE = 20_000
FEWEST_INDEXED = 50_000  # vectors: fewer are compared one by one, which is exact and quick
N_PROBED, N_REFINED = 40, 100  # cells that are looked into, and candidates compared exactly for each answer
IDS_AT_ONCE = 1_000


class SearchExtraError(SolfaError, ImportError):
    """LanceDB is not installed; the message says how to get it."""


class LanceIndex:
    """The vectors of a library in a folder of their own, which follows the library.

    Args:
        folder: where the vectors are kept; made if it is not there. One folder serves one library.
    """

    def __init__(self, folder: Path) -> None:
        try:
            import lancedb
        except ImportError as error:
            raise SearchExtraError(
                "This index needs LanceDB. Install it: pip install 'solfa[search]'"
            ) from error
        self.folder = folder
        self.centre = np.zeros(1, np.float32)
        self._database = lancedb.connect(str(folder))
        self._table: Any = None

    def follow(self, library: Library) -> None:
        """Take in new tracks and forget those that have gone; build the index of cells when many are new."""
        self._table = self._open(library)
        wanted = dict(library.contents())
        there = self._contents()
        self._delete(id for id, content_hash in there.items() if wanted.get(id) != content_hash)
        new = [(id, hash_) for id, hash_ in wanted.items() if there.get(id) != hash_]
        for n in range(0, len(new), ROWS_AT_ONCE):
            part = new[n : n + ROWS_AT_ONCE]
            vectors = units(library.vectors_of([content_hash for _, content_hash in part]))
            self._table.add(
                [
                    {"id": id, "content_hash": content_hash, "vector": vector}
                    for (id, content_hash), vector in zip(part, vectors, strict=True)
                ]
            )
        self._build_cells(len(wanted), has_new=bool(new))

    def forget(self) -> None:
        """As of ``Index``; each space has a table of its own."""

    def nearest(
        self,
        direction: Float[np.ndarray, " dim"],
        n: int,
        *,
        among: Sequence[int] | None = None,
        without: Sequence[int] = (),
    ) -> list[tuple[int, float]]:
        """As of ``Index``; now and then one of the nearest is missing."""
        if among is not None and not len(among):
            return []
        query = self._table.search(direction).distance_type("cosine").select(["id", "_distance"])
        query = query.nprobes(N_PROBED).refine_factor(N_REFINED).limit(n)
        conditions = [] if among is None else [_among(among)]
        conditions += [f"NOT {_among(without)}"] if len(without) else []
        if conditions:
            query = query.where(" AND ".join(conditions), prefilter=True)
        found = [(row["id"], 1.0 - row["_distance"]) for row in query.to_list()]
        return sorted(found, key=lambda row: (-row[1], row[0]))

    def _open(self, library: Library) -> Any:
        """The table of this library's space."""
        import pyarrow

        schema = pyarrow.schema(
            {
                "id": pyarrow.int64(), "content_hash": pyarrow.string(),
                "vector": pyarrow.list_(pyarrow.float32(), library.space.dim),
            }
        )  # fmt: skip
        return self._database.create_table(f"{TABLE}_{library.space.id}", schema=schema, exist_ok=True)

    def _contents(self) -> dict[int, str]:
        n_rows = self._table.count_rows()
        if not n_rows:
            return {}
        rows = self._table.search().select(["id", "content_hash"]).limit(n_rows).to_arrow()
        return dict(zip(rows["id"].to_pylist(), rows["content_hash"].to_pylist(), strict=True))

    def _delete(self, ids: Iterable[int]) -> None:
        for part in _parts(list(ids), IDS_AT_ONCE):
            self._table.delete(_among(part))

    def _build_cells(self, n_tracks: int, *, has_new: bool) -> None:
        if n_tracks < FEWEST_INDEXED or not has_new:
            return
        if self._table.list_indices():
            self._table.optimize()
        else:
            self._table.create_index(metric="cosine", vector_column_name="vector")


def _among(ids: Sequence[int]) -> str:
    return f"id IN ({', '.join(str(int(id)) for id in ids)})"


def _parts(values: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    return (values[n : n + size] for n in range(0, len(values), size))
