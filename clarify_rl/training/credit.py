"""Credit: which turns of an episode its scores are laid to, as functions from the episodes of a group to advantages.

GRPO gives all tokens of an episode one advantage: a question that revealed nothing is reinforced when the code passes,
and good code is punished for a needless question before it. Scores that say what each turn brought (`Score.by_turn`)
allow two finer ways:

- `to_go`: a turn is judged by what came of it and after it, as in any policy gradient with causality. The code is not
  blamed for the questions before it; the outcome reaches every turn.
- `turn`: a turn is judged by its own scores; the outcome reaches the turn that ends the episode, and by a share those
  that ask. After MT-GRPO (Zeng et al. 2025, arXiv 2505.11821), whose known point is a share of 0.5.

A turn is compared with the same turn of its peers, the measured episodes of the group that came as far: the first turn
always has all of them. Where a later turn has no peers, `to_go` falls back to what the whole episode earned against the
group, and `turn` compares nothing. Peers of an episode that was made to begin in some way are those that were made to
begin likewise (see openings.py).

What differs from MT-GRPO: it divides each kind of score by its own deviation, which makes a weight of 0.01 as loud as
one of 1. Here all advantages of a group are divided by one number, the largest deviation among what is compared, so
that weights keep their meaning, and nothing that hardly differs is blown up.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from math import isfinite
from statistics import fmean, stdev
from typing import Any, cast

import torch

from clarify_rl.errors import ClarifyError, ConfigError
from clarify_rl.loading import load_object
from clarify_rl.rl_sections import CreditSection, RLSection
from clarify_rl.training.openings import are_peers
from clarify_rl.types import Episode

Turns = tuple[float, ...]  # one number for each turn of an episode
Credit = Callable[[Sequence[Episode]], Sequence[Sequence[float]]]

_EPSILON = 1e-4  # TRL's own, beside a deviation


def turn_scores(episode: Episode) -> Turns:
    """What each turn earned by itself: the weighted sums of the scores that say so."""
    totals = [0.0] * len(episode.turns)
    for score in episode.scores:
        for place, value in enumerate(score.by_turn):
            totals[place] += score.weight * value
    return tuple(totals)


def outcome(episode: Episode) -> float:
    """What the episode earned as a whole: its reward without what single turns earned; 0 for a masked one."""
    return 0.0 if episode.reward is None else episode.reward - sum(turn_scores(episode))


def rewards_to_go(episode: Episode) -> Turns:
    """For each turn, what it and those behind it earned, with the outcome. The first one's is the episode's reward."""
    own = turn_scores(episode)
    return tuple(outcome(episode) + sum(own[place:]) for place in range(len(own)))


def to_go(group: Sequence[Episode], *, scaled: bool = True) -> list[Turns]:
    """Advantages of each episode's turns by what came after them; zeros in a masked episode."""
    earned, wholes = [rewards_to_go(episode) for episode in group], [episode.reward or 0.0 for episode in group]
    scale = _scale(_columns(group, earned)) if scaled else 1.0

    def advantage(number: int, place: int) -> float:
        peers = _peers(group, number)
        if len(column := [earned[peer][place] for peer in peers if place < len(earned[peer])]) > 1:
            return (earned[number][place] - fmean(column)) / scale
        return (wholes[number] - fmean(wholes[peer] for peer in peers)) / scale

    return _each_turn(group, advantage)


def by_turn(group: Sequence[Episode], *, share: float = 0.5, scaled: bool = True) -> list[Turns]:
    """Advantages of each episode's turns by their own scores, and by the outcome: a `share` of it in turns that ask."""
    own = [turn_scores(episode) for episode in group]
    wholes = [(outcome(episode), episode.reward or 0.0) for episode in group]
    scale = _scale([*_columns(group, own), *_columns(group, wholes)]) if scaled else 1.0

    def advantage(number: int, place: int) -> float:
        peers = _peers(group, number)
        alone = own[number][place] - fmean(own[peer][place] for peer in peers if place < len(own[peer]))
        ended = wholes[number][0] - fmean(wholes[peer][0] for peer in peers)
        return (alone + (1.0 if place == len(own[number]) - 1 else share) * ended) / scale

    return _each_turn(group, advantage)


def _each_turn(group: Sequence[Episode], advantage: Callable[[int, int], float]) -> list[Turns]:
    return [
        tuple(0.0 if episode.masked else advantage(number, place) for place in range(len(episode.turns)))
        for number, episode in enumerate(group)
    ]


def _peers(group: Sequence[Episode], number: int) -> list[int]:
    """Whom an episode is compared with, itself among them, of those that were measured."""
    return [i for i, peer in enumerate(group) if not peer.masked and are_peers(group[number], peer)]


def _columns(group: Sequence[Episode], rows: Sequence[Turns]) -> list[list[float]]:
    """The numbers of measured episodes that are compared with each other: of rows, turn by turn."""
    measured = [row for row, episode in zip(rows, group, strict=True) if not episode.masked]
    return [[row[place] for row in measured if place < len(row)] for place in range(max(map(len, measured), default=0))]


def _scale(columns: Sequence[Sequence[float]]) -> float:
    """The largest deviation of any column."""
    return max((stdev(column) for column in columns if len(column) > 1), default=0.0) + _EPSILON


def credit_of(section: CreditSection, *, scaled: bool) -> Credit | None:
    """How credit is given; None for `episode`, which is GRPO's own way. ConfigError for what names no function."""
    ours: Mapping[str, Credit | None] = {
        "episode": None,
        "to_go": partial(to_go, scaled=scaled),
        "turn": partial(by_turn, share=section.outcome, scaled=scaled),
    }
    return ours[section.by] if section.by in ours else cast(Credit, load_object("credit", section.by))


def token_advantages(credit: Credit, groups: Sequence[Sequence[Episode]], width: int) -> torch.Tensor:
    """The advantages that `credit` gives the turns of each group, at the policy's tokens of these turns, (B, T).

    ClarifyError where it gives other than a finite number for each turn.
    """
    rows = []
    for group in groups:
        given = credit(group)
        if len(given) != len(group):
            raise ClarifyError(f"rl.credit gave advantages for {len(given)} of {len(group)} episodes of a group.")
        rows += [_at_tokens(episode, turns, width) for episode, turns in zip(group, given, strict=True)]
    return torch.tensor(rows)


def _at_tokens(episode: Episode, turns: Sequence[float], width: int) -> list[float]:
    if len(turns) != len(episode.turns) or not all(map(isfinite, turns)):
        raise ClarifyError(
            f"rl.credit gave {list(turns)} for the {len(episode.turns)} turns of {episode.id}: a finite number for "
            "each is due."
        )
    values = [0.0 if place is None else float(turns[place]) for place in turn_of_token(episode)]
    return values + [0.0] * (width - len(values))


def token_rewards(episodes: Sequence[Episode], width: int) -> torch.Tensor:
    """What PPO's critic sees, (B, T): a turn's own scores at its last token, the outcome at the episode's last one."""
    rows = torch.zeros(len(episodes), width)
    for row, episode in zip(rows, episodes, strict=True):
        if episode.masked:
            continue
        last = {place: token for token, place in enumerate(turn_of_token(episode)) if place is not None}
        for place, score in enumerate(turn_scores(episode)):
            if place in last:
                row[last[place]] += score
        if last:
            row[max(last.values())] += outcome(episode)
    return rows


def turn_of_token(episode: Episode) -> list[int | None]:
    """For each token of the completion, (C,): which turn the policy chose it in; None for what others said.

    Turns that were played before have no token of the policy's, so the last turns are those with tokens.
    """
    begins = [bit and not before for before, bit in zip((0, *episode.policy_mask), episode.policy_mask, strict=False)]
    number = len(episode.turns) - sum(map(bool, begins)) - 1
    turns: list[int | None] = []
    for begin, bit in zip(begins, episode.policy_mask, strict=True):
        number += bool(begin)
        turns.append(number if bit else None)
    return turns


def check_credit(section: RLSection, args: Any) -> None:  # Any: TRL's options, which have no types
    """ConfigError for a credit that cannot work with the other options."""
    by = section.credit.by
    if by == "episode":
        return
    if section.algorithm == "ppo":
        if by != "to_go":
            raise ConfigError(
                f"rl.credit={by}: PPO's critic tells what each turn is worth, and needs no group. Take to_go, or "
                "episode."
            )
        return
    credit_of(section.credit, scaled=True)
    if args.scale_rewards not in ("group", "none") or args.multi_objective_aggregation != "sum_then_normalize":
        raise ConfigError(
            f"rl.credit={by} divides advantages by a deviation of their group: leave out rl.trainer.scale_rewards "
            "(none works too) and rl.trainer.multi_objective_aggregation, or take rl.credit=episode."
        )
    size = args.num_generations
    if (batch := args.per_device_train_batch_size * args.steps_per_generation) % size:
        raise ConfigError(
            f"rl.credit={by} needs whole groups on each process, which makes {batch} episodes at a time: let "
            f"rl.trainer's per_device_train_batch_size times steps_per_generation be a multiple of {size}, or take "
            "rl.credit=episode."
        )
