"""The programs that executors are timed on: each with the same tests as pairs, as assertions and as a script."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from clarify_rl.problems.humaneval import HumanEval
from clarify_rl.types import Assertions, Case, Problem, Tests

# Runs each reference with its own tests and writes down, as text, what the tests gave it and got back.
RECORDER = """
import json, sys
recorded = []
for program, entry_point, tests in json.load(sys.stdin):
    names, calls = {}, []
    exec(program, names)
    function = names[entry_point]
    def candidate(*arguments):
        given = repr(arguments)
        result = function(*arguments)
        calls.append((given, repr(result)))
        return result
    exec(tests, names)
    names["check"](candidate)
    recorded.append(calls)
json.dump(recorded, sys.stdout)
"""


@dataclass(frozen=True)
class Program:
    """A correct program. `script` is its tests as text that follows it; `judged` the same for a judge."""

    name: str
    code: str
    entry_point: str
    pairs: Tests
    judged: Assertions
    script: str


@dataclass(frozen=True)
class Programs:
    """Programs to time, and the names of those that pairs cannot test."""

    programs: tuple[Program, ...]
    left_out: tuple[str, ...] = ()


def humaneval_programs(path: Path) -> Programs:
    """HumanEval's references. The pairs are what the tests call the reference with and what it returns."""
    problems = [item for item in HumanEval(str(path)).read() if isinstance(item, Problem)]
    tests = [item.tests for item in problems if isinstance(item.tests, Assertions)]
    recorded = _recorded(
        [(item.solution, item.entry_point, judged.setup) for item, judged in zip(problems, tests, strict=True)]
    )
    programs: list[Program] = []
    left_out: list[str] = []
    for problem, judged, calls in zip(problems, tests, recorded, strict=True):
        cases = tuple(_cases(calls))
        if not cases or None in cases:
            left_out.append(problem.id)
            continue
        pairs = Tests(tuple(case for case in cases if case))
        script = f"{judged.setup}\ncheck({problem.entry_point})\n"
        programs.append(Program(problem.id, problem.solution, problem.entry_point, pairs, judged, script))
    return Programs(tuple(programs), tuple(left_out))


def _recorded(references: Sequence[tuple[str, str, str]]) -> Sequence[Sequence[tuple[str, str]]]:
    command = [sys.executable, "-I", "-c", RECORDER]
    found = subprocess.run(command, input=json.dumps(references), stdout=subprocess.PIPE, text=True, check=True)
    calls: Sequence[Sequence[tuple[str, str]]] = json.loads(found.stdout)
    return calls


def _cases(calls: Sequence[tuple[str, str]]) -> Iterator[Case | None]:
    """Each call as a case; None where a value is no literal."""
    for given, result in calls:
        try:
            yield Case(ast.literal_eval(given), ast.literal_eval(result))
        except (ValueError, SyntaxError):
            yield None


def small_programs() -> Programs:
    """A handful of programs of our own, for whoever has no HumanEval at hand."""
    return Programs(tuple(_small(code, results) for code, results in SMALL.items()))


def _small(code: str, results: Mapping[tuple[object, ...], object]) -> Program:
    name = code[len("def ") : code.index("(")]
    asserts = "".join(f"    assert candidate(*{args!r}) == {due!r}\n" for args, due in results.items())
    check = f"def check(candidate):\n{asserts}"
    pairs = Tests(tuple(Case(args, due) for args, due in results.items()))
    return Program(name, code, name, pairs, Assertions(("check(candidate)",), check), f"{check}check({name})\n")


SMALL: Mapping[str, Mapping[tuple[object, ...], object]] = {
    """def prime_sum(n):
    return sum(p for p in range(2, n + 1) if all(p % q for q in range(2, p)))
""": {(0,): 0, (2,): 2, (5,): 10, (10,): 17, (11,): 28, (20,): 77, (30,): 129, (40,): 197, (50,): 328, (60,): 440},
    """def is_palindrome(text):
    letters = [letter for letter in text.lower() if letter.isalnum()]
    return letters == letters[::-1]
""": {("",): True, ("a",): True, ("Never odd or even",): True, ("ab",): False, ("A man, a plan",): False},
    """def word_counts(text):
    from collections import Counter
    return dict(sorted(Counter(text.split()).items()))
""": {("",): {}, ("a b a",): {"a": 2, "b": 1}, ("x",): {"x": 1}},
    """def binary(n):
    digits = ""
    while n:
        n, digit = divmod(n, 2)
        digits = str(digit) + digits
    return digits or "0"
""": {(0,): "0", (1,): "1", (5,): "101", (255,): "11111111"},
    """def brackets_match(text):
    depth = 0
    for character in text:
        depth += {"(": 1, ")": -1}.get(character, 0)
        if depth < 0:
            return False
    return depth == 0
""": {("",): True, ("()",): True, (")(",): False, ("(()",): False, ("a(b)c",): True},
    """def mean(numbers):
    from statistics import fmean
    return fmean(numbers) if numbers else None
""": {((),): None, ((1, 2, 3, 4),): 2.5, ((0.5,),): 0.5},
    """def edit_distance(a, b):
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        last, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            last, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, last + (x != y))
    return row[-1]
""": {("", ""): 0, ("kitten", "sitting"): 3, ("abc", "abc"): 0, ("", "abc"): 3, ("flaw", "lawn"): 2},
}
