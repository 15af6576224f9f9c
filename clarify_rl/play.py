"""You are the user: a model gets an unclear problem, you answer its questions, and its code is tested."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.syntax import Syntax

from clarify_rl.config import Config
from clarify_rl.dialogue.episodes import run_episodes
from clarify_rl.pipeline.environments import open_pool
from clarify_rl.players import Player, player_for
from clarify_rl.types import Episode, Start, Turn, Variant

_FAILED_TESTS_SHOWN = 3


def newest_model(config: Config) -> str:
    """The furthest trained model of the configured run, or its base model where nothing is trained yet."""
    trained = [config.folder / "models" / name for name in ("rl", "sft")]
    return next((str(path) for path in trained if (path / "config.json").is_file()), config.model.base)


def play(config: Config, variant: Variant, player: Player, seed: int, console: Console) -> Episode:
    """Shows you everything, lets the model ask you, then shows its code and what the hidden tests say."""
    _show_problem(variant, console)
    env = config.env.model_copy(update={"user": "human", "user_options": {}, "workers": 0})
    with open_pool(config.model_copy(update={"env": env})) as pool:
        [episode] = run_episodes(
            [Start(variant, f"play/{variant.id}", seed)],
            policy=player.policy,
            pool=pool,
            chat=player.chat,
            limits=player.limits,
        )
    _show_outcome(episode, console)
    return episode


def play_model(config: Config, spec: str | None, variant: Variant, seed: int, console: Console) -> Episode:
    """Loads the model that `spec` names (by default the furthest trained one of the configured run) and plays."""
    spec = spec or newest_model(config)
    console.print(f"[dim]You are the user of {escape(spec)}. Ctrl-C ends it.[/dim]")
    return play(config, variant, player_for(config, spec), seed, console)


def _show_problem(variant: Variant, console: Console) -> None:
    console.print(f"\n[bold]The complete problem[/bold] (only you see it)\n{escape(variant.problem.prompt)}")
    for number, fact in enumerate(variant.facts, 1):
        hides = f"{fact.defect or 'hidden'}: {fact.statement}"
        shown = f"  [dim](the model reads: {escape(fact.replaced_by)})[/dim]" if fact.replaced_by else ""
        console.print(f"  [bold]{number}[/bold]  {escape(hides)}{shown}")
    if variant.is_clear:
        console.print("  [dim]Nothing is hidden: a question is not needed here.[/dim]")
    console.print(f"\n[bold]What the model reads[/bold]\n{escape(variant.prompt)}")


def _show_outcome(episode: Episode, console: Console) -> None:
    for turn in episode.turns:
        _show_heard(turn, console)
    reply = episode.turns[-1].reply if episode.turns else None
    execution = episode.execution
    if reply is None or reply.code is None or execution is None:
        said = f" The last reply:\n{escape(reply.text)}" if reply else ""
        console.print(
            f"\n[bold]No code[/bold] ({episode.stop}{': ' if episode.failure else ''}{episode.failure}).{said}"
        )
        return
    console.print("\n[bold]The model's code[/bold]")
    console.print(Syntax(reply.code.strip(), "python", background_color="default"))
    color = "green" if execution.solved else "red"
    console.print(f"[{color}]{execution.passed} of {execution.total} hidden tests pass[/{color}] ({execution.verdict})")
    _show_failed_tests(episode, execution.per_test, console)
    scores = ", ".join(f"{score.name} {score.value}" for score in episode.scores)
    console.print(
        f"[dim]reward {episode.reward} ({scores}); revealed: {', '.join(episode.revealed) or 'nothing'}[/dim]"
    )


def _show_heard(turn: Turn, console: Console) -> None:
    """What became of each question that was answered: its outcome, and the facts that it brought."""
    for question, heard in zip(turn.reply.questions, turn.answer.heard if turn.answer else (), strict=False):
        facts = f": {', '.join(heard.facts)}" if heard.facts else ""
        console.print(f"[dim]{escape(question)} -> {heard.outcome}{escape(facts)}[/dim]", highlight=False)


def _show_failed_tests(episode: Episode, per_test: Sequence[str], console: Console) -> None:
    problem = episode.variant.problem
    shown = problem.tests.shown(problem.entry_point)
    failed = [test for test, outcome in zip(shown, per_test, strict=False) if outcome != "pass"]
    for test in failed[:_FAILED_TESTS_SHOWN]:
        console.print(f"  {escape(test.call)} should be {escape(test.expected)}", highlight=False)
