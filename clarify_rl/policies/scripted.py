"""Policies that say what they were told to say: for demonstrations, data checks, canaries and tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from clarify_rl.types import Request, Sample


@dataclass(frozen=True)
class ScriptedPolicy:
    """Replies of each episode by its id, turn after turn; `encode` gives a text's ids without special tokens."""

    scripts: Mapping[str, Sequence[str]]
    encode: Callable[[str], Sequence[int]]
    end_id: int

    def generate(self, requests: Sequence[Request]) -> list[Sample]:
        return [self._reply(request) for request in requests]

    def _reply(self, request: Request) -> Sample:
        script = self.scripts[request.episode_id]
        text = script[request.turn] if request.turn < len(script) else ""
        token_ids = (*self.encode(text), self.end_id)
        finished = len(token_ids) <= request.max_new_tokens
        return Sample(token_ids[: request.max_new_tokens], None, finished)


@dataclass(frozen=True)
class TextScripts:
    """The same as text, for dialogues without a tokenizer. Behind its script a policy says nothing."""

    scripts: Mapping[str, Sequence[str]]

    def generate(self, requests: Sequence[Request]) -> list[Sample]:
        return [Sample((), None, True, text=self._reply(request), tokens=0) for request in requests]

    def _reply(self, request: Request) -> str:
        script = self.scripts[request.episode_id]
        return script[request.turn] if request.turn < len(script) else ""
