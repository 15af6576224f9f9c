"""The two stages that train: SFT on demonstrations, then RL on dialogues of the policy's own."""

from __future__ import annotations

from rich.markup import escape

from clarify_rl.config import Config
from clarify_rl.demonstrations import demonstrate
from clarify_rl.engines import engine_for_rl
from clarify_rl.pipeline.checkpoints import rl_start
from clarify_rl.pipeline.environments import open_pool
from clarify_rl.pipeline.fitting import say_what_is_cut_off
from clarify_rl.pipeline.terminal import say
from clarify_rl.players import chat_for, dialogue_limits, load, training_use
from clarify_rl.rl_sections import RLSection
from clarify_rl.store import Run


def sft(config: Config, run: Run) -> None:
    """Demonstrates the SFT variants, trains on them until the held-out loss stops falling, writes models/sft."""
    from clarify_rl.training.sft import train_sft

    assert config.sft is not None
    loaded = load(config, config.model.base, training_use(config.sft.lora))
    variants, held_out = run.read_variants("sft"), run.read_variants("sft_dev")
    say(
        f"[bold]sft[/bold]: {len(variants)} demonstrations ({sum(not v.is_clear for v in variants)} that ask), "
        f"{len(held_out)} held out -> {run.model_folder('sft')}"
    )
    chat, limits = chat_for(config, loaded), dialogue_limits(config, loaded)
    say_what_is_cut_off(chat, limits, variants)
    with open_pool(config, run) as pool:
        train, dev = (
            demonstrate(part, pool=pool, chat=chat, limits=limits, seed=config.seed) for part in (variants, held_out)
        )
    if untold := sum(len(episode.revealed) < len(episode.variant.facts) for episode in train):
        say(
            f"[yellow]In {untold} of {len(train)} demonstrations the user {escape(config.env.user)} keeps facts to "
            "itself that the code then uses, so SFT learns to guess there[/yellow]"
        )
    train_sft(loaded, train, dev, config.sft, run, config.seed)


def rl(config: Config, run: Run) -> None:
    """Optimises asking and coding together from the SFT checkpoint (without one, the base model), writes models/rl."""
    algorithm = (config.rl or RLSection()).algorithm.upper()
    by = f" by {config.learners.count} learners" if config.learners.count > 1 else ""
    start, count = rl_start(config, run.folder), len(run.read_variants("rl"))
    say(f"[bold]rl[/bold]: {algorithm}{by} from {start} on {count} variants -> {run.model_folder('rl')}")
    say(f"[dim]engine: {escape(str(engine_for_rl(config)))}[/dim]")
    if config.learners.count > 1:
        from clarify_rl.launch.learners import train_on_learners

        train_on_learners(learn, config, say)
    else:
        learn(config, run)
    if which := run.info().get("models/rl"):
        say(f"models/rl is {which}")


def learn(config: Config, run: Run) -> None:
    """The RL stage as one process does it: the only one, or each of several learners."""
    from clarify_rl.training.rl import train_rl

    loaded = load(config, rl_start(config, run.folder), training_use((config.rl or RLSection()).lora))
    variants = run.read_variants("rl")
    chat, limits = chat_for(config, loaded), dialogue_limits(config, loaded)
    say_what_is_cut_off(chat, limits, variants)
    with open_pool(config, run) as pool:
        train_rl(loaded, variants, pool, chat, limits, config, run)
