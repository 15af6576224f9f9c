"""How many threads a run takes, told a machine's cores and what others use of them."""

from __future__ import annotations

import pytest

from clarify_rl import threads
from clarify_rl.threads import available_cores, busy_cores, choose_threads


@pytest.fixture(autouse=True)
def _nobody_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("cores", "busy", "processes", "count"),
    [
        (2, 0.0, 1, 2),
        (2, 0.1, 1, 2),
        (2, 0.4, 1, 1),
        (2, 2.0, 1, 1),
        (64, 0.2, 1, 64),
        (64, 40.0, 1, 24),
        (64, 64.0, 1, 1),
        (64, 0.0, 4, 16),
        (2, None, 1, 2),
        (1, 0.9, 3, 1),
    ],
)
def test_as_many_threads_as_cores_that_nobody_else_uses(
    cores: int, busy: float | None, processes: int, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threads, "available_cores", lambda: cores)
    monkeypatch.setattr(threads, "busy_cores", lambda: busy)
    choice = choose_threads(processes)
    assert choice.count == count
    assert f"{cores} cores" in str(choice)


def test_who_asks_for_a_number_gets_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    assert str(choose_threads()) == "7 threads: OMP_NUM_THREADS says so"


def test_a_run_that_goes_on_keeps_its_threads_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    assert str(choose_threads(before=3)) == "3 threads: as this run began"
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert choose_threads(before=3).count == 1


def test_this_machine_has_cores_and_says_how_many_are_busy() -> None:
    busy = busy_cores()
    assert available_cores() >= 1
    assert busy is None or busy >= 0
