"""`clarify-rl data make`, `show` and `stats`: unclear variants of any problems, proved once and kept in a file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
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
) -> Yield:
    """`make` for sources as a shell names them, with an executor of its own."""
    named = [source_from_text(text) for text in sources]
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

    The same file for the same seed, whatever the executor's number of fork servers. Each line is a variant; a problem's
    are written together, with a line in FILE.done for it.
    """
    synthesis, skipped = Synthesis(executor, seed), Counter[str]()

    def variants(problem: Problem) -> tuple[Problem, list[Variant] | None]:
        return problem, None if evaluated.holds(problem) else synthesis.variants(problem)

    with (
        EvaluationSets(against, servers=executor.servers) as evaluated,
        GrownFile(out) as grown,
        tqdm(desc="data make", unit="problem", dynamic_ncols=True) as bar,
    ):
        problems = islice(_read(sources, skipped), limit)
        fresh = (problem for problem in problems if problem.id not in grown)
        for problem, made in in_order(variants, fresh, executor.most_servers):
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
