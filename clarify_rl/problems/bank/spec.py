"""What a family of problems is: an opening, facts with options, a reference solution and an input generator."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from random import Random

from clarify_rl.wording import GENERIC, distinctive, stems

Value = int | float | str | bool | None
Choices = Mapping[str, Value]


@dataclass(frozen=True)
class Option:
    """One way a fact can be. `says` are statement sentences for it, `answers` the user's shorter wordings."""

    value: Value
    says: tuple[str, ...]
    answers: tuple[str, ...]


@dataclass(frozen=True)
class FactSpec:
    """One fact of a family: its options, sentences that blur it, and good questions about it."""

    id: str
    options: tuple[Option, ...]
    vague: tuple[str, ...]
    asks: tuple[str, ...]

    def option(self, value: Value) -> Option:
        return next(option for option in self.options if option.value == value and type(option.value) is type(value))


@dataclass(frozen=True)
class Family:
    """Problems that share a shape. `solution(name, choices)` is source; `inputs(rng, choices)` one call's arguments.

    Openings hold `{call}`, which becomes e.g. `top(xs, k)`; they must not give any fact away.
    """

    name: str
    area: str
    entry_points: tuple[str, ...]
    parameters: tuple[str, ...]
    openings: tuple[str, ...]
    facts: tuple[FactSpec, ...]
    solution: Callable[[str, Choices], str]
    inputs: Callable[[Random, Choices], tuple[object, ...]]

    def fact(self, fact_id: str) -> FactSpec:
        return next(spec for spec in self.facts if spec.id == fact_id)

    @property
    def combinations(self) -> int:
        """How many different problems the options make, phrasing and names not counted."""
        count = 1
        for spec in self.facts:
            count *= len(spec.options)
        return count


@lru_cache(maxsize=1024)
def about(family: Family, fact_id: str) -> tuple[str, ...]:
    """Stems that tell questions about this fact from questions about the family's other facts."""
    others = [text for spec in family.facts if spec.id != fact_id for text in _texts(spec)]
    return distinctive(_texts(family.fact(fact_id)), others)


@lru_cache(maxsize=1024)
def not_about(family: Family, fact_id: str) -> frozenset[str]:
    """Stems that point to one of the family's other facts."""
    return frozenset(word for spec in family.facts if spec.id != fact_id for word in about(family, spec.id))


@lru_cache(maxsize=1024)
def own_words(family: Family, fact_id: str) -> frozenset[str]:
    """Stems of everything that is said about this fact, shared with other facts or not; generic ones are left out."""
    return frozenset[str]().union(*(stems(text) for text in _texts(family.fact(fact_id)))) - GENERIC


def _texts(spec: FactSpec) -> list[str]:
    said = [text for option in spec.options[:6] for text in (*option.says, *option.answers)]
    return [*spec.asks, *spec.vague, *said]


def integer(choices: Choices, fact_id: str) -> int:
    """The value of a numeric fact, for arithmetic in an input generator."""
    value = choices[fact_id]
    assert isinstance(value, int)
    return value


def choice(
    fact_id: str,
    options: Mapping[Value, tuple[tuple[str, ...], tuple[str, ...]]],
    *,
    vague: tuple[str, ...],
    asks: tuple[str, ...],
) -> FactSpec:
    """A fact with a few named options: value -> (statement sentences, the user's answers)."""
    choices = tuple(Option(value, says, answers) for value, (says, answers) in options.items())
    return FactSpec(fact_id, choices, vague, asks)


def number(
    fact_id: str,
    values: Iterable[int],
    *,
    says: tuple[str, ...],
    answers: tuple[str, ...],
    vague: tuple[str, ...],
    asks: tuple[str, ...],
) -> FactSpec:
    """A fact that is a number: `{v}` in `says` and `answers` becomes the value."""
    return FactSpec(fact_id, tuple(_filled(value, says, answers) for value in values), vague, asks)


def word(
    fact_id: str,
    values: Iterable[str],
    *,
    says: tuple[str, ...],
    answers: tuple[str, ...],
    vague: tuple[str, ...],
    asks: tuple[str, ...],
) -> FactSpec:
    """A fact that is a short string: `{v!r}` or `{v}` in `says` and `answers` becomes the value."""
    return FactSpec(fact_id, tuple(_filled(value, says, answers) for value in values), vague, asks)


def _filled(value: int | str, says: tuple[str, ...], answers: tuple[str, ...]) -> Option:
    """An option whose sentences name its value."""
    return Option(value, tuple(text.format(v=value) for text in says), tuple(text.format(v=value) for text in answers))


def code(*lines: str | None) -> str:
    """Source text of the lines that are not None."""
    return "\n".join(line for line in lines if line is not None) + "\n"
