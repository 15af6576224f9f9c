"""GRPO on TRL: what reaches the loss, with the embedded model and our own rollouts."""

import json
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from clarify_rl.config import Config, EnvConfig, RewardConfig
from clarify_rl.dialogue.episodes import DialogueLimits
from clarify_rl.errors import ClarifyError, ConfigError
from clarify_rl.policies.models import load_model
from clarify_rl.pool import LocalPool, PoolSpec, RewardSpec
from clarify_rl.rl_sections import CreditSection, InformationSection, RLSection
from clarify_rl.store import Run
from clarify_rl.training.batches import by_length, trim
from clarify_rl.training.credit import by_turn, to_go, turn_of_token
from clarify_rl.training.groups import check_enough, check_shared
from clarify_rl.training.grpo import (
    DialogueGRPOTrainer,
    Rollouts,
    grpo_config,
    reward_function,
)
from clarify_rl.training.information import MEASURES
from clarify_rl.training.rl import train_rl
from clarify_rl.types import Episode, Policy, Request, Sample, Score, Stop, Variant
from tests.dialogues import ASC, ASK, CLEAR, DESC, SPEC, UNCLEAR, chat, encode

PLUGINS = Path(__file__).parents[1] / "plugins.py"
LIMITS = DialogueLimits(max_questions=2, turn_tokens=60, total_tokens=200)
FAILING = Variant("p/desc/long", CLEAR.problem, "word " * 600)
REPLIES = ((ASK, DESC), (ASC,), ("Who are you?", DESC), ("",))


@dataclass(frozen=True)
class Rehearsed(Policy):
    """Row i of every group plays dialogue i, whatever the model would say."""

    end_id: int

    def generate(self, requests: Sequence[Request]) -> list[Sample]:
        return [self._sample(request) for request in requests]

    def _sample(self, request: Request) -> Sample:
        replies = REPLIES[int(request.episode_id.rpartition("/")[2]) % 4]
        ids = (*encode(replies[request.turn]), self.end_id)
        return Sample(ids[: request.max_new_tokens], None, len(ids) <= request.max_new_tokens)


def config(rewards: Sequence[RewardSpec] = SPEC.rewards, *, failing: float = 0.1, **trainer: object) -> Config:
    options = {
        "max_steps": 1,
        "num_generations": 4,
        "per_device_train_batch_size": 8,
        "gradient_accumulation_steps": 1,
        "learning_rate": 1e-3,
        "lr_scheduler_type": "constant",
        "beta": 0.0,
        "save_strategy": "no",
        "shuffle_dataset": False,
    }
    used = tuple(RewardConfig(use=spec.use, weight=spec.weight, options=dict(spec.options)) for spec in rewards)
    section = RLSection(trainer={**options, **trainer})
    return Config(rl=section, rewards=used, env=EnvConfig(max_failed_share=failing))


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    with Run.create(tmp_path / "run", "seed: 0\n", ["pytest"]) as made:
        yield made


@dataclass
class Seen:
    """What the loss was computed from, and what it did."""

    inputs: dict[str, Any]  # Any: TRL's own batch
    logprob_gradients: torch.Tensor


@pytest.fixture
def seen(run: Run, monkeypatch: pytest.MonkeyPatch) -> list[Seen]:
    """Records every call of the loss, with the gradient of the loss by each token's logprob."""
    records: list[Seen] = []
    plain_loss = DialogueGRPOTrainer._compute_loss
    plain_logps = DialogueGRPOTrainer._get_per_token_logps_and_entropies
    caught: list[torch.Tensor] = []

    def logps(self: Any, *args: Any, **kwargs: Any) -> Any:  # Any: TRL's own signature
        out = plain_logps(self, *args, **kwargs)
        if out[0].requires_grad:
            out[0].retain_grad()
            caught.append(out[0])
        return out

    def loss(self: Any, model: Any, inputs: Any) -> Any:  # Any: TRL's own signature
        value = plain_loss(self, model, inputs)
        (gradient,) = torch.autograd.grad(value, caught[-1], retain_graph=True)
        records.append(Seen(inputs, gradient))
        return value

    monkeypatch.setattr(DialogueGRPOTrainer, "_get_per_token_logps_and_entropies", logps)
    monkeypatch.setattr(DialogueGRPOTrainer, "_compute_loss", loss)
    monkeypatch.setattr(Rollouts, "_policy", lambda self, trainer: Rehearsed(chat().turn_end_id))
    return records


def train(run: Run, variants: Sequence[Variant], made: Config, spec: PoolSpec = SPEC, **limits: int) -> list[Episode]:
    """One step; the episodes that it was made of, in the order of the rollout."""
    loaded = load_model("embedded", device="cpu")
    rewards = tuple(RewardSpec(item.use, item.weight, item.options) for item in made.rewards)
    with closing(LocalPool(replace(spec, rewards=rewards))) as pool:
        train_rl(loaded, variants, pool, chat(), replace(LIMITS, **limits), made, run)
    return rolled_out(run)


def rolled_out(run: Run) -> list[Episode]:
    return run.read_episodes("rl", [UNCLEAR, CLEAR, FAILING])


def matched(step: Seen, episodes: Sequence[Episode]) -> list[Episode]:
    """The episode of each row, found by its token ids: TRL shuffles a generation batch."""
    found = []
    for i in range(len(episodes)):
        prompt = step.inputs["prompt_ids"][i][step.inputs["prompt_mask"][i] == 1]
        completion = step.inputs["completion_ids"][i][step.inputs["completion_mask"][i] == 1]
        ids = (*prompt.tolist(), *completion.tolist())
        found.append(next(episode for episode in episodes if (*episode.prompt_ids, *episode.completion_ids) == ids))
    return found


def test_only_the_policys_tokens_reach_the_loss(run: Run, seen: list[Seen]) -> None:
    episodes = train(run, [UNCLEAR, CLEAR], config())
    assert [episode.variant.id for episode in episodes] == [UNCLEAR.id] * 4 + [CLEAR.id] * 4
    (step,) = seen
    mask = step.inputs["completion_mask"] * step.inputs["tool_mask"]
    for row, episode in enumerate(matched(step, episodes)):
        wanted = torch.tensor(episode.policy_mask)
        assert mask[row, : len(wanted)].eq(wanted).all()
        assert mask[row, len(wanted) :].eq(0).all()
        gradient = step.logprob_gradients[row]
        assert gradient.shape == mask[row].shape  # the prompt's tokens have no logprob in the loss
        assert gradient[mask[row] == 0].eq(0).all()
        if step.inputs["advantages"][row] != 0:
            assert gradient[mask[row] == 1].ne(0).all()


def test_prompts_and_completions_are_the_sampled_ids(run: Run, seen: list[Seen]) -> None:
    episodes = train(run, [UNCLEAR, CLEAR], config())
    assert sorted(episode.id for episode in matched(seen[0], episodes)) == sorted(episode.id for episode in episodes)
    assert {episode.prompt_ids for episode in episodes} == {chat().prompt_ids(UNCLEAR), chat().prompt_ids(CLEAR)}


def test_advantages_compare_an_episode_with_its_own_group(run: Run, seen: list[Seen]) -> None:
    episodes = train(run, [UNCLEAR, CLEAR], config(scale_rewards="none"))
    mean = {variant.id: mean_reward(episodes, variant) for variant in (UNCLEAR, CLEAR)}
    for episode, advantage in zip(matched(seen[0], episodes), seen[0].inputs["advantages"].tolist(), strict=True):
        assert episode.reward is not None
        assert advantage == pytest.approx(episode.reward - mean[episode.variant.id], abs=1e-5)


@pytest.mark.parametrize("by", ["to_go", "turn"])
def test_credited_by_turn_each_token_learns_from_the_advantage_of_its_turn(run: Run, seen: list[Seen], by: str) -> None:
    made = config((RewardSpec("pass_rate"), RewardSpec("useful_question", 0.3)), scale_rewards="none")
    section = (made.rl or RLSection()).model_copy(update={"credit": CreditSection(by=by)})
    episodes = train(run, [UNCLEAR, CLEAR], made.model_copy(update={"rl": section}))
    credit = {"to_go": to_go, "turn": by_turn}[by]
    due = {
        episode.id: turns
        for first in (0, 4)
        for episode, turns in zip(
            episodes[first : first + 4], credit(episodes[first : first + 4], scaled=False), strict=True
        )
    }
    assert any(len(set(turns)) > 1 for turns in due.values())
    for row, episode in enumerate(matched(seen[0], episodes)):
        gradient = seen[0].logprob_gradients[row]
        for token, turn in enumerate(turn_of_token(episode)):
            advantage = 0.0 if turn is None else due[episode.id][turn]
            assert seen[0].inputs["advantages"][row, token].item() == pytest.approx(advantage, abs=1e-5)
            assert (gradient[token].item() < 0) == (advantage > 1e-6)
            assert (gradient[token].item() > 0) == (advantage < -1e-6)


@pytest.mark.parametrize("measure", ["withheld", "siblings", "answer_effect", "information_gain"])
def test_what_answers_were_worth_is_one_more_reward_in_the_sum(run: Run, seen: list[Seen], measure: Any) -> None:
    made = config(scale_rewards="none")
    information = InformationSection(measure=measure, weight=0.25)
    section = (made.rl or RLSection()).model_copy(update={"information": information})
    episodes = train(run, [UNCLEAR, CLEAR], made.model_copy(update={"rl": section}))
    scores = [episode.scores[-1] for episode in episodes]
    assert {score.name for score in scores} == {MEASURES[measure]}
    assert not any(episode.masked for episode in episodes)
    told_some = [score for score in scores if score.why == "1 answers told something"]
    assert told_some and any(score.value for score in told_some) == (measure != "withheld")
    for episode, advantage in zip(matched(seen[0], episodes), seen[0].inputs["advantages"].tolist(), strict=True):
        assert episode.reward is not None
        assert advantage == pytest.approx(episode.reward - mean_reward(episodes, episode.variant), abs=1e-5)


def mean_reward(episodes: Sequence[Episode], variant: Variant) -> float:
    known = [episode.reward for episode in episodes if episode.variant == variant and episode.reward is not None]
    return sum(known) / len(known)


LOST_SCORE = (*SPEC.rewards, RewardSpec(f"{PLUGINS}:LostAt", 1.0, {"ending": "/1"}))
BURNS = replace(SPEC, env=f"{PLUGINS}:FailsAt", env_options={**SPEC.env_options, "ending": "/1"})
ASKING = (RewardSpec(f"{PLUGINS}:questions_asked"),)  # a number for every episode, whatever became of it


@pytest.mark.parametrize(
    ("spec", "rewards"), [(SPEC, LOST_SCORE), (BURNS, ASKING)], ids=["a score is lost", "an episode is lost"]
)
def test_a_masked_episode_has_no_advantage_and_leaves_its_neighbours_theirs(
    run: Run, seen: list[Seen], spec: PoolSpec, rewards: tuple[RewardSpec, ...]
) -> None:
    episodes = train(run, [UNCLEAR, CLEAR], config(rewards, failing=0.2, scale_rewards="none"), spec)
    assert [episode.reward is None for episode in episodes] == [False, True, *[False] * 6]
    for row, episode in enumerate(matched(seen[0], episodes)):
        advantage = seen[0].inputs["advantages"][row].item()
        if episode.reward is None:
            assert advantage == 0.0
            assert seen[0].logprob_gradients[row].eq(0).all()
        else:
            assert advantage == pytest.approx(episode.reward - mean_reward(episodes, episode.variant), abs=1e-5)


def test_an_episode_without_a_single_token_passes_through(run: Run, seen: list[Seen]) -> None:
    episodes = train(run, [FAILING, CLEAR], config(failing=0.5), context_tokens=500)
    assert [episode.completion_ids == () for episode in episodes] == [True] * 4 + [False] * 4
    assert all("leaves no room" in episode.failure for episode in episodes[:4])
    mask = seen[0].inputs["completion_mask"] * seen[0].inputs["tool_mask"]
    assert sum(row.sum() == 0 for row in mask) == 4
    assert torch.isfinite(seen[0].logprob_gradients).all()


def test_too_many_failures_stop_the_run_and_say_what_to_do(run: Run, seen: list[Seen]) -> None:
    with pytest.raises(ClarifyError, match=r"4 of 8 episodes could not be measured.*max_failed_share=0\.1.*--resume"):
        train(run, [FAILING, CLEAR], config(), context_tokens=500)
    assert len(rolled_out(run)) == 8


def test_a_reward_that_measures_nothing_stops_the_run_and_is_named(run: Run, seen: list[Seen]) -> None:
    with pytest.raises(ClarifyError, match=r"8 of 8 episodes.*plugins\.py:raises raised KeyError: 'no such column'"):
        train(run, [UNCLEAR, CLEAR], config((RewardSpec(f"{PLUGINS}:raises"),)))


def test_a_step_changes_the_weights_and_writes_metrics_and_a_model(run: Run, seen: list[Seen]) -> None:
    train(run, [UNCLEAR, CLEAR], config())
    before = load_model("embedded", device="cpu").model
    after = load_model(str(run.model_folder("rl")), device="cpu").model
    assert not any(torch.equal(a, b) for a, b in zip(before.parameters(), after.parameters(), strict=True))
    (row,) = [row for row in run.read_metrics() if "reward/total" in row]
    assert (row["rollout/episodes"], row["rollout/failed"]) == (8, 0)
    assert (row["episode/asked_unclear"], row["episode/asked_clear"]) == (0.5, 0.5)


def test_the_models_own_replies_train_too(run: Run) -> None:
    episodes = train(run, [UNCLEAR, CLEAR], config(temperature=1.0))
    assert len({episode.completion_ids for episode in episodes}) > 4
    assert all(episode.policy_mask[-1] == 1 for episode in episodes)


def test_reward_functions_read_the_scores_and_nothing_else() -> None:
    base = Episode("e", CLEAR, 0, (), stop=Stop.CODE)
    scored = replace(base, scores=(Score("a", 0.5), Score("b", -1.0, 0.1)))
    lost = replace(base, scores=(Score("a", None), Score("b", 1.0, 0.1)))
    lost_by_the_pool = replace(base, scores=(Score("pool", None),))
    read = reward_function("b", 1, 0.1)
    assert read.__name__ == "b"
    assert read(episode=[scored, lost, lost_by_the_pool], prompts=[], completions=[]) == [-1.0, None, None]


def test_what_trl_multiplies_and_adds_up_is_the_episodes_own_reward(run: Run, seen: list[Seen]) -> None:
    """With a schedule half way, a reward for unclear problems only, and one that is clipped."""
    rewards = (
        RewardConfig(use="pass_rate", weight=0.5, schedule={0: 3.0}),
        RewardConfig(use="useful_question", weight=0.3, only="unclear"),
        RewardConfig(use="needless_question", weight=0.2, clip=(-0.5, None)),
        RewardConfig(use="question_cost", weight=0.0),
    )
    made = config(scale_rewards="none").model_copy(update={"rewards": rewards})
    specs = tuple(RewardSpec(item.use, item.weight, item.options, item.clip, item.only) for item in rewards)
    with closing(LocalPool(replace(SPEC, rewards=specs))) as pool:
        train_rl(load_model("embedded", device="cpu"), [UNCLEAR, CLEAR], pool, chat(), LIMITS, made, run)
    episodes = rolled_out(run)
    assert {episode.scores[0].weight for episode in episodes} == {1.5}
    assert {score.applies for episode in episodes for score in episode.scores} == {True, False}
    assert all(episode.scores[2].value in (0.0, -0.5) for episode in episodes)
    for episode, advantage in zip(matched(seen[0], episodes), seen[0].inputs["advantages"].tolist(), strict=True):
        assert episode.reward is not None
        assert advantage == pytest.approx(episode.reward - mean_reward(episodes, episode.variant), abs=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"learning_rat": 1e-4}, "learning_rat"),
        ({"num_generations": 1}, "num_generations|generations"),
        ({"num_generations": 3}, "num_generations|generations"),
        ({"eval_strategy": "steps", "eval_steps": 5}, r"eval_strategy: .*rl\.evaluation\.every=5"),
        ({"temperature": 0.0}, r"temperature=0: all episodes of a group would be the same"),
        ({"remove_unused_columns": True}, r"remove_unused_columns: .*Leave it out"),
        ({"reward_weights": [1.0, 0.0, 0.0]}, r"reward_weights: each of `rewards` has its weight"),
        ({"max_completion_length": 512}, r"max_completion_length: dialogue\.total_tokens"),
        ({"model_init_kwargs": {"attn_implementation": "eager"}}, r"model_init_kwargs: .*model\.attn_implementation"),
        (
            {"optim": "paged_adamw_8bit"},
            r"optim=paged_adamw_8bit.*(bitsandbytes|needs a GPU).*plain one is adamw_torch",
        ),
        ({"optim": "schedule_free_adamw"}, r"optim=schedule_free_adamw: .*pip install schedulefree"),
        ({"use_liger_kernel": True}, r"use_liger_kernel: .*pip install liger-kernel"),
        ({"chat_template_kwargs": {"enable_thinking": False}}, r"chat_template_kwargs: .*chat_template\.jinja"),
    ],
)
def test_an_option_that_trl_or_its_trainer_here_does_not_take_is_named(
    options: dict[str, Any], message: str, tmp_path: Path
) -> None:
    made = config(**options)
    assert made.rl is not None
    with pytest.raises(ConfigError, match=rf"rl\.trainer.*({message})"):
        grpo_config(made, made.rl, tmp_path)


def test_a_batch_that_learners_cannot_share_is_found_before_they_begin() -> None:
    options = {"generation_batch_size": 12, "per_device_train_batch_size": 4}
    check_shared(options, learners=3)
    with pytest.raises(ConfigError, match=r"generation_batch_size=12 .* learners\.count=2 .*a multiple of 8"):
        check_shared(options, learners=2)


def test_trimming_keeps_the_width_that_padding_was_asked_for() -> None:
    mask = torch.zeros((2, 16), dtype=torch.long)
    mask[0, 11:], mask[1, 13:] = 1, 1
    batch = {"prompt_mask": mask, "completion_mask": mask.flip(1), "prompt_ids": mask, "completion_ids": mask.flip(1)}
    assert {value.shape for value in trim(batch).values()} == {(2, 5)}
    assert {value.shape for value in trim(batch, 8).values()} == {(2, 8)}
    assert int(trim(batch, 8)["prompt_ids"].sum()) == int(mask.sum())


def test_a_saved_model_caches_when_it_generates(run: Run) -> None:
    train(run, [UNCLEAR, CLEAR], config())
    assert json.loads((run.model_folder("rl") / "config.json").read_text())["use_cache"] is True


@pytest.mark.parametrize("algorithm", ["grpo", "ppo"])
def test_fewer_variants_than_a_batch_has_groups_are_an_error_and_no_untrained_model(run: Run, algorithm: str) -> None:
    begin = train_rl
    with closing(LocalPool(SPEC)) as pool, pytest.raises(ConfigError, match=r"data\.rl\.count=1: .* 2 groups"):
        begin(load_model("embedded", device="cpu"), [CLEAR], pool, chat(), LIMITS, config(), run)
    assert not run.model_folder("rl").exists()


def test_a_plan_knows_how_many_variants_all_learners_need(tmp_path: Path) -> None:
    made = config()
    assert made.rl is not None
    args = grpo_config(made, made.rl, tmp_path)
    check_enough(6, args, learners=3)
    with pytest.raises(ConfigError, match=r"data\.rl\.count=5: .* 6 groups.* Take 6 variants or more"):
        check_enough(5, args, learners=3)


def test_a_strategy_that_yaml_reads_as_false_is_trls_no(tmp_path: Path) -> None:
    made = config(save_strategy=False, eval_strategy=False)
    assert made.rl is not None
    args = grpo_config(made, made.rl, tmp_path)
    assert (args.save_strategy, args.eval_strategy) == ("no", "no")


def test_a_step_of_two_generation_batches_gives_each_episode_an_id_and_a_seed_of_its_own(
    run: Run, seen: list[Seen]
) -> None:
    options: dict[str, Any] = {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 2}
    episodes = train(run, [UNCLEAR, UNCLEAR], config(**options, steps_per_generation=1))
    assert [episode.id for episode in episodes] == [f"rl/0/0/{number}" for number in range(8)]
    assert len({episode.seed for episode in episodes}) == 8


def micro_batch(lengths: list[tuple[int, int]], prompt_width: int, completion_width: int, first: int) -> dict[str, Any]:
    """Rows of given (prompt, completion) lengths, padded as TRL pads them; each row's tokens all hold its number."""
    prompts = torch.tensor([[0] * (prompt_width - p) + [1] * p for p, _ in lengths])
    completions = torch.tensor([[1] * c + [0] * (completion_width - c) for _, c in lengths])
    numbers = torch.arange(first, first + len(lengths))
    return {
        "prompt_ids": prompts * numbers[:, None],
        "prompt_mask": prompts,
        "completion_ids": completions * numbers[:, None],
        "completion_mask": completions,
        "tool_mask": completions,
        "advantages": numbers.float(),
        "num_items_in_batch": torch.tensor(17),
    }


def test_micro_batches_of_like_length_hold_the_same_rows_without_shared_padding() -> None:
    batches = [micro_batch([(3, 9), (5, 1)], 8, 10, first=1), micro_batch([(2, 2), (4, 8)], 8, 10, first=3)]
    short, long = by_length(batches)
    assert short["advantages"].tolist() == [2.0, 3.0]
    assert long["advantages"].tolist() == [4.0, 1.0]
    assert short["completion_ids"].tolist() == [[2, 0], [3, 3]]
    assert short["prompt_ids"].tolist() == [[2, 2, 2, 2, 2], [0, 0, 0, 3, 3]]
    assert long["completion_ids"].shape == long["tool_mask"].shape == (2, 9)
    assert long["num_items_in_batch"].item() == 17
    tokens = sum(int(batch["completion_mask"].sum()) for batch in batches)
    assert sum(int(batch["completion_mask"].sum()) for batch in (short, long)) == tokens
