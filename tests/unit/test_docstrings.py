"""Made problems with their statements as docstrings: what is said stays the same, and the form says nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from clarify_rl.errors import ConfigError
from clarify_rl.problems.docstrings import as_docstring
from clarify_rl.problems.made import Made
from clarify_rl.records import to_record
from clarify_rl.types import Case, Defect, Fact, Problem, Tests, Variant

LONG = "Find the numbers of a list that are above a limit and below another one, and give them back in order of size."


def variants(number: int, *, calls: bool = False) -> list[Variant]:
    """A clear statement and an unclear one; with `calls` how it is called is what is hidden."""
    call = f"Call it f{number}(xs, limit)."
    clear, shown = f"{LONG}\nKeep equal ones.\n{call}", f"{LONG}\n{call if not calls else f'Call it f{number}.'}"
    tests = Tests((Case(([1], 0), [1]),))
    problem = Problem(f"mine/{number}/duplicates=kept", clear, f"f{number}", tests, "def f(xs): ...\n", "test")
    fact = Fact("duplicates", Defect.INCOMPLETE, "Keep equal ones.")
    hidden = Variant(f"{problem.id}/duplicates:incomplete", problem, shown, "incomplete", (fact,))
    return [Variant(f"{problem.id}/clear", problem, clear), hidden]


def made(folder: Path, share: float, *, calls: bool = False, count: int = 40) -> list[Variant]:
    path = folder / "made.jsonl"
    every = [variant for number in range(count) for variant in variants(number, calls=calls)]
    path.write_text("".join(json.dumps(to_record(variant)) + "\n" for variant in every))
    return list(Made(str(path), docstrings=share).variants())


def test_a_statement_becomes_the_docstring_of_the_function_that_it_asks_for() -> None:
    assert as_docstring("Doubles n.\nReturn -1 if n is negative.\nCall it twice(n).") == (
        'def twice(n):\n    """Doubles n.\n    Return -1 if n is negative.\n    """\n'
    )
    text = as_docstring(f"{LONG}\nCall it f(xs).")
    assert text is not None
    assert max(map(len, text.splitlines())) <= 80
    assert " ".join(text.split()) == f'def f(xs): """{LONG} """'


@pytest.mark.parametrize(
    "prompt",
    [
        "Doubles n.\nCall it twice.",
        "Doubles n.\nCall it twice(n).\nCall it twice(m).",
        "Doubles n.\nCall it twice(n), or thrice(n).",
        'Says """ and doubles n.\nCall it twice(n).',
        "Call it twice(n).",
    ],
)
def test_what_would_say_more_or_less_as_a_definition_stays_as_it_is(prompt: str) -> None:
    assert as_docstring(prompt) is None


def test_a_share_of_the_problems_is_in_this_form_with_all_of_its_variants(tmp_path: Path) -> None:
    found = made(tmp_path, 0.5)
    forms = {variant.problem.id: set[bool]() for variant in found}
    for variant in found:
        forms[variant.problem.id].add(variant.prompt.startswith("def "))
        assert variant.problem.prompt.startswith("def ") is variant.prompt.startswith("def ")
    assert all(len(form) == 1 for form in forms.values())
    assert 10 <= sum(form == {True} for form in forms.values()) <= 30
    assert made(tmp_path, 0.5) == found
    assert not any(variant.prompt.startswith("def ") for variant in made(tmp_path, 0.0))


def test_where_the_call_is_hidden_the_clear_statement_keeps_the_form_of_the_unclear_one(tmp_path: Path) -> None:
    assert not any(variant.prompt.startswith("def ") for variant in made(tmp_path, 1.0, calls=True))


def test_a_share_beyond_all_is_refused() -> None:
    with pytest.raises(ConfigError, match="from 0 to 1"):
        Made("made.jsonl", docstrings=2)
