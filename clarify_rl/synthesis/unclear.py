"""Problem -> unclear variants with proof: facts found by the edits, truths redrawn, tests made by the reference.

A variant is kept only if at least TELLING hidden tests tell the truth from every other reading, nothing that is shown
gives the truth away, and the truth is not what a guesser would take. Its clear twin states all of it in the same style.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import combinations
from random import Random

from clarify_rl.executor import Executor
from clarify_rl.problems.overlap import group_of
from clarify_rl.problems.programs import parameters
from clarify_rl.synthesis import edits
from clarify_rl.synthesis.constraints import Bounds, bounds_in
from clarify_rl.synthesis.facts import (
    Reading,
    Subject,
    Uncertain,
    call_line,
    clear_of,
    permuted,
    sentence_of,
    subject_of,
)
from clarify_rl.synthesis.inputs import more_inputs
from clarify_rl.synthesis.oracle import Given, Oracle, wrapped
from clarify_rl.types import Case, Defect, Fact, Problem, Raises, Telling, Tests, Variant
from clarify_rl.wording import stems, words

TELLING = 3  # hidden tests that must tell the truth from each other reading
INPUTS = 40  # of a problem, its own ones included
TESTS = 20  # that a variant keeps
OTHERS = 4  # of them at least that tell nothing, where there are any
MOST_PAIRS = 3  # pairs of facts of one problem that become variants
MIXED = 3  # variants of several facts, each with a defect of its own, beside the one that leaves out all
EXAMPLE_SHARE = 0.5  # of the contradicted facts; the others are contradicted by a sentence
_LONGEST_EXAMPLE = 100  # characters
# What is done to a result, in this order: items are dropped before they are sorted, and put into text last.
_LAST = {"duplicates": 1, "order": 2, "result_type": 3}

# Every function of two arguments has this fact: with one variant of each it is no more than its share.
_DEFECTS = {"arguments": 1}
# Facts that many problems have get one truth for each defect, the rarer ones get two where there are as many.
_TRUTHS = {"arguments": 1, "yes_no": 1, "result_type": 1}
TRUTHS = 2


@cache
def all_edits() -> Mapping[str, Callable[[Subject], Iterator[Uncertain]]]:
    """Every edit by name: the modules of `synthesis/edits`."""
    names = sorted(module.name for module in pkgutil.iter_modules(edits.__path__))
    return {name: importlib.import_module(f"{edits.__name__}.{name}").find for name in names}


@dataclass(frozen=True)
class Proved:
    """A fact with the readings that tests tell apart. `default` is what a guesser takes, where he takes any of them."""

    fact: Uncertain
    readings: tuple[Reading, ...]
    default: Reading | None

    def truths(self) -> list[Reading]:
        """What may be drawn: not what a guesser would take."""
        return [reading for reading in self.readings if reading is not self.default]


@dataclass(frozen=True)
class Drawn:
    """A fact in a variant: which reading is the truth, and what befalls it."""

    proved: Proved
    truth: Reading
    defect: Defect

    @property
    def fact(self) -> Uncertain:
        return self.proved.fact

    def others(self) -> list[Reading]:
        return [reading for reading in self.proved.readings if reading is not self.truth]


class Synthesis:
    """Makes variants of problems, with `executor` to run references in: they are other people's programs."""

    def __init__(self, executor: Executor, seed: int = 0) -> None:
        self.executor, self.seed = executor, seed

    def facts(self, problem: Problem) -> list[Proved]:
        """The facts that edits find in a problem, each proved by what its readings give."""
        oracle = Oracle(self.executor, problem)
        subject = self._subject(problem, oracle)
        return _facts(subject, oracle) if subject else []

    def variants(self, problem: Problem) -> list[Variant]:
        """Every variant of a problem that can be proved, each behind its clear twin; and what leaves it clear."""
        oracle = Oracle(self.executor, problem)
        subject = self._subject(problem, oracle)
        if subject is None:
            return []
        made = self._variants(subject, _facts(subject, oracle), oracle)
        return [*made, *_controls(subject)]

    def variants_of(self, problem: Problem, facts: Callable[[Subject, Oracle], Sequence[Uncertain]]) -> list[Variant]:
        """The same for facts that come from elsewhere than the edits, once the problem is seen to be sound."""
        oracle = Oracle(self.executor, problem)
        subject = self._subject(problem, oracle)
        if subject is None:
            return []
        proved = [_proved(subject, fact, oracle) for fact in facts(subject, oracle)]
        return self._variants(subject, [item for item in proved if item], oracle)

    def _variants(self, subject: Subject, found: Sequence[Proved], oracle: Oracle) -> list[Variant]:
        facts = sorted(found, key=lambda proved: _LAST.get(proved.fact.kind, 0))
        rng = Random(f"{self.seed}/{subject.problem.id}/variants")
        made: list[Variant] = []
        for proved in facts:
            for defect in rng.sample(list(Defect), _DEFECTS.get(proved.fact.kind, len(Defect))):
                truths = proved.truths()
                for truth in rng.sample(truths, min(len(truths), _TRUTHS.get(proved.fact.kind, TRUTHS))):
                    made += _variant(subject, [Drawn(proved, truth, defect)], oracle, rng)
        pairs = [pair for pair in combinations(facts, 2) if _may_stand_together(subject, pair)]
        groups = [*rng.sample(pairs, min(MOST_PAIRS, len(pairs))), *combinations(facts, 3)]
        for group in filter(partial(_may_stand_together, subject), groups):
            # All left out at once, as HumanEvalComm's 1p does; and a few times each with a defect of its own.
            for defects in (
                [Defect.INCOMPLETE] * len(group),
                *([rng.choice(list(Defect)) for _ in group] for _ in range(MIXED)),
            ):
                drawn = [
                    Drawn(proved, rng.choice(proved.truths()), of) for proved, of in zip(group, defects, strict=True)
                ]
                made += _variant(subject, drawn, oracle, rng)
        return list({variant.id: variant for variant in made}.values())

    def _subject(self, problem: Problem, oracle: Oracle) -> Subject | None:
        """The problem as edits see it, with more inputs; None where its reference or its tests do not allow it."""
        if not isinstance(problem.tests, Tests) or not problem.tests.cases:
            return None
        names = parameters(problem.solution, problem.entry_point)
        known = [case.args for case in problem.tests.cases]
        if not names or any(len(args) != len(names) for args in known) or _says_little(problem, names, known):
            return None
        stated = bounds_in(problem.prompt, names)
        bounds = [stated.get(name, Bounds()) for name in names]
        rng = Random(f"{self.seed}/{problem.id}/inputs")
        inputs = [*known, *more_inputs(known, INPUTS - len(known), rng, bounds)]
        given = oracle.outputs(problem.solution, inputs)
        right = [output.value == case.expected for output, case in zip(given, problem.tests.cases, strict=False)]
        if not all(right) or any(output.why or output.raised for output in given[: len(known)]):
            return None
        if _tells_less(problem, [case.expected for case in problem.tests.cases]):
            return None
        pairs = zip(inputs, given, strict=True)
        cases = tuple(Case(args, output.value) for args, output in pairs if not (output.why or output.raised))
        return subject_of(replace(problem, tests=Tests(cases)), names, len(known))


def _facts(subject: Subject, oracle: Oracle) -> list[Proved]:
    found = [fact for find in all_edits().values() for fact in find(subject)]
    return [proved for fact in found if (proved := _proved(subject, fact, oracle))]


def _proved(subject: Subject, fact: Uncertain, oracle: Oracle) -> Proved | None:
    inputs = (*subject.inputs, *fact.inputs)
    usable = []
    for truth in fact.readings:
        given = oracle.given(subject, [truth], [other for other in fact.readings if other is not truth], inputs)
        if given and all(len(given.telling(other)) >= TELLING for other in given.others):
            usable.append(truth)
    default = fact.readings[fact.default] if fact.default >= 0 else None
    proved = Proved(fact, tuple(usable), default)
    return proved if len(usable) > 1 and default in (None, *usable) and proved.truths() else None


def _variant(subject: Subject, drawn: Sequence[Drawn], oracle: Oracle, rng: Random) -> list[Variant]:
    """The clear twin and the variant, or nothing where the proof fails."""
    truths = [item.truth for item in drawn]
    inputs = (*subject.inputs, *(args for item in drawn for args in item.fact.inputs))
    given = []
    for which, item in enumerate(drawn):
        came = oracle.given(subject, truths, item.others(), inputs, which)
        if came is None or not came.others:
            return []
        given.append(came)
    # The same tests whatever befalls the facts: one clear twin serves all defects of these truths.
    chosen = _choose(len(inputs), given, Random(f"{subject.problem.id}/{_label(drawn)}"))
    evidence = [tuple(Telling(name, len(came.telling(name) & chosen)) for name in came.others) for came in given]
    if any(telling.tests < TELLING for tellings in evidence for telling in tellings):
        return []
    cases = {i: Case(permuted(inputs[i], truths), given[0].due[i]) for i in sorted(chosen)}
    return _composed(subject, drawn, cases, given, evidence, rng)


_MANY_ANSWERS = re.compile(
    r"\bany (?:order|valid|of them|such|one|other)\b|\bmultiple (?:valid )?answers\b", re.IGNORECASE
)


_NUMBER = re.compile(r"\breturn[^.]*\b(?:integer|number)\b", re.IGNORECASE)
_ROUNDS = re.compile(r"\bround\(|\bformat\(|%\.\d")
_ROUNDED = re.compile(r"\b(?:round\w*|decimal\w*|places|digits|precision)\b", re.IGNORECASE)
_SEVERAL = re.compile(r"\b(?:tuples?|pairs?|and|both|their|coordinates?|array|list of|indices)\b", re.IGNORECASE)


def _tells_less(problem: Problem, results: Sequence[object]) -> bool:
    """Whether results have something that the statement does not speak of: a further fact, which no answer settles."""
    text = sentence_of(problem.prompt)
    kinds = set(map(type, results))
    if kinds == {str}:
        return bool(_NUMBER.search(text))
    if kinds == {float}:
        return bool(_ROUNDS.search(problem.solution)) and not _ROUNDED.search(text)
    several = kinds == {tuple} and len({len(result) for result in results if isinstance(result, tuple)}) == 1
    return several and not _SEVERAL.search(text)


# Names of parameters that a recursion or a search needs, where the statement does not speak of them.
_OF_ALGORITHMS = frozenset("i j l r p q lo hi low high left right start end mid curr current pos idx index".split())


_BROKEN = re.compile(r"\* list item|== \d+x\b")  # text whose list or exponent (2 to the x) was lost


def _says_little(problem: Problem, names: Sequence[str], known: Sequence[tuple[object, ...]]) -> bool:
    """Whether a statement leaves so much open that one answer would not settle it, or allows several results."""
    bare = len(names) > 2 and max(map(len, names)) == 1
    said = set(words(problem.prompt.partition("Call it")[0]))
    untold = {*names} & _OF_ALGORITHMS - said
    # A number with a letter for a name, beside what is told: `re_arrange(arr, n)`. Alone it is "the given number".
    letters = [
        name
        for name, values in zip(names, zip(*known, strict=True), strict=True)
        if len(name) == 1 and name.lower() not in said and all(type(value) is int for value in values)
    ]
    return (
        bare
        or bool(untold)
        or 0 < len(letters) < len(names)
        or bool(_BROKEN.search(problem.prompt))
        or bool(_MANY_ANSWERS.search(problem.prompt))
    )


def _compare(cases: Iterable[Case]) -> str:
    """The rule for a variant's tests: another order of the same sums must not fail them."""
    return "close" if any(map(_has_float, (case.expected for case in cases))) else "exact"


def _has_float(value: object) -> bool:
    if isinstance(value, list | tuple | set):
        return any(map(_has_float, value))
    return isinstance(value, float) or (isinstance(value, dict) and any(map(_has_float, value.values())))


def _choose(count: int, given: Sequence[Given], rng: Random) -> set[int]:
    """Inputs to keep as hidden tests: those that tell something first, each fact in turn, but not those alone."""
    queues = [rng.sample(sorted(marked), len(marked)) for came in given for marked in map(came.telling, came.others)]
    told = set().union(*map(set, queues))
    others = rng.sample(sorted(set(range(count)) - told), count - len(told))
    most = TESTS - min(len(others), OTHERS)
    chosen: set[int] = set()
    while len(chosen) < most and any(queues):
        for queue in filter(None, queues):
            if len(chosen) < most:
                chosen.add(queue.pop())
    return chosen | set(others[: TESTS - len(chosen)])


# What a statement promises of its inputs or its answer, without which the same program is due. What one may assume of
# the world (coins without end, walls around a maze) is no such promise.
_PROMISE = (
    r"(?:It is guaranteed|The test cases are generated|Note that the answer|It can be (?:shown|proven)|"
    r"The (?:answer|input|given \w+) is (?:always )?guaranteed|"
    r"You (?:may|can) assume(?=[^.\n]*\b(?:always|exists?|valid|exactly one|at least one|contradiction)\b))"
    r"(?:\b(?:i\.e|e\.g)\.|[^.\n]|\.(?=\S))*\.\s?"
)
_GUARANTEE = re.compile(rf"(?<=[.\n] ){_PROMISE}|(?<=\n){_PROMISE}|(?<=\n)Follow up[^.\n]*\.\s?")


def _controls(subject: Subject) -> list[Variant]:
    """The problem as it is, less a sentence that changes nothing: clear still, so that what is missing is no sign."""
    shorter = _GUARANTEE.sub("", subject.sentence, count=1).strip()
    if shorter == subject.sentence:
        return []
    call = call_line(subject.entry_point, subject.parameters)
    pairs = zip(subject.inputs[:TESTS], subject.outputs, strict=False)
    cases = tuple(Case(args, output) for args, output in pairs)
    problem = replace(
        subject.problem,
        prompt=f"{subject.sentence}\n{call}",
        tests=Tests(cases, _compare(cases)),
        family=group_of(subject.sentence),
    )
    return [Variant(f"{problem.id}/control", problem, f"{shorter}\n{call}")]


def _may_stand_together(subject: Subject, facts: Sequence[Proved]) -> bool:
    """At most one of them rewrites the statement, and one brings another program."""
    rewrites = sum(proved.fact.base != subject.sentence for proved in facts)
    programs = sum(any(reading.program for reading in proved.readings) for proved in facts)
    return max(rewrites, programs) <= 1


def _composed(
    subject: Subject,
    drawn: Sequence[Drawn],
    cases: Mapping[int, Case],
    given: Sequence[Given],
    evidence: Sequence[tuple[Telling, ...]],
    rng: Random,
) -> list[Variant]:
    truths = [item.truth for item in drawn]
    base = next((item.fact.base for item in drawn if item.fact.base != subject.sentence), subject.sentence)
    hidden = {item.fact.kind: item.fact.given_away for item in drawn if item.defect is not Defect.INCONSISTENT}
    alone = len(drawn) == 1
    shown = [_shown(item, came, subject, cases, rng, alone=alone) for item, came in zip(drawn, given, strict=True)]
    if None in shown or not clear_of(base, hidden):
        return []
    texts = [text or "" for text in shown]
    says_call = any(item.fact.calls for item in drawn)
    call = "" if says_call else call_line(subject.entry_point, subject.parameters)
    if says_call and not any(text for item, text in zip(drawn, texts, strict=True) if item.fact.calls):
        call = f"Call it {subject.entry_point}."
    prompt = "\n".join(filter(None, [base, *texts, call]))
    clear = "\n".join(filter(None, [base, *(truth.says for truth in truths), "" if says_call else call]))
    problem = replace(
        subject.problem,
        id=f"{subject.problem.id}/{_label(drawn)}",
        prompt=clear,
        tests=Tests(tuple(cases.values()), _compare(cases.values())),
        solution=wrapped(subject, truths),
        family=group_of(subject.sentence),
    )
    facts = tuple(_fact(item, text, told, drawn) for item, text, told in zip(drawn, texts, evidence, strict=True))
    kind = "+".join(sorted({str(item.defect) for item in drawn}))
    suffix = "+".join(f"{fact.id}:{fact.defect}" for fact in facts)
    stated = tuple(Fact(fact.id, None, fact.statement, questions=fact.questions) for fact in facts)
    return [
        Variant(f"{problem.id}/clear", problem, clear, stated=stated),
        Variant(f"{problem.id}/{suffix}", problem, prompt, kind, facts),
    ]


def _label(drawn: Sequence[Drawn]) -> str:
    return "+".join(f"{item.fact.kind}={item.truth.name}" for item in drawn)


def _shown(
    item: Drawn, given: Given, subject: Subject, cases: Mapping[int, Case], rng: Random, *, alone: bool
) -> str | None:
    """What stands in the statement in place of the truth; None where the fact cannot be hidden so.

    An example shows other hidden facts too, the order of the arguments for one, so it needs a fact that is `alone`.
    """
    match item.defect:
        case Defect.INCOMPLETE:
            return ""
        case Defect.AMBIGUOUS:
            vague = (*item.fact.blurs, *item.truth.blurs)
            return rng.choice(vague) if vague else None
        case Defect.INCONSISTENT:
            other = rng.choice([reading for reading in item.others() if reading.name in given.others])
            example = _example(subject, given, other, cases) if alone and not item.fact.calls else ""
            if example and rng.random() < EXAMPLE_SHARE:
                return f"{item.truth.says}\n{example}"
            return "\n".join(rng.sample([item.truth.says, other.says], 2))


def _example(subject: Subject, given: Given, other: Reading, cases: Mapping[int, Case]) -> str:
    """The shortest test on an input of the problem's own with what another reading gives; "" when none is short."""
    texts = []
    for i in given.telling(other.name) & set(cases) & set(range(subject.known)):
        outcome = given.others[other.name][i]
        if not isinstance(outcome, Raises):
            call = f"{subject.entry_point}({', '.join(map(repr, cases[i].args))})"
            texts.append(f"For example, {call} returns {outcome!r}.")
    return min((text for text in sorted(texts) if len(text) <= _LONGEST_EXAMPLE), key=len, default="")


def _fact(item: Drawn, shown: str, told: tuple[Telling, ...], drawn: Sequence[Drawn]) -> Fact:
    # A sentence with the function's name would bring the words of the whole problem.
    about = stems(item.fact.about if item.fact.calls else f"{item.fact.about} {item.truth.says}")
    others = frozenset[str]().union(*(stems(other.fact.about) for other in drawn if other is not item))
    return Fact(
        id=item.fact.kind,
        defect=item.defect,
        statement=item.truth.says,
        replaced_by=shown.replace("\n", " "),
        answers=item.truth.answers,
        questions=item.fact.questions,
        about=tuple(sorted(about)),
        not_about=tuple(sorted(others - about)),
        told_by=told,
    )
