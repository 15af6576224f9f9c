"""A user who knows only what the variant hides, and answers just what was asked."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from clarify_rl.registry import user
from clarify_rl.types import Answer, Fact, Turn, Variant
from clarify_rl.wording import stems

NOTHING_TO_ADD = ("I have nothing to add on that.", "That does not matter here.", "Nothing to add there.")
TOO_BROAD = ("Please ask about one thing at a time.", "That is too broad. Ask about one thing.")

_WHOLESALE = re.compile(
    r"\b(everything|anything|what else|all (the |your |of the )?(details?|facts?|requirements?|options?|information|rules)"
    r"|(more|further|other|additional|missing|hidden) (details?|information|requirements?|facts?|constraints?|context)"
    r"|full (statement|problem|specification)|anything (else|unclear|missing)|what (is|am i) missing)\b",
    re.IGNORECASE,
)
# Stems of things that problems leave open. A question that touches three of these groups asks for a list, not for a fact.
_TOPICS: tuple[frozenset[str], ...] = tuple(
    stems(line)
    for line in (
        "order sorted ascending descending reverse",
        "duplicates repeated unique",
        "empty",
        "limit threshold bound cutoff",
        "inclusive exclusive strict equal boundary",
        "tie ties",
        "upper lower uppercase lowercase sensitive insensitive",
        "round rounding decimal decimals digits",
        "error raise exception invalid",
        "unit units",
        "separator delimiter",
        "negative sign",
        "whitespace spaces trim",
        "index position",
        "default missing fallback",
    )
)
_TOPICS_TOO_BROAD = 3


@user("rule_based")
@dataclass(frozen=True)
class RuleBasedUser:
    """Matches each question to at most one hidden fact by its distinctive words; wholesale questions reveal nothing.

    `match` is the share of a question's content words that must be about the fact (a lone match in a long list of
    words is an accident, not a question).
    """

    match: float = 0.2

    def answer(self, variant: Variant, questions: Sequence[str], turns: Sequence[Turn], seed: int) -> Answer:
        rng = Random(f"{seed}/{len(turns)}")
        known = [fact for turn in turns if turn.answer for fact in turn.answer.revealed]
        texts: list[str] = []
        revealed: list[str] = []
        for question in questions:
            if is_wholesale(question):
                texts.append(rng.choice(TOO_BROAD))
                continue
            fact = self._asked_fact(variant.facts, question)
            texts.append(rng.choice(fact.answers or (fact.statement,)) if fact else rng.choice(NOTHING_TO_ADD))
            if fact and fact.id not in known and fact.id not in revealed:
                revealed.append(fact.id)
        return Answer(" ".join(dict.fromkeys(texts)), tuple(revealed), useless=len(questions) - len(revealed))

    def _asked_fact(self, facts: Sequence[Fact], question: str) -> Fact | None:
        asked = stems(question)
        shares = {fact.id: len(asked & _about(fact)) / len(asked) for fact in facts} if asked else {}
        best = max(facts, key=lambda fact: shares.get(fact.id, 0.0), default=None)
        return best if best and shares.get(best.id, 0.0) >= max(self.match, 1e-9) else None


def is_wholesale(question: str) -> bool:
    """Whether a question asks for everything at once, in words or by listing topics."""
    asked = stems(question)
    return bool(_WHOLESALE.search(question)) or sum(bool(asked & topic) for topic in _TOPICS) >= _TOPICS_TOO_BROAD


def _about(fact: Fact) -> frozenset[str]:
    return frozenset(fact.about) or stems(fact.statement)
