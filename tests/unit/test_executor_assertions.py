"""Hidden tests as assertions: a judge runs them, and only the program's plain data reaches it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from clarify_rl.executor import Executor
from clarify_rl.types import Verdict
from tests.executor_cases import GOOD, LIMITS, checks, on_linux

pytestmark = on_linux

CHECK = """
METADATA = {"author": "somebody"}

def check(candidate):
    assert candidate(1) == 2
    assert candidate(2) == 4, "two"
"""


@pytest.fixture(scope="module")
def executor() -> Iterator[Executor]:
    with Executor(LIMITS, servers=1) as executor:
        yield executor


# Marks and verdicts.


def test_each_check_has_a_mark_of_its_own(executor: Executor) -> None:
    program = "def f(n):\n    return {1: 2, 2: 5}[n]"
    execution = executor.run(program, "f", checks(*(f"assert candidate({n}) == {2 * n}, 'no {n}'" for n in (1, 2, 3))))
    assert execution.verdict is Verdict.WRONG
    assert execution.per_test == ("pass", "wrong", "error")
    assert (execution.passed, execution.total) == (1, 3)
    assert execution.detail == "check 1: wrong: no 2"


def test_a_right_program_passes_every_check(executor: Executor) -> None:
    execution = executor.run(GOOD, "f", checks("assert candidate(2) == 4", "assert f(3) == 6"))
    assert execution.verdict is Verdict.PASS
    assert 0 < execution.cpu_s < LIMITS.cpu_s


def test_a_call_that_raises_is_an_error_and_says_so(executor: Executor) -> None:
    execution = executor.run("def f(n):\n    return {}[n]", "f", checks("assert candidate('x') == 4"))
    assert execution.verdict is Verdict.ERROR
    assert execution.per_test == ("error",)
    assert "KeyError" in execution.detail and "'x'" in execution.detail


@pytest.mark.parametrize("program", ["def f(n:", "x = 1", "raise SystemExit(0)", "import nothing_of_that_name"])
def test_a_program_that_cannot_be_loaded_is_an_error(executor: Executor, program: str) -> None:
    execution = executor.run(program, "f", checks("assert True"))
    assert execution.verdict is Verdict.ERROR
    assert execution.per_test == ("missing",)


def test_tests_that_never_call_the_program_are_no_pass(executor: Executor) -> None:
    assert executor.run(GOOD, "f", checks("assert True")).verdict is Verdict.NO_CALLS
    assert executor.run(GOOD, "f", checks(CHECK)).verdict is Verdict.NO_CALLS
    assert executor.run(GOOD, "f", checks("assert True", "assert candidate(1) == 2")).verdict is Verdict.PASS


def test_a_memory_blow_up_of_the_program_is_memory(executor: Executor) -> None:
    program = "def f(n):\n    return len([0] * (1 << 40))"
    assert executor.run(program, "f", checks("assert candidate(1) == 1")).verdict is Verdict.MEMORY


# How tests are written.


def test_human_eval_tests_run_as_they_are(executor: Executor) -> None:
    assert executor.run(GOOD, "f", checks(CHECK + "\ncheck(candidate)")).solved
    assert executor.run(GOOD, "f", checks("check(f)", setup=CHECK)).solved
    execution = executor.run("def f(n):\n    return 2", "f", checks("check(candidate)", setup=CHECK))
    assert execution.per_test == ("wrong",)
    assert execution.detail == "check 0: wrong: two"


def test_a_prompt_may_be_the_setup_and_its_empty_function_is_not_called(executor: Executor) -> None:
    prompt = (
        'import math\n\ndef helper(n: int) -> int:\n    return n + 1\n\ndef f(n: int) -> int:\n    """ Double. """\n'
    )
    tests = checks("assert candidate(1) == helper(1)", "assert math.sqrt(f(8)) == 4", setup=prompt)
    assert executor.run(GOOD, "f", tests).solved


def test_mbpp_tests_run_with_their_setup_and_without_imports(executor: Executor) -> None:
    tests = checks(
        "assert f(1) == base + 1",
        "assert math.isclose(f(1), 2)",
        "for test in (1, 2):\n    assert f(test) == 2 * test",
        setup="base = 1",
    )
    assert executor.run(GOOD, "f", tests).solved


@pytest.mark.parametrize("name", ["test", "code", "string", "select", "nt", "winreg", "tkinter"])
def test_a_variable_of_a_test_may_have_the_name_of_a_module(executor: Executor, name: str) -> None:
    assert executor.run(GOOD, "f", checks(f"{name} = 3\nassert candidate({name}) == 6")).solved


def test_arguments_may_have_names(executor: Executor) -> None:
    program = "def f(a, *, b=0):\n    return [a, b]"
    tests = checks(
        "assert candidate(1, b=2) == [1, 2]", "assert f(a=3) == [3, 0]", "assert f(*[1], **{'b': 4})[1] == 4"
    )
    assert executor.run(program, "f", tests).solved


def test_an_entry_point_may_be_an_expression(executor: Executor) -> None:
    program = "class Solution:\n    def f(self, n):\n        return 2 * n\n"
    assert executor.run(program, "Solution().f", checks("assert candidate(1) == 2")).solved
    assert executor.run(program, "Solution().g", checks("assert candidate(1) == 2")).verdict is Verdict.ERROR


def test_a_broken_check_is_an_error_of_that_check_only(executor: Executor) -> None:
    execution = executor.run(GOOD, "f", checks("assert candidate(", "assert candidate(1) == 2", "assert candidate(x)"))
    assert execution.per_test == ("error", "pass", "error")


def test_a_setup_that_raises_is_told_apart(executor: Executor) -> None:
    execution = executor.run(GOOD, "f", checks("assert candidate(1) == 2", setup="1 / 0"))
    assert not execution.solved
    assert "the tests' setup raised ZeroDivisionError" in execution.detail


# What crosses between the two.


@pytest.mark.parametrize(
    ("program", "check"),
    [
        ("def f(xs):\n    xs.sort()", "xs = [2, 1]\nassert candidate(xs) is None and xs == [1, 2]"),
        ("def f(d):\n    d['b'] = d.pop('a')", "d = {'a': 1}\ncandidate(d)\nassert d == {'b': 1}"),
        ("def f(s):\n    s |= {2}", "s = {1}\ncandidate(s)\nassert s == {1, 2}"),
        ("def f(m):\n    m[0][0] = 5", "m = [[1], [2]]\ncandidate(m)\nassert m == [[5], [2]]"),
        ("def f(a, b):\n    b.append(a.pop())", "a, b = [1, 2], []\ncandidate(a, b)\nassert (a, b) == ([1], [2])"),
        (
            "def f(xs):\n    xs.sort()\n    raise KeyError",
            "xs = [1]\ntry:\n    candidate(xs)\nexcept KeyError:\n    pass",
        ),
        ("def f(xs):\n    return xs", "xs = [1]\nassert candidate(xs) == xs"),
    ],
)
def test_arguments_changed_in_place_are_seen_by_the_tests(executor: Executor, program: str, check: str) -> None:
    assert executor.run(program, "f", checks(check)).solved


def test_arguments_by_name_changed_in_place_are_seen_too(executor: Executor) -> None:
    assert executor.run("def f(xs):\n    xs.sort()", "f", checks("xs = [2, 1]\nf(xs=xs)\nassert xs == [1, 2]")).solved


def test_changing_a_result_changes_nothing_in_the_program(executor: Executor) -> None:
    program = "kept = [1]\ndef f():\n    return kept"
    assert executor.run(program, "f", checks("candidate().append(2)\nassert candidate() == [1]")).solved


@pytest.mark.parametrize(
    "result",
    ["object()", "f", "iter([1])", "range(3)", "Always()", "[Always()]", "AlwaysInt(5)", "AlwaysType(5)"],
)
def test_results_that_are_not_plain_data_equal_nothing(executor: Executor, result: str) -> None:
    program = f"""
class Always:
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    def __bool__(self): return True
    def __contains__(self, item): return True
    def __len__(self): return 1
    def __iter__(self): return iter([1])
    def __sub__(self, other): return 0
    def __lt__(self, other): return True
    __rsub__ = __abs__ = __getitem__ = __sub__
    __gt__ = __le__ = __ge__ = __lt__
    __hash__ = None
class AlwaysInt(int):
    __eq__ = Always.__eq__
    __hash__ = int.__hash__
class Type(type):
    def __eq__(self, other): return True
    __hash__ = type.__hash__
class AlwaysType(float, metaclass=Type):
    __eq__ = Always.__eq__
    __hash__ = float.__hash__
def f(n):
    return {result}
"""
    comparisons = ("== 1", "== [1]", "in (1, 2)", "< 1", "> 0", "[0] == 1", "- 1 < 1e-6", "== object")
    tests = checks(
        *(f"assert candidate(1) {each}" for each in comparisons if result != "range(3)" or each != "[0] == 1")
    )
    execution = executor.run(program, "f", tests)
    allowed = {"AlwaysInt(5)": 1, "AlwaysType(5)": 1}.get(result, 0)  # 5 > 0, as plain numbers
    assert execution.passed == allowed


NODES = """
class Node:
    def __init__(self, value, next=None):
        self.value, self.next = value, next
def f(node):
    values = []
    while node:
        values.append(node.value)
        node = node.next
    return values
"""


def test_tests_build_and_link_objects_of_a_class_of_the_program(executor: Executor) -> None:
    check = "tail = Node(2)\nhead = Node(1, next=tail)\ntail.next = Node(3)\nassert candidate(head) == [1, 2, 3]"
    assert executor.run(NODES, "f", checks(check, check.replace("3", "4"))).solved


def test_an_object_that_the_program_returns_can_be_given_back_to_it(executor: Executor) -> None:
    program = "kept = object()\ndef f(given):\n    return kept if given is None else given is kept"
    tests = checks("assert f(f(None)) is True", "assert candidate(None) is candidate(None)", "assert f(1) is False")
    assert executor.run(program, "f", tests).solved


def test_the_function_itself_can_be_given_to_the_program(executor: Executor) -> None:
    program = "def f(x):\n    return x(1) if callable(x) else x + 1"
    assert executor.run(program, "f", checks("assert candidate(candidate) == 2")).solved


USES: tuple[str, ...] = (
    "node",
    "not node",
    "node.value",
    "node.value == 1",
    "node.next",
    "node == node",
    "node != 1",
    "node in [1]",
)
USES += ("node < 2", "hash(node)", "node()", "len(node)", "list(node)", "str(node) == '1'", "Node", "Node(1).value")


@pytest.mark.parametrize("use", USES)
def test_tests_learn_nothing_from_an_object_of_the_program(executor: Executor, use: str) -> None:
    execution = executor.run(NODES, "f", checks(f"node = Node(1)\nassert candidate(node) == [1]\nassert {use}"))
    assert execution.per_test in (("error",), ("wrong",))


def test_what_tests_of_their_own_make_cannot_cross(executor: Executor) -> None:
    execution = executor.run(GOOD, "f", checks("assert candidate(object()) == 2", "assert candidate(len) == 2"))
    assert execution.per_test == ("error", "error")
    assert "give it plain data" in execution.detail
