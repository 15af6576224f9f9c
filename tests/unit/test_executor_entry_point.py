"""Which function of a program the tests call, and what its prompt gave it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from clarify_rl.executor import Executor
from clarify_rl.types import HiddenTests, Verdict
from tests.executor_cases import DOUBLE, LIMITS, checks, on_linux

pytestmark = on_linux

CHECKS = checks("assert candidate(1) == 2", "assert f(3) == 6")
EITHER = pytest.mark.parametrize("tests", [DOUBLE, CHECKS], ids=["pairs", "assertions"])


@pytest.fixture(scope="module")
def executor() -> Iterator[Executor]:
    with Executor(LIMITS, servers=1) as executor:
        yield executor


@EITHER
@pytest.mark.parametrize(
    "program",
    [
        "def f(n): return 2 * n",
        "def candidate(n): return 2 * n",
        "def double(n): return 2 * n",
        "def double(n): return 2 * n\ntwice = double",
        "import math\nfrom os import *\ndef double(n): return 2 * n",
        "def f(n): return 2 * n\ndef candidate(n): return 0\ndef helper(): ...",
        "def helper(n): return 0\ndef candidate(n): return 2 * n",
        "double = lambda n: 2 * n",
        "for f in [lambda n: 2 * n]: pass",
        "f, g = lambda n: 2 * n, lambda n: 0",
        "(f := lambda n: 2 * n)\ndef other(n): return 0",
        "match {'x': lambda n: 2 * n}:\n    case {'x': f}: pass\ndef other(n): return 0",
        "with __import__('contextlib').nullcontext(lambda n: 2 * n) as f: pass",
        "globals()['f'] = lambda n: 2 * n\ndef other(n): return 0",
    ],
)
def test_a_right_program_passes_whatever_it_names_its_function_and_however(
    executor: Executor, program: str, tests: HiddenTests
) -> None:
    assert executor.run(program, "f", tests).solved


@EITHER
@pytest.mark.parametrize(
    ("program", "why"),
    [
        ("def one(n): return 2 * n\ndef two(n): return 2 * n", "entry point 'f' is not defined"),
        ("f = 3\ndef double(n): return 2 * n", "a int, not callable"),
        ("from math import sqrt", "not defined"),
        ("class Double: pass", "not defined"),
    ],
)
def test_a_program_with_no_one_function_to_call_is_an_error(
    executor: Executor, program: str, why: str, tests: HiddenTests
) -> None:
    execution = executor.run(program, "f", tests)
    assert execution.verdict is Verdict.ERROR
    assert why in execution.detail


@EITHER
def test_an_expression_is_never_replaced_by_an_only_function(executor: Executor, tests: HiddenTests) -> None:
    execution = executor.run("def double(n): return 2 * n", "Solution().f", tests)
    assert execution.verdict is Verdict.ERROR
    assert "Solution" in execution.detail


def test_a_long_program_costs_its_caller_nothing(executor: Executor) -> None:
    program = f"import a{'.b' * 40_000}\ndef f(n): return 2 * n"
    assert executor.run(program, "f", DOUBLE).passed == 0  # read in its own process, within its own limit


@EITHER
def test_what_the_prompt_gave_is_there_and_its_helpers_are_not_taken_for_the_function(
    executor: Executor, tests: HiddenTests
) -> None:
    prelude = "from typing import List\nimport math\ndef helper(n): return n + n"
    program = "def double(n: List[int]): return helper(math.floor(n))"
    assert not executor.run(program, "f", tests).solved
    assert executor.run(program, "f", tests, prelude).solved


def test_a_program_may_define_anew_what_the_prompt_gave(executor: Executor) -> None:
    program = "def helper(n): return 2 * n\ndef double(n): return helper(n)"
    assert executor.run(program, "f", DOUBLE, "def helper(n): return 0").solved


def test_a_future_import_still_comes_first(executor: Executor) -> None:
    program = "from __future__ import annotations\ndef f(n: Unheard): return 2 * n"
    assert executor.run(program, "f", DOUBLE, "import math").solved
