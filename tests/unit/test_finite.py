"""Numbers that are not finite: training stops before the weights take them up, and nothing spoiled is kept or used."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import TrainerControl, TrainerState, TrainingArguments

from clarify_rl.config import Config, RewardConfig, SFTSection
from clarify_rl.dialogue.episodes import DialogueLimits
from clarify_rl.errors import ClarifyError, RunFolderError
from clarify_rl.policies.hf import HFPolicy
from clarify_rl.policies.models import LoadedModel, load_model
from clarify_rl.pool import LocalPool
from clarify_rl.rl_sections import RLSection
from clarify_rl.store import Run
from clarify_rl.training import sft
from clarify_rl.training.best import keep_weights
from clarify_rl.training.checkpoints import COMPLETE, save_model
from clarify_rl.training.finite import FiniteCheckpoints
from clarify_rl.training.grpo import DialogueGRPOTrainer
from clarify_rl.training.rl import train_rl
from clarify_rl.training.sft import train_sft
from clarify_rl.types import Episode, Request
from tests.dialogues import ASK, CLEAR, DESC, SPEC, UNCLEAR, chat, play

STEPS = 3
Algorithm = str
Loss = Callable[..., torch.Tensor]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    with Run.create(tmp_path / "run", "seed: 0\n", ["pytest"]) as made:
        yield made


def loaded() -> LoadedModel:
    return load_model("embedded", device="cpu")


def spoiled() -> LoadedModel:
    model = loaded()
    with torch.no_grad():
        model.model.lm_head.weight[7, 7] = math.nan
    return model


def train(run: Run, algorithm: str = "grpo", model: LoadedModel | None = None) -> Path:
    options = {
        "max_steps": STEPS,
        "num_generations": 2,
        "per_device_train_batch_size": 2,
        "gradient_accumulation_steps": 2,
        "learning_rate": 1e-4,
        "beta": 0.0,
        "save_steps": 1,
    }
    section = RLSection.model_validate({"algorithm": algorithm, "trainer": options})
    config = Config(rl=section, rewards=tuple(RewardConfig(use=spec.use, weight=spec.weight) for spec in SPEC.rewards))
    limits = DialogueLimits(max_questions=1, turn_tokens=12, total_tokens=60)
    with closing(LocalPool(SPEC)) as pool:
        return train_rl(model or loaded(), [UNCLEAR, CLEAR], pool, chat(), limits, config, run)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return dict(load_model(str(folder), device="cpu").model.state_dict())


def a_gradient(loss: torch.Tensor) -> torch.Tensor:
    """A loss that looks well, and whose gradient is not: what cuDNN's attention did."""
    loss.register_hook(lambda gradient: gradient * math.nan)
    return loss


def a_loss(loss: torch.Tensor) -> torch.Tensor:
    return loss * math.inf


def spoil(monkeypatch: pytest.MonkeyPatch, how: Loss, *, at: int) -> None:
    """Has the loss of the second micro-batch of one step go wrong."""
    plain = DialogueGRPOTrainer.compute_loss

    def compute_loss(self: Any, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:  # Any: TRL's own
        loss = plain(self, model, inputs, *args, **kwargs)
        return how(loss) if self.state.global_step == at - 1 and self._step % 2 else loss

    monkeypatch.setattr(DialogueGRPOTrainer, "compute_loss", compute_loss)


@pytest.mark.parametrize(
    ("how", "what"), [(a_gradient, "the gradient's norm is nan"), (a_loss, "the loss is -?(inf|nan)")]
)
@pytest.mark.parametrize("algorithm", ["grpo", pytest.param("ppo", marks=pytest.mark.slow)])
def test_rl_stops_before_its_last_update_is_spoiled_and_goes_on_from_there(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: Loss, what: str, algorithm: str
) -> None:
    with monkeypatch.context() as patch:
        spoil(patch, how, at=STEPS)
        with pytest.raises(ClarifyError, match=rf"^Step {STEPS}: {what} on 2 rows, rl/2/0/\d, rl/2/0/\d.*--resume"):
            train(run, algorithm)
    assert not run.model_folder("rl").exists()
    kept = torch.load(run.folder / "not-finite" / f"rl-step-{STEPS}.pt", weights_only=True)
    assert kept["completion_ids"].shape[0] == len(kept["rows"]) == 2
    episodes = {episode.id: episode for episode in run.read_episodes("rl", [UNCLEAR, CLEAR])}
    for i, name in enumerate(kept["rows"]):
        own = kept["completion_ids"][i][kept["completion_mask"][i] == 1]
        assert tuple(own.tolist()) == episodes[name].completion_ids
    resumed = weights(train(run, algorithm))
    with Run.create(tmp_path / "other", "seed: 0\n", ["pytest"]) as other:
        undisturbed = weights(train(other, algorithm))
    assert all(torch.equal(resumed[name], undisturbed[name]) for name in undisturbed)


def demonstrations() -> list[Episode]:
    return play((UNCLEAR, (ASK, DESC)), (CLEAR, (DESC,)))


def test_sft_stops_before_an_update_is_spoiled(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = sft._SFTTrainer.compute_loss
    monkeypatch.setattr(sft._SFTTrainer, "compute_loss", lambda self, *a, **k: a_gradient(plain(self, *a, **k)))
    section = SFTSection(trainer={"max_steps": 2, "eval_strategy": "no", "save_strategy": "no"})
    with pytest.raises(ClarifyError, match=r"^Step 1: the gradient's norm is nan\. .*sft\.trainer\.learning_rate"):
        train_sft(loaded(), demonstrations(), demonstrations(), section, run, seed=0)
    kept = torch.load(run.folder / "not-finite" / "sft-step-1.pt", weights_only=True)
    assert kept["input_ids"].shape[0] == 2
    assert not run.model_folder("sft").exists()


def test_a_held_out_loss_that_is_not_finite_decides_nothing(tmp_path: Path) -> None:
    arguments = TrainingArguments(output_dir=str(tmp_path), use_cpu=True)
    with pytest.raises(ClarifyError, match="held-out loss is nan"):
        FiniteCheckpoints().on_evaluate(arguments, TrainerState(), TrainerControl(), metrics={"eval_loss": math.nan})


@pytest.mark.parametrize("part", ["weights", "optimizer state"])
def test_a_checkpoint_that_is_not_finite_is_not_marked_as_complete(
    run: Run, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    """An update may spoil what was fine before it: rates of 1e30 do."""
    plain = FiniteCheckpoints.on_save

    def on_save(self: Any, args: Any, state: Any, control: Any, model: Any, optimizer: Any, **more: Any) -> None:
        with torch.no_grad():
            weight = next(iter(model.parameters()))
            (weight if part == "weights" else optimizer.state[weight]["exp_avg_sq"]).view(-1)[0] = math.inf
        plain(self, args, state, control, model=model, optimizer=optimizer, **more)

    monkeypatch.setattr(FiniteCheckpoints, "on_save", on_save)
    with pytest.raises(ClarifyError, match=f"Step 1: {part}.* no longer finite"):
        train(run)
    assert not list(run.folder.rglob(COMPLETE))


def test_weights_that_are_not_finite_are_not_written(tmp_path: Path) -> None:
    model = spoiled()
    for write in (
        lambda: save_model(model.model, model.tokenizer, tmp_path / "model"),
        lambda: keep_weights(model.model, tmp_path / "best", 1),
    ):
        with pytest.raises(ClarifyError, match=r"no finite numbers any more \(.*weight"):
            write()
    assert not list(tmp_path.rglob("*.safetensors"))


def test_a_model_that_is_not_finite_is_not_loaded(tmp_path: Path) -> None:
    model = spoiled()
    model.model.save_pretrained(tmp_path)
    model.tokenizer.save_pretrained(tmp_path)
    with pytest.raises(ClarifyError, match="holds weights that are no finite numbers"):
        load_model(str(tmp_path), device="cpu")


def test_training_does_not_start_from_weights_that_are_not_finite(run: Run) -> None:
    with pytest.raises(ClarifyError, match="weights of the policy are no finite numbers"):
        train(run, model=spoiled())


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_nothing_is_sampled_from_logits_that_are_not_finite(temperature: float) -> None:
    model = spoiled()
    policy = HFPolicy(model.model, frozenset({0}), 0, temperature)
    with pytest.raises(ClarifyError, match=r"not finite for token 1 of turn 3 in episode e/5"):
        policy.generate([Request((5, 6, 7), 4, "e/5", 2, 0)])


def test_a_token_that_the_model_rules_out_spoils_nothing() -> None:
    model = loaded()
    with torch.no_grad():
        model.model.lm_head.bias = torch.nn.Parameter(torch.full((model.model.config.vocab_size,), -math.inf))
        model.model.lm_head.bias[9] = 0.0
    policy = HFPolicy(model.model, frozenset({0}), 0)
    assert policy.generate([Request((5, 6, 7), 3, "e", 0, 0)])[0].token_ids == (9, 9, 9)


def test_what_could_not_be_measured_is_named_in_the_metrics_and_written_as_no_number(run: Run) -> None:
    run.add_metrics("rl", 1, {"train/kl": math.inf, "train/entropy": math.nan, "train/loss": 0.5})
    (row,) = run.read_metrics()
    assert row == {"stage": "rl", "step": 1, "train/loss": 0.5, "not_finite": "train/kl, train/entropy"}
    json.dumps(row, allow_nan=False)


def test_an_attention_is_what_the_configuration_says() -> None:
    assert load_model("embedded", device="cpu", attention="eager").model.config._attn_implementation == "eager"
    with pytest.raises(ClarifyError, match=r"model\.attn_implementation=fast: .*Take sdpa or eager"):
        load_model("embedded", device="cpu", attention="fast")


def test_resume_may_change_the_attention_and_nothing_that_changes_the_task(tmp_path: Path) -> None:
    before = "model: {attn_implementation: null, base: embedded}\n"
    Run.create(tmp_path / "run", before, ["pytest"]).close()
    with Run.resume(tmp_path / "run", before.replace("null", "eager")) as run:
        assert run.info()["changed by --resume"] == "model.attn_implementation: None, now eager"
    with pytest.raises(RunFolderError, match="another configuration"):
        Run.resume(tmp_path / "run", before.replace("embedded", "other"))


@pytest.mark.gpu
def test_the_gradient_of_a_batch_of_dialogues_is_finite_on_a_gpu() -> None:
    """Sizes of the batch on which cuDNN's attention gave NaN: 16 prompts of 122 to 141 tokens, padded on the left."""
    from transformers import Qwen2Config, Qwen2ForCausalLM

    load_model("embedded", device="cuda")  # what every run does first
    torch.manual_seed(0)
    shape = {"hidden_size": 896, "intermediate_size": 4864, "num_hidden_layers": 4, "num_attention_heads": 14}
    model = Qwen2ForCausalLM(Qwen2Config(num_key_value_heads=2, vocab_size=1000, **shape)).cuda()
    mask = torch.ones((16, 193), dtype=torch.long, device="cuda")
    for row in range(16):
        mask[row, : row + 4] = 0
    ids = torch.randint(0, 1000, mask.shape, device="cuda")
    with torch.autocast("cuda", torch.bfloat16):
        logits = model(input_ids=ids, attention_mask=mask).logits
    logits[:, 141:].float().log_softmax(-1)[..., 0].mean().backward()
    assert all(weight.grad.isfinite().all() for weight in model.parameters() if weight.grad is not None)
