"""A map keeps neighbours together, is the same each time, and is kept in the library."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.manifold import trustworthiness

from solfa.retrieval import Library, Searcher, project, projection


def groups(n: int, n_groups: int = 6) -> np.ndarray:
    """Vectors around some directions of 24 dimensions."""
    random = np.random.default_rng(0)
    centres = random.standard_normal((n_groups, 24))
    rows = centres[np.arange(n) % n_groups] + 0.25 * random.standard_normal((n, 24))
    return rows.astype(np.float32)


def test_neighbours_stay_neighbours() -> None:
    vectors = groups(120)
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    assert trustworthiness(units, project(vectors), n_neighbors=5) > 0.9


def test_a_map_is_the_same_each_time() -> None:
    vectors = groups(40)
    np.testing.assert_array_equal(project(vectors), project(vectors.copy()))


@pytest.mark.parametrize("n", [0, 1, 2, 3, 12])
def test_any_number_of_tracks_has_a_map(n: int) -> None:
    for vectors in (groups(n), np.ones((n, 24), np.float32), np.zeros((n, 24), np.float32)):
        places = project(vectors)
        assert places.shape == (n, 2) and np.isfinite(places).all() and (np.abs(places) <= 1).all()


def test_many_tracks_are_placed_by_principal_components(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(projection, "MOST_NEIGHBOURED", 50)
    monkeypatch.setattr(projection, "_neighboured", lambda components: pytest.fail("would take minutes"))
    assert trustworthiness(groups(60), project(groups(60)), n_neighbors=5) > 0.6


def test_the_map_of_a_library_is_kept_until_tracks_come(
    own_tagged_library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Searcher(own_tagged_library) as searcher:
        points = searcher.map()
        assert [id for id, _, _ in points] == sorted(track.id for track in searcher.tracks())
    with monkeypatch.context() as patch, Searcher(own_tagged_library) as searcher:
        patch.setattr("solfa.retrieval.search.project", lambda vectors: pytest.fail("made again"))
        assert searcher.map() == points
    with Library(own_tagged_library) as library:
        library.store_map(points[1:])
    with Searcher(own_tagged_library) as searcher:
        assert searcher.map() == points
