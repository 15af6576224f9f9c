"""The tables of docs/results.md, in Markdown, from the comparison.json of finished runs.

for seed in 0 1 2; do clarify-rl run demo name=demo-$seed seed=$seed; done
python benchmarks/demo_table.py runs/demo-0 runs/demo-1 runs/demo-2 --clear-suite clear_instances
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from clarify_rl.pipeline.evaluate import record
from clarify_rl.store import Run
from clarify_rl.types import Defect, Fact

KINDS = ("clear", "ambiguous", "incomplete", "inconsistent", "1 missing", "2 missing", "3 missing")
Comparison = Mapping[str, Any]  # Any: JSON


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, help="folders of finished runs")
    parser.add_argument("--suite", default="new_instances")
    parser.add_argument("--clear-suite", help="suite whose clear variants show needless questions (default: --suite)")
    arguments = parser.parse_args()
    comparisons = [json.loads((run / "comparison.json").read_text()) for run in arguments.runs]
    seeds = [seed_of(run) for run in arguments.runs]
    rows = by_seed(comparisons, seeds, arguments.suite, arguments.clear_suite or arguments.suite)
    facts = by_defect(arguments.runs, arguments.suite)
    print("\n".join([*rows, "", *by_kind(comparisons, arguments.suite), "", *facts]))


def seed_of(run: Path) -> str:
    lines = (run / "config.yaml").read_text().splitlines()
    return next(line.removeprefix("seed: ") for line in lines if line.startswith("seed: "))


def by_seed(comparisons: Sequence[Comparison], seeds: Sequence[str], suite: str, clear_suite: str) -> list[str]:
    """One row a run: solved by each checkpoint, RL against SFT with its interval, and how often each asks."""
    rows = [
        "| seed | base solved | SFT solved | RL solved | RL - SFT, points (95%) | ask-recall SFT, RL "
        "| false-ask SFT, RL | malformed RL |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for seed, comparison in zip(seeds, comparisons, strict=True):
        solved = [share(comparison, name, suite, "all", "solved") for name in ("base", "sft", "rl")]
        recall = [share(comparison, name, suite, "unclear", "asked") for name in ("sft", "rl")]
        false_ask = [share(comparison, name, clear_suite, "clear", "asked") for name in ("sft", "rl")]
        malformed = share(comparison, "rl", suite, "all", "malformed")
        cells = [seed, *solved, difference(comparison, suite), ", ".join(recall), ", ".join(false_ask), malformed]
        rows.append(f"| {' | '.join(cells)} |")
    return rows


def by_kind(comparisons: Sequence[Comparison], suite: str) -> list[str]:
    """One row a kind of variant: solved, as the mean over the runs."""
    rows = ["| variants | base | SFT | RL |", "|---|---|---|---|"]
    for kind in KINDS:
        means = []
        for checkpoint in ("base", "sft", "rl"):
            values = [float(share(comparison, checkpoint, suite, kind, "solved")) for comparison in comparisons]
            means.append(f"{sum(values) / len(values):.1f}")
        rows.append(f"| {kind} | {' | '.join(means)} |")
    return rows


def by_defect(runs: Sequence[Path], suite: str) -> list[str]:
    """One row a kind of defect, over all runs: which facts were asked for and told, and what was asked about at all.

    The first two shares are of all facts with the defect, the last two of the variants in which it is the only one.
    """
    counts: dict[tuple[str, str], list[list[bool]]] = {}
    for folder in runs:
        with Run(folder) as run:
            variants = run.read_variants(suite)
            for checkpoint in ("sft", "rl"):
                for episode in run.read_episodes(record(checkpoint, suite), variants):
                    for fact in episode.variant.facts:
                        told, asked = counts.setdefault((_defect(fact), checkpoint), [[], []])
                        told.append(fact.id in episode.revealed)
                        if len(episode.variant.facts) == 1:
                            asked.append(episode.asked)
    rows = ["| facts | told SFT, RL | asked, where nothing else is unclear, SFT, RL |", "|---|---|---|"]
    for defect in dict.fromkeys(defect for defect, _ in sorted(counts)):
        cells = [", ".join(_percent(counts[defect, name][place]) for name in ("sft", "rl")) for place in (0, 1)]
        rows.append(f"| {defect} | {' | '.join(cells)} |")
    return rows


def _defect(fact: Fact) -> str:
    two = fact.defect is Defect.AMBIGUOUS and " or " in fact.replaced_by
    return f"{fact.defect}, two readings" if two else str(fact.defect)


def _percent(hits: Sequence[bool]) -> str:
    return f"{100 * sum(hits) / len(hits):.0f}% of {len(hits)}" if hits else "-"


def share(comparison: Comparison, checkpoint: str, suite: str, group: str, measure: str) -> str:
    """A measure in percent."""
    summary = next(s for s in comparison["summaries"] if s["checkpoint"] == checkpoint and s["suite"] == suite)
    found = next(g for g in summary["groups"] if g["group"] == group)
    return f"{100 * found[measure]['value']:.1f}"


def difference(comparison: Comparison, suite: str) -> str:
    wanted = {"suite": suite, "metric": "solved", "group": "all", "before": "sft", "after": "rl"}
    found = next(d for d in comparison["differences"] if wanted.items() <= d.items())
    return f"{found['points']:+.1f} ({found['low']:.1f} to {found['high']:.1f})"


if __name__ == "__main__":
    main()
