"""The RL stage, from the SFT checkpoint to models/rl: one spine for GRPO and PPO, which differ in their trainers."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from transformers import PrinterCallback
from trl import GRPOConfig

from clarify_rl.config import Config
from clarify_rl.dialogue.chat import Chat
from clarify_rl.dialogue.episodes import DialogueLimits
from clarify_rl.policies.models import LoadedModel
from clarify_rl.rl_sections import RLSection
from clarify_rl.store import Run
from clarify_rl.training.adapters import adapter_for, naming
from clarify_rl.training.checkpoints import MarkComplete, is_first, newest_checkpoint, save_model, train_from
from clarify_rl.training.credit import credit_of
from clarify_rl.training.finite import FiniteCheckpoints
from clarify_rl.training.groups import check_enough, make_groups
from clarify_rl.training.grpo import DialogueGRPOTrainer, Rollouts, grpo_config, prompt_dataset, reward_function
from clarify_rl.training.information import MEASURES, Information
from clarify_rl.training.ppo import DialoguePPOTrainer, ppo_config
from clarify_rl.training.prefixes import Prefixes
from clarify_rl.training.reference import check_reference, move_reference
from clarify_rl.training.start import CHECKED, CheckStart
from clarify_rl.training.vllm import check_model, make_room, needs_room, releasing, starting, within
from clarify_rl.training.watch import take_best, watch_training
from clarify_rl.types import Pool, Variant


def rl_config(config: Config, section: RLSection, out: Path) -> GRPOConfig:
    """TRL's options for the configured algorithm. Raises ConfigError for those that cannot work."""
    return {"grpo": grpo_config, "ppo": ppo_config}[section.algorithm](config, section, out)


def train_rl(
    loaded: LoadedModel,
    variants: Sequence[Variant],
    pool: Pool,
    chat: Chat,
    limits: DialogueLimits,
    config: Config,
    run: Run,
) -> Path:
    """Optimises asking and coding together from `loaded` (also the reference model), and writes models/rl."""
    section = config.rl or RLSection()
    checkpoints = run.folder / "checkpoints" / "rl"
    newest = newest_checkpoint(checkpoints)
    step = int(newest.rpartition("-")[2]) if newest else 0
    run.drop_episodes("rl", from_step=step)
    run.drop_metrics("rl", from_step=step + 1 if newest else 0)
    args = rl_config(config, section, checkpoints)
    if needs_room(args):
        context = getattr(loaded.model.config, "max_position_embeddings", None)
        make_room(args, _longest(variants, chat, config, run), context)
    check_enough(len(variants), args)
    check_model(loaded.model.name_or_path, args)
    check_reference(loaded.model.name_or_path, section.lora, args)
    record = run.read_outcomes("rl", variants, before=step)
    groups = make_groups(section.groups, args, variants, loaded.tokenizer, record)
    rollouts = Rollouts(
        groups,
        pool,
        chat,
        within(limits, args),
        run,
        config.seed,
        config.env.max_failed_share,
        config.rewards,
        section.gate,
        _information(loaded, chat, args, section),
        config.engine.stream,
        Prefixes(pool, chat, within(limits, args), config.seed) if section.groups.replay_share else None,
    )
    with starting(config.engine.options):
        trainer = _trainer(loaded, variants, rollouts, args, config, section)
    trainer.kept_in, trainer.where = run.folder / "not-finite", "rl.trainer"
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(CheckStart(trainer, [chat.prompt_ids(variant) for variant in variants[:CHECKED]]))
    move_reference(trainer, newest)
    for callback in (*trainer.own_callbacks(), FiniteCheckpoints(), MarkComplete()):
        trainer.add_callback(callback)
    watch_training(trainer, rollouts, config, run)
    if newest:
        trainer.load_own(Path(newest))
    with releasing(trainer):
        train_from(trainer, newest)
        take_best(trainer, config, run)
        folder = save_model(trainer.model, loaded.tokenizer, run.model_folder("rl"))
        if is_first():
            trainer.save_own(folder)
    return folder


def _longest(variants: Sequence[Variant], chat: Chat, config: Config, run: Run) -> int:
    """Tokens of the longest dialogue that training or its held-out evaluation may have."""
    held_out = run.read_variants("rl_dev") if config.rl and config.rl.evaluation.every else ()
    prices = chat.prices.values or (None,)
    prompts = (chat.prompt_ids(variant, price) for variant in (*variants, *held_out) for price in prices)
    return max(map(len, prompts)) + config.dialogue.total_tokens


def _information(loaded: LoadedModel, chat: Chat, args: GRPOConfig, section: RLSection) -> Information | None:
    """The measure of what answers were worth, if one is configured, with the model that RL starts from where needed."""
    options = section.information
    if options is None:
        return None
    frozen = copy.deepcopy(loaded.model).eval() if options.measure == "information_gain" else None
    size, pad_id = args.num_generations, loaded.tokenizer.pad_token_id
    return Information(options, chat, size, pad_id, args.per_device_train_batch_size, frozen)


def _trainer(
    loaded: LoadedModel,
    variants: Sequence[Variant],
    rollouts: Rollouts,
    args: GRPOConfig,
    config: Config,
    section: RLSection,
) -> DialogueGRPOTrainer:
    with naming("rl.lora"):
        options: dict[str, Any] = {  # Any: TRL's own signature
            "rollouts": rollouts,
            "model": loaded.model,
            "reward_funcs": _reward_functions(config, section),
            "args": args,
            "train_dataset": prompt_dataset(variants, rollouts.chat),
            "processing_class": loaded.tokenizer,
            "peft_config": adapter_for("rl.lora", section.lora, loaded.model),
        }
        if section.algorithm == "ppo":
            return DialoguePPOTrainer(options=section.ppo, by_turn=section.credit.by == "to_go", **options)
        return DialogueGRPOTrainer(credit=credit_of(section.credit, scaled=args.scale_rewards != "none"), **options)


def _reward_functions(config: Config, section: RLSection) -> list[Callable[..., list[float | None]]]:
    """TRL's view of the rewards in the order of each episode's scores: the configured ones, then what answers give."""
    named = [(item.name, item.weight) for item in config.rewards]
    if section.information:
        named.append((MEASURES[section.information.measure], section.information.weight))
    return [reward_function(name, place, weight) for place, (name, weight) in enumerate(named)]
