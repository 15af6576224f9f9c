"""The numbers of one batch of rollouts, by their paths in metrics.jsonl."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import fmean, pstdev

from clarify_rl.errors import ClarifyError
from clarify_rl.training.groups import GenerationBatch, in_groups, is_informative
from clarify_rl.types import Episode, Outcome


def rollout_metrics(episodes: Sequence[Episode]) -> dict[str, float]:
    """Means over the measured episodes that began as the policy liked; what nothing in the batch tells is left out."""
    free = [episode for episode in episodes if episode.opening is None]
    measured = [episode for episode in free if episode.measured]
    clear = [episode for episode in measured if episode.variant.is_clear]
    unclear = [episode for episode in measured if not episode.variant.is_clear]
    facts = sum(len(episode.variant.facts) for episode in unclear)
    numbers = {
        "rollout/episodes": float(len(episodes)),
        "rollout/failed": float(sum(episode.masked for episode in episodes)),
        "episode/solved": _mean(episode.solved for episode in measured),
        "episode/solved_clear": _mean(episode.solved for episode in clear),
        "episode/solved_unclear": _mean(episode.solved for episode in unclear),
        "episode/asked_clear": _mean(episode.asked for episode in clear),
        "episode/asked_unclear": _mean(episode.asked for episode in unclear),
        "episode/questions": _mean(len(episode.questions) for episode in measured),
        "episode/revealed": sum(len(episode.revealed) for episode in unclear) / facts if facts else None,
        "episode/malformed": _mean(episode.malformed for episode in measured),
        **_heard(measured),
        **_rewards([episode for episode in free if not episode.masked]),
    }
    return {name: value for name, value in numbers.items() if value is not None}


def group_metrics(batches: Sequence[GenerationBatch], size: int) -> dict[str, float]:
    """Of the groups trained on: the shares in which rewards are equal, differ, and that replaced others; solve rate."""
    if any(len(batch.episodes) % size for batch in batches):
        return {}
    groups = [group for batch in batches for group in in_groups(batch.episodes, size)]
    measured = [group for group in groups if not all(episode.masked for episode in group)]
    numbers = {
        # TRL's own takes rounding for variance (eight times 1/3), or the batch's where rewards are scaled by that.
        "group/zero_variance": _mean(not is_informative(group) for group in measured),
        "group/informative": _mean(is_informative(group) for group in groups),
        "group/replaced": sum(batch.replaced for batch in batches) / len(groups),
        "group/solve_rate": _mean(_mean(episode.solved for episode in group) for group in groups),
    }
    return {name: value for name, value in numbers.items() if value is not None}


def stop_if_failing(episodes: Sequence[Episode], most: float, stage: str, what: str = "episodes") -> None:
    """ClarifyError when more than the share `most` of the episodes of a stage could not be measured."""
    failed = [episode for episode in episodes if episode.masked]
    if len(failed) > most * len(episodes):
        raise ClarifyError(
            f"{len(failed)} of {len(episodes)} {what} could not be measured, more than env.max_failed_share={most}. "
            f"The first: {_why_unmeasured(failed[0])}. "
            f"They are in episodes/{stage}.jsonl; mend the cause, then --resume."
        )


def _heard(episodes: Sequence[Episode]) -> dict[str, float | None]:
    """The share of each outcome among the questions that the user answered."""
    outcomes = [outcome for episode in episodes for outcome in episode.outcomes]
    return {f"user/{outcome}": outcomes.count(outcome) / len(outcomes) if outcomes else None for outcome in Outcome}


def _rewards(episodes: Sequence[Episode]) -> dict[str, float | None]:
    """The mean of each reward, and its deviation, where it applies."""
    values: dict[str, list[float]] = {}
    for score in (score for episode in episodes for score in episode.scores if score.applies):
        values.setdefault(score.name, []).append(0.0 if score.value is None else score.value)
    return {
        **{f"reward/{name}": fmean(given) for name, given in values.items()},
        **{f"reward_std/{name}": pstdev(given) for name, given in values.items()},
    }


def _why_unmeasured(episode: Episode) -> str:
    """What kept an episode, or one of its scores, from being measured."""
    if not episode.measured:
        return episode.failure or (episode.execution.detail if episode.execution else "")
    score = next(score for score in episode.scores if score.value is None)
    return score.why or f"reward {score.name} returned None"


def _mean(values: Iterable[float | None]) -> float | None:
    known = [float(value) for value in values if value is not None]
    return sum(known) / len(known) if known else None
