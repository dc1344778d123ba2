"""A map keeps neighbours together, is the same each time, and is kept in the library."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.manifold import trustworthiness

from solfa.retrieval import Library, Searcher, project, projection
from solfa.retrieval.projection import place


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


def test_of_many_tracks_neighbours_stay_neighbours_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """By some that t-SNE places, and the others beside them; two principal components mix the groups."""
    monkeypatch.setattr(projection, "MOST_NEIGHBOURED", 60)
    asked: list[int] = []
    whole = projection._neighboured
    monkeypatch.setattr(
        projection, "_neighboured", lambda components: asked.append(len(components)) or whole(components)
    )
    vectors = groups(400, 12)
    places = project(vectors)
    assert asked == [60] and (np.abs(places) <= 1).all() and len(np.unique(places, axis=0)) == 400
    np.testing.assert_array_equal(places, project(vectors))
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    flat = PCA(2).fit_transform(units)
    assert of_own_group(places, 12) > 0.95 > of_own_group(flat, 12)


def of_own_group(places: np.ndarray, n_groups: int) -> float:
    """Share of nearest neighbours that are of the same group of ``groups``."""
    apart = np.linalg.norm(places[:, None] - places[None], axis=2)
    np.fill_diagonal(apart, np.inf)
    return float(np.mean(apart.argmin(1) % n_groups == np.arange(len(places)) % n_groups))


def test_the_map_of_a_library_is_kept_until_tracks_come(
    own_tagged_library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Searcher(own_tagged_library) as searcher:
        points = searcher.map()
        assert [id for id, _, _ in points] == sorted(track.id for track in searcher.tracks())
    with monkeypatch.context() as patch, Searcher(own_tagged_library) as searcher:
        patch.setattr("solfa.retrieval.search.place", lambda vectors, known: pytest.fail("made again"))
        assert searcher.map() == points
    with Library(own_tagged_library) as library:
        library.store_map(points[1:])
    with Searcher(own_tagged_library) as searcher:
        now = searcher.map()
        assert now[1:] == points[1:] and now[0][0] == points[0][0]
        assert searcher.map(anew=True) == points


def test_places_stay_when_tracks_are_added_beside_what_they_are_like() -> None:
    vectors = groups(120)
    before = project(vectors[:100])
    now = place(vectors, [*map(tuple, before.tolist()), *[None] * 20])
    np.testing.assert_array_equal(now[:100], before)
    assert (np.abs(now) <= 1).all() and len(np.unique(now, axis=0)) == 120
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    assert trustworthiness(units, now, n_neighbors=5) > 0.9


def test_where_most_tracks_are_new_all_are_placed_anew() -> None:
    vectors = groups(40)
    np.testing.assert_array_equal(place(vectors, [(0.5, 0.5)] * 19 + [None] * 21), project(vectors))
    assert (place(vectors, [(0.5, 0.5)] * 20 + [None] * 20)[:20] == 0.5).all()
