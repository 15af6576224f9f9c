"""How well each measure of what an answer was worth ranks answers by their true worth, and what it costs.

    python -m benchmarks.value_of_information runs/demo --checkpoint sft --problems 24 --exact 32

A checkpoint plays unclear problems of its run's RL data, eight times each, at temperature 1. For every answer that told
something, the true worth is the difference of two means over --exact rollouts each, none of which the measures see:
played on from the answer, and with the answer withheld. Printed: Spearman's rank correlation with it over all answers,
its 95% interval by a bootstrap over problems, the deviation from it where a measure is in the same units, and rollouts
an answer. The true worth has an error of its own, so that no measure could reach 1: the last line says what a second
draw of the truth, of the same size, reaches.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from statistics import fmean

import torch

from clarify_rl.config import Config
from clarify_rl.config_files import saved_config
from clarify_rl.dialogue.chat import Chat
from clarify_rl.dialogue.episodes import run_episodes
from clarify_rl.pipeline.environments import open_pool
from clarify_rl.players import Player, player_for
from clarify_rl.policies.hf import HFPolicy
from clarify_rl.seeds import derive_seed
from clarify_rl.store import Run
from clarify_rl.training.information import (
    Play,
    Unscored,
    Worths,
    again,
    by_effect,
    by_gain,
    by_siblings,
    by_withholding,
    likelihoods_of,
    told,
)
from clarify_rl.types import Episode, Start, Variant

GROUP = 8
DRAWS = 1000  # of the bootstrap


@dataclass(frozen=True)
class Column:
    """What a measure says of every answer, in their order, and what it cost. None: it says nothing."""

    name: str
    rollouts: float
    values: tuple[float | None, ...]
    same_units: bool = True


def main() -> None:
    """Plays, measures and prints."""
    arguments = _arguments()
    torch.set_num_threads(1)
    config = saved_config(arguments.run, ["eval.temperature=1.0", "eval.batch_size=128"])
    variants = _variants(arguments.run, arguments.problems)
    player = player_for(config, str(arguments.run / "models" / arguments.checkpoint))
    with open_pool(config) as pool:
        play: Play = partial(
            run_episodes, policy=player.policy, pool=Unscored(pool), chat=player.chat, limits=player.limits
        )
        groups = [_group(variant, play) for variant in variants]
        episodes = [episode for group in groups for episode in group]
        places = [(number, place) for number, episode in enumerate(episodes) for place in told(episode)]
        problems = [number // GROUP for number, _ in places]
        print(
            f"{len(variants)} problems, {len(episodes)} episodes, {len(places)} answers that told something", flush=True
        )
        truth, second = (_truth(episodes, places, play, arguments.exact, side) for side in ("first", "second"))
        columns = [
            Column(f"withheld, {count}", 2 * count - 1, _of(by_withholding(episodes, play, count), places))
            for count in arguments.rollouts
        ]
    columns.append(Column("siblings", 0, _of([worth for group in groups for worth in by_siblings(group)], places)))
    columns += _by_model(config, player, episodes, places)
    columns.append(Column("the truth, drawn again", 2 * arguments.exact, second))
    _print(columns, truth, problems)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--checkpoint", default="sft")
    parser.add_argument("--problems", type=int, default=24)
    parser.add_argument("--exact", type=int, default=32, help="rollouts on each side for the true worth")
    parser.add_argument("--rollouts", type=int, nargs="+", default=[1, 2, 4, 8], help="on each side, for `withheld`")
    return parser.parse_args()


def _variants(folder: Path, count: int) -> list[Variant]:
    with Run(folder) as run:
        return [variant for variant in run.read_variants("rl") if variant.facts][:count]


def _group(variant: Variant, play: Play) -> Sequence[Episode]:
    return play([Start(variant, f"{variant.id}/{n}", derive_seed("worth", variant.id, n)) for n in range(GROUP)])


def _truth(
    episodes: Sequence[Episode], places: Sequence[tuple[int, int]], play: Play, count: int, draw: str
) -> tuple[float, ...]:
    """The true worth of each answer, by rollouts of their own."""
    worths = []
    for number, place in places:
        episode = episodes[number]
        other = Episode(**{**vars(episode), "id": f"{draw}/{episode.id}"})  # other seeds than the measures'
        starts = [again(other, place, side, n) for side in ("with", "without") for n in range(count)]
        rates = [played.pass_rate or 0.0 for played in play(starts)]
        worths.append(fmean(rates[:count]) - fmean(rates[count:]))
    return tuple(worths)


def _by_model(
    config: Config, player: Player, episodes: Sequence[Episode], places: Sequence[tuple[int, int]]
) -> list[Column]:
    policy, chat = player.policy, player.chat
    assert isinstance(policy, HFPolicy) and isinstance(chat, Chat)
    likelihoods = partial(likelihoods_of, policy.model, policy.pad_id, 64)
    measures: dict[str, Callable[..., list[Worths]]] = {"answer_effect": by_effect, "information_gain": by_gain}
    return [
        Column(name, 0, _of(measure(episodes, chat, likelihoods), places), same_units=False)
        for name, measure in measures.items()
    ]


def _of(worths: Sequence[Worths], places: Sequence[tuple[int, int]]) -> tuple[float | None, ...]:
    return tuple(worths[number][place] for number, place in places)


def _print(columns: Sequence[Column], truth: Sequence[float], problems: Sequence[int]) -> None:
    print(f"true worth: mean {fmean(truth):+.3f}, from {min(truth):+.2f} to {max(truth):+.2f}\n")
    print("| measure | rollouts an answer | answers | rank correlation (95%) | root mean square error |")
    print("|---|---|---|---|---|")
    for column in columns:
        rows = [(v, t, p) for v, t, p in zip(column.values, truth, problems, strict=True) if v is not None]
        low, high = _interval(rows)
        error = f"{fmean((v - t) ** 2 for v, t, _ in rows) ** 0.5:.2f}" if column.same_units and rows else "-"
        said = f"{spearman(rows):.2f} ({low:.2f} to {high:.2f})" if rows else "-"
        print(f"| {column.name} | {column.rollouts:g} | {len(rows)} | {said} | {error} |")


Rows = Sequence[tuple[float, float, int]]  # what a measure says, the truth, and the problem that it is about


def _interval(rows: Rows) -> tuple[float, float]:
    """By drawing problems anew, with all of their answers."""
    by_problem: dict[int, list[tuple[float, float, int]]] = {}
    for row in rows:
        by_problem.setdefault(row[2], []).append(row)
    rng, found = Random(0), []
    for _ in range(DRAWS if rows else 0):
        drawn = rng.choices(list(by_problem.values()), k=len(by_problem))
        found.append(spearman([row for part in drawn for row in part]))
    found.sort()
    return (found[round(0.025 * DRAWS)], found[round(0.975 * DRAWS) - 1]) if found else (0.0, 0.0)


def spearman(rows: Rows) -> float:
    """Spearman's rank correlation, equal values sharing their mean rank; 0 where one side is constant."""
    first, second = _ranks([value for value, _, _ in rows]), _ranks([true for _, true, _ in rows])
    middle = (len(rows) - 1) / 2
    shared = sum((a - middle) * (b - middle) for a, b in zip(first, second, strict=True))
    spread = (sum((a - middle) ** 2 for a in first) * sum((b - middle) ** 2 for b in second)) ** 0.5
    return shared / spread if spread else 0.0


def _ranks(values: Sequence[float]) -> list[float]:
    places: dict[float, list[int]] = {}
    for place, value in enumerate(sorted(values)):
        places.setdefault(value, []).append(place)
    return [fmean(places[value]) for value in values]


if __name__ == "__main__":
    main()
