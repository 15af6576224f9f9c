"""Questions to a model beside any dialogue: many at once, in text, with JSON or a program in the answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from clarify_rl.consult import held_to
from clarify_rl.dialogue.chat import Chat
from clarify_rl.dialogue.replies import parse_reply
from clarify_rl.executor import Executor, Trial
from clarify_rl.parallel import in_order
from clarify_rl.players import Player
from clarify_rl.policies.hf import HFPolicy
from clarify_rl.policies.openai import OpenAIPolicy
from clarify_rl.types import Message, Problem, Request, Sample

_AT_ONCE = 64  # items that a server is asked about together
LETTERS_A_TOKEN = 4
SOLVE_TOKENS = 700  # of a program
CPU_S = 3.0  # processor seconds of a program with all of its tests
NO_REPLY = "the model gave no reply"
_SOLVE = """Write the function, as one fenced Python block with the whole function and nothing else.

{statement}"""


def ask(player: Player, texts: Sequence[str], names: Sequence[str], tokens: int, *, seed: int = 0) -> list[Sample]:
    """What the model says to each text, as text. `names` and `seed` tell requests apart where it samples."""
    requests = []
    for text, name in zip(texts, names, strict=True):
        messages = (Message("user", text),)
        context = player.chat.context_ids(messages) if isinstance(player.chat, Chat) else ()
        requests.append(Request(context, tokens, name, 0, seed, messages))
    samples = player.policy.generate(requests) if requests else []
    return [
        sample
        if sample.text is not None or sample.failure
        else replace(sample, text=player.chat.decode(sample.token_ids))
        for sample in samples
    ]


def at_once(player: Player) -> int:
    """How many items to ask about together: a model of this process takes a batch, and progress shows after each."""
    return player.policy.batch_size if isinstance(player.policy, HFPolicy) else _AT_ONCE


def structured(player: Player, name: str, schema: Mapping[str, Any]) -> Player:  # Any: JSON
    """The player, held to a JSON schema where it is behind a server that takes one (`eval.server.json_schema`)."""
    if not isinstance(player.policy, OpenAIPolicy):
        return player
    return replace(player, policy=replace(player.policy, server=held_to(player.policy.server, name, schema)))


def program_in(reply: Sample) -> str | None:
    """The code in a reply; None where it has none."""
    return None if reply.failure else parse_reply(reply.text or "", finished=reply.finished).code


def to_solve(statement: str) -> str:
    """A request for a program, and nothing else."""
    return _SOLVE.format(statement=statement)


def solves(executor: Executor, replies: Sequence[Sample], problems: Sequence[Problem]) -> list[bool | None]:
    """Whether the program in each reply passes the hidden tests; None where no reply came, or it was not measured."""

    def run(item: tuple[Sample, Problem]) -> bool | None:
        reply, problem = item
        if reply.failure:
            return None
        code = program_in(reply)
        if code is None:
            return False
        execution = executor.run_trial(Trial(code, problem.entry_point, problem.tests, problem.prelude))
        return execution.solved if execution.measured else None

    return list(in_order(run, zip(replies, problems, strict=True), executor.most_servers))
