"""Files that grow item by item: whatever an interruption leaves behind, going on ends with the same file."""

from __future__ import annotations

from pathlib import Path

import pytest

from clarify_rl.errors import DataError
from clarify_rl.pipeline.grown import GrownFile
from clarify_rl.problems.made import Made
from clarify_rl.types import Case, Problem, Tests, Variant


def variants(name: str, count: int) -> list[Variant]:
    problem = Problem(name, "Return x.", "f", Tests((Case((1,), 1),)), "def f(x):\n    return x\n", "test")
    return [Variant(f"{name}/{number}", problem, "Return x.") for number in range(count)]


def grow(path: Path, *items: str) -> None:
    with GrownFile(path) as grown:
        for number, name in enumerate(items):
            if name not in grown:
                grown.add(name, variants(name, number % 3), "nothing in it" if number % 3 == 0 else "")


@pytest.mark.parametrize("cut", [1, 20, 200, 600])
@pytest.mark.parametrize("which", ["made.jsonl", "made.jsonl.done"])
def test_a_file_that_was_cut_anywhere_is_mended_by_going_on(tmp_path: Path, which: str, cut: int) -> None:
    whole, mended = tmp_path / "whole.jsonl", tmp_path / "made.jsonl"
    grow(whole, *"abcdef")
    grow(mended, *"abcd")
    if which == mended.name:  # a variant half written, and not yet told of
        with mended.open("ab") as file:
            file.write(whole.read_bytes()[:cut])
    else:
        marks = tmp_path / which
        marks.write_bytes(marks.read_bytes()[: -min(cut, 60)])
    grow(mended, *"abcdef")
    assert mended.read_bytes() == whole.read_bytes()
    assert (tmp_path / "made.jsonl.done").read_bytes() == (tmp_path / "whole.jsonl.done").read_bytes()


@pytest.mark.parametrize("kept", [None, 0, 2, 3])
def test_variants_that_somebody_removed_are_made_again(tmp_path: Path, kept: int | None) -> None:
    whole, mended = tmp_path / "whole.jsonl", tmp_path / "made.jsonl"
    grow(whole, *"abcdef")
    grow(mended, *"abcdef")
    if kept is None:
        mended.unlink()
    else:
        mended.write_bytes(b"".join(whole.read_bytes().splitlines(keepends=True)[:kept]))
    grow(mended, *"abcdef")
    assert mended.read_bytes() == whole.read_bytes()


def test_what_is_decided_is_known_again_with_its_note(tmp_path: Path) -> None:
    grow(tmp_path / "made.jsonl", *"abc")
    grown = GrownFile(tmp_path / "made.jsonl")
    assert "a" in grown and "z" not in grown
    assert grown.notes == {"a": "nothing in it"}
    assert grown.counts == {"a": 0, "b": 1, "c": 2}
    assert [variant.id for variant in Made(str(tmp_path / "made.jsonl")).variants()] == ["b/0", "c/0", "c/1"]


def test_a_file_of_somebody_elses_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_text("mine\n")
    with pytest.raises(DataError, match="was not made here"):
        GrownFile(path)
    assert path.read_text() == "mine\n"
