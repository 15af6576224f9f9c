"""Syntax trees for threads."""

import ast
import gc
import threading
from collections.abc import Iterator

import pytest

from clarify_rl import syntax

SOURCE = "def f(x):\n    return " + " + ".join(["x * (x - 1)"] * 60) + "\n"


@pytest.fixture
def collections_that_yield() -> Iterator[None]:
    """Garbage collections that come often and run Python code, in which the interpreter switches threads."""

    def run_some_python(phase: str, info: dict[str, int]) -> None:
        for _ in range(200):
            pass

    before = gc.get_threshold()
    gc.callbacks.append(run_some_python)
    gc.set_threshold(100)
    yield
    gc.set_threshold(*before)
    gc.callbacks.remove(run_some_python)


@pytest.mark.usefixtures("collections_that_yield")
def test_threads_that_parse_at_once_do_not_disturb_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(syntax, "TRIES", 1)  # the lock alone must do it: a second try would hide what it lets through
    failures = []

    def parse_often() -> None:
        for _ in range(150):
            try:
                syntax.parse(SOURCE)
            except SystemError as error:
                failures.append(error)

    threads = [threading.Thread(target=parse_often) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_a_mismatch_of_depths_that_another_library_causes_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    failures = [SystemError("AST constructor recursion depth mismatch (before=30, after=25)")]
    true_parse = ast.parse

    def parse_after_a_failure(source: str, mode: str) -> object:
        if failures:
            raise failures.pop()
        return true_parse(source, mode=mode)

    monkeypatch.setattr(ast, "parse", parse_after_a_failure)
    assert syntax.parse("x + 1", "eval").body.lineno == 1


def test_source_that_is_no_python_raises_what_the_standard_library_raises() -> None:
    with pytest.raises(SyntaxError):
        syntax.parse("def f(:")
