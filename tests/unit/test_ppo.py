"""PPO: its arithmetic against plain loops, its loss against a plain model, what it learns, and what it saves."""

from __future__ import annotations

import copy
import json
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from peft import LoraConfig, get_peft_model
from safetensors import safe_open
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from clarify_rl.config import Config, EnvConfig, RewardConfig
from clarify_rl.config_files import load_config
from clarify_rl.dialogue.episodes import DialogueLimits
from clarify_rl.errors import ConfigError
from clarify_rl.policies.models import load_model
from clarify_rl.pool import LocalPool
from clarify_rl.rl_sections import CreditSection, PPOSection, RLSection
from clarify_rl.store import Run
from clarify_rl.training.credit import rewards_to_go, turn_of_token
from clarify_rl.training.critic import FILE, make_critic
from clarify_rl.training.gae import at_last_token, clipped_squares, explained_variance, gae, mean_and_std
from clarify_rl.training.grpo import Rollouts
from clarify_rl.training.ppo import DialoguePPOTrainer, ppo_config
from clarify_rl.training.rl import train_rl
from clarify_rl.types import Episode, Policy, Request, Sample, Score, Stop
from tests.dialogues import ASC, ASK, CLEAR, DESC, SPEC, UNCLEAR, chat, encode
from tests.ppo_world import World, make_trainer, own_words, tiny_model

NUMBERS = st.floats(-2, 2, width=32)


@dataclass(frozen=True)
class Steps:
    """One episode as tensors of one row."""

    rewards: torch.Tensor
    values: torch.Tensor
    mask: torch.Tensor


@st.composite
def steps(draw: st.DrawFn) -> Steps:
    """Turns of the policy and of the user by turns, and padding."""
    width = draw(st.integers(1, 12))
    row = st.lists(NUMBERS, min_size=width, max_size=width)
    mask = draw(st.lists(st.integers(0, 1), min_size=width, max_size=width))
    rewards, values = torch.tensor([draw(row)]), torch.tensor([draw(row)])
    return Steps(rewards * torch.tensor([mask]), values * torch.tensor([mask]), torch.tensor([mask]))


def plain_gae(rewards: Sequence[float], values: Sequence[float], gamma: float, lam: float) -> list[float]:
    """Each advantage as the sum that defines it, over steps of the policy that follow each other directly."""
    after = [*values, 0.0][1:]
    deltas = [r + gamma * n - v for r, v, n in zip(rewards, values, after, strict=True)]
    return [sum((gamma * lam) ** (k - t) * deltas[k] for k in range(t, len(deltas))) for t in range(len(deltas))]


@given(steps(), st.floats(0, 1), st.floats(0, 1))
def test_gae_is_that_of_the_policys_steps_alone(case: Steps, gamma: float, lam: float) -> None:
    found = gae(case.rewards, case.values, case.mask, gamma, lam)
    own = case.mask[0].bool()
    wanted = plain_gae(case.rewards[0][own].tolist(), case.values[0][own].tolist(), gamma, lam)
    assert found.advantages[0][own].tolist() == pytest.approx(wanted, abs=1e-4)
    returns = [a + v for a, v in zip(wanted, case.values[0][own].tolist(), strict=True)]
    assert found.returns[0][own].tolist() == pytest.approx(returns, abs=1e-4)
    assert not found.advantages[0][~own].any()
    assert not found.returns[0][~own].any()


@given(steps(), st.integers(0, 5), st.integers(0, 5))
def test_padding_and_words_of_the_user_change_no_advantage(case: Steps, padding: int, talk: int) -> None:
    widened = [torch.cat([row, torch.zeros(1, padding)], 1) for row in (case.rewards, case.values, case.mask)]
    middle = case.mask.shape[1] // 2
    talked = [torch.cat([row[:, :middle], torch.zeros(1, talk), row[:, middle:]], 1) for row in widened]
    rewards, values, mask = talked
    mine, theirs = gae(case.rewards, case.values, case.mask, 1.0, 0.9), gae(rewards, values, mask, 1.0, 0.9)
    assert theirs.advantages[0][mask[0] == 1].tolist() == mine.advantages[0][case.mask[0] == 1].tolist()


def test_an_answer_of_the_user_does_not_cut_an_episode_in_two() -> None:
    """One word, two of the user, one word; worked out by hand with gamma 0.9 and lambda 0.5."""
    mask = torch.tensor([[1, 0, 0, 1, 0]])
    rewards, values = torch.tensor([[0.0, 0, 0, 1, 0]]), torch.tensor([[0.2, 0, 0, 0.6, 0]])
    found = gae(rewards, values, mask, 0.9, 0.5)
    last, first = 1 - 0.6, 0.9 * 0.6 - 0.2 + 0.45 * (1 - 0.6)
    assert found.advantages.tolist() == [pytest.approx([first, 0, 0, last, 0])]


def test_the_reward_comes_with_the_last_word_of_the_policy() -> None:
    mask = torch.tensor([[1, 0, 1, 0], [1, 1, 1, 1], [0, 0, 0, 0]])
    assert at_last_token(torch.tensor([5.0, 6.0, 7.0]), mask).tolist() == [[0, 0, 5, 0], [0, 0, 0, 6], [0, 0, 0, 0]]


def test_advantages_are_measured_over_the_policys_words_of_all_processes() -> None:
    numbers, mask = torch.tensor([[1.0, 9.0, 3.0]]), torch.tensor([[1, 0, 1]])
    assert [x.item() for x in mean_and_std(numbers, mask, lambda own: own)] == [2.0, 1.0]
    # Another process whose words add up to the same, and which has as many of them, changes nothing.
    assert [x.item() for x in mean_and_std(numbers, mask, lambda own: own * 2)] == [2.0, 1.0]
    assert [x.item() for x in mean_and_std(numbers, torch.zeros(1, 3), lambda own: own)] == [0.0, 0.0]


@given(NUMBERS, NUMBERS, NUMBERS, st.floats(0.01, 1))
def test_the_values_error_is_the_worse_of_two(value: float, old: float, wanted: float, clip: float) -> None:
    near = min(max(value, old - clip), old + clip)
    case = torch.tensor([value]), torch.tensor([old]), torch.tensor([wanted])
    (found,) = clipped_squares(*case, clip).tolist()
    assert found == pytest.approx(0.5 * max((value - wanted) ** 2, (near - wanted) ** 2), abs=1e-4)
    (free,) = clipped_squares(*case, None).tolist()
    assert free == pytest.approx(0.5 * (value - wanted) ** 2, abs=1e-4)


def test_explained_variance_knows_a_good_critic_from_one_that_guesses_the_mean() -> None:
    returns, mask = torch.tensor([[0.0, 1.0, 0.0, 1.0, 77.0]]), torch.tensor([[1, 1, 1, 1, 0]])
    assert explained_variance(returns.clone(), returns, mask) == 1.0
    assert explained_variance(torch.full((1, 5), 0.5), returns, mask) == 0.0
    assert explained_variance(1 - returns, returns, mask) == -3.0
    assert explained_variance(returns, torch.ones(1, 5), mask) is None
    assert explained_variance(returns, returns, torch.zeros(1, 5)) is None


# ---- the loss, in a world of eight words


@dataclass
class Seen:
    """One micro-batch: its loss, the gradients, the weights that they were computed with, and the batch itself."""

    loss: torch.Tensor
    by_weight: list[torch.Tensor]
    by_logprob: torch.Tensor
    by_value: torch.Tensor
    model: Any  # Any: transformers' own type
    inputs: dict[str, Any]  # Any: TRL's own batch


class Recorder(DialoguePPOTrainer):
    """Writes down every micro-batch. Its critic starts with a guess, so that its values matter from the first step."""

    def __init__(self, **kwargs: Any) -> None:  # Any: TRL's own signature
        super().__init__(**kwargs)
        self.seen: list[Seen] = []
        self.caught: dict[str, torch.Tensor] = {}
        torch.manual_seed(1)
        torch.nn.init.normal_(self.critic.value_head.weight)
        self.critic.value_head.register_forward_hook(lambda _, __, out: self._catch("values", out))

    def _catch(self, name: str, tensor: torch.Tensor) -> None:
        if tensor.requires_grad:
            tensor.retain_grad()
            self.caught[name] = tensor

    def _get_per_token_logps_and_entropies(self, *args: Any, **kwargs: Any) -> Any:  # Any: TRL's own signature
        out = super()._get_per_token_logps_and_entropies(*args, **kwargs)
        self._catch("logprobs", out[0])
        return out

    def _compute_loss(self, model: Any, inputs: dict[str, Any]) -> torch.Tensor:  # Any: TRL's own types
        loss = super()._compute_loss(model, inputs)
        weights = [item for item in self.model.parameters() if item.requires_grad]
        caught = [self.caught["logprobs"], self.caught["values"]]
        gradients = torch.autograd.grad(loss, [*weights, *caught], retain_graph=True, materialize_grads=True)
        width = inputs["completion_ids"].shape[1]
        self.seen.append(
            Seen(
                loss.detach(),
                list(gradients[:-2]),
                gradients[-2],
                gradients[-1].squeeze(-1)[:, -width - 1 : -1],
                copy.deepcopy(self.model),
                dict(inputs),
            )
        )
        return loss


def share_of_c(episode: Episode) -> float:
    words = own_words(episode)
    return words.count(4) / len(words)


def lost_at_1(episode: Episode) -> float | None:
    return None if episode.id.endswith("/1") else share_of_c(episode)


def recorded(folder: Path, world: World, options: PPOSection, **trainer: object) -> list[Seen]:
    made = make_trainer(folder, world, options, Recorder, **trainer)
    assert isinstance(made, Recorder)
    made.train()
    return made.seen


@dataclass
class Read:
    """What a plain model says of one episode's own words."""

    logprobs: list[torch.Tensor]
    values: list[torch.Tensor]


def read(model: Any, episode: Episode) -> Read:  # Any: transformers' own type
    """One episode at a time, without padding, through the plain forward pass."""
    ids = torch.tensor([[*episode.prompt_ids, *episode.completion_ids]])
    states = model.base_model(input_ids=ids).last_hidden_state
    logprobs = model.lm_head(states)[0].log_softmax(-1)
    critic = model.critic
    trunk = states if critic.backbone is None else critic.backbone(input_ids=ids).last_hidden_state
    values = critic.value_head(trunk)[0, :, 0]
    first = len(episode.prompt_ids)
    own = [first + t for t, bit in enumerate(episode.policy_mask) if bit]
    return Read([logprobs[t - 1, ids[0, t]] for t in own], [values[t - 1] for t in own])


def plain_loss(old: Any, new: Any, episodes: Sequence[Episode], options: PPOSection) -> torch.Tensor:  # Any: as above
    """PPO's loss of measured episodes, word by word: epsilon 0.2, a mean over all words."""
    before = [read(old, episode) for episode in episodes]
    advantages: list[float] = []
    returns: list[float] = []
    for told, episode in zip(before, episodes, strict=True):
        values = [value.item() for value in told.values]
        rewards = [0.0] * (len(values) - 1) + [episode.reward or 0.0]
        found = plain_gae(rewards, values, options.gamma, options.gae_lambda)
        advantages += found
        returns += [a + v for a, v in zip(found, values, strict=True)]
    mean = sum(advantages) / len(advantages)
    std = math.sqrt(sum((a - mean) ** 2 for a in advantages) / len(advantages))
    then = [pair for told in before for pair in zip(told.logprobs, told.values, strict=True)]
    now = [pair for e in episodes for pair in zip(*vars(read(new, e)).values(), strict=True)]
    total = torch.zeros(())
    for (was, old_value), (logprob, value), advantage, wanted in zip(then, now, advantages, returns, strict=True):
        ratio, gain = (logprob - was.detach()).exp(), (advantage - mean) / std
        total = total - torch.min(ratio * gain, ratio.clamp(0.8, 1.2) * gain)
        error = (value - wanted) ** 2
        if options.value_clip:
            near = old_value.detach() + (value - old_value.detach()).clamp(-options.value_clip, options.value_clip)
            error = torch.max(error, (near - wanted) ** 2)
        total = total + options.value_weight * error / 2
    return total / len(now)


def assert_same(parts: Sequence[Seen], wanted: torch.Tensor, model: Any) -> None:  # Any: as above
    """The micro-batches of one update add up to `wanted`, in its value and in every weight's gradient."""
    assert sum(part.loss.item() for part in parts) == pytest.approx(wanted.item(), abs=1e-5)
    gradients = torch.autograd.grad(wanted, list(model.parameters()), materialize_grads=True)
    for i, gradient in enumerate(gradients):
        found = torch.stack([part.by_weight[i] for part in parts]).sum(0)
        assert torch.allclose(found, gradient, atol=1e-5)


OPTIONS = PPOSection(gamma=0.95, gae_lambda=0.8, value_clip=0.2, value_weight=0.3)


@pytest.mark.parametrize("critic", ["shared", "own"])
def test_the_loss_is_that_of_a_plain_model_word_by_word(tmp_path: Path, critic: str) -> None:
    options = OPTIONS.model_copy(update={"critic": critic})
    world = World(share_of_c)
    (seen,) = recorded(tmp_path, world, options)
    assert_same([seen], plain_loss(seen.model, seen.model, world.episodes[0], options), seen.model)


def test_micro_batches_add_up_to_the_same_update(tmp_path: Path) -> None:
    """They are cut by length, so rows and columns move: what the critic said must move along."""
    world = World(share_of_c)
    cut = {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 4}
    seen = recorded(tmp_path, world, OPTIONS, **cut)
    assert len({part.inputs["returns"].shape for part in seen}) > 1
    model = seen[0].model
    assert_same(seen, plain_loss(model, model, world.episodes[0], OPTIONS), model)


def test_a_second_update_from_the_same_episodes_is_clipped_against_the_first_ones_model(tmp_path: Path) -> None:
    world = World(share_of_c)
    options = OPTIONS.model_copy(update={"value_clip": 0.01})
    first, second = recorded(tmp_path, world, options, num_iterations=2, max_steps=2, learning_rate=0.002)
    assert len(world.episodes) == 1
    wanted = plain_loss(first.model, second.model, world.episodes[0], options)
    assert_same([second], wanted, second.model)
    unclipped = options.model_copy(update={"value_clip": None})
    assert plain_loss(first.model, second.model, world.episodes[0], unclipped).item() != pytest.approx(wanted.item())


def test_only_the_policys_words_have_a_gradient(tmp_path: Path) -> None:
    (seen,) = recorded(tmp_path, World(lost_at_1), OPTIONS)
    mask = (seen.inputs["completion_mask"] * seen.inputs["tool_mask"]).bool()
    assert (mask.sum(1) == 0).sum() == 1
    assert (seen.inputs["completion_mask"].bool() & ~mask).any()
    assert (seen.inputs["completion_mask"] == 0).any()
    for gradient in (seen.by_logprob, seen.by_value):
        assert gradient[~mask].eq(0).all()
        assert gradient[mask].ne(0).all()


def test_an_unmeasured_episode_changes_nothing(tmp_path: Path) -> None:
    world = World(lost_at_1)
    (seen,) = recorded(tmp_path, world, OPTIONS)
    measured = [episode for episode in world.episodes[0] if episode.reward is not None]
    assert len(measured) == 7
    assert_same([seen], plain_loss(seen.model, seen.model, measured, OPTIONS), seen.model)


def test_a_batch_without_a_measured_episode_teaches_nothing(tmp_path: Path) -> None:
    (seen,) = recorded(tmp_path, World(lambda _: None), OPTIONS)
    assert seen.loss == 0.0
    assert not any(gradient.any() for gradient in seen.by_weight)


def test_an_episode_that_the_pool_lost_has_no_reward(tmp_path: Path) -> None:
    """It has one score, that of the pool, however many rewards there are."""
    made = make_trainer(tmp_path, World(share_of_c), PPOSection())
    plain = Episode("e", CLEAR, 0, (), Stop.CODE)
    scored = [(Score("judge", 3.0, 0.5),), (Score("judge", None),), (Score("pool", None), Score("more", 1.0))]
    found = made._rewards([replace(plain, scores=scores) for scores in scored], torch.tensor([[1, 0, 1]] * 3))
    assert found.tolist() == [[0.0, 0.0, 1.5], [0.0] * 3, [0.0] * 3]


@pytest.mark.slow
@pytest.mark.parametrize("critic", ["shared", "own"])
def test_two_processes_take_the_step_that_one_would_take_from_all_their_episodes(tmp_path: Path, critic: str) -> None:
    root = Path(__file__).parents[2]
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    script = [str(root / "tests" / "ppo_ranks.py"), str(tmp_path), critic]
    environment = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*launch, *script], env=environment, timeout=300, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads((tmp_path / "told.json").read_text(encoding="utf-8"))
    assert told["episodes"] > 12
    assert told["largest"] > 1
    assert told["error"] < 1e-3
    assert told["equal"]


# ---- what it learns


def test_the_critic_has_a_learning_rate_of_its_own(tmp_path: Path) -> None:
    made = make_trainer(tmp_path, World(share_of_c), PPOSection(learning_rate=0.5), learning_rate=0.001)
    made.create_optimizer()
    rates = {id(item): group["lr"] for group in made.optimizer.param_groups for item in group["params"]}
    assert len(rates) == len(list(made.model.parameters()))
    for name, item in made.model.named_parameters():
        assert rates[id(item)] == (0.5 if name.startswith("critic.") else 0.001)


@pytest.mark.parametrize("critic", ["shared", "own"])
def test_a_bandit_is_solved_in_25_steps(tmp_path: Path, critic: str) -> None:
    """Each word pays when it is `c`: the best that a policy can do is 1, and chance gives 1/8."""
    world = World(share_of_c)
    made = make_trainer(tmp_path, world, PPOSection(critic=critic), max_steps=25, per_device_train_batch_size=32)
    made.train()
    shares = [sum(share_of_c(e) for e in batch) / len(batch) for batch in world.episodes]
    assert shares[0] < 0.4
    assert shares[-1] > 0.97


def test_a_critic_of_its_own_starts_as_the_model_that_an_adapter_makes() -> None:
    start = get_peft_model(tiny_model(), LoraConfig(r=2, target_modules="all-linear", init_lora_weights=False))
    ids = torch.tensor([[2, 3, 4]])
    backbone = make_critic(start, own=True).backbone
    assert backbone is not None
    states = start.get_submodule("base_model.model.model")(input_ids=ids).last_hidden_state
    assert torch.allclose(backbone(input_ids=ids).last_hidden_state, states, atol=1e-5)
    assert all(weight.requires_grad for weight in backbone.parameters())


def test_the_first_word_is_learned_though_the_reward_comes_after_the_users_answer(tmp_path: Path) -> None:
    def first_word(episode: Episode) -> float:
        return float(episode.completion_ids[0] == 5)

    world = World(first_word)
    make_trainer(tmp_path, world, PPOSection(), max_steps=25, per_device_train_batch_size=32).train()
    assert sum(first_word(e) for e in world.episodes[0]) < 16
    assert sum(first_word(e) for e in world.episodes[-1]) >= 31


def test_the_critic_learns_what_a_prompt_is_worth(tmp_path: Path) -> None:
    def by_prompt(episode: Episode) -> float:
        return float(len(episode.prompt_ids) > 1)

    world = World(by_prompt)
    options = PPOSection(critic="own", gae_lambda=1.0, learning_rate=0.01)
    made = make_trainer(tmp_path, world, options, max_steps=25, per_device_train_batch_size=16, learning_rate=1e-3)
    made.train()
    assert world.numbers["train/explained_variance"] > 0.9


def test_an_untrained_critic_starts_from_the_mean_of_the_first_batch(tmp_path: Path) -> None:
    world = World(share_of_c)
    make_trainer(tmp_path, world, PPOSection()).train()
    (batch,) = world.episodes
    words = [share_of_c(episode) for episode in batch for _ in own_words(episode)]
    assert world.numbers["train/value_mean"] == pytest.approx(sum(words) / len(words))
    assert world.numbers["train/explained_variance"] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("critic", ["shared", "own"])
def test_a_policy_that_starts_from_an_adapter_trains_it_and_a_whole_critic(tmp_path: Path, critic: str) -> None:
    start = get_peft_model(tiny_model(), LoraConfig(r=2, target_modules="all-linear", init_lora_weights=False))
    options = PPOSection(critic=critic)
    made = make_trainer(tmp_path, World(share_of_c), options, model=start, max_steps=2, beta=0.1)
    names = [name for name, _ in made.critic.named_parameters()]
    assert not any("lora" in name for name in names)
    before = {name: weight.detach().clone() for name, weight in made.model.named_parameters()}
    made.train()
    changed = {name for name, weight in made.model.named_parameters() if not torch.equal(weight, before[name])}
    assert {name for name in before if name.partition("critic.")[2] in names} <= changed
    assert all("lora" in name or "critic." in name for name in changed)
    assert any("lora" in name for name in changed)


# ---- a run: dialogues, checkpoints, resume, adapters

LIMITS = DialogueLimits(max_questions=2, turn_tokens=60, total_tokens=200)
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


def config(ppo: PPOSection | None = None, lora: dict[str, Any] | None = None, **trainer: object) -> Config:
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
    section = RLSection(algorithm="ppo", ppo=ppo or PPOSection(), trainer={**options, **trainer}, lora=lora)
    rewards = tuple(RewardConfig(use=spec.use, weight=spec.weight) for spec in SPEC.rewards)
    return Config(rl=section, rewards=rewards, env=EnvConfig(max_failed_share=0.1))


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    monkeypatch.setattr(Rollouts, "_policy", lambda self, trainer: Rehearsed(chat().turn_end_id))
    with Run.create(tmp_path / "run", "seed: 0\n", ["pytest"]) as made:
        yield made


def train(run: Run, made: Config) -> Path:
    with closing(LocalPool(SPEC)) as pool:
        return train_rl(load_model("embedded", device="cpu"), [UNCLEAR, CLEAR], pool, chat(), LIMITS, made, run)


def names(file: Path) -> set[str]:
    with safe_open(file, "pt") as opened:
        return set(opened.keys())


@pytest.mark.parametrize("critic", ["shared", "own"])
def test_the_saved_model_is_a_plain_one_with_its_critic_beside_it(run: Run, critic: str) -> None:
    folder = train(run, config(PPOSection(critic=critic)))
    loaded, info = AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True)
    assert not any(info[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert not any("critic" in name for name in names(folder / "model.safetensors"))
    base = load_model("embedded", device="cpu").model
    assert not any(torch.equal(a, b) for a, b in zip(base.parameters(), loaded.parameters(), strict=True))
    assert load_file(folder / FILE)["value_head.weight"].any()
    assert any(name.startswith("backbone.") for name in names(folder / FILE)) == (critic == "own")


def test_what_the_critic_does_is_logged(run: Run) -> None:
    train(run, config())
    (row,) = [row for row in run.read_metrics() if "reward/total" in row]
    told = {"value_loss", "value_clip_ratio", "explained_variance", "value_mean", "advantage_mean", "advantage_std"}
    assert {f"train/{name}" for name in told} <= row.keys()
    assert row["train/value_loss"] > 0  # type: ignore[operator] # a number


@pytest.mark.parametrize(
    ("critic", "lora"), [("shared", None), ("own", None), ("shared", {"r": 4, "target_modules": "all-linear"})]
)
def test_a_resumed_run_goes_on_to_the_same_weights(run: Run, critic: str, lora: dict[str, Any] | None) -> None:
    ppo = PPOSection(critic=critic, learning_rate=3e-3)
    made = config(ppo, lora, max_steps=2, save_strategy="steps", save_steps=1)
    checkpoints = run.folder / "checkpoints" / "rl"
    files = [train(run, made) / "model.safetensors", run.model_folder("rl") / FILE]
    files += [checkpoints / "checkpoint-2" / name for name in (FILE, "optimizer.pt")]
    before = [file.read_bytes() for file in files]
    assert (checkpoints / "checkpoint-1" / FILE).read_bytes() != before[2]
    shutil.rmtree(run.model_folder("rl"))
    shutil.rmtree(checkpoints / "checkpoint-2")
    train(run, made)
    assert [file.read_bytes() for file in files] == before


def test_a_checkpoint_keeps_the_critics_optimizer(run: Run) -> None:
    train(run, config(PPOSection(critic="shared", learning_rate=3e-3), save_strategy="steps", save_steps=1))
    saved = torch.load(run.folder / "checkpoints" / "rl" / "checkpoint-1" / "optimizer.pt")
    (group,) = [group for group in saved["param_groups"] if group["lr"] == 3e-3]
    assert len(group["params"]) == 2
    assert all(saved["state"][index]["exp_avg"].any() for index in group["params"])


def test_an_adapter_and_the_value_head_train_on_a_frozen_backbone(run: Run) -> None:
    folder = train(run, config(lora={"r": 4, "target_modules": "all-linear"}, max_steps=2))
    assert load_file(folder / FILE)["value_head.weight"].any()
    adapter = names(folder / "adapter" / "adapter_model.safetensors")
    assert adapter
    assert all("lora_" in name for name in adapter)
    merged = load_file(folder / "model.safetensors")
    plain = load_model("embedded", device="cpu").model.state_dict()
    changed = {name for name in merged if not torch.equal(merged[name], plain[name])}
    assert changed
    assert all("_proj.weight" in name for name in changed)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"learning_rat": 1e-4}, r"rl\.trainer.*learning_rat"),
        ({"num_generations": 1}, r"rl\.trainer\.num_generations=1.*PPO compares no groups.*take 2"),
        ({"scale_rewards": "batch"}, r"rl\.trainer\.scale_rewards.*Leave it out"),
        ({"loss_type": "vespo"}, r"loss_type=vespo.*Take one of bnpo, dapo"),
        ({"importance_sampling_level": "sequence"}, r"importance_sampling_level"),
        ({"ddp_find_unused_parameters": True}, r"ddp_find_unused_parameters"),
        ({"use_vllm": True}, r"use_vllm"),
    ],
)
def test_an_option_that_ppo_does_not_take_is_named(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    made = config(None, None, **options)
    assert made.rl is not None
    with pytest.raises(ConfigError, match=message):
        ppo_config(made, made.rl, tmp_path)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("rl.ppo.lambda=1", "Unknown key 'rl.ppo.lambda'. Did you mean 'gae_lambda'?"),
        ("rl.ppo.value_wait=1", "Did you mean 'value_weight'?"),
        ("rl.ppo.gamma=2", "rl.ppo.gamma: Input should be less than or equal to 1"),
        ("rl.ppo.critic=mine", "rl.ppo.critic: Input should be 'own' or 'shared'"),
        ("rl.algorithm=pp0", "rl.algorithm: Input should be 'grpo' or 'ppo'"),
    ],
)
def test_a_wrong_option_of_ppo_says_what_to_type(override: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config("demo", [override])
    assert message in str(caught.value)


def test_credited_to_go_the_critic_learns_what_comes_after_each_turn(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """By returns of gamma 1 and lambda 1, which are rewards to go, whatever the critic says."""
    seen: list[dict[str, Any]] = []  # Any: TRL's own batch
    plain = DialoguePPOTrainer._compute_loss

    def loss(self: Any, model: Any, inputs: Any) -> Any:  # Any: TRL's own signature
        seen.append(inputs)
        return plain(self, model, inputs)

    monkeypatch.setattr(DialoguePPOTrainer, "_compute_loss", loss)
    made = config(PPOSection())
    section = (made.rl or RLSection()).model_copy(update={"credit": CreditSection(by="to_go")})
    train(run, made.model_copy(update={"rl": section}))
    episodes = {episode.completion_ids: episode for episode in run.read_episodes("rl", [UNCLEAR, CLEAR])}
    apart = 0
    for batch in seen:
        for ids, mask, returns in zip(batch["completion_ids"], batch["completion_mask"], batch["returns"], strict=True):
            episode = episodes[tuple(ids[mask == 1].tolist())]
            due = [0.0 if turn is None else rewards_to_go(episode)[turn] for turn in turn_of_token(episode)]
            assert returns[: len(due)].tolist() == pytest.approx(due, abs=1e-4)
            apart += len({value for value in due if value}) > 1
    assert apart
