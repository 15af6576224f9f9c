"""Ask or code: a question goes to the user, code goes to the hidden tests, anything else ends the episode."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from clarify_rl.executor import ExecutorSpec
from clarify_rl.executor.entry_point import resolve_entry_point
from clarify_rl.registry import env, load_user
from clarify_rl.types import Exchange, ReplyKind, Response, Stop


@env("ask_or_code")
@dataclass
class AskOrCode:
    """`user` names the simulated user (`rule_based`, or path/to/file.py:name); `executor` is what runs programs.

    A reply that holds fenced code is an answer, also when it asks as well (mixed): the code runs and the episode ends.
    """

    user: str = "rule_based"
    user_options: Mapping[str, object] = field(default_factory=dict)
    executor: ExecutorSpec = field(default_factory=ExecutorSpec)

    def __post_init__(self) -> None:
        self._user = load_user(self.user, self.user_options)
        self._executor = self.executor.build()
        self.threads = self._executor.servers

    def respond(self, exchange: Exchange) -> Response:
        reply = exchange.reply
        match reply.kind:
            case ReplyKind.CODE | ReplyKind.MIXED:
                return self._run(exchange)
            case ReplyKind.QUESTION if exchange.last_turn:
                return Response(stop=Stop.NO_CODE)
            case ReplyKind.QUESTION:
                answer = self._user.answer(exchange.variant, reply.questions, exchange.turns, exchange.seed)
                return Response(answer=answer)
            case _:
                return Response(stop=Stop.MALFORMED)

    def describe(self) -> str:
        return f"executor {self._executor.capabilities.summary}"

    def close(self) -> None:
        self._executor.close()

    def _run(self, exchange: Exchange) -> Response:
        problem = exchange.variant.problem
        program = exchange.reply.code or ""
        execution = self._executor.run(program, resolve_entry_point(program, problem.entry_point), problem.tests)
        return Response(execution=execution, stop=Stop.CODE)
