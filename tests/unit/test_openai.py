"""Models behind a server: what is sent, what becomes of every kind of answer, and what is never counted as a reply."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from clarify_rl.cli import main
from clarify_rl.dialogue.chat import TextChat
from clarify_rl.dialogue.episodes import run_episodes
from clarify_rl.errors import ClarifyError
from clarify_rl.eval_sections import ServerConfig
from clarify_rl.policies.models import load_model
from clarify_rl.policies.openai import Address, OpenAIPolicy, served
from clarify_rl.pool import LocalPool
from clarify_rl.types import Episode, Message, ReplyKind, Request, Sample, Start, Stop, Variant
from tests.dialogues import ASK, CLEAR, DESC, LIMITS, SPEC, UNCLEAR

KEY = "CLARIFY_TEST_KEY"
Body = Mapping[str, Any]  # Any: JSON


@dataclass
class Seen:
    path: str
    headers: Mapping[str, str]
    body: Body


@dataclass
class Served:
    """A server of our own on this machine. `answer` decides what a request gets; every request is kept."""

    answer: Callable[[Handler, Body], None]
    seen: list[Seen] = field(default_factory=list)
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def policy(self, **options: Any) -> OpenAIPolicy:  # Any: of ServerConfig
        server = ServerConfig(**{"api_key_env": KEY, "timeout_s": 5.0, **options})
        return OpenAIPolicy(Address(self.url, "tiny"), server, 0.5, sleep=self.waits.append)

    waits: list[float] = field(default_factory=list)


class Handler(BaseHTTPRequestHandler):
    served: Served

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.served.seen.append(Seen(self.path, dict(self.headers), body))
        self.served.answer(self, body)

    do_GET = do_POST  # noqa: N815 - as above

    def log_message(self, *_: object) -> None:
        pass

    def send(self, status: int, content: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def say(self, text: str | None, reason: str = "stop", tokens: int | None = 7) -> None:
        choice = {"message": {"role": "assistant", "content": text}, "finish_reason": reason}
        usage = {} if tokens is None else {"usage": {"completion_tokens": tokens, "prompt_tokens": 3}}
        self.send(200, json.dumps({"choices": [choice], **usage}).encode())


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Callable[[Handler, Body], None]], Served]]:
    monkeypatch.delenv(KEY, raising=False)
    started: list[ThreadingHTTPServer] = []

    def start(answer: Callable[[Handler, Body], None]) -> Served:
        made = Served(answer)
        handler = type("OwnHandler", (Handler,), {"served": made})
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        server.daemon_threads = True
        made.port = server.server_address[1]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        started.append(server)
        return made

    yield start
    for server in started:
        server.shutdown()
        server.server_close()


Serve = Callable[[Callable[[Handler, Body], None]], Served]


def request(text: str = "Write f(xs).", turn: int = 0) -> Request:
    return Request((), 50, "e0", turn, 3, (Message("user", text),))


def in_turn(*answers: Callable[[Handler], None]) -> Callable[[Handler, Body], None]:
    """The first request gets the first answer, and so on; the last one stays."""
    left = list(answers)
    return lambda handler, _: (left.pop(0) if len(left) > 1 else left[0])(handler)


def ok(handler: Handler) -> None:
    handler.say("fine")


def status(code: int, **headers: str) -> Callable[[Handler], None]:
    return lambda handler: handler.send(code, b'{"error": "so it is"}', **headers)


def hang_up(handler: Handler) -> None:
    handler.connection.shutdown(socket.SHUT_RDWR)


def engineer(handler: Handler, body: Body) -> None:
    """Asks, unless it is told an order, then codes."""
    told = " ".join(message["content"].lower() for message in body["messages"] if message["role"] == "user")
    handler.say(DESC if "descending" in told else ASK)


def play(policy: OpenAIPolicy, *variants: Variant, chat: TextChat | None = None) -> list[Episode]:
    pool = LocalPool(SPEC)
    try:
        return run_episodes(
            [Start(variant, f"e{i}", i) for i, variant in enumerate(variants)],
            policy=policy,
            pool=pool,
            chat=chat or TextChat(),
            limits=LIMITS,
        )
    finally:
        pool.close()


# ---- whole dialogues


def test_a_served_model_asks_hears_the_answer_and_codes(serve: Serve) -> None:
    server = serve(engineer)
    asked, clear = play(server.policy(parallel=1), UNCLEAR, CLEAR, chat=TextChat("Ask or code.", "Now code."))
    assert (asked.solved, asked.questions, asked.revealed) == (True, (ASK,), ("order",))
    assert (clear.solved, len(clear.turns)) == (True, 1)
    assert [turn.reply.tokens for turn in asked.turns] == [7, 7]
    assert (asked.prompt_ids, asked.completion_ids, asked.logprobs) == ((), (), None)
    first, _, second = server.seen
    assert first.path == "/v1/chat/completions"
    assert first.body["messages"] == [{"role": "user", "content": f"Ask or code.\n\n{UNCLEAR.prompt}"}]
    assert (first.body["model"], first.body["temperature"], first.body["max_tokens"]) == (
        "tiny",
        0.5,
        LIMITS.turn_tokens,
    )
    assert asked.turns[0].answer is not None
    assert second.body["messages"][1:] == [
        {"role": "assistant", "content": ASK},
        {"role": "user", "content": asked.turns[0].answer.text},
    ]


def test_the_budget_counts_the_tokens_that_the_server_tells(serve: Serve) -> None:
    server = serve(lambda handler, _: handler.say("Who are you?", tokens=140))
    (episode,) = play(server.policy(), UNCLEAR)
    assert [seen.body["max_tokens"] for seen in server.seen] == [100, 100, 20]
    assert episode.stop is Stop.NO_CODE


def test_a_reply_that_the_budget_cut_off_is_truncated(serve: Serve) -> None:
    server = serve(lambda handler, _: handler.say("```python\ndef f(", "length"))
    (episode,) = play(server.policy(), CLEAR)
    assert episode.turns[0].reply.kind is ReplyKind.TRUNCATED
    assert episode.solved is False


def test_an_empty_reply_is_the_models_own_and_measured(serve: Serve) -> None:
    (episode,) = play(serve(lambda handler, _: handler.say(None)).policy(), CLEAR)
    assert (episode.turns[0].reply.kind, episode.solved) == (ReplyKind.EMPTY, False)


def test_a_request_that_fails_is_unmeasured_and_its_neighbours_go_on(serve: Serve) -> None:
    def answer(handler: Handler, body: Body) -> None:
        failing = len(body["messages"]) == 1 and body["messages"][0]["content"] == UNCLEAR.prompt
        handler.send(400, b"the context is too long") if failing else engineer(handler, body)

    failed, clear = play(serve(answer).policy(), UNCLEAR, CLEAR)
    assert (failed.stop, failed.measured, failed.solved, failed.pass_rate) == (Stop.FAILED, False, None, None)
    assert "400" in failed.failure
    assert "the context is too long" in failed.failure
    assert failed.turns == ()
    assert clear.solved


# ---- what is asked again, and what is not


@pytest.mark.parametrize(
    "trouble",
    [status(429), status(500), status(503), hang_up],
    ids=["429", "500", "503", "hang up"],
)
def test_a_busy_or_broken_server_is_asked_again_each_time_later(
    serve: Serve, trouble: Callable[[Handler], None]
) -> None:
    server = serve(in_turn(trouble, trouble, ok))
    (sample,) = server.policy().generate([request()])
    assert (sample.text, sample.failure, len(server.seen)) == ("fine", "", 3)
    first, second = server.waits
    assert 0.5 <= first <= 1.5
    assert 1.0 <= second <= 3.0


def test_a_server_that_says_when_to_come_back_is_asked_then(serve: Serve) -> None:
    server = serve(in_turn(status(429, Retry_After="7"), status(503, Retry_After="9999"), ok))
    server.policy().generate([request()])
    assert server.waits == [7.0, 60.0]


def test_after_all_retries_the_episode_is_unmeasured(serve: Serve) -> None:
    server = serve(in_turn(status(503)))
    (sample,) = server.policy(retries=2).generate([request()])
    assert len(server.seen) == 3
    assert sample == Sample((), None, False, failure=sample.failure)
    assert re.search(r"no reply: .*answered 503 Service Unavailable: .*so it is", sample.failure)


def slow(handler: Handler) -> None:
    time.sleep(2)
    handler.say("late")


def drip(handler: Handler) -> None:
    handler.send_response(200)
    handler.end_headers()
    try:
        for _ in range(100):
            handler.wfile.write(b" ")
            time.sleep(0.05)
    except OSError:
        pass  # nobody listens any more


@pytest.mark.parametrize(
    ("trouble", "says"),
    [
        (status(400), "answered 400"),
        (status(422), "answered 422"),
        (slow, r"no reply from .* within 0\.5 s"),
        (drip, r"no reply from .* within 0\.5 s"),
        (lambda handler: handler.send(200, b"<html>"), "did not answer in JSON"),
        (lambda handler: handler.send(200, b"[]"), "no chat completion"),
        (lambda handler: handler.send(200, b'{"choices": []}'), "no chat completion"),
        (lambda handler: handler.send(200, b'{"choices": [{"message": "hi"}]}'), "no chat completion"),
        (
            lambda handler: handler.send(200, b'{"choices": [{"message": {"content": [1]}}]}'),
            "no chat completion of text",
        ),
        (lambda handler: handler.say("half a", "content_filter"), "filter kept the reply back"),
    ],
    ids=["400", "422", "slow", "drip", "html", "list", "no choice", "no message", "no text", "filter"],
)
def test_what_will_not_get_better_is_asked_once(serve: Serve, trouble: Callable[[Handler], None], says: str) -> None:
    server = serve(in_turn(trouble))
    (sample,) = server.policy(timeout_s=0.5).generate([request()])
    assert (sample.text, len(server.seen), server.waits) == (None, 1, [])
    assert re.search(says, sample.failure)


@pytest.mark.parametrize("code", [401, 403, 404])
def test_what_every_request_would_meet_stops_the_evaluation(serve: Serve, code: int) -> None:
    server = serve(in_turn(status(code)))
    with pytest.raises(ClarifyError, match=rf"answered {code}.*so it is(?s:.*)'tiny'.*{KEY} \(not set\)"):
        server.policy().generate([request()])


def test_a_redirect_is_not_followed_so_that_the_key_stays_here(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY, "secret")
    other = serve(lambda handler, _: ok(handler))
    server = serve(in_turn(status(302, Location=f"{other.url}/chat/completions")))
    with pytest.raises(ClarifyError, match="answered 302"):
        server.policy().generate([request()])
    assert other.seen == []


def test_nobody_there_stops_the_evaluation_and_says_so() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = Address(f"http://127.0.0.1:{unused.getsockname()[1]}/v1", "tiny")
        policy = OpenAIPolicy(address, ServerConfig(retries=1), sleep=lambda _: None)
        with pytest.raises(ClarifyError, match=r"cannot be reached: ConnectionRefusedError.*Start the server"):
            policy.generate([request(), request()])


# ---- what is sent


def test_the_key_comes_from_the_environment_and_is_sent_only_where_there_is_one(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(in_turn(ok))
    server.policy().generate([request()])
    monkeypatch.setenv(KEY, "secret")
    server.policy().generate([request()])
    assert [seen.headers.get("Authorization") for seen in server.seen] == [None, "Bearer secret"]
    assert "secret" not in repr(server.policy())


def test_options_go_into_each_request_and_a_null_takes_a_field_out(serve: Serve) -> None:
    server = serve(in_turn(ok))
    server.policy(options={"max_tokens": None, "max_completion_tokens": 9, "seed": None}).generate([request()])
    assert server.seen[0].body == {
        "model": "tiny",
        "messages": [{"role": "user", "content": "Write f(xs)."}],
        "max_completion_tokens": 9,
        "temperature": 0.5,
    }


def test_each_turn_has_a_seed_of_its_own_that_is_the_same_every_time(serve: Serve) -> None:
    server = serve(in_turn(ok))
    for turn in (0, 1, 0):
        server.policy().generate([request(turn=turn)])
    first, second, again = (seen.body["seed"] for seen in server.seen)
    assert first == again != second


def test_no_more_requests_are_under_way_than_the_server_takes_and_samples_keep_their_order(serve: Serve) -> None:
    lock, running, most = threading.Lock(), [0], [0]
    three = threading.Barrier(3)  # nobody goes on before as many are there as there may be

    def answer(handler: Handler, body: Body) -> None:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        three.wait(60)
        with lock:
            running[0] -= 1
        handler.say(body["messages"][0]["content"])

    samples = serve(answer).policy(parallel=3).generate([request(str(i)) for i in range(12)])
    assert [sample.text for sample in samples] == [str(i) for i in range(12)]
    assert most[0] == 3


# ---- names, and the command


@pytest.mark.parametrize("spec", ["openai:", "openai:#m", "openai:127.0.0.1:8000#m", "openai:http://127.0.0.1/v1"])
def test_an_incomplete_address_shows_a_complete_one(spec: str) -> None:
    with pytest.raises(ClarifyError, match=r"is not openai:URL#MODEL\. For example: openai:http://127"):
        served(spec)


def test_an_address_has_a_url_and_a_model_whose_name_may_have_slashes() -> None:
    assert served("openai:http://host:8000/v1/#org/model") == Address("http://host:8000/v1", "org/model")
    assert served("embedded") is None


def test_the_command_evaluates_a_served_model_beside_another(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    server = serve(lambda handler, _: handler.say("```python\ndef f():\n    pass\n```"))
    spec = f"openai:{server.url}#org/tiny"
    models = ["--model", spec, "--model", "embedded"]
    assert main(["eval", *models, "--suite", "bank", "--limit", "2", "--out", "out", "eval.server.parallel=2"]) == 0
    comparison = json.loads((tmp_path / "out" / "comparison.json").read_text(encoding="utf-8"))
    assert comparison["checkpoints"] == ["tiny", "embedded"]
    assert len(server.seen) == 2


def test_a_served_model_is_not_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    spec = "openai:http://127.0.0.1:9/v1#tiny"
    assert main(["run", "demo", f"model.base={spec}"]) == 2
    assert "is behind a server: it can be evaluated (eval.models), but not trained." in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()
    with pytest.raises(ClarifyError, match="its weights are not here"):
        load_model(spec)
