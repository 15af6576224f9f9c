"""Facts as a model names them: what it is asked, how its reply is read, and what becomes of it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from clarify_rl.synthesis.facts import Reading, Subject, Uncertain, sentence_of
from clarify_rl.synthesis.oracle import Oracle, same
from clarify_rl.types import Problem, Raises
from clarify_rl.wording import stems

MOST_FACTS = 3  # of one problem
_KEPT = 0.4  # of a statement's words, at least, when a decision is taken out
KINDS = ("definition", "ties", "order", "bounds", "format", "edge_case", "units", "other")

_ASK = """Below are a programming problem and a solution that is right. Name up to {most} decisions in it that somebody
could well have wanted otherwise, so that a careful programmer would have to ask if the statement did not tell: what a
word means, what happens with ties, whether a bound is included, an order, a unit, an edge case. For each give:
- kind: one of {kinds};
- rest: the statement without any trace of this decision, and otherwise word for word;
- decided: one sentence that states the decision as the solution has it; answer: how its author would answer a question;
- otherwise: one sentence that decides it another way; other_answer: the answer then;
- program: the whole solution, changed so that it does that instead;
- questions: three ways to ask about it that tell neither;
- vague: one sentence that could stand in its place and leaves both open.
Answer with one JSON object and nothing else: {{"facts": [...]}}

Statement:
{statement}

Solution:
```python
{solution}
```"""
_TEXT = {"type": "string"}
_FIELDS = ("rest", "decided", "answer", "otherwise", "other_answer", "program", "vague")
SCHEMA = {
    "type": "object",
    "properties": {
        "facts": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "kind": {"type": "string", "enum": list(KINDS)},
                    **dict.fromkeys(_FIELDS, _TEXT),
                    "questions": {"type": "array", "items": _TEXT},
                },
                "required": ["kind", *_FIELDS, "questions"],
                "additionalProperties": False,
            },
        }
    },
    "required": ["facts"],
    "additionalProperties": False,
}


@dataclass(frozen=True)
class Proposal:
    """A decision as the model told it, and the program that it writes when it is told only `rest`."""

    kind: str
    rest: str
    decided: str
    answer: str
    otherwise: str
    other_answer: str
    program: str
    vague: str
    questions: tuple[str, ...]
    guess: str | None = None

    def uncertain(self, kind: str, default: int) -> Uncertain:
        """The decision as a fact with two readings."""
        words = " ".join((self.decided, self.otherwise, self.vague, *self.questions))
        return Uncertain(
            kind=kind,
            readings=(
                Reading("as it was", self.decided, (self.answer,)),
                Reading("otherwise", self.otherwise, (self.other_answer,), program=self.program),
            ),
            default=default,
            base=self.rest,
            questions=self.questions,
            blurs=(self.vague,),
            about=words,
        )


def proposals_asked(problem: Problem) -> str:
    """The request to a model to name what a problem's statement decides."""
    return _ASK.format(
        most=MOST_FACTS, kinds=", ".join(KINDS), statement=sentence_of(problem.prompt), solution=problem.solution
    )


def proposals_in(reply: Mapping[str, Any] | None, problem: Problem) -> tuple[list[Proposal], list[str]]:  # Any: JSON
    """The proposals of a reply that are sound as far as reading shows, and why the others are not."""
    said = (reply or {}).get("facts")
    if not isinstance(said, list):
        return [], ["no JSON with facts"]
    sound, whys = [], []
    for item in said[:MOST_FACTS]:
        proposal = _proposal(item)
        why = _unsound(proposal, sentence_of(problem.prompt)) if proposal else "a fact without all of its fields"
        if proposal and not why:
            sound.append(proposal)
        whys += [why] if why else []
    return sound, whys


def _proposal(item: Any) -> Proposal | None:  # Any: JSON
    if not isinstance(item, dict):
        return None
    texts = {name: item.get(name) for name in _FIELDS}
    asked = item.get("questions")
    questions = [text for text in asked if isinstance(text, str) and text.strip()] if isinstance(asked, list) else []
    if not questions or not all(isinstance(text, str) and text.strip() for text in texts.values()):
        return None
    code = re.sub(r"^```\w*\n|\n?```\s*$", "", str(texts.pop("program")).strip())
    lines = {name: " ".join(str(text).split()) for name, text in texts.items() if name != "rest"}
    kind = item.get("kind") if item.get("kind") in KINDS else "other"
    return Proposal(
        kind=str(kind), rest=str(texts["rest"]).strip(), program=f"{code}\n", questions=tuple(questions[:5]), **lines
    )


def _unsound(proposal: Proposal, statement: str) -> str:
    """Why a proposal cannot be used, as far as its words show."""
    rest, whole = stems(proposal.rest), stems(statement)
    if len(rest & whole) < _KEPT * len(whole) or len(proposal.rest) > 1.2 * len(statement) + 20:
        return "the rest is another statement"
    for told, other in ((proposal.decided, proposal.otherwise), (proposal.otherwise, proposal.decided)):
        own = stems(told) - stems(other)
        if told.rstrip(".").lower() in proposal.rest.lower() or (own and own <= rest - (stems(told) & stems(other))):
            return "the rest still tells it"
    return ""


def facts_of(proposals: Sequence[Proposal]) -> Callable[[Subject, Oracle], list[Uncertain]]:
    """The proposals as facts of a problem, each with the guesser's default; those whose program breaks are left out."""

    def facts(subject: Subject, oracle: Oracle) -> list[Uncertain]:
        seen = Counter[str]()
        made = []
        for proposal in proposals:
            given = oracle.values(proposal.program, subject.inputs)
            if given is None or 2 * sum(isinstance(value, Raises) for value in given) > len(given):
                continue  # it breaks, rather than decides otherwise
            seen[proposal.kind] += 1
            number = seen[proposal.kind]
            kind = f"told_{proposal.kind}{'' if number == 1 else number}"
            made.append(proposal.uncertain(kind, _default(proposal, subject, oracle)))
        return made

    return facts


def _default(proposal: Proposal, subject: Subject, oracle: Oracle) -> int:
    """Which reading the model's guess is: 1 where it does otherwise on every input, else 0, as the statement was."""
    if proposal.guess is None:
        return 0
    other, guess = (oracle.values(program, subject.inputs) for program in (proposal.program, proposal.guess))
    return int(other is not None and guess is not None and all(map(same, other, guess)))
