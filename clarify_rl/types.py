"""Every datum of clarify-rl, and the contracts that plugins implement. Standard library only.

Data moves one way: Problem -> Variant -> Episode -> Scores -> batch -> update -> checkpoint -> Results.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar, Literal, Protocol, TypeAlias, runtime_checkable

LONGEST_SHOWN = 400


class Defect(StrEnum):
    """What a variant does to a fact of the complete statement."""

    AMBIGUOUS = "ambiguous"
    INCOMPLETE = "incomplete"
    INCONSISTENT = "inconsistent"


class ReplyKind(StrEnum):
    """What a reply is; every reply is exactly one of these."""

    QUESTION = "question"
    CODE = "code"
    MIXED = "mixed"
    BARE_CODE = "bare_code"
    TRUNCATED = "truncated"
    EMPTY = "empty"
    OTHER = "other"


class Verdict(StrEnum):
    """How a program fared on its hidden tests. Only the last two say nothing about the program."""

    PASS = "pass"
    WRONG = "wrong"
    ERROR = "error"
    CPU_TIMEOUT = "cpu_timeout"
    IDLE_TIMEOUT = "idle_timeout"
    MEMORY = "memory"
    DIED = "died"
    PROTOCOL = "protocol"
    NO_CALLS = "no_calls"
    UNSUPPORTED_TYPE = "unsupported_type"
    WALL_TIMEOUT = "wall_timeout"
    INFRASTRUCTURE = "infrastructure"


class Outcome(StrEnum):
    """What became of one question.

    A user that does not understand says so (unclear), which is not the same as having nothing to add (none).
    """

    REVEALED = "revealed"
    STATED = "stated"
    NONE = "none"
    REPEATED = "repeated"
    BROAD = "broad"
    LEAK = "leak"
    UNCLEAR = "unclear"


UNMEASURED = frozenset({Verdict.WALL_TIMEOUT, Verdict.INFRASTRUCTURE})


class Stop(StrEnum):
    """Why an episode ended."""

    CODE = "code"
    NO_CODE = "no_code"
    MALFORMED = "malformed"
    BUDGET = "budget"
    FAILED = "failed"


@dataclass(frozen=True)
class Raises:
    """An expected outcome: the call must raise exactly this builtin exception, e.g. "ValueError"."""

    exception: str


@dataclass(frozen=True)
class ShownTest:
    """A hidden test for a reader: what is called or given, and what is due."""

    call: str
    expected: str


def _due(expected: object) -> str:
    return f"raises {expected.exception}" if isinstance(expected, Raises) else _short(expected)


def _short(value: object) -> str:
    return _cut(repr(value))


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]} ... ({len(text):,} characters)"


@dataclass(frozen=True)
class Case:
    """One hidden test: call the entry point with `args`, compare the result with `expected` (a value, or Raises)."""

    args: tuple[object, ...]
    expected: object


@dataclass(frozen=True)
class Tests:
    """Hidden tests as pairs of arguments and expected values. The strongest kind: no test is near the program.

    `compare` names a rule: exact (type and value), printed (str(result)), close or close:1e-9 (floats within a
    tolerance, 1e-6 unless given), unordered (a list in any order), or path/to/file.py:name, a function of the result
    and the expected value.
    """

    cases: tuple[Case, ...]
    compare: str = "exact"

    def shown(self, entry_point: str) -> tuple[ShownTest, ...]:
        """Each test as a reader would write it."""
        return tuple(
            ShownTest(f"{entry_point}({', '.join(map(_short, case.args))})", _due(case.expected)) for case in self.cases
        )


@dataclass(frozen=True)
class Assertions:
    """Hidden tests as Python code that calls `candidate`, or the entry point by its name; each check is one test.

    `setup` runs first, beside the tests and out of the program's reach: imports, helpers, the definitions of a prompt.
    """

    checks: tuple[str, ...]
    setup: str = ""
    compare: ClassVar[str] = "assertions"

    def shown(self, _entry_point: str) -> tuple[ShownTest, ...]:
        """Each check as it is written."""
        return tuple(ShownTest(_cut(check.strip()), "holds") for check in self.checks)


@dataclass(frozen=True)
class StdioCase:
    """One hidden test of a program that reads and prints: its whole input, and the output that is expected."""

    stdin: str
    stdout: str


@dataclass(frozen=True)
class Stdio:
    """Hidden tests of a program that reads its standard input and prints. Each case runs in a process of its own.

    `compare` names a rule for the output: lines (spaces at the ends of lines and of the whole do not matter), exact,
    close or close:1e-9 (numbers within a tolerance, word by word), or path/to/file.py:name.
    """

    cases: tuple[StdioCase, ...]
    compare: str = "lines"

    def shown(self, _entry_point: str) -> tuple[ShownTest, ...]:
        """Each case's input and output."""
        return tuple(ShownTest(f"stdin {_short(case.stdin)}", _short(case.stdout)) for case in self.cases)


HiddenTests: TypeAlias = Tests | Assertions | Stdio


@dataclass(frozen=True)
class Problem:
    """A complete statement with its hidden tests. `family` groups problems that share a solution's shape.

    `prelude` is the code that the statement gives beside what it asks for: imports and helper functions.
    """

    id: str
    prompt: str
    entry_point: str
    tests: HiddenTests
    solution: str
    source: str
    family: str = ""
    prelude: str = ""


@dataclass(frozen=True)
class Telling:
    """How many hidden tests tell a fact's truth from another reading of it."""

    reading: str
    tests: int


@dataclass(frozen=True)
class Fact:
    """One thing that a variant hides, blurs or contradicts, and that the user may reveal.

    `replaced_by` is what stands in the prompt instead ("" when the fact is left out); `answers` are the user's own
    wordings of `statement`; `defect` is None where the source does not say; `questions` are good ways to ask; `about`
    are the stems that a question about it contains, `not_about` those that point to another fact of the statement.
    `told_by` is the evidence that it matters, where it was counted.
    """

    id: str
    defect: Defect | None
    statement: str
    replaced_by: str = ""
    answers: tuple[str, ...] = ()
    questions: tuple[str, ...] = ()
    about: tuple[str, ...] = ()
    not_about: tuple[str, ...] = ()
    told_by: tuple[Telling, ...] = ()


@dataclass(frozen=True)
class Variant:
    """What the policy is shown. A clear variant has no facts: asking there cannot help.

    `kind` is `clear`, or the defects in alphabetical order joined by '+', e.g. `ambiguous+incomplete`. `stated` are
    facts that the prompt does tell, where the source knows them: a question about one of them asks for nothing new.
    """

    id: str
    problem: Problem
    prompt: str
    kind: str = "clear"
    facts: tuple[Fact, ...] = ()
    stated: tuple[Fact, ...] = ()

    @property
    def is_clear(self) -> bool:
        return self.kind == "clear"


@dataclass(frozen=True)
class Message:
    """One turn of a dialogue as text."""

    role: Literal["user", "assistant"]
    content: str


@dataclass(frozen=True)
class Request:
    """One reply that a policy should generate: the context's token ids, the budget, and whose turn it is.

    `messages` is the same context as text, for a policy that has no tokenizer of its own.
    """

    context: tuple[int, ...]
    max_new_tokens: int
    episode_id: str
    turn: int
    seed: int
    messages: tuple[Message, ...] = ()


@dataclass(frozen=True)
class Sample:
    """What a policy generated for one request. `finished`: its last token ends the turn; `token_ids` keeps it.

    A policy that is told no ids gives `text`, and `tokens`, how many they were. `failure` says why there is no reply.
    """

    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...] | None
    finished: bool
    text: str | None = None
    tokens: int | None = None
    failure: str = ""


@dataclass(frozen=True)
class Reply:
    """One assistant turn, parsed. `code` is set for code, mixed and bare_code; `questions` for question and mixed.

    What the policy thought before it spoke is in `thinking`, and nowhere else: nobody hears it.
    """

    text: str
    kind: ReplyKind
    questions: tuple[str, ...] = ()
    code: str | None = None
    token_ids: tuple[int, ...] = ()
    logprobs: tuple[float, ...] | None = None
    tokens: int | None = None  # where there are no ids: how many tokens the policy says it wrote
    thinking: str = ""


@dataclass(frozen=True)
class Heard:
    """What a user made of one question. `facts` are the ids of those it told, now (revealed) or before (repeated)."""

    outcome: Outcome
    facts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Answer:
    """What the user said, and what it made of each question, in their order. Nothing heard: all outcomes are none.

    `volunteered` are the ids of facts that the user told although nobody asked.
    """

    text: str
    heard: tuple[Heard, ...] = ()
    volunteered: tuple[str, ...] = ()

    @property
    def revealed(self) -> tuple[str, ...]:
        """Ids of the facts that were asked for and told, in order, each once."""
        facts = (fact for heard in self.heard if heard.outcome is Outcome.REVEALED for fact in heard.facts)
        return tuple(dict.fromkeys(facts))

    @property
    def told(self) -> tuple[str, ...]:
        """Ids of the facts that the user has told, asked for or not."""
        return (*self.revealed, *self.volunteered)


@dataclass(frozen=True)
class Execution:
    """The outcome of running a program. `per_test` holds pass, wrong, error or missing for each hidden test."""

    verdict: Verdict
    passed: int
    total: int
    per_test: tuple[str, ...] = ()
    cpu_s: float = 0.0
    wall_s: float = 0.0
    detail: str = ""

    @property
    def measured(self) -> bool:
        return self.verdict not in UNMEASURED

    @property
    def solved(self) -> bool:
        return self.verdict is Verdict.PASS


@dataclass(frozen=True)
class Opening:
    """How an episode is made to begin: its first reply as a question or as code, by ids, or behind `replayed` turns.

    What is given is nothing that any loss learns from.
    """

    kind: ReplyKind
    token_ids: tuple[int, ...] = ()
    replayed: int = 0


@dataclass(frozen=True)
class Turn:
    """A reply and what came back: an answer, or None when the reply ended the episode."""

    reply: Reply
    answer: Answer | None = None


def outcomes(reply: Reply, answer: Answer) -> tuple[Outcome, ...]:
    """What became of each question of a reply."""
    return tuple(heard.outcome for heard in answer.heard) or (Outcome.NONE,) * len(reply.questions)


@dataclass(frozen=True)
class Start:
    """What an episode begins from.

    `turns` are those that it has behind it, each with its answer, as they were played before: the next reply goes on
    from there, and nothing learns from them. `opening` is how the first reply is made to begin. `price` is what the
    prompt says that a question costs.
    """

    variant: Variant
    id: str
    seed: int
    turns: tuple[Turn, ...] = ()
    opening: Opening | None = None
    price: float | None = None


@dataclass(frozen=True)
class Response:
    """An environment's reaction to a reply: an answer, and the dialogue goes on, or a stop (and the execution)."""

    answer: Answer | None = None
    execution: Execution | None = None
    stop: Stop | None = None
    failure: str = ""


@dataclass(frozen=True)
class Exchange:
    """What an environment needs to react: the whole dialogue so far, so that any worker can serve any turn."""

    variant: Variant
    turns: tuple[Turn, ...]
    reply: Reply
    last_turn: bool
    seed: int
    episode_id: str = ""


@dataclass(frozen=True)
class Rating:
    """What a reward returns when its number needs a reason, or is a sum over turns. None: it could not be measured.

    `by_turn` is what each turn brought, in order, with `value` as their sum; empty: the number is about the whole.
    """

    value: float | None
    why: str = ""
    by_turn: tuple[float, ...] = ()

    @classmethod
    def of_turns(cls, by_turn: Iterable[float], why: str = "") -> Rating:
        """A rating that is the sum of what each turn brought, so that credit can go to the turn."""
        values = tuple(map(float, by_turn))
        return cls(sum(values), why, values)


@dataclass(frozen=True)
class Score:
    """The record of one reward's rating of an episode, under its name and with its weight, both of the configuration.

    `value` None: it could not be measured, so the episode is masked, never 0. `by_turn`: see Rating. Where it does not
    apply (`rewards[].only`), nothing was asked of the reward: value and weight are 0, and no mean counts it.
    """

    name: str
    value: float | None
    weight: float = 1.0
    why: str = ""
    by_turn: tuple[float, ...] = ()
    applies: bool = True


@dataclass(frozen=True)
class Episode:
    """One dialogue, from prompt to tests. Token ids are those sampled; `policy_mask` is 1 on the policy's tokens.

    prompt_ids (P,), completion_ids (C,), policy_mask (C,), logprobs (C,) with 0.0 on user tokens, or None.
    `failure` is set when something other than the policy went wrong: the episode is masked, counted and shown.
    `opening` None: the policy began its first reply as it liked. Otherwise the mask is 0 on the opening's tokens.
    `price`: what the prompt said that a question costs.
    """

    id: str
    variant: Variant
    seed: int
    turns: tuple[Turn, ...]
    stop: Stop
    execution: Execution | None = None
    failure: str = ""
    prompt_ids: tuple[int, ...] = ()
    completion_ids: tuple[int, ...] = ()
    policy_mask: tuple[int, ...] = ()
    logprobs: tuple[float, ...] | None = None
    scores: tuple[Score, ...] = ()
    opening: Opening | None = None
    price: float | None = None

    @property
    def questions(self) -> tuple[str, ...]:
        """Every question asked, over all turns."""
        return tuple(question for turn in self.turns for question in turn.reply.questions)

    @property
    def asked(self) -> bool:
        """Whether the first reply asks instead of coding."""
        return bool(self.turns) and self.turns[0].reply.kind is ReplyKind.QUESTION

    @property
    def revealed(self) -> tuple[str, ...]:
        """Ids of the facts that were asked for and told, in order, each once."""
        return tuple(dict.fromkeys(fact for turn in self.turns if turn.answer for fact in turn.answer.revealed))

    @property
    def outcomes(self) -> tuple[Outcome, ...]:
        """What became of every question that a user answered, in order."""
        return tuple(outcome for turn in self.turns if turn.answer for outcome in outcomes(turn.reply, turn.answer))

    @property
    def measured(self) -> bool:
        """False when a failure of ours, not of the policy, decides the outcome: nobody knows whether it was solved."""
        return not self.failure and (self.execution is None or self.execution.measured)

    @property
    def masked(self) -> bool:
        """Whether nothing learns from this episode: it, or one of its scores, could not be measured."""
        return not self.measured or any(score.value is None for score in self.scores)

    @property
    def solved(self) -> bool | None:
        """Whether all hidden tests passed; None when that could not be measured."""
        if not self.measured:
            return None
        return self.execution is not None and self.execution.solved

    @property
    def pass_rate(self) -> float | None:
        """Share of hidden tests passed (0 without code); None when that could not be measured."""
        if not self.measured:
            return None
        return self.execution.passed / self.execution.total if self.execution and self.execution.total else 0.0

    @property
    def malformed(self) -> bool:
        """Whether some reply was neither a question nor fenced code."""
        return any(turn.reply.kind not in (ReplyKind.QUESTION, ReplyKind.CODE) for turn in self.turns)

    @property
    def reward(self) -> float | None:
        """The weighted sum of the scores; None for a masked episode."""
        if self.masked:
            return None
        return sum(score.weight * score.value for score in self.scores if score.value is not None)


@dataclass(frozen=True)
class Results:
    """The episodes of one checkpoint on one suite, one or several for each variant, in the suite's order."""

    checkpoint: str
    suite: str
    episodes: tuple[Episode, ...] = field(repr=False)


@dataclass(frozen=True)
class Skipped:
    """A row of a source that cannot be used: where it stands, and why."""

    where: str
    why: str


class Source(Protocol):
    """Complete problems with hidden tests and references, in the source's order, anew at each call.

    A row that cannot be used is told of in its place; the rest goes on.
    """

    def read(self) -> Iterator[Problem | Skipped]: ...


class Reward(Protocol):
    """A pure function of an episode. A float, a Rating with its reason, or None: could not be measured."""

    def __call__(self, episode: Episode, /) -> float | Rating | None: ...


class User(Protocol):
    """Answers questions, knowing only the variant's facts. `turns` is the dialogue before these questions."""

    def answer(self, variant: Variant, questions: Sequence[str], turns: Sequence[Turn], seed: int) -> Answer: ...


class Env(Protocol):
    """Reacts to a reply. No state stays between calls, so a lost worker loses no episode; close() frees resources."""

    def respond(self, exchange: Exchange) -> Response: ...

    def close(self) -> None: ...


class Policy(Protocol):
    """Token ids in, token ids out: sample i belongs to request i. On one machine, same requests, same samples."""

    def generate(self, requests: Sequence[Request]) -> list[Sample]: ...


class Stream(Protocol):
    """Requests at an engine that takes more while it samples, each under the number that it was given."""

    @property
    def busy(self) -> bool:
        """Whether any of them is still under way."""
        ...

    def add(self, number: int, request: Request) -> None: ...

    def step(self) -> list[tuple[int, Sample]]:
        """Goes on sampling for a moment; what is done by then, none of it twice."""
        ...


@runtime_checkable
class StreamingPolicy(Policy, Protocol):
    """A policy whose requests need not come together. Its samples are those that `generate` would give."""

    def stream(self) -> AbstractContextManager[Stream] | None:
        """A stream to be used within the context; None where requests have to come together here."""
        ...


class Pool(Protocol):
    """Where environments live. Calls keep the order; a worker's failure comes back as `failure` or a None score."""

    def respond(self, exchanges: Sequence[Exchange]) -> list[Response]: ...

    def score(self, episodes: Sequence[Episode]) -> list[tuple[Score, ...]]: ...

    def describe(self) -> str:
        """What the environments say about where they run."""
        ...

    def numbers(self) -> Mapping[str, float]:
        """What the pool counted since it was last asked, by paths such as `pool/actors`."""
        ...

    def close(self) -> None: ...
