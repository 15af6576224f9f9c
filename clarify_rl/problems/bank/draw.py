"""Draws problems from the bank: choices, wording and hidden tests that tell every option of every fact apart."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from random import Random
from typing import Literal

from clarify_rl.errors import DataError
from clarify_rl.problems.bank.families import FAMILIES
from clarify_rl.problems.bank.spec import Choices, FactSpec, Family, Option, Value
from clarify_rl.types import Case, Problem, Raises, Tests

Split = Literal["train", "dev", "test"]

TESTS_PER_PROBLEM = 10
_CANDIDATES = 48  # inputs tried before the tests are picked
_ALTERNATIVES = 5  # options of a fact that are told apart from the true one, for facts with many options


@dataclass(frozen=True)
class Draw:
    """A problem of the bank before its tests are made: what it asks for and how it is worded.

    `order` permutes the facts' sentences; `wording` holds, for each fact, which of its sentences is used.
    """

    family: Family
    choices: Choices
    entry_point: str
    opening: str
    order: tuple[int, ...]
    wording: tuple[int, ...]

    @property
    def solution(self) -> str:
        return self.family.solution(self.entry_point, self.choices)

    @property
    def facts(self) -> tuple[FactSpec, ...]:
        return self.family.facts

    def option(self, spec: FactSpec) -> Option:
        return spec.option(self.choices[spec.id])

    def sentence(self, spec: FactSpec) -> str:
        """The sentence that states this fact in the complete statement."""
        says = self.option(spec).says
        return says[self.wording[self.facts.index(spec)] % len(says)]

    @property
    def prompt(self) -> str:
        """The complete statement."""
        return " ".join([self.opening, *(self.sentence(self.facts[i]) for i in self.order)])

    @property
    def problem_id(self) -> str:
        text = json.dumps([self.entry_point, self.prompt, sorted(map(str, self.choices.items()))])
        return f"bank/{self.family.name}/{hashlib.sha256(text.encode()).hexdigest()[:10]}"


def family_named(name: str) -> Family:
    """The family of that name. Raises DataError for an unknown name."""
    for family in FAMILIES:
        if family.name == name:
            return family
    raise DataError(f"No family {name!r} in the bank. Known: {', '.join(family.name for family in FAMILIES)}.")


def split_of(family: Family, choices: Choices) -> Split:
    """The split an instance belongs to: decided by what it asks for, never by its wording."""
    text = json.dumps([family.name, sorted((key, repr(value)) for key, value in choices.items())])
    bucket = int(hashlib.sha256(text.encode()).hexdigest()[:8], 16) % 100
    return "test" if bucket < 12 else "dev" if bucket < 20 else "train"


def draws(families: Sequence[Family], split: Split, seed: int) -> Iterator[Draw]:
    """An endless stream of draws from one split, family after family in random order, deterministic by seed."""
    rng = Random(f"{seed}/{split}")
    while True:
        for family in rng.sample(families, len(families)):
            yield _draw(family, split, rng)


def _draw(family: Family, split: Split, rng: Random) -> Draw:
    for _ in range(1000):
        choices: dict[str, Value] = {spec.id: rng.choice(spec.options).value for spec in family.facts}
        if split_of(family, choices) == split:
            break
    else:
        raise DataError(
            f"Family {family.name!r} has too few combinations ({family.combinations}) to fill split {split!r}."
        )
    entry_point = rng.choice(family.entry_points)
    call = f"{entry_point}({', '.join(family.parameters)})"
    return Draw(
        family=family,
        choices=choices,
        entry_point=entry_point,
        opening=rng.choice(family.openings).format(call=call),
        order=tuple(rng.sample(range(len(family.facts)), len(family.facts))),
        wording=tuple(rng.randrange(len(spec.options[0].says)) for spec in family.facts),
    )


def make_problem(draw: Draw, seed: int) -> Problem | None:
    """A draw's problem, with tests that tell each option of each fact apart; None if some option has no effect."""
    rng = Random(f"{seed}/{draw.problem_id}")
    inputs = _inputs(draw, rng)
    expected = outcomes(draw.solution, draw.entry_point, inputs)
    kills: list[frozenset[int]] = []
    for choices in alternatives(draw, rng):
        other = outcomes(draw.family.solution(draw.entry_point, choices), draw.entry_point, inputs)
        kills.append(frozenset(i for i, (a, b) in enumerate(zip(expected, other, strict=True)) if not same(a, b)))
    if not all(kills):
        return None
    cases = tuple(Case(inputs[i], expected[i]) for i in _pick(kills, len(inputs), rng))
    return Problem(
        id=draw.problem_id,
        prompt=draw.prompt,
        entry_point=draw.entry_point,
        tests=Tests(cases),
        solution=draw.solution,
        source="bank",
        family=draw.family.name,
    )


def alternatives(draw: Draw, rng: Random) -> Iterator[Choices]:
    """Choices that differ from the draw's in exactly one fact: every option, or a few of them for a fact with many."""
    for spec in draw.facts:
        others = [option.value for option in spec.options if option is not draw.option(spec)]
        if len(others) > _ALTERNATIVES:
            index = spec.options.index(draw.option(spec))
            near = [spec.options[i].value for i in (index - 1, index + 1) if 0 <= i < len(spec.options)]
            others = near + rng.sample([value for value in others if value not in near], _ALTERNATIVES - len(near))
        for value in others:
            yield {**draw.choices, spec.id: value}


def _inputs(draw: Draw, rng: Random) -> list[tuple[object, ...]]:
    drawn: dict[str, tuple[object, ...]] = {}
    for _ in range(_CANDIDATES):
        args = draw.family.inputs(rng, draw.choices)
        drawn[repr(args)] = args
    return list(drawn.values())


def _pick(kills: Sequence[frozenset[int]], count: int, rng: Random) -> list[int]:
    """Indices of a few inputs such that each alternative fails on at least one: greedy, then filled up at random."""
    left = list(kills)
    picked: list[int] = []
    while left:
        best = max(range(count), key=lambda i: sum(i in kill for kill in left))
        picked.append(best)
        left = [kill for kill in left if best not in kill]
    spare = [i for i in range(count) if i not in picked]
    picked += rng.sample(spare, min(len(spare), max(0, TESTS_PER_PROBLEM - len(picked))))
    return sorted(picked)


def outcomes(source: str, entry_point: str, inputs: Sequence[tuple[object, ...]]) -> list[object]:
    """What a trusted solution gives on each input: a value, or Raises. It runs here: never pass a model's code."""
    function = _compiled(source, entry_point)
    return [_outcome(function, args) for args in inputs]


def _outcome(function: Callable[..., object], args: tuple[object, ...]) -> object:
    try:
        return function(*copy.deepcopy(args))
    except Exception as error:
        return Raises(type(error).__name__)


@lru_cache(maxsize=4096)
def _compiled(source: str, entry_point: str) -> Callable[..., object]:
    namespace: dict[str, Callable[..., object]] = {}
    exec(compile(source, f"<solution {entry_point}>", "exec"), namespace)
    return namespace[entry_point]


def same(a: object, b: object) -> bool:
    """Equality as the executor's exact rule sees it: the type counts, also inside containers."""
    if type(a) is not type(b):
        return False
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(value, b[key]) for key, value in a.items())
    return a == b
