"""Checks a family the way its author would want it checked: what is wrong with it, in sentences."""

from __future__ import annotations

from clarify_rl.problems.bank.draw import draws, make_problem
from clarify_rl.problems.bank.spec import Family, about, own_words
from clarify_rl.types import Raises, Tests
from clarify_rl.wording import stems

MIN_COMBINATIONS = 300
MIN_ACCEPTED = 0.9
LONGEST_PROMPT = 480  # characters
LONGEST_SOLUTION = 420


def family_faults(family: Family, *, samples: int = 60, seed: int = 0) -> list[str]:
    """Everything wrong with a family; empty when it is fit for use."""
    return [*_wording_faults(family), *_problem_faults(family, samples, seed)]


def _wording_faults(family: Family) -> list[str]:
    faults: list[str] = []
    if family.combinations < MIN_COMBINATIONS:
        faults.append(f"only {family.combinations} combinations of options, needs {MIN_COMBINATIONS}")
    if not 3 <= len(family.facts) <= 5:
        faults.append(f"{len(family.facts)} facts, needs 3 to 5")
    if len(family.openings) < 3 or len(family.entry_points) < 3:
        faults.append("needs at least 3 openings and 3 entry points")
    for opening in family.openings:
        if "{call}" not in opening:
            faults.append(f"opening without {{call}}: {opening}")
    for spec in family.facts:
        if len({len(option.says) for option in spec.options}) != 1 or len(spec.options[0].says) < 2:
            faults.append(f"fact {spec.id}: every option needs the same number of sentences, at least 2")
        if len(spec.options) < 2 or len(spec.asks) < 2 or len(spec.vague) < 2:
            faults.append(f"fact {spec.id}: needs at least 2 options, 2 questions and 2 vague sentences")
        faults += [fault for ask in spec.asks for fault in _question_faults(family, spec.id, ask)]
    return faults


def _question_faults(family: Family, fact_id: str, ask: str) -> list[str]:
    """A question must hold words that are only about its fact, and no fewer of them than words of any other fact."""
    asked, topic = stems(ask), frozenset(about(family, fact_id))
    faults = [] if ask.endswith("?") else [f"question {ask!r} does not end with '?'"]
    if not topic & asked:
        faults.append(f"question {ask!r} holds no word that is only about {fact_id}: {sorted(topic)}")
    others = [
        spec.id
        for spec in family.facts
        if spec.id != fact_id and len(own_words(family, spec.id) & asked) > len(topic & asked)
    ]
    return [*faults, f"question {ask!r} about {fact_id} also fits {others}"] if others else faults


def _problem_faults(family: Family, samples: int, seed: int) -> list[str]:
    faults: list[str] = []
    accepted = 0
    stream = draws([family], "train", seed)
    for _ in range(samples):
        draw = next(stream)
        problem = make_problem(draw, seed)
        accepted += problem is not None
        if len(draw.prompt) > LONGEST_PROMPT or len(draw.solution) > LONGEST_SOLUTION:
            faults.append(
                f"too long: prompt {len(draw.prompt)}, solution {len(draw.solution)} characters: {draw.prompt}"
            )
        for case in problem.tests.cases if problem and isinstance(problem.tests, Tests) else ():
            if isinstance(case.expected, Raises) and case.expected.exception != "ValueError":
                faults.append(f"the solution raises {case.expected.exception} on {case.args}: {draw.solution}")
    if accepted < MIN_ACCEPTED * samples:
        faults.append(f"only {accepted} of {samples} draws have tests that tell every option apart")
    return faults
