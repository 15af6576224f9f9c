"""The stages of a run, in order: data -> sft -> rl -> eval -> compare. Each reads and writes the run folder only."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.markup import escape
from tqdm.auto import tqdm

from clarify_rl.config import CONTINUE, Config, EnvConfig, MixConfig, RLSection, SuiteConfig
from clarify_rl.demonstrations import demonstrate
from clarify_rl.errors import ConfigError, DataError, RunFolderError, unknown_name
from clarify_rl.evaluation.compare import Comparison, compare, to_json
from clarify_rl.evaluation.evaluate import evaluate
from clarify_rl.executor import ExecutorSpec, Limits, Profile
from clarify_rl.players import chat_for, dialogue_limits, load, player_for
from clarify_rl.pool import PoolSpec, RewardSpec, Workers, make_pool
from clarify_rl.problems.bank.draw import Split
from clarify_rl.problems.bank.families import FAMILIES
from clarify_rl.problems.bank.spec import Family
from clarify_rl.problems.humaneval_comm import load_humaneval_comm
from clarify_rl.registry import source_digest
from clarify_rl.report.html import write_report
from clarify_rl.report.table import print_comparison
from clarify_rl.seeds import derive_seed
from clarify_rl.store import Run, write_atomically
from clarify_rl.synthesis.mix import Mix, interleaved, sample_variants
from clarify_rl.types import Defect, Pool, Results, Variant

console = Console()
say = partial(console.print, soft_wrap=True)


def run_all(config: Config, run: Run) -> Comparison:
    """Every stage that is not done yet, then the comparison. Prints a line before each."""
    run_stage("data", config, run)
    if config.sft:
        run_stage("sft", config, run)
    if config.rl:
        run_stage("rl", config, run)
    return evaluate_run(config, run)


def run_stage(name: Literal["data", "sft", "rl"], config: Config, run: Run) -> None:
    """One stage, unless it is complete. Raises RunFolderError when a stage before it is missing."""
    needed = {"data": (), "sft": ("data",), "rl": ("data", "sft") if config.sft else ("data",)}[name]
    for earlier in needed:
        if not run.is_done(earlier):
            raise RunFolderError(f"{run.folder} has no {earlier} yet. Run `clarify-rl {earlier} CONFIG` first.")
    if name != "data" and getattr(config, name) is None:
        raise ConfigError(f"This configuration has no {name} stage (`{name}: null`).")
    _unless_done(run, name, {"data": make_data, "sft": sft, "rl": rl}[name], config)


def evaluate_run(config: Config, run: Run) -> Comparison:
    """Evaluates every checkpoint that exists and is not evaluated yet, then compares all of them."""
    if not run.is_done("data"):
        raise RunFolderError(f"{run.folder} has no data yet. Run `clarify-rl data CONFIG` first.")
    for name, spec in checkpoints(config).items():
        if spec or run.is_done(name):
            _unless_done(run, f"eval-{name}", evaluate_checkpoint, config, name)
    return compare_run(config, run)


def _unless_done(run: Run, name: str, stage: Callable[..., None], config: Config, *arguments: str) -> None:
    """Marks a stage complete only after it ended well."""
    if run.is_done(name):
        say(f"[dim]{name}: complete already[/dim]")
        return
    started = time.monotonic()
    stage(config, run, *arguments)
    seconds = time.monotonic() - started
    run.mark_done(name, seconds)
    say(f"[dim]{name}: {seconds:.0f} s[/dim]")


def checkpoints(config: Config) -> dict[str, str | None]:
    """What a run compares, from the first to the last: names, and the models; None for one that the run trains."""
    if config.eval.models:
        return dict(config.eval.models)
    trained = [name for name in ("sft", "rl") if getattr(config, name) is not None]
    return {"base": config.model.base, **dict.fromkeys(trained)}


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
    for name in (*data.demonstrated, *data.tests_only, *data.held_out, *data.unseen):
        if name not in by_name:
            raise ConfigError(unknown_name("family", name, by_name))
    others = [name for name in by_name if name not in {*data.demonstrated, *data.held_out, *data.unseen}]
    return FamilyRoles(
        trained=tuple(by_name[name] for name in (*data.demonstrated, *(data.tests_only or others))),
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
        if config.rl.evaluation.every:
            parts.append(("rl_dev", data.rl_dev, "dev", roles.trained))
    suites = [suite for suite in config.eval.suites.values() if suite.source == "bank"]
    total = sum(mix.count for _, mix, _, _ in parts) + sum(suite.count for suite in suites)
    if total:
        say(f"[bold]data[/bold]: {total} variants, each proved to matter by its tests -> {run.folder / 'data'}")
    with tqdm(total=total, desc="data", unit="variant", dynamic_ncols=True, disable=not total) as bar:
        for name, mix, split, families in parts:
            variants = _sample(mix, families, roles.trained, split, derive_seed(config.seed, name), bar.update)
            run.write_variants(name, interleaved(variants))
        for name, suite in config.eval.suites.items():
            run.write_variants(name, suite_variants(config, name, suite, bar.update))


def suite_variants(
    config: Config, name: str, suite: SuiteConfig, on_variant: Callable[[], object] = lambda: None
) -> list[Variant]:
    """The variants of an evaluation suite. The same for every seed of training: they depend on the suite alone."""
    if suite.source != "bank":
        loaded = load_humaneval_comm(suite.source, limit=suite.count)
        say(f"[bold]data[/bold]: {name}: {escape(loaded.summary())}")
        return list(loaded.variants)
    families: tuple[Family, ...] = getattr(family_roles(config), suite.families)
    return _sample(suite, families, families, suite.split, derive_seed("suite", name, suite.draw), on_variant)


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
    loaded = load(config, config.model.base)
    variants, held_out = run.read_variants("sft"), run.read_variants("sft_dev")
    say(
        f"[bold]sft[/bold]: {len(variants)} demonstrations ({sum(not v.is_clear for v in variants)} that ask), "
        f"{len(held_out)} held out -> {run.model_folder('sft')}"
    )
    chat = chat_for(config, loaded)
    encode = lambda text: loaded.tokenizer.encode(text, add_special_tokens=False)  # noqa: E731 - names a tokenizer call
    with open_pool(config, run) as pool:
        train, dev = (
            demonstrate(
                part, pool=pool, chat=chat, encode=encode, limits=dialogue_limits(config, loaded), seed=config.seed
            )
            for part in (variants, held_out)
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
    if config.learners.count > 1:
        from clarify_rl.launch.learners import train_on_learners

        train_on_learners(learn, config, say)
    else:
        learn(config, run)
    if which := run.info().get("models/rl"):
        say(f"models/rl is {which}")


def learn(config: Config, run: Run) -> None:
    """The RL stage as one process does it: the only one, or each of several learners."""
    from clarify_rl.training.grpo import train_grpo
    from clarify_rl.training.ppo import train_ppo

    train = {"grpo": train_grpo, "ppo": train_ppo}[(config.rl or RLSection()).algorithm]
    loaded = load(config, rl_start(config, run.folder))
    variants = run.read_variants("rl")
    with open_pool(config, run) as pool:
        train(loaded, variants, pool, chat_for(config, loaded), dialogue_limits(config, loaded), config, run)


def rl_start(config: Config, folder: Path) -> str:
    """The model that RL starts from: SFT's, or its adapter where RL goes on with it, or without SFT the base."""
    if not config.sft:
        return config.model.base
    continues = config.rl is not None and config.rl.lora == CONTINUE
    return str(folder / "models" / "sft" / ("adapter" if continues else ""))


# ---- evaluation


def evaluate_checkpoint(config: Config, run: Run, checkpoint: str) -> None:
    """Plays every suite with one checkpoint, greedily unless configured otherwise; episodes/eval-CHECKPOINT-SUITE."""
    spec = checkpoints(config)[checkpoint] or str(run.model_folder(checkpoint))
    player = player_for(config, spec)
    suites = {name: run.read_variants(name) for name in config.eval.suites}
    total = sum(map(len, suites.values()))
    say(f"[bold]eval[/bold]: {checkpoint} on {total} variants of {', '.join(suites)} -> {run.folder / 'episodes'}")
    with (
        open_pool(config, run) as pool,
        tqdm(total=total, desc=f"eval {checkpoint}", unit="episode", dynamic_ncols=True) as bar,
    ):
        for name, variants in suites.items():
            run.drop_episodes(f"eval-{checkpoint}-{name}")
            for episodes in evaluate(
                variants,
                policy=player.policy,
                pool=pool,
                chat=player.chat,
                limits=player.limits,
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
    _tell_what_is_left_out(config, run)
    return _write_comparison(run.folder, read_results(config, run), run.read_metrics(), run.info())


def compare_runs(runs: Mapping[str, tuple[Config, Run]], out: Path) -> Comparison:
    """Compares the checkpoints of several runs, named RUN/CHECKPOINT, and writes to `out`. They need equal suites."""
    for config, run in runs.values():
        _tell_what_is_left_out(config, run)
    results = [
        replace(result, checkpoint=f"{name}/{result.checkpoint}")
        for name, (config, run) in runs.items()
        for result in read_results(config, run)
    ]
    suites = list(dict.fromkeys(result.suite for result in results))
    _check_same_suites(results)
    metrics = [
        {**row, "stage": f"{name}/{row['stage']}"} for name, (_, run) in runs.items() for row in run.read_metrics()
    ]
    info = {f"{name}: {key}": value for name, (_, run) in runs.items() for key, value in run.info().items()}
    out.mkdir(parents=True, exist_ok=True)
    # Suite by suite, so that the checkpoints of all runs stand beside each other.
    return _write_comparison(out, sorted(results, key=lambda result: suites.index(result.suite)), metrics, info)


def _tell_what_is_left_out(config: Config, run: Run) -> None:
    """Names the checkpoints that a comparison cannot show. Raises RunFolderError when that is all of them."""
    missing = [name for name in checkpoints(config) if not run.is_done(f"eval-{name}")]
    if len(missing) == len(checkpoints(config)):
        raise RunFolderError(f"{run.folder} has no finished evaluation. First: clarify-rl eval {run.folder}")
    for name in missing:
        state = "evaluated" if checkpoints(config)[name] or run.is_done(name) else "trained"
        say(f"[yellow]{run.folder}: {name} is not {state} yet, so it is left out[/yellow]")


def _check_same_suites(results: Sequence[Results]) -> None:
    """Raises DataError unless every checkpoint was evaluated on the same variants of the same suites."""
    variants = {(result.suite, result.checkpoint): [e.variant.id for e in result.episodes] for result in results}
    names = dict.fromkeys(result.checkpoint for result in results)
    for suite in dict.fromkeys(result.suite for result in results):
        first = variants.get((suite, next(iter(names))))
        for name in names:
            found = variants.get((suite, name))
            if found is None or found != first:
                raise DataError(
                    f"{name} and {next(iter(names))} were not evaluated on the same variants of suite {suite!r} "
                    f"({len(found or ())} and {len(first or ())}). Compare runs with one eval.suites and one data."
                )


def _write_comparison(
    folder: Path, results: list[Results], metrics: Sequence[Mapping[str, float | int | str]], info: Mapping[str, str]
) -> Comparison:
    comparison = compare(results)
    write_atomically(folder / "comparison.json", to_json(comparison))
    write_report(folder / "report.html", comparison, results, metrics, info)
    print_comparison(comparison, console)
    say(f"Read every dialogue in [bold]{folder / 'report.html'}[/bold]")
    return comparison


# ---- what the stages share


@contextmanager
def open_pool(config: Config, run: Run | None = None) -> Iterator[Pool]:
    """The configured environments, closed at the end whatever happens. The run is told where they run."""
    env = config.env
    options = {**env.options, "user": env.user, "user_options": env.user_options, "executor": executor_spec(config)}
    rewards = tuple(RewardSpec(item.use, item.weight, item.options) for item in config.rewards)
    pool = make_pool(PoolSpec(env.use, options, rewards), workers=_workers(env), deadline_s=env.deadline_s)
    try:
        if run is not None:
            run.note("environment", pool.describe())
            _note_plugins(config, run)
        yield pool
    finally:
        pool.close()


def _note_plugins(config: Config, run: Run) -> None:
    """Notes what each plugin file holds, and warns where earlier episodes of the run came from another state of it."""
    for spec in dict.fromkeys([config.env.use, config.env.user, *(item.use for item in config.rewards)]):
        digest = source_digest(spec)
        if digest is None:
            continue
        path = spec.rpartition(":")[0]
        known = run.info().get(f"plugin {path}", "")
        if known.endswith(digest):
            continue
        if known:
            say(f"[yellow]{escape(path)} has changed since this run began: its results come from both states.[/yellow]")
        run.note(f"plugin {path}", f"{known}, then {digest}" if known else f"sha256 {digest}")


def _workers(env: EnvConfig) -> Workers | None:
    if not env.workers:
        return None
    least = env.workers if isinstance(env.workers, int) else env.workers.min
    return Workers(least, env.most_workers, env.worker_resources)


def executor_spec(config: Config) -> ExecutorSpec:
    """The configured executor. On Ray, each worker has two fork servers unless the configuration says more."""
    wanted = config.executor.model_dump()
    limits = Limits(**{field.name: wanted[field.name] for field in fields(Limits)})
    profile = Profile(wanted["python"], wanted["packages"], wanted["preload"])
    servers = wanted["servers"] or (2 if config.env.workers else None)
    return ExecutorSpec(limits, servers, profile, wanted["allow_weak"], wanted["unsafe"])
