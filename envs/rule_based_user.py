"""A user who knows only what the variant hides, and answers just what was asked."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from clarify_rl.registry import user
from clarify_rl.types import Answer, Fact, Turn, Variant
from clarify_rl.wording import GENERIC, stems, words

NOTHING_TO_ADD = ("I have nothing to add on that.", "That does not matter here.", "Nothing to add there.")
TOO_BROAD = ("Please ask about one thing at a time.", "That is too broad. Ask about one thing.")

_WHOLESALE = re.compile(
    r"\b(everything|anything|what else"
    r"|all (the |your |of the )?(details?|facts?|requirements?|options?|information|rules)"
    r"|(more|further|other|additional|missing|hidden) (details?|information|requirements?|facts?|constraints?|context)"
    r"|full (statement|problem|specification)|anything (else|unclear|missing)|what (is|am i) missing)\b",
    re.IGNORECASE,
)
# What problems leave open, a group of stems each. A question that touches three of them asks for a list.
_TOPICS: tuple[frozenset[str], ...] = tuple(
    stems(line)
    for line in (
        "order sorted ascending descending reverse",
        "duplicates repeated unique",
        "empty",
        "limit threshold bound cutoff maximum minimum cap",
        "inclusive exclusive included excluded strict equal boundary comparison",
        "tie ties",
        "upper lower uppercase lowercase sensitive insensitive",
        "round rounding decimal decimals digits",
        "invalid",
        "unit units",
        "separator delimiter",
        "negative sign",
        "whitespace spaces trim",
        "index position start begin",
        "default missing fallback",
        "rate",
        "fee",
        "bonus",
        "factor",
        "step",
        "length width size",
        "first last",
        "end",
    )
)
_TOPICS_TOO_BROAD = 3
_ECHO_WORDS, _ECHO_SHARE = 7, 0.75  # this many words in a row from the prompt, and this share of the question


@user("rule_based")
@dataclass(frozen=True)
class RuleBasedUser:
    """Matches each question to at most one hidden fact by its distinctive words; wholesale questions reveal nothing.

    `match` is the share of a question's content words that must be about the fact (a lone match in a long list of
    words is an accident, not a question). Of one reply, only the first `most_questions` questions are answered.
    """

    match: float = 0.34
    most_questions: int = 3

    def answer(self, variant: Variant, questions: Sequence[str], turns: Sequence[Turn], seed: int) -> Answer:
        rng = Random(f"{seed}/{len(turns)}")
        known = [fact for turn in turns if turn.answer for fact in turn.answer.revealed]
        texts: list[str] = []
        revealed: list[str] = []
        for number, question in enumerate(questions):
            if number >= self.most_questions or is_wholesale(question):
                texts.append(rng.choice(TOO_BROAD))
                continue
            fact = None if _repeats(question, variant.prompt) else self._asked_fact(variant, question)
            texts.append(rng.choice(fact.answers or (fact.statement,)) if fact else rng.choice(NOTHING_TO_ADD))
            if fact and fact.id not in known and fact.id not in revealed:
                revealed.append(fact.id)
        return Answer(" ".join(dict.fromkeys(texts)), tuple(revealed), useless=len(questions) - len(revealed))

    def _asked_fact(self, variant: Variant, question: str) -> Fact | None:
        """The hidden fact that the question has most words about, unless it has as many about something else."""
        asked, given = stems(question), GENERIC | stems(variant.prompt)
        best: Fact | None = None
        most = 0
        for fact in variant.facts:
            about = _about(fact)
            hits, content = len(asked & about), asked - (given - about)
            if hits > max(most, _hits_elsewhere(asked, fact, variant.prompt)) and hits >= self.match * len(content):
                best, most = fact, hits
        return best


def is_wholesale(question: str) -> bool:
    """Whether a question asks for everything at once, in words or by listing topics."""
    asked = stems(question)
    return bool(_WHOLESALE.search(question)) or sum(bool(asked & topic) for topic in _TOPICS) >= _TOPICS_TOO_BROAD


def _repeats(question: str, prompt: str) -> bool:
    """Whether a question is little more than a piece of the prompt: that names topics without asking about one."""
    asked, said = words(question), f" {' '.join(words(prompt))} "
    size = max(_ECHO_WORDS, math.ceil(_ECHO_SHARE * len(asked)))
    return any(f" {' '.join(asked[i : i + size])} " in said for i in range(len(asked) - size + 1))


def _hits_elsewhere(asked: frozenset[str], fact: Fact, prompt: str) -> int:
    """How many words point to other facts of the statement, or to topics that the statement does not have at all.

    Without this, one question that glues two topics together would hit whichever of them is hidden.
    """
    others = asked & frozenset(fact.not_about)
    own = _about(fact).union(*(stems(text) for text in (fact.statement, *fact.answers, *fact.questions)))
    foreign = asked - own - others - stems(prompt)
    return len(others) + sum(bool(topic & foreign) and not topic & own for topic in _TOPICS)


def _about(fact: Fact) -> frozenset[str]:
    return frozenset(fact.about) or stems(fact.statement)
