"""References with their readings written into them: what they compute, and where a function around them is needed."""

from __future__ import annotations

import pytest

from clarify_rl.synthesis.facts import Reading, Wrapped

YES_NO = Reading("words", "", (), result="'Yes' if result else 'No'")
AT_MOST_ONE = Reading("none", "", (), result="None if type(result) is int and result == -1 else result")
REFUSED = Reading("refused", "", (), before=("if n < 0:", "    raise ValueError('n must not be negative')"))
TURNED = Reading("turned", "", (), order=(1, 0))
TEXT = Reading("text", "", (), result="','.join(map(str, result))")


def written(solution: str, *readings: Reading, parameters: tuple[str, ...] = ("n",)) -> str:
    return Wrapped(solution, "f", parameters, readings).program()


def result_of(program: str, *arguments: object) -> object:
    names: dict[str, object] = {}
    exec(program, names)
    return names["f"](*arguments)  # type: ignore[operator]  # the function


def test_a_result_is_changed_where_it_is_returned_and_what_is_known_is_written_out() -> None:
    program = written("def f(n: int) -> bool:\n    if n == 1:\n        return True\n    return n > 7\n", YES_NO)
    assert program == "def f(n: int):\n    if n == 1:\n        return 'Yes'\n    return 'Yes' if n > 7 else 'No'\n"


def test_what_is_used_twice_is_computed_once() -> None:
    program = written("def f(n):\n    return g(n)\n", AT_MOST_ONE)
    assert program.splitlines()[1:] == [
        "    result = g(n)",
        "    return None if type(result) is int and result == -1 else result",
    ]
    assert written("def f(n):\n    return -1\n", AT_MOST_ONE) == "def f(n):\n    return None\n"


def test_lines_before_stand_behind_the_docstring_and_their_returns_stay_as_they_are() -> None:
    early = Reading("early", "", (), before=("if n < 0:", "    return 0"))
    program = written(
        "def f(n):\n    'Doubles.'\n    return 2 * n\n", early, Reading("text", "", (), result="str(result)")
    )
    assert program.splitlines()[1] == '    """Doubles."""'
    assert (result_of(program, -3), result_of(program, 3)) == (0, "6")


def test_arguments_change_places_in_the_signature() -> None:
    assert (
        written("def f(a, b):\n    return a - b\n", TURNED, parameters=("a", "b")) == "def f(b, a):\n    return a - b\n"
    )


@pytest.mark.parametrize(
    ("solution", "reading", "arguments", "due"),
    [
        (
            "def f(n):\n    return 1 if n < 2 else n * f(n - 1)\n",
            Reading("text", "", (), result="str(result)"),
            (4,),
            "24",
        ),
        ("def f(n):\n    for i in range(n):\n        if i > 2:\n            return True\n", YES_NO, (1,), "No"),
        ("def f(n):\n    try:\n        return [1 / n]\n    except ValueError:\n        return []\n", TEXT, (2,), "0.5"),
        ("def f(n):\n    map = [n]\n    return map\n", TEXT, (2,), "2"),
        ("def f(n):\n    yield n\n", Reading("list", "", (), result="list(result)"), (2,), [2]),
        ("def f(n, m=1):\n    return [n, m]\n", TEXT, (2,), "2,1"),
        ("f = lambda n: [n]\n", TEXT, (2,), "2"),
        ("def g():\n    return f(1)\n\ndef f(n):\n    return [n]\n", TEXT, (2,), "2"),
    ],
)
def test_what_cannot_be_written_in_gets_a_function_around_it(
    solution: str, reading: Reading, arguments: tuple[object, ...], due: object
) -> None:
    program = written(solution, reading)
    assert program.count("def f(") == 1
    assert "plain_f" in program
    assert result_of(program, *arguments) == due


def test_a_method_of_the_same_name_keeps_it() -> None:
    solution = "class S:\n    def f(self, n):\n        return [n]\n\ndef f(n):\n    return S().f(n) if n else f(1)\n"
    program = written(solution, TEXT)
    assert "def plain_f(n)" in program and "def f(self, n)" in program
    assert (result_of(program, 0), result_of(program, 3)) == ("1", "3")


def test_an_inner_function_keeps_its_returns() -> None:
    program = written("def f(n):\n    def g(x):\n        return x > 1\n    return g(n)\n", YES_NO)
    assert "        return x > 1" in program
    assert result_of(program, 2) == "Yes"


def test_a_refusal_is_raised_before_anything_else() -> None:
    with pytest.raises(ValueError, match="must not be negative"):
        result_of(written("def f(n):\n    return [n]\n", REFUSED, TEXT), -1)
