"""What the trainers rely on in TRL and transformers beyond their documentation. After an upgrade, read what fails here.

Each line is a private name, or a behaviour that nothing promises, with the use that clarify_rl/training makes of it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest
import torch
from accelerate.data_loader import DataLoaderShard
from transformers import PreTrainedModel, Trainer, TrainerControl
from transformers.trainer_callback import CallbackHandler
from trl import GRPOConfig, GRPOTrainer
from trl.trainer.utils import RepeatSampler, add_fused_lm_head, shuffle_sequence_dict, split_tensor_dict

from clarify_rl.training.grpo import DialogueGRPOTrainer
from clarify_rl.training.ppo import DialoguePPOTrainer

Function = Callable[..., Any]  # Any: those of TRL

OVERRIDDEN = {
    "_get_train_sampler": ["self", "dataset"],
    "_generate_and_score_completions": ["self", "inputs"],
    "_prepare_inputs": ["self", "generation_batch"],
    "_compute_loss": ["self", "model", "inputs"],
    "create_optimizer": ["self", "model"],
}
TIMED = {"training_step", "_get_per_token_logps_and_entropies"}  # handed on as they are called, whatever they take


def source(what: object) -> str:
    """Code without its indentation and line breaks, so that a reformatted line still counts."""
    return " ".join(inspect.getsource(inspect.unwrap(what)).split())  # type: ignore[arg-type] # a class or function


@pytest.mark.parametrize(("name", "parameters"), OVERRIDDEN.items())
def test_a_method_that_we_override_is_there_with_the_same_parameters(name: str, parameters: list[str]) -> None:
    theirs: Function = inspect.unwrap(getattr(GRPOTrainer, name))
    assert list(inspect.signature(theirs).parameters) == parameters


def test_these_are_all_the_methods_that_we_override() -> None:
    ours = {
        name
        for trainer in (DialogueGRPOTrainer, DialoguePPOTrainer)
        for name in vars(trainer)
        if hasattr(GRPOTrainer, name) and not name.startswith("__")
    }
    assert ours == set(OVERRIDDEN) | TIMED


def test_logprobs_before_the_update_are_computed_without_gradients_by_the_method_that_is_timed() -> None:
    code = source(GRPOTrainer._generate_and_score_completions)
    assert code.index("with torch.no_grad()") < code.index("self._get_per_token_logps_and_entropies(")


def test_the_trainer_takes_rollouts_of_ours() -> None:
    assert "rollout_func" in inspect.signature(GRPOTrainer.__init__).parameters
    generate = source(GRPOTrainer._generate)
    assert "output = self.rollout_func(prompts, self)" in generate
    assert 'required_keys = {"prompt_ids", "completion_ids", "logprobs"}' in generate
    assert 'tool_mask = extra_fields.pop("env_mask", None)' in generate  # our mask of the policy's tokens


ATTRIBUTES = {
    "_buffered_inputs": GRPOTrainer._prepare_inputs,  # micro-batches, which we deal anew by length
    "_step": GRPOTrainer._prepare_inputs,  # counts micro-batches
    "_metrics": GRPOTrainer.log,  # {"train": {name: numbers to be averaged}}
    "num_iterations": GRPOTrainer._prepare_inputs,
    "reward_weights": GRPOTrainer._generate_and_score_completions,
    "num_generations": GRPOTrainer._get_train_sampler,
    "aux_loss_enabled": GRPOTrainer._compute_loss,  # a mean over a micro-batch: then rows are not dealt anew
    "current_gradient_accumulation_steps": GRPOTrainer._compute_loss,
}


@pytest.mark.parametrize(("name", "reader"), ATTRIBUTES.items())
def test_an_attribute_that_we_read_or_set_still_steers_the_trainer(name: str, reader: Function) -> None:
    assert f"self.{name}" in source(reader)


def test_the_reference_of_an_adapter_is_what_we_check() -> None:
    """A copy of an adapter that is continued, and a fresh adapter switched off."""
    making = source(GRPOTrainer.__init__)
    assert "elif is_peft_model(model) and args.beta != 0.0:" in making
    assert 'model.add_adapter("ref", default_config)' in making
    assert 'ref_name = name.replace(".default.", ".ref.")' in making
    assert "self.ref_model = create_model_from_path(get_config_model_id(self.model.config)" in making
    assert "self.add_callback(SyncRefModelCallback(" in making  # in whose place stands one of ours
    scoring = source(GRPOTrainer._generate_and_score_completions)
    assert 'use_adapter(model, adapter_name="ref" if "ref" in model.peft_config else None)' in scoring
    signature = inspect.signature(inspect.unwrap(GRPOTrainer._get_per_token_logps_and_entropies))
    assert list(signature.parameters)[:5] == ["self", "model", "input_ids", "attention_mask", "logits_to_keep"]


SCORING = [
    'prompts = [x["prompt"] for x in inputs]',  # the rows are read once, at the beginning: we exchange groups before
    'rewards.view(-1, num_generations)',  # a group's rows stand beside each other
    'advantages = advantages[process_slice]',  # ours are those of this process's rows, in their order
    '"advantages": advantages,',
    'inp[key] = values[i]',  # the episodes reach the rows that PPO reads them from
    'rewards[unscorable_mask] = torch.nan',  # GRPO: an unmeasured episode has no part in its group's mean
    'advantages = torch.nan_to_num(advantages, nan=0.0)',
    'loss_mask = completion_mask if tool_mask is None else completion_mask * tool_mask',
    'num_items_in_batch = self.accelerator.gather(loss_mask.sum()).sum()',  # what PPO divides the value loss by
    'self.args.gradient_accumulation_steps % generate_every != 0',  # when the old policy's logprobs are kept
    'output["tool_mask"] = tool_mask',
    'output["old_per_token_logps"] = old_per_token_logps',
]  # fmt: skip


@pytest.mark.parametrize("line", SCORING)
def test_a_batch_is_scored_as_we_take_it(line: str) -> None:
    assert line in source(GRPOTrainer._generate_and_score_completions)


def test_a_generation_batch_is_shuffled_then_split_into_micro_batches() -> None:
    code = source(GRPOTrainer._prepare_inputs)
    shuffled, split = code.index("shuffle_sequence_dict("), code.index("split_tensor_dict(")
    assert shuffled < split < code.index("self._buffered_inputs[self._step % self.args.steps_per_generation]")
    rows = {"a": torch.arange(6), "b": torch.arange(12).view(6, 2), "n": torch.tensor(3)}
    parts = split_tensor_dict(shuffle_sequence_dict(rows), 3)
    assert all(torch.equal(part["b"][:, 0], part["a"] * 2) and part["n"] == 3 for part in parts)


LOSS = [
    'if advantages.dim() == 1: advantages = advantages.unsqueeze(1)',  # PPO's advantages are (B, T)
    'mask = completion_mask if "tool_mask" not in inputs else completion_mask * inputs["tool_mask"]',
    'old_per_token_logps = inputs.get("old_per_token_logps")',
    'coef_2 = torch.clamp(coef_1, 1 - self.epsilon_low, 1 + self.epsilon_high)',
    'per_token_loss = -torch.min(per_token_loss1, per_token_loss2)',
    'normalizer = inputs["num_items_in_batch"].clamp(min=1.0) / self.accelerator.num_processes',
    'normalizer = normalizer * self.current_gradient_accumulation_steps / self.args.steps_per_generation',
]  # fmt: skip


@pytest.mark.parametrize("line", LOSS)
def test_the_loss_is_computed_as_ppo_takes_it(line: str) -> None:
    assert line in source(GRPOTrainer._compute_loss)


def test_the_policys_backbone_runs_once_in_the_loss_and_ends_in_its_hidden_states() -> None:
    """PPO's critic reads them there."""
    assert source(GRPOTrainer._compute_loss).count("self._get_per_token_logps_and_entropies(") == 1
    scoring = source(GRPOTrainer._get_per_token_logps_and_entropies)
    assert 'model_inputs = {"input_ids": input_ids_batch, "attention_mask": attention_mask_batch}' in scoring
    assert "outputs = model(**model_inputs, labels=labels, fused_lm_head=True)" in scoring
    forward = source(add_fused_lm_head)
    assert 'backbone_attr = "base_model"' in forward
    assert "backbone_outputs = getattr(self, backbone_attr)(*args, **kwargs)" in forward
    assert "hidden_states = backbone_outputs.last_hidden_state[:, :-1]" in forward


def test_logged_names_that_we_keep_are_still_logged() -> None:
    code = source(GRPOTrainer)
    for name in (
        "kl",
        "entropy",
        "clip_ratio/region_mean",
        "frac_reward_zero_std",
        "reward",
        "reward_std",
        "step_time",
    ):
        assert f'["{name}"].append(' in code


def test_losses_that_ppo_allows_exist() -> None:
    assert 'self.loss_type in ["grpo", "bnpo", "dr_grpo", "dapo", "luspo"]' in source(GRPOTrainer._compute_loss)
    assert GRPOConfig.__dataclass_fields__["loss_type"].default == "dapo"
    assert GRPOConfig.__dataclass_fields__["importance_sampling_level"].default == "token"


def test_an_epochs_order_can_be_set() -> None:
    sampler = RepeatSampler(range(8), mini_repeat_count=2, batch_size=4, shuffle=True, seed=1)
    assert sampler.shuffle is True
    assert isinstance(sampler.generator, torch.Generator)
    assert "set_epoch" in source(DataLoaderShard)


def test_a_saved_model_leaves_out_the_names_that_it_is_told_to() -> None:
    """This keeps the critic out of every checkpoint, and its absence from being warned of."""
    saving = source(PreTrainedModel.save_pretrained)
    assert (
        "for ignore_key in self._keys_to_ignore_on_save: if ignore_key in state_dict: del state_dict[ignore_key]"
        in saving
    )
    assert "set(load_result.missing_keys) == set(self.model._keys_to_ignore_on_save)" in source(
        Trainer._issue_warnings_after_load
    )
    assert "self._issue_warnings_after_load(load_result)" in source(Trainer._load_from_checkpoint)
    assert "model.load_state_dict(state_dict, False)" in source(Trainer._load_from_checkpoint)


def test_callbacks_run_in_the_order_in_which_they_were_added() -> None:
    """A checkpoint is marked complete last of all."""
    assert "for callback in self.callbacks:" in source(CallbackHandler.call_event)
    assert "self.callbacks.append(cb)" in source(CallbackHandler.add_callback)
    saving = source(Trainer._maybe_log_save_evaluate)
    assert saving.index("self._save_checkpoint(") < saving.index("self.callback_handler.on_save(")


def test_reporters_come_before_our_callbacks_unless_we_go_to_the_front() -> None:
    """All are handed the same log, so what the first ones add to it is reported by the later ones."""
    assert "callbacks = default_callbacks if callbacks is None else default_callbacks + callbacks" in source(Trainer)
    assert "self.callback_handler.on_log(self.args, self.state, self.control, logs)" in source(Trainer.log)
    assert 'self.call_event("on_log", args, state, control, logs=logs, **kwargs)' in source(CallbackHandler.on_log)


def test_a_log_in_evaluation_mode_takes_none_of_the_numbers_of_training() -> None:
    code = source(GRPOTrainer.log)
    assert 'mode = "train" if self.model.training else "eval"' in code
    assert code.index("super().log(logs, start_time)") < code.index("self._metrics[mode].clear()")
    assert "control.should_log = False" in source(CallbackHandler.on_log)  # so we ask for the step's own log again


def test_a_step_is_evaluated_before_its_checkpoint_is_saved() -> None:
    code = source(Trainer._run_epoch)
    assert code.index("self.callback_handler.on_step_end(") < code.index("self._maybe_log_save_evaluate(")


def test_a_checkpoint_remembers_that_training_was_to_end() -> None:
    """Training would go on from it all the same, so we look there before we go on."""
    assert "[self.control] if isinstance(cb, ExportableState)" in source(Trainer._init_training_state)
    assert '"should_training_stop": self.should_training_stop' in source(TrainerControl.state)
    assert "for update_step in range(num_update_steps_trained, num_update_steps_per_epoch)" in source(
        Trainer._run_epoch
    )
