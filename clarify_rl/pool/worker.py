"""One environment and the rewards, as every worker builds them for itself, and the two things that it does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from math import inf
from typing import Any, Generic, Literal, TypeVar

from clarify_rl.pool.returned import ReturnedError, check_response, raised, score_of
from clarify_rl.registry import load_env, load_reward, short_name
from clarify_rl.types import Episode, Exchange, Response, Reward, Score, Stop, Variant

TaskName = Literal["respond", "score"]
Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class RewardSpec:
    """A reward by its spec string, its weight in the sum, and its options; `clip` and `only` as in RewardConfig."""

    use: str
    weight: float = 1.0
    options: Mapping[str, object] = field(default_factory=dict)
    clip: tuple[float | None, float | None] | None = None
    only: str | None = None

    @property
    def name(self) -> str:
        return short_name(self.use)

    def applies(self, variant: Variant) -> bool:
        """Whether the reward is asked about this kind of variant."""
        kinds = ("clear",) if variant.is_clear else ("unclear", *variant.kind.split("+"))
        return self.only is None or self.only in kinds

    def clipped(self, score: Score) -> Score:
        """The score with its value brought between the bounds, and what its turns brought shrunk in proportion."""
        if self.clip is None or score.value is None:
            return score
        lowest, highest = (
            bound if bound is not None else end for bound, end in zip(self.clip, (-inf, inf), strict=True)
        )
        value = min(max(score.value, lowest), highest)
        if value == score.value:
            return score
        by_turn = tuple(part * value / score.value for part in score.by_turn) if score.value else ()
        return replace(score, value=value, by_turn=by_turn, why=f"{score.why} (clipped from {score.value:g})".strip())


@dataclass(frozen=True)
class PoolSpec:
    """What every worker builds for itself: an environment and the rewards. Plain data, so that it crosses processes."""

    env: str = "ask_or_code"
    env_options: Mapping[str, object] = field(default_factory=dict)
    rewards: tuple[RewardSpec, ...] = ()

    @property
    def user(self) -> str:
        """The user that the environment is configured with, for messages."""
        return str(self.env_options.get("user", "of the environment"))


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
        self._spec = spec
        self._env = load_env(spec.env, spec.env_options)
        self._rewards = [(spec, load_reward(spec.use, spec.options)) for spec in spec.rewards]

    @property
    def threads(self) -> int:
        """How many exchanges the environment says that it can take at once."""
        return max(1, int(getattr(self._env, "threads", 1)))

    @property
    def scoring_threads(self) -> int:
        """How many episodes the rewards can take at once: 1 where they compute, more where one says that it waits."""
        return max([1, *(int(getattr(rule, "threads", 1)) for _, rule in self._rewards)])

    def respond(self, exchange: Exchange) -> Response:
        spec = self._spec
        try:
            return check_response(spec.env, spec.user, exchange, self._env.respond(exchange))
        except ReturnedError as error:
            return _failed(str(error))
        except (Exception, SystemExit) as error:  # recorded: it must not take its neighbours down
            return _failed(raised(f"environment {spec.env}", error))

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


def no_answer(task: Task[Item, Result], spec: PoolSpec, item: Item, deadline_s: float, where: str = "") -> str:
    """Why an item is unmeasured that took too long: what, for how long, for which episode, and where."""
    return f"{task.plugins(spec)} gave no answer in {deadline_s:g} s for episode {task.episode_id(item)}{where}"


def _score(spec: RewardSpec, rule: Reward, episode: Episode) -> Score:
    if not spec.applies(episode.variant):
        return Score(spec.name, 0.0, 0.0, why=f"only for {spec.only} problems", applies=False)
    try:
        return spec.clipped(score_of(spec.use, spec.name, spec.weight, rule(episode), len(episode.turns)))
    except ReturnedError as error:
        return Score(spec.name, None, spec.weight, why=str(error))
    except (Exception, SystemExit) as error:  # masks this episode and says so; it does not stop the others
        return Score(spec.name, None, spec.weight, why=raised(f"reward {spec.use}", error))
