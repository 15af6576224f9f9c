"""How a user puts what it tells: canned wordings that hold nothing but what was asked for, and personas.

No wording is a bare yes or no, since a question may be put either way: "Yes, case matters." is right for "Does case
matter?" and wrong for "Should I ignore case?".
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from random import Random

from clarify_rl.errors import ConfigError
from clarify_rl.matching.matcher import Match
from clarify_rl.types import Answer, Fact, Heard, Outcome, Turn, Variant

SAYS: Mapping[Outcome, tuple[str, ...]] = {
    Outcome.NONE: ("I have nothing to add on that.", "Nothing to add there."),
    Outcome.BROAD: ("Please ask about one thing at a time.", "That is too broad. Ask about one thing."),
    Outcome.LEAK: ("I have no code or tests for you. Ask about the task.",),
    Outcome.UNCLEAR: ("I do not understand. Ask it in other words.", "What do you mean? Ask it in other words."),
}
IMPATIENT = "No more questions, please. Write the code."
_LONGEST_QUOTED = 160  # characters of a sentence that the prompt has already
_YES_OR_NO = re.compile(r"(yes|no)\b", re.IGNORECASE)
_PREAMBLES = ("Good question.", "Let me think.", "I should have said that.", "Thanks for asking.")


class Persona(StrEnum):
    """How a user behaves.

    terse: the shortest wording. verbose: a preamble, and the whole sentence. mistaken: now and then hears another
    question and tells that fact instead. impatient: answers one question of a dialogue. volunteers: tells one more
    fact with the first one. Nobody ever says what is false.
    """

    PLAIN = "plain"
    TERSE = "terse"
    VERBOSE = "verbose"
    MISTAKEN = "mistaken"
    IMPATIENT = "impatient"
    VOLUNTEERS = "volunteers"


_MISTAKEN_SHARE = 0.3  # of a mistaken user's answers
_PATIENCE = 1  # questions that an impatient user answers


def check_personas(personas: Mapping[str, float]) -> None:
    """ConfigError for a persona that does not exist, or a weight that is none."""
    known = [str(persona) for persona in Persona]
    for name, weight in personas.items():
        if name not in known:
            raise ConfigError(f"No persona {name!r}. Known: {', '.join(known)}.")
        if not weight >= 0:
            raise ConfigError(f"personas: the weight of {name} is {weight}; it must be 0 or more.")
    if personas and not sum(personas.values()):
        raise ConfigError("personas: all weights are 0. Give one of them more.")


def persona_of(personas: Mapping[str, float], seed: int) -> Persona:
    """The persona of the episode with this seed, drawn by weight; plain where none is configured."""
    if not personas:
        return Persona.PLAIN
    return Persona(Random(f"{seed}/persona").choices(list(personas), list(personas.values()))[0])


@dataclass
class _Speech:
    """One answer as it is put together."""

    variant: Variant
    told: set[str]
    persona: Persona
    rng: Random
    left: int  # questions that are still answered
    volunteered: tuple[str, ...] = ()

    def to(self, match: Match) -> tuple[str, Heard]:
        """What is said to one question, and what became of it."""
        if self.left <= 0:
            return IMPATIENT, Heard(Outcome.NONE)
        self.left -= 1
        if self._mishears(match):
            return self._about_another()
        outcome = match.outcome
        if outcome is Outcome.REVEALED and self.told.issuperset(match.facts):
            outcome = Outcome.REPEATED
        self.told.update(match.facts)
        return self._text(match, outcome), Heard(outcome, match.facts)

    def _mishears(self, match: Match) -> bool:
        return self.persona is Persona.MISTAKEN and bool(match.facts) and self.rng.random() < _MISTAKEN_SHARE

    def _about_another(self) -> tuple[str, Heard]:
        """Another fact, if one is left, told to somebody who asked something else."""
        others = [fact for fact in self.variant.facts if fact.id not in self.told]
        if len(others) < 2:
            return self.rng.choice(SAYS[Outcome.UNCLEAR]), Heard(Outcome.UNCLEAR)
        fact = self.rng.choice(others[1:])
        self._volunteer(fact)
        return wording(fact, self.rng), Heard(Outcome.UNCLEAR)

    def _text(self, match: Match, outcome: Outcome) -> str:
        if match.facts:
            facts = [fact for fact in self.variant.facts if fact.id in match.facts]
            return " ".join(wording(fact, self.rng, self.persona) for fact in facts)
        if outcome is Outcome.STATED:
            whole = match.sentence
            return f"As I said: {whole if len(whole) <= _LONGEST_QUOTED else whole[:_LONGEST_QUOTED] + ' ...'}"
        return self.rng.choice(SAYS[outcome])

    def one_more(self) -> str:
        """A fact that nobody asked for, from one who volunteers; "" where there is none."""
        left = [fact for fact in self.variant.facts if fact.id not in self.told]
        if not left:
            return ""
        self._volunteer(left[0])
        return wording(left[0], self.rng)

    def _volunteer(self, fact: Fact) -> None:
        self.told.add(fact.id)
        self.volunteered = (*self.volunteered, fact.id)


def say(
    variant: Variant, matches: Sequence[Match], turns: Sequence[Turn], seed: int, persona: Persona = Persona.PLAIN
) -> Answer:
    """The answer to questions that were understood as `matches` say. The same seed and dialogue, the same words."""
    answered = sum(len(turn.reply.questions) for turn in turns if turn.answer)
    speech = _Speech(
        variant,
        {fact for turn in turns if turn.answer for fact in turn.answer.told},
        persona,
        Random(f"{seed}/{len(turns)}"),
        left=_PATIENCE - answered if persona is Persona.IMPATIENT else len(matches),
    )
    said = [speech.to(match) for match in matches]
    texts = [text for text, _ in said]
    if persona is Persona.VOLUNTEERS and not turns and any(heard.facts for _, heard in said):
        texts.append(speech.one_more())
    return Answer(" ".join(filter(None, dict.fromkeys(texts))), tuple(heard for _, heard in said), speech.volunteered)


def wording(fact: Fact, rng: Random, persona: Persona = Persona.PLAIN) -> str:
    """One of the user's wordings of a fact, never a yes or no."""
    whole = [answer for answer in fact.answers if not _YES_OR_NO.match(answer)] or [fact.statement]
    if persona is Persona.TERSE:
        return min(whole, key=len)
    if persona is Persona.VERBOSE:
        return f"{rng.choice(_PREAMBLES)} {fact.statement}"
    return rng.choice(whole)
