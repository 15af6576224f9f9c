"""Groups that can teach, in training: what reaches the loss, and that a resumed run goes on exactly."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import PrinterCallback

from clarify_rl.config import Config, EnvConfig, RewardConfig
from clarify_rl.dialogue.episodes import DialogueLimits
from clarify_rl.policies.models import load_model
from clarify_rl.pool import LocalPool
from clarify_rl.rl_sections import RLSection
from clarify_rl.store import Run
from clarify_rl.training.groups import make_groups
from clarify_rl.training.grpo import (
    DialogueGRPOTrainer,
    Rollouts,
    grpo_config,
    prompt_dataset,
    reward_function,
)
from clarify_rl.training.prefixes import Prefixes, told_turns
from clarify_rl.training.rl import train_rl
from clarify_rl.types import Answer, Episode, Policy, ReplyKind, Request, Sample, Variant
from tests.dialogues import ASC, ASK, CLEAR, DESC, SPEC, UNCLEAR, chat, encode

SIZE = 8
LIMITS = DialogueLimits(max_questions=2, turn_tokens=60, total_tokens=200)
TOYS = tuple(replace(UNCLEAR, id=f"toy/{i}", prompt=f"{UNCLEAR.prompt} Task {i}.") for i in range(12))
CLEAR_TOYS = tuple(replace(CLEAR, id=f"toy/{i}", prompt=f"{CLEAR.prompt} Task {i}.") for i in range(12, 24))
ALL_TOYS = (*TOYS, *CLEAR_TOYS)
WAYS = ((ASK, DESC), (ASC, ASC), (DESC, ASC), ("Who are you?", DESC))
FENCE = "```python"


@dataclass(frozen=True)
class Staged(Policy):
    """Says what it is told to say about each variant, behind what is given."""

    says: Callable[[Variant, Request], Sequence[str]]

    def generate(self, requests: Sequence[Request]) -> list[Sample]:
        return [self._sample(request) for request in requests]

    def _sample(self, request: Request) -> Sample:
        (variant,) = [v for v in ALL_TOYS if request.context[: len(chat().prompt_ids(v))] == chat().prompt_ids(v)]
        ids = (*encode(self.says(variant, request)[request.turn]), chat().turn_end_id)
        return Sample(ids[: request.max_new_tokens], None, len(ids) <= request.max_new_tokens)


def number(episode_id: str) -> int:
    return int(episode_id.rpartition("/")[2])


def mixed_if_odd(variant: Variant, request: Request) -> Sequence[str]:
    """Every second variant is always answered in the same wrong way, the others in many."""
    if number(variant.id) % 2 == 0:
        return (ASC,)
    return WAYS[number(request.episode_id) % 4]


def by_chance(variant: Variant, request: Request) -> Sequence[str]:
    """As above, but what is said about the others depends on the episode's seed."""
    return (ASC, ASC) if number(variant.id) % 2 == 0 else WAYS[request.seed % 4]


class Recorder(DialogueGRPOTrainer):
    """Keeps what the rewards were asked about, what the loss was computed from, and its gradient by each logprob."""

    asked: list[dict[str, Any]]
    inputs: dict[str, Any]
    gradients: torch.Tensor

    def _calculate_rewards(self, inputs: Any, *args: Any) -> Any:  # Any: TRL's own types
        self.asked = [dict(row) for row in inputs]
        return super()._calculate_rewards(inputs, *args)

    def _get_per_token_logps_and_entropies(self, *args: Any, **kwargs: Any) -> Any:  # Any: as above
        found = super()._get_per_token_logps_and_entropies(*args, **kwargs)
        self.logprobs = found[0]
        return found

    def _compute_loss(self, model: Any, inputs: Any) -> Any:  # Any: as above
        loss = super()._compute_loss(model, inputs)
        (self.gradients,) = torch.autograd.grad(loss, self.logprobs, retain_graph=True)
        self.inputs = inputs
        return loss

    def row(self, episode: Episode) -> int:
        """Where the loss saw an episode: TRL shuffles a generation batch."""
        for i in range(len(self.inputs["prompt_ids"])):
            prompt, completion = (self.inputs[f"{part}_mask"][i] == 1 for part in ("prompt", "completion"))
            ids = (self.inputs["prompt_ids"][i][prompt], self.inputs["completion_ids"][i][completion])
            mask = self.inputs["tool_mask"][i][completion]
            told = tuple(tuple(part.tolist()) for part in (*ids, mask))
            if told == (episode.prompt_ids, episode.completion_ids, episode.policy_mask):
                return i
        raise LookupError(episode.id)


def config(groups: dict[str, object], algorithm: str = "grpo", **trainer: object) -> Config:
    options = {
        "max_steps": 1,
        "num_generations": SIZE,
        "per_device_train_batch_size": 4 * SIZE,
        "gradient_accumulation_steps": 1,
        "learning_rate": 1e-3,
        "lr_scheduler_type": "constant",
        "beta": 0.0,
        "save_strategy": "no",
        "shuffle_dataset": False,
    }
    section = {"algorithm": algorithm, "groups": groups, "trainer": {**options, **trainer}}
    rewards = tuple(RewardConfig(use=spec.use, weight=spec.weight) for spec in SPEC.rewards)
    return Config(rl=RLSection.model_validate(section), rewards=rewards, env=EnvConfig(max_failed_share=0.0))


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    with Run.create(tmp_path / "run", "seed: 0\n", ["pytest"]) as made:
        yield made


def one_step(run: Run, made: Config, policy: Policy | None = None) -> Recorder:
    """One update on the toys, by what `policy` says, or the model's own words."""
    assert made.rl is not None
    loaded = load_model("embedded", device="cpu")
    args = grpo_config(made, made.rl, run.folder / "checkpoints")
    with closing(LocalPool(SPEC)) as pool:
        groups = make_groups(made.rl.groups, args, TOYS, loaded.tokenizer, ())
        rollouts = Rollouts(groups, pool, chat(), LIMITS, run, 0, 0.0)
        if made.rl.groups.replay_share:
            rollouts.prefixes = Prefixes(pool, chat(), LIMITS, 0)
        if policy:
            rollouts._policy = lambda trainer: policy  # type: ignore[method-assign] # as it would be in a subclass
        trainer = Recorder(
            rollouts=rollouts,
            model=loaded.model,
            reward_funcs=[reward_function(item.use, i, item.weight) for i, item in enumerate(made.rewards)],
            args=args,
            train_dataset=prompt_dataset(TOYS, chat()),
            processing_class=loaded.tokenizer,
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    return trainer


def test_forced_tokens_have_exactly_no_gradient(run: Run) -> None:
    trainer = one_step(run, config({"ask_share": 0.25, "code_share": 0.25}, beta=0.1))
    forced = [episode for episode in trainer._batch.episodes if episode.opening]
    assert len(forced) == 4 * SIZE // 2
    taught = 0
    for episode in forced:
        assert episode.opening is not None
        given, row = len(episode.opening.token_ids), trainer.row(episode)
        ids = trainer.inputs["completion_ids"][row][:given]
        assert tuple(ids.tolist()) == episode.opening.token_ids
        assert trainer.inputs["tool_mask"][row][:given].eq(0).all()
        assert trainer.gradients[row][:given].eq(0).all()
        assert episode.policy_mask[given] == 1
        if trainer.inputs["advantages"][row] != 0:
            taught += 1
            assert trainer.gradients[row][given] != 0
    assert taught > 0


def used_or_not(variant: Variant, request: Request) -> Sequence[str]:
    """Behind a question and its answer, at the first two places: one uses it, one does not. Elsewhere, as it likes."""
    place = number(request.episode_id) % SIZE
    return (ASK, (DESC, ASC)[place]) if place < 2 else WAYS[place % 4]


def test_rollouts_behind_replayed_turns_learn_what_comes_after_and_are_compared_with_each_other(run: Run) -> None:
    made = config({"replay_share": 0.25}, scale_rewards="none")
    trainer = one_step(run, made, Staged(used_or_not))
    replayed = [episode for episode in trainer._batch.episodes if episode.opening]
    assert len(replayed) == 4 * 2
    for used, ignored in zip(replayed[::2], replayed[1::2], strict=True):
        assert used.variant.id == ignored.variant.id
        assert used.turns[0] == ignored.turns[0]
        assert used.turns[0].answer is not None and used.turns[0].answer.revealed == ("order",)
        assert (used.solved, ignored.solved) == (True, False)
        for episode, advantage in ((used, 1 / 6), (ignored, -1 / 6)):  # the wrong order passes one test of three fewer
            row, given = trainer.row(episode), episode.policy_mask.index(1)
            assert tuple(trainer.inputs["completion_ids"][row][:given].tolist())[: len(encode(ASK))] == tuple(
                encode(ASK)
            )
            assert trainer.gradients[row][:given].eq(0).all()
            assert trainer.gradients[row][given] != 0
            assert trainer.inputs["advantages"][row] == pytest.approx(advantage, abs=1e-4)
        alike = [float(trainer.inputs["advantages"][trainer.row(episode)]) for episode in (used, ignored)]
        assert sum(alike) == pytest.approx(0, abs=1e-6)
    for first in range(0, 4 * SIZE, SIZE):
        free = [episode for episode in trainer._batch.episodes[first : first + SIZE] if not episode.opening]
        assert sum(float(trainer.inputs["advantages"][trainer.row(each)]) for each in free) == pytest.approx(
            0, abs=1e-5
        )


def test_prefixes_are_the_same_for_the_same_seed_and_end_where_an_answer_told_nothing(run: Run) -> None:
    with closing(LocalPool(SPEC)) as pool:
        first, second = Prefixes(pool, chat(), LIMITS, 0), Prefixes(pool, chat(), LIMITS, 0)
        first.learn([CLEAR, UNCLEAR, UNCLEAR])
        second.learn([UNCLEAR])
    (turn,) = first.of(UNCLEAR, 1)
    assert second.of(UNCLEAR, 2) == (turn,)
    assert turn.reply.token_ids[: len(encode(ASK))] == tuple(encode(ASK))
    silent = replace(turn, answer=Answer("I do not know."))
    assert told_turns([turn, silent, turn]) == (turn,)
    assert told_turns([silent, turn]) == ()
    assert told_turns([turn, replace(turn, answer=None)]) == (turn,)


def forced_and_free(variant: Variant, request: Request) -> Sequence[str]:
    """Continues openings at the first four places: a question that helps, one that does not, right and wrong code."""
    coded = [(text.removeprefix(FENCE),) for text in (DESC, ASC)]
    return ((" order should it be?", DESC), (" is love?", ASC), *coded, (ASC,), (DESC,), (ASC,), (ASK, DESC))[
        number(request.episode_id)
    ]


def test_forced_rollouts_are_compared_with_those_that_began_alike(run: Run) -> None:
    made = config({"ask_share": 0.25, "code_share": 0.25}, scale_rewards="none", per_device_train_batch_size=SIZE)
    trainer = one_step(run, made, Staged(forced_and_free))
    episodes = trainer._batch.episodes
    kinds = [episode.opening and episode.opening.kind for episode in episodes]
    assert kinds == [ReplyKind.QUESTION] * 2 + [ReplyKind.CODE] * 2 + [None] * 4
    assert [episode.asked for episode in episodes] == [True, True, *[False] * 5, True]
    reward = [episode.reward or 0.0 for episode in episodes]
    asked, coded, mean = sum(reward[:2]) / 2, sum(reward[2:4]) / 2, sum(reward) / SIZE
    baselines = [asked, asked, coded, coded, mean, mean, mean, mean]
    for place, episode in enumerate(episodes):
        advantage = trainer.inputs["advantages"][trainer.row(episode)].item()
        assert advantage == pytest.approx(reward[place] - baselines[place], abs=1e-5)


@pytest.mark.parametrize("slots", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_a_replaced_group_is_another_one_in_every_respect(run: Run, slots: int) -> None:
    made = config({"resample": 3}, scale_rewards="none", per_device_train_batch_size=slots * SIZE)
    trainer = one_step(run, made, Staged(mixed_if_odd))
    came = [TOYS[i].id for i in range(slots)]
    trained = [episode.variant.id for episode in trainer._batch.episodes[::SIZE]]
    assert [number(name) % 2 for name in trained] == [1] * slots
    assert trained[1::2] == came[1::2]
    assert trained[0] != came[0]
    for i, episode in enumerate(trainer._batch.episodes):
        row, group = trainer.asked[i], trainer._batch.episodes[i - i % SIZE :][:SIZE]
        assert (row["episode"], TOYS[row["variant_index"]]) == (episode, episode.variant)
        assert row["prompt"] == [{"role": "user", "content": chat().first_message(episode.variant)}]
        assert episode.prompt_ids == chat().prompt_ids(episode.variant)
        assert all(other.variant == episode.variant for other in group)
        mean = sum(other.reward or 0.0 for other in group) / SIZE
        advantage = trainer.inputs["advantages"][trainer.row(episode)].item()
        assert advantage == pytest.approx((episode.reward or 0.0) - mean, abs=1e-5)


def test_dynamic_sampling_fills_the_batch_with_groups_that_teach(run: Run, tmp_path: Path) -> None:
    plain = one_step(run, config({}), Staged(mixed_if_odd))._rollouts.numbers
    with Run.create(tmp_path / "other", "seed: 0\n", ["pytest"]) as other:
        sampled = one_step(other, config({"resample": 3}), Staged(mixed_if_odd))._rollouts.numbers
        on_record = other.read_episodes("rl", TOYS)
    assert (plain["group/informative"], plain["group/replaced"], plain["rollout/episodes"]) == (0.5, 0.0, 4 * SIZE)
    assert (sampled["group/informative"], sampled["group/replaced"]) == (1.0, 0.5)
    assert len({episode.id for episode in on_record}) == len(on_record) == sampled["rollout/episodes"] > 4 * SIZE


def logged(run: Run) -> list[dict[str, Any]]:
    return [row for row in run.read_metrics() if "group/informative" in row]


def test_without_options_nothing_is_exchanged_forced_or_compared_otherwise(run: Run) -> None:
    trainer = one_step(run, config({}, scale_rewards="none"), Staged(mixed_if_odd))
    episodes = trainer._batch.episodes
    assert [row["variant_index"] for row in trainer.asked] == [i for i in range(4) for _ in range(SIZE)]
    assert [episode.id for episode in episodes] == [f"rl/0/0/{i}" for i in range(4 * SIZE)]
    assert [episode.variant for episode in episodes] == [TOYS[i // SIZE] for i in range(4 * SIZE)]
    assert not any(episode.opening for episode in episodes)


@pytest.mark.parametrize("scaling", ["group", "batch"])
def test_groups_of_equal_rewards_are_counted_however_rewards_are_scaled(run: Run, scaling: str) -> None:
    """Two of four have eight times 1/3, in which TRL sees variance, by rounding or because groups differ."""
    made = config({}, scale_rewards=scaling, max_steps=1)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Rollouts, "_policy", lambda self, trainer: Staged(mixed_if_odd))
        train(run, TOYS[:4], made)
    (row,) = logged(run)
    assert (row["group/zero_variance"], row["group/informative"]) == (0.5, 0.5)


FORCED = {"ask_share": 0.25, "code_share": 0.25}


def test_a_resumed_run_equals_the_uninterrupted_one(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Rollouts, "_policy", lambda self, trainer: Staged(by_chance))
    made = config({**FORCED, "by_solve_rate": True, "resample": 2}, **SAVED, max_steps=6)
    train(run, ALL_TOYS, made)
    before, metrics = written(run), logged(run)
    episodes = run.read_episodes("rl", ALL_TOYS)
    assert any(row["group/replaced"] for row in metrics)
    assert any(row["group/informative"] < 1 for row in metrics)
    assert {episode.opening and episode.opening.kind for episode in episodes} == {
        None,
        ReplyKind.QUESTION,
        ReplyKind.CODE,
    }
    assert {episode.variant.id for episode in episodes[: 2 * SIZE]} != {"toy/0", "toy/1"}
    cut_off(run, from_step=4)
    train(run, ALL_TOYS, made)
    assert written(run) == before


@pytest.mark.parametrize("algorithm", ["grpo", "ppo"])
def test_so_does_one_in_which_the_model_speaks_for_itself(run: Run, algorithm: str) -> None:
    made = config({**FORCED, "by_solve_rate": True}, algorithm, **SAVED, max_steps=2)
    train(run, TOYS[:4], made)
    before, episodes = written(run), run.read_episodes("rl", TOYS)
    assert sum(episode.opening is not None for episode in episodes) == len(episodes) // 2
    cut_off(run, from_step=2)
    train(run, TOYS[:4], made)
    assert written(run) == before


SAVED: dict[str, Any] = {  # Any: options of TRL
    "save_strategy": "steps",
    "save_steps": 1,
    "save_total_limit": 9,
    "per_device_train_batch_size": 2 * SIZE,
}


def cut_off(run: Run, from_step: int) -> None:
    """Takes back the model and the checkpoints of a step and later."""
    shutil.rmtree(run.model_folder("rl"))
    for folder in (run.folder / "checkpoints" / "rl").glob("checkpoint-*"):
        if int(folder.name.rpartition("-")[2]) >= from_step:
            shutil.rmtree(folder)


def train(run: Run, variants: Sequence[Variant], made: Config) -> None:
    loaded = load_model("embedded", device="cpu")
    assert made.rl is not None
    with closing(LocalPool(SPEC)) as pool:
        train_rl(loaded, variants, pool, chat(), replace(LIMITS, turn_tokens=96, total_tokens=256), made, run)


def written(run: Run) -> tuple[bytes, list[dict[str, Any]], list[dict[str, Any]]]:
    """The weights, the episodes and the metrics, without what a clock decides."""
    lines = (run.folder / "episodes" / "rl.jsonl").read_text(encoding="utf-8").splitlines()
    episodes = [json.loads(line) for line in lines]
    for row in episodes:
        for name in ("cpu_s", "wall_s"):
            (row["execution"] or {}).pop(name, None)
    clock = ("time/", "rollout/tokens_per_s")
    metrics = [{name: value for name, value in row.items() if not name.startswith(clock)} for row in logged(run)]
    return (run.model_folder("rl") / "model.safetensors").read_bytes(), episodes, metrics
