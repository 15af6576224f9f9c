"""Problems that are the same under another name: by their words, and by what their references do."""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from clarify_rl.executor import Executor
from clarify_rl.problems.programs import as_pairs, assertions_in, parameters
from clarify_rl.types import Assertions, Case, Problem, Tests

SHINGLE = 3  # words
ALIKE = 0.6  # share of shingles in common, from which on two statements count as one
AT_ONCE = 40  # inputs of one run
FEW = 100  # groups, under which chance would leave a split empty
FEWEST = 3  # tests that a behaviour must pass to be the same
_SPLITS = (("train", 0.8), ("dev", 0.88), ("test", 1.0))


def normalized(text: str) -> tuple[str, ...]:
    """The words of a statement, without what differs between copies of it."""
    return tuple(re.findall(r"[a-z0-9]+", re.sub(r"\bwrite a (python )?function to\b", "", text.lower())))


def shingles(text: str) -> frozenset[tuple[str, ...]]:
    """Every run of SHINGLE words; of a shorter text, the whole."""
    words = normalized(text)
    return frozenset(words[i : i + SHINGLE] for i in range(max(1, len(words) - SHINGLE + 1)))


def group_of(text: str) -> str:
    """A name that statements share which are nearly the same.

    It is the smallest hash of a shingle (MinHash, Broder 1997): two texts share it as often as they share words.
    """
    return min(hashlib.sha256(" ".join(words).encode()).hexdigest() for words in shingles(text))


def splits(groups: Iterable[str]) -> dict[str, str]:
    """train (80%), dev (8%) or test (12%) for each group, by a hash of it: more problems move no other.

    Of fewer than FEW groups the hashes are ranked, so that each split has its share, and one at least.
    """
    places = {group: int(hashlib.sha256(group.encode()).hexdigest()[:16], 16) / 2**64 for group in groups}
    if len(places) < FEW:
        ranked = sorted(places, key=lambda group: places[group])
        held_out = {"dev": max(1, round(0.08 * len(ranked))), "test": max(1, round(0.12 * len(ranked)))}
        dev, test = ranked[: held_out["dev"]], ranked[held_out["dev"] :][: held_out["test"]]
        return {group: "dev" if group in dev else "test" if group in test else "train" for group in ranked}
    return {group: next(name for name, end in _SPLITS if place < end) for group, place in places.items()}


def alike(problems: Sequence[Problem], others: Sequence[Problem] | None = None) -> Iterator[tuple[Problem, Problem]]:
    """Pairs of problems with nearly the same statement: within the first, or of the first with the others."""
    known = problems if others is None else others
    found: dict[tuple[str, ...], list[int]] = defaultdict(list)
    sets = [shingles(problem.prompt) for problem in known]
    for i, own in enumerate(sets):
        for shingle in own:
            found[shingle].append(i)
    for i, problem in enumerate(problems):
        own = sets[i] if others is None else shingles(problem.prompt)
        shared: dict[int, int] = defaultdict(int)
        for shingle in own:
            for other in found.get(shingle, ())[:200]:
                shared[other] += 1
        for other, count in sorted(shared.items()):
            if (others is not None or other > i) and count >= ALIKE * min(len(own), len(sets[other])) > 0:
                yield problem, known[other]


@dataclass(frozen=True)
class Behaviour:
    """An evaluation problem as inputs with what they must give."""

    problem: Problem
    cases: tuple[Case, ...]


def behaviours(problems: Iterable[Problem]) -> list[Behaviour]:
    """The problems whose tests can be read as pairs, also out of a `check` function."""
    made = []
    for problem in problems:
        cases = problem.tests.cases if isinstance(problem.tests, Tests) else _pairs_in(problem)
        if len({repr(case.expected) for case in cases}) > 1 and len(cases) >= FEWEST:
            made.append(Behaviour(problem, tuple(cases)))
    return made


def _pairs_in(problem: Problem) -> tuple[Case, ...]:
    if not isinstance(problem.tests, Assertions):
        return ()
    code = "\n".join([problem.tests.setup, *problem.tests.checks])
    pairs = [as_pairs([check], ["candidate", problem.entry_point]) for check in assertions_in(code)]
    return tuple(pair.cases[0] for pair in pairs if pair)


def same_behaviour(problem: Problem, known: Sequence[Behaviour], executor: Executor) -> list[Problem]:
    """The evaluation problems whose tests this problem's reference passes, whatever both are called."""
    names = parameters(problem.solution, problem.entry_point)
    fitting = [item for item in known if names and len(item.cases[0].args) == len(names)]
    # One case of each, many in a run, leaves few to try in full.
    asked = [(item, max(item.cases, key=lambda case: len(repr(case.args)))) for item in fitting]
    left: list[Behaviour] = []
    for start in range(0, len(asked), AT_ONCE):
        part = asked[start : start + AT_ONCE]
        met = _met(problem, [case for _, case in part], executor)
        left += [item for (item, _), is_met in zip(part, met, strict=True) if is_met]
    return [item.problem for item in left if all(_met(problem, item.cases, executor))]


def _met(problem: Problem, cases: Sequence[Case], executor: Executor) -> list[bool]:
    """Which of the cases a problem's reference meets."""
    inputs = [case.args for case in cases]
    given = executor.outputs(problem.solution, problem.entry_point, inputs, problem.prelude)
    return [
        not (output.why or output.raised) and _equal(output.value, case.expected)
        for output, case in zip(given, cases, strict=True)
    ]


def _equal(value: object, expected: object) -> bool:
    """As tests compare: by value, or as HumanEvalComm's do, by what is printed."""
    if isinstance(expected, str) and not isinstance(value, str):
        try:
            return str(value) == expected
        except ValueError:  # an int of more digits than Python prints
            return False
    return bool(value == expected)


def counts(pairs: Iterable[tuple[Problem, Problem]]) -> Mapping[str, list[str]]:
    """Whom each problem is like, by id."""
    found: dict[str, list[str]] = defaultdict(list)
    for first, second in pairs:
        found[first.id].append(second.id)
    return found
