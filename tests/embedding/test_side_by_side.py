import threading
from collections.abc import Iterator

import pytest
import torch

from solfa.embedding.side_by_side import side_by_side, threads_for
from solfa.models import AudioEncoder


def test_results_come_in_order_whichever_is_done_first() -> None:
    first_may_end = threading.Event()

    def work(number: int) -> int:
        if number == 0:
            assert first_may_end.wait(30)
        if number == 1:
            first_may_end.set()  # only another thread can let the first one end
        return number * number

    assert list(side_by_side(work, range(20), 2)) == [n * n for n in range(20)]


def test_an_error_is_raised_where_its_result_would_have_come() -> None:
    def work(number: int) -> float:
        return 1 / (number - 3)

    results = side_by_side(work, range(9), 2)
    assert [next(results) for _ in range(3)] == [1 / -3, 1 / -2, -1.0]
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_things_are_taken_as_they_are_needed() -> None:
    taken: list[int] = []

    def things() -> Iterator[int]:
        for number in range(1_000):
            taken.append(number)
            yield number

    results = side_by_side(lambda number: number, things(), 2)
    assert next(results) == 0
    assert len(taken) < 10
    results.close()  # type: ignore[attr-defined]


def test_the_threads_share_those_of_the_caller_who_keeps_his() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    try:
        assert list(side_by_side(lambda _: torch.get_num_threads(), range(6), 2)) == [2] * 6
        assert torch.get_num_threads() == 4
        seen: list[int] = []
        thread = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
        thread.start()
        thread.join()
        assert seen == [4]
    finally:
        torch.set_num_threads(before)


def test_with_one_thread_nothing_leaves_the_callers() -> None:
    assert set(side_by_side(lambda _: threading.get_ident(), range(3), 1)) == {threading.get_ident()}


def test_a_small_encoder_works_on_every_core_and_a_large_one_once(
    tiny_encoder: AudioEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("solfa.embedding.side_by_side.available_cores", lambda: 4)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    assert threads_for(tiny_encoder) == 4
    monkeypatch.setattr("solfa.embedding.side_by_side.MOST_PARAMETERS", 10)
    assert threads_for(tiny_encoder) == 1
