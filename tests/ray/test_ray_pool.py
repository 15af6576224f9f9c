"""The pool on Ray actors: the same results as in one process, whatever happens to an actor."""

import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import ray

from clarify_rl.errors import ClarifyError
from clarify_rl.pool import LocalPool, PoolSpec, RayPool, RewardSpec, make_pool
from clarify_rl.types import Episode, Exchange, Reply, ReplyKind, Score, Stop
from tests.dialogues import ASK, CLEAR, CRASH, DESC, SPEC, UNCLEAR, play

pytestmark = pytest.mark.ray

PLUGINS = Path(__file__).parents[1] / "plugins.py"
DIALOGUES = ((UNCLEAR, [ASK, DESC]), (CLEAR, [DESC]), (CLEAR, [CRASH]), (UNCLEAR, ["Why?", ""]), (UNCLEAR, [DESC]))


@pytest.fixture(scope="module", autouse=True)
def local_ray() -> Iterator[None]:
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


@pytest.fixture(scope="module")
def episodes() -> list[Episode]:
    return play(*DIALOGUES)


def settled(episode: Episode) -> Episode:
    """The episode without what a clock measured."""
    execution = episode.execution and replace(episode.execution, cpu_s=0.0, wall_s=0.0)
    return replace(episode, execution=execution)


def with_reward(name: str, **options: object) -> PoolSpec:
    return PoolSpec("ask_or_code", {}, (RewardSpec(f"{PLUGINS}:{name}", 1.0, options),))


def numbered(episode: Episode, count: int) -> list[Episode]:
    return [replace(episode, id=f"e{i}") for i in range(count)]


def test_actors_give_the_same_episodes_as_this_process(episodes: list[Episode]) -> None:
    with closing(make_pool(SPEC, workers=2)) as pool:
        assert isinstance(pool, RayPool)
        assert list(map(settled, play(*DIALOGUES, pool=pool))) == list(map(settled, episodes))


def test_results_keep_the_order_of_many_items(episodes: list[Episode]) -> None:
    many = [episodes[i % len(episodes)] for i in range(37)]
    with closing(RayPool(SPEC, workers=2, chunk=3)) as pool, closing(LocalPool(SPEC)) as local:
        assert pool.score(many) == local.score(many)
        assert pool.score([]) == []


def test_a_users_reward_file_works_on_the_actors(episodes: list[Episode], tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("def length(episode):\n    return len(episode.turns)\n")
    spec = PoolSpec(rewards=(RewardSpec(f"{file}:length", 0.5),))
    with closing(RayPool(spec, workers=1)) as pool:
        assert pool.score(episodes[:2]) == [(Score("length", 2.0, 0.5),), (Score("length", 1.0, 0.5),)]


def test_a_reward_that_raises_is_unmeasured_with_its_reason(episodes: list[Episode]) -> None:
    with closing(RayPool(with_reward("raises"), workers=1)) as pool:
        ((score,),) = pool.score(episodes[:1])
    assert (score.value, score.why) == (None, "KeyError: 'no such column'")


def test_an_actor_that_dies_once_costs_nothing(episodes: list[Episode], tmp_path: Path) -> None:
    spec = with_reward("Dies", episode="e5", once=str(tmp_path / "died"))
    with closing(RayPool(spec, workers=2, chunk=2)) as pool:
        assert pool.score(numbered(episodes[0], 12)) == [(Score("Dies", 1.0),)] * 12
    assert (tmp_path / "died").exists()


def test_an_episode_that_kills_every_actor_costs_only_its_own_score(episodes: list[Episode]) -> None:
    with closing(RayPool(with_reward("Dies", episode="e5"), workers=2, chunk=4)) as pool:
        scores = pool.score(numbered(episodes[0], 12))
        bad = [i for i, (score,) in enumerate(scores) if score.value is None]
        assert bad == [5]
        assert "failed at it again and again" in scores[5][0].why
        assert pool.score(numbered(episodes[0], 3)) == [(Score("Dies", 1.0),)] * 3


def test_an_actor_killed_from_outside_is_replaced(episodes: list[Episode]) -> None:
    with closing(RayPool(SPEC, workers=1)) as pool:
        before = pool.score(episodes)
        ray.kill(pool._actors[0], no_restart=False)
        assert pool.score(episodes) == before


def test_one_actor_alone_also_outlives_an_episode_that_kills_it(episodes: list[Episode]) -> None:
    with closing(RayPool(with_reward("Dies", episode="e2"), workers=1, chunk=4)) as pool:
        assert [score.value for (score,) in pool.score(numbered(episodes[0], 9))] == [1.0, 1.0, None, *[1.0] * 6]


def test_a_hung_environment_is_cut_at_the_deadline_and_the_next_batch_is_served() -> None:
    def exchange(text: str) -> Exchange:
        return Exchange(CLEAR, (), Reply(text, ReplyKind.OTHER), False, 0)

    spec = PoolSpec(f"{PLUGINS}:Slow", {})
    with closing(RayPool(spec, workers=2, deadline_s=30.0, chunk=1)) as pool:
        pool._deadline_s = 3.0  # starting the actors may take longer
        started = time.monotonic()
        first, hung, last = pool.respond([exchange("x"), exchange("hang"), exchange("y")])
        assert time.monotonic() - started < 10.0
        assert (first.stop, last.stop) == (Stop.NO_CODE, Stop.NO_CODE)
        assert hung.stop is Stop.FAILED
        assert "plugins.py:Slow gave no answer in 3 s" in hung.failure
        pool._deadline_s = 30.0
        assert [response.stop for response in pool.respond([exchange("x")] * 4)] == [Stop.NO_CODE] * 4


def test_a_wrong_option_stops_before_any_episode_and_keeps_its_message() -> None:
    with pytest.raises(ClarifyError, match="pass_rate"):
        RayPool(PoolSpec(rewards=(RewardSpec("pas_rate"),)), workers=1, deadline_s=60.0)


def test_a_pool_leaves_a_ray_that_it_did_not_start() -> None:
    RayPool(SPEC, workers=1).close()
    assert ray.is_initialized()
