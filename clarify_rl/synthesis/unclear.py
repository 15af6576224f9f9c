"""Problem -> unclear variants with proof: facts found by the edits, truths redrawn, tests made by the reference.

A variant is kept only if at least TELLING hidden tests tell the truth from every other reading, nothing that is shown
gives the truth away, and the truth is not what a guesser would take. Its clear twin states all of it in the same style.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import combinations
from random import Random

from clarify_rl.executor import Executor, Output
from clarify_rl.problems.programs import parameters
from clarify_rl.synthesis import edits
from clarify_rl.synthesis.facts import Reading, Task, Uncertain, Wrapped, call_line, clear_of, task_of
from clarify_rl.synthesis.inputs import Args, more_inputs
from clarify_rl.types import Case, Defect, Fact, Problem, Raises, Telling, Tests, Variant
from clarify_rl.wording import stems

TELLING = 3  # hidden tests that must tell the truth from each other reading
INPUTS = 40  # of a problem, its own ones included
TESTS = 20  # that a variant keeps
_MOST_PAIRS = 2  # pairs of facts of one problem that become variants
_HIDES_CALL = "arguments"

Outcome = object | Raises


@cache
def all_edits() -> Mapping[str, Callable[[Task], Iterator[Uncertain]]]:
    """Every edit by name: the modules of `synthesis/edits`."""
    names = sorted(module.name for module in pkgutil.iter_modules(edits.__path__))
    return {name: importlib.import_module(f"{edits.__name__}.{name}").find for name in names}


@dataclass(frozen=True)
class Proved:
    """A fact with the readings that tests tell apart, and what each gives for every input."""

    fact: Uncertain
    readings: tuple[Reading, ...]
    default: Reading | None

    def truths(self) -> list[Reading]:
        """What may be drawn: not what a guesser would take."""
        return [reading for reading in self.readings if reading is not self.default]


class Synthesis:
    """Makes variants of problems, with `executor` to run references in: they are other people's programs."""

    def __init__(self, executor: Executor, seed: int = 0) -> None:
        self.executor, self.seed = executor, seed

    def task(self, problem: Problem) -> Task | None:
        """The problem as edits see it, with more inputs; None where its reference or its tests do not allow it."""
        if not isinstance(problem.tests, Tests) or not problem.tests.cases:
            return None
        names = parameters(problem.solution, problem.entry_point)
        known = [case.args for case in problem.tests.cases]
        if not names or any(len(args) != len(names) for args in known):
            return None
        rng = Random(f"{self.seed}/{problem.id}/inputs")
        inputs = [*known, *more_inputs(known, INPUTS - len(known), rng)]
        given = self._run(problem.solution, problem, inputs)
        right = [output.value == case.expected for output, case in zip(given, problem.tests.cases, strict=False)]
        if not all(right) or any(output.why or output.raised for output in given[: len(known)]):
            return None
        kept = [
            (args, output.value)
            for args, output in zip(inputs, given, strict=True)
            if not (output.why or output.raised)
        ]
        cases = tuple(Case(args, value) for args, value in kept)
        return task_of(replace(problem, tests=Tests(cases)), names, [value for _, value in kept])

    def facts(self, task: Task) -> list[Proved]:
        """The facts that edits find in a problem, each proved by what its readings give."""
        found = [fact for find in all_edits().values() for fact in find(task)]
        return [proved for fact in found if (proved := self._proved(task, fact))]

    def variants(self, problem: Problem) -> list[Variant]:
        """Every variant of a problem that can be proved, each behind its clear twin."""
        task = self.task(problem)
        if task is None:
            return []
        facts = self.facts(task)
        rng = Random(f"{self.seed}/{problem.id}/variants")
        made: list[Variant] = []
        for fact in facts:
            for defect in Defect:
                made += self._variant(task, [(fact, rng.choice(fact.truths()), defect)], rng)
        pairs = [pair for pair in combinations(facts, 2) if _combine(task, pair)]
        for pair in rng.sample(pairs, min(_MOST_PAIRS, len(pairs))):
            drawn = [(fact, rng.choice(fact.truths()), rng.choice(list(Defect))) for fact in pair]
            made += self._variant(task, drawn, rng)
        return made

    def _proved(self, task: Task, fact: Uncertain) -> Proved | None:
        inputs = [*task.inputs, *fact.inputs]
        outcomes = {}
        for reading in fact.readings:
            wrapped = Wrapped(task.problem.solution, task.entry_point, task.parameters, (reading,))
            given = self._run(wrapped.program(), task.problem, inputs)
            if any(output.why for output in given):
                continue
            outcomes[reading.name] = [_outcome(output) for output in given]
        default = fact.readings[fact.default] if fact.default >= 0 else None
        kept = [reading for reading in fact.readings if reading.name in outcomes]
        apart = [
            reading
            for reading in kept
            if all(
                _apart(outcomes[reading.name], outcomes[other.name]) >= TELLING
                for other in kept
                if other is not reading
            )
        ]
        if len(apart) < 2 or (default is not None and default not in apart):
            return None
        proved = Proved(fact, tuple(apart), default)
        return proved if proved.truths() else None

    def _variant(self, task: Task, drawn: Sequence[tuple[Proved, Reading, Defect]], rng: Random) -> list[Variant]:
        """The clear twin and the variant, or nothing where the proof fails."""
        truths = tuple(reading for _, reading, _ in drawn)
        inputs = [*task.inputs, *(args for fact, _, _ in drawn for args in fact.fact.inputs)]
        program = Wrapped(task.problem.solution, task.entry_point, task.parameters, truths).program()
        given = self._run(program, task.problem, inputs)
        if any(output.why for output in given):
            return []
        due = [_outcome(output) for output in given]
        tellings = [self._tellings(task, drawn, i, inputs, due) for i in range(len(drawn))]
        chosen = _choose(inputs, due, [marks for marks, _ in tellings], rng)
        evidence = [
            tuple(Telling(name, len(marked & chosen)) for name, marked in named.items()) for _, named in tellings
        ]
        if any(telling.tests < TELLING for item in evidence for telling in item):
            return []
        return _composed(task, drawn, program, [Case(inputs[i], due[i]) for i in sorted(chosen)], evidence, rng)

    def _tellings(
        self,
        task: Task,
        drawn: Sequence[tuple[Proved, Reading, Defect]],
        which: int,
        inputs: Sequence[Args],
        due: Sequence[Outcome],
    ) -> tuple[set[int], dict[str, set[int]]]:
        """Which inputs tell one fact's truth from its other readings, all else as drawn."""
        fact, truth, _ = drawn[which]
        named: dict[str, set[int]] = {}
        for other in fact.readings:
            if other is truth:
                continue
            readings = tuple(other if i == which else reading for i, (_, reading, _) in enumerate(drawn))
            wrapped = Wrapped(task.problem.solution, task.entry_point, task.parameters, readings)
            outcomes = [_outcome(output) for output in self._run(wrapped.program(), task.problem, inputs)]
            named[other.name] = {i for i, (a, b) in enumerate(zip(due, outcomes, strict=True)) if not _same(a, b)}
        return set().union(*named.values()), named

    def _run(self, program: str, problem: Problem, inputs: Sequence[Args]) -> tuple[Output, ...]:
        return self.executor.outputs(program, problem.entry_point, inputs, problem.prelude)


def _outcome(output: Output) -> Outcome:
    return Raises(output.raised) if output.raised else output.value


def _same(first: Outcome, second: Outcome) -> bool:
    return type(first) is type(second) and repr(first) == repr(second)


def _apart(first: Sequence[Outcome], second: Sequence[Outcome]) -> int:
    return sum(not _same(a, b) for a, b in zip(first, second, strict=True))


def _choose(inputs: Sequence[Args], due: Sequence[Outcome], telling: Sequence[set[int]], rng: Random) -> set[int]:
    """Inputs to keep as hidden tests: those that tell something first, but not those alone."""
    told = set().union(*telling)
    first = rng.sample(sorted(told), len(told))
    others = rng.sample(sorted(set(range(len(inputs))) - told), len(inputs) - len(told))
    most = max(TESTS - min(len(others), 4), TELLING)
    kept = first[:most]
    return {*kept, *others[: TESTS - len(kept)]}


def _combine(task: Task, facts: Sequence[Proved]) -> bool:
    """Whether facts can stand in one statement: at most one of them rewrites it, and one brings another program."""
    rewrites = sum(fact.fact.base != task.sentence for fact in facts)
    programs = sum(any(reading.program for reading in fact.readings) for fact in facts)
    formats = sum(fact.fact.kind in ("result_type", "order", "duplicates") for fact in facts)
    return rewrites <= 1 and programs <= 1 and formats <= 1


def _composed(
    task: Task,
    drawn: Sequence[tuple[Proved, Reading, Defect]],
    program: str,
    cases: Sequence[Case],
    evidence: Sequence[tuple[Telling, ...]],
    rng: Random,
) -> list[Variant]:
    base = next((fact.fact.base for fact, _, _ in drawn if fact.fact.base != task.sentence), task.sentence)
    hides_call = any(fact.fact.kind == _HIDES_CALL for fact, _, _ in drawn)
    call = [] if hides_call else [call_line(task.entry_point, task.parameters)]
    stated = [reading.says for fact, reading, _ in drawn]
    shown = [_shown(fact, reading, defect, task, rng) for fact, reading, defect in drawn]
    hidden = {fact.fact.kind: fact.fact.given_away for fact, _, defect in drawn if defect is not Defect.INCONSISTENT}
    if any(text is None for text in shown) or not clear_of(base, hidden):
        return []
    name = [f"Call the function {task.entry_point}."] if hides_call else []
    prompt = "\n".join(filter(None, [base, *name, *(text or "" for text in shown), *call]))
    clear = "\n".join([base, *stated, *call])
    label = "+".join(f"{fact.fact.kind}={reading.name}" for fact, reading, _ in drawn)
    problem = replace(
        task.problem,
        id=f"{task.problem.id}/{label}",
        prompt=clear,
        tests=Tests(tuple(cases)),
        solution=program,
        family=task.problem.id,
    )
    facts = tuple(
        _fact(fact, reading, defect, text or "", telling, drawn)
        for (fact, reading, defect), text, telling in zip(drawn, shown, evidence, strict=True)
    )
    kind = "+".join(sorted({str(defect) for _, _, defect in drawn}))
    suffix = "+".join(f"{fact.id}:{fact.defect}" for fact in facts)
    return [
        Variant(f"{problem.id}/clear", problem, clear),
        Variant(f"{problem.id}/{suffix}", problem, prompt, kind, facts),
    ]


def _shown(fact: Proved, truth: Reading, defect: Defect, task: Task, rng: Random) -> str | None:
    """What stands in the statement in place of the truth; None where the fact cannot be hidden so."""
    match defect:
        case Defect.INCOMPLETE:
            return ""
        case Defect.AMBIGUOUS:
            return rng.choice(fact.fact.blurs) if fact.fact.blurs else None
        case Defect.INCONSISTENT:
            others = [reading for reading in fact.readings if reading is not truth]
            said = [truth.says, rng.choice(others).says]
            return "\n".join(rng.sample(said, 2))


def _fact(
    proved: Proved,
    truth: Reading,
    defect: Defect,
    shown: str,
    telling: tuple[Telling, ...],
    drawn: Sequence[tuple[Proved, Reading, Defect]],
) -> Fact:
    fact = proved.fact
    about = stems(f"{fact.about} {truth.says}")
    others = frozenset().union(*(stems(other.fact.about) for other, _, _ in drawn if other is not proved))
    return Fact(
        id=fact.kind,
        defect=defect,
        statement=truth.says,
        replaced_by=shown.replace("\n", " "),
        answers=truth.answers,
        questions=fact.questions,
        about=tuple(sorted(about)),
        not_about=tuple(sorted(others - about)),
        told_by=telling,
    )
