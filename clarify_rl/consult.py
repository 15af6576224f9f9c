"""A model that is asked beside the dialogues, by a user or a judge: from many threads, remembered, within a budget."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from clarify_rl.eval_sections import ServerConfig
from clarify_rl.policies.openai import OpenAIPolicy, served
from clarify_rl.types import Message, Policy, Request, Sample

Json = Any  # Any: JSON


class ConsultError(RuntimeError):
    """The model could not be asked, or what it said is no answer: the episode is unmeasured."""


def json_in(text: str) -> dict[str, Json] | None:
    """The JSON object in a text, whatever stands around it; None where there is none."""
    match = re.search(r"\{.*\}", text, re.DOTALL)
    try:
        value = json.loads(match.group(), strict=False) if match else None
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def held_to(server: ServerConfig, name: str, schema: Mapping[str, Json]) -> ServerConfig:
    """The server's settings with replies held to a JSON schema, where it takes one (`json_schema`)."""
    if not server.json_schema:
        return server
    form = {"type": "json_schema", "json_schema": {"name": name, "schema": schema, "strict": True}}
    return server.model_copy(update={"options": {**server.options, "response_format": form}})


class Consulted:
    """One model and what is remembered of it.

    `model` is openai:URL#MODEL for one behind a server, or what `model.base` may be for one loaded here; `server` are
    options as in `eval.server`. After `most_calls` requests of this process every further one is refused, and `option`
    is where a configuration says how many. `memory` is a JSONL file that runs share; "" remembers in this process only.
    """

    def __init__(
        self,
        model: str,
        server: Mapping[str, object],
        *,
        option: str,
        memory: str = "",
        most_calls: int | None = None,
        tokens: int = 200,
    ) -> None:
        self.model, self.tokens = model, tokens
        self.memory = Memory(memory)
        self.calls = 0
        self._settings = ServerConfig.model_validate(dict(server))
        self._most_calls, self._option = most_calls, option
        self._lock = threading.Lock()
        self._finding: dict[str, threading.Lock] = {}

    @property
    def threads(self) -> int:
        """How many requests may be under way at once: a server takes many, a model of this process one."""
        return self._settings.parallel if served(self.model) else 1

    def describe(self) -> str:
        """What it took so far."""
        return f"{self.calls} requests to {self.model}, {self.memory.hits} replies heard before"

    def key(self, *parts: Json) -> str:
        """Names one request to this model, for its memory."""
        return hashlib.sha256(json.dumps([self.model, *parts]).encode()).hexdigest()[:32]

    def recall(self, key: str, find: Callable[[], Json]) -> Json:
        """What is remembered under a key, or else what `find` finds, which then is: once, however many ask at once."""
        with self._lock:
            finding = self._finding.setdefault(key, threading.Lock())
        with finding:
            if (known := self.memory.get(key)) is None:
                known = find()
                self.memory.put(key, known)
            return known

    def ask(self, text: str, *, name: str = "", schema: Mapping[str, Json] | None = None, seed: int = 0) -> str:
        """What the model says to a text, in JSON of this schema where it is behind a server that takes one.

        ConsultError where it says nothing, or the budget is spent.
        """
        with self._lock:
            if self._most_calls is not None and self.calls >= self._most_calls:
                raise ConsultError(
                    f"the budget of {self.model} is spent: {self._option}.most_calls={self._most_calls}. Raise it and "
                    "--resume: what was heard before is in the cache."
                )
            self.calls += 1
        sample = self._sample(text, name, schema, seed)
        if sample.failure:
            raise ConsultError(sample.failure)
        return sample.text or ""

    def _sample(self, text: str, name: str, schema: Mapping[str, Json] | None, seed: int) -> Sample:
        address = served(self.model)
        if address is None:
            with _LOCAL:
                return _here(self.model).say(text, self.tokens, seed)
        server = held_to(self._settings, name, schema) if schema else self._settings
        policy: Policy = OpenAIPolicy(address, server)
        return policy.generate([Request((), self.tokens, name, 0, seed, (Message("user", text),))])[0]


_LOCAL = threading.Lock()  # one model, one thread


@dataclass(frozen=True)
class _Local:
    """A model loaded in this process."""

    policy: Policy
    chat: Any  # Any: a Chat, whose module needs torch

    def say(self, text: str, tokens: int, seed: int) -> Sample:
        context = self.chat.context_ids((Message("user", text),))
        sample = self.policy.generate([Request(context, tokens, "consulted", 0, seed)])[0]
        return Sample((), None, sample.finished, text=self.chat.decode(sample.token_ids))


@lru_cache(maxsize=1)
def _here(spec: str) -> _Local:
    from clarify_rl.config import Config  # heavy, and seldom needed: torch and a model
    from clarify_rl.players import player_for

    player = player_for(Config(), spec)
    return _Local(player.policy, player.chat)


class Memory:
    """What was understood of a model's replies, by request, as JSON: in memory, and in a file where one is named."""

    def __init__(self, path: str) -> None:
        self.path = Path(path) if path else None
        self.hits = 0
        self._checked = False
        self._lock = threading.Lock()
        self._known: dict[str, Json] = dict(self._lines())

    def get(self, key: str) -> Json | None:
        with self._lock:
            self.hits += key in self._known
            return self._known.get(key)

    def put(self, key: str, understood: Json) -> None:
        with self._lock:
            self._known[key] = understood
            if self.path:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                line = json.dumps({"key": key, "understood": understood})
                with self.path.open("a", encoding="utf-8") as file:
                    file.write(("\n" if self._is_cut_off() else "") + line + "\n")

    def _is_cut_off(self) -> bool:
        assert self.path is not None
        end = self.path.read_bytes()[-1:] if not self._checked else b"\n"
        self._checked = True
        return end not in (b"", b"\n")

    def _lines(self) -> Iterator[tuple[str, Json]]:
        """The file's entries. A line that cannot be read, as one that was cut off, costs a request and nothing else."""
        text = self.path.read_text(encoding="utf-8") if self.path and self.path.is_file() else ""
        for line in text.splitlines():
            with suppress(ValueError, KeyError, TypeError):
                row = json.loads(line)
                yield str(row["key"]), row["understood"]
