"""Programs that attack the judge: none may pass, use up its time or learn what its tests hold."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from clarify_rl.executor import Executor, Layer
from clarify_rl.types import Execution, Verdict
from tests.executor_cases import BRIEF, GOOD, LIMITS, RESTLESS, SEARCH, checks, left_behind, needs, on_linux

pytestmark = on_linux


@pytest.fixture(scope="module")
def executor() -> Iterator[Executor]:
    with Executor(LIMITS, servers=1) as executor:
        yield executor


@pytest.fixture(scope="module")
def brief() -> Iterator[Executor]:
    with Executor(BRIEF, servers=1) as executor:
        yield executor


# What a program can do to look right without being right.


@pytest.mark.parametrize(
    "helper",
    [
        "def is_even(n):\n    return True",
        "is_even = 1",
        "class is_even(int):\n    def __new__(c, n): return int.__new__(c, 1)",
        "def is_even(n):\n    return object()",
        "class is_even:\n    def __init__(s, n): pass",
        "class is_even:\n    def __init__(s, n): s.even = True\n    def __bool__(s): return True",
    ],
    ids=["a function", "a number", "a class of numbers", "a function of objects", "a class", "a class of truths"],
)
def test_a_helper_that_the_tests_rely_on_never_comes_from_the_program(executor: Executor, helper: str) -> None:
    program = f"{helper}\ndef f(n):\n    return 7"
    assert not executor.run(program, "f", checks("assert is_even(candidate(2))")).solved


def test_a_helper_of_the_setup_stays_the_setups(executor: Executor) -> None:
    program = "def is_even(n):\n    return True\ndef f(n):\n    return 7"
    tests = checks("assert is_even(candidate(2))", setup="def is_even(n):\n    return n % 2 == 0")
    assert executor.run(program, "f", tests).per_test == ("wrong",)


@pytest.mark.parametrize("error", ["AssertionError", "StopIteration", "SystemExit(0)", "KeyboardInterrupt"])
def test_an_exception_of_the_program_cannot_end_or_decide_a_check(executor: Executor, error: str) -> None:
    program = f"def f(n):\n    raise {error}"
    tests = checks(
        "assert candidate(1) == 2",
        "assert list(map(candidate, [1, 2])) == []",
        "assert all(candidate(n) == 0 for n in (1, 2))",
        "try:\n    candidate(1)\nexcept (AssertionError, StopIteration, SystemExit, KeyboardInterrupt):\n    pass",
    )
    execution = executor.run(program, "f", tests)
    assert execution.verdict is Verdict.ERROR
    assert execution.per_test == ("error",) * 4


def test_an_expected_exception_can_be_caught_by_its_name(executor: Executor) -> None:
    program = "class Mine(ValueError): pass\ndef f(n):\n    raise Mine('no') if n else TypeError('no')"
    caught = "try:\n    candidate({})\n    assert False\nexcept {} as error:\n    assert str(error) == 'no'"
    tests = checks(caught.format(1, "ValueError"), caught.format(0, "TypeError"), caught.format(1, "TypeError"))
    assert executor.run(program, "f", tests).per_test == ("pass", "pass", "error")


@pytest.mark.parametrize(
    "death",
    [
        "os._exit(0)",
        "os.close(3)",
        "os.kill(os.getpid(), 9)",
        "__import__('ctypes').string_at(0)",
        "threading.Thread(target=os._exit, args=(0,)).start() or time.sleep(1)",
    ],
)
def test_a_program_that_dies_passes_nothing_more(executor: Executor, death: str) -> None:
    program = f"import os, threading, time\ndef f(n):\n    if n == 2: {death}\n    return 2 * n"
    tests = checks(*(f"assert candidate({n}) == {2 * n}" for n in (1, 2, 3)))
    execution = executor.run(program, "f", tests)
    assert execution.verdict is Verdict.DIED
    assert execution.per_test == ("pass", "missing", "missing")
    assert not left_behind(executor, ready=2)
    assert executor.run(GOOD, "f", tests).solved


@pytest.mark.parametrize("handler", ["except:", "except BaseException:", "except Exception:", "finally:"])
def test_a_check_that_tolerates_everything_still_misses_a_program_that_died(executor: Executor, handler: str) -> None:
    program = "import os\ndef f(n):\n    os._exit(0)"
    tests = checks(f"try:\n    candidate(1)\n{handler}\n    pass", "assert True")
    assert executor.run(program, "f", tests).per_test == ("missing", "missing")


@pytest.mark.parametrize(
    "line",
    [
        b"garbage\n",
        b"\xff\n",
        b'{"r":1}\n{"r":2}\n',
        b'{"m":[]}\n',
        b'{"r":{"zz":1}}\n',
        b'{"r":{"d":[[[1],2]]}}\n',
        b'{"r":{"h":"x"}}\n',
        b'{"n":0,"m":"pass","d":""}\n{"calls":1}\n',
        b"[" * 5000 + b"\n",
        b'{"e":["AssertionError","x"]}\n',
        b'{"e":["GeneratorExit","x"]}\n',
        b'{"e":["ExceptionGroup","x"]}\n',
        b'{"e":["__import__","x"]}\n',
        b'{"e":[1,2]}\n',
        b'{"r":1e999}\n',
        b'{"r":7,"m":{}}\n',
        b'{"r":7,"m":[7,7,7]}\n',
    ],
    ids=lambda line: line[:24].decode("latin-1").strip(),
)
def test_forged_lines_on_the_link_to_the_judge_pass_nothing(executor: Executor, line: bytes) -> None:
    program = f"import os\ndef f(n):\n    os.write(3, {line!r})\n    return 7"
    execution = executor.run(program, "f", checks("assert candidate([1]) == 2", "assert candidate([1]) == 4"))
    assert execution.passed <= (1 if b'{"r":2}' in line else 0)  # 2 is an answer like any other
    assert execution.measured and not execution.solved
    assert executor.run(GOOD, "f", checks("assert candidate(1) == 2")).solved


def test_a_flood_on_the_link_to_the_judge_is_no_pass(executor: Executor) -> None:
    program = "import os\ndef f(n):\n    while True: os.write(3, b'x' * 65536)"
    execution = executor.run(program, "f", checks("assert candidate(1) == 2"))
    assert execution.measured and execution.passed == 0


# Time.


@pytest.mark.parametrize("loop", ["while True: pass", "while True: candidate(1)"])
def test_a_check_that_loops_forever_is_a_timeout(brief: Executor, loop: str) -> None:
    execution = brief.run(GOOD, "f", checks("assert candidate(1) == 2", loop))
    assert execution.verdict is Verdict.CPU_TIMEOUT
    assert execution.per_test == ("pass", "missing")


def test_tests_that_use_up_the_time_are_named(brief: Executor) -> None:
    assert "the tests themselves" in brief.run(GOOD, "f", checks("while True: pass")).detail


def test_a_program_that_loops_forever_is_a_timeout(brief: Executor) -> None:
    execution = brief.run("def f(n):\n    while n > 1: pass\n    return 2 * n", "f", checks("f(1)", "f(2)", "f(1)"))
    assert execution.verdict is Verdict.CPU_TIMEOUT
    assert execution.per_test == ("pass", "missing", "missing")


@pytest.mark.parametrize(("program", "check"), [("time.sleep(60)", "candidate(1)"), ("pass", "time.sleep(60)")])
def test_sleeping_on_either_side_is_an_idle_timeout(program: str, check: str) -> None:
    needs(Layer.NAMESPACES, Layer.FILES)
    with Executor(RESTLESS, servers=1) as executor:
        execution = executor.run(f"import time\ndef f(n):\n    {program}", "f", checks(check))
        assert execution.verdict is Verdict.IDLE_TIMEOUT


# Secrets.


def search(*given: str) -> Execution:
    """A look for `needle-7777`, which the tests hold, in the whole memory of the program."""
    arguments = ", ".join(map(repr, given))
    with Executor(LIMITS, servers=1) as executor:
        return executor.run(
            SEARCH, "f", checks(f"due = 'needle-7777'\nassert candidate({arguments}) == 'nothing', due")
        )


def test_the_tests_are_nowhere_in_the_programs_process() -> None:
    assert search().solved


def test_the_search_does_find_what_is_there() -> None:
    found = [search("needle-7777").per_test for _ in range(4)]  # it may lie across two pages, where nobody sees it
    assert ("wrong",) in found
