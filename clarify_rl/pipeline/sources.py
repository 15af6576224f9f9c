"""Sources of problems in a run: their variants made with proof, and drawn in the proportions of a part or a suite."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from random import Random

from rich.markup import escape
from tqdm.auto import tqdm

from clarify_rl.config import Config
from clarify_rl.errors import ConfigError, DataError, unknown_name
from clarify_rl.executor import Executor
from clarify_rl.parallel import in_order
from clarify_rl.pipeline.environments import executor as configured_executor
from clarify_rl.pipeline.terminal import say
from clarify_rl.problems.overlap import group_of, splits
from clarify_rl.registry import load_source
from clarify_rl.sections import MixConfig
from clarify_rl.store import Run
from clarify_rl.synthesis.facts import sentence_of
from clarify_rl.synthesis.unclear import Synthesis
from clarify_rl.types import Problem, Skipped, Source, Variant

BANK = "bank"
FEW = 40  # problems among which one that hides something is looked for


def named_source(config: Config, name: str) -> Source:
    """A source that the configuration names under `sources`. Raises ConfigError for another name."""
    if name not in config.sources:
        raise ConfigError(unknown_name("source of problems", name, [BANK, *config.sources]))
    section = config.sources[name]
    return load_source(section.use, section.options)


def variants_of(
    source: Source, executor: Executor, seed: int, on_problem: Callable[[], object] = lambda: None
) -> Iterator[Variant]:
    """All variants of a source that can be proved, in its order; of a problem without facts, its clear statement.

    What a source brings ready-made is taken as it is.
    """
    if ready := getattr(source, "variants", None):
        yield from ready()
        return
    synthesis = Synthesis(executor, seed)
    problems = (item for item in source.read() if not isinstance(item, Skipped))
    for made in in_order(lambda problem: _variants(synthesis, problem), problems, executor.most_servers):
        on_problem()
        yield from made


def _variants(synthesis: Synthesis, problem: Problem) -> list[Variant]:
    if made := synthesis.variants(problem):
        return made
    grouped = replace(problem, family=group_of(sentence_of(problem.prompt)))
    return [Variant(f"{problem.id}/clear", grouped, problem.prompt)]


def source_variants(config: Config, name: str, run: Run | None = None) -> list[Variant]:
    """The variants of a named source, made once for a run and read again after an interruption."""
    part = f"source-{name}"
    if run is not None and run.data_file(part).exists():
        return run.read_variants(part)
    with (
        configured_executor(config) as executor,
        tqdm(desc=f"source {name}", unit="problem", dynamic_ncols=True) as bar,
    ):
        source = named_source(config, name)
        made = list(variants_of(source, executor, config.seed, bar.update))
    _say_what_is_left_out(name, source)
    if not made:
        raise DataError(f"The source {name} gives no problem. See: clarify-rl check source ...")
    if run is not None:
        run.write_variants(part, made)
    return made


def _say_what_is_left_out(name: str, source: Source) -> None:
    """The rows of ready-made variants that cannot be used; those of complete problems are told by `check source`."""
    if hasattr(source, "variants"):
        skipped = [item for item in source.read() if isinstance(item, Skipped)]
        if skipped:
            first = escape(f"{skipped[0].where}: {skipped[0].why}")
            say(f"[yellow]source {name}: {len(skipped)} rows are left out, the first {first}[/yellow]")


def unclear_one(config: Config, name: str) -> Variant:
    """A variant of a source that hides something, or else its first clear one, without making all of them."""
    source = named_source(config, name)
    first: Variant | None = None
    with configured_executor(config) as executor:
        synthesis = Synthesis(executor, config.seed)
        ready = getattr(source, "variants", None)
        variants = ready() if ready else _of_few(synthesis, source)
        for variant in variants:
            first = first or variant
            if variant.facts:
                return variant
    if first is None:
        raise DataError(f"The source {name} gives no problem. See: clarify-rl check source ...")
    return first


def _of_few(synthesis: Synthesis, source: Source) -> Iterator[Variant]:
    problems = (item for item in source.read() if not isinstance(item, Skipped))
    for problem, _ in zip(problems, range(FEW), strict=False):
        yield from _variants(synthesis, problem)


def draw(variants: Iterable[Variant], mix: MixConfig, count: int, split: str, seed: int, name: str) -> list[Variant]:
    """`count` of a source's variants of one split, in the mix's proportions; problems and edits take turns.

    Raises DataError where there are not enough, with how many there are.
    """
    known = [(variant.problem.family or variant.problem.id, variant) for variant in variants]
    of_group = splits(group for group, _ in known)
    own = [variant for group, variant in known if of_group[group] == split]
    clear = round(count * mix.clear_share)
    rng = Random(f"{seed}/{name}/{split}")
    drawn = [
        *take_turns([variant for variant in own if variant.is_clear], clear, rng, f"clear ones of {name}, {split}"),
        *_unclear([variant for variant in own if variant.facts], mix, count - clear, rng, f"{name}, {split}"),
    ]
    return rng.sample(drawn, len(drawn))


def _unclear(variants: Sequence[Variant], mix: MixConfig, count: int, rng: Random, where: str) -> list[Variant]:
    drawn: list[Variant] = []
    shares = {missing: weight for missing, weight in mix.missing.items() if weight}
    for place, (missing, weight) in enumerate(sorted(shares.items())):
        rest = count - len(drawn)
        asked = rest if place == len(shares) - 1 else round(count * weight / sum(shares.values()))
        fitting = [variant for variant in variants if len(variant.facts) == missing and _allowed(variant, mix)]
        drawn += take_turns(fitting, min(asked, rest), rng, f"variants with {missing} missing of {where}")
    return drawn


def _allowed(variant: Variant, mix: MixConfig) -> bool:
    return all(fact.defect is not None and mix.defects.get(fact.defect.value) for fact in variant.facts)


def take_turns(variants: Sequence[Variant], count: int, rng: Random, what: str) -> list[Variant]:
    """`count` of them, each edit in turn and of it the problem that was taken least, in an order by `rng`."""
    if len(variants) < count:
        raise DataError(f"There are {len(variants)} {what}, and {count} are asked for. Ask for fewer, or add a source.")
    queues: dict[str, list[Variant]] = defaultdict(list)
    for variant in rng.sample(list(variants), len(variants)):
        queues["+".join(sorted(fact.id for fact in variant.facts))].append(variant)
    taken: Counter[str] = Counter()
    drawn: list[Variant] = []
    while len(drawn) < count:
        for queue in list(queues.values()):
            if queue and len(drawn) < count:
                best = min(range(len(queue)), key=lambda i: taken[queue[i].problem.family])
                variant = queue.pop(best)
                taken[variant.problem.family] += 1
                drawn.append(variant)
    return drawn
