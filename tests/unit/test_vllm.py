"""Rollouts by vLLM, up to the engine: a stand-in of known numbers takes its place, all else is TRL's and ours."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from trl import GRPOTrainer
from trl.generation.vllm_generation import VLLMGeneration

from clarify_rl.config import Config, EngineConfig, EnvConfig, RewardConfig
from clarify_rl.config_files import load_config
from clarify_rl.dialogue.episodes import DialogueLimits
from clarify_rl.engines import engine_for_evaluation, engine_for_rl, gpu_trouble
from clarify_rl.errors import ClarifyError, ConfigError
from clarify_rl.pipeline.plan import heavy_checks
from clarify_rl.policies.hf import HFPolicy
from clarify_rl.policies.models import device_named, load_model
from clarify_rl.pool import LocalPool, PoolSpec, RewardSpec
from clarify_rl.rl_sections import RLSection
from clarify_rl.store import Run
from clarify_rl.training.grpo import DialogueGRPOTrainer, grpo_config
from clarify_rl.training.rl import train_rl
from clarify_rl.training.vllm import TrainedVLLMPolicy, check_model, within, without_critic
from clarify_rl.types import Request
from tests.dialogues import CLEAR, UNCLEAR, chat

PLUGINS = Path(__file__).parents[1] / "plugins.py"
LETTERS = f"{PLUGINS}:letters"
POOL = PoolSpec(f"{PLUGINS}:Chatty", rewards=(RewardSpec(LETTERS),))
LIMITS = DialogueLimits(max_questions=2, turn_tokens=40, total_tokens=160)


@dataclass
class Engine:
    """Stands where TRL's VLLMGeneration stands: samples from the trainer's model, and says how likely that was.

    `bias` is added to what it says, as an engine of other arithmetic would.
    """

    trainer: DialogueGRPOTrainer
    bias: float = 0.0
    max_completion_length: int = 160
    temperature: float = 1.0
    generation_kwargs: dict[str, Any] = field(default_factory=dict)  # Any: vLLM's own options
    synced: list[int] = field(default_factory=list)
    calls: list[int] = field(default_factory=list)

    def sync_weights(self) -> None:
        self.synced.append(self.trainer.state.global_step)

    def generate(
        self, prompts: list[list[int]], images: None, num_generations: int, profiler: object
    ) -> tuple[object, list[list[int]], list[list[list[float | None]]], object]:
        assert num_generations == 1
        ends = frozenset(self.generation_kwargs["stop_token_ids"])
        policy = HFPolicy(
            self.trainer.model, ends, self.trainer.processing_class.pad_token_id, self.temperature, logprobs=True
        )
        number = len(self.calls)
        self.calls.append(self.max_completion_length)
        requests = [
            Request(tuple(ids), self.max_completion_length, f"{number}/{i}", 0, i) for i, ids in enumerate(prompts)
        ]
        samples = policy.generate(requests)
        logprobs = [[[each + self.bias] for each in sample.logprobs or ()] for sample in samples]
        return None, [list(sample.token_ids) for sample in samples], logprobs, None  # type: ignore[return-value]


class Trainer(DialogueGRPOTrainer):
    """DialogueGRPOTrainer as it is with use_vllm, with a stand-in for the engine that TRL would have built."""

    bias = 0.0
    made: Trainer

    def __init__(self, **kwargs: Any) -> None:  # Any: TRL's own signature
        kwargs["args"].use_vllm = False
        super().__init__(**kwargs)
        self.use_vllm, self.vllm_generation, self._last_loaded_step = True, Engine(self, type(self).bias), -1
        self.parts: list[dict[str, Any]] = []  # Any: TRL's batches
        type(self).made = self

    def _compute_loss(self, model: Any, inputs: Any) -> Any:  # Any: TRL's own types
        self.parts.append(dict(inputs))
        return super()._compute_loss(model, inputs)


def config(**trainer: object) -> Config:
    options = {
        "use_vllm": True,
        "max_steps": 2,
        "num_generations": 4,
        "per_device_train_batch_size": 4,
        "gradient_accumulation_steps": 2,
        "learning_rate": 1e-3,
        "lr_scheduler_type": "constant",
        "save_strategy": "no",
        "shuffle_dataset": False,
    }
    section = RLSection(trainer={**options, **trainer})
    return Config(
        sft=None,
        rl=section,
        rewards=(RewardConfig(use=LETTERS),),
        env=EnvConfig(max_failed_share=0.5),
        engine=EngineConfig(stream=False),
    )


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("clarify_rl.engines", "clarify_rl.training.vllm"):
        monkeypatch.setattr(f"{module}.vllm_installed", lambda: True)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    monkeypatch.setattr("clarify_rl.training.rl.DialogueGRPOTrainer", Trainer)
    monkeypatch.setattr("clarify_rl.training.rl.check_model", lambda spec, args: None)
    with Run.create(tmp_path / "run", "seed: 0\n", ["pytest"]) as made:
        yield made


def train(run: Run, made: Config) -> Trainer:
    with closing(LocalPool(POOL)) as pool:
        train_rl(load_model("embedded", device="cpu"), [UNCLEAR, CLEAR], pool, chat(), LIMITS, made, run)
    return Trainer.made


@pytest.mark.parametrize("mode", ["sequence_mask", "token_truncate"])
def test_an_engine_that_agrees_with_the_trainer_changes_no_loss(run: Run, mode: str) -> None:
    """Which needs every logprob at its token: across turns, cut replies, shuffling and regrouping by length."""
    trainer = train(run, config(vllm_importance_sampling_mode=mode))
    assert trainer.vllm_generation.synced == [0, 1]
    assert len(trainer.parts) == 4
    for part in trainer.parts:
        assert torch.allclose(part["importance_sampling_ratio"], torch.ones(()), atol=1e-3)
        own = (part["completion_mask"] * part["tool_mask"]).bool()
        assert torch.allclose(part["sampling_per_token_logps"][own], part["old_per_token_logps"][own], atol=1e-4)
        assert part["sampling_per_token_logps"][part["completion_mask"].bool() & ~own].eq(0).all()
    assert all(part["tool_mask"].eq(0).any() for part in trainer.parts)  # dialogues, not single replies


def test_an_engine_that_disagrees_is_corrected_for(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Trainer, "bias", 0.5)
    trainer = train(run, config(vllm_importance_sampling_mode="token_truncate", max_steps=1))
    for part in trainer.parts:
        own = (part["completion_mask"] * part["tool_mask"]).bool()
        ratio = part["importance_sampling_ratio"][own]
        assert torch.allclose(ratio, torch.full_like(ratio, -0.5).exp(), atol=1e-3)


def test_each_reply_keeps_to_its_own_budget_and_the_engine_is_left_as_it_was(run: Run) -> None:
    trainer = train(run, config(max_steps=1))
    engine = trainer.vllm_generation
    assert max(engine.calls) <= LIMITS.turn_tokens
    assert (engine.max_completion_length, engine.generation_kwargs) == (160, {})
    requests = [Request(chat().prompt_ids(CLEAR), budget, f"e{budget}", 0, 0) for budget in (3, 100, 1)]
    short, long, one = TrainedVLLMPolicy(trainer, chat().end_ids).generate(requests)
    assert engine.calls[-1] == 100
    assert (len(short.token_ids), short.finished) == (3, False)
    assert (len(one.token_ids), one.finished) == (1, False)
    assert long.finished
    for sample in (short, long, one):
        assert sample.logprobs is not None
        assert len(sample.logprobs) == len(sample.token_ids)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"top_p": 0.9}, r"rl\.trainer\.top_p: the policy is sampled as it is"),
        ({"top_k": 5}, r"rl\.trainer\.top_k"),
        ({"use_vllm": False, "min_p": 0.1}, r"rl\.trainer\.min_p"),
        ({"use_vllm": False, "generation_kwargs": {"top_p": 0.9}}, r"generation_kwargs: they are vLLM's"),
    ],
)
def test_sampling_that_rollouts_would_pass_over_is_refused(
    options: dict[str, Any], message: str, tmp_path: Path
) -> None:
    made = config(**options)
    assert made.rl is not None
    with pytest.raises(ConfigError, match=message):
        grpo_config(made, made.rl, tmp_path)


def test_what_vllm_cannot_do_is_refused(tmp_path: Path) -> None:
    made = config()
    assert made.rl is not None
    args = grpo_config(made, made.rl, tmp_path)
    for spec in ("embedded", "model.gguf"):
        with pytest.raises(ConfigError, match=rf"First: clarify-rl export {spec} --out base"):
            check_model(spec, args)
    check_model("runs/demo/models/sft", args)
    config_of_a_run = ["rl.trainer.use_vllm=true", "sft.lora.r=4", "sft.lora.target_modules=all-linear"]
    assert problems(config_of_a_run) == []
    assert "clarify-rl export embedded" in problems([*config_of_a_run, "rl.lora=continue"])[0]


def test_without_vllm_the_message_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clarify_rl.training.vllm.vllm_installed", lambda: False)
    made = config()
    assert made.rl is not None
    with pytest.raises(ConfigError, match=r'pip install "clarify-rl\[vllm\]"'):
        grpo_config(made, made.rl, tmp_path)


def problems(overrides: list[str]) -> list[str]:
    return [check.problem for check in heavy_checks(load_config("demo", overrides)) if check.problem]


def test_a_prompt_may_be_no_longer_than_the_context_that_vllm_was_given(tmp_path: Path) -> None:
    for options, context in (
        ({}, 2048),
        ({"vllm_max_model_length": 512}, 512),
        ({"vllm_max_model_length": 9999}, 2048),
    ):
        made = config(**options)
        assert made.rl is not None
        assert within(LIMITS, grpo_config(made, made.rl, tmp_path)).context_tokens == context


# ---- what TRL promises nowhere


def source(what: object) -> str:
    return " ".join(inspect.getsource(what).split())  # type: ignore[arg-type] # a class or function


def test_trl_generates_a_turn_as_we_call_it() -> None:
    turn = inspect.signature(GRPOTrainer._generate_single_turn)
    assert list(turn.parameters)[:5] == ["self", "prompt_ids", "images", "multimodal_fields", "num_generations"]
    code = source(GRPOTrainer._generate_single_turn)
    assert "if self.state.global_step != self._last_loaded_step:" in code
    assert "self.vllm_generation.sync_weights()" in code
    assert "_, completion_ids, logprobs, _ = self.vllm_generation.generate(" in code
    assert "logprobs = [[lp[0] for lp in seq] for seq in logprobs]" in code
    assert "return completion_ids, logprobs" in code


def test_the_engine_reads_its_budget_and_its_options_at_each_call() -> None:
    code = source(VLLMGeneration.generate)
    assert "max_completion_length = self.max_completion_length" in code
    assert '"max_tokens": max_completion_length' in code
    assert "generation_kwargs.update(self.generation_kwargs)" in code  # in the trainer's processes
    assert '"generation_kwargs": self.generation_kwargs' in code  # behind a server
    assert "model=model.name_or_path" in source(VLLMGeneration._init_vllm)


def test_trl_wakes_the_engine_and_sets_up_sampling_as_our_stream_does() -> None:
    code = source(VLLMGeneration.generate)
    assert (
        'self.mode == "colocate" and self.enable_sleep_mode and self._llm_weights_sleeping: self.sync_weights()' in code
    )
    assert 'if self.enable_sleep_mode: self.llm.wake_up(tags=["kv_cache"])' in code
    assert "if self.enable_sleep_mode: self.llm.sleep(level=2) self._llm_weights_sleeping = True" in code
    settings = re.search(r'generation_kwargs = \{ "n": 1,(.*?) \} generation_kwargs\.update', code)
    assert settings is not None
    names = "repetition_penalty temperature top_p top_k min_p max_tokens logprobs".split()
    assert re.findall(r'"(\w+)":', settings[1]) == names  # and n, which is 1 unless it is set
    assert "if self.structured_outputs_regex is not None:" in code


def test_trl_corrects_with_the_logprobs_of_the_policys_tokens_only() -> None:
    code = source(GRPOTrainer._generate_and_score_completions)
    assert "mask = completion_mask if tool_mask is None else completion_mask * tool_mask" in code
    assert "per_token_logps_diff = (old_per_token_logps - sampling_per_token_logps) * mask" in code
    assert "per_token_logps_diff = torch.nan_to_num(per_token_logps_diff, nan=0.0)" in code
    assert 'per_token_loss = per_token_loss * inputs["importance_sampling_ratio"]' in source(GRPOTrainer._compute_loss)


def test_trl_walks_over_the_weights_in_a_method_that_we_can_stand_before() -> None:
    code = source(VLLMGeneration.sync_weights)
    assert code.count("self._iter_named_params()") == 4
    assert "load_weights([(name, param)])" in code
    assert "self.llm = LLM(" in source(VLLMGeneration._init_vllm)  # the module's own name, which `starting` replaces


def test_the_critic_of_ppo_is_no_weight_of_the_engine() -> None:
    engine = SimpleNamespace(_iter_named_params=lambda: iter([("critic.value_head.bias", 1), ("model.norm", 2)]))
    without_critic(SimpleNamespace(vllm_generation=engine))
    assert list(engine._iter_named_params()) == [("model.norm", 2)]


@pytest.mark.parametrize(
    ("overrides", "engine", "why"),
    [
        ([], "hf", "no GPU here"),
        (["engine=vllm"], "vllm", "engine=vllm"),
        (["engine=hf"], "hf", "engine=hf"),
        (["rl.trainer.use_vllm=true"], "vllm", r"rl\.trainer\.use_vllm=true"),
        (["engine=hf", "rl.trainer.use_vllm=false"], "hf", "use_vllm=false"),
    ],
)
def test_the_engine_is_what_the_configuration_says_and_says_why(overrides: list[str], engine: str, why: str) -> None:
    chosen = engine_for_rl(load_config("demo", ["model.device=cpu", *overrides]))
    assert chosen.name == engine
    assert re.search(why, chosen.why)


@pytest.mark.parametrize(
    ("build", "raised", "why"),
    [
        (None, None, "is a build for processors only: install torch from the GPU's index"),
        (
            "13.0",
            RuntimeError("The NVIDIA driver on your system is too old (found version 11040).\nMore"),
            "is too old",
        ),
        ("13.0", AssertionError("Torch not compiled with CUDA enabled"), "not compiled"),
        ("13.0", None, r"does not see it \(CUDA_VISIBLE_DEVICES\)"),
    ],
)
def test_a_gpu_that_torch_cannot_use_is_told_of_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, build: str | None, raised: Exception | None, why: str
) -> None:
    def init() -> None:
        if raised:
            raise raised

    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("torch.cuda.init", init)
    monkeypatch.setattr("torch.version.cuda", build)
    monkeypatch.setattr("clarify_rl.engines.NVIDIA", tmp_path / "none")
    assert gpu_trouble() == ""
    monkeypatch.setattr("clarify_rl.engines.NVIDIA", tmp_path)
    assert re.search(why, gpu_trouble())
    chosen = engine_for_rl(load_config("demo", []))
    assert chosen.name == "hf"
    assert re.search(f"^there is a GPU, but torch .*{why}", chosen.why)
    with pytest.raises(ClarifyError, match=f"device is 'cuda', but torch .*{why}.* Use device=auto or cpu"):
        device_named("cuda")


def test_auto_is_vllm_where_there_is_a_gpu_unless_it_cannot_load_what_rl_starts_from(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("clarify_rl.engines.gpu_here", lambda device: True)
    assert engine_for_rl(load_config("demo")).name == "vllm"
    assert engine_for_evaluation(load_config("demo")).name == "vllm"
    without_sft = load_config("demo", ["sft=null"])
    assert "clarify-rl export embedded --out base" in engine_for_rl(without_sft).why
    assert engine_for_evaluation(without_sft).name == "vllm"


def test_an_engine_that_cannot_be_had_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"engine=hf, but rl\.trainer\.use_vllm=true"):
        engine_for_rl(load_config("demo", ["engine=hf", "rl.trainer.use_vllm=true"]))
    with pytest.raises(ConfigError, match=r"engine=vllm: vLLM loads what RL starts from.*engine=auto"):
        engine_for_rl(load_config("demo", ["engine=vllm", "sft=null"]))
    monkeypatch.setattr("clarify_rl.engines.vllm_installed", lambda: False)
    assert "is not installed: pip install" in engine_for_rl(load_config("demo")).why
    with pytest.raises(ConfigError, match=r"engine=vllm needs vLLM: pip install"):
        engine_for_evaluation(load_config("demo", ["engine=vllm"]))
