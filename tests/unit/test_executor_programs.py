"""What honest programs can do, how their results are compared, and what decides a timeout. Tests are pairs here."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from clarify_rl.errors import ExecutorError
from clarify_rl.executor import Executor, Layer, Limits, Output, Trial
from clarify_rl.types import Assertions, Case, Raises, Stdio, Tests, Verdict
from tests.executor_cases import BRIEF, DOUBLE, GOOD, LIMITS, RESTLESS, SLEEPER, in_threads, needs, on_linux, one

pytestmark = on_linux


@pytest.fixture(scope="module")
def executor() -> Iterator[Executor]:
    with Executor(LIMITS) as executor:
        yield executor


@pytest.fixture(scope="module")
def brief() -> Iterator[Executor]:
    with Executor(BRIEF) as executor:
        yield executor


# What a program can do honestly.


def test_a_right_program_passes_every_test(executor: Executor) -> None:
    execution = executor.run(GOOD, "f", DOUBLE)
    assert execution.verdict is Verdict.PASS
    assert (execution.passed, execution.total, execution.per_test) == (3, 3, ("pass",) * 3)
    assert 0 < execution.cpu_s < LIMITS.cpu_s
    assert execution.wall_s > 0


def test_a_wrong_result_fails_its_own_test_only(executor: Executor) -> None:
    execution = executor.run("def f(n):\n    return 4 if n == 3 else 2 * n\n", "f", DOUBLE)
    assert execution.verdict is Verdict.WRONG
    assert execution.per_test == ("pass", "pass", "wrong")


def test_a_call_that_raises_fails_its_own_test_only(executor: Executor) -> None:
    execution = executor.run("def f(n):\n    return 2 * n if n > 1 else 1 / 0\n", "f", DOUBLE)
    assert execution.verdict is Verdict.WRONG
    assert execution.per_test == ("error", "pass", "pass")
    assert "ZeroDivisionError" in execution.detail


@pytest.mark.parametrize(
    ("program", "detail"),
    [
        ("def f(n:", "SyntaxError"),
        ("x = 1", "entry point 'f' is not defined"),
        ("f = 3", "int, not callable"),
        ("import no_such_module\ndef f(n): return 2 * n", "No module named"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("import sys\nsys.exit(0)", "SystemExit"),
        ("\ud800", "UnicodeEncodeError"),
        ("\0", "null bytes"),
        ("(" * 5000 + ")" * 5000, ""),
        ("", "not defined"),
    ],
)
def test_a_program_that_cannot_be_loaded_is_an_error(executor: Executor, program: str, detail: str) -> None:
    execution = executor.run(program, "f", DOUBLE)
    assert execution.verdict in (Verdict.ERROR, Verdict.MEMORY)
    assert execution.per_test == ("missing",) * 3
    assert detail in execution.detail


def test_a_long_or_unprintable_message_is_cut_and_cleaned(executor: Executor) -> None:
    execution = executor.run("raise ValueError('\\ud800' + 'x' * 10_000)", "f", DOUBLE)
    assert len(execution.detail) <= 300
    assert execution.detail.encode("utf-8")


@pytest.mark.parametrize("error", ["RecursionError", "SystemExit", "KeyboardInterrupt", "GeneratorExit"])
def test_any_exception_in_a_call_is_an_error_of_that_test(executor: Executor, error: str) -> None:
    execution = executor.run(f"def f(n):\n    raise {error}", "f", DOUBLE)
    assert execution.verdict is Verdict.ERROR
    assert execution.per_test == ("error",) * 3


def test_endless_recursion_is_an_error(executor: Executor) -> None:
    assert executor.run("def f(n):\n    return f(n)", "f", DOUBLE).verdict is Verdict.ERROR


def test_changing_an_argument_changes_no_other_test(executor: Executor) -> None:
    shared = [1, 2]
    tests = Tests((Case((shared,), 3), Case((shared,), 3)))
    execution = executor.run("def f(xs):\n    xs.append(1) or xs.pop()\n    return xs.pop() + xs.pop()", "f", tests)
    assert execution.solved
    assert shared == [1, 2]


def test_the_entry_point_may_be_an_expression(executor: Executor) -> None:
    program = "class Solution:\n    def f(self, n):\n        return 2 * n\n"
    assert executor.run(program, "Solution().f", DOUBLE).solved
    execution = executor.run(program, "Solution().g", DOUBLE)
    assert execution.verdict is Verdict.ERROR
    assert "AttributeError" in execution.detail


def test_the_usual_modules_import(executor: Executor) -> None:
    names = "math re typing collections itertools functools heapq bisect string random datetime copy operator"
    names += " fractions decimal statistics json textwrap dataclasses enum"
    program = "".join(f"import {name}\n" for name in names.split()) + GOOD
    assert executor.run(program, "f", DOUBLE).solved


def test_dataclasses_with_postponed_annotations_work(executor: Executor) -> None:
    program = "from __future__ import annotations\nimport dataclasses\n@dataclasses.dataclass\nclass P:\n    x: int\n"
    assert executor.run(program + "def f(n):\n    return P(n).x * 2", "f", DOUBLE).solved


def test_annotations_are_evaluated_as_python_does(executor: Executor) -> None:
    assert executor.run("def f(n: int):\n    return 2 * n if f.__annotations__['n'] is int else 0", "f", DOUBLE).solved
    assert "NameError" in executor.run("def f(n: Unheard):\n    return 2 * n", "f", DOUBLE).detail


def test_pickling_a_class_of_the_program_works(executor: Executor) -> None:
    program = "import pickle\nclass P:\n    def __init__(s, n): s.n = n\n"
    program += "def f(n):\n    return 2 * pickle.loads(pickle.dumps(P(n))).n"
    assert executor.run(program, "f", DOUBLE).solved


def test_printing_and_asking_for_input_disturb_nothing(executor: Executor) -> None:
    program = (
        "def f(n):\n    print('pass' * 1000)\n    try:\n        input()\n    except EOFError:\n        return 2 * n"
    )
    assert executor.run(program, "f", DOUBLE).solved


def test_threads_work_and_may_be_left_running(executor: Executor) -> None:
    program = "import threading, time\nthreading.Thread(target=time.sleep, args=(60,)).start()\n" + GOOD
    execution = executor.run(program, "f", DOUBLE)
    assert execution.solved
    assert execution.wall_s < 60  # it is not waited for


def test_the_smallest_memory_limit_is_enough_for_a_small_program() -> None:
    with Executor(replace(LIMITS, memory_mb=128), servers=1) as executor:
        assert executor.run(GOOD, "f", DOUBLE).solved


def test_a_program_that_was_waited_for_finds_what_one_that_was_not_finds(executor: Executor) -> None:
    program = (
        "import random, sys\ndef f():\n"
        "    names = sorted(sys.modules)\n"
        "    return [random.random(), hash(str(names)), sys.modules['solution'].f is f, 'tests' in names]"
    )
    found = []
    for pause_s in (0.0, 0.1, 0.0, 0.1):  # a process that waits long enough runs a job of our own first
        time.sleep(pause_s)
        found.append(executor.run(program, "f", one(None)).detail)
    assert len(set(found)) == 1
    assert found[0].endswith("True, False]")


def test_chance_and_the_order_of_sets_are_the_same_on_every_run() -> None:
    program = "import random\ndef f():\n    return [list(set('clarify')), random.random()]"
    details = set()
    for _ in range(2):
        with Executor(LIMITS) as executor:
            details.add(executor.run(program, "f", one(0)).detail)
    assert len(details) == 1


# How results are compared.


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        ("float('nan')", math.nan),
        ("[(1, {2}), {'a': b'x'}]", [(1, {2}), {"a": b"x"}]),
        ("{2: 1, 1: 2}", {1: 2, 2: 1}),
        ("-0.0", 0.0),
        ("10**50", 10**50),
        ("complex(1, float('inf'))", complex(1, math.inf)),
        ("frozenset([None, True])", frozenset([None, True])),
        ("__import__('collections').Counter('a')", {"a": 1}),
    ],
)
def test_equal_values_of_equal_type_pass(executor: Executor, result: str, expected: object) -> None:
    assert executor.run(f"def f():\n    return {result}", "f", one(expected)).solved


@pytest.mark.parametrize(
    ("result", "expected"),
    [("True", 1), ("1.0", 1), ("[1]", (1,)), ("[True]", [1]), ("{1}", {True}), ("{1: 0}", {1.0: 0}), ("'1'", 1)],
)
def test_equal_values_of_another_type_are_wrong(executor: Executor, result: str, expected: object) -> None:
    assert executor.run(f"def f():\n    return {result}", "f", one(expected)).verdict is Verdict.WRONG


def test_printed_comparison_takes_the_text_of_the_result(executor: Executor) -> None:
    tests = Tests((Case((1,), "[1, 'a']"), Case((2,), "[2, 'a']")), compare="printed")
    assert executor.run("def f(n):\n    return [n, 'a']", "f", tests).solved
    assert executor.run("def f(n):\n    return f'[{n}, \\'a\\']'", "f", tests).solved
    opaque = "class A:\n    def __str__(self):\n        return \"[1, 'a']\"\ndef f(n):\n    return A()"
    assert executor.run(opaque, "f", tests).verdict is Verdict.UNSUPPORTED_TYPE


@pytest.mark.parametrize(
    ("program", "solved"),
    [
        ("def f():\n    raise ValueError('x')", True),
        ("def f():\n    raise UnicodeError('x')", False),
        ("class ValueError(Exception): pass\ndef f():\n    raise ValueError", False),
        ("def f():\n    return ValueError('x')", False),
        ("def f():\n    return None", False),
        ("raise ValueError('x')", False),
    ],
)
def test_an_expected_exception_must_be_raised_by_the_call_and_be_exactly_that_one(
    executor: Executor, program: str, solved: bool
) -> None:
    assert executor.run(program, "f", one(Raises("ValueError"))).solved is solved


@pytest.mark.parametrize("result", ["object()", "iter([1])", "f", "[object()]", "range(3)"])
def test_a_result_that_is_not_data_is_unsupported(executor: Executor, result: str) -> None:
    execution = executor.run(f"def f():\n    return {result}", "f", one(1))
    assert execution.verdict is Verdict.UNSUPPORTED_TYPE
    assert execution.per_test == ("wrong",)


@pytest.mark.parametrize(
    ("result", "shown"),
    [
        ("(1, 3)", "(1, 3)"),
        ("(1,)", "(1,)"),
        ("{}", "{}"),
        ("set()", "set()"),
        ("None", "None"),
        ("[True, {'a': (1.5, None)}]", "[True, {'a': (1.5, None)}]"),
        ("{1: {2}}", "{1: {2}}"),
        ("frozenset({1})", "frozenset({1})"),
        ("frozenset()", "frozenset()"),
        ("b'x'", "b'x'"),
        ("float('nan')", "nan"),
        ("[float('-inf')]", "[-inf]"),
        ("1 << 64", str(1 << 64)),
        ("1j", "1j"),
        ("'it\\'s'", '"it\'s"'),
        ("'x' * 1000", "'" + "x" * 199 + "..."),
        ("10 ** 1500", hex(10**1500)[:200] + "..."),
    ],
)
def test_a_wrong_value_is_shown_as_python_prints_it(executor: Executor, result: str, shown: str) -> None:
    assert executor.run(f"def f():\n    return {result}", "f", one("due")).detail == f"case 0: returned {shown}"


NUMPY = """
import sys, types
numpy = sys.modules['numpy'] = types.ModuleType('numpy')
class generic:
    def __init__(self, plain): self.plain = plain
    def item(self): return self.plain
generic.__module__ = 'numpy'
class int64(generic): __module__ = 'numpy'
class ndarray: __module__ = 'numpy'
"""


def test_a_scalar_of_numpy_is_the_number_that_it_stands_for(executor: Executor) -> None:
    for plain, due in (("3", 3), ("True", True), ("0.5", 0.5)):
        program = f"{NUMPY}def f():\n    return [int64({plain}), {{int64({plain}): (int64({plain}),)}}]"
        assert executor.run(program, "f", one([due, {due: (due,)}])).solved
    for other in ("ndarray()", "int64([1])", "int64(int64(1))"):
        execution = executor.run(f"{NUMPY}def f():\n    return {other}", "f", one(1))
        assert execution.verdict is Verdict.UNSUPPORTED_TYPE


# What decides a timeout, and what too much memory or output gives.


def test_an_endless_loop_is_a_cpu_timeout(brief: Executor) -> None:
    execution = brief.run("def f(n):\n    while n > 1:\n        pass\n    return 2 * n", "f", DOUBLE)
    assert execution.verdict is Verdict.CPU_TIMEOUT
    assert execution.per_test == ("pass", "missing", "missing")
    assert execution.cpu_s >= BRIEF.cpu_s


def test_an_endless_loop_that_ignores_every_signal_is_a_cpu_timeout(brief: Executor) -> None:
    program = (
        "import signal\nfor s in range(1, 65):\n    try: signal.signal(s, signal.SIG_IGN)\n    except Exception: pass\n"
    )
    program += (
        "def f(n):\n    while True:\n        try:\n            while True: pass\n        except BaseException: pass"
    )
    assert brief.run(program, "f", DOUBLE).verdict is Verdict.CPU_TIMEOUT


def test_processor_time_of_all_threads_counts(brief: Executor) -> None:
    program = "import threading\ndef spin():\n    while True: pass\n"
    program += "def f(n):\n    threads = [threading.Thread(target=spin) for _ in range(3)]\n"
    program += "    [thread.start() for thread in threads]\n    threads[0].join()"
    assert brief.run(program, "f", DOUBLE).verdict is Verdict.CPU_TIMEOUT


def test_sleeping_is_an_idle_timeout_and_measured() -> None:
    needs(Layer.NAMESPACES, Layer.FILES)
    acts = ("time.sleep(60)", "threading.Event().wait()", "signal.pause()", "os.kill(os.getpid(), signal.SIGSTOP)")
    with Executor(RESTLESS, servers=1) as executor:
        for act in acts:
            program = f"import os, signal, threading, time\ndef f(n):\n    if n > 1: {act}\n    return 2 * n"
            execution = executor.run(program, "f", DOUBLE)
            assert execution.verdict is Verdict.IDLE_TIMEOUT
            assert execution.measured
            assert execution.per_test == ("pass", "missing", "missing")
            assert RESTLESS.idle_s <= execution.wall_s < 60
        assert executor.run(GOOD, "f", DOUBLE).solved


@pytest.mark.parametrize(("asleep", "verdict"), [(0.2, Verdict.PASS), (1.7, Verdict.IDLE_TIMEOUT)])
def test_the_verdict_on_a_sleeper_is_no_matter_of_chance(asleep: float, verdict: Verdict) -> None:
    """Nobody looks at a process all the time; that must not decide what becomes of it."""
    needs(Layer.NAMESPACES, Layer.FILES)
    program = f"import time\ndef f():\n    time.sleep({asleep})\n    return 1"
    with Executor(replace(LIMITS, idle_s=1.0), servers=2) as executor:
        trials = [Trial(program, "f", one(1))] * 6
        assert {each.verdict for each in in_threads(executor, trials, threads=2)} == {verdict}


def test_sleeping_is_unmeasured_where_nobody_can_see_it() -> None:
    needs(Layer.NAMESPACES)
    with Executor(Limits(cpu_s=2.0, wall_s=2.0, idle_s=0.2), servers=1, without=("files",)) as executor:
        execution = executor.run(SLEEPER, "f", DOUBLE)
        assert execution.verdict is Verdict.WALL_TIMEOUT
        assert not execution.measured


@pytest.fixture
def busy_core() -> Iterator[None]:
    """One core for this process and what it starts, and a program of ours that wants it too."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    spinning = subprocess.Popen([sys.executable, "-c", "import time\nwhile time.process_time() < 20: pass"])
    yield
    spinning.kill()
    spinning.wait()
    os.sched_setaffinity(0, cores)


@pytest.mark.usefixtures("busy_core")
@pytest.mark.parametrize(
    "work",
    ["spin()", "thread = threading.Thread(target=spin); thread.start(); thread.join()"],
    ids=["in one thread", "in a thread for each call"],
)
def test_work_on_a_busy_core_is_no_sleep(work: str) -> None:
    needs(Layer.NAMESPACES, Layer.FILES)
    program = "import threading, time\ndef spin():\n    end = time.thread_time() + 0.5\n"
    program += f"    while time.thread_time() < end: pass\ndef f(n):\n    {work}\n    return 2 * n"
    with Executor(replace(LIMITS, idle_s=1.0), servers=1) as executor:
        assert executor.run(program, "f", DOUBLE).solved


def test_a_memory_blow_up_is_memory(executor: Executor) -> None:
    assert executor.run("def f(n):\n    return bytearray(1 << 40)", "f", DOUBLE).verdict is Verdict.MEMORY
    assert executor.run("x = [0] * (1 << 40)", "f", DOUBLE).verdict is Verdict.MEMORY


def test_memory_in_small_pieces_is_limited_too(executor: Executor) -> None:
    execution = executor.run("def f(n):\n    return len([bytes(1 << 20) for _ in range(500)])", "f", one(500, 1))
    assert execution.verdict is Verdict.MEMORY


def test_a_result_larger_than_the_limit_is_not_read(executor: Executor) -> None:
    execution = executor.run("def f(n):\n    return 'x' * (30 << 20)", "f", DOUBLE)
    assert execution.verdict is Verdict.UNSUPPORTED_TYPE
    assert "too large" in execution.detail


@pytest.mark.parametrize("value", ["True", "None", "0.5", "'\\ud800'", "-1", "[]", "{}", "1 << 60", "b'x'", "(1, {2})"])
def test_a_result_of_any_size_is_plain_data_or_too_large_and_never_a_broken_protocol(
    executor: Executor, value: str
) -> None:
    verdicts = [
        executor.run(f"def f():\n    return [{value}] * {count:_}", "f", one(0)).verdict
        for count in (200_000, 400_000, 800_000, 900_000, 2_000_000)
    ]
    assert set(verdicts) <= {Verdict.WRONG, Verdict.UNSUPPORTED_TYPE}
    assert verdicts[-1] is Verdict.UNSUPPORTED_TYPE


def test_a_list_of_nearly_the_limit_passes(executor: Executor) -> None:
    assert executor.run("def f():\n    return [True] * 800_000", "f", one([True] * 800_000)).solved


def test_results_of_odd_text_are_counted_as_they_are_sent(executor: Executor) -> None:
    tests = Tests(tuple(Case((n,), "\ud800" * (1 << 18)) for n in range(6)))
    execution = executor.run("def f(n):\n    return '\\ud800' * (1 << 18)", "f", tests)
    assert execution.per_test == ("pass",) * 2 + ("wrong",) * 4


def test_results_that_are_too_large_together_are_cut(executor: Executor) -> None:
    tests = Tests(tuple(Case((n,), "x" * (1 << 20)) for n in range(6)))
    execution = executor.run("def f(n):\n    return 'x' * (1 << 20)", "f", tests)
    assert execution.per_test == ("pass",) * 3 + ("wrong",) * 3


# Mistakes of the caller.


@pytest.mark.parametrize(
    ("tests", "message"),
    [
        (Tests(()), "at least one hidden test"),
        (Assertions(()), "at least one hidden test"),
        (Stdio(()), "at least one hidden test"),
        (one(object()), "expected value of case 0 is not plain data"),
        (one(1, object()), "Input 0 is not plain data"),
        (Tests((Case((), 1),), compare="printed"), "not a string"),
        (Tests((Case((), 1),), compare="exakt"), "'exakt'. Did you mean 'exact'"),
        (Tests((Case((), 1),), compare="fuzzy"), "Known: close, exact, printed, unordered"),
    ],
)
def test_malformed_tests_raise(executor: Executor, tests: Tests, message: str) -> None:
    with pytest.raises(ExecutorError, match=message):
        executor.run(GOOD, "f", tests)


@pytest.mark.parametrize(
    "limits",
    [{"cpu_s": 0}, {"cpu_s": math.nan}, {"wall_s": 1.0}, {"idle_s": 0.0}, {"memory_mb": 10}, {"threads": 0},
     {"output_mb": 0.5}, {"files_mb": -1}, {"files_mb": 1.5}, {"cpu_s": True}, {"cpu_s": "2"}],
)  # fmt: skip
def test_impossible_limits_raise(limits: dict[str, float]) -> None:
    with pytest.raises(ExecutorError, match=next(iter(limits))):
        Limits(**limits)  # type: ignore[arg-type]  # the point


def test_a_program_that_is_not_text_is_the_callers_mistake(executor: Executor) -> None:
    with pytest.raises(ExecutorError, match="program must be text, found NoneType"):
        executor.run(None, "f", DOUBLE)  # type: ignore[arg-type]  # the point


def test_what_a_program_gives_can_be_had_without_judging_it(executor: Executor) -> None:
    program = "def f(x):\n    return {1: (x,), 2: {x}, 3: object()}[x] if x < 4 else int('no') if x < 5 else exit()"
    inputs = [(1,), (2,), (3,), (4,), (9,), (1,)]
    first, second, third, fourth, *rest = executor.outputs(program, "f", inputs)
    assert (first, second) == (Output((1,)), Output({2}))
    assert third.why == "no plain data (object)"
    assert fourth == Output(raised="ValueError")
    assert len(rest) == 2
    assert executor.outputs("def f(", "f", [(1,)])[0].why.startswith("SyntaxError")
    assert executor.outputs("def f(x): return x", "f", []) == ()
