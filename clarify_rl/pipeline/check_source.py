"""`clarify-rl check source`: whether problems can be used, before anybody trains on them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from rich.console import Console
from rich.markup import escape
from tqdm.auto import tqdm

from clarify_rl.executor import Executor, Limits, Trial
from clarify_rl.parallel import in_order
from clarify_rl.pipeline.make import EvaluationSets
from clarify_rl.problems.overlap import Statements
from clarify_rl.registry import source_from_text
from clarify_rl.synthesis.unclear import Synthesis
from clarify_rl.types import Problem, Skipped, Source

_SHOWN = 5
CPU_S = 5.0  # processor seconds of a reference with all of its tests


@dataclass(frozen=True)
class SourceReport:
    """What was found in a source. `facts` counts problems by the edit that found a fact in them."""

    problems: tuple[Problem, ...]
    skipped: tuple[Skipped, ...]
    failing: Mapping[str, str] = field(default_factory=dict)
    twins: tuple[tuple[str, str], ...] = ()
    same_words: tuple[tuple[str, str], ...] = ()
    same_behaviour: tuple[tuple[str, str], ...] = ()
    facts: Mapping[str, int] = field(default_factory=dict)
    with_facts: int = 0

    @property
    def usable(self) -> bool:
        """Whether any problem's reference passes its own tests."""
        return len(self.failing) < len(self.problems)

    @property
    def contaminated(self) -> frozenset[str]:
        """Ids of problems that are an evaluation problem under another name."""
        return frozenset(first for first, _ in (*self.same_words, *self.same_behaviour))


def check_named(source: str, against: Sequence[str], *, limit: int | None = None) -> SourceReport:
    """`check_source` for sources as a shell names them, with an executor of its own."""
    checked, others = source_from_text(source), [source_from_text(text) for text in against]
    with Executor(Limits(cpu_s=CPU_S)) as executor:
        return check_source(checked, others, executor, limit=limit)


def check_source(
    source: Source, against: Sequence[Source], executor: Executor, *, limit: int | None = None, quiet: bool = False
) -> SourceReport:
    """Reads a source, runs its references, and compares it with itself and with evaluation sets."""
    problems, skipped = read(source, limit)
    synthesis = Synthesis(executor)
    with EvaluationSets(against, servers=executor.servers) as evaluated:

        def look(problem: Problem) -> _Look:
            return _look(problem, evaluated, synthesis)

        came = in_order(look, problems, executor.most_servers)
        looks = list(tqdm(came, total=len(problems), desc="check", unit="problem", disable=quiet, dynamic_ncols=True))
    edits = Counter(kind for item in looks for kind in item.kinds)
    return SourceReport(
        problems,
        skipped,
        {problem.id: item.failing for problem, item in zip(problems, looks, strict=True) if item.failing},
        tuple((first.id, second.id) for first, second in Statements(problems).pairs()),
        tuple((problem.id, other.id) for problem in problems for other in evaluated.same_words(problem)),
        tuple((problem.id, other) for problem, item in zip(problems, looks, strict=True) for other in item.same),
        dict(edits.most_common()),
        sum(bool(item.kinds) for item in looks),
    )


def read(source: Source, limit: int | None = None) -> tuple[tuple[Problem, ...], tuple[Skipped, ...]]:
    """All that a source holds, or its first rows."""
    problems: list[Problem] = []
    skipped: list[Skipped] = []
    for item in source.read():
        if isinstance(item, Skipped):
            skipped.append(item)
        else:
            problems.append(item)
        if limit is not None and len(problems) >= limit:
            break
    return tuple(problems), tuple(skipped)


@dataclass(frozen=True)
class _Look:
    failing: str
    same: tuple[str, ...] = ()
    kinds: frozenset[str] = frozenset()


def _look(problem: Problem, evaluated: EvaluationSets, synthesis: Synthesis) -> _Look:
    executor = synthesis.executor
    execution = executor.run_trial(Trial(problem.solution, problem.entry_point, problem.tests, problem.prelude))
    if not execution.solved:
        return _Look(f"{execution.verdict}, {execution.passed} of {execution.total}: {execution.detail}")
    same = tuple(other.id for other in evaluated.same_behaviour(problem))
    return _Look("", same, frozenset(proved.fact.kind for proved in synthesis.facts(problem)))


def print_source(report: SourceReport, console: Console) -> None:
    """The report in a screenful; every kind of trouble with its first cases and what to do."""
    kinds = Counter(_kind(problem) for problem in report.problems)
    passing = len(report.problems) - len(report.failing)
    console.print(
        f"[bold]{len(report.problems)} problems[/bold] ({', '.join(f'{n} {kind}' for kind, n in kinds.items())})"
    )
    console.print(f"  references that pass their own tests: {passing} of {len(report.problems)}")
    _list(console, "    fails", (f"{name}: {why}" for name, why in report.failing.items()), len(report.failing))
    _list(console, "  left out", (f"{row.where}: {row.why}" for row in report.skipped), len(report.skipped))
    pairs = [f"{first} and {second}" for first, second in report.twins]
    _list(console, "  nearly the same statement", pairs, len(pairs))
    console.print(f"  of evaluation sets: {len(report.contaminated)} (never train on these)")
    _list(console, "    same words", (f"{a} is {b}" for a, b in report.same_words), len(report.same_words))
    _list(
        console, "    same behaviour", (f"{a} passes {b}" for a, b in report.same_behaviour), len(report.same_behaviour)
    )
    found = ", ".join(f"{kind} {count}" for kind, count in report.facts.items()) or "none"
    console.print(f"  facts that can be hidden, with proof: in {report.with_facts} problems ({found})")
    if not report.usable:
        console.print("[red]Not usable: no reference passes its own tests.[/red]")


def _kind(problem: Problem) -> str:
    return {"Tests": "with pairs", "Assertions": "with assertions", "Stdio": "that read and print"}[
        type(problem.tests).__name__
    ]


def _list(console: Console, what: str, lines: Iterable[str], count: int) -> None:
    if not count:
        return
    console.print(f"{what}: {count}")
    shown: Iterator[str] = iter(lines)
    for line, _ in zip(shown, range(_SHOWN), strict=False):
        console.print(f"      {escape(line[:160])}", highlight=False, soft_wrap=True)
    if count > _SHOWN:
        console.print(f"      and {count - _SHOWN} more")
