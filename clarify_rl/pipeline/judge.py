"""`clarify-rl data judge`: variants judged by what a model's code does, not by what it thinks of them.

For each unclear variant the model writes code from the statement alone, from the statement with all answers,
and from the clear twin. A variant whose hidden truth its guesses meet anyway hides nothing (its default is obvious, or
the statement still tells it); one that it solves in no sample from the clear twin is too hard, or hides something else
too. The gap between told and not told is what asking can win.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from rich.console import Console
from rich.table import Table
from tqdm.auto import tqdm

from clarify_rl.config import Config
from clarify_rl.errors import DataError
from clarify_rl.executor import Executor, Limits
from clarify_rl.pipeline.asking import CPU_S, LETTERS_A_TOKEN, SOLVE_TOKENS, ask, at_once, solves, to_solve
from clarify_rl.pipeline.grown import GrownFile
from clarify_rl.players import Player, player_for
from clarify_rl.problems.made import Made
from clarify_rl.types import Problem, Variant

WAYS = ("unclear", "told", "clear")  # how a problem is put to the model


@dataclass(frozen=True)
class Judgement:
    """How many of `samples` solve a variant from the statement alone, with all answers, and from its clear twin."""

    edits: tuple[str, ...]
    samples: int
    unclear: int
    told: int
    clear: int

    def lost(self) -> str:
        """Why the variant is of no use for training; "" where it is of use."""
        if self.unclear == self.samples:
            return "solved without asking every time"
        if not self.clear and not self.told:
            return "never solved, however clear"
        if self.told <= self.unclear and self.clear <= self.unclear:
            return "the answer does not help"
        return ""


def estimate(path: Path, samples: int, limit: int | None = None) -> str:
    """What judging a file would take, in a sentence."""
    variants = list(islice((variant for variant in Made(str(path)).variants() if variant.facts), limit))
    letters = sum(len(variant.prompt) for variant in variants)
    requests = samples * len(WAYS) * len(variants)
    tokens = samples * len(WAYS) * letters // LETTERS_A_TOKEN + requests * SOLVE_TOKENS // 3
    return f"{len(variants)} variants, {requests} requests, about {tokens:,} tokens in all"


def judge_named(
    path: Path, out: Path, spec: str, config: Config, *, samples: int = 1, limit: int | None = None
) -> tuple[list[Judgement], int]:
    """`judge` by the model that `spec` names, with an executor of its own."""
    player = player_for(config, spec)
    with Executor(Limits(cpu_s=CPU_S)) as executor:
        return judge(path, out, player, executor, samples=samples, limit=limit)


def judge(
    path: Path, out: Path, player: Player, executor: Executor, *, samples: int = 1, limit: int | None = None
) -> tuple[list[Judgement], int]:
    """Writes the variants that are of use behind their clear twins; goes on where an earlier try was interrupted.

    Returns the judgements, and for how many variants a reply did not come: they are asked about the next time.
    """
    variants = list(Made(str(path)).variants())
    twins = {variant.problem.id: variant for variant in variants if variant.is_clear}
    unclear = [variant for variant in variants if variant.facts]
    if not unclear:
        raise DataError(f"{path} has no unclear variant.")
    many = at_once(player)
    with GrownFile(out) as grown:
        left = [variant for variant in islice(unclear, limit) if variant.id not in grown]
        with tqdm(total=len(left), desc="data judge", unit="variant", dynamic_ncols=True) as bar:
            for start in range(0, len(left), many):
                part = left[start : start + many]
                for variant, judgement in zip(part, _judged(part, player, executor, samples), strict=True):
                    if judgement:
                        own = [twins.get(variant.problem.id), variant]
                        kept = [] if judgement.lost() else [item for item in own if item]
                        grown.add(variant.id, kept, json.dumps(vars(judgement)))
                    bar.update()
        unanswered = sum(variant.id not in grown for variant in left)
        return [_from_note(note) for note in grown.notes.values()], unanswered


def _from_note(note: str) -> Judgement:
    fields = json.loads(note)
    return Judgement(**{**fields, "edits": tuple(fields["edits"])})


def _judged(variants: Sequence[Variant], player: Player, executor: Executor, samples: int) -> list[Judgement | None]:
    """A judgement for each variant; None where a reply did not come."""
    texts = {
        "unclear": [variant.prompt for variant in variants],
        "told": [told(variant) for variant in variants],
        "clear": [variant.problem.prompt for variant in variants],
    }
    problems = [variant.problem for variant in variants]
    counts = {
        way: _counts([f"{variant.id}/{way}" for variant in variants], texts[way], problems, player, executor, samples)
        for way in WAYS
    }
    return [
        None
        if unclear is None or answered is None or clear is None
        else Judgement(tuple(fact.id for fact in variant.facts), samples, unclear, answered, clear)
        for variant, unclear, answered, clear in zip(variants, *(counts[way] for way in WAYS), strict=True)
    ]


def _counts(
    names: Sequence[str],
    texts: Sequence[str],
    problems: Sequence[Problem],
    player: Player,
    executor: Executor,
    samples: int,
) -> list[int | None]:
    """How many samples solve each; None where one was not measured."""
    rows = []
    for seed in range(samples):
        replies = ask(player, [to_solve(text) for text in texts], names, SOLVE_TOKENS, seed=seed)
        rows.append(solves(executor, replies, problems))
    return [None if None in column else sum(map(bool, column)) for column in zip(*rows, strict=True)]


def told(variant: Variant) -> str:
    """The unclear statement, with a question about each fact and the user's answer."""
    asked = [f"Question: {fact.questions[0]}\nAnswer: {fact.answers[0]}" for fact in variant.facts]
    return "\n\n".join([variant.prompt, *asked])


def print_judgements(judgements: Iterable[Judgement], console: Console) -> None:
    """Solved without asking, told and clear, by edit; and the gap that asking can close."""
    known = list(judgements)
    table = Table("edit", "variants", "not asking", "told", "clear twin", "gap", "kept", title="solved by the model")
    edits = sorted({edit for judgement in known for edit in judgement.edits})
    for name, part in [*((edit, [item for item in known if edit in item.edits]) for edit in edits), ("all", known)]:
        if not part:
            continue
        rates = [100 * sum(vars(item)[way] for item in part) / sum(item.samples for item in part) for way in WAYS]
        kept = sum(not item.lost() for item in part)
        table.add_row(
            name, str(len(part)), *(f"{rate:.1f}%" for rate in rates), f"{rates[1] - rates[0]:+.1f}", str(kept)
        )
    console.print(table)
