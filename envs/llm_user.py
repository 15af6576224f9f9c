"""A user whose ears are a language model: it says which fact each question is about, and never speaks itself.

What the model returns are ids of facts, checked against the variant, so nothing it writes can leak; the words are the
user's own wordings of those facts. After HiL-Bench's ask_human server, which never shows its model the answers. With
`rephrase` the model puts them in its own words, and what it may not say is refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from clarify_rl.answering import check_personas, persona_of, say
from clarify_rl.consult import Consulted, ConsultError, json_in
from clarify_rl.errors import ConfigError
from clarify_rl.matching.matcher import Match, Matcher
from clarify_rl.registry import user
from clarify_rl.types import Answer, Fact, Heard, Outcome, Turn, Variant
from clarify_rl.wording import words

PROMPT_VERSION = 2  # of the texts below: what another version heard is no answer of this one
MOST_FACTS = 2  # that one question may be about
_REPLY_TOKENS = 200
_HEARS = """A user has a programming task and knows facts that its statement leaves open. Someone asks questions. Say
for each question which of the facts it asks for.

Statement:
{statement}

Facts:
{facts}

Questions:
{questions}

Reply with JSON only: {{"answers": [{{"question": 1, "outcome": "revealed", "facts": ["id"]}}, ...]}}, one entry for
each question. outcome is one of
- revealed: the question asks for one fact of the list, seldom two; name them in facts. A paraphrase, an example, or a
  yes-or-no question about the fact counts.
- stated: the statement already answers it.
- none: it asks for something else.
- broad: it asks for everything at once.
- unclear: you cannot tell what it asks.
facts is empty unless the outcome is revealed."""
_REPHRASES = """Say this to a colleague in your own words, in one or two short sentences, without adding anything:
{said}"""


@user("llm")
@dataclass
class LLMUser:
    """`model` is openai:URL#MODEL for one behind a server, or what `model.base` may be for one loaded here.

    `server` are options as in `eval.server`; `parallel` of its requests are under way at once. With `cascade` the
    rule-based matcher hears first, and the model only what that is not sure of (below `sure`). What was heard is kept
    in memory and, with `cache`, in a JSONL file that runs share. After `most_calls` requests of this process every
    further one is an unmeasured episode. `rephrase` puts answers in the model's own words, where it adds nothing.
    """

    model: str = ""
    server: Mapping[str, object] = field(default_factory=dict)
    cascade: bool = True
    sure: float = 0.8
    cache: str = ""
    most_calls: int | None = None
    most_questions: int = 3
    rephrase: bool = False
    personas: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.model:
            raise ConfigError(
                "The user llm needs a model: env.user_options.model=openai:http://127.0.0.1:8000/v1#NAME, or a folder."
            )
        check_personas(self.personas)
        self._consulted = Consulted(
            self.model,
            self.server,
            option="env.user_options",
            memory=self.cache,
            most_calls=self.most_calls,
            tokens=_REPLY_TOKENS,
        )

    @property
    def threads(self) -> int:
        """How many answers may be under way at once: a server takes many, a model of this process one."""
        return self._consulted.threads

    def describe(self) -> str:
        """What it took so far: requests to the model, and replies that were heard before."""
        return self._consulted.describe()

    def answer(self, variant: Variant, questions: Sequence[str], turns: Sequence[Turn], seed: int) -> Answer:
        matches = self._matches(variant, questions[: self.most_questions])
        matches += [Match(Outcome.BROAD)] * (len(questions) - len(matches))
        answer = say(variant, matches, turns, seed, persona_of(self.personas, seed))
        return self._rephrased(variant, answer, seed) if self.rephrase and answer.told else answer

    def _matches(self, variant: Variant, questions: Sequence[str]) -> list[Match]:
        """What each question is about: guards first, the matcher where it is sure, and the model for the rest."""
        lexical = Matcher(reveal=self.sure, reveal_piece=self.sure)
        first = [lexical.match(variant, question) for question in questions]
        settled = {Outcome.LEAK, Outcome.BROAD} | ({Outcome.REVEALED} if self.cascade else set())
        open_ = [place for place, match in enumerate(first) if match.outcome not in settled]
        if not open_ or not variant.facts:
            return first
        heard = self._hear(variant, [questions[place] for place in open_])
        for place, match in zip(open_, heard, strict=True):
            # The model does not quote: the matcher knows which sentence states it.
            first[place] = first[place] if match.outcome is first[place].outcome is Outcome.STATED else match
        return first

    def _hear(self, variant: Variant, questions: Sequence[str]) -> list[Match]:
        key = self._consulted.key(PROMPT_VERSION, *_named(variant, questions))
        known = self._consulted.recall(key, lambda: self._asked(variant, questions))
        return [Match(Outcome(heard["outcome"]), tuple(heard["facts"])) for heard in known]

    def _asked(self, variant: Variant, questions: Sequence[str]) -> list[dict[str, Any]]:  # Any: JSON
        said = self._consulted.ask(_request(variant, questions), name="heard", schema=_schema(variant, len(questions)))
        return [asdict(heard) for heard in _read(said, variant, len(questions))]

    def _rephrased(self, variant: Variant, answer: Answer, seed: int) -> Answer:
        """The answer in the model's words, or as it was where those hold what neither it nor the prompt does."""
        said = self._consulted.ask(_REPHRASES.format(said=answer.text), name="said", seed=seed).strip()
        if not said or adds_something(said, f"{answer.text} {variant.prompt}"):
            return answer
        return Answer(said, answer.heard, answer.volunteered)


def _request(variant: Variant, questions: Sequence[str]) -> str:
    return _HEARS.format(
        statement=variant.prompt,
        facts="\n".join(f"- {fact.id}: {_topic(fact)}" for fact in variant.facts),
        questions="\n".join(f"{number}. {question}" for number, question in enumerate(questions, start=1)),
    )


def _schema(variant: Variant, questions: int) -> dict[str, Any]:  # Any: JSON
    """One entry for each question, and no ids but the facts': a small model else goes on counting, or invents some."""
    fact = {"type": "string", "enum": [fact.id for fact in variant.facts]}
    entry = {
        "question": {"type": "integer", "minimum": 1, "maximum": questions},
        # Before the facts: a small model that has named one says that it was asked for.
        "outcome": {"enum": ["revealed", "stated", "none", "broad", "unclear"]},
        "facts": {"type": "array", "items": fact, "maxItems": MOST_FACTS},
    }
    entries = {"type": "array", "items": _exactly(entry), "minItems": questions, "maxItems": questions}
    return _exactly({"answers": entries})


def _exactly(properties: Mapping[str, Any]) -> dict[str, Any]:  # Any: JSON
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": False,
    }


def _topic(fact: Fact) -> str:
    """What a fact is about, by questions that ask for it; by its own words only where it has none.

    Those stay with the model: it returns ids, so it cannot pass them on.
    """
    if fact.questions:
        return " / ".join(fact.questions)
    vague = f" (the statement says: {fact.replaced_by})" if fact.replaced_by else ""
    return f"{fact.statement}{vague}"


def _read(text: str, variant: Variant, questions: int) -> tuple[Heard, ...]:
    """What the model heard. ConsultError where its reply is not what it was asked for; ids of no fact are dropped."""
    try:
        rows = {int(row["question"]): row for row in (json_in(text) or {})["answers"]}
        outcomes = [_heard(rows[number], variant) for number in range(1, questions + 1)]
    except (ValueError, KeyError, TypeError) as error:
        raise ConsultError(f"the user's model gave no answer in JSON to each question: {text[:200]!r}") from error
    return tuple(outcomes)


def _heard(row: Mapping[str, Any], variant: Variant) -> Heard:  # Any: JSON
    known = {fact.id for fact in variant.facts}
    facts = tuple(dict.fromkeys(fact for fact in row["facts"] if fact in known))[:MOST_FACTS]
    outcome = Outcome(row["outcome"])
    if outcome is Outcome.REVEALED or facts:
        return Heard(Outcome.REVEALED, facts) if facts and outcome is Outcome.REVEALED else Heard(Outcome.UNCLEAR)
    return Heard(outcome)


def adds_something(text: str, known: str) -> bool:
    """Whether a text holds a number, a quoted literal or an identifier that what is known does not."""
    marks = re.findall(r"\d+(?:\.\d+)?|'[^']+'|\"[^\"]+\"|`[^`]+`|\b\w*_\w+\b|\b[A-Z]\w*[A-Z]\w*\b", text)
    return any(mark.strip("'\"`") not in known for mark in marks)


def _named(variant: Variant, questions: Sequence[str]) -> tuple[object, ...]:
    """What tells one request from another: texts, facts and questions, however those are spaced and punctuated."""
    facts = [(fact.id, _topic(fact)) for fact in variant.facts]
    return (variant.prompt, facts, [" ".join(words(question)) for question in questions])
