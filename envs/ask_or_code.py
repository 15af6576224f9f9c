"""Ask or code: a question goes to the user, code goes to the hidden tests, anything else ends the episode."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass, field

from clarify_rl.executor import Executor
from clarify_rl.registry import env, load_user
from clarify_rl.types import Exchange, ReplyKind, Response, Stop


@env("ask_or_code")
@dataclass
class AskOrCode:
    """`user` names the simulated user (`rule_based`, or path/to/file.py:name); `executor` is what runs programs.

    A reply that holds fenced code is an answer, also when it asks as well (mixed): the code runs and the episode ends.
    With `prompt_imports`, what the complete statement imports or defines is there for the program: models take it as
    given and leave it out. Without, a program must bring all that it needs, as in HumanEvalComm's published protocol.
    """

    user: str = "rule_based"
    user_options: Mapping[str, object] = field(default_factory=dict)
    executor: Executor = field(default_factory=Executor)
    prompt_imports: bool = True

    def __post_init__(self) -> None:
        self._user = load_user(self.user, self.user_options)
        self._executor = copy(
            self.executor
        )  # closed with this environment, while others may share the one it was given
        self.threads = max(self._executor.most_servers, int(getattr(self._user, "threads", 1)))

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
        prelude = problem.prelude if self.prompt_imports else ""
        execution = self._executor.run(exchange.reply.code or "", problem.entry_point, problem.tests, prelude)
        return Response(execution=execution, stop=Stop.CODE)
