"""A user who knows only what the variant hides, and answers just what was asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from clarify_rl.answering import check_personas, persona_of, say
from clarify_rl.matching.matcher import Match, Matcher
from clarify_rl.registry import user
from clarify_rl.types import Answer, Outcome, Turn, Variant


@user("rule_based")
@dataclass(frozen=True)
class RuleBasedUser:
    """Matches each question to the hidden fact it is about, in whatever words; wholesale questions reveal nothing.

    Of one reply, only the first `most_questions` questions are answered. `reveal` is how sure it must be, from 0 to 1,
    before it tells a fact; from `doubt` on it says that it did not understand, instead of having nothing to add.
    `personas` are weights by name, e.g. {plain: 3, terse: 1}: each episode draws one by its seed.
    """

    most_questions: int = 3
    reveal: float = Matcher.reveal
    doubt: float = Matcher.doubt
    personas: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_personas(self.personas)

    def answer(self, variant: Variant, questions: Sequence[str], turns: Sequence[Turn], seed: int) -> Answer:
        matcher = Matcher(reveal=self.reveal, doubt=self.doubt)
        matches = [
            matcher.match(variant, question) if number < self.most_questions else Match(Outcome.BROAD)
            for number, question in enumerate(questions)
        ]
        return say(variant, matches, turns, seed, persona_of(self.personas, seed))
