"""The data of a run: which variants each part and each suite holds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from rich.markup import escape
from tqdm.auto import tqdm

from clarify_rl.config import Config, PartConfig
from clarify_rl.errors import ConfigError, unknown_name
from clarify_rl.eval_sections import SuiteConfig
from clarify_rl.pipeline.sources import BANK, draw, source_variants
from clarify_rl.pipeline.terminal import say
from clarify_rl.problems.bank.draw import Split
from clarify_rl.problems.bank.families import FAMILIES
from clarify_rl.problems.bank.spec import Family
from clarify_rl.problems.humaneval_comm import load_humaneval_comm
from clarify_rl.sections import MixConfig
from clarify_rl.seeds import derive_seed
from clarify_rl.store import Run
from clarify_rl.synthesis.mix import Mix, interleaved, sample_variants
from clarify_rl.types import Defect, Variant


@dataclass(frozen=True)
class FamilyRoles:
    """Which families serve for what."""

    trained: tuple[Family, ...]
    demonstrated: tuple[Family, ...]
    seldom: tuple[Family, ...]
    held_out: tuple[Family, ...]
    unseen: tuple[Family, ...]


@dataclass(frozen=True)
class _DrawnFrom:
    """The families of a part's unclear variants and of its clear ones; of the unclear, some from `seldom` ones."""

    unclear: tuple[Family, ...]
    clear: tuple[Family, ...]
    seldom: tuple[Family, ...] = ()
    seldom_share: float = 0.0


def family_roles(config: Config) -> FamilyRoles:
    """The families by role. Raises ConfigError for a name that the bank does not have."""
    by_name = {family.name: family for family in FAMILIES}
    data = config.data
    for name in (*data.demonstrated, *data.seldom, *(data.tests_only or ()), *data.held_out, *data.unseen):
        if name not in by_name:
            raise ConfigError(unknown_name("family", name, by_name))
    named = {*data.demonstrated, *data.seldom, *data.held_out, *data.unseen}
    others = [name for name in by_name if name not in named]
    tests_only = others if data.tests_only is None else data.tests_only
    return FamilyRoles(
        trained=tuple(by_name[name] for name in (*data.demonstrated, *data.seldom, *tests_only)),
        demonstrated=tuple(by_name[name] for name in data.demonstrated),
        seldom=tuple(by_name[name] for name in data.seldom),
        held_out=tuple(by_name[name] for name in data.held_out),
        unseen=tuple(by_name[name] for name in data.unseen),
    )


def make_data(config: Config, run: Run) -> None:
    """Writes the variants of every part: SFT (with its held-out part), RL and each suite."""
    roles = family_roles(config)
    data = config.data
    parts: list[tuple[str, PartConfig, Split, _DrawnFrom]] = []
    shown = _DrawnFrom(roles.demonstrated, roles.trained, roles.seldom, data.seldom_share)
    played = _DrawnFrom(roles.trained, roles.trained)
    if config.sft:
        parts += [("sft", data.sft, "train", shown), ("sft_dev", data.sft_dev, "dev", shown)]
    if config.rl:
        parts.append(("rl", data.rl, "train", played))
        if config.rl.evaluation.every:
            parts.append(("rl_dev", data.rl_dev, "dev", played))
    suites = [suite for suite in config.eval.suites.values() if suite.source == BANK]
    total = sum(_counts(mix).get(BANK, 0) for _, mix, _, _ in parts) + sum(suite.count for suite in suites)
    if total:
        say(f"[bold]data[/bold]: {total} variants, each proved to matter by its tests -> {run.folder / 'data'}")
    with tqdm(total=total, desc="data", unit="variant", dynamic_ncols=True, disable=not total) as bar:
        for name, mix, split, families in parts:
            seed, variants = derive_seed(config.seed, name), list[Variant]()
            for of, count in _counts(mix).items():
                if of == BANK:
                    own = mix.model_copy(update={"count": count})
                    variants += _sample(own, families, split, seed, bar.update)
                else:
                    variants += draw(source_variants(config, of, run), mix, count, split, seed, of)
            run.write_variants(name, interleaved(variants))
        make_suites(config, run, bar.update)


def make_suites(config: Config, run: Run, on_variant: Callable[[], object] = lambda: None) -> None:
    """Writes the variants of the suites that have none yet: the same under each circumstance."""
    made: dict[str, list[Variant]] = {}
    for name, suite in config.suites.items():
        if run.data_file(name).exists():
            continue
        own = name.partition("@")[0]
        if own not in made:
            made[own] = suite_variants(config, own, config.eval.suites[own], on_variant, run=run)
        run.write_variants(name, map(told, made[own]) if suite.told else made[own])


def told(variant: Variant) -> Variant:
    """The variant with its complete statement, and so with nothing left to ask for."""
    return replace(variant, prompt=variant.problem.prompt, facts=(), stated=(*variant.stated, *variant.facts))


def _counts(mix: PartConfig) -> dict[str, int]:
    """How many variants each source gives; the rest of a rounding goes to the last."""
    shares = {name: weight for name, weight in mix.sources.items() if weight}
    counts = {name: round(mix.count * weight / sum(shares.values())) for name, weight in shares.items()}
    *_, last = counts
    counts[last] += mix.count - sum(counts.values())
    return counts


def suite_variants(
    config: Config,
    name: str,
    suite: SuiteConfig,
    on_variant: Callable[[], object] = lambda: None,
    *,
    quiet: bool = False,
    run: Run | None = None,
) -> list[Variant]:
    """The variants of an evaluation suite. The same for every seed of training: they depend on the suite alone."""
    seed = derive_seed("suite", name.partition("@")[0], suite.draw)  # the same variants at every price
    if suite.source in config.sources and suite.split == "whole":
        return source_variants(config, suite.source, run)[: suite.count]
    if suite.source in config.sources:
        return draw(source_variants(config, suite.source, run), suite, suite.count, suite.split, seed, suite.source)
    if suite.source != BANK:
        loaded = load_humaneval_comm(suite.source, limit=suite.count)
        if not quiet:
            say(f"[bold]data[/bold]: {name}: {escape(loaded.summary())}")
        return list(loaded.variants)
    families: tuple[Family, ...] = getattr(family_roles(config), suite.families)
    split: Split = "dev" if suite.split == "dev" else "test"
    return _sample(suite, _DrawnFrom(families, families), split, seed, on_variant)


def _sample(
    mix: MixConfig,
    families: _DrawnFrom,
    split: Split,
    seed: int,
    on_variant: Callable[[], object],
) -> list[Variant]:
    proportions = Mix(
        mix.count,
        families.unclear,
        families.clear,
        mix.clear_share,
        mix.missing,
        {Defect(name): weight for name, weight in mix.defects.items()},
        families.seldom,
        families.seldom_share,
    )
    return sample_variants(proportions, split, seed, on_variant=lambda: (on_variant(), None)[1])
