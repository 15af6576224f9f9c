"""Problems that are the same under another name: by their words, and by what their references do."""

from __future__ import annotations

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from clarify_rl.executor import Executor, Output
from clarify_rl.problems.programs import as_pairs, assertions_in, parameters
from clarify_rl.types import Assertions, Case, Problem, Tests

SHINGLE = 3  # words
ALIKE = 0.6  # share of shingles in common, from which on two statements count as one
_OFTEN = 200  # problems that may share a run of words before it says nothing
AT_ONCE = 40  # inputs of a run after one of all failed
FEW = 100  # groups, under which chance would leave a split empty
FEWEST = 3  # tests that a behaviour must pass to be the same
Args = tuple[object, ...]
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


class Statements:
    """Statements by their runs of words, so that those which are nearly the same as another are found at once."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = problems
        self._shingles = [shingles(problem.prompt) for problem in problems]
        self._places: dict[tuple[str, ...], list[int]] = defaultdict(list)
        for i, own in enumerate(self._shingles):
            for shingle in own:
                self._places[shingle].append(i)

    def like(self, problem: Problem) -> list[Problem]:
        """Those with nearly the same statement, itself among them where it is one of them."""
        return [self.problems[i] for i in self._like(shingles(problem.prompt))]

    def pairs(self) -> Iterator[tuple[Problem, Problem]]:
        """Each two of them with nearly the same statement."""
        for i, problem in enumerate(self.problems):
            yield from ((problem, self.problems[other]) for other in self._like(self._shingles[i]) if other > i)

    def _like(self, own: frozenset[tuple[str, ...]]) -> list[int]:
        shared = Counter(i for shingle in own for i in self._places.get(shingle, ())[:_OFTEN])
        return sorted(i for i, count in shared.items() if count >= ALIKE * min(len(own), len(self._shingles[i])))


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
    # One case of each leaves few to try in full.
    firsts = [max(item.cases, key=lambda case: len(repr(case.args))) for item in fitting]
    met = _met(problem, firsts, executor)
    left = [item for item, is_met in zip(fitting, met, strict=True) if is_met]
    return [item.problem for item in left if all(_met(problem, item.cases, executor))]


def _met(problem: Problem, cases: Sequence[Case], executor: Executor) -> list[bool]:
    """Which of the cases a problem's reference meets. Equal inputs are run once."""
    inputs = {repr(case.args): case.args for case in cases}
    outputs = dict(zip(inputs, _outputs(problem, list(inputs.values()), executor), strict=True))
    given = [outputs[repr(case.args)] for case in cases]
    return [
        not (output.why or output.raised) and _equal(output.value, case.expected)
        for output, case in zip(given, cases, strict=True)
    ]


def _outputs(problem: Problem, inputs: Sequence[Args], executor: Executor) -> list[Output]:
    """What the reference gives for each, in one run; in runs of AT_ONCE where one input takes the others with it."""
    given = list(executor.outputs(problem.solution, problem.entry_point, inputs, problem.prelude)) if inputs else []
    if len(inputs) <= AT_ONCE or not any(output.why for output in given):
        return given
    parts = [inputs[start : start + AT_ONCE] for start in range(0, len(inputs), AT_ONCE)]
    return [output for part in parts for output in _outputs(problem, part, executor)]


def _equal(value: object, expected: object) -> bool:
    """As tests compare: by value, or as HumanEvalComm's do, by what is printed."""
    if isinstance(expected, str) and not isinstance(value, str):
        try:
            return str(value) == expected
        except ValueError:  # an int of more digits than Python prints
            return False
    return bool(value == expected)
