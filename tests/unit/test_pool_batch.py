"""A batch without Ray: every item is done once, whatever is lost; deadlines; how large chunks are."""

import time

import pytest

from clarify_rl.pool.batch import DRIVER_SHARE, MOST_ROUNDS, Chunk, Ledger, Pace
from clarify_rl.pool.deadlines import work_on


def nap(seconds: float) -> str:
    time.sleep(seconds)
    return "done"


def late(seconds: float) -> str:
    return "late"


def unmeasured(i: int) -> str:
    return f"unmeasured {i}"


def names(chunk: Chunk) -> list[str]:
    return [str(i) for i in chunk.items]


def test_results_stand_in_the_order_of_items_whoever_comes_first() -> None:
    batch: Ledger[str] = Ledger(5)
    first, second = batch.take(3), batch.take(3)
    assert (first.items, second.items, batch.waiting) == ((0, 1, 2), (3, 4), 0)
    batch.finish(second, names(second))
    assert not batch.done
    batch.finish(first, names(first))
    assert (batch.done, batch.results) == (True, ["0", "1", "2", "3", "4"])


def test_what_an_actor_was_lost_on_is_tried_once_more_alone() -> None:
    batch: Ledger[str] = Ledger(3)
    assert batch.try_again(batch.take(3), unmeasured) == 3
    assert batch.tries_again
    again = [batch.take(3) for _ in range(3)]
    assert again == [Chunk((i,), again=True) for i in range(3)]
    batch.finish(again[0], ["0"])
    batch.finish(again[2], ["2"])
    assert batch.try_again(again[1], unmeasured) == 0
    assert batch.results == ["0", "unmeasured 1", "2"]


def test_what_an_actor_had_not_begun_waits_again_and_keeps_its_second_chance() -> None:
    batch: Ledger[str] = Ledger(2)
    batch.put_back(batch.take(2))
    assert batch.waiting == 2
    chunk = batch.take(1)
    assert chunk == Chunk((0, 1))
    assert batch.try_again(chunk, unmeasured) == 2


def test_giving_up_leaves_results_as_they_are() -> None:
    batch: Ledger[str] = Ledger(4)
    chunk = batch.take(2)
    batch.finish(chunk, names(chunk))
    assert batch.give_up(unmeasured) == 2
    assert batch.results == ["0", "1", "unmeasured 2", "unmeasured 3"]


@pytest.mark.parametrize(
    ("item_s", "all_threads", "waiting", "expected"),
    [
        (None, 32, 10_000, 2),  # nothing known yet
        (2.0, 32, 10_000, 2),  # slow users: the driver has time, small chunks balance best
        (0.001, 32, 10_000, 64),  # the driver would be the limit
        (0.001, 32, 320, 10),  # ... but nobody gets more than half of a fair share
        (0.0, 2000, 10**6, 2 * MOST_ROUNDS),
    ],
)
def test_chunks_grow_only_where_the_driver_would_be_the_limit(
    item_s: float | None, all_threads: int, waiting: int, expected: int
) -> None:
    assert Pace(chunk_s=0.0005, item_s=item_s).chunk_size(2, all_threads, waiting) == expected


def test_the_driver_keeps_its_share_with_the_chunks_that_are_chosen() -> None:
    pace = Pace(chunk_s=0.0005, item_s=0.02)
    size = pace.chunk_size(2, 500, 10**6)
    assert 500 / (size * 0.02) * 0.0005 <= DRIVER_SHARE


def test_a_late_item_is_cut_and_its_neighbours_are_done() -> None:
    started = time.monotonic()
    worked = work_on([0.0, 600.0, 0.05, 0.05], nap, late, threads=2, deadline_s=2.0)
    assert time.monotonic() - started < 300.0
    assert (worked.results, worked.hung) == (("done", "late", "done", "done"), 1)
    assert worked.seconds[1] >= 2.0


def test_no_item_is_begun_after_a_whole_deadline() -> None:
    worked = work_on([0.4] * 10, nap, late, threads=1, deadline_s=2.0)
    assert set(worked.results) == {"done"}
    assert 1 <= len(worked.results) < 10


def test_a_chunk_of_which_nothing_was_begun_tells_nothing_about_the_pace() -> None:
    """As where a whole process stood still for its deadline."""
    pace = Pace()
    pace.saw_items(())
    assert pace == Pace()
