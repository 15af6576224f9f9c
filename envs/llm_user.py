"""A user whose ears are a language model: it says which fact each question is about, and never speaks itself.

What the model returns are ids of facts, checked against the variant, so nothing it writes can leak; the words are the
user's own wordings of those facts. After HiL-Bench's ask_human server, which never shows its model the answers. With
`rephrase` the model puts them in its own words, and what it may not say is refused.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from clarify_rl.answering import check_personas, persona_of, say
from clarify_rl.config import ServerConfig
from clarify_rl.errors import ConfigError
from clarify_rl.matching.matcher import Match, Matcher
from clarify_rl.policies.openai import OpenAIPolicy, served
from clarify_rl.registry import user
from clarify_rl.types import Answer, Fact, Heard, Message, Outcome, Policy, Request, Sample, Turn, Variant
from clarify_rl.wording import words

PROMPT_VERSION = 1  # of the texts below: what another version heard is no answer of this one
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

Reply with JSON only: {{"answers": [{{"question": 1, "facts": ["id"], "outcome": "revealed"}}, ...]}}, one entry for
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
_SCHEMA = {
    "type": "object",
    "properties": {
        "answers": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "question": {"type": "integer"},
                    "facts": {"type": "array", "items": {"type": "string"}},
                    "outcome": {"enum": ["revealed", "stated", "none", "broad", "unclear"]},
                },
                "required": ["question", "facts", "outcome"],
                "additionalProperties": False,
            },
        }
    },
    "required": ["answers"],
    "additionalProperties": False,
}
_FORM = {"type": "json_schema", "json_schema": {"name": "heard", "schema": _SCHEMA, "strict": True}}


class UserError(RuntimeError):
    """The model could not be asked, or what it said is no answer: the episode is unmeasured."""


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
        self._settings = ServerConfig.model_validate(dict(self.server))
        self._lock = threading.Lock()
        self._heard = _Cache(self.cache)
        self.calls = 0

    @property
    def threads(self) -> int:
        """How many answers may be under way at once: a server takes many, a model of this process one."""
        return self._settings.parallel if served(self.model) else 1

    @property
    def hits(self) -> int:
        """How many replies were heard before, so that nobody had to be asked."""
        return self._heard.hits

    def describe(self) -> str:
        """What it took so far: requests to the model, and replies that were heard before."""
        return f"{self.calls} requests to {self.model}, {self.hits} replies heard before"

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
        key = _key(self.model, variant, questions)
        known = self._heard.get(key)
        if known is None:
            known = _read(self._ask(_request(variant, questions), form=_FORM), variant, len(questions))
            self._heard.put(key, known)
        return [Match(heard.outcome, heard.facts) for heard in known]

    def _rephrased(self, variant: Variant, answer: Answer, seed: int) -> Answer:
        """The answer in the model's words, or as it was where those hold what neither it nor the prompt does."""
        said = (self._ask(_REPHRASES.format(said=answer.text), seed=seed)).strip()
        if not said or adds_something(said, f"{answer.text} {variant.prompt}"):
            return answer
        return Answer(said, answer.heard, answer.volunteered)

    def _ask(self, text: str, *, seed: int = 0, form: Mapping[str, object] | None = None) -> str:
        with self._lock:
            if self.most_calls is not None and self.calls >= self.most_calls:
                raise UserError(
                    f"the budget of the user llm is spent: env.user_options.most_calls={self.most_calls}. "
                    "Raise it and --resume: what was heard before is in the cache."
                )
            self.calls += 1
        sample = self._sample(text, seed, form)
        if sample.failure:
            raise UserError(sample.failure)
        return sample.text or ""

    def _sample(self, text: str, seed: int, form: Mapping[str, object] | None) -> Sample:
        if address := served(self.model):
            server = self._settings
            if form and server.json_schema:
                server = server.model_copy(update={"options": {**server.options, "response_format": form}})
            policy: Policy = OpenAIPolicy(address, server)
            return policy.generate([Request((), _REPLY_TOKENS, "user", 0, seed, (Message("user", text),))])[0]
        with _LOCAL:
            return _here(self.model).say(text, seed)


_LOCAL = threading.Lock()  # one model, one thread


@dataclass(frozen=True)
class _Local:
    """A model loaded in this process."""

    policy: Policy
    chat: Any  # Any: a Chat, whose module needs torch

    def say(self, text: str, seed: int) -> Sample:
        context = self.chat.context_ids((Message("user", text),))
        sample = self.policy.generate([Request(context, _REPLY_TOKENS, "user", 0, seed)])[0]
        return Sample((), None, sample.finished, text=self.chat.decode(sample.token_ids))


@lru_cache(maxsize=1)
def _here(spec: str) -> _Local:
    from clarify_rl.config import Config  # heavy, and seldom needed: torch and a model
    from clarify_rl.players import player_for

    player = player_for(Config(), spec)
    return _Local(player.policy, player.chat)


def _request(variant: Variant, questions: Sequence[str]) -> str:
    return _HEARS.format(
        statement=variant.prompt,
        facts="\n".join(f"- {fact.id}: {_topic(fact)}" for fact in variant.facts),
        questions="\n".join(f"{number}. {question}" for number, question in enumerate(questions, start=1)),
    )


def _topic(fact: Fact) -> str:
    """What a fact is about, by questions that ask for it; by its own words only where it has none.

    Those stay with the model: it returns ids, so it cannot pass them on.
    """
    if fact.questions:
        return " / ".join(fact.questions)
    vague = f" (the statement says: {fact.replaced_by})" if fact.replaced_by else ""
    return f"{fact.statement}{vague}"


def _read(text: str, variant: Variant, questions: int) -> tuple[Heard, ...]:
    """What the model heard. UserError where its reply is not what it was asked for; facts that are none are dropped."""
    match = re.search(r"\{.*\}", text, re.DOTALL)
    try:
        rows = {int(row["question"]): row for row in json.loads(match.group())["answers"]} if match else {}
        outcomes = [_heard(rows[number], variant) for number in range(1, questions + 1)]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(f"the user's model gave no answer in JSON to each question: {text[:200]!r}") from error
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


def _key(model: str, variant: Variant, questions: Sequence[str]) -> str:
    """Names one request: the same model, texts, facts and questions, however those are spaced and punctuated."""
    facts = [(fact.id, _topic(fact)) for fact in variant.facts]
    asked = [" ".join(words(question)) for question in questions]
    return hashlib.sha256(json.dumps([model, PROMPT_VERSION, variant.prompt, facts, asked]).encode()).hexdigest()[:32]


class _Cache:
    """What was heard, by request: in memory, and in a file where one is named."""

    def __init__(self, path: str) -> None:
        self.path = Path(path) if path else None
        self.hits = 0
        self._checked = False
        self._lock = threading.Lock()
        self._known: dict[str, tuple[Heard, ...]] = dict(self._lines())

    def get(self, key: str) -> tuple[Heard, ...] | None:
        with self._lock:
            self.hits += key in self._known
            return self._known.get(key)

    def put(self, key: str, heard: tuple[Heard, ...]) -> None:
        with self._lock:
            self._known[key] = heard
            if self.path:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                line = json.dumps({"key": key, "heard": [asdict(one) for one in heard]})
                with self.path.open("a", encoding="utf-8") as file:
                    file.write(("\n" if self._is_cut_off() else "") + line + "\n")

    def _is_cut_off(self) -> bool:
        assert self.path is not None
        end = self.path.read_bytes()[-1:] if not self._checked else b"\n"
        self._checked = True
        return end not in (b"", b"\n")

    def _lines(self) -> Iterator[tuple[str, tuple[Heard, ...]]]:
        """The file's entries. A line that cannot be read, as one that was cut off, costs a request and nothing else."""
        text = self.path.read_text(encoding="utf-8") if self.path and self.path.is_file() else ""
        for line in text.splitlines():
            with suppress(ValueError, KeyError, TypeError):
                row = json.loads(line)
                yield (
                    str(row["key"]),
                    tuple(Heard(Outcome(one["outcome"]), tuple(one["facts"])) for one in row["heard"]),
                )
