"""The pool in this process: what a reward or an environment does wrong stays its own episode's affair."""

from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from clarify_rl.errors import ClarifyError, ConfigError
from clarify_rl.pool import LocalPool, PoolSpec, RewardSpec, make_pool
from clarify_rl.training.grpo import _loss_mask, reward_function
from clarify_rl.training.rollout_metrics import rollout_metrics, stop_if_failing
from clarify_rl.types import Episode, Exchange, Execution, Reply, ReplyKind, Score, Stop, Verdict
from tests.dialogues import ASK, CLEAR, DESC, SPEC, UNCLEAR, play

PLUGINS = Path(__file__).parents[1] / "plugins.py"


@pytest.fixture(scope="module")
def episode() -> Episode:
    return play((UNCLEAR, [ASK, DESC]))[0]


def score(episode: Episode, name: str, **options: object) -> Score:
    spec = replace(SPEC, rewards=(RewardSpec(f"{PLUGINS}:{name}", 0.5, options), RewardSpec("pass_rate")))
    with closing(LocalPool(spec)) as pool:
        ((odd, pass_rate),) = pool.score([episode])
    assert pass_rate.value == 1.0
    assert (odd.name, odd.weight) == (name, 0.5)
    return odd


def test_a_reward_from_a_users_file_is_found_and_weighed(episode: Episode) -> None:
    assert score(episode, "questions_asked").value == 1.0


def test_an_episode_with_an_unmeasured_score_has_no_reward(episode: Episode) -> None:
    scores = (Score("a", 1.0), Score("b", None, 0.5))
    assert replace(episode, scores=scores).reward is None
    assert replace(episode, scores=scores[:1]).reward == 1.0


@pytest.mark.parametrize(
    "changes",
    [
        {"failure": "worker died"},
        {"execution": Execution(Verdict.INFRASTRUCTURE, 0, 3)},
        {"execution": Execution(Verdict.WALL_TIMEOUT, 0, 3)},
        {"scores": (Score("a", 1.0), Score("b", None))},
        {"scores": (Score("pool", None),)},
    ],
)
def test_masked_means_one_thing_whichever_rewards_there_are(episode: Episode, changes: dict[str, Any]) -> None:
    """Also where no reward looks at the tests, so that all scores are numbers."""
    other = replace(episode, **{"scores": (Score("asked", 1.0),), **changes})
    assert not replace(episode, scores=(Score("asked", 1.0),)).masked
    assert other.masked and other.reward is None
    assert _loss_mask(other) == [0] * len(other.policy_mask)
    assert reward_function("asked", 0)([other]) == [None]
    assert rollout_metrics([other])["rollout/failed"] == 1
    assert "reward/asked" not in rollout_metrics([other])
    with pytest.raises(ClarifyError, match="1 of 1 episodes could not be measured"):
        stop_if_failing([other], 0.5, "rl")


def test_scores_keep_the_order_of_episodes_and_of_rewards(episode: Episode) -> None:
    other = play((CLEAR, [DESC]))[0]
    with closing(LocalPool(SPEC)) as pool:
        scored = pool.score([other, episode, other])
    assert [[score.name for score in scores] for scores in scored] == [
        ["pass_rate", "useful_question", "needless_question"]
    ] * 3
    assert [scores[1].value for scores in scored] == [0.0, 1.0, 0.0]


def test_responses_keep_the_order_of_exchanges() -> None:
    replies = (
        Reply(ASK, ReplyKind.QUESTION, (ASK,)),
        Reply("x", ReplyKind.OTHER),
        Reply(DESC, ReplyKind.CODE, code=UNCLEAR.problem.solution),
    )
    with closing(LocalPool(SPEC)) as pool:
        answer, stop, code = pool.respond([Exchange(UNCLEAR, (), reply, False, 0) for reply in replies])
    assert answer.answer is not None
    assert stop.stop is Stop.MALFORMED
    assert code.execution is not None
    assert code.execution.solved


def test_no_workers_is_a_pool_in_this_process() -> None:
    with closing(make_pool(SPEC, workers=0)) as pool:
        assert isinstance(pool, LocalPool)
        assert pool.respond([]) == []
        assert pool.score([]) == []


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (PoolSpec(env="ask_or_cod"), "ask_or_code"),
        (PoolSpec(env_options={"usr": "rule_based"}), "does not take these options"),
        (PoolSpec(env_options={"user": "nobody"}), "rule_based"),
        (PoolSpec(rewards=(RewardSpec("pas_rate"),)), "pass_rate"),
        (PoolSpec(rewards=(RewardSpec("no/such/file.py:f"),)), "No file 'no/such/file.py'"),
        (PoolSpec(rewards=(RewardSpec("useful_question", options={"x": 1}),)), "takes no options"),
    ],
)
def test_a_wrong_name_or_option_stops_before_any_episode(spec: PoolSpec, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        LocalPool(spec)


@pytest.mark.parametrize(
    ("only", "clear", "unclear"),
    [
        (None, True, True),
        ("clear", True, False),
        ("unclear", False, True),
        ("ambiguous", False, UNCLEAR.kind == "ambiguous"),
    ],
)
def test_a_reward_is_asked_only_about_the_kind_of_problems_it_is_for(
    only: str | None, clear: bool, unclear: bool
) -> None:
    spec = replace(SPEC, rewards=(RewardSpec("pass_rate", 0.5, only=only),))
    with closing(LocalPool(spec)) as pool:
        episodes = play((CLEAR, [DESC]), (UNCLEAR, [DESC]), pool=pool)
    found = [episode.scores[0] for episode in episodes]
    assert [score.applies for score in found] == [clear, unclear]
    assert [score.weight for score in found] == [0.5 if applies else 0.0 for applies in (clear, unclear)]
    assert not any(episode.masked for episode in episodes)


def test_a_clipped_value_says_so_and_its_turns_still_add_up_to_it() -> None:
    spec = replace(SPEC, rewards=(RewardSpec("needless_question", clip=(-1.0, None)),))
    with closing(LocalPool(spec)) as pool:
        (episode,) = play((CLEAR, ["Why? Who? What?", "Why? Who?", DESC]), pool=pool)
    (score,) = episode.scores
    assert score.value == sum(score.by_turn) == -1.0 and len(score.by_turn) == 3
    assert score.why.endswith("(clipped from -2)"), score.why


def test_rewards_that_wait_are_asked_about_many_episodes_at_once(tmp_path: Path) -> None:
    """Each of four waits until all four are there: one after the other they would never end."""
    (tmp_path / "judges.py").write_text(
        "import threading\nfrom dataclasses import dataclass\nTOGETHER = threading.Barrier(4)\n\n"
        "@dataclass(frozen=True)\nclass Judge:\n    threads: int = 4\n"
        "    def __call__(self, episode):\n        TOGETHER.wait(30)\n        return 1.0\n"
    )
    spec = replace(SPEC, rewards=(RewardSpec(f"{tmp_path}/judges.py:Judge"),))
    with closing(LocalPool(spec, deadline_s=60.0)) as pool:
        episodes = play(*[(CLEAR, [DESC])] * 4, pool=pool)
    assert [episode.reward for episode in episodes] == [1.0] * 4
