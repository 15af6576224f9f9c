"""`clarify-rl check env`: whether an environment keeps its contract, before a run relies on it for hours.

Every kind of reply is said to it about a few variants, as any worker might get them: twice, in another order in another
instance, from several threads. After Gymnasium's environment checker. What it leaves out: how well its user understands
(`check user`) and what its programs can reach (`check executor`).
"""

from __future__ import annotations

import pickle
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field

from rich.console import Console
from rich.table import Table

from clarify_rl.config import Config
from clarify_rl.dialogue.replies import parse_reply
from clarify_rl.pipeline.environments import pool_spec
from clarify_rl.pool.returned import ReturnedError, check_response
from clarify_rl.pool.worker import PoolSpec
from clarify_rl.registry import load_env
from clarify_rl.seeds import derive_seed
from clarify_rl.synthesis.mix import code_reply
from clarify_rl.types import Env, Exchange, Response, Stop, Variant

REFERENCE, WRONG, ENDLESS = "the reference", "wrong code", "code that never ends"
_THREADS = 8


@dataclass(frozen=True)
class ReplyTried:
    """What came back for one kind of reply, over all variants: in words, each once, and milliseconds a reply."""

    reply: str
    came: tuple[str, ...]
    milliseconds: float


@dataclass(frozen=True)
class EnvReport:
    """What an environment did with each kind of reply, and what is wrong with it, each trouble once."""

    env: str
    threads: int
    tried: tuple[ReplyTried, ...]
    troubles: tuple[str, ...]


@dataclass
class _Troubles:
    """What is wrong, by the sentence, with the first episode in which it was seen."""

    seen: dict[str, str] = field(default_factory=dict)

    def add(self, what: str, exchange: Exchange) -> None:
        self.seen.setdefault(what, exchange.episode_id)

    def texts(self) -> tuple[str, ...]:
        return tuple(f"{what} (first in {where})" for what, where in self.seen.items())


def check_env(config: Config, variants: Sequence[Variant]) -> EnvReport:
    """Says every kind of reply to the configured environment about each variant."""
    spec, troubles = pool_spec(config), _Troubles()
    exchanges = [exchange for variant in variants for exchange in _exchanges(variant)]
    slow = [place for place, exchange in enumerate(exchanges) if exchange.episode_id.startswith(ENDLESS)]
    exchanges = [exchange for place, exchange in enumerate(exchanges) if place not in slow[1:]]  # one is seconds enough
    with closing(load_env(spec.env, spec.env_options)) as env:
        threads = max(1, int(getattr(env, "threads", 1)))
        first, seconds = _timed(env, exchanges, spec, troubles)
        _compare(
            exchanges, first, [_respond(env, item, spec, troubles) for item in exchanges], "a second time", troubles
        )
        if threads > 1:
            with ThreadPoolExecutor(min(threads, _THREADS)) as pool:
                together = list(pool.map(lambda item: _respond(env, item, spec, troubles), exchanges))
            _compare(exchanges, first, together, f"from {min(threads, _THREADS)} threads at once", troubles)
    with closing(load_env(spec.env, spec.env_options)) as other:
        backwards = [_respond(other, item, spec, troubles) for item in reversed(exchanges)]
    _compare(exchanges, first, backwards[::-1], "in another order by another instance", troubles)
    for exchange, response in zip(exchanges, first, strict=True):
        _judge(exchange, response, troubles)
    return EnvReport(spec.env, threads, _tried(exchanges, first, seconds), troubles.texts())


def _exchanges(variant: Variant) -> Iterator[Exchange]:
    for name, text in _replies(variant).items():
        reply = parse_reply(text, finished=name != "cut off")
        seed = derive_seed(0, "check env", variant.id)
        yield Exchange(variant, (), reply, name == "a question on the last turn", seed, f"{name} about {variant.id}")


def _replies(variant: Variant) -> Mapping[str, str]:
    problem = variant.problem
    asks = variant.facts[0].questions[:1] if variant.facts else ()
    question = asks[0] if asks else "What should happen when the input is empty?"
    return {
        "a question": question,
        "a question nobody understands": "Blorp the fizzle quandle?",
        "a question on the last turn": question,
        REFERENCE: code_reply(problem.solution),
        WRONG: code_reply(f"def {problem.entry_point}(*_):\n    return object()\n"),
        "code that crashes": code_reply(f"def {problem.entry_point}(*_):\n    raise ValueError('no')\n"),
        ENDLESS: code_reply("while True:\n    pass\n"),
        "code that is none": code_reply("def (:"),
        "code and a question": f"{question}\n\n{code_reply(problem.solution)}",
        "prose": "I would rather not.",
        "nothing": "",
        "cut off": code_reply(problem.solution)[:20],
    }


def _timed(
    env: Env, exchanges: Sequence[Exchange], spec: PoolSpec, troubles: _Troubles
) -> tuple[list[Response | None], list[float]]:
    responses, seconds = [], []
    for exchange in exchanges:
        started = time.perf_counter()
        responses.append(_respond(env, exchange, spec, troubles))
        seconds.append(time.perf_counter() - started)
    return responses, seconds


def _respond(env: Env, exchange: Exchange, spec: PoolSpec, troubles: _Troubles) -> Response | None:
    """What the environment says; None where that is no response, which is trouble."""
    try:
        response = check_response(spec.env, spec.user, exchange, env.respond(exchange))
        pickle.loads(pickle.dumps(response))
    except ReturnedError as error:
        troubles.add(str(error), exchange)
    except Exception as error:  # reason: whatever a plugin raises is what is looked for
        troubles.add(f"it raises {type(error).__name__}: {error}", exchange)
    else:
        return response
    return None


def _compare(
    exchanges: Sequence[Exchange],
    first: Sequence[Response | None],
    again: Sequence[Response | None],
    how: str,
    troubles: _Troubles,
) -> None:
    for exchange, one, other in zip(exchanges, first, again, strict=True):
        if one is not None and other is not None and _essence(one) != _essence(other):
            troubles.add(
                f"asked the same {how}, it says something else: its answers hang on a state or on chance", exchange
            )


def _essence(response: Response) -> tuple[object, ...]:
    """What must not change: the clock may, and what a program printed about its memory."""
    ran = response.execution
    return (response.answer, response.stop, bool(response.failure), ran and (ran.verdict, ran.passed, ran.total))


def _judge(exchange: Exchange, response: Response | None, troubles: _Troubles) -> None:
    if response is None:
        return
    name, ran = exchange.episode_id.partition(" about ")[0], response.execution
    if response.stop is Stop.FAILED:
        troubles.add(f"it fails: {response.failure}", exchange)
    elif name == REFERENCE and not (ran and ran.solved):
        troubles.add("the reference does not pass its hidden tests", exchange)
    elif name == WRONG and ran and ran.solved:
        troubles.add("code that returns an object of no kind passes the hidden tests", exchange)
    elif exchange.last_turn and response.stop is None:
        troubles.add("it answers a question on the last turn, where nobody can reply any more", exchange)
    elif exchange.reply.code and not exchange.reply.questions and response.stop is None:
        troubles.add("code does not end the episode", exchange)


def _tried(
    exchanges: Sequence[Exchange], responses: Sequence[Response | None], seconds: Sequence[float]
) -> tuple[ReplyTried, ...]:
    came: dict[str, list[str]] = {}
    took: dict[str, list[float]] = {}
    for exchange, response, spent in zip(exchanges, responses, seconds, strict=True):
        name = exchange.episode_id.partition(" about ")[0]
        came.setdefault(name, []).append(_said(response))
        took.setdefault(name, []).append(spent)
    return tuple(
        ReplyTried(name, tuple(dict.fromkeys(said)), 1000 * sum(took[name]) / len(took[name]))
        for name, said in came.items()
    )


def _said(response: Response | None) -> str:
    if response is None:
        return "no response"
    if response.execution is not None:
        return f"{response.stop}: {response.execution.verdict}"
    if response.answer is not None:
        return f"answers ({', '.join(heard.outcome for heard in response.answer.heard) or 'nothing heard'})"
    return str(response.stop)


def print_env(report: EnvReport, variants: int, console: Console) -> None:
    """What came of each kind of reply, then what is wrong."""
    table = Table(title=f"{report.env}: {variants} variants, {report.threads} at a time", title_justify="left")
    for header in ("reply", "what came", "ms"):
        table.add_column(header, justify="right" if header == "ms" else "left")
    for item in report.tried:
        table.add_row(item.reply, "; ".join(item.came), f"{item.milliseconds:.1f}")
    console.print(table)
    for trouble in report.troubles:
        console.print(f"[red]{trouble}.[/red]", highlight=False)
    if not report.troubles:
        console.print("It keeps its contract.")
