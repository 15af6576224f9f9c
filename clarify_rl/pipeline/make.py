"""`clarify-rl data make`, `show` and `stats`: unclear variants of any problems, proved once and kept in a file."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from tqdm.auto import tqdm

from clarify_rl.errors import DataError
from clarify_rl.executor import Executor, Limits
from clarify_rl.parallel import in_order
from clarify_rl.pipeline.grown import GrownFile
from clarify_rl.problems.made import Made
from clarify_rl.problems.overlap import Statements, behaviours, same_behaviour
from clarify_rl.registry import source_from_text
from clarify_rl.synthesis.unclear import Synthesis
from clarify_rl.types import Problem, Skipped, Source, Variant

EVALUATED = "belongs to an evaluation set"
# Processor seconds of a reference with all of its inputs: half of what a run gives a program by default
# (executor.cpu_s), so that a slower machine passes it too.
CPU_S = 1.0
TWIN_CPU_S = 0.5  # and with those of evaluation sets


@dataclass(frozen=True)
class Yield:
    """What came of making variants: problems read, left out, with variants; variants written."""

    problems: int
    skipped: int
    contaminated: int
    with_facts: int
    variants: int


class EvaluationSets:
    """Problems that nobody may train on, with an executor that gives up soon: their tests take no time."""

    def __init__(self, sources: Sequence[Source], *, servers: int | None = None) -> None:
        problems = [item for source in sources for item in source.read() if isinstance(item, Problem)]
        self._statements, self._behaviours = Statements(problems), behaviours(problems)
        self._executor = Executor(Limits(cpu_s=TWIN_CPU_S), servers=servers)

    def __enter__(self) -> EvaluationSets:
        self._executor.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._executor.close()

    def same_words(self, problem: Problem) -> list[Problem]:
        """Those with nearly the same statement."""
        return self._statements.like(problem)

    def same_behaviour(self, problem: Problem) -> list[Problem]:
        """Those whose tests the problem's reference passes."""
        return same_behaviour(problem, self._behaviours, self._executor)

    def holds(self, problem: Problem) -> bool:
        """Whether a problem is one of them, by its words or by what its reference does."""
        return bool(self.same_words(problem) or self.same_behaviour(problem))


def make_named(
    sources: Sequence[str],
    against: Sequence[str],
    out: Path,
    *,
    seed: int = 0,
    limit: int | None = None,
    workers: int | None = None,
    on_ray: bool = False,
) -> Yield:
    """`make` for sources as a shell names them, by fork servers of this machine, or by actors of Ray."""
    named = [source_from_text(text) for text in sources]
    if on_ray:
        from clarify_rl.pool.in_order import in_order_on_ray  # loads Ray

        actors = workers or os.cpu_count() or 1
        start = MakerOnRay(tuple(against), seed)
        return _write(named, lambda problems: in_order_on_ray(start, problems, actors), out, limit)
    kept_out = [source_from_text(text) for text in against]
    with Executor(Limits(cpu_s=CPU_S), servers=workers) as executor:
        return make(named, kept_out, executor, out, seed=seed, limit=limit)


def make(
    sources: Sequence[Source],
    against: Sequence[Source],
    executor: Executor,
    out: Path,
    *,
    seed: int = 0,
    limit: int | None = None,
) -> Yield:
    """Writes the variants of all problems but those of evaluation sets; goes on where an earlier try was interrupted.

    The same file for the same seed, whoever makes it and however many at once. Each line is a variant; a problem's are
    written together, with a line in FILE.done for it.
    """
    with Maker(executor, against, seed) as maker:
        return _write(sources, lambda problems: in_order(maker, problems, executor.most_servers), out, limit)


MadeOf = tuple[Problem, list[Variant] | None]  # None: it belongs to an evaluation set


class Maker:
    """Makes the variants of one problem after another; may be called from many threads."""

    def __init__(self, executor: Executor, against: Sequence[Source], seed: int) -> None:
        self._synthesis = Synthesis(executor, seed)
        self._evaluated = EvaluationSets(against, servers=executor.servers)

    def __call__(self, problem: Problem) -> MadeOf:
        return problem, None if self._evaluated.holds(problem) else self._synthesis.variants(problem)

    def __enter__(self) -> Maker:
        self._evaluated.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._evaluated.__exit__()


@dataclass(frozen=True)
class MakerOnRay:
    """Begins a maker in an actor, with an executor of its own; evaluation sets go by name, and are read there."""

    against: tuple[str, ...]
    seed: int

    def __call__(self) -> _OwnMaker:
        return _OwnMaker([source_from_text(text) for text in self.against], self.seed)


class _OwnMaker:
    def __init__(self, against: Sequence[Source], seed: int) -> None:
        self._kept = ExitStack()
        executor = self._kept.enter_context(Executor(Limits(cpu_s=CPU_S), servers=1))
        self._maker = self._kept.enter_context(Maker(executor, against, seed))

    def __call__(self, problem: Problem) -> MadeOf:
        return self._maker(problem)

    def close(self) -> None:
        self._kept.close()


def _write(
    sources: Sequence[Source], each: Callable[[Iterable[Problem]], Iterator[MadeOf]], out: Path, limit: int | None
) -> Yield:
    """What `each` makes of the problems that are not decided yet, in their order."""
    skipped = Counter[str]()
    with GrownFile(out) as grown, tqdm(desc="data make", unit="problem", dynamic_ncols=True) as bar:
        problems = islice(_read(sources, skipped), limit)
        fresh = (problem for problem in problems if problem.id not in grown)
        for problem, made in each(fresh):
            grown.add(problem.id, made or (), EVALUATED if made is None else "")
            bar.update()
            bar.set_postfix(variants=grown.variants, refresh=False)
    return Yield(
        problems=len(grown.counts),
        skipped=skipped.total(),
        contaminated=list(grown.notes.values()).count(EVALUATED),
        with_facts=sum(map(bool, grown.counts.values())),
        variants=grown.variants,
    )


def _read(sources: Sequence[Source], skipped: Counter[str]) -> Iterator[Problem]:
    for source in sources:
        for item in source.read():
            if isinstance(item, Skipped):
                skipped[item.where] += 1
            else:
                yield item


def show(path: Path, console: Console, *, number: int, edit: str | None, seed: int) -> None:
    """Variants with what is hidden, how it is answered, and the proof."""
    from random import Random

    variants = [
        variant
        for variant in Made(str(path)).variants()
        if variant.facts and (edit is None or edit in [fact.id for fact in variant.facts])
    ]
    if not variants:
        raise DataError(f"{path} has no unclear variant{f' with an edit {edit}' if edit else ''}.")
    for variant in Random(seed).sample(variants, min(number, len(variants))):
        console.print(f"\n[bold]{escape(variant.id)}[/bold] ({variant.kind})")
        console.print(escape(variant.prompt), highlight=False, soft_wrap=True)
        for fact in variant.facts:
            told = ", ".join(f"{telling.tests} from {telling.reading!r}" for telling in fact.told_by)
            console.print(f"  [bold]hidden[/bold] ({fact.id}, {fact.defect}): {escape(fact.statement)}", soft_wrap=True)
            question, answer = fact.questions[0], fact.answers[0]
            console.print(f"  asked: {escape(question)}  answered: {escape(answer)}", soft_wrap=True)
            console.print(f"  proof: hidden tests that tell it apart: {escape(told)}", soft_wrap=True)


def print_stats(path: Path, console: Console) -> None:
    """The mixture: variants by edit and defect, by number of facts and by source."""
    by_edit, by_kind, by_missing, by_source = Counter[str](), Counter[str](), Counter[int](), Counter[str]()
    problems: dict[str, set[str]] = {}
    for variant in Made(str(path)).variants():
        by_missing[len(variant.facts)] += 1
        by_kind[variant.kind] += 1
        by_source[variant.problem.source] += 1
        for fact in variant.facts:
            by_edit[fact.id] += 1
            problems.setdefault(fact.id, set()).add(variant.problem.id.rpartition("/")[0])
    unclear = sum(count for missing, count in by_missing.items() if missing)
    table = Table(
        "edit", "variants", "share", "problems", title=f"{unclear} unclear variants, {by_missing[0]} clear twins"
    )
    for edit, count in by_edit.most_common():
        table.add_row(edit, str(count), f"{100 * count / max(1, sum(by_edit.values())):.1f}%", str(len(problems[edit])))
    console.print(table)
    console.print(
        "facts missing: " + ", ".join(f"{count} with {missing}" for missing, count in sorted(by_missing.items()))
    )
    console.print("kinds: " + ", ".join(f"{kind} {count}" for kind, count in by_kind.most_common()))
    console.print("sources: " + ", ".join(f"{source} {count}" for source, count in by_source.most_common()))
