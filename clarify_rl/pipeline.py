"""The stages of a run, in order: data -> sft -> rl -> eval -> compare. Each reads and writes the run folder only."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from tqdm.auto import tqdm

from clarify_rl.config import Config, MixConfig, SuiteConfig
from clarify_rl.demonstrations import demonstrate
from clarify_rl.dialogue.chat import Chat
from clarify_rl.dialogue.episodes import DialogueLimits
from clarify_rl.errors import ClarifyError, ConfigError, unknown_name
from clarify_rl.evaluation.compare import Comparison, compare, to_json
from clarify_rl.evaluation.evaluate import evaluate
from clarify_rl.executor import Limits
from clarify_rl.policies.hf import HFPolicy
from clarify_rl.policies.models import LoadedModel, load_model
from clarify_rl.pool import PoolSpec, RewardSpec, make_pool
from clarify_rl.problems.bank.draw import Split
from clarify_rl.problems.bank.families import FAMILIES
from clarify_rl.problems.bank.spec import Family
from clarify_rl.problems.humaneval_comm import load_humaneval_comm
from clarify_rl.report.html import write_report
from clarify_rl.report.table import print_comparison
from clarify_rl.seeds import derive_seed
from clarify_rl.store import Run, write_atomically
from clarify_rl.synthesis.mix import Mix, sample_variants
from clarify_rl.types import Defect, Pool, Results, Variant

console = Console()


def run_all(config: Config, run: Run) -> Comparison:
    """Every stage that is not done yet, then the comparison. Prints a line before each."""
    stages: list[tuple[str, Callable[[], None]]] = [("data", lambda: make_data(config, run))]
    if config.sft:
        stages.append(("sft", lambda: sft(config, run)))
    if config.rl:
        stages.append(("rl", lambda: rl(config, run)))
    for checkpoint in checkpoints(config):
        stages.append((f"eval-{checkpoint}", lambda name=checkpoint: evaluate_checkpoint(config, run, name)))  # type: ignore[misc] # binds the loop's value
    for name, stage in stages:
        run_stage(run, name, stage)
    return compare_run(config, run)


def run_stage(run: Run, name: str, stage: Callable[[], None]) -> None:
    """One stage, unless it is complete; it is marked complete only after it ended well."""
    if run.is_done(name):
        console.print(f"[dim]{name}: complete already[/dim]")
        return
    started = time.monotonic()
    stage()
    seconds = time.monotonic() - started
    run.mark_done(name, seconds)
    console.print(f"[dim]{name}: {seconds:.0f} s[/dim]")


def checkpoints(config: Config) -> list[str]:
    """Names of the checkpoints that a run compares, from the first to the last."""
    return ["base", *(["sft"] if config.sft else []), *(["rl"] if config.rl else [])]


# ---- data


@dataclass(frozen=True)
class FamilyRoles:
    """Which families serve for what."""

    trained: tuple[Family, ...]
    demonstrated: tuple[Family, ...]
    held_out: tuple[Family, ...]
    unseen: tuple[Family, ...]


def family_roles(config: Config) -> FamilyRoles:
    """The families by role. Raises ConfigError for a name that the bank does not have."""
    by_name = {family.name: family for family in FAMILIES}
    data = config.data
    for name in (*data.demonstrated, *data.held_out, *data.unseen):
        if name not in by_name:
            raise ConfigError(unknown_name("family", name, by_name))
    away = {*data.held_out, *data.unseen}
    return FamilyRoles(
        trained=tuple(family for family in FAMILIES if family.name not in away),
        demonstrated=tuple(by_name[name] for name in data.demonstrated),
        held_out=tuple(by_name[name] for name in data.held_out),
        unseen=tuple(by_name[name] for name in data.unseen),
    )


def make_data(config: Config, run: Run) -> None:
    """Writes the variants of every part: SFT (with its held-out part), RL and each suite."""
    roles = family_roles(config)
    data = config.data
    parts: list[tuple[str, MixConfig, Split, tuple[Family, ...]]] = []
    if config.sft:
        parts += [("sft", data.sft, "train", roles.demonstrated), ("sft_dev", data.sft_dev, "dev", roles.demonstrated)]
    if config.rl:
        parts.append(("rl", data.rl, "train", roles.trained))
    total = sum(mix.count for _, mix, _, _ in parts) + sum(suite.count for suite in config.eval.suites.values())
    console.print(f"[bold]data[/bold]: {total} variants, each proved to matter by its tests -> {run.folder / 'data'}")
    with tqdm(total=total, desc="data", unit="variant", dynamic_ncols=True) as bar:
        for name, mix, split, families in parts:
            variants = _sample(mix, families, roles.trained, split, derive_seed(config.seed, name), bar.update)
            run.write_variants(name, variants)
        for name, suite in config.eval.suites.items():
            run.write_variants(name, suite_variants(config, name, suite, bar.update))


def suite_variants(
    config: Config, name: str, suite: SuiteConfig, on_variant: Callable[[], object] = lambda: None
) -> list[Variant]:
    """The variants of an evaluation suite. The same for every seed of training: they depend on the suite alone."""
    if suite.source != "bank":
        loaded = load_humaneval_comm(suite.source, limit=suite.count)
        for reason in loaded.skipped:
            console.print(f"[yellow]{name}: skipped {reason}[/yellow]")
        return list(loaded.variants)
    families: tuple[Family, ...] = getattr(family_roles(config), suite.families)
    return _sample(suite, families, families, "test", derive_seed("suite", name), on_variant)


def _sample(
    mix: MixConfig,
    families: Sequence[Family],
    clear_families: Sequence[Family],
    split: Split,
    seed: int,
    on_variant: Callable[[], object],
) -> list[Variant]:
    defects = {Defect(name): weight for name, weight in mix.defects.items()}
    wanted = Mix(mix.count, families, clear_families, mix.clear_share, mix.missing, defects)
    return sample_variants(wanted, split, seed, on_variant=lambda: (on_variant(), None)[1])


# ---- training


def sft(config: Config, run: Run) -> None:
    """Demonstrates the SFT variants, trains on them until the held-out loss stops falling, writes models/sft."""
    from clarify_rl.training.sft import train_sft

    assert config.sft is not None
    loaded = load_model(config.model.base, dtype=config.model.dtype, device=config.model.device)
    variants, held_out = run.read_variants("sft"), run.read_variants("sft_dev")
    console.print(
        f"[bold]sft[/bold]: {len(variants)} demonstrations ({sum(not v.is_clear for v in variants)} that ask), "
        f"{len(held_out)} held out -> {run.model_folder('sft')}"
    )
    chat = chat_for(config, loaded)
    encode = lambda text: loaded.tokenizer.encode(text, add_special_tokens=False)  # noqa: E731 - names a tokenizer call
    with open_pool(config) as pool:
        train, dev = (
            demonstrate(part, pool=pool, chat=chat, encode=encode, limits=dialogue_limits(config, loaded), seed=config.seed)
            for part in (variants, held_out)
        )
    train_sft(loaded, train, dev, config.sft, run, config.seed)


def rl(config: Config, run: Run) -> None:
    """Optimises asking and coding together from the SFT checkpoint (or the base model without one), writes models/rl."""
    from clarify_rl.training.grpo import train_grpo

    start = str(run.model_folder("sft")) if config.sft else config.model.base
    loaded = load_model(start, dtype=config.model.dtype, device=config.model.device)
    variants = run.read_variants("rl")
    console.print(f"[bold]rl[/bold]: GRPO from {start} on {len(variants)} variants -> {run.model_folder('rl')}")
    with open_pool(config) as pool:
        train_grpo(loaded, variants, pool, chat_for(config, loaded), dialogue_limits(config, loaded), config, run)


# ---- evaluation


def evaluate_checkpoint(config: Config, run: Run, checkpoint: str) -> None:
    """Plays every suite with one checkpoint, greedily unless configured otherwise; episodes/eval-CHECKPOINT-SUITE."""
    spec = config.model.base if checkpoint == "base" else str(run.model_folder(checkpoint))
    loaded = load_model(spec, dtype=config.model.dtype, device=config.model.device)
    chat = chat_for(config, loaded)
    policy = HFPolicy(
        loaded.model, chat.end_ids, loaded.tokenizer.pad_token_id, config.eval.temperature, config.eval.batch_size
    )
    suites = {name: run.read_variants(name) for name in config.eval.suites}
    total = sum(map(len, suites.values()))
    console.print(f"[bold]eval[/bold]: {checkpoint} on {total} variants of {', '.join(suites)} -> {run.folder / 'episodes'}")
    with open_pool(config) as pool, tqdm(total=total, desc=f"eval {checkpoint}", unit="episode", dynamic_ncols=True) as bar:
        for name, variants in suites.items():
            run.drop_episodes(f"eval-{checkpoint}-{name}")
            for episodes in evaluate(
                variants,
                policy=policy,
                pool=pool,
                chat=chat,
                limits=dialogue_limits(config, loaded),
                batch_size=config.eval.batch_size,
                seed=derive_seed(config.seed, "eval"),
            ):
                run.add_episodes(f"eval-{checkpoint}-{name}", episodes)
                bar.update(len(episodes))


def read_results(config: Config, run: Run) -> list[Results]:
    """The evaluated checkpoints of a run, suite by suite."""
    suites = {name: run.read_variants(name) for name in config.eval.suites}
    return [
        Results(checkpoint, name, tuple(run.read_episodes(f"eval-{checkpoint}-{name}", variants)))
        for name, variants in suites.items()
        for checkpoint in checkpoints(config)
        if run.is_done(f"eval-{checkpoint}")
    ]


def compare_run(config: Config, run: Run) -> Comparison:
    """Compares what a run evaluated: a table here, comparison.json and report.html in its folder."""
    results = read_results(config, run)
    if not results:
        raise ClarifyError(f"{run.folder} has no finished evaluation yet. Run `clarify-rl eval` on it first.")
    comparison = compare(results)
    write_atomically(run.folder / "comparison.json", to_json(comparison))
    write_report(run.folder / "report.html", comparison, results, run.read_metrics(), run.info())
    print_comparison(comparison, console)
    console.print(f"Read every dialogue in [bold]{run.folder / 'report.html'}[/bold]")
    return comparison


# ---- what the stages share


def chat_for(config: Config, loaded: LoadedModel) -> Chat:
    return Chat(loaded.tokenizer, config.dialogue.instruction, config.dialogue.last_call, end_ids(loaded))


def end_ids(loaded: LoadedModel) -> frozenset[int]:
    """Every token that ends a turn: the tokenizer's, and those that the model's generation configuration adds."""
    stated = loaded.model.generation_config.eos_token_id
    more = stated if isinstance(stated, list) else [] if stated is None else [stated]
    return frozenset({loaded.tokenizer.eos_token_id, *more})


def dialogue_limits(config: Config, loaded: LoadedModel) -> DialogueLimits:
    """The configured budgets, within what the model's context holds."""
    context = int(getattr(loaded.model.config, "max_position_embeddings", 0)) or 1 << 20
    wanted = config.dialogue
    return DialogueLimits(wanted.max_questions, wanted.turn_tokens, wanted.total_tokens, context)


@contextmanager
def open_pool(config: Config) -> Iterator[Pool]:
    """The configured environments, closed at the end whatever happens."""
    env = config.env
    options = {
        **env.options,
        "user": env.user,
        "user_options": env.user_options,
        "limits": Limits(cpu_s=env.limits.cpu_s, wall_s=env.limits.wall_s, memory_mb=env.limits.memory_mb),
    }
    rewards = tuple(RewardSpec(item.use, item.weight, item.options) for item in config.rewards)
    pool = make_pool(PoolSpec(env.use, options, rewards), workers=env.workers, deadline_s=env.deadline_s)
    try:
        yield pool
    finally:
        pool.close()


def run_folder_of(path: str) -> Path:
    """A run folder by path. Raises ClarifyError when it holds no run."""
    folder = Path(path)
    if not (folder / "config.yaml").exists():
        raise ClarifyError(f"{folder} holds no run (no config.yaml). Give the folder that `clarify-rl run` wrote.")
    return folder
