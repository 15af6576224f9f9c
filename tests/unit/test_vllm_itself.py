"""vLLM itself, on a GPU or by its build for processors: that it samples what the learner would, and comes again.

A build for processors must leave weights as they are when it loads them, or none can be put in later.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from clarify_rl.config import Config, EnvConfig, RewardConfig
from clarify_rl.dialogue.episodes import DialogueLimits, run_episodes
from clarify_rl.policies.hf import HFPolicy
from clarify_rl.policies.models import load_model
from clarify_rl.policies.vllm import Engines, VLLMPolicy
from clarify_rl.pool import LocalPool, PoolSpec, RewardSpec
from clarify_rl.rl_sections import EvaluationSection, RLSection
from clarify_rl.store import Run
from clarify_rl.training.export import export_model
from clarify_rl.training.rl import train_rl
from clarify_rl.types import Episode, Request, Sample, Start
from tests.dialogues import CLEAR, UNCLEAR, chat

pytestmark = pytest.mark.vllm
pytest.importorskip("vllm")

PLUGINS = Path(__file__).parents[1] / "plugins.py"
LETTERS = f"{PLUGINS}:letters"
LIMITS = DialogueLimits(max_questions=2, turn_tokens=40, total_tokens=160)
OPTIONS = {"enforce_eager": True, "max_model_len": 512, "gpu_memory_utilization": 0.2}
REQUESTS = [Request(chat().prompt_ids(variant), 40, f"e{i}", 0, i) for i, variant in enumerate((UNCLEAR, CLEAR) * 4)]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "base"
    export_model("embedded", folder)
    return folder


@pytest.fixture(scope="module")
def other(base: Path) -> Path:
    """A model of the same shape that says other things."""
    loaded = load_model(str(base), device="cpu")
    torch.manual_seed(1)
    with torch.no_grad():
        for weights in loaded.model.parameters():
            weights += 0.02 * torch.randn_like(weights)
    folder = base.parent / "other"
    loaded.model.save_pretrained(folder)
    loaded.tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def engines() -> Iterator[Engines]:
    with Engines(OPTIONS, export_model) as made:
        yield made


def said(engines: Engines, spec: str) -> list[tuple[int, ...]]:
    return [sample.token_ids for sample in VLLMPolicy(engines.holding(spec), chat().end_ids).generate(REQUESTS)]


def said_by_our_own_loop(spec: str) -> list[tuple[int, ...]]:
    loaded = load_model(spec)
    policy = HFPolicy(loaded.model, chat().end_ids, loaded.tokenizer.pad_token_id, 0.0)
    return [sample.token_ids for sample in policy.generate(REQUESTS)]


def test_one_engine_says_of_each_checkpoint_what_our_own_loop_says(engines: Engines, base: Path, other: Path) -> None:
    own = {str(folder): said_by_our_own_loop(str(folder)) for folder in (base, other)}
    assert own[str(base)] != own[str(other)]
    for folder in (base, other, base):
        assert said(engines, str(folder)) == own[str(folder)]


def test_a_model_without_a_folder_is_written_to_one(engines: Engines, base: Path) -> None:
    assert said(engines, "embedded") == said_by_our_own_loop("embedded")


def test_a_request_is_drawn_by_its_own_seed_whatever_stands_beside_it(engines: Engines, base: Path) -> None:
    policy = VLLMPolicy(engines.holding(str(base)), chat().end_ids, temperature=1.0, logprobs=True)
    together = policy.generate(REQUESTS)
    alone = [policy.generate([request])[0] for request in REQUESTS]
    assert [sample.token_ids for sample in together] == [sample.token_ids for sample in alone]
    other_seeds = policy.generate([replace(request, seed=request.seed + 100) for request in REQUESTS])
    assert [sample.token_ids for sample in other_seeds] != [sample.token_ids for sample in together]


def test_a_reply_keeps_to_its_budget_and_says_whether_it_ended(engines: Engines, base: Path) -> None:
    policy = VLLMPolicy(engines.holding(str(base)), chat().end_ids)
    short, long = policy.generate([replace(REQUESTS[1], max_new_tokens=budget) for budget in (3, 200)])
    assert (len(short.token_ids), short.finished) == (3, False)
    assert long.finished and long.token_ids[-1] in chat().end_ids
    assert long.token_ids[:3] == short.token_ids


def test_a_stream_gives_what_one_call_gives_whatever_comes_when(engines: Engines, base: Path) -> None:
    policy = VLLMPolicy(engines.holding(str(base)), chat().end_ids, temperature=1.0, logprobs=True)
    together = policy.generate(REQUESTS)
    waiting, done = list(enumerate(REQUESTS)), dict[int, Sample]()
    with policy.stream() as stream:
        stream.add(*waiting.pop(0))
        while stream.busy:
            done.update(stream.step())
            if waiting:
                stream.add(*waiting.pop(0))
    assert [done[number].token_ids for number in range(len(REQUESTS))] == [sample.token_ids for sample in together]
    assert [done[number].finished for number in range(len(REQUESTS))] == [sample.finished for sample in together]


def test_what_is_under_way_when_a_stream_ends_is_called_off(engines: Engines, base: Path) -> None:
    llm = engines.holding(str(base))
    policy = VLLMPolicy(llm, chat().end_ids)
    with policy.stream() as stream:
        for number, request in enumerate(REQUESTS):
            stream.add(number, request)
        assert len(stream.step()) < len(REQUESTS)
    assert not llm.llm_engine.has_unfinished_requests()
    assert said(engines, str(base)) == said_by_our_own_loop(str(base))


def test_dialogues_that_flow_are_those_that_take_turns(engines: Engines, base: Path) -> None:
    policy = VLLMPolicy(engines.holding(str(base)), chat().end_ids, temperature=1.0)
    starts = [Start(variant, f"e{i}", i) for i, variant in enumerate((UNCLEAR, CLEAR) * 8)]
    spec = PoolSpec(f"{PLUGINS}:Chatty", rewards=(RewardSpec(LETTERS),))
    with closing(LocalPool(spec)) as pool:
        flowing, in_turns = (
            run_episodes(starts, policy=policy, pool=pool, chat=chat(), limits=LIMITS, stream=stream)
            for stream in (True, False)
        )
    assert max(len(episode.turns) for episode in flowing) > 1
    assert [episode.completion_ids for episode in flowing] == [episode.completion_ids for episode in in_turns]


def config(algorithm: str, lora: dict[str, Any] | None, **trainer: object) -> Config:
    options = {
        "use_vllm": True,
        "vllm_gpu_memory_utilization": 0.2,
        "max_steps": 2,
        "num_generations": 4,
        "per_device_train_batch_size": 4,
        "gradient_accumulation_steps": 2,
        "learning_rate": 1e-3,
        "save_strategy": "no",
        "shuffle_dataset": False,
    }
    section = RLSection(
        algorithm=algorithm,
        trainer={**options, **trainer},
        lora=lora,
        evaluation=EvaluationSection(every=1),
    )
    return Config(
        sft=None,
        rl=section,
        engine={"options": {"enforce_eager": True}},
        rewards=(RewardConfig(use=LETTERS),),
        env=EnvConfig(max_failed_share=0.5),
    )


def trained(folder: Path, base: Path, made: Config) -> list[Episode]:
    spec = PoolSpec(f"{PLUGINS}:Chatty", rewards=(RewardSpec(LETTERS),))
    with Run.create(folder, "seed: 0\n", ["pytest"]) as run, closing(LocalPool(spec)) as pool:
        run.write_variants("rl_dev", [UNCLEAR, CLEAR])
        train_rl(load_model(str(base)), [UNCLEAR, CLEAR], pool, chat(), LIMITS, made, run)
        assert [row["step"] for row in run.read_metrics() if "eval/reward" in row] == [0, 1, 2]
        return list(run.read_episodes("rl", [UNCLEAR, CLEAR]))


@pytest.mark.parametrize("algorithm", ["grpo", "ppo"])
@pytest.mark.parametrize("lora", [None, {"r": 4, "target_modules": "all-linear"}])
def test_rl_samples_what_the_learner_would_and_the_same_seed_gives_the_same_episodes(
    tmp_path: Path, base: Path, algorithm: str, lora: dict[str, Any] | None
) -> None:
    episodes = trained(tmp_path / "first", base, config(algorithm, lora))
    assert len(episodes) == 16
    plain = load_model(str(base), device="cpu").model
    for episode in episodes[:8]:  # those of the first step, before any weight moved
        assert episode.logprobs is not None
        ids = torch.tensor([[*episode.prompt_ids, *episode.completion_ids]])
        with torch.inference_mode():
            steps = plain(ids).logits[0, len(episode.prompt_ids) - 1 : -1].log_softmax(-1)
        theirs = steps.gather(1, ids[0, len(episode.prompt_ids) :, None])[:, 0]
        own = torch.tensor(episode.policy_mask, dtype=torch.bool)
        assert (torch.tensor(episode.logprobs)[own] - theirs[own]).abs().mean() < 0.05
    again = trained(tmp_path / "again", base, config(algorithm, lora))
    assert [episode.completion_ids for episode in again] == [episode.completion_ids for episode in episodes]
