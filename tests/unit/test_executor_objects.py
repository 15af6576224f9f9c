"""Objects of the tests' own classes: they cross and come back, and none can be forged."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from clarify_rl.executor import Executor
from tests.executor_cases import LIMITS, checks, on_linux

pytestmark = on_linux

NODE = "class Node:\n    def __init__(self, value, next=None): self.value, self.next = value, next\n"
APPROX = (
    "class Approx:\n    def __init__(self, v, tol): self.v, self.tol = v, tol\n"
    "    def __eq__(self, other): return abs(self.v - other.v) <= max(self.tol, other.tol)\n"
)


@pytest.fixture(scope="module")
def executor() -> Iterator[Executor]:
    with Executor(LIMITS, servers=1) as executor:
        yield executor


# Forgeries.


@pytest.mark.parametrize(
    "program",
    [
        "class Approx: pass\ndef f():\n    made = Approx()\n    made.v, made.tol = 0.0, float('inf')\n    return made",
        APPROX + "def f(): return Approx(0.0, float('inf'))",
        "class Approx:\n    __slots__ = ('v', 'tol')\ndef f():\n    a = Approx()\n"
        "    a.v, a.tol = 0, 1e9\n    return [a]",
    ],
)
def test_an_object_whose_class_decides_what_it_equals_cannot_come_from_the_program(
    executor: Executor, program: str
) -> None:
    tests = checks(
        "assert candidate() == Approx(3.0, 1e-6)",
        "assert [Approx(3.0, 1e-6)] == candidate()",
        "assert candidate() in [Approx(3.0, 1e-6)]",
        setup=APPROX,
    )
    execution = executor.run(program, "f", tests)
    assert execution.per_test == ("error",) * 3
    assert "Approx is a class of the tests that decides what its objects equal" in execution.detail


def test_nor_can_the_program_change_one_that_it_is_given(executor: Executor) -> None:
    program = APPROX + "def f(a):\n    a.tol = float('inf')\n    return a"
    check = "given = Approx(1.0, 1e-6)\ntry:\n    candidate(given)\nexcept Exception:\n    pass\n"
    tests = checks(f"{check}assert given == Approx(3.0, 1e-6)", setup=APPROX)
    assert executor.run(program, "f", tests).per_test == ("wrong",)


def test_one_that_comes_back_as_it_was_is_the_tests_own(executor: Executor) -> None:
    tests = checks("given = Approx(1.0, 1e-6)\nassert candidate(given) is given", setup=APPROX)
    assert executor.run(APPROX + "def f(a): return a", "f", tests).solved


@pytest.mark.parametrize(
    "method", ["__eq__", "__ne__", "__lt__", "__bool__", "__contains__", "__rsub__", "__getattr__"]
)
def test_a_class_found_through_frames_is_of_no_use(executor: Executor, method: str) -> None:
    setup = f"class Always:\n    def {method}(self, *other): return True\n"
    program = (
        "import sys\ndef f():\n    frame, found = sys._getframe(), set()\n    while frame:\n"
        "        for value in frame.f_locals.values():\n            if type(value) is dict:\n"
        "                found.update(map(str, value))\n        frame = frame.f_back\n"
        "    globals()['Always'] = type('Always', (), {})\n    return Always()\n"
    )
    tests = checks("assert candidate() == 7", "assert 7 in [candidate()]", "assert candidate()", setup=setup)
    assert executor.run(program, "f", tests).passed == 0


# What crosses.


def test_a_list_changes_also_where_an_object_crosses_beside_it(executor: Executor) -> None:
    program = NODE + "def f(xs, node):\n    xs.append(node.value)\n"
    tests = checks("xs = [1]\ncandidate(xs, Node(2))\nassert xs == [1, 2]", setup=NODE)
    assert executor.run(program, "f", tests).solved


def test_an_object_changes_that_was_only_given(executor: Executor) -> None:
    program = NODE + "def f(node):\n    node.next.value, node.next.next = 5, Node(6)\n"
    check = "tail = Node(2)\nhead = Node(1, tail)\ncandidate(head)\nassert head.next is tail\n"
    tests = checks(f"{check}assert (tail.value, tail.next.value) == (5, 6)", setup=NODE)
    assert executor.run(program, "f", tests).solved


def test_what_was_one_object_comes_back_as_that_object(executor: Executor) -> None:
    program = NODE + "def f(node):\n    return [node.next, node, Node(3)]"
    check = "head = Node(1, Node(2))\ntail, same, new = candidate(head)\nassert tail is head.next and same is head\n"
    assert executor.run(program, "f", checks(f"{check}assert new.value == 3", setup=NODE)).solved


def test_an_object_with_slots_crosses(executor: Executor) -> None:
    setup = "class Node:\n    __slots__ = ('value', 'next')\n    def __init__(self, value): self.value = value\n"
    program = setup + "def f(node):\n    node.next = Node(2 * node.value)\n    return node.next"
    tests = checks("node = Node(4)\nassert candidate(node).value == 8 and node.next.value == 8", setup=setup)
    assert executor.run(program, "f", tests).solved


@pytest.mark.parametrize("options", ["", "(frozen=True)", "(slots=True)", "(order=True)"])
def test_a_dataclass_crosses_and_is_compared_by_its_fields(executor: Executor, options: str) -> None:
    setup = f"import dataclasses\n@dataclasses.dataclass{options}\nclass Point:\n    x: int\n    y: int\n"
    program = setup + "def f(p):\n    return Point(p.y, p.x)"
    tests = checks("assert candidate(Point(1, 2)) == Point(2, 1)", "assert candidate(Point(1, 2)) != Point(1, 2)")
    execution = executor.run(program, "f", checks(*tests.checks, setup=setup))
    assert execution.solved, execution.detail


def test_a_member_of_an_enum_crosses_by_its_name(executor: Executor) -> None:
    setup = "import enum\nclass Color(enum.Enum):\n    RED = 1\n    BLUE = 2\n"
    program = setup + "def f(color):\n    return Color.BLUE if color is Color.RED else Color.RED"
    tests = checks(
        "assert candidate(Color.RED) is Color.BLUE", "assert candidate(Color.BLUE) == Color.RED", setup=setup
    )
    assert executor.run(program, "f", tests).solved


def test_a_named_tuple_crosses_as_a_tuple(executor: Executor) -> None:
    setup = "import typing\nclass Pair(typing.NamedTuple):\n    a: int\n    b: int\n"
    program = setup + "def f(pair):\n    return Pair(pair[1], pair[0])"
    tests = checks("assert candidate(Pair(1, 2)) == Pair(2, 1)", "assert candidate(Pair(1, 2)) == (2, 1)", setup=setup)
    assert executor.run(program, "f", tests).solved


# What is no answer.


@pytest.mark.parametrize("end", ["sys.exit()", "raise SystemExit(0)", "raise KeyboardInterrupt", "raise GeneratorExit"])
def test_a_program_that_ends_itself_is_not_caught_as_an_exception(executor: Executor, end: str) -> None:
    caught = "try:\n    candidate()\nexcept Exception:\n    pass"
    execution = executor.run(f"import sys\ndef f(): {end}", "f", checks(caught, caught.replace(" Exception", "")))
    assert execution.per_test == ("error", "pass")


@pytest.mark.parametrize("size", ["deep", "large"])
def test_a_result_that_cannot_be_compared_is_an_error_and_not_unequal(executor: Executor, size: str) -> None:
    body = {"deep": "x = []\n    for _ in range(300): x = [x]\n    return x", "large": "return 'x' * (5 << 20)"}[size]
    execution = executor.run(f"def f():\n    {body}", "f", checks("assert candidate()", "assert candidate() != []"))
    assert execution.per_test == ("error", "error")
    assert f"value too {size}" in execution.detail


def test_an_argument_longer_than_a_result_may_be_is_no_change(executor: Executor) -> None:
    check = "text = 'x' * (5 << 20)\nassert candidate([text]) == len(text)"
    assert executor.run("def f(xs): return len(xs[0])", "f", checks(check)).solved


def test_an_argument_that_cannot_be_sent_is_said_to_be_the_tests(executor: Executor) -> None:
    check = "x = []\nfor _ in range(300): x = [x]\nassert candidate(x) == 1"
    execution = executor.run("def f(x): return 1", "f", checks(check))
    assert execution.per_test == ("error",)
    assert "an argument that the tests give cannot be sent: value too deep" in execution.detail
