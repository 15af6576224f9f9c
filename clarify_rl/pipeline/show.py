"""`clarify-rl show`: the dialogues of a run in the terminal, filtered as in its report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.syntax import Syntax

from clarify_rl.config import Config
from clarify_rl.pipeline.evaluate import check_names, finished_results
from clarify_rl.store import Run
from clarify_rl.types import Episode, Results, Turn

OUTCOMES = ("solved", "unsolved", "unmeasured")


@dataclass(frozen=True)
class Wanted:
    """Which dialogues to show; "" and None leave it open. `only` asks for those that the checkpoint alone solves."""

    checkpoint: str = ""
    suite: str = ""
    kind: str = ""
    outcome: str = ""
    text: str = ""
    only: bool = False


@dataclass(frozen=True)
class Shown:
    checkpoint: str
    suite: str
    episode: Episode


def dialogues(config: Config, run: Run, wanted: Wanted) -> list[Shown]:
    """Those of the run that are wanted, in its order; of the last checkpoint where none is named.

    RunFolderError where nothing was evaluated, or a name is none of the run's.
    """
    results = finished_results(config, run)
    check_names(results, wanted.checkpoint, wanted.suite)
    checkpoint = wanted.checkpoint or list(dict.fromkeys(result.checkpoint for result in results))[-1]
    return [
        Shown(checkpoint, result.suite, episode)
        for result in results
        if result.checkpoint == checkpoint and wanted.suite in ("", result.suite)
        for episode in result.episodes
        if _is_wanted(episode, wanted) and (not wanted.only or _alone(result, episode, results))
    ]


def _is_wanted(episode: Episode, wanted: Wanted) -> bool:
    said = "\n".join(_texts(episode)).lower()
    return (
        wanted.kind in ("", episode.variant.kind)
        and wanted.outcome in ("", _outcome(episode))
        and wanted.text.lower() in said
    )


def _alone(result: Results, episode: Episode, results: Sequence[Results]) -> bool:
    others = [
        other.solved
        for each in results
        if each.suite == result.suite and each.checkpoint != result.checkpoint
        for other in each.episodes
        if other.variant.id == episode.variant.id
    ]
    return bool(episode.solved and others and not any(others))


def _outcome(episode: Episode) -> str:
    return OUTCOMES[2] if episode.solved is None else OUTCOMES[0] if episode.solved else OUTCOMES[1]


def _texts(episode: Episode) -> Iterator[str]:
    yield from (episode.id, episode.variant.id, episode.variant.prompt, episode.failure)
    for turn in episode.turns:
        yield turn.reply.text
        yield turn.answer.text if turn.answer else ""


def print_dialogues(shown: Sequence[Shown], console: Console, most: int) -> None:
    """The first `most` of them, each with its hidden facts, dialogue and tests; then how many there are."""
    for one in shown[:most]:
        _print_one(one, console)
    rest = f"; {len(shown) - most} more, --limit {2 * most} shows more of them" if len(shown) > most else ""
    console.print(f"[dim]{len(shown)} dialogues pass these filters{rest}[/dim]")


def _print_one(one: Shown, console: Console) -> None:
    episode, variant = one.episode, one.episode.variant
    console.rule(f"{escape(variant.id)}  {escape(one.checkpoint)} on {escape(one.suite)}", align="left")
    console.print(f"[bold]user[/bold]    {escape(variant.prompt)}", soft_wrap=True)
    for turn in episode.turns:
        _print_turn(turn, console)
    for fact in variant.facts:
        known = "[green]told[/green]" if fact.id in episode.revealed else "[yellow]not told[/yellow]"
        console.print(f"  {known}  {escape(fact.statement)}", soft_wrap=True)
    run = episode.execution
    tests = f"{run.passed} of {run.total} tests, {run.verdict}" if run else "no code was run"
    reward = "masked" if episode.reward is None else f"{episode.reward:.3f}"
    why = f"; {escape(episode.failure)}" if episode.failure else ""
    console.print(f"[dim]{_outcome(episode)}: {tests}; stopped by {episode.stop}; reward {reward}{why}[/dim]\n")


def _print_turn(turn: Turn, console: Console) -> None:
    kind = turn.reply.kind.replace("_", " ")
    if turn.reply.code and turn.reply.kind == "code":
        console.print(f"[bold blue]model[/bold blue]   [dim]{kind}[/dim]")
        console.print(Padding(Syntax(turn.reply.code.rstrip(), "python", background_color="default"), (0, 0, 0, 8)))
    else:
        console.print(f"[bold blue]model[/bold blue]   {escape(turn.reply.text)} [dim]({kind})[/dim]", soft_wrap=True)
    if turn.answer:
        heard = ", ".join(" ".join((str(each.outcome), *each.facts)) for each in turn.answer.heard) or "nothing heard"
        console.print(f"[bold]user[/bold]    {escape(turn.answer.text)} [dim]({escape(heard)})[/dim]", soft_wrap=True)
