"""A user who knows only what the variant hides, and answers just what was asked."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from clarify_rl.matching.matcher import Match, Matcher
from clarify_rl.registry import user
from clarify_rl.types import Answer, Fact, Heard, Outcome, Turn, Variant

SAYS = {
    Outcome.NONE: ("I have nothing to add on that.", "Nothing to add there."),
    Outcome.BROAD: ("Please ask about one thing at a time.", "That is too broad. Ask about one thing."),
    Outcome.LEAK: ("I have no code or tests for you. Ask about the task.",),
    Outcome.UNCLEAR: ("I do not understand. Ask it in other words.", "What do you mean? Ask it in other words."),
}
_LONGEST_QUOTED = 160
_YES_OR_NO = re.compile(r"(yes|no)\b", re.IGNORECASE)


@user("rule_based")
@dataclass(frozen=True)
class RuleBasedUser:
    """Matches each question to the hidden fact it is about, in whatever words; wholesale questions reveal nothing.

    Of one reply, only the first `most_questions` questions are answered. `reveal` is how sure it must be, from 0 to 1,
    before it tells a fact; from `doubt` on it says that it did not understand, instead of having nothing to add.
    """

    most_questions: int = 3
    reveal: float = Matcher.reveal
    doubt: float = Matcher.doubt

    def answer(self, variant: Variant, questions: Sequence[str], turns: Sequence[Turn], seed: int) -> Answer:
        matcher = Matcher(reveal=self.reveal, doubt=self.doubt)
        matches = [
            matcher.match(variant, question) if number < self.most_questions else Match(Outcome.BROAD)
            for number, question in enumerate(questions)
        ]
        return say(variant, matches, turns, Random(f"{seed}/{len(turns)}"))


def say(variant: Variant, matches: Sequence[Match], turns: Sequence[Turn], rng: Random) -> Answer:
    """The answer to questions that were understood so: canned, so that it holds nothing but what they are about."""
    told = {fact for turn in turns if turn.answer for fact in turn.answer.told}
    texts: list[str] = []
    heard: list[Heard] = []
    for match in matches:
        outcome = match.outcome
        if outcome is Outcome.REVEALED and told.issuperset(match.facts):
            outcome = Outcome.REPEATED
        texts.append(_text(variant, match, outcome, rng))
        heard.append(Heard(outcome, match.facts))
        told.update(match.facts)
    return Answer(" ".join(dict.fromkeys(texts)), tuple(heard))


def _text(variant: Variant, match: Match, outcome: Outcome, rng: Random) -> str:
    if match.facts:
        return " ".join(wording(fact, rng) for fact in variant.facts if fact.id in match.facts)
    if outcome is Outcome.STATED:
        sentence = match.sentence
        return f"As I said: {sentence if len(sentence) <= _LONGEST_QUOTED else sentence[:_LONGEST_QUOTED] + ' ...'}"
    return rng.choice(SAYS[outcome])


def wording(fact: Fact, rng: Random) -> str:
    """One of the user's wordings of a fact. Never a yes or no: that would answer a question that was put otherwise.

    "Yes, case matters." is right for "Does case matter?" and wrong for "Should I ignore case?".
    """
    whole = [answer for answer in fact.answers if not _YES_OR_NO.match(answer)]
    return rng.choice(whole or [fact.statement])
