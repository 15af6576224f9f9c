"""Dialogues at their own pace: an engine that streams gets each next request as soon as its user has answered."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, field

import pytest

from clarify_rl.dialogue.answers import Answers
from clarify_rl.dialogue.episodes import run_episodes
from clarify_rl.pool import LocalPool
from clarify_rl.timeline import Timeline
from clarify_rl.types import Episode, Exchange, Policy, Request, Response, Sample, Start, Stop, Stream
from tests.dialogues import ASK, CLEAR, DESC, LIMITS, SPEC, UNCLEAR, WRONG, chat, scripted


@dataclass
class Paced:
    """A policy whose engine takes one step for each token; `long` episodes take 200 steps a reply more."""

    inner: Policy
    long: frozenset[str] = frozenset()
    log: list[tuple[str, str, int]] = field(default_factory=list)
    closed: list[int] = field(default_factory=list)  # requests that were under way when a stream was closed
    streams: bool = True

    def generate(self, requests: Sequence[Request]) -> list[Sample]:
        return self.inner.generate(requests)

    def stream(self) -> AbstractContextManager[Stream] | None:
        return self._stream() if self.streams else None

    @contextmanager
    def _stream(self) -> Iterator[Stream]:
        stream = PacedStream(self)
        try:
            yield stream
        finally:
            self.closed.append(len(stream.under_way))


@dataclass
class PacedStream:
    policy: Paced
    under_way: dict[int, tuple[Request, Sample, int]] = field(default_factory=dict)

    @property
    def busy(self) -> bool:
        return bool(self.under_way)

    def add(self, number: int, request: Request) -> None:
        (sample,) = self.policy.generate([request])
        self.policy.log.append(("asked", request.episode_id, request.turn))
        steps = len(sample.token_ids) + 200 * (request.episode_id in self.policy.long)
        self.under_way[number] = (request, sample, steps)

    def step(self) -> list[tuple[int, Sample]]:
        time.sleep(0.001)
        left = {number: (request, sample, steps - 1) for number, (request, sample, steps) in self.under_way.items()}
        done = [number for number, (_, _, steps) in left.items() if steps <= 0]
        self.policy.log += [("done", left[number][0].episode_id, left[number][0].turn) for number in done]
        self.under_way = {number: row for number, row in left.items() if number not in done}
        return [(number, left[number][1]) for number in done]


SCRIPTS: Mapping[str, Sequence[str]] = {
    "asks": [ASK, DESC],
    "codes": [DESC],
    "slow": [WRONG],
    "asks-on": [ASK, ASK, ASK, ASK],
    "mumbles": ["Well."],
}


def starts(*names: str) -> list[Start]:
    return [Start(CLEAR if name == "codes" else UNCLEAR, name, 7) for name in names]


def play(policy: Policy, pool: LocalPool, *names: str, timeline: Timeline | None = None) -> list[Episode]:
    return run_episodes(starts(*names), policy=policy, pool=pool, chat=chat(), limits=LIMITS, timeline=timeline)


@pytest.fixture(scope="module")
def pool() -> Iterator[LocalPool]:
    with closing(LocalPool(SPEC)) as made:
        yield made


def without_times(episode: Episode) -> object:
    execution = episode.execution
    run = execution and (execution.verdict, execution.passed, execution.total, execution.per_test)
    said = [(turn.reply, turn.answer) for turn in episode.turns]
    scores = [(score.name, score.value, score.weight) for score in episode.scores]
    return (episode.id, said, episode.stop, run, episode.failure, episode.completion_ids, episode.policy_mask, scores)


def test_episodes_are_the_same_as_turn_by_turn(pool: LocalPool) -> None:
    names = tuple(SCRIPTS)
    flowing = play(Paced(scripted(SCRIPTS), frozenset({"slow"})), pool, *names)
    in_turns = play(scripted(SCRIPTS), pool, *names)
    assert [without_times(episode) for episode in flowing] == [without_times(episode) for episode in in_turns]
    assert {episode.stop for episode in flowing} >= {Stop.CODE, Stop.NO_CODE}


def test_who_has_an_answer_goes_on_while_another_reply_is_still_sampled(pool: LocalPool) -> None:
    policy = Paced(scripted(SCRIPTS), frozenset({"slow"}))
    play(policy, pool, "slow", "asks")
    assert policy.log.index(("asked", "asks", 1)) < policy.log.index(("done", "slow", 0))


def test_a_policy_whose_requests_have_to_come_together_takes_turns(pool: LocalPool) -> None:
    policy = Paced(scripted(SCRIPTS), streams=False)
    (episode,) = play(policy, pool, "asks")
    assert episode.solved
    assert policy.log == []


def test_a_caller_may_ask_for_turns(pool: LocalPool) -> None:
    policy = Paced(scripted(SCRIPTS))
    for stream, lockstep in ((False, False), (True, True)):
        (episode,) = run_episodes(
            starts("asks"), policy=policy, pool=pool, chat=chat(), limits=LIMITS, stream=stream, lockstep=lockstep
        )
        assert episode.solved
    assert policy.log == []


class Breaking(LocalPool):
    """A pool that is not there."""

    def respond(self, exchanges: Sequence[Exchange]) -> list[Response]:
        raise ConnectionError("no environment")


def test_what_the_pool_raises_ends_the_run_and_calls_off_what_is_under_way() -> None:
    policy = Paced(scripted(SCRIPTS), frozenset({"slow"}))
    with closing(Breaking(SPEC)) as broken, pytest.raises(ConnectionError, match="no environment"):
        play(policy, broken, "slow", "asks")
    assert policy.closed == [1]  # the slow one
    assert not [thread for thread in threading.enumerate() if thread.name == "answers"]


def test_only_waiting_for_the_environment_is_its_time() -> None:
    class Slow(LocalPool):
        def respond(self, exchanges: Sequence[Exchange]) -> list[Response]:
            time.sleep(0.1)
            return super().respond(exchanges)

    hidden, alone = Timeline(), Timeline()
    with closing(Slow(SPEC)) as slow:
        play(Paced(scripted(SCRIPTS), frozenset({"slow"})), slow, "slow", "asks", timeline=hidden)
        play(Paced(scripted(SCRIPTS)), slow, "codes", timeline=alone)
    beside, waited = hidden.take(), alone.take()
    assert waited["time/env_s"] >= 0.09  # nothing was sampled in that time
    assert beside["time/generate_s"] >= 0.2  # 200 steps of a millisecond, in which the other one was answered twice
    for numbers in (beside, waited):
        assert numbers["time/step_s"] == pytest.approx(
            numbers["time/generate_s"] + numbers["time/env_s"] + numbers["time/score_s"]
        )


def exchange(variant_reply: str, pool: LocalPool) -> Exchange:
    episode = play(scripted({"one": [variant_reply, DESC]}), pool, "one")[0]
    return Exchange(episode.variant, (), episode.turns[0].reply, False, 0, "one")


def test_questions_are_answered_before_programs_are_run(pool: LocalPool) -> None:
    asked: list[list[str]] = []
    free = threading.Event()

    class Watched(LocalPool):
        def respond(self, exchanges: Sequence[Exchange]) -> list[Response]:
            free.wait(30)
            asked.append([str(each.reply.kind) for each in exchanges])
            return super().respond(exchanges)

    code, question = exchange(DESC, pool), exchange(ASK, pool)
    with closing(Watched(SPEC)) as watched, Answers(watched) as answers:
        answers.ask(0, code)  # taken up at once, and held
        while answers._asked:
            time.sleep(0.001)
        answers.ask(1, code)
        answers.ask(2, question)
        answers.ask(3, code)
        free.set()
        taken: dict[int, Response] = {}
        while answers.waiting:
            taken.update(answers.take(wait=True))
    assert asked == [["code"], ["question"], ["code", "code"]]
    assert sorted(taken) == [0, 1, 2, 3]
    assert taken[2].answer is not None and taken[2].stop is None
    assert all(taken[number].stop is Stop.CODE for number in (0, 1, 3))
