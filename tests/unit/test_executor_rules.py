"""Rules that compare a result with what is expected. A program's values are never built where it could do harm."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarify_rl.errors import ExecutorError
from clarify_rl.executor import Executor
from clarify_rl.executor.codec import Tree, encode
from clarify_rl.executor.compare import (
    Close,
    ComparisonError,
    Custom,
    Rule,
    canonical,
    exact,
    rule_of,
    stdio_rule_of,
    unordered,
)
from clarify_rl.executor.functions import load_function
from clarify_rl.types import Case, Stdio, StdioCase, Tests, Verdict
from tests.executor_cases import FEW_VALUES, GOOD, LIMITS, PLAIN_VALUES, on_linux, quickly, same

COLLIDING = 2**61 - 1  # multiples of it all have the hash 0
FUNCTIONS = """
def near(result, expected):
    return abs(result - expected) <= 1

def truthy(result, expected):
    return 1

def array(result, expected):
    import array
    return array.array("b", [1])

def typo(result, expected):
    return reslt == expected

def typo_in_one_branch(result, expected):
    return result == expected or abs(reslt - expected) < 1

def never(result, expected):
    if result != expected:
        raise TypeError
    return False

def always_raises(result, expected):
    return abs(result - expected) < {}["tol"]

def log(result, expected):
    return type(result) is dict and type(next(iter(result))) is tuple and expected == {(1, 2): {3}}

not_callable = 3
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "rules.py"
    path.write_text(FUNCTIONS, encoding="utf-8")
    return path


def rule(name: str) -> Rule:
    return rule_of(name, load_function)


def holds(name: str, result: object, expected: object) -> bool:
    return rule(name)(encode(result), encode(expected))


# The rules, case by case.


@pytest.mark.parametrize(
    ("name", "result", "expected", "right"),
    [
        ("exact", 0.1 + 0.2, 0.3, False),
        ("exact", [math.nan], [math.nan], True),
        ("exact", object(), object(), False),
        ("close", 0.1 + 0.2, 0.3, True),
        ("close", 1, 1.0, True),
        ("close", 1.0, 1, True),
        ("close", 1, 2, False),
        ("close", 1.0, True, False),
        ("close", True, 1.0, False),
        ("close", "1.0", 1.0, False),
        ("close", None, 1.0, False),
        ("close", [0.1 + 0.2, (1, {"a": 1.0})], [0.3, (1, {"a": 1 + 1e-9})], True),
        ("close", [1.0], (1.0,), False),
        ("close", [1.0], [1.0, 2.0], False),
        ("close", {1: 1.0, 2: 2.0}, {2: 2.0 + 1e-9, 1: 1.0}, True),
        ("close", {1.0: "a"}, {1.0 + 1e-9: "a"}, True),
        ("close", {1: 1.0}, {1: 1.0, 2: 2.0}, False),
        ("close", math.nan, math.nan, True),
        ("close", math.inf, math.inf, True),
        ("close", math.inf, 1e308, False),
        ("close", -math.inf, math.inf, False),
        ("close", 10**400, 1e308, False),
        ("close", 10**400, 10**400, True),
        ("close", 2**60 + 1.0, 2**60, True),
        ("close", object(), 1.0, False),
        ("close", 1e-9, 0.0, True),
        ("close", "a", "a", True),
        ("close:1e-3", 1.0005, 1.0, True),
        ("close:1e-3", 1.01, 1.0, False),
        ("close:0", 1.0, 1.0, True),
        ("close:0", 1.0 + 1e-15, 1.0, False),
        ("close:2", 3.0, 1.0, True),
        ("unordered", [3, 1, 2], [1, 2, 3], True),
        ("unordered", [1, 1, 2], [1, 2, 2], False),
        ("unordered", [1, 2], [1, 2, 2], False),
        ("unordered", (2, 1), (1, 2), True),
        ("unordered", (2, 1), [1, 2], False),
        ("unordered", [[1, 2]], [[2, 1]], False),
        ("unordered", [[2], [1]], [[1], [2]], True),
        ("unordered", [{"a": 1}, {"b"}], [{"b"}, {"a": 1}], True),
        ("unordered", "ab", "ba", False),
        ("unordered", 5, 5, True),
        ("unordered", [True], [1], False),
        ("unordered", [object()], [object()], False),
    ],
)
def test_a_rule_says_whether_a_result_is_right(name: str, result: object, expected: object, right: bool) -> None:
    if type(result) is object or (type(result) is list and type(result[0]) is object):
        expected = 0  # nothing that is expected may be opaque
    assert holds(name, result, expected) is right


@pytest.mark.parametrize("name", ["exact", "close", "unordered"])
def test_no_rule_takes_an_opaque_value_for_data_of_that_shape(name: str) -> None:
    class int_(list):  # type: ignore[type-arg]  # noqa: N801 - a builtin type's name is the point
        pass

    for opaque in (object(), [object()], iter([1]), type("dict", (), {})()):
        for expected in ({"o": "object"}, "object", [{"o": "object"}], None, int_([1])):
            assert not holds(name, opaque, expected)


# Every name.


def test_a_name_with_a_slip_is_corrected() -> None:
    with pytest.raises(ExecutorError, match=r"'unorderd'\. Did you mean 'unordered'\? Known: close, exact, printed"):
        rule("unorderd")
    with pytest.raises(ExecutorError, match=r"'printed'.*Known: close, exact, lines"):
        stdio_rule_of("printed", load_function)


@pytest.mark.parametrize("name", ["close:", "close", "close:1e-6"])
def test_close_has_a_tolerance_of_a_millionth_unless_it_is_given(name: str) -> None:
    assert rule(name) == Close(1e-6)


@pytest.mark.parametrize("name", ["close:x", "close:-1", "close:nan", "close:inf", "close:1:2"])
def test_a_tolerance_that_is_no_number_is_refused(name: str) -> None:
    for find in (rule_of, stdio_rule_of):
        with pytest.raises(ExecutorError, match=r"such as close:1e-6"):
            find(name, load_function)


# A function of the user's own.


def test_a_users_function_is_given_values(file: Path) -> None:
    assert holds(f"{file}:near", 3, 2)
    assert not holds(f"{file}:near", 4, 2)
    assert holds(f"{file}:log", {(1, 2): 1}, {(1, 2): {3}})


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("truthy", "returned a int, '1'. It must return True or False"),
        ("array", "returned a array"),
        ("typo", "raised NameError: name 'reslt' is not defined"),
        ("typo_in_one_branch", "raised NameError"),
        ("never", "does not find the expected value equal to itself"),
        ("always_raises", "raised KeyError: 'tol'"),
    ],
)
def test_a_broken_function_says_so_and_makes_nothing_wrong(file: Path, name: str, why: str) -> None:
    with pytest.raises(ComparisonError, match=why):
        holds(f"{file}:{name}", 1, 2)


def test_a_result_that_a_sound_function_cannot_take_is_wrong(file: Path) -> None:
    assert not holds(f"{file}:near", None, 2)
    assert not holds(f"{file}:near", [2], 2)


def test_an_expected_value_of_more_keys_than_a_function_is_given_is_said(file: Path) -> None:
    many = {n: n for n in range(6000)}
    with pytest.raises(ComparisonError, match="at most 5,000 keys, and the expected value has 6,000"):
        holds(f"{file}:near", many, many)


def test_a_users_function_may_be_in_a_module() -> None:
    assert holds("operator:eq", 1, True)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("absent.py:near", "No file 'absent.py'.*Give a path to an existing .py file"),
        ("no_such_module:near", "No module 'no_such_module'. Install it, or name a file"),
        ("FILE:nearr", "named 'nearr'. Did you mean 'near'"),
        ("FILE:not_callable", "is a int. Name a function of two values"),
        ("exact:near", "No module 'exact'"),
    ],
)
def test_a_function_that_is_not_there_is_named(file: Path, name: str, message: str) -> None:
    with pytest.raises(ExecutorError, match=message):
        rule(name.replace("FILE", str(file)))


@pytest.mark.parametrize(
    "result",
    [
        [{"d": [[{"i": hex(n * COLLIDING)}, 0] for n in range(1, 40_000)]}],
        {"s": list(range(6000))},
        [{"d": [[{"i": hex(n * COLLIDING)}, 0] for n in range(1, 5000)]}] * 3,
    ],
)
def test_a_function_is_not_called_with_more_than_it_can_bear(result: Tree) -> None:
    called: list[object] = []

    def function(result: object, expected: object) -> bool:
        called.append(result)
        return True

    assert not Custom(function)(result, encode(1))
    assert called == []


def raises(result: object, expected: object) -> bool:
    raise TypeError("the function took the result for a number")


@on_linux
@pytest.mark.parametrize("tests", [Tests((Case((1,), 2),)), Stdio((StdioCase("", ""),))])
def test_a_broken_function_is_a_failure_of_ours_with_its_reason(tests: Tests | Stdio) -> None:
    with Executor(LIMITS, servers=1) as executor:
        execution = executor.run(GOOD, "f", replace(tests, compare=f"{__name__}:{raises.__name__}"))
    assert execution.verdict is Verdict.INFRASTRUCTURE and not execution.measured
    assert "test_executor_rules:raises raised TypeError: the function took the result for a number" in execution.detail


@on_linux
def test_a_users_function_decides_a_verdict(file: Path) -> None:
    with Executor(LIMITS, servers=1) as executor:
        tests = Tests((Case((1,), 3), Case((5,), 3)), compare=f"{file}:near")
        assert executor.run(GOOD, "f", tests).per_test == ("pass", "wrong")
        assert executor.run("def f(n):\n    return [object()]", "f", tests).verdict is Verdict.UNSUPPORTED_TYPE
        shout = Stdio((StdioCase("a", "A\n"),), compare="operator:eq")
        assert executor.run("print(input().upper())", "", shout).solved


# Laws.

RULES = pytest.mark.parametrize(
    "holds", [exact, unordered, Close(), Custom(same)], ids=["exact", "unordered", "close", "own"]
)


@RULES
@quickly
@given(value=PLAIN_VALUES)
def test_every_value_is_as_good_as_itself(holds: Rule, value: object) -> None:
    assert holds(encode(value), encode(value))


@RULES
@quickly
@given(left=PLAIN_VALUES | FEW_VALUES, right=FEW_VALUES)
def test_no_rule_depends_on_which_comes_first(holds: Rule, left: object, right: object) -> None:
    assert holds(encode(left), encode(right)) is holds(encode(right), encode(left))


@quickly
@given(left=PLAIN_VALUES | FEW_VALUES, right=FEW_VALUES)
def test_canonical_forms_are_equal_for_values_that_are_equal_in_type_and_value(left: object, right: object) -> None:
    assert (canonical(encode(left)) == canonical(encode(right))) is same(left, right)
    assert exact(encode(left), encode(right)) is same(left, right)


@quickly
@given(items=st.lists(PLAIN_VALUES, max_size=6), data=st.data())
def test_the_order_of_items_never_matters_when_they_are_unordered(items: list[object], data: st.DataObject) -> None:
    shuffled = data.draw(st.permutations(items))
    assert unordered(encode(shuffled), encode(items))
    assert unordered(encode(tuple(shuffled)), encode(tuple(items)))


@quickly
@given(number=st.floats(-1e300, 1e300), nudge=st.floats(-9e-7, 9e-7))
def test_numbers_within_the_tolerance_are_close(number: float, nudge: float) -> None:
    assert Close()(encode(number * (1 + nudge)), encode(number))
    assert Close()(encode(number + nudge), encode(number)) or abs(number) > 1


@pytest.mark.parametrize("make", [list, tuple, lambda items: dict(enumerate(items))])
@quickly
@given(items=st.lists(st.floats(), max_size=5))
def test_numbers_are_close_wherever_they_are(make: Callable[[list[float]], object], items: list[float]) -> None:
    assert Close()(encode(make(items)), encode(make(items)))
    far = [item + 1 + abs(item) for item in items]
    if items and all(map(math.isfinite, far)):
        assert not Close()(encode(make(far)), encode(make(items)))
