"""RL's own dialogues as a page: a step is what a suite is in the report, and a group's members stand side by side."""

from __future__ import annotations

from pathlib import Path

from clarify_rl.config import Config
from clarify_rl.evaluation.compare import Comparison
from clarify_rl.report.html import write_transcripts
from clarify_rl.store import Run
from clarify_rl.types import Episode, Results

MOST = 8_000  # episodes of one page; of a longer training every second step is shown, or every third, ...


def write_training_page(config: Config, run: Run) -> Path | None:
    """training.html in the run's folder, with as many steps as fit; None where RL has left no episode."""
    if config.rl is None or not run.is_done("rl") or not run.count_episodes("rl"):
        return None
    episodes = run.read_episodes("rl", run.read_variants("rl"))
    steps = list(dict.fromkeys(map(_step, episodes)))
    every = -(-len(episodes) // MOST)
    results = _by_member(episodes, steps[::every], int(config.rl.trainer.get("num_generations", 8)))
    members = tuple(dict.fromkeys(result.checkpoint for result in results))
    suites = tuple(dict.fromkeys(result.suite for result in results))
    shown = f", one of {every} shown" if every > 1 else ""
    headline = f"RL's own dialogues: {sum(len(r.episodes) for r in results):,} of {len(steps)} steps{shown}"
    path = run.folder / "training.html"
    write_transcripts(path, headline, Comparison(members, suites, (), ()), results, run.read_metrics(), run.info())
    return path


def _step(episode: Episode) -> int:
    return int(episode.id.split("/")[1])


def _by_member(episodes: list[Episode], steps: list[int], size: int) -> list[Results]:
    """One result for each step and each place in a group, in which every problem stands once."""
    places: dict[tuple[int, int], list[Episode]] = {}
    for episode in episodes:
        place = int(episode.id.rpartition("/")[2]) % size
        places.setdefault((_step(episode), place), []).append(episode)
    return [
        Results(f"member {place + 1}", f"step {step + 1}", tuple(places[step, place]))
        for step in steps
        for place in range(size)
        if (step, place) in places
    ]
