"""`clarify-rl data make`, `show` and `stats`: unclear variants of any problems, proved once and kept in a file."""

from __future__ import annotations

import json
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
from clarify_rl.problems.made import Made
from clarify_rl.problems.overlap import Statements, behaviours, same_behaviour
from clarify_rl.records import to_record
from clarify_rl.registry import source_from_text
from clarify_rl.synthesis.unclear import Synthesis
from clarify_rl.types import Problem, Skipped, Source, Variant

CPU_S = 3.0  # processor seconds of a reference with all of its inputs


@dataclass(frozen=True)
class Yield:
    """What came of making variants: problems read, left out, with variants; variants written."""

    problems: int
    skipped: int
    contaminated: int
    with_facts: int
    variants: int


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
    kept = [problem for source in against for problem in source.read() if isinstance(problem, Problem)]
    statements, known, done = Statements(kept), behaviours(kept), _Done(out)
    synthesis = Synthesis(executor, seed)
    counts = Counter[str]()

    def variants(problem: Problem) -> tuple[Problem, list[Variant] | None]:
        evaluated = statements.like(problem) or same_behaviour(problem, known, executor)
        return problem, None if evaluated else synthesis.variants(problem)

    problems = islice(_read(sources, counts), limit)
    fresh = (problem for problem in problems if problem.id not in done.ids)
    with out.open("a", encoding="utf-8") as file, tqdm(desc="data make", unit="problem", dynamic_ncols=True) as bar:
        for problem, made in in_order(variants, fresh, executor.most_servers):
            for variant in made or ():
                file.write(json.dumps(to_record(variant)) + "\n")
            file.flush()
            done.add(problem.id, None if made is None else len(made))
            bar.update()
            bar.set_postfix(variants=done.variants)
    return Yield(len(done.ids), counts["skipped"], done.contaminated, done.with_facts, done.variants)


def _read(sources: Sequence[Source], counts: Counter[str]) -> Iterator[Problem]:
    for source in sources:
        for item in source.read():
            if isinstance(item, Skipped):
                counts["skipped"] += 1
            else:
                yield item


class _Done:
    """The problems whose variants are in a file already: what makes an interrupted `make` go on."""

    def __init__(self, out: Path) -> None:
        self.path = out.with_name(f"{out.name}.done")
        self.ids: set[str] = set()
        self.variants = self.with_facts = self.contaminated = 0
        out.parent.mkdir(parents=True, exist_ok=True)
        if out.exists() and not self.path.exists():
            raise DataError(f"{out} exists and was not made here. Choose another --out.")
        for line in self.path.read_text(encoding="utf-8").splitlines() if self.path.exists() else ():
            self._count(*json.loads(line))
        _cut(out, self.variants)

    def add(self, name: str, count: int | None) -> None:
        self._count(name, count)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps([name, count]) + "\n")

    def _count(self, name: str, count: int | None) -> None:
        self.ids.add(name)
        self.contaminated += count is None
        self.with_facts += bool(count)
        self.variants += count or 0


def _cut(path: Path, lines: int) -> None:
    """Drops what stands behind the first `lines` lines: a problem's variants that an interruption cut short."""
    if not path.exists():
        return
    with path.open("rb+") as file:
        for _ in range(lines):
            file.readline()
        file.truncate()


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
