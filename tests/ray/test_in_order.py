"""Variants made by Ray's actors: the file that fork servers of this machine make, whoever is lost on the way."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from clarify_rl.cli import main
from clarify_rl.pool.in_order import in_order_on_ray
from tests import own_problems

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("cluster")]


class Doubling:
    """Doubles numbers; the first that is told to dies, once."""

    def __init__(self, mark: Path | None = None) -> None:
        self.mark = mark

    def __call__(self, number: int) -> int:
        if number == 5 and self.mark and not self.mark.exists():
            self.mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if number == 13:
            raise ValueError("13 cannot be doubled")
        return 2 * number

    def close(self) -> None:
        pass


def test_what_is_made_comes_in_order_and_is_taken_as_it_is_needed() -> None:
    taken: list[int] = []

    def numbers() -> Iterator[int]:
        for number in range(100, 300):
            taken.append(number)
            yield number

    came = in_order_on_ray(Doubling, numbers(), 2)
    assert next(came) == 200
    assert len(taken) <= 20
    assert list(came) == [2 * number for number in range(101, 300)]


def test_a_lost_actor_is_replaced_and_its_item_done_again(tmp_path: Path) -> None:
    mark = tmp_path / "died"
    assert list(in_order_on_ray(lambda: Doubling(mark), range(12), 2)) == [2 * number for number in range(12)]
    assert mark.exists()


def test_what_the_work_raises_is_raised_here() -> None:
    with pytest.raises(ValueError, match="13 cannot be doubled"):
        list(in_order_on_ray(Doubling, range(20), 2))


def test_the_file_is_that_of_one_machine_without_ray(tmp_path: Path) -> None:
    source = f"rows,path={own_problems.write(tmp_path / 'mine.jsonl')},{own_problems.FIELDS}"
    for name, how in {"here": ["--workers", "1"], "ray": ["--ray", "--workers", "2"]}.items():
        assert main(["data", "make", source, "--without", source, "--out", str(tmp_path / f"none-{name}"), *how]) == 0
        assert main(["data", "make", source, "--out", str(tmp_path / name), *how]) == 0
    assert (tmp_path / "ray").read_bytes() == (tmp_path / "here").read_bytes() != b""
    assert (tmp_path / "ray.done").read_bytes() == (tmp_path / "here.done").read_bytes()
    assert (tmp_path / "none-ray.done").read_bytes() == (tmp_path / "none-here.done").read_bytes()
    assert (tmp_path / "none-ray").read_bytes() == b""
