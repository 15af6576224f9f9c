"""Results -> Summary: what one checkpoint did on one suite, for groups of variants, each number with its count.

Asking is always read in pairs: `asked` is the ask-recall in the group `unclear` and the false-ask rate in `clear`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from clarify_rl.evaluation.calibration import Calibration, calibration_of
from clarify_rl.evaluation.chance import bootstrap_interval
from clarify_rl.evaluation.pass_at_k import ks_of, pass_at_k
from clarify_rl.types import Episode, Fact, Outcome, Results, Variant

Group = Literal["all", "clear", "unclear"]
GROUPS: tuple[Group, ...] = ("all", "clear", "unclear")
Metric = Literal["solved", "pass_rate", "asked"]


@dataclass(frozen=True)
class Mean:
    """A mean over the `n` cases that could be measured; `value` is None when there were none.

    `low` and `high`, where they were asked for: the 95% bootstrap interval by problems, None with fewer than two.
    """

    value: float | None
    n: int
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Count:
    name: str
    n: int


@dataclass(frozen=True)
class Share:
    name: str
    share: Mean


@dataclass(frozen=True)
class GroupSummary:
    """One group of variants. `failed` episodes could not be measured: they count in no mean of solved or pass_rate.

    `revealed` is a share of the group's facts, not of its episodes, and `revealed_by` the same for each defect: whether
    the right thing was asked about, not whether anything was. `precision` is the share of questions that a hidden fact
    was told for, and `ask_f1` the harmonic mean of the two (after HiL-Bench, arXiv 2604.09408). `replies` counts turns,
    `outcomes` questions, and `unclear` is the share of them that the user did not understand. `turns` is how many turns
    a dialogue that asks takes until it codes or ends, its last one not counted (ClarEval's average turns to clarify).
    `pass_at`, where variants were played several times: the chance that one of k episodes is solved, for some k.
    """

    group: str
    episodes: int
    failed: int
    solved: Mean
    pass_rate: Mean
    asked: Mean
    questions: Mean
    revealed: Mean
    malformed: Mean
    stops: tuple[Count, ...]
    replies: tuple[Count, ...]
    unclear: Mean = Mean(None, 0)
    outcomes: tuple[Count, ...] = ()
    precision: Mean = Mean(None, 0)
    ask_f1: float | None = None
    revealed_by: tuple[Share, ...] = ()
    turns: Mean = Mean(None, 0)
    variants: int = 0
    pass_at: tuple[Share, ...] = ()


@dataclass(frozen=True)
class Summary:
    """One checkpoint on one suite. `groups`: all, clear and unclear, then each kind, then each number of facts."""

    checkpoint: str
    suite: str
    groups: tuple[GroupSummary, ...]
    calibration: Calibration | None = None

    def group(self, name: str) -> GroupSummary | None:
        return next((group for group in self.groups if group.group == name), None)


def summarise(results: Results) -> Summary:
    """The numbers of one checkpoint on one suite."""
    members: dict[str, list[Episode]] = {group: [] for group in GROUPS}
    for episode in sorted(results.episodes, key=lambda episode: _order(episode.variant)):
        for name in group_names(episode.variant):
            members.setdefault(name, []).append(episode)
    by_kind = [name for name in members if not name.endswith(" missing")]
    by_number = sorted((name for name in members if name.endswith(" missing")), key=lambda name: int(name.split()[0]))
    groups = tuple(_summarise_group(name, members[name]) for name in by_kind + by_number)
    return Summary(results.checkpoint, results.suite, groups, calibration_of(results.episodes))


def group_names(variant: Variant) -> tuple[str, ...]:
    """The groups that a variant belongs to."""
    if variant.is_clear:
        return ("all", "clear")
    number = (f"{len(variant.facts)} missing",) if variant.facts else ()
    return ("all", "unclear", variant.kind, *number)


def solved(episode: Episode) -> float | None:
    return None if episode.solved is None else float(episode.solved)


def asked(episode: Episode) -> float | None:
    """1 when the first reply asks, 0 when it does not, None when a failure left no reply to look at."""
    return None if episode.failure and not episode.turns else float(episode.asked)


def numbered(episodes: Iterable[Episode]) -> Iterator[tuple[int, Episode]]:
    """Each episode with its number, 1, 2, ..., among those of its variant."""
    played: Counter[str] = Counter()
    for episode in episodes:
        played[episode.variant.id] += 1
        yield played[episode.variant.id], episode


MEASURES: Mapping[Metric, Callable[[Episode], float | None]] = {
    "solved": solved,
    "pass_rate": lambda episode: episode.pass_rate,
    "asked": asked,
}


def _order(variant: Variant) -> tuple[int, str, int]:
    """Single defects before combinations, then fewer facts before more."""
    return variant.kind.count("+"), variant.kind, len(variant.facts)


def _summarise_group(name: str, episodes: Sequence[Episode]) -> GroupSummary:
    # A failure of ours may cut a dialogue short, so only whole dialogues say how much was asked or revealed.
    whole = [episode for episode in episodes if not episode.failure]
    facts = [(fact, fact.id in episode.revealed) for episode in whole for fact in episode.variant.facts]
    revealed = _mean(found for _, found in facts)
    precision = _mean(outcome is Outcome.REVEALED for episode in whole for outcome in episode.outcomes)
    return GroupSummary(
        group=name,
        episodes=len(episodes),
        failed=sum(not episode.measured for episode in episodes),
        solved=_mean_by_problem(episodes, solved),
        pass_rate=_mean(episode.pass_rate for episode in episodes),
        asked=_mean_by_problem(episodes, asked),
        questions=_mean(len(episode.questions) for episode in whole),
        revealed=revealed,
        malformed=_mean(episode.malformed for episode in whole),
        stops=_counts(episode.stop for episode in episodes),
        replies=_counts(turn.reply.kind for episode in episodes for turn in episode.turns),
        unclear=_mean(outcome is Outcome.UNCLEAR for episode in whole for outcome in episode.outcomes),
        outcomes=_counts(outcome for episode in whole for outcome in episode.outcomes),
        turns=_mean(max(0, len(episode.turns) - 1) for episode in whole if episode.questions),
        precision=precision,
        ask_f1=_harmonic(precision.value, revealed.value),
        revealed_by=tuple(
            Share(name, _mean(found for fact, found in facts if _defect(fact) == name))
            for name in sorted({_defect(fact) for fact, _ in facts})
        ),
        variants=len({episode.variant.id for episode in episodes}),
        pass_at=_pass_at(episodes),
    )


def _pass_at(episodes: Sequence[Episode]) -> tuple[Share, ...]:
    """For each k the mean over the variants that have so many measured episodes."""
    tries: dict[str, list[bool]] = {}
    problems: dict[str, str] = {}
    for episode in episodes:
        if episode.solved is not None:
            tries.setdefault(episode.variant.id, []).append(episode.solved)
            problems[episode.variant.id] = episode.variant.problem.id
    shares = []
    for k in ks_of(max(map(len, tries.values()), default=0)):
        found = [(problems[name], pass_at_k(len(own), sum(own), k)) for name, own in tries.items() if len(own) >= k]
        shares.append(Share(str(k), _mean_of_problems(found)))
    return tuple(shares)


def _defect(fact: Fact) -> str:
    return str(fact.defect) if fact.defect else "not said"


def _harmonic(precision: float | None, recall: float | None) -> float | None:
    """None where there was nothing to ask; 0 where nothing was asked, or nothing that was due."""
    if recall is None:
        return None
    return 2 * precision * recall / (precision + recall) if precision and recall else 0.0


def _mean(values: Iterable[float | None]) -> Mean:
    measured = [value for value in values if value is not None]
    return Mean(sum(measured) / len(measured) if measured else None, len(measured))


_RESAMPLES = 2_000


def _mean_by_problem(episodes: Sequence[Episode], measure: Callable[[Episode], float | None]) -> Mean:
    measured = ((episode.variant.problem.id, measure(episode)) for episode in episodes)
    return _mean_of_problems((problem, value) for problem, value in measured if value is not None)


def _mean_of_problems(values: Iterable[tuple[str, float]]) -> Mean:
    """The mean with its interval, which draws whole problems; each value comes with its problem."""
    by_problem: dict[str, list[float]] = {}
    for problem, value in values:
        by_problem.setdefault(problem, []).append(value)
    plain = _mean(value for values in by_problem.values() for value in values)
    interval = bootstrap_interval(list(by_problem.values()), seed=0, resamples=_RESAMPLES)
    return Mean(plain.value, plain.n, interval.low, interval.high) if interval else plain


def _counts(names: Iterable[str]) -> tuple[Count, ...]:
    return tuple(Count(str(name), n) for name, n in sorted(Counter(names).items()))
