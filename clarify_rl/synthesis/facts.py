"""Facts of real problems as executable readings around their references; the truth may be any of them.

A fact has several readings. Each is a sentence for the statement, the user's answers, and code around the reference, so
that tests, statement, clear twin, answer and reference all follow from the reading that is drawn as the truth.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from clarify_rl import syntax
from clarify_rl.problems.docstrings import CALL_LINE
from clarify_rl.synthesis.merged import Changes, merged
from clarify_rl.types import Problem, Tests

Item = TypeVar("Item")


@dataclass(frozen=True)
class Reading:
    """One way to understand a fact.

    `says` is its sentence in a complete statement. Around the reference, `before` are lines that see the parameters by
    name (and may return or raise), and `result` is an expression of `result`; `program` is another reference instead.
    `order` are the places of the reference's parameters, as the function takes them. `blurs` are vague sentences that
    leave this reading open, such as "in ascending or descending order".
    """

    name: str
    says: str
    answers: tuple[str, ...]
    before: tuple[str, ...] = ()
    result: str = "result"
    program: str = ""
    order: tuple[int, ...] = ()
    blurs: tuple[str, ...] = ()

    @property
    def changes_nothing(self) -> bool:
        return not self.before and self.result == "result" and not self.order


@dataclass(frozen=True)
class Uncertain:
    """A fact of a problem that its statement may hide.

    `kind` is the edit that found it. `default` is the index of the reading that a guesser takes. `base` is the
    statement without any mention of it; `given_away` matches what would tell the truth nevertheless. `blurs` are vague
    sentences in its place, whatever the truth. `inputs` are more that matter to it. `calls`: its sentences stand in
    place of the line that says what to call the function.
    """

    kind: str
    readings: tuple[Reading, ...]
    default: int
    base: str
    questions: tuple[str, ...]
    blurs: tuple[str, ...] = ()
    given_away: str = r"(?!)"
    about: str = ""
    inputs: tuple[tuple[object, ...], ...] = ()
    calls: bool = False


@dataclass(frozen=True)
class Subject:
    """A problem as edits see it: its statement without the call line, its parameters, and what it gives.

    The first `known` inputs are the problem's own, the others were made.
    """

    problem: Problem
    sentence: str
    parameters: tuple[str, ...]
    inputs: tuple[tuple[object, ...], ...]
    outputs: tuple[object, ...]
    known: int = 0

    @property
    def entry_point(self) -> str:
        return self.problem.entry_point

    def all_outputs(self, *kinds: type) -> bool:
        """Whether every output is of one of these types; bool is no int here."""
        return all(type(output) in kinds for output in self.outputs)


def subject_of(problem: Problem, parameters: Sequence[str], known: int) -> Subject:
    """The problem, whose tests are pairs, as edits see it."""
    assert isinstance(problem.tests, Tests)
    cases = problem.tests.cases
    inputs, outputs = tuple(case.args for case in cases), tuple(case.expected for case in cases)
    return Subject(problem, sentence_of(problem.prompt), tuple(parameters), inputs, outputs, known)


def sentence_of(prompt: str) -> str:
    """A statement without the line that says what to call the function, and without its examples."""
    lines = [line for line in prompt.split("\n") if not line.startswith("assert ")]
    return CALL_LINE.sub("", "\n".join(lines)).strip()


def call_line(entry_point: str, parameters: Sequence[str]) -> str:
    return f"Call it {entry_point}({', '.join(parameters)})."


@dataclass(frozen=True)
class Wrapped:
    """A reference with the chosen readings around it, as program text."""

    reference: str
    entry_point: str
    parameters: tuple[str, ...]
    readings: tuple[Reading, ...] = field(default_factory=tuple)

    def program(self) -> str:
        """The reference where no reading changes anything, else with the readings in it, or a function around it.

        A model learns from these to write code, so a function around another is for what cannot be merged.
        """
        changed = [reading for reading in self.readings if not reading.changes_nothing]
        source = next((reading.program for reading in self.readings if reading.program), self.reference)
        if not changed:
            return source
        before = [line for reading in changed for line in reading.before]
        results = [reading.result for reading in changed if reading.result != "result"]
        return merged(source, self.entry_point, self.parameters, Changes(before, results, self.taken())) or (
            self._around(source, before, results)
        )

    def _around(self, source: str, before: Sequence[str], results: Sequence[str]) -> str:
        inner = f"plain_{self.entry_point}"
        given = ", ".join(self.parameters)
        lines = [f"def {self.entry_point}({', '.join(self.taken())}):"]
        lines += [f"    {line}" for line in before]
        if results:
            lines.append(f"    result = {inner}({given})")
            lines += [f"    result = {result}" for result in results[:-1]]
        lines.append(f"    return {results[-1] if results else f'{inner}({given})'}")
        return f"{renamed(source, self.entry_point, inner)}\n\n\n" + "\n".join(lines) + "\n"

    def taken(self) -> tuple[str, ...]:
        """The parameters in the order in which the function takes them."""
        return permuted(self.parameters, self.readings)


def permuted(items: Sequence[Item], readings: Sequence[Reading]) -> tuple[Item, ...]:
    """Parameters, or arguments, in the order that the readings ask for."""
    order = next((reading.order for reading in readings if reading.order), ())
    return tuple(items[place] for place in order) if order else tuple(items)


def renamed(program: str, name: str, new: str) -> str:
    """The program with one of its functions under another name, also where it calls itself; methods keep theirs."""
    tree = syntax.parse(program)
    methods = {id(part) for node in ast.walk(tree) if isinstance(node, ast.ClassDef) for part in node.body}
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name == name and id(node) not in methods:
            node.name = new
        elif isinstance(node, ast.Name) and node.id == name:
            node.id = new
    return ast.unparse(tree)


# "Find the list whose sum is the highest": its items are as they are given.
PICKS_ONE = re.compile(
    r"\b(?:find|get|pick|select|return)s? (?:the|a|an) (?:\w+ )?(?:list|sub-?list|array|tuple|row|column)\b",
    re.IGNORECASE,
)


def any_word(words: str) -> str:
    """A pattern that matches any of the words, which may be patterns themselves, as a whole."""
    return rf"\b(?:{'|'.join(words.split())})\b"


def clear_of(text: str, facts: Mapping[str, str]) -> bool:
    """Whether a shown text gives none of the hidden facts away; `facts` maps a kind to its pattern."""
    return not any(re.search(pattern, text, re.IGNORECASE) for pattern in facts.values())
