"""Models behind a server that speaks OpenAI's chat completions (vLLM, SGLang, llama.cpp, hosted ones), for evaluation.

Text goes out and text comes back, so nothing can be trained on what they say. What it leaves out: streaming, tools, and
log-probabilities.
"""

from __future__ import annotations

import http.client
import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any
from urllib.parse import urlsplit

from clarify_rl.errors import ClarifyError
from clarify_rl.eval_sections import ServerConfig
from clarify_rl.seeds import derive_seed
from clarify_rl.types import Request, Sample

PREFIX = "openai:"
_EXAMPLE = "openai:http://127.0.0.1:8000/v1#Qwen/Qwen2.5-Coder-7B-Instruct"
_MOST_BYTES = 16 << 20
_LONGEST_WAIT_S = 60.0
_MOMENT_S = 0.05
_AGAIN = frozenset({429, 500, 502, 503, 504})  # busy or broken for the moment
_HOPELESS = frozenset({301, 302, 307, 308, 401, 403, 404, 405})  # every other request would fare the same
_LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True)
class Address:
    """Where a model is served, and the name that it has there."""

    url: str
    model: str


def served(spec: str) -> Address | None:
    """The address in `openai:URL#MODEL`, None for any other spec. ClarifyError where the URL or the model lacks."""
    if not spec.startswith(PREFIX):
        return None
    url, _, model = spec.removeprefix(PREFIX).partition("#")
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or not model:
        raise ClarifyError(f"{spec} is not openai:URL#MODEL. For example: {_EXAMPLE}")
    return Address(url.rstrip("/"), model)


class _NoReplyError(Exception):
    """Why a request got no reply, and whether to ask again (after how many seconds, where the server says so)."""

    def __init__(
        self, why: str, *, again: bool = False, wait_s: float | None = None, unreachable: bool = False
    ) -> None:
        super().__init__(why)
        self.again, self.wait_s, self.unreachable = again, wait_s, unreachable


@dataclass
class OpenAIPolicy:
    """Replies of a served model. A request that fails becomes a `Sample.failure`: unmeasured, never a bad reply.

    `generate` raises ClarifyError for what would befall every request: no such model, a wrong key, nobody there.
    """

    address: Address
    server: ServerConfig
    temperature: float = 0.0
    sleep: Callable[[float], None] = field(default=time.sleep, repr=False)

    def generate(self, requests: Sequence[Request]) -> list[Sample]:
        """One sample for each request, in order; as many at once as the server is said to take."""
        pool = ThreadPoolExecutor(self.server.parallel)
        try:
            outcomes = list(pool.map(self._ask, requests))
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
        self._check_reachable(outcomes)
        return [_failed(outcome) if isinstance(outcome, _NoReplyError) else outcome for outcome in outcomes]

    def _check_reachable(self, outcomes: Sequence[Sample | _NoReplyError]) -> None:
        """ClarifyError where nobody was there for any of the requests."""
        failures = [outcome for outcome in outcomes if isinstance(outcome, _NoReplyError) and outcome.unreachable]
        if failures and len(failures) == len(outcomes):
            raise ClarifyError(
                f"{self.address.url} cannot be reached: {failures[0]}. Start the server, then run this again."
            )

    @contextmanager
    def stream(self) -> Iterator[_ServerStream]:
        with _ServerStream(self) as stream:
            yield stream

    def _ask(self, request: Request) -> Sample | _NoReplyError:
        chance = Random(derive_seed(request.seed, request.turn, "wait"))
        for attempt in range(self.server.retries + 1):
            try:
                return _sample(self._post(self._body(request)))
            except _NoReplyError as failure:
                last = failure
            if not last.again or attempt == self.server.retries:
                break
            # Apart from each other, so that those who were refused together do not come back together.
            wait_s = 2**attempt * chance.uniform(0.5, 1.5) if last.wait_s is None else last.wait_s
            self.sleep(min(wait_s, _LONGEST_WAIT_S))
        return last

    def _body(self, request: Request) -> dict[str, Any]:  # Any: JSON
        body = {
            "model": self.address.model,
            "messages": [{"role": message.role, "content": message.content} for message in request.messages],
            "max_tokens": request.max_new_tokens,
            "temperature": self.temperature,
            "seed": derive_seed(request.seed, request.turn) % 2**31,
            **self.server.options,
        }
        return {name: value for name, value in body.items() if value is not None}

    def _post(self, body: Mapping[str, Any]) -> Any:  # Any: JSON
        url = f"{self.address.url}/chat/completions"
        headers = {"Content-Type": "application/json"}
        if key := os.environ.get(self.server.api_key_env):
            headers["Authorization"] = f"Bearer {key}"
        asked = urllib.request.Request(url, json.dumps(body).encode(), headers)
        deadline = time.monotonic() + self.server.timeout_s
        try:
            with self._opener().open(asked, timeout=self.server.timeout_s) as response:
                return json.loads(_read(response, deadline))
        except urllib.error.HTTPError as error:
            raise self._refused(error) from error
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", error)
            if isinstance(reason, TimeoutError):  # it may still be at work on it, so nobody asks again
                raise _NoReplyError(f"no reply from {url} within {self.server.timeout_s:g} s") from error
            unreachable = isinstance(error, urllib.error.URLError)
            raise _NoReplyError(f"{type(reason).__name__}: {reason}", again=True, unreachable=unreachable) from error
        except ValueError as error:
            raise _NoReplyError(f"{url} did not answer in JSON: {error}") from error

    def _opener(self) -> urllib.request.OpenerDirector:
        local = urlsplit(self.address.url).hostname in _LOCAL
        proxies = urllib.request.ProxyHandler({}) if local else urllib.request.ProxyHandler()
        return urllib.request.build_opener(proxies, _NoRedirect)

    def _refused(self, error: urllib.error.HTTPError) -> _NoReplyError:
        """What an HTTP error means for this request. ClarifyError for one that every request would meet."""
        with error:
            said = error.read(2000).decode(errors="replace").strip()
        why = f"{self.address.url} answered {error.code} {error.reason}: {said or 'nothing more'}"
        if error.code in _HOPELESS:
            key = self.server.api_key_env
            raise ClarifyError(
                f"{why}\nCheck the URL, the model's name ({self.address.model!r}) and the key in the environment "
                f"variable {key} ({'set' if os.environ.get(key) else 'not set'})."
            )
        after = error.headers.get("Retry-After", "")
        return _NoReplyError(why, again=error.code in _AGAIN, wait_s=float(after) if after.isdecimal() else None)


@dataclass
class _ServerStream:
    """Requests under way at the server, as many at once as it is said to take."""

    policy: OpenAIPolicy
    _pool: ThreadPoolExecutor = field(init=False)
    _numbers: dict[Future[Sample | _NoReplyError], int] = field(default_factory=dict)
    _outcomes: list[Sample | _NoReplyError] = field(default_factory=list)

    def __enter__(self) -> _ServerStream:
        self._pool = ThreadPoolExecutor(self.policy.server.parallel)
        return self

    def __exit__(self, *exception: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    @property
    def busy(self) -> bool:
        return bool(self._numbers)

    def add(self, number: int, request: Request) -> None:
        self._numbers[self._pool.submit(self.policy._ask, request)] = number

    def step(self) -> list[tuple[int, Sample]]:
        """The replies that are there, after a moment if none is: the caller may have more to ask in the meantime."""
        done, _ = wait(self._numbers, timeout=_MOMENT_S, return_when=FIRST_COMPLETED)
        samples = []
        for future in done:
            outcome, number = future.result(), self._numbers.pop(future)
            self._outcomes.append(outcome)
            samples.append((number, _failed(outcome) if isinstance(outcome, _NoReplyError) else outcome))
        if not self._numbers:
            self.policy._check_reachable(self._outcomes)
        return samples


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Follows nobody elsewhere: the key is for one server only."""

    def redirect_request(self, *_: object) -> None:
        return None


def _read(response: http.client.HTTPResponse, deadline: float) -> bytes:
    """The whole answer. A server that sends it byte by byte has no longer than one that is silent."""
    parts: list[bytes] = []
    while part := response.read1(1 << 16):
        parts.append(part)
        if time.monotonic() > deadline:
            raise TimeoutError
        if sum(map(len, parts)) > _MOST_BYTES:
            raise _NoReplyError(f"the answer is longer than {_MOST_BYTES >> 20} MiB")
    return b"".join(parts)


def _sample(answer: Any) -> Sample:  # Any: JSON
    """The reply in an answer. `finished` is False where the budget cut it off."""
    try:
        choice = answer["choices"][0]
        text, reason = choice["message"].get("content") or "", choice.get("finish_reason")
        tokens = (answer.get("usage") or {}).get("completion_tokens")
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise _NoReplyError(f"this is no chat completion: {json.dumps(answer)[:200]}") from error
    if reason == "content_filter":
        raise _NoReplyError("the server's filter kept the reply back (finish_reason content_filter)")
    if not isinstance(text, str) or not isinstance(tokens, int | None):
        raise _NoReplyError(f"this is no chat completion of text: {json.dumps(answer)[:200]}")
    return Sample((), None, reason != "length", text=text, tokens=tokens)


def _failed(failure: _NoReplyError) -> Sample:
    return Sample((), None, False, failure=f"the model gave no reply: {failure}")
