"""What a language model thinks of first replies, and how far it agrees with our rules and our user."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from clarify_rl.evaluation.agreement import Agreement, agreement
from clarify_rl.types import Episode, Results

GRADES = (1, 2, 3)
GOOD = 3


@dataclass(frozen=True)
class Grade:
    """What the judge says of a first reply: whether it asks, and how good its questions are, from 1 to 3."""

    asks: bool
    grade: int

    @property
    def good(self) -> bool:
        return self.asks and self.grade == GOOD


@dataclass(frozen=True)
class Graded:
    """One checkpoint on one suite, as the judge sees it, in shares of the replies that it graded.

    `asks`: rules and judge on whether a reply asks. `hits`: of the replies that ask by the rules, where our user heard
    a hidden fact asked for, and where the judge calls the questions good. `ungraded` got no grade, and will be asked
    about the next time.
    """

    checkpoint: str
    suite: str
    replies: int
    ungraded: int
    asks_unclear: float | None
    asks_clear: float | None
    good: float | None
    asks: Agreement
    hits: Agreement


Grades: TypeAlias = Mapping[tuple[str, str, str], Grade]  # by checkpoint, suite and episode


def summarise_grades(result: Results, grades: Mapping[str, Grade]) -> Graded:
    """The judge's shares, and its agreement with rules and user."""
    pairs = [(episode, grades[episode.id]) for episode in result.episodes if episode.id in grades]
    unclear = [(episode, grade) for episode, grade in pairs if not episode.variant.is_clear]
    return Graded(
        result.checkpoint,
        result.suite,
        len(pairs),
        sum(bool(episode.turns) for episode in result.episodes) - len(pairs),
        _share([grade.asks for _, grade in unclear]),
        _share([grade.asks for episode, grade in pairs if episode.variant.is_clear]),
        _share([grade.good for _, grade in unclear]),
        agreement((episode.asked, grade.asks) for episode, grade in pairs),
        agreement((_hits(episode), grade.good) for episode, grade in unclear if episode.asked),
    )


def _hits(episode: Episode) -> bool:
    answer = episode.turns[0].answer
    return bool(answer and answer.revealed)


def _share(said: Sequence[bool]) -> float | None:
    return sum(said) / len(said) if said else None
