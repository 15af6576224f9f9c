"""What tests of dialogues share: small problems, a scripted policy, an environment that fails on request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import cast

from clarify_rl.envs.ask_or_code import AskOrCode
from transformers import PreTrainedTokenizerFast

from clarify_rl.dialogue.chat import Chat
from clarify_rl.dialogue.episodes import DialogueLimits, run_episodes
from clarify_rl.executor import Executor, Limits
from clarify_rl.policies.models import load_model
from clarify_rl.policies.scripted import ScriptedPolicy
from clarify_rl.pool import LocalPool, PoolSpec, RewardSpec
from clarify_rl.types import (
    Answer,
    Case,
    Defect,
    Episode,
    Exchange,
    Fact,
    Policy,
    Pool,
    Problem,
    Request,
    Response,
    Sample,
    Start,
    Stop,
    Tests,
    Variant,
)

ASC = "```python\ndef f(xs):\n    return sorted(xs)\n```"
DESC = "```python\ndef f(xs):\n    return sorted(xs, reverse=True)\n```"
WRONG = "```python\ndef f(xs):\n    return xs\n```"
CRASH = "```python\ndef f(xs):\n    return xs[99]\n```"
LOOP = "```python\ndef f(xs):\n    while True:\n        pass\n```"
ASK = "In which order?"

ORDER = Fact(
    "order",
    Defect.INCOMPLETE,
    "Sort in descending order.",
    answers=("Descending.",),
    questions=(ASK,),
    about=("order", "sort", "descend", "ascend"),
)
PROBLEM = Problem(
    "p/desc",
    "Write f(xs) that returns xs sorted. Sort in descending order.",
    "f",
    Tests((Case(([1, 3, 2],), [3, 2, 1]), Case(([],), []), Case(([2, 2],), [2, 2]))),
    "def f(xs):\n    return sorted(xs, reverse=True)\n",
    "test",
)
UNCLEAR = Variant("p/desc/order", PROBLEM, "Write f(xs) that returns xs sorted.", "incomplete", (ORDER,))
CLEAR = Variant("p/desc/clear", PROBLEM, PROBLEM.prompt)

REWARDS = (
    RewardSpec("pass_rate"),
    RewardSpec("useful_question", 0.1),
    RewardSpec("needless_question", 0.1),
)
SPEC = PoolSpec("ask_or_code", {"executor": Executor(Limits(cpu_s=0.5, wall_s=20.0))}, REWARDS)
# Tells any two lengths apart, so that groups have variance whatever the model can do.
TELLING = replace(SPEC, rewards=(*REWARDS, RewardSpec("brevity")))
LIMITS = DialogueLimits(max_questions=2, turn_tokens=100, total_tokens=300)


@cache
def tokenizer() -> PreTrainedTokenizerFast:
    return load_model("embedded", device="cpu").tokenizer


@cache
def chat() -> Chat:
    return Chat(tokenizer())


def encode(text: str) -> list[int]:
    return list(tokenizer().encode(text, add_special_tokens=False))


@dataclass
class Counted:
    """A policy that remembers the requests of each call."""

    policy: Policy
    calls: list[list[Request]] = field(default_factory=list)

    def generate(self, requests: Sequence[Request]) -> list[Sample]:
        self.calls.append(list(requests))
        return self.policy.generate(requests)


def scripted(scripts: Mapping[str, Sequence[str]]) -> Counted:
    (end_id,) = chat().end_ids
    return Counted(ScriptedPolicy(scripts, encode, end_id))


def play(
    *dialogues: tuple[Variant, Sequence[str]],
    pool: Pool | None = None,
    limits: DialogueLimits = LIMITS,
    policy: Policy | None = None,
    using: Chat | None = None,
    lockstep: bool = False,
    seed: int = 0,
) -> list[Episode]:
    """The episodes of variants with the replies that a scripted policy gives to them."""
    own = pool or LocalPool(SPEC)
    scripts = {f"e{i}": replies for i, (_, replies) in enumerate(dialogues)}
    try:
        return run_episodes(
            [Start(variant, f"e{i}", seed + i) for i, (variant, _) in enumerate(dialogues)],
            policy=policy or scripted(scripts),
            pool=own,
            chat=using or chat(),
            limits=limits,
            lockstep=lockstep,
        )
    finally:
        if pool is None:
            own.close()


class Fragile(AskOrCode):
    """ask_or_code that raises, answers nothing or with a wrong type, or keeps talking, when a reply says so."""

    def respond(self, exchange: Exchange) -> Response:
        if "boom" in exchange.reply.text:
            raise RuntimeError("the user hung up")
        if "silence" in exchange.reply.text:
            return Response()
        if "give up" in exchange.reply.text:
            return Response(stop=Stop.FAILED)
        if "talk on" in exchange.reply.text:
            return Response(answer=Answer("Go on."))
        if "plainly" in exchange.reply.text:
            return Response(answer=cast(Answer, "Descending."))  # what a user does who was told of no type
        if "nothing" in exchange.reply.text:
            return cast(Response, None)
        return super().respond(exchange)
