"""A library answers words, tracks, segments, files and sums of these; the nearest are found exactly."""

import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from golden_data import GOLDEN
from solfa.embedding import SpaceError, WindowConfig, describe_space
from solfa.models import AudioEncoder, ClipEncoder, MuLan, load
from solfa.retrieval import (
    ExactIndex,
    Filters,
    Library,
    LibraryError,
    QueryError,
    Searcher,
    UnknownTrackError,
)
from solfa.retrieval.index import units
from solfa.retrieval.worth import REFERENCE_TEXTS
from synth import melody, noise

WriteWav = Callable[[Path, np.ndarray], Path]


class Contents(Library):
    """What an index reads of a library; track n contains "n" unless ``names`` says otherwise."""

    def __init__(self, vectors: np.ndarray, names: list[str] | None = None) -> None:
        self.vectors = np.asarray(vectors, np.float32)
        self.names = names or [str(n) for n in range(len(vectors))]
        self.n_read = 0

    def contents(self) -> list[tuple[int, str]]:
        return list(enumerate(self.names, start=1))

    def vectors_of(self, names: list[str]) -> np.ndarray:
        self.n_read += len(names)
        return self.vectors[[self.names.index(name) for name in names]]


def index_of(vectors: np.ndarray, centred: bool = False) -> ExactIndex:
    index = ExactIndex(centred)
    index.follow(Contents(vectors))
    return index


def direction(index: ExactIndex, vector: np.ndarray) -> np.ndarray:
    pointing = np.asarray(vector, np.float32) - index.centre
    return pointing / max(float(np.linalg.norm(pointing)), 1e-12)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.integers(1, 40), st.integers(1, 50), st.integers(0, 99), st.booleans())
def test_search_is_exact(n_tracks: int, n: int, seed: int, centred: bool) -> None:
    random = np.random.default_rng(seed)
    vectors = random.standard_normal((n_tracks, 5)).astype(np.float32)
    query = random.standard_normal(5).astype(np.float32)
    index = index_of(vectors, centred)
    found = index.nearest(direction(index, query), n)
    centre = vectors.mean(0) if centred else np.zeros(5)
    rows, wanted = vectors - centre, query - centre
    cosines = rows @ wanted / np.maximum(np.linalg.norm(rows, axis=1) * np.linalg.norm(wanted), 1e-12)
    best = np.sort(cosines)[::-1][:n]
    np.testing.assert_allclose([score for _, score in found], best, atol=1e-4 if n_tracks > 1 else 2)
    assert len({id for id, _ in found}) == min(n, n_tracks)


def test_equal_scores_come_in_the_order_of_numbers() -> None:
    index = index_of(np.ones((4, 3)))
    assert [id for id, _ in index.nearest(direction(index, np.ones(3)), 3)] == [1, 2, 3]


def test_a_vector_of_zeros_is_similar_to_nothing() -> None:
    index = index_of(np.array([[0, 0], [1, 0]]))
    best, worst = index.nearest(direction(index, np.ones(2)), 2)
    assert best == (2, pytest.approx(2**-0.5)) and worst == (1, 0)


def test_the_scale_of_a_vector_does_not_matter() -> None:
    vectors = np.random.default_rng(0).standard_normal((5, 3))
    scaled, plain = index_of(vectors * np.arange(1, 6)[:, None]), index_of(vectors)
    query = direction(plain, vectors[0])
    for found, expected in zip(scaled.nearest(query, 5), plain.nearest(query, 5), strict=True):
        assert found == (expected[0], pytest.approx(expected[1], abs=1e-6))


def test_filters_apply_before_the_best_are_taken() -> None:
    index = index_of(np.eye(4))
    assert [id for id, _ in index.nearest(np.eye(4, dtype=np.float32)[0], 2, among=[3, 4])] == [3, 4]
    assert [id for id, _ in index.nearest(np.eye(4, dtype=np.float32)[0], 2, without=[1])] == [2, 3]


@pytest.mark.parametrize("centred", [False, True])
def test_an_index_reads_only_what_is_new_and_forgets_what_has_gone(centred: bool) -> None:
    vectors = np.random.default_rng(1).standard_normal((6, 4))
    index = ExactIndex(centred)
    library = Contents(vectors[:4], ["a", "b", "c", "b"])  # two copies
    library.vectors[3] = library.vectors[1]
    index.follow(library)
    assert library.n_read == 3
    later = Contents(vectors[[5, 1, 0]], ["f", "b", "a"])
    index.follow(later)
    assert later.n_read == 1
    fresh = index_of(later.vectors, centred)
    query = direction(fresh, vectors[2])
    for found, expected in zip(index.nearest(query, 9), fresh.nearest(query, 9), strict=True):
        assert found == (expected[0], pytest.approx(expected[1], abs=1e-6))


def test_the_same_recording_is_found_among_others(
    library_path: Path, tmp_path: Path, tiny_encoder: AudioEncoder, write_wav: WriteWav
) -> None:
    excerpt = write_wav(tmp_path / "excerpt.wav", melody(6.0, seed=3)[24_000:120_000])
    with Searcher(library_path, tiny_encoder) as searcher:
        assert searcher.similar_to_file(excerpt)[0].track.path.name == "tune.wav"


@pytest.mark.parametrize("centred", [False, True])
def test_a_track_is_not_similar_to_itself_and_needs_no_model(
    library_path: Path, tmp_path: Path, centred: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("solfa.models.load", lambda name: pytest.fail("loaded a model"))
    with Searcher(library_path, index=ExactIndex(centred)) as searcher:
        found = searcher.similar_to_file(tmp_path / "music" / "chord 60.wav", n=3)
        number = next(track.id for track in searcher.tracks() if track.path.name == "chord 60.wav")
        assert searcher.similar(number, n=3) == searcher.search(f"{number}", n=3) == found
    assert len(found) == 3
    assert "chord 60.wav" not in {match.track.path.name for match in found}
    assert found[0].track.path.name.startswith("chord")


def test_a_copy_elsewhere_counts_as_the_track_itself(library_path: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copy(tmp_path / "music" / "noise.wav", tmp_path / "copy.wav"))
    with Searcher(library_path) as searcher:
        assert "noise.wav" not in {match.track.path.name for match in searcher.similar_to_file(copy)}


def test_the_model_of_a_library_is_loaded_when_it_is_needed(
    library_path: Path, tmp_path: Path, write_wav: WriteWav
) -> None:
    query = write_wav(tmp_path / "query.wav", noise(2.0, seed=5))
    with Searcher(library_path) as searcher:
        assert searcher.similar_to_file(query, n=1)[0].track.path.name == "noise.wav"


def test_another_model_is_refused(
    library_path: Path, tmp_path: Path, other_run: Path, write_wav: WriteWav
) -> None:
    query = write_wav(tmp_path / "query.wav", noise(2.0, seed=5))
    other = load(other_run)
    with Searcher(library_path, other) as searcher, pytest.raises(SpaceError, match="cannot be compared"):
        searcher.similar_to_file(query)


def test_a_model_that_is_gone_is_named_with_the_cure(
    tmp_path: Path, tiny_encoder: AudioEncoder, write_wav: WriteWav
) -> None:
    write_wav(tmp_path / "music" / "a.wav", noise(1.0))
    space = describe_space(tiny_encoder, "/runs/gone", layer=2, pool="mean", windows=WindowConfig())
    with Library(tmp_path / "library.sqlite", space) as library:
        library.update([tmp_path / "music"], tiny_encoder)
    query = write_wav(tmp_path / "b.wav", noise(1.0, seed=2))
    with (
        Searcher(tmp_path / "library.sqlite") as searcher,
        pytest.raises(LibraryError, match=r"/runs/gone.*--model"),
    ):
        searcher.similar_to_file(query)


def test_an_empty_library_says_how_to_fill_it(tmp_path: Path, tiny_encoder: AudioEncoder) -> None:
    space = describe_space(tiny_encoder, "tiny", layer=2, pool="mean", windows=WindowConfig())
    Library(tmp_path / "library.sqlite", space).close()
    with (
        Searcher(tmp_path / "library.sqlite") as searcher,
        pytest.raises(LibraryError, match=r"no tracks yet.*solfa index"),
    ):
        searcher.search("1")


def test_words_find_the_tracks_whose_vectors_fit_them(tagged_library: Path, mulan: MuLan) -> None:
    with Searcher(tagged_library) as searcher:
        found = searcher.search("calm piano", n=9)
        tracks = searcher.tracks()
    with Library(tagged_library) as library:
        vectors = library.vectors(tracks)
    vectors = units(vectors)
    cosines = vectors @ mulan.embed_text(["calm piano"])[0].numpy()
    others = vectors @ mulan.embed_text(list(REFERENCE_TEXTS)).numpy().T
    spread = others.std(1)
    stands_out = (cosines - others.mean(1)) / np.maximum(spread, 0.5 * np.median(spread))
    order = np.argsort(-stands_out)
    assert [match.track.id for match in found] == [tracks[n].id for n in order]
    np.testing.assert_allclose([match.cosine for match in found], cosines[order], atol=1e-5)
    np.testing.assert_allclose([match.stands_out for match in found], stands_out[order], atol=1e-3)


@pytest.mark.parametrize("given", ["model", "its audio side", "nothing"])
def test_words_are_understood_whatever_form_the_model_is_given_in(
    tagged_library: Path, mulan: MuLan, given: str
) -> None:
    forms = {"model": mulan, "its audio side": ClipEncoder(mulan).eval(), "nothing": None}
    with Searcher(tagged_library, forms[given]) as searcher:
        assert len(searcher.search("calm piano")) == 4


def test_a_model_without_words_says_what_to_do(library_path: Path) -> None:
    with Searcher(library_path) as searcher, pytest.raises(QueryError, match=r"knows no words.*solfa index"):
        searcher.search("calm piano")


def test_a_sum_of_terms_points_between_them(tagged_library: Path, mulan: MuLan) -> None:
    with Library(tagged_library) as library:
        first, second = library.tracks()[:2]
        a, b = (v / np.linalg.norm(v) for v in library.vectors([first, second]))
        every = library.vectors(library.tracks())
        names = [track.path.name for track in library.tracks()]
    words = mulan.embed_text(["noise"])[0].numpy()
    wanted = a + 2 * words - 0.5 * b
    scores = every @ wanted / np.linalg.norm(every, axis=1) / np.linalg.norm(wanted)
    expected = [names[n] for n in np.argsort(-scores) if names[n] != first.path.name]  # named with a plus
    with Searcher(tagged_library, index=ExactIndex()) as searcher:
        found = searcher.search(f'#{first.id} + 2 * "noise" - 0.5 * {second.path}')
    assert [match.track.path.name for match in found] == expected


def test_the_answer_names_the_segment_that_fits_best(tagged_library: Path, mulan: MuLan) -> None:
    text = mulan.embed_text(["a slow waltz"])[0].numpy()
    with Searcher(tagged_library, index=ExactIndex()) as searcher:
        match = next(m for m in searcher.search("a slow waltz") if m.track.path.name == "satie.wav")
        segments = searcher.segments(match.track.id)
    assert mulan.config.clips.seconds == 2.0
    assert [(s.start, s.end) for s in segments] == [(n, min(n + 2, 25)) for n in range(0, 25, 2)]
    best = segments[int(np.argmax([segment.vector @ text for segment in segments]))]
    assert (match.start, match.end) == (best.start, best.end)


def test_a_segment_can_be_asked_for_by_number_and_by_time(tagged_library: Path) -> None:
    with Searcher(tagged_library) as searcher:
        number = next(track.id for track in searcher.tracks() if track.path.name == "satie.wav")
        assert searcher.similar(number, segment=1) == searcher.search(f"{number}@0:03")
        assert searcher.similar(number, segment=1) != searcher.similar(number)
        with pytest.raises(QueryError, match="segments 0 to 12"):
            searcher.similar(number, segment=13)
        with pytest.raises(QueryError, match=r"lasts 25\.0 s"):
            searcher.search(f"{number}@1:00")


def test_an_unknown_track_is_named(tagged_library: Path) -> None:
    with Searcher(tagged_library) as searcher, pytest.raises(LibraryError, match="There is no track 99"):
        searcher.search("99")


def test_a_searcher_for_strangers_looks_at_no_file(
    tagged_library: Path, tmp_path: Path, write_wav: WriteWav, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = write_wav(tmp_path / "there.wav", noise(1.0))
    with Searcher(tagged_library, reads_files=False) as searcher:
        known = searcher.tracks()[0]
        answers = []
        for path in (there, tmp_path / "missing.wav"):
            with pytest.raises(QueryError, match="is not in the library") as error:
                searcher.search(str(path))
            answers.append(str(error.value).replace(str(path), "PATH"))
        assert answers[0] == answers[1]
        monkeypatch.setattr(Library, "find", lambda self, path: pytest.fail(f"looked at {path}"))
        monkeypatch.setattr("solfa.retrieval.search.hash_content", lambda path: pytest.fail(f"read {path}"))
        assert searcher.search(str(known.path)) == searcher.search(str(known.id))


def test_a_searcher_sees_what_others_change(own_tagged_library: Path) -> None:
    with Searcher(own_tagged_library) as searcher:
        assert len(searcher.search("calm piano")) == 4
        with Library(own_tagged_library) as library:
            library._remove([library.tracks()[0].path])
        assert len(searcher.search("calm piano")) == 3


def test_a_library_that_is_replaced_is_opened_again(own_tagged_library: Path, tagged_library: Path) -> None:
    with Searcher(own_tagged_library) as searcher:
        assert len(searcher.search("calm piano")) == 4
        new = Path(shutil.copy(tagged_library, own_tagged_library.with_name("new")))
        with Library(new) as library:
            library._remove([library.tracks()[0].path])
        new.replace(own_tagged_library)
        assert len(searcher.search("calm piano")) == 3


def test_several_threads_may_ask_at_once(tagged_library: Path) -> None:
    with Searcher(tagged_library) as searcher:
        expected, answers = searcher.search("calm piano"), []
        threads = [
            threading.Thread(target=lambda: answers.append(searcher.search("calm piano"))) for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert answers == [expected] * 4


def test_only_tracks_that_pass_the_filters_are_found(tagged_library: Path) -> None:
    with Searcher(tagged_library) as searcher:
        found = searcher.search("calm piano", n=1, filters=Filters.parse(["genre=techno"]))
        assert [match.track.artist for match in found] == ["Somebody"]
        assert searcher.count(Filters.parse(["year=1700-1899"])) == 2
        assert [track.title for track in searcher.tracks(1, 2)] == ["hiss", "bach"]


def test_the_models_name_in_a_library_is_where_it_was(tagged_library: Path) -> None:
    with Searcher(tagged_library) as searcher:
        assert searcher.space.model == str(GOLDEN / "muq_mulan")


def test_an_upload_finds_what_is_like_it_and_not_its_copies(
    library_path: Path, tiny_encoder: AudioEncoder, tmp_path: Path, write_wav: WriteWav
) -> None:
    copy = Path(shutil.copy(tmp_path / "music" / "tune.wav", tmp_path / "upload"))
    with Searcher(library_path, tiny_encoder, reads_files=False) as searcher:
        tune = next(track for track in searcher.tracks() if track.path.name == "tune.wav")
        found, known = searcher.similar_to_upload(copy), searcher.similar(tune.id)
        assert [match.track for match in found] == [match.track for match in known]
        # Not to the last digit: the upload is embedded here and now, and not beside other files.
        assert [match.cosine for match in found] == pytest.approx([m.cosine for m in known], abs=1e-4)
        other = write_wav(tmp_path / "other.wav", noise(2.0, seed=5))
        assert searcher.similar_to_upload(other, n=1)[0].track.path.name == "noise.wav"


def test_others_search_while_an_upload_is_embedded(
    library_path: Path, tiny_encoder: AudioEncoder, tmp_path: Path, write_wav: WriteWav,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    with Searcher(library_path, tiny_encoder, reads_files=False) as searcher:
        vector, found = searcher.vectors([searcher.tracks()[0].id])[0], []

        def embedded(path: Path) -> np.ndarray:
            other = threading.Thread(target=lambda: found.append(searcher.search("1")), daemon=True)
            other.start()
            other.join(timeout=120)  # until it is taken for stuck
            return vector

        monkeypatch.setattr(searcher, "_embedded", embedded)
        searcher.similar_to_upload(write_wav(tmp_path / "other.wav", noise(2.0, seed=5)))
        assert found


def test_sampled_tracks_are_spread_over_the_library(library_path: Path, tiny_encoder: AudioEncoder) -> None:
    with Searcher(library_path, tiny_encoder) as searcher:
        assert searcher.sampled_ids(100) == [
            track.id for track in sorted(searcher.tracks(), key=lambda t: t.id)
        ]
        assert searcher.sampled_ids(2) == [1, 5]
        assert [track.id for track in searcher.tracks_of([5, 1])] == [5, 1]


def test_a_model_says_whether_it_knows_words(
    library_path: Path, tiny_encoder: AudioEncoder, tagged_library: Path, mulan: MuLan
) -> None:
    with Searcher(library_path, tiny_encoder) as wordless, Searcher(tagged_library, mulan) as searcher:
        assert wordless.mulan() is None and searcher.mulan() is mulan


def test_terms_that_cancel_each_other_are_no_query(tagged_library: Path) -> None:
    with Searcher(tagged_library) as searcher:
        for query in ("1 - 1", "0 * 1", '"rain" - "rain"', "1 - 0.5 * 1 - 0.5 * 1", "0 * 1 + 0 * 2"):
            with pytest.raises(QueryError, match="cancel each other"):
                searcher.search(query)
        assert searcher.search("1 + 2 - 1", n=1)


@pytest.mark.parametrize("id", [0, -1, 2**63, 10**30])
def test_numbers_that_no_track_can_have_are_of_unknown_tracks(tagged_library: Path, id: int) -> None:
    with Searcher(tagged_library) as searcher:
        for ask in (
            searcher.track,
            searcher.segments,
            searcher.similar,
            lambda id: searcher.vectors([1, id]),
        ):
            with pytest.raises(UnknownTrackError, match=f"There is no track {id} in library.sqlite"):
                ask(id)
        assert [track.id for track in searcher.known_of([2, id, 1])] == [1, 2]
        assert len(searcher.tracks(n=10**30)) == 4 and searcher.tracks(offset=10**30) == []
        for n in (0, -5):
            with pytest.raises(QueryError, match="at least 1"):
                searcher.search("1", n=n)


def test_a_query_names_a_file_and_nothing_else_that_could_be_opened(
    library_path: Path, tiny_encoder: AudioEncoder, tmp_path: Path
) -> None:
    """A pipe would be waited for without end, and so would the end of a device."""
    os.mkfifo(tmp_path / "pipe.wav")
    (tmp_path / "folder.wav").mkdir()
    with Searcher(library_path, tiny_encoder) as searcher:
        for path in (tmp_path / "pipe.wav", tmp_path / "folder.wav", Path("/dev/zero")):
            with pytest.raises(FileNotFoundError, match="is no audio file"):
                searcher.similar_to_file(path)
        with pytest.raises(FileNotFoundError, match=r"missing\.wav' is not there"):
            searcher.search(f"1 + {tmp_path / 'missing.wav'}")
