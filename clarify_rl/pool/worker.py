"""One environment and the rewards, as every worker builds them for itself, and the two things that it does."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar

from clarify_rl.registry import load_env, load_reward
from clarify_rl.types import Answer, Episode, Exchange, Response, Reward, Score, Stop

TaskName = Literal["respond", "score"]
Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class RewardSpec:
    """A reward by its spec string, its weight in the sum, and its options."""

    use: str
    weight: float = 1.0
    options: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class PoolSpec:
    """What every worker builds for itself: an environment and the rewards. Plain data, so that it crosses processes."""

    env: str = "ask_or_code"
    env_options: Mapping[str, object] = field(default_factory=dict)
    rewards: tuple[RewardSpec, ...] = ()


@dataclass(frozen=True)
class Workers:
    """How many workers on Ray, and what each asks for in Ray's names, e.g. {"CPU": 0.5, "sandbox": 1}.

    `least` are kept while the pool is open, as far as they find room; up to `most` while items wait.
    """

    least: int
    most: int
    resources: Mapping[str, float] = field(default_factory=lambda: {"CPU": 0.25})


class Worker:
    """One environment and the rewards, built where they run. A plugin's bug is its own episode's failure."""

    def __init__(self, spec: PoolSpec) -> None:
        self._env = load_env(spec.env, spec.env_options)
        self._rewards = [(spec, load_reward(spec.use, spec.options)) for spec in spec.rewards]

    @property
    def threads(self) -> int:
        """How many exchanges the environment says that it can take at once."""
        return max(1, int(getattr(self._env, "threads", 1)))

    def respond(self, exchange: Exchange) -> Response:
        try:
            response = self._env.respond(exchange)
        except (Exception, SystemExit) as error:  # recorded: it must not take its neighbours down
            return _failed(f"environment raised {type(error).__name__}: {error}")
        if wrong := _wrong_type(response):
            return _failed(wrong)
        if response.answer is None and response.stop is None:
            return _failed("the environment returned neither an answer nor a stop")
        if response.stop is Stop.FAILED and not response.failure:
            return _failed("the environment gave no reason")
        return response

    def score(self, episode: Episode) -> tuple[Score, ...]:
        return tuple(_score(spec, rule, episode) for spec, rule in self._rewards)

    def describe(self) -> str:
        """What the environment says about where it runs, e.g. how well its executor holds programs in."""
        say = getattr(self._env, "describe", None)
        return str(say()) if say else ""

    def close(self) -> None:
        self._env.close()


@dataclass(frozen=True)
class Task(Generic[Item, Result]):
    """What a worker does with each item, what stands for a result that could not be had, and whom a message names."""

    name: TaskName
    do: Callable[[Worker, Item], Result]
    unmeasured: Callable[[str], Result]
    episode_id: Callable[[Item], str]
    plugins: Callable[[PoolSpec], str]


def _failed(why: str) -> Response:
    return Response(stop=Stop.FAILED, failure=why)


def _wrong_type(response: object) -> str:
    """What is wrong with the type of a plugin's response, which no type checker may have seen; "" if nothing is."""
    if not isinstance(response, Response):
        return f"the environment returned a {type(response).__name__}, not a Response"
    answer: object = response.answer
    return (
        "" if isinstance(answer, Answer | None) else f"the user answered with a {type(answer).__name__}, not an Answer"
    )


def _unscored(why: str) -> tuple[Score, ...]:
    return (Score("pool", None, why=why),)


RESPOND: Task[Exchange, Response] = Task(
    "respond", Worker.respond, _failed, lambda exchange: exchange.episode_id, lambda spec: f"environment {spec.env}"
)
SCORE: Task[Episode, tuple[Score, ...]] = Task(
    "score",
    Worker.score,
    _unscored,
    lambda episode: episode.id,
    lambda spec: f"rewards {', '.join(item.use for item in spec.rewards)}",
)
TASKS: Mapping[TaskName, Task[Any, Any]] = {"respond": RESPOND, "score": SCORE}  # Any: each its own items and results


def _score(spec: RewardSpec, rule: Reward, episode: Episode) -> Score:
    name = spec.use.rpartition(":")[2]
    try:
        found = rule(episode)
        score = found if isinstance(found, Score) else Score(name, found)
        value = None if score.value is None else float(score.value)
    except (Exception, SystemExit) as error:  # masks this episode and says so; it does not stop the others
        return Score(name, None, spec.weight, why=f"{type(error).__name__}: {error}")
    if value is not None and not math.isfinite(value):
        # One such number would make the advantages of its whole group meaningless.
        return Score(name, None, spec.weight, score.turn, f"not a finite number: {value}. {score.why}".strip())
    return Score(name, value, spec.weight, score.turn, score.why)
